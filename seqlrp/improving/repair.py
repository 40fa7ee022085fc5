"""`repair`: a new classifier that no longer rests on a shortcut, and the proof of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from seqlrp.analysis.compare import compare
from seqlrp.analysis.comparison_report import Comparison
from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import (
    CorpusError,
    LabelError,
    OptionError,
    check_choice,
    check_number,
    near,
)
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method
from seqlrp.improving.given_shortcuts import known_class, read_shortcuts
from seqlrp.improving.labelled_texts import ELSEWHERE, LabelledTexts
from seqlrp.improving.measures import COLUMNS, Sides, probe_rows, relevance_row, whole_rows
from seqlrp.improving.mended_corpus import EDITS, written
from seqlrp.improving.penalty import STRENGTH
from seqlrp.improving.probes import Probes
from seqlrp.improving.repair_report import RepairReport
from seqlrp.improving.shortcut import Located
from seqlrp.improving.ways import WAYS, RepairTask
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.optimisation import Schedule
from seqlrp.text.corpora import Corpus

How = Literal["data", "penalise", "project", "disable"]
_TEST = 0.25  # of the corpus, held out to measure on


class Repaired(NamedTuple):
    """A new classifier, and the report of what changed."""

    classifier: TextClassifier
    report: RepairReport


def repair(
    classifier: TextClassifier,
    corpus: Corpus,
    shortcuts: Any,
    how: How = "data",
    *,
    test: Corpus | None = None,
    edit: Literal["swap", "delete", "unknown"] = "swap",
    anew: bool = False,
    strength: float = STRENGTH,
    layer: str | None = None,
    directions: int | None = None,
    oblique: bool = True,
    units: int | None = None,
    train_on: bool = False,
    method: str = "lrp",
    explained: int = 300,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    seed: int = 0,
    progress: bool | None = None,
    **training: Any,
) -> Repaired:
    """Make a new classifier that does not rest on a shortcut; the given one stays as it is.

    What a way tries, it chooses by texts of the corpus, never by those that are measured on: the
    candidate that is misled least, where accuracy on clean texts that it costs, beyond one point,
    counts twice against it.

    Args:
        classifier: the classifier that rests on the shortcut.
        corpus: labelled texts, best those that it was trained on.
        shortcuts: one or a list of words and phrases (`"a + b"` for two that stand together),
            positions (0 for the first word, -1 for the last), spans of single texts (number of the
            text, first character, character after the last), rows of `analysis.shortcuts`; or, for
            "disable", the units of layers, `{"encoder.recurrence": [3, 17]}`.
        how: the way.

            - "data": trains on, or anew, with a corpus that was mended.
            - "penalise": trains on, with a penalty on the relevance of the shortcut (right for the
              right reasons, Ross et al. 2017). It is relevance by gradient × input, as the backward
              pass of LRP cannot be differentiated.
            - "project": removes the direction of the shortcut from what a layer reads, without
              training (P-ClArC, Anders et al. 2022).
            - "disable": switches off the units that carry it (FIND, Lertvittayakumjorn et al.
              2020).
        test: labelled texts to measure on, best such as the classifier has not seen; by default a
            quarter of the corpus is held out for that.
        edit: of "data": "swap" adds each text that holds the shortcut without it, and others of all
            classes with it; "delete" takes it out; "unknown" puts the unknown word in its place.
        anew: of "data": begin with new weights.
        strength: of "penalise": the weight of the penalty.
        layer: of "project": the embedding, or the linear layer whose inputs are projected; by
            default the embedding and the last linear layer are tried. Of "disable": the layer of
            the units, by default the last recurrent one.
        directions: of "project": how many for each shortcut; by default 1, 2 and 3 are tried.
        oblique: of "project": take the direction out along the filter by which clean texts change
            least; False is the orthogonal projection of P-ClArC.
        units: of "disable": how many for each shortcut; by default 1, 2, 4, … are tried.
        train_on: of "disable": train the last linear layer on afterwards.
        method: by which relevance is measured in the report, a name in `seqlrp.METHODS`.
        explained: the most texts of which the report compares the words before and after.
        batch_tokens: the most tokens in a batch where nothing is trained.
        seed: of what is drawn, and of training.
        progress: show bars; None shows them where standard error is a terminal.
        training: the schedule of training: epochs, learning_rate, batch_size, …

    Returns:
        the new classifier, and a report: what the shortcut does before and after, what the repair
        cost, and which words moved.

    Raises:
        OptionError: an unknown option, a shortcut that stands in no text, a layer that does not
            exist.
        CorpusError: a corpus without labels.
        LabelError: a corpus with a class that the classifier does not have.
        ModelError: the model cannot be repaired in this way.
    """
    check_choice("how", how, WAYS)
    check_choice("edit", edit, EDITS)
    check_number("explained", explained, least=1, whole=True)
    _check_numbers(strength, directions, units, training)
    options = {
        "edit": edit, "anew": anew, "strength": strength, "layer": layer, "directions": directions,
        "oblique": oblique, "units": units, "train_on": train_on,
    }  # fmt: skip
    texts, measured, test_corpus = _texts(classifier, corpus, test, seed)
    named, layers = read_shortcuts(shortcuts, classifier)
    _check_way(layers, how)
    task = RepairTask(
        classifier, texts, [known_class(one, texts) for one in named], layers, options,
        dict(training), seed, batch_tokens, progress,
    )  # fmt: skip
    outcome = WAYS[how](task)
    sides = Sides(classifier, outcome.classifier, batch_tokens)
    compared = _compare(sides, test_corpus, method, explained, progress)
    made = {"how": how, "held_out": test is None, **outcome.made}
    report = _report(task, sides, measured, method, compared, made)
    if outcome.mended is not None:
        report = replace(report, mended=written(corpus, outcome.mended))
    return Repaired(outcome.classifier, report)


def _check_numbers(
    strength: float, directions: int | None, units: int | None, training: Mapping[str, Any]
) -> None:
    check_number("strength", strength, above=0)
    for name, value in (("directions", directions), ("units", units)):
        if value is not None:
            check_number(name, value, least=1, whole=True)
    known = tuple(Schedule.__annotations__)
    if unknown := sorted(set(training) - set(known)):
        raise OptionError(
            f"Unknown option {unknown[0]!r}.", near(unknown[0], known), got=unknown[0], known=known
        )
    Schedule(**training)


def _check_way(layers: Mapping[str, Any], how: str) -> None:
    """Check that a shortcut that is named by the units of layers is to be switched off."""
    if layers and how != "disable":
        raise OptionError(
            f"Got the units {layers!r:.80} with how={how!r}; units of a layer are switched off.",
            "Say how='disable', or name the words that they stand for.",
            option="how",
            got=how,
        )


def _texts(
    classifier: TextClassifier, corpus: Corpus, test: Corpus | None, seed: int
) -> tuple[LabelledTexts, LabelledTexts, Corpus]:
    """The texts to learn from, those to measure on, and these as a corpus."""
    if classifier.multilabel:
        raise OptionError(
            "A classifier whose texts have several labels cannot be repaired: texts of other "
            "classes, in which a shortcut misleads, are not known.",
            option="classifier",
        )
    for one in (corpus, test):
        _check_corpus(classifier, one)
    numbered = replace(corpus, numbers=np.arange(len(corpus)))
    learnt = numbered
    if test is None:
        learnt, test = numbered.split(_TEST, seed)
        rows = test.numbers
    else:
        rows = np.full(len(test), ELSEWHERE)
    assert learnt.numbers is not None
    assert rows is not None
    texts = LabelledTexts.read(classifier, learnt, learnt.numbers)
    return texts, LabelledTexts.read(classifier, test, rows), test


def _check_corpus(classifier: TextClassifier, corpus: Corpus | None) -> None:
    if corpus is None:
        return
    if not isinstance(corpus, Corpus):
        raise OptionError(
            option="corpus",
            got=corpus,
            expected="a seqlrp.Corpus with labels, as seqlrp.load_corpus gives it",
        )
    if corpus.labels is None:
        raise CorpusError(
            f"The corpus {corpus.name} has no labels, expected one a text: without them nobody "
            "knows where a shortcut misleads.",
            code="corpus_without_labels",
        )
    for name in corpus.label_names:
        if name not in classifier.labels:
            raise LabelError(
                f"The corpus {corpus.name} has the class {name!r}, which the classifier has not.",
                near(name, classifier.labels),
                got=name,
                known=classifier.labels,
            )


def _compare(
    sides: Sides, test: Corpus, method: str, explained: int, progress: bool | None
) -> Comparison:
    chosen = np.random.default_rng(0).permutation(len(test))[:explained]
    part = replace(test.part(np.sort(chosen)), numbers=None)
    return compare(
        sides.before, sides.after, part, method=method, names=("before", "after"),
        batch_tokens=sides.batch_tokens, progress=progress,
    )  # fmt: skip


def _report(
    task: RepairTask,
    sides: Sides,
    measured: LabelledTexts,
    method: str,
    compared: Comparison,
    made: dict[str, Any],
) -> RepairReport:
    import pandas as pd

    random = np.random.default_rng([task.seed, 1])
    methods = tuple(chosen_method(side, method, {}) for side in sides[:2])
    rows, recovered = list(whole_rows(sides, measured)), []
    for shortcut in task.shortcuts:
        probes = Probes.make(shortcut, measured, Located(shortcut, task.texts), random)
        own, back = probe_rows(sides, probes)
        rows += [*own, relevance_row(sides, probes, (methods[0], methods[1]))]
        recovered.append((shortcut.name, *back))
    labels = task.classifier.labels
    return RepairReport(
        how=made["how"],
        shortcuts={s.name: labels[s.class_ or 0] for s in task.shortcuts},
        measures=pd.DataFrame(rows, columns=list(COLUMNS)),
        recovered=pd.DataFrame(recovered, columns=["shortcut", "recovered", "low", "high"]),
        comparison=compared,
        made={**made, "seed": task.seed, "method": method, "training": task.training},
    )
