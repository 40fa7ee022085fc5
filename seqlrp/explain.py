"""Where text meets method: texts in, explanations out, in batches and in order."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from seqlrp.attributing import answerable, attributed, differing, strings, true_classes
from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.errors import InputError, LabelError, OptionError, TargetError, near
from seqlrp.explanation import ALL, Explanation, Explanations
from seqlrp.lrp import Attribution
from seqlrp.methods import METHODS, Method
from seqlrp.methods.doubts import Tally, tally_for, tell
from seqlrp.prediction import chances
from seqlrp.targets import Target, checked_target, for_documents, next_targets
from seqlrp.text.corpora import Corpus
from seqlrp.unanswerable import SAME, OnUnanswerable, Unanswerable

if TYPE_CHECKING:
    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier

BATCH_TOKENS = 8192
_ASKED = (
    "target",
    "labels",
    "ids",
    "column",
    "on_unanswerable",
    "batch_tokens",
    "progress",
)  # of `explain` itself
_WINDOW = 4096  # documents sorted by length together: what is held in memory of a stream


def explain(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus | Any,
    method: str | Method = "lrp",
    target: Target = "predicted",
    *,
    labels: Iterable[int | str] | None = None,
    ids: Iterable[Any] | None = None,
    column: str = "text",
    on_unanswerable: OnUnanswerable | Unanswerable = "raise",
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
            A list or an array has a class for each text, and so may a side of a pair.
        labels: the true classes, by index or name, where they are known.
        ids: the caller's names of the texts, kept as `Explanation.id`.
        column: which column of a data frame or `datasets.Dataset` holds the text.
        on_unanswerable: what becomes of texts of which nothing can be asked: those that are missing
            or hold no word, and those with one class on both sides of a pair, such as `("label",
            "predicted")` where the model is right. `"raise"` is an error; `"skip"` leaves them out,
            with one warning that says how many, and the `id` of each explanation is the text's
            number, from 0, where no `ids` are given.
        batch_tokens: the most tokens in a batch, padding included; or `"auto"`, which begins with
            what suits the device, doubles while that is faster, and halves when memory runs out.
            LRP through L recurrent layers of H units in R directions over vectors of D numbers
            holds at most about 4 · (18 D + 15 L R H) bytes a token of a batch in float32 (measured
            on a CPU); for D = 50, H = 64, R = 2 that is 11 kB, and 90 MB for the default.
            Relevance is the same for any batch to the rounding of float32.
        progress: show a bar; None shows one where stderr is a terminal.
        options: passed to the method, e.g. `epsilon=0.01`.

    Returns:
        An explanation for each text that was not left out, in the order of the texts.

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
            ids=ids,
            column=column,
            on_unanswerable=on_unanswerable,
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
    ids: Iterable[Any] | None = None,
    column: str = "text",
    on_unanswerable: OnUnanswerable | Unanswerable = "raise",
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
    ahead: int | None = None,
    numbers: Iterable[int] | None = None,
    **options: Any,
) -> Iterator[Explanation]:
    """As `explain`, one after the other: a stream of any length in bounded memory.

    At most `ahead` texts, 4096 by default, are read before the first of them is explained.
    Where a batch fails, everything before the first text of that batch is given before the error
    is raised. What is left out is warned of at the end, unless the caller hands in an account of
    its own as `on_unanswerable`. `numbers` are those of the texts in their source, where some of it
    was left out before: they are the ids where none are given, and what messages count.
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
        numbers = texts.numbers if numbers is None else numbers
    target = checked_target(classifier, target, labelled=labels is not None, each=True)
    if isinstance(on_unanswerable, Unanswerable):
        unanswerable, told = on_unanswerable, False
    else:
        unanswerable, told = Unanswerable(on_unanswerable), True
    stream, total = strings(texts, column)
    truths = None if labels is None else iter(labels)
    names = None if ids is None else map(str, ids)
    places = None if numbers is None else map(int, numbers)
    shown = None if progress is None else not progress
    with tqdm(total=total, desc=f"explaining ({chosen.name})", unit="text", disable=shown) as bar:
        first, tally = 0, tally_for(chosen)
        while window := list(islice(stream, ahead or _WINDOW)):
            here = range(first, first + len(window))
            called = here if places is None else list(islice(places, len(window)))
            encoded = answerable(classifier, window, called, unanswerable)
            kept = [k for k, number in zip(here, called, strict=True) if number in encoded]
            truth = true_classes(classifier, truths, here, kept)
            asked = next_targets(classifier, target, here, kept)
            if names is None and (unanswerable.skip or places is not None):
                named: list[str | None] = list(map(str, encoded))
            else:
                named = _names(names, here, kept)
            bar.update(len(window) - len(encoded))
            for made in explained_documents(
                classifier,
                chosen,
                list(encoded.values()),
                asked,
                truth,
                list(encoded),
                budget,
                bar,
                ids=named,
                unanswerable=unanswerable,
            ):
                if tally is not None:
                    count(tally, made)
                yield made
            first += len(window)
    tell(chosen, tally, stacklevel=4)
    if told:
        unanswerable.warn(first)
    _check_used_up(truths, "labels", first, LabelError)
    _check_used_up(names, "ids", first, InputError)
    for side in target if isinstance(target, tuple) else (target,):
        _check_used_up(side if isinstance(side, Iterator) else None, "targets", first, TargetError)


