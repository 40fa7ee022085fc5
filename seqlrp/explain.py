"""Where text meets method: texts in, explanations out, in batches and in order."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.batching import batches_by_length
from seqlrp.errors import CorpusError, LabelError, OptionError, TextError, near
from seqlrp.explanation import ALL, Explanation, Explanations
from seqlrp.lrp import Attribution
from seqlrp.lrp.door import resolved_target
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
    target: str | int = "predicted",
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
        labels: the true classes, by index or name, where they are known.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        batch_tokens: the most tokens in a batch, padding included.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method, e.g. `epsilon=0.01`.

    Returns:
        An explanation for each text, in the order of the texts.

    Raises:
        TextError: a text holds no word, or is no string.
        TargetError, LabelError, OptionError: an argument is not among what is known.
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
    target: str | int = "predicted",
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
    if target == "label" and labels is None:
        raise LabelError(
            "target='label' explains the true class, but no labels are given; pass labels=, or "
            "target='predicted'."
        )
    if target not in ("predicted", "label", ALL):
        target = classifier.label_index(target)
    stream, total = _stream(texts, column)
    truths = None if labels is None else iter(labels)
    shown = None if progress is None else not progress
    with tqdm(total=total, desc=f"explaining ({chosen.name})", unit="text", disable=shown) as bar:
        first = 0
        while window := list(islice(stream, _WINDOW)):
            encoded = _encoded(classifier, window, first)
            truth = _truths(classifier, truths, len(encoded), first)
            results: list[Explanation | None] = [None] * len(encoded)
            for batch in batches_by_length([classifier.length(e) for e in encoded], batch_tokens):
                members = [encoded[k] for k in batch]
                known = [truth[k] for k in batch]
                made = _explain_batch(classifier, chosen, members, known, target)
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


def _stream(texts: Any, column: str) -> tuple[Iterator[str], int | None]:
    """Strings one by one, and how many there are if that is known."""
    if isinstance(texts, str):
        texts = [texts]
    elif isinstance(texts, Corpus):
        texts = texts.texts
    elif hasattr(texts, "columns") and hasattr(texts, "iloc"):  # a pandas data frame
        if column not in texts.columns:
            raise CorpusError(
                f"The data frame has no column {column!r}. "
                f"{near(column, map(str, texts.columns))} Say column=."
            )
        texts = texts[column]
    elif hasattr(texts, "column_names"):  # a datasets.Dataset, in memory or streamed
        names = texts.column_names
        if names is not None and column not in names:
            raise CorpusError(
                f"The dataset has no column {column!r}. {near(column, names)} Say column=."
            )
        total = len(texts) if hasattr(texts, "__len__") else None
        return (row[column] for row in texts), total
    total = len(texts) if hasattr(texts, "__len__") else None
    return iter(texts), total


def _encoded(classifier: TextClassifier, texts: Sequence[str], first: int) -> list[EncodedText]:
    for k, text in enumerate(texts):
        if not isinstance(text, str):
            raise TextError(f"Text {first + k} is {type(text).__name__}, expected a string.")
    encoded = list(classifier.encode(texts))
    for k, one in enumerate(encoded):
        if not len(one.ids):
            shown = texts[k][:40]
            raise TextError(f"Text {first + k} holds no word: {shown!a}; leave empty texts out.")
    return encoded


def _truths(
    classifier: TextClassifier, labels: Iterator[int | str] | None, count: int, first: int
) -> list[int | None]:
    if labels is None:
        return [None] * count
    given = list(islice(labels, count))
    if len(given) < count:
        raise LabelError(f"Got {first + len(given)} labels for more texts than that.")
    truths: list[int | None] = []
    for k, label in enumerate(given):
        if isinstance(label, str):
            if label not in classifier.labels:
                raise LabelError(
                    f"Text {first + k} has the label {label!r}, which the classifier has never "
                    f"seen. {near(label, classifier.labels)}"
                )
            truths.append(classifier.labels.index(label))
        else:
            if not 0 <= int(label) < len(classifier.labels):
                raise LabelError(
                    f"Text {first + k} has the label {label}, but the classifier has "
                    f"{len(classifier.labels)} classes, 0 to {len(classifier.labels) - 1}."
                )
            truths.append(int(label))
    return truths


def _explain_batch(
    classifier: TextClassifier,
    method: Method,
    members: list[EncodedText],
    truth: list[int | None],
    target: str | int,
) -> list[Explanation]:
    ids, words = classifier.collate(members)
    ids, words = ids.to(classifier.device), words.to(classifier.device)
    asked: str | int | Tensor = target
    if target == "label":
        asked = torch.tensor([t for t in truth if t is not None], device=classifier.device)
    found = as_classes(classifier, method, ids, ~words, asked)
    relevance, scores = found.relevance.float().cpu(), found.scores.float().cpu()
    targets = None if found.target is None else found.target.tolist()
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


def as_classes(
    classifier: TextClassifier,
    method: Method,
    ids: Tensor,
    padding: Tensor,
    target: str | int | Tensor,
) -> Attribution:
    """An attribution in terms of the classifier's labels.

    A model with one output and two labels speaks for `labels[1]`; what speaks for `labels[0]` is
    the same with the sign changed, as its score is.

    Raises:
        LabelError: the model gives more or fewer scores than there are labels.
    """
    labels = len(classifier.labels)
    single = labels == 2 and _single_output(classifier, ids)
    found = method.attribution(ids, 0 if single else target, padding=padding)
    if not single:
        if found.scores.shape[1] != labels:
            raise LabelError(
                f"The model gives {found.scores.shape[1]} scores a text, but the classifier names "
                f"{labels} labels: {', '.join(classifier.labels)}."
            )
        return found
    scores = torch.cat([-found.scores, found.scores], dim=1)
    wanted = resolved_target(target, scores)
    signs = torch.tensor([-1.0, 1.0], dtype=scores.dtype, device=scores.device)
    ledger = found.ledger
    if wanted is None:
        relevance = found.relevance.unsqueeze(1) * signs.view(1, 2, *[1] * (ids.ndim - 1))
        return Attribution(relevance, scores, None, ledger and ledger.signed(signs.unsqueeze(0)))
    sign = signs[wanted]
    relevance = found.relevance * sign.view(-1, *[1] * (ids.ndim - 1))
    return Attribution(relevance, scores, wanted, ledger and ledger.signed(sign))


def _single_output(classifier: TextClassifier, ids: Tensor) -> bool:
    with torch.no_grad():  # a single word of a single text tells
        scores = classifier.model(ids[(slice(0, 1),) * ids.ndim])
    return isinstance(scores, Tensor) and scores.numel() == 1
