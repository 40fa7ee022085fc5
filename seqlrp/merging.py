"""Relevance of words and sentences from that of smaller tokens: sums, so that nothing is lost.

Relevance is additive: as that of a word is the sum over the dimensions of its vector (Arras et al.
2017), that of a word in pieces is the sum over its pieces, and that of a sentence the sum over its
words. Which tokens belong together is read from the text, without any model.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqlrp.errors import OptionError, near

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation

Units: TypeAlias = str | Sequence[tuple[int, int]] | Sequence[int | None] | npt.NDArray[np.integer]

# Scripts that put no space between words: Thai, Lao, Myanmar, Khmer, Han, Kana. What the tokenizer
# found is the best word there is.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001b000-\U0001b16f"
    "\U00020000-\U0003ffff]"
)
_JOINERS = frozenset("'’ʼ＇-\u2010\u2011")
_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))

# The end of a sentence: marks and closing quotes before white space, with what further punctuation
# stands by itself; the marks of scripts without spaces anywhere; or the end of a line. No mark is
# the first character of a second attempt, so that a long row of them takes linear time.
_SENTENCE_END = re.compile(
    r"""(?: (?<![.!?…‽؟۔।॥]) [.!?…‽؟۔।॥]++ ["'”’»)\]}]*+ (?=\s|$) | [。！？｡]++ [」』”’）]*+ )
        (?: [^\S\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++ [^\w\s]++ (?=\s|$) )*+
      | [\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++""",
    re.VERBOSE,
)


def merged(explanation: Explanation, by: Units = "word") -> Explanation:
    """The explanation with tokens put together, and their relevance added up.

    Sums are taken in float64 and stored in float32; the ledger and the scores stay as they are.
    A new token is the text from its first piece to the end of its last; a token that is joined
    with no other is kept as it is.

    Args:
        explanation: for one class [T] or for every class [C, T].
        by: which tokens belong together:

            - "word": neighbours with nothing between them, where the characters that meet are
              letters, digits or marks. Apostrophes and hyphens between letters or digits belong to
              the word (don't, well-made), points and commas between digits to the number (3.5);
              all other punctuation stays apart. Scripts without spaces between words (Chinese,
              Japanese, Thai, Lao, Burmese, Khmer) keep the tokenizer's tokens.
            - "sentence": tokens of one sentence. A sentence ends with . ! ? and their like before
              white space, with 。！？ anywhere, and with a line. The full stop of an
              abbreviation ends one, too: there is no model to tell.
            - pairs (first, end) of token positions, end exclusive, in order and not overlapping;
              tokens in none of them stay by themselves.
            - T word numbers, one for each token, as tokenizers count words: neighbours with one
              number belong together, None stands alone.

    Raises:
        OptionError: another name, or spans or numbers that do not fit the tokens.
    """
    starts = _starts(explanation, by)
    if not explanation.tokens:
        return explanation
    ends = np.append(starts[1:], len(explanation.tokens))
    offsets = np.stack([explanation.offsets[starts, 0], explanation.offsets[ends - 1, 1]], axis=1)
    tokens = [
        explanation.tokens[first] if end == first + 1 else explanation.text[start:stop]
        for first, end, (start, stop) in zip(
            starts.tolist(), ends.tolist(), offsets.tolist(), strict=True
        )
    ]
    relevance = np.add.reduceat(explanation.relevance.astype(np.float64), starts, axis=-1)
    unit = by if isinstance(by, str) else "spans"
    return replace(
        explanation,
        tokens=tuple(tokens),
        offsets=offsets,
        relevance=relevance,
        parameters={**explanation.parameters, "merged": unit},
    )


def _starts(explanation: Explanation, by: Units) -> npt.NDArray[np.intp]:
    """Positions of the tokens with which a word, sentence or span begins; 0 is one of them."""
    known = {"word": _word_starts, "sentence": _sentence_starts}
    if isinstance(by, str):
        if by not in known:
            raise OptionError(
                f"by={by!r} is not one of those allowed. {near(by, known)} Or give spans of "
                "tokens, or the number of each token's word."
            )
        first = known[by](explanation)
    else:
        first = _given_starts(list(by), len(explanation.tokens))
    first[:1] = True
    return np.flatnonzero(first)


def _word_starts(explanation: Explanation) -> npt.NDArray[np.bool_]:
    spans, text = explanation.offsets.tolist(), explanation.text
    first = np.ones(len(spans), dtype=np.bool_)
    for i in range(1, len(spans)):
        place = spans[i][0]
        first[i] = spans[i - 1][1] != place or not _joined(text, place)
    return first


def _joined(text: str, place: int) -> bool:
    """Whether the characters before and after `place` belong to one word."""
    before, after = text[place - 1], text[place]
    if before.isspace() or after.isspace():
        return False
    if unicodedata.category(after)[0] == "M" or after in _SKIN_TONES:  # parts of one character
        return True
    if _ZERO_WIDTH_JOINER in (before, after):
        return True
    return _in_word(text, place - 1) and _in_word(text, place)


def _in_word(text: str, place: int) -> bool:
    character, left, right = text[place], text[place - 1 : place], text[place + 1 : place + 2]
    if character in ".,":
        return left.isdecimal() and right.isdecimal()
    if character in _JOINERS:
        return _letter(left) and _letter(right)
    return _letter(character)


def _letter(character: str) -> bool:
    """Whether it is a letter, digit or mark of a script with spaces between words."""
    if not character or _UNSPACED.match(character):
        return False
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"


def _sentence_starts(explanation: Explanation) -> npt.NDArray[np.bool_]:
    text = explanation.text
    ends = [match.end() for match in _SENTENCE_END.finditer(text)]
    places = [_first_visible(text, *span) for span in explanation.offsets.tolist()]
    sentences = np.searchsorted(np.array(ends, dtype=np.int64), places, side="right")
    first: npt.NDArray[np.bool_] = np.diff(sentences, prepend=-1) != 0
    return first


def _first_visible(text: str, start: int, end: int) -> int:
    """Where a token begins that may bring the white space before it along."""
    while start < end - 1 and text[start].isspace():
        start += 1
    return start


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