def count(tally: Tally, explanation: Explanation) -> None:
    """Add the account of one text, of every class that is explained."""
    every = explanation.target == ALL
    start = explanation.scores if every else explanation.start
    tally.add(explanation.ledger, start)


def _names(names: Iterator[str] | None, texts: range, kept: Sequence[int]) -> list[str | None]:
    """What those of the next texts that are kept are called."""
    if names is None:
        return [None] * len(kept)
    taken = list(islice(names, len(texts)))
    if len(taken) < len(texts):
        raise InputError(f"Got {texts.start + len(taken)} ids for more texts than that.")
    return [taken[number - texts.start] for number in kept]


def _check_used_up(
    given: Iterator[Any] | None, name: str, texts: int, error: type[InputError]
) -> None:
    nothing = object()
    if given is not None and next(given, nothing) is not nothing:
        hint = "; a list has a class for each text, a pair is a tuple" if name == "targets" else ""
        raise error(f"Got more {name} than the {texts} texts{hint}.")


def explained_documents(
    classifier: TextClassifier,
    method: Method,
    documents: Sequence[EncodedText],
    target: Target,
    truth: Sequence[int | None],
    numbers: Sequence[int],
    budget: Budget,
    bar: tqdm[Any],
    *,
    ids: Sequence[str | None] | None = None,
    unanswerable: Unanswerable | None = None,
) -> Iterator[Explanation]:
    """Explain encoded documents in order; where one fails, first give everything before it.

    Args:
        classifier: as for `explain`.
        method: its method.
        documents: all held in memory.
        target: as `checked_target` gives it; with a list for a side that has a class for each
            document.
        truth: the true class of each document where that is known.
        numbers: which of the user's texts the documents are, for messages.
        budget: the most tokens in a batch.
        bar: moved on by a step for each document.
        ids: what the documents are called.
        unanswerable: what becomes of documents with one class on both sides of a pair.
    """
    results: list[Explanation | None] = [None] * len(documents)
    done = [False] * len(documents)
    independent = classifier.independent
    names = [None] * len(documents) if ids is None else ids

    def run(batch: list[int]) -> tuple[list[int], _Found | None]:
        asked = for_documents(target, batch)
        if isinstance(asked, tuple) and unanswerable is not None and unanswerable.skip:
            members, known = [documents[k] for k in batch], [truth[k] for k in batch]
            differ, asked = differing(classifier, method, members, asked, known)
            batch = [batch[i] for i in differ]
        if not batch:
            return batch, None
        members, known = [documents[k] for k in batch], [truth[k] for k in batch]
        found, words = attributed(
            classifier, method, members, asked, known, [numbers[k] for k in batch]
        )
        return batch, _leaving(found, words)

    lengths = [classifier.length(d) for d in documents]
    failure = None
    try:
        for batch, (kept, found) in in_batches(lengths, budget, run, up_to_failure=True):
            if found is not None:
                members = [(documents[k], truth[k], names[k]) for k in kept]
                explained = _explanations(classifier, method, members, found, independent)
                for k, one in zip(kept, explained, strict=True):
                    results[k] = one
            for k in batch:
                done[k] = True
                if unanswerable is not None and results[k] is None:
                    unanswerable.leave_out(numbers[k], SAME)
            bar.update(len(batch))
    except Exception as error:
        failure = error
    before = takewhile(lambda k: done[k], range(len(documents)))
    yield from (made for made in map(results.__getitem__, before) if made is not None)
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
    members: Sequence[tuple[EncodedText, int | None, str | None]],
    found: _Found,
    independent: bool,
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
    probabilities = chances(scores, independent=independent).astype(np.float32)
    parameters = method.parameters
    for row, (document, label, name) in enumerate(members):
        source = document.source
        yield Explanation(
            text=source.text,
            tokens=source.tokens,
            offsets=source.offsets,
            relevance=relevance[row][..., words[row]],
            target=ALL if targets is None else targets[row],
            against=None if against is None else against[row],
            predicted=predicted[row],
            label=label,
            scores=scores[row],
            probabilities=probabilities[row],
            labels=classifier.labels,
            method=method.name,
            parameters=parameters,
            ledger=dict(zip(found.kinds, amounts[row], strict=True)),
            id=name,
        )
