"""Where text meets method: texts in, explanations out, in batches and in order."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from seqlrp.attributing import (
    Target,
    attributed,
    checked_target,
    encoded_texts,
    strings,
    true_classes,
)
from seqlrp.batching import batches_by_length
from seqlrp.errors import LabelError, OptionError, near
from seqlrp.explanation import ALL, Explanation, Explanations
from seqlrp.methods import METHODS, Method
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    from seqlrp.text_classifier import EncodedText, TextClassifier

BATCH_TOKENS = 8192
_WINDOW = 4096  # documents sorted by length together: what is held in memory of a stream


def explain(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    method: str | Method = "lrp",
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    column: str = "text",
    batch_tokens: int = BATCH_TOKENS,
    progress: bool | None = None,
    **options: Any,
) -> Explanations:
    """Explain every text: relevance of each word for the score of a class, in one pass.

    Args:
        classifier: a loaded or trained classifier, or your own model in a `TextClassifier`.
        texts: a list or any iterator of strings, a `Corpus`, a pandas data frame, or a
            `datasets.Dataset`.
        method: a name in `seqlrp.METHODS`, or an object with `attribution`.
        target: `"predicted"`, `"label"` (the true class), a class by index or name, or `"all"`.
            A pair such as `("positive", "negative")` or `("label", "predicted")` asks why this
            class rather than that: relevance of the difference of their scores, positive for the
            first and negative for the second. A model with one output s and two labels has the
            scores [-s, s], and so ("second label", "first label") gives relevance of 2s, twice
            that of "second label" alone, and the other way round of -2s.
        labels: the true classes, by index or name, where they are known.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        batch_tokens: the most tokens in a batch, padding included.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method, e.g. `epsilon=0.01`.

    Returns:
        An explanation for each text, in the order of the texts.

    Raises:
        TextError: a text holds no word, or is no string.
        TargetError: no such class, or both sides of a pair are the same one for a text.
        LabelError, OptionError: an argument is not among what is known.
        ModelError: the model cannot be explained.
    """
    return Explanations(
        explained(
            classifier,
            texts,
            method,
            target,
            labels=labels,
            column=column,
            batch_tokens=batch_tokens,
            progress=progress,
            **options,
        )
    )


def explained(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    method: str | Method = "lrp",
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    column: str = "text",
    batch_tokens: int = BATCH_TOKENS,
    progress: bool | None = None,
    **options: Any,
) -> Iterator[Explanation]:
    """As `explain`, one after the other: a stream of any length in bounded memory."""
    if batch_tokens < 1:
        raise OptionError(f"Got batch_tokens {batch_tokens}; expected at least 1.")
    chosen = chosen_method(classifier, method, options)
    if isinstance(texts, Corpus):
        labels = label_names(texts) if labels is None else labels
    target = checked_target(classifier, target, labelled=labels is not None)
    stream, total = strings(texts, column)
    truths = None if labels is None else iter(labels)
    shown = None if progress is None else not progress
    with tqdm(total=total, desc=f"explaining ({chosen.name})", unit="text", disable=shown) as bar:
        first = 0
        while window := list(islice(stream, _WINDOW)):
            encoded = encoded_texts(classifier, window, first)
            truth = true_classes(classifier, truths, len(encoded), first)
            results: list[Explanation | None] = [None] * len(encoded)
            for batch in batches_by_length([classifier.length(e) for e in encoded], batch_tokens):
                members = [encoded[k] for k in batch]
                known = [truth[k] for k in batch]
                numbers = [first + k for k in batch]
                made = _explain_batch(classifier, chosen, members, target, known, numbers)
                for k, explanation in zip(batch, made, strict=True):
                    results[k] = explanation
                bar.update(len(batch))
            yield from (r for r in results if r is not None)
            first += len(window)
        if truths is not None and next(truths, None) is not None:
            raise LabelError(f"Got more labels than the {first} texts.")


def label_names(corpus: Corpus) -> list[str] | None:
    """The true class of each text of a corpus by name, or None if they are not known."""
    if corpus.labels is None:
        return None
    return [corpus.label_names[label] for label in corpus.labels]


def chosen_method(
    classifier: TextClassifier, method: str | Method, options: dict[str, Any]
) -> Method:
    """The method by its name, made for the classifier's model, or the object that was given."""
    if not isinstance(method, str):
        if options:
            raise OptionError(
                f"Options {sorted(options)} go to a method that is named, but an object was given; "
                f"make it with its options."
            )
        return method
    if method not in METHODS:
        raise OptionError(f"There is no method {method!r}. {near(method, METHODS)}")
    try:
        return METHODS[method](classifier.model, **options)
    except TypeError as error:
        wrong = next((name for name in options if f"'{name}'" in str(error)), None)
        known = [p for p in inspect.signature(METHODS[method]).parameters if p != "model"]
        if wrong is None:
            raise
        raise OptionError(
            f"Method {method!r} takes no option {wrong!r}. {near(wrong, known)}"
        ) from error


def _explain_batch(
    classifier: TextClassifier,
    method: Method,
    members: list[EncodedText],
    target: Target,
    truth: list[int | None],
    numbers: list[int],
) -> list[Explanation]:
    found, words = attributed(classifier, method, members, target, truth, numbers)
    relevance, scores = found.relevance.float().cpu(), found.scores.float().cpu()
    targets = None if found.target is None else found.target.tolist()
    against = None if found.against is None else found.against.tolist()
    ledgers: dict[str, Any] = {}
    if found.ledger is not None:
        ledgers = {kind: amounts.tolist() for kind, amounts in found.ledger.totals.items()}
    kept = words.cpu()
    made = []
    for row, member in enumerate(members):
        source = member.source
        share = {
            kind: tuple(amounts[row]) if targets is None else amounts[row]
            for kind, amounts in ledgers.items()
        }
        made.append(
            Explanation(
                text=source.text,
                tokens=source.tokens,
                offsets=source.offsets,
                relevance=relevance[row][..., kept[row]].numpy(),
                target=ALL if targets is None else targets[row],
                against=None if against is None else against[row],
                predicted=int(scores[row].argmax()),
                label=truth[row],
                scores=scores[row].numpy(),
                labels=classifier.labels,
                method=method.name,
                parameters=method.parameters,
                ledger=share,
            )
        )
    return made
