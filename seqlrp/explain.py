"""Where text meets method: texts in, explanations out, in batches and in order."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.attributing import (
    Target,
    attributed,
    checked_target,
    encoded_texts,
    strings,
    true_classes,
)
from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.errors import LabelError, OptionError, near
from seqlrp.explanation import ALL, Explanation, Explanations
from seqlrp.lrp import Attribution
from seqlrp.methods import METHODS, Method
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

BATCH_TOKENS = 8192
_ASKED = ("target", "labels", "column", "batch_tokens", "progress")  # of `explain` itself
_WINDOW = 4096  # documents sorted by length together: what is held in memory of a stream


def explain(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    method: str | Method = "lrp",
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    column: str = "text",
    batch_tokens: BatchTokens = BATCH_TOKENS,
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
        batch_tokens: the most tokens in a batch, padding included; or `"auto"`, which begins with
            what suits the device, doubles while that is faster, and halves when memory runs out.
            LRP through L recurrent layers of H units in R directions over vectors of D numbers
            holds at most about 4 · (18 D + 15 L R H) bytes a token of a batch in float32 (measured
            on a CPU); for D = 50, H = 64, R = 2 that is 11 kB, and 90 MB for the default.
            Relevance is the same for any batch to the rounding of float32.
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
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
    ahead: int | None = None,
    **options: Any,
) -> Iterator[Explanation]:
    """As `explain`, one after the other: a stream of any length in bounded memory.

    At most `ahead` texts, 4096 by default, are read before the first of them is explained.
    Where a batch fails, everything before the first text of that batch is given before the error
    is raised.
    """
    if not hasattr(classifier, "collate"):
        raise OptionError(
            f"Got a {type(classifier).__name__} for the classifier; expected a model together with "
            f"its vocabulary and labels: seqlrp.TextClassifier(model, vocabulary, labels)."
        )
    budget = Budget(batch_tokens, classifier.device)
    chosen = chosen_method(classifier, method, options)
    if isinstance(texts, Corpus):
        labels = label_names(texts) if labels is None else labels
    target = checked_target(classifier, target, labelled=labels is not None)
    stream, total = strings(texts, column)
    truths = None if labels is None else iter(labels)
    shown = None if progress is None else not progress
    with tqdm(total=total, desc=f"explaining ({chosen.name})", unit="text", disable=shown) as bar:
        first = 0
        while window := list(islice(stream, ahead or _WINDOW)):
            encoded = encoded_texts(classifier, window, first)
            truth = true_classes(classifier, truths, len(encoded), first)
            numbers = range(first, first + len(encoded))
            yield from explained_documents(
                classifier, chosen, encoded, target, truth, numbers, budget, bar
            )
            first += len(window)
        if truths is not None and next(truths, None) is not None:
            raise LabelError(f"Got more labels than the {first} texts.")


def explained_documents(
    classifier: TextClassifier,
    method: Method,
    documents: Sequence[EncodedText],
    target: Target,
    truth: Sequence[int | None],
    numbers: Sequence[int],
    budget: Budget,
    bar: tqdm[Any],
) -> Iterator[Explanation]:
    """Explain encoded documents in order; where one fails, first give everything before it.

    Args:
        classifier: as for `explain`.
        method: its method.
        documents: all held in memory.
        target: as `checked_target` gives it.
        truth: the true class of each document where that is known.
        numbers: which of the user's texts the documents are, for messages.
        budget: the most tokens in a batch.
        bar: moved on by a step for each document.
    """
    results: list[Explanation | None] = [None] * len(documents)

    def run(batch: list[int]) -> _Found:
        members, known = [documents[k] for k in batch], [truth[k] for k in batch]
        found, words = attributed(
            classifier, method, members, target, known, [numbers[k] for k in batch]
        )
        return _leaving(found, words)

    lengths = [classifier.length(d) for d in documents]
    failure = None
    try:
        for batch, found in in_batches(lengths, budget, run, up_to_failure=True):
            members, known = [documents[k] for k in batch], [truth[k] for k in batch]
            for k, made in zip(
                batch, _explanations(classifier, method, members, known, found), strict=True
            ):
                results[k] = made
            bar.update(len(batch))
    except Exception as error:
        failure = error
    yield from takewhile(lambda made: made is not None, results)
    if failure is not None:
        raise failure


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
            f"Method {method!r} takes no option {wrong!r}. {near(wrong, [*_ASKED, *known])}"
        ) from error


class _Found(NamedTuple):
    """What the method found in one batch, on the CPU or on its way there."""

    relevance: Tensor  # [B, T], or [B, C, T] for all classes, float32
    scores: Tensor  # [B, C], float32
    words: Tensor  # bool, as the ids
    target: Tensor | None
    against: Tensor | None
    kinds: tuple[str, ...]  # of the ledger
    amounts: Tensor | None  # [kinds, B], or [kinds, B, C], float64
    arrived: torch.cuda.Event | None


def _leaving(found: Attribution, words: Tensor) -> _Found:
    """Send results to the CPU; from CUDA into pinned memory, while the next batch is begun."""
    cuda = found.relevance.is_cuda
    totals = {} if found.ledger is None else found.ledger.totals
    amounts = torch.stack(list(totals.values())) if totals else None

    def sent(tensor: Tensor) -> Tensor:
        return tensor.to("cpu", non_blocking=cuda)

    relevance, scores = sent(found.relevance.float()), sent(found.scores.float())
    target, against, amounts = (
        None if t is None else sent(t) for t in (found.target, found.against, amounts)
    )
    arrived = None
    if cuda:
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record(torch.cuda.current_stream(found.relevance.device))
    return _Found(relevance, scores, words, target, against, tuple(totals), amounts, arrived)


def _explanations(
    classifier: TextClassifier,
    method: Method,
    members: Sequence[EncodedText],
    truth: Sequence[int | None],
    found: _Found,
) -> Iterator[Explanation]:
    if found.arrived is not None:
        found.arrived.synchronize()
    relevance, words, scores = found.relevance.numpy(), found.words.numpy(), found.scores.numpy()
    targets = None if found.target is None else found.target.tolist()
    against = None if found.against is None else found.against.tolist()
    amounts = [()] * len(members)
    if found.amounts is not None:
        amounts = found.amounts.transpose(0, 1).tolist()
    predicted = scores.argmax(1).tolist()
    parameters = method.parameters
    for row, member in enumerate(members):
        source = member.source
        yield Explanation(
            text=source.text,
            tokens=source.tokens,
            offsets=source.offsets,
            relevance=relevance[row][..., words[row]],
            target=ALL if targets is None else targets[row],
            against=None if against is None else against[row],
            predicted=predicted[row],
            label=truth[row],
            scores=scores[row],
            labels=classifier.labels,
            method=method.name,
            parameters=parameters,
            ledger=dict(zip(found.kinds, amounts[row], strict=True)),
        )
