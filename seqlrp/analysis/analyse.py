"""`analyse`: explain a corpus, and find the words of its classes, strategies and shortcuts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from seqlrp.analysis.checkpoint import Checkpoint
from seqlrp.analysis.class_words import class_words
from seqlrp.analysis.corpus_analysis import CorpusAnalysis
from seqlrp.analysis.known import KnownExplanations
from seqlrp.analysis.scikit import scikit
from seqlrp.analysis.shortcuts import COLUMNS, find_shortcuts
from seqlrp.analysis.strategies import SAMPLE, Strategies, find_strategies
from seqlrp.analysis.terms import count_terms
from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import InputError, OptionError
from seqlrp.explaining.explain import BATCH_TOKENS, chosen_method, iter_explanations
from seqlrp.explaining.skipped import OnUnanswerable, SkippedTexts
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation
from seqlrp.methods import Method
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier

_PART = 1024  # texts that are explained before they are kept


def analyse(
    classifier: TextClassifier,
    corpus: Corpus | Iterable[str] | Explanations,
    *,
    method: str | Method = "lrp",
    candidates: Iterable[str] = (),
    shortcuts: bool = True,
    strategies: dict[str, Any] | None = None,
    out: str | os.PathLike[str] | None = None,
    on_unanswerable: OnUnanswerable = "skip",
    batch_tokens: BatchTokens = BATCH_TOKENS,
    seed: int = 0,
    progress: bool | None = None,
    **options: Any,
) -> CorpusAnalysis:
    """Find what a classifier looks at over a whole corpus, and prove what it needs.

    The texts are explained for their predicted classes. From that come the words of each class,
    the strategies within each class (clusters of texts that are decided alike), and candidates for
    shortcuts, each of which is removed from texts and inserted into others, against control words.

    Args:
        classifier: the classifier.
        corpus: the texts, preferably labelled, and not those that the classifier was trained on. Or
            `Explanations` of them, which are then not made again: of more than 20,000 a sample is
            analysed, up to 2,000 texts of each class (`strategies={"sample": …}`) that are drawn in
            one pass, and all are assigned to its strategies, `CorpusAnalysis.assigned`.
        method: a name in `seqlrp.METHODS`, or an object with `attribution`.
        candidates: words and phrases to try besides those that are found; `"a + b"` for two words
            that are tried together.
        shortcuts: False leaves the interventions out.
        strategies: options of `seqlrp.analysis.strategies.find_strategies`, e.g. `{"clusters": 8}`.
        out: the folder of the report. What is finished is kept there, in `unfinished`, until the
            end, so that the same call goes on after an interruption.
        on_unanswerable: texts without a word are left out ("skip"), with a warning, or are errors
            ("raise").
        batch_tokens: the most tokens in a batch, padding included; or "auto".
        seed: of the samples, the clusters, the map and the interventions.
        progress: show bars; None shows them where standard error is a terminal.
        options: of the method, e.g. `epsilon=0.01`.

    Returns:
        Tables, a summary, plots and a page; `save` writes them all into a folder.

    Raises:
        InputError: no text to analyse, or explanations of other classes than the predicted ones.
        OptionError: an option that is not known or not allowed.
        MissingPackageError: scikit-learn is not installed.
        WriteError: `out` cannot be written to.
    """
    scikit("neighbors")  # what is missing is said before anything is explained
    candidates = [candidates] if isinstance(candidates, str) else list(candidates)
    given = {"seed": seed, **(strategies or {})}
    known = None
    if isinstance(corpus, Explanations):
        known = KnownExplanations(classifier, corpus, given.get("sample", SAMPLE), given["seed"])
        known.check_method(method, options)
        corpus, about = known.corpus, known.made
    else:
        corpus = _as_corpus(corpus)
        chosen = chosen_method(classifier, method, options)
        about = {
            "corpus": corpus.name, "method": chosen.name, "parameters": dict(chosen.parameters)
        }  # fmt: skip
    asked = {"candidates": candidates, "shortcuts": shortcuts, "strategies": given, "seed": seed}
    made = {**about, **asked}
    kept = None if out is None else Checkpoint(Path(out), classifier, corpus, made)
    if known is not None:
        explanations = known.explanations
    else:
        skipped = SkippedTexts(on_unanswerable)
        explanations = _explained(classifier, corpus, chosen, kept, skipped, batch_tokens, progress)
    terms = count_terms(explanations)
    words = class_words(explanations, terms=terms)
    found = _strategies(explanations, classifier, kept, {**given, "terms": terms}, progress)
    table = _shortcuts(
        classifier, explanations, words, found, candidates, shortcuts, kept, seed, batch_tokens,
        progress,
    )  # fmt: skip
    assigned = None if known is None else known.assign(found, progress)
    made["texts"], made["left_out"] = len(explanations), len(corpus) - len(explanations)
    if kept is not None:
        kept.remove()
    return CorpusAnalysis(words, found, table, explanations, made, assigned, classifier)


def _strategies(
    explanations: Explanations,
    classifier: TextClassifier,
    kept: Checkpoint | None,
    given: dict[str, Any],
    progress: bool | None,
) -> Strategies:
    """Find the strategies, or read what was found before."""
    found = None if kept is None else kept.read_strategies()
    if found is None:
        found = find_strategies(explanations, classifier, progress=progress, **given)
        if kept is not None:
            kept.write_strategies(found)
    return found


def _shortcuts(
    classifier: TextClassifier,
    explanations: Explanations,
    words: pd.DataFrame,
    found: Strategies,
    candidates: list[str],
    wanted: bool,
    kept: Checkpoint | None,
    seed: int,
    batch_tokens: BatchTokens,
    progress: bool | None,
) -> pd.DataFrame:
    if not wanted:
        import pandas as pd

        return pd.DataFrame({name: [] for name in COLUMNS}).astype(COLUMNS)
    more: dict[str, Any] = {} if kept is None else {"known": kept.proof, "note": kept.note}
    return find_shortcuts(
        explanations, classifier, words, found, candidates=candidates, seed=seed,
        batch_tokens=batch_tokens, progress=progress, **more,
    )  # fmt: skip


def _as_corpus(corpus: Corpus | Iterable[str]) -> Corpus:
    if isinstance(corpus, Corpus):
        return corpus
    if isinstance(corpus, str):
        raise OptionError(
            f"Got {corpus!r:.60} for the corpus; expected a Corpus or a list of texts. "
            "seqlrp.load_corpus(name) loads one by its name.",
            option="corpus",
            got=corpus,
        )
    return Corpus("texts", list(corpus), None, ())


def _explained(
    classifier: TextClassifier,
    corpus: Corpus,
    method: Method,
    kept: Checkpoint | None,
    skipped: SkippedTexts,
    batch_tokens: BatchTokens,
    progress: bool | None,
) -> Explanations:
    """Explain all texts, part by part; parts that were kept are read."""

    def parts(bar: Any) -> Iterator[Explanation]:
        for number, start in enumerate(range(0, len(corpus), _PART)):
            part = corpus.part(slice(start, start + _PART))
            held = None if kept is None else kept.read_part(number)
            if held is None:
                numbers = range(start, start + len(part)) if part.numbers is None else None
                held = []
                for explanation in iter_explanations(
                    classifier, part, method, on_unanswerable=skipped, numbers=numbers,
                    batch_tokens=batch_tokens, progress=False,
                ):  # fmt: skip
                    held.append(explanation)
                    bar.update()
                if kept is not None:
                    kept.write_part(number, held)
            else:
                bar.update(len(held))
            yield from held

    hidden = None if progress is None else not progress
    description = f"explaining ({method.name})"
    with tqdm(total=len(corpus), desc=description, unit="text", disable=hidden) as bar:
        explanations = Explanations(parts(bar))
    skipped.warn(len(corpus))
    if not explanations:
        raise InputError("There is no text with a word in it to analyse.")
    return explanations
