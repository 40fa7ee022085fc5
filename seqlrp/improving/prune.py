"""Prunes a classifier: takes away the units that matter least, and makes it smaller."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn

from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.engine.checks import select_output
from seqlrp.engine.nests import map_tensors
from seqlrp.errors import OptionError, check_choice, check_number
from seqlrp.improving.criteria import CRITERIA, OF_LOSS, Scores, Texts, unit_scores
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.prune_report import PruneReport, measure
from seqlrp.improving.reference_texts import ReferenceTexts, check_labelled, read_texts
from seqlrp.improving.refit import fit_scores, fold, head_of
from seqlrp.improving.retrained import TRAINING_ON, train
from seqlrp.improving.selection import SCOPES, choose
from seqlrp.improving.shrink import Run, shrink, silence_units
from seqlrp.improving.unit_sets import UnitSet, unit_sets
from seqlrp.improving.words import without_words
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.models.optimisation import Schedule
from seqlrp.models.training import seeded
from seqlrp.text.corpora import Corpus
from seqlrp.text.encoded import EncodedText

Integers = npt.NDArray[np.int64]

SHARES = (0.25, 0.5, 0.75, 0.9)  # of the curve
_RUN_ROWS, _RUN_WORDS = 6, 8  # on which a smaller model is compared with the masked one
_RANDOM_DRAWS = 3


class Pruned(NamedTuple):
    """A smaller classifier, and the report of how it was made."""

    classifier: TextClassifier
    report: PruneReport


@dataclass(frozen=True, kw_only=True)
class _Options:
    """The options of `prune`."""

    share: float
    criterion: str
    layers: Sequence[str] | None
    scope: str
    steps: int
    refit: bool
    epochs: int
    seed: int
    batch_tokens: BatchTokens
    progress: bool | None
    method: dict[str, Any]


def prune(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus,
    labels: Iterable[int | str] | None = None,
    *,
    share: float = 0.5,
    criterion: str = "lrp",
    layers: Sequence[str] | None = None,
    references: int = 20,
    scope: str = "global",
    steps: int = 1,
    refit: bool = True,
    epochs: int = 0,
    words: str = "all",
    compare: Sequence[str] = ("random",),
    shares: Sequence[float] = SHARES,
    seed: int = 0,
    batch_tokens: BatchTokens = 4096,
    progress: bool | None = None,
    **options: Any,
) -> Pruned:
    """Take away the units that matter least to a classifier, and give a smaller one.

    Some of the texts are references, by which units are scored and scores are fitted; the others
    measure what was lost. Where what reads a layer cannot be made smaller, the layer keeps its
    size, its units are silent, and the report says why.

    Args:
        classifier: the classifier, which is not changed.
        texts: texts of the kind that it is for; a `Corpus` has its labels with it.
        labels: the class of each text, by index or name. Without them references are drawn by the
            predicted class, and the report says how often answers stayed the same.
        share: of the units that are taken away, above 0 and below 1.
        criterion: how units are scored, see `seqlrp.improving.criteria.unit_scores`: "lrp",
            "absolute", "signed", "positive" (relevance, Yeom 2021), "gradient_x_unit",
            "gradient", "taylor", "weight" or "random".
        layers: names of modules whose units may go: recurrent layers and cells, linear layers,
            convolutions, embeddings (their dimensions); by default all recurrent layers.
        references: texts of each class, the most, by which units are scored.
        scope: "global" ranks the units of all layers together, "layer" takes the share of each.
        steps: takes units away in so many steps, each with new scores.
        refit: fit the scores to those of the full model, by one scale and an offset for each class
            that are folded into the last layer; not where it is trained on.
        epochs: trains on for so many passes over the texts, those that measure left out, after each
            step; 0 does not train.
        words: "seen" takes away the words that are in none of the texts; they become unknown.
        compare: other criteria in the curve of the report.
        shares: at which the curve is measured, besides `share`.
        seed: of the draw of references and of "random".
        batch_tokens: the most tokens in a batch.
        progress: show bars; None shows them where standard error is a terminal.
        options: of LRP, for the criteria of relevance.

    Returns:
        the smaller classifier, which saves and loads as any other, and the report.

    Raises:
        OptionError: an option has a value that is not allowed, or the criterion needs labels.
        TextError: there are no texts.
        LabelError: there are more or fewer labels than texts, or an unknown one.
        ModelError: a layer is of no kind whose units can be taken away; or the scores are not the
            output of a linear layer, which the refit needs.
    """
    _check(share, criterion, references, scope, steps, words, compare, shares)
    check_number("epochs", epochs, least=0, whole=True)
    sets = unit_sets(classifier.model, layers)
    data = read_texts(classifier, texts, labels, references, seed, batch_tokens)
    check_labelled(data, (criterion, *compare), OF_LOSS, epochs)
    asked = _Options(
        share=share, criterion=criterion, layers=layers, scope=scope, steps=steps, refit=refit,
        epochs=epochs, seed=seed, batch_tokens=batch_tokens, progress=progress, method=options,
    )  # fmt: skip
    found, masked = _prune(classifier, data, asked)
    if words == "seen":
        found = without_words(found, data.documents)
    report = PruneReport(
        settings={
            "criterion": criterion, "share": share, "scope": scope, "steps": steps,
            "refit": refit, "epochs": epochs, "words": words, "references": len(data.references),
            "measured": len(data.measured), "labelled": data.labelled, "seed": seed,
        },
        layers=_layers_table(classifier, found, sets, masked),
        sizes=measure(classifier, found, data.part(data.measured), data.labelled, batch_tokens),
        curve=_curve(classifier, data, sets, asked, compare, shares),
    )  # fmt: skip
    return Pruned(found, report)


def _check(
    share: float,
    criterion: str,
    references: int,
    scope: str,
    steps: int,
    words: str,
    compare: Sequence[str],
    shares: Sequence[float],
) -> None:
    check_number("share", share, above=0, below=1)
    check_choice("criterion", criterion, CRITERIA)
    check_number("references", references, least=1, whole=True)
    check_choice("scope", scope, SCOPES)
    check_number("steps", steps, least=1, whole=True)
    check_choice("words", words, ("all", "seen"))
    if isinstance(compare, str):
        raise OptionError(option="compare", got=compare, expected=f"a list: [{compare!r}]")
    for name in compare:
        check_choice("compare", name, CRITERIA)
    for number in shares:
        check_number("shares", number, above=0, below=1)


def probe_run(classifier: TextClassifier) -> Run:
    """Give a function that scores some rows of random words by a model of float64."""
    draw = torch.Generator().manual_seed(0)
    length = classifier.pad_to or _RUN_WORDS
    shape = (_RUN_ROWS, length) if classifier.layout == "words" else (_RUN_ROWS, 4, length)
    vocabulary = classifier.vocabulary
    known = [id_ for id_ in range(len(vocabulary)) if id_ != vocabulary.pad]
    ids = torch.tensor(known)[torch.randint(len(known), shape, generator=draw)]
    words = torch.ones(shape, dtype=torch.bool)
    for row in range(1, _RUN_ROWS // 2):  # some rows are shorter
        padding = min(row, length - 1)
        right = slice(length - padding, None)
        words[row, ..., right if classifier.pad_side == "right" else slice(padding)] = False
    ids = ids.masked_fill(~words, vocabulary.pad).to(classifier.device)
    additional = map_tensors(
        classifier.arguments(ids, words.to(classifier.device)),
        lambda t: t.double() if t.is_floating_point() else t,
    )

    def run(model: nn.Module) -> Tensor:
        scores: Tensor = select_output(model(ids, *additional), None)
        return scores

    return run


def _prune(
    classifier: TextClassifier, data: ReferenceTexts, asked: _Options
) -> tuple[TextClassifier, dict[str, str]]:
    """Take units away in steps; give the classifier, and why modules kept their size."""
    texts = data.part(data.references)
    run = probe_run(classifier)
    current, masked = classifier, dict[str, str]()
    silent: dict[UnitSet, Tensor] = {}
    for step in range(asked.steps):
        sets = unit_sets(current.model, asked.layers)
        scores = _scores(current, texts, sets, asked.criterion, asked.seed + step, asked)
        left = 1 - asked.share * step / asked.steps
        now = 1 - (1 - asked.share * (step + 1) / asked.steps) / left
        gone = choose(scores, now, asked.scope, silent)
        smaller = shrink(current.model, gone, run)
        masked |= smaller.masked
        silent = {units: rows for units, rows in gone.items() if units.module in masked}
        current = replace(current, model=_settled(smaller.model))
        if asked.epochs:
            _train_on(current, data, asked, step)
            with_silence = silence_units(current.model, silent)
            current = replace(current, model=_settled(with_silence))
    if asked.refit and not asked.epochs:
        head = head_of(current.model, run)
        fit(current, classifier, texts.documents, head, asked.batch_tokens)
    return replace(current, model=_settled(current.model)), masked


def _train_on(classifier: TextClassifier, data: ReferenceTexts, asked: _Options, step: int) -> None:
    """Train on all texts but those that measure, in place."""
    rows = np.setdiff1d(np.arange(len(data.documents)), data.measured)
    own = data.part(rows)
    texts = LabelledTexts(classifier, own.documents, own.classes, rows)
    options: dict[str, Any] = {"epochs": asked.epochs, "patience": asked.epochs}
    schedule = Schedule(**TRAINING_ON | options, seed=asked.seed + step)
    with seeded(schedule.seed, classifier.device):
        train(classifier, texts, None, schedule, progress=asked.progress)


def _settled(model: nn.Module) -> nn.Module:
    if isinstance(model, RecurrentClassifier):
        model.adopt_sizes()
    return model.eval()


def fit(
    pruned: TextClassifier,
    full: TextClassifier,
    documents: Sequence[EncodedText],
    head: str,
    batch_tokens: BatchTokens,
) -> None:
    """Fit the scores of a pruned classifier to those of the full one, in place."""
    budget = Budget(batch_tokens, full.device)
    outputs = pruned.model.get_submodule(head).weight.shape[0]  # type: ignore[index]
    # A single output is the score of the second of two labels.
    p, f = (c.all_scores(documents, budget)[:, -int(outputs) :] for c in (pruned, full))
    fold(pruned.model, head, *fit_scores(p.astype(np.float64), f.astype(np.float64)))


def _scores(
    classifier: TextClassifier,
    texts: Texts,
    sets: Sequence[UnitSet],
    criterion: str,
    seed: int,
    asked: _Options,
) -> Scores:
    return unit_scores(
        classifier, texts, sets, criterion, seed=seed, batch_tokens=asked.batch_tokens,
        progress=asked.progress, **asked.method,
    )  # fmt: skip


def _layers_table(
    classifier: TextClassifier,
    smaller: TextClassifier,
    sets: Sequence[UnitSet],
    masked: dict[str, str],
) -> pd.DataFrame:
    after = {
        (units.module, units.suffix, units.part): units.size
        for units in unit_sets(smaller.model, list(dict.fromkeys(u.module for u in sets)))
    }
    rows = [
        {
            "layer": units.name,
            "units": units.size,
            "left": after[units.module, units.suffix, units.part],
            "masked": masked.get(units.module, ""),
        }
        for units in sets
    ]
    return pd.DataFrame(rows)


def _curve(
    classifier: TextClassifier,
    data: ReferenceTexts,
    sets: Sequence[UnitSet],
    asked: _Options,
    compare: Sequence[str],
    shares: Sequence[float],
) -> pd.DataFrame:
    """Measure what is left with units of each criterion silent, by the share that is silent."""
    texts, measured = data.part(data.references), data.part(data.measured)
    head = head_of(classifier.model, probe_run(classifier)) if asked.refit else ""
    budget = Budget(asked.batch_tokens, classifier.device)
    full = classifier.all_scores(measured.documents, budget).argmax(axis=1)
    rows = [_row("all units", 0.0, 0.0, full, full, measured)]
    for name in dict.fromkeys((asked.criterion, *compare)):
        for seed in range(_RANDOM_DRAWS if name == "random" else 1):
            scores = _scores(classifier, texts, sets, name, asked.seed + seed, asked)
            for share in sorted({*shares, asked.share}):
                gone = choose(scores, share, asked.scope)
                pruned = replace(classifier, model=silence_units(classifier.model, gone))
                if asked.refit:
                    fit(pruned, classifier, texts.documents, head, asked.batch_tokens)
                found = pruned.all_scores(measured.documents, budget).argmax(axis=1)
                removed = sum(map(len, gone.values())) / sum(u.size for u in sets)
                rows.append(_row(name, share, removed, found, full, measured))
    table = pd.DataFrame(rows)
    if not data.labelled:
        table["accuracy"] = np.nan
    return table.groupby(["criterion", "share"], sort=False, as_index=False).mean()


def _row(
    criterion: str, share: float, removed: float, found: Integers, full: Integers, texts: Texts
) -> dict[str, Any]:
    return {
        "criterion": criterion,
        "share": share,
        "removed": removed,
        "accuracy": float((found == texts.classes).mean()),
        "agreement": float((found == full).mean()),
    }
