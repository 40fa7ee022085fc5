"""Relevance of words and sentences from that of smaller tokens: sums, so that nothing is lost.

Relevance is additive: as that of a word is the sum over the dimensions of its vector (Arras et al.
2017), that of a word in pieces is the sum over its pieces, and that of a sentence the sum over its
words. What a word is, and where a sentence ends where the tokenizer did not say, is defined in
`seqlrp.text.segmentation`.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from seqlrp.errors import OptionError, near
from seqlrp.text.segmentation import sentence_starts, word_starts

By: TypeAlias = str | Sequence[tuple[int, int]] | Sequence[int | None] | npt.NDArray[np.integer]


class Tokens(NamedTuple):
    """The tokens of a text, T of them.

    Attributes:
        text: the text.
        tokens: how each token is written.
        offsets: [T, 2], where each starts and ends in the text.
        relevance: [T], or [C, T] for C classes.
        sentences: [T], the number of each token's sentence; None where that is not known.
    """

    text: str
    tokens: Sequence[str]
    offsets: npt.NDArray[np.integer]
    relevance: npt.NDArray[np.floating]
    sentences: npt.NDArray[np.integer] | None


def merge(given: Tokens, by: By) -> Tokens:
    """Put tokens together and add up their relevance; `Explanation.merged` says what `by` may be.

    Sums are taken in float64. A new token is the text from its first piece to the end of its last;
    a token that is joined with no other is kept as it is.

    Raises:
        OptionError: another name, or spans or numbers that do not fit the tokens.
    """
    starts = _starts(given, by)
    if not given.tokens:
        return given
    ends = np.append(starts[1:], len(given.tokens))
    offsets, relevance = added(given.offsets, given.relevance, starts)
    tokens = [
        (end > first + 1 and given.text[start:stop]) or "".join(given.tokens[first:end])
        for first, end, (start, stop) in zip(
            starts.tolist(), ends.tolist(), offsets.tolist(), strict=True
        )
    ]
    sentences = None
    if given.sentences is not None:
        sentences = given.sentences[_first_standing(given.offsets, starts)]
    return Tokens(given.text, tuple(tokens), offsets, relevance, sentences)


def _first_standing(
    offsets: npt.NDArray[np.integer], starts: npt.NDArray[np.intp]
) -> npt.NDArray[np.intp]:
    """Positions of the first token of each unit that stands in the text, or of its first token."""
    nowhere = len(offsets)
    places = np.where(offsets[:, 0] < offsets[:, 1], np.arange(nowhere), nowhere)
    first = np.minimum.reduceat(places, starts)
    return np.where(first < nowhere, first, starts)


def added(
    spans: npt.NDArray[np.integer], values: npt.NDArray[np.floating], starts: npt.NDArray[np.intp]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """Spans `[U, 2]` and float64 sums `[U]` or `[C, U]`; `starts` are the parts that begin one."""
    places, numbers = spans.astype(np.int64), values.astype(np.float64)
    if not len(starts):
        return places[:0], numbers[..., :0]
    last = np.append(starts[1:], len(places)) - 1
    joined = np.stack([places[starts, 0], places[last, 1]], axis=1)
    return joined, np.add.reduceat(numbers, starts, axis=-1)


def _starts(given: Tokens, by: By) -> npt.NDArray[np.intp]:
    """Positions of the tokens with which a word, sentence or span begins; 0 is one of them."""
    if not isinstance(by, str):
        return np.flatnonzero(_given_starts(list(by), len(given.tokens)))
    text, offsets = given.text, given.offsets
    if by == "word":
        return word_starts(text, offsets)
    if by == "sentence":
        return sentence_starts(text, offsets, given.sentences)
    known = ("word", "sentence")
    raise OptionError(
        f"Got by={by!r}. {near(by, known)} Or give spans of tokens, or the number of each "
        "token's word.",
        option="by",
        got=by,
        known=known,
    )


def _given_starts(units: list[Any], tokens: int) -> npt.NDArray[np.bool_]:
    if units and all(isinstance(unit, Sequence | np.ndarray) for unit in units):
        first = np.ones(tokens, dtype=np.bool_)
        for start, end in _checked_spans(units, tokens):
            first[start + 1 : end] = False
        return first
    if units and len(units) != tokens:
        raise OptionError(
            f"by has {len(units)} word numbers for {tokens} tokens; give one for each token, or "
            "pairs (first, end) of token positions."
        )
    first = np.ones(tokens, dtype=np.bool_)
    for i in range(1, len(units)):
        first[i] = units[i] is None or units[i] != units[i - 1]
    return first


def _checked_spans(spans: list[Any], tokens: int) -> Iterator[tuple[int, int]]:
    done = 0
    for span in spans:
        try:
            start, end = map(operator.index, span)
        except (TypeError, ValueError):
            start, end = 0, -1
        if not done <= start < end <= tokens:
            raise OptionError(
                f"by holds the span {span!r:.80}; expected pairs (first, end) of positions among "
                f"the {tokens} tokens, end exclusive, in order, none overlapping the one before."
            )
        yield start, end
        done = end
