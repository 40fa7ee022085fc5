"""Finds words with relevance that the model does not read, and others that it needs.

A model may overwrite ids, cut texts off or put words in another order, and an explanation that
credits a word in a wrong place looks as plausible as a right one. So a few words with relevance are
replaced by other words, one at a time. A word is *read* if anything that the model computes reacts,
to the last bit: a floating argument of a function that does more than move values, or a score. A
word that is not read must have no relevance.

That a score does not react says little: behind a dead rectifier, a maximum or a saturated gate,
relevance may rightly go to a word whose exchange changes no score. So the scores alone do not
decide, and what is merely looked up or moved does not count: the vector of a word that is then
overwritten by that of another is not read.

Words without relevance are tried, too: *uncredited* is one with which the score changes, whichever
word takes its place. That may be right, as where a maximum does not choose it, but would choose the
other words; or the model asks for that word, in a way that is not followed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqlrp.engine.functions import Kind, identify
from seqlrp.engine.nests import tensors_in
from seqlrp.engine.twins import same_random_state
from seqlrp.models.classifier import Batch

if TYPE_CHECKING:
    from seqlrp.explaining.questions import Question
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText

REPLACEMENTS = 3  # words that take the place of one, until the model reacts
LEAST = 1e-6  # relevance below this share of the strongest word's may be rounding
CHANGED = 1e-3  # a change of the scores, as a share of the largest, that is more than rounding
# These hand values on as they are.
_MOVING = frozenset(
    (
        Kind.LOOKUP, Kind.MOVE, Kind.CAST, Kind.ASSIGNMENT, Kind.COPY, Kind.FILL, Kind.SAME,
        Kind.QUESTION, Kind.ANSWER, Kind.COUNT, Kind.DROPOUT,
    )
)  # fmt: skip


class UnreadWord(NamedTuple):
    """A word that has relevance, and that the model does not read.

    Attributes:
        document: the number of the text, from 0 on.
        place: the number of the token in the text, from 0 on.
        word: the token.
        relevance: its relevance, in units of the score.
    """

    document: int
    place: int
    word: str
    relevance: float


class UncreditedWord(NamedTuple):
    """A word that has no relevance, and with which the score changes.

    Attributes:
        document: the number of the text, from 0 on.
        place: the number of the token in the text, from 0 on.
        word: the token.
        change: the smallest change of a score that was found, where another word took its place.
    """

    document: int
    place: int
    word: str
    change: float


class Relevant(NamedTuple):
    """A word that is tried: see `UnreadWord`; `number` is that of its question."""

    number: int
    place: int
    relevance: float


class FloatingArguments(TorchFunctionMode):
    """Records digests of the floating arguments of functions that compute, in order."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.seen: list[bytes] = []
        self._weights = {p.data_ptr() for p in model.parameters()}

    def note(self, value: Any) -> None:
        """Record the floating tensors in a value, but for the weights of the model."""
        with torch._C.DisableTorchFunction():
            for tensor in tensors_in(value):
                if not tensor.dtype.is_floating_point or tensor.layout is not torch.strided:
                    continue
                if tensor.data_ptr() not in self._weights:
                    numbers = tensor.detach().reshape(-1).contiguous().view(torch.uint8)
                    self.seen.append(
                        blake2b(numbers.cpu().numpy().tobytes(), digest_size=16).digest()
                    )

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        entry = identify(function)
        if entry is None or entry.kind not in _MOVING:
            self.note((args, kwargs))
        return function(*args, **kwargs)


def words_to_try(
    relevance: Sequence[Sequence[float]], most: int, *, without: bool = False
) -> list[Relevant]:
    """Choose at most `most` words that have relevance, by chance but always the same.

    Args:
        relevance: that of each word of each text.
        most: how many are chosen.
        without: choose words that have no relevance instead.
    """
    found = [
        Relevant(number, place, float(amount))
        for number, amounts in enumerate(relevance)
        for place, amount in enumerate(amounts)
        if (abs(amount) > LEAST * max(map(abs, amounts))) != without
    ]
    if len(found) <= most:
        return found
    chosen = np.random.default_rng(0).choice(len(found), most, replace=False)
    return [found[k] for k in sorted(chosen)]


def find_unread(
    classifier: TextClassifier, questions: Sequence[Question], words: Sequence[Relevant], most: int
) -> tuple[list[UnreadWord], int]:
    """Return the words that the model does not read, and how many words were tried.

    Args:
        classifier: the classifier.
        questions: the texts.
        words: the words to be tried, text by text.
        most: the most texts with a replaced word that the model reads.
    """

    def no_reaction(one: list[bytes], other: list[bytes]) -> float | None:
        return 0.0 if one == other else None

    found, tried = _find(classifier, questions, words, most, _record, no_reaction, least=1)
    return [UnreadWord(w.number, w.place, token, w.relevance) for w, token, _ in found], tried


def find_uncredited(
    classifier: TextClassifier, questions: Sequence[Question], words: Sequence[Relevant], most: int
) -> tuple[list[UncreditedWord], int]:
    """Return words with which the scores change, of some without relevance, and how many of them.

    Args:
        classifier: the classifier.
        questions: the texts.
        words: the words to be tried, text by text.
        most: the most texts with a replaced word that the model reads.
    """

    def change(one: Tensor, other: Tensor) -> float | None:
        found = float((other - one).abs().max())
        return None if found <= CHANGED * float(one.abs().max()) else found

    found, tried = _find(classifier, questions, words, most, _scores, change, least=REPLACEMENTS)
    return [UncreditedWord(w.number, w.place, token, size) for w, token, size in found], tried


def _find(
    classifier: TextClassifier,
    questions: Sequence[Question],
    words: Sequence[Relevant],
    most: int,
    read: Callable[[TextClassifier, Batch], Any],
    compare: Callable[[Any, Any], float | None],
    *,
    least: int,
) -> tuple[list[tuple[Relevant, str, float]], int]:
    """Return words, their tokens and a size each, and how many words were tried.

    A word is found if `compare` gives a size, not None, whichever word takes its place; its own is
    the smallest of these.

    Args:
        classifier: the classifier.
        questions: the texts.
        words: the words to be tried, text by text.
        most: the most texts with a replaced word that the model reads.
        read: what is compared of a batch.
        compare: compares a text as it is with the same with another word.
        least: so many other words there must be.
    """
    vocabulary = classifier.vocabulary
    known = set(range(len(vocabulary))) - {vocabulary.pad, vocabulary.unk}
    random = np.random.default_rng(0)
    found: list[tuple[Relevant, str, float]] = []
    tried, left, before = 0, most, -1
    for word in words:
        document = questions[word.number].document
        others = sorted(known - {int(document.ids[word.place])})
        if len(others) < least or left < REPLACEMENTS:
            continue
        if word.number != before:
            as_it_is, before = read(classifier, classifier.batch([document])), word.number
        tried += 1
        sizes = []
        for other in random.choice(others, min(REPLACEMENTS, len(others)), replace=False):
            left -= 1
            try:
                changed = read(classifier, _batch(classifier, document, word.place, int(other)))
            except Exception:  # a model that knows the words of its corpus alone reacts in this way
                break
            size = compare(as_it_is, changed)
            if size is None:
                break
            sizes.append(size)
        else:
            found.append((word, document.source.tokens[word.place], min(sizes)))
    return found, tried


def _scores(classifier: TextClassifier, batch: Batch) -> Tensor:
    """Return the scores of a batch of one text."""
    with same_random_state():
        scores: Tensor = classifier.output(batch)
    return scores.double()


def _batch(classifier: TextClassifier, document: EncodedText, place: int, other: int) -> Batch:
    """Return a batch of one text, with another word at a place."""
    batch = classifier.batch([document])
    ids = batch.ids.clone()
    ids.view(-1)[batch.words.flatten().nonzero()[place]] = other
    return Batch(ids, batch.words, classifier.arguments(ids, batch.words))


def _record(classifier: TextClassifier, batch: Batch) -> list[bytes]:
    """Return digests of what the model computes with."""
    recorder = FloatingArguments(classifier.model)
    with same_random_state(), recorder:
        output = classifier.output(batch)
    recorder.note(output)
    return recorder.seen
