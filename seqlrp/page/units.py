"""What is shown with one colour: tokens as they are, words, or sentences; relevance is summed.

A word is what its author would call one: pieces of a tokenizer that meet inside it are put together
again, an n-gram stays whole. Scripts that are written without spaces keep the tokenizer's cuts.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqlrp.explanation import Explanation

# Thai, Lao, Tibetan, Burmese, Khmer, kana, Han and its extensions: written without spaces.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_JOINER = "\u200d"
_APOSTROPHES = "'’"
# A sentence ends with its mark and what closes it, before white space, or at an empty line; after
# an ideographic mark anything may follow.
_END = re.compile(
    r"[.!?…؟۔।॥]+[\"'”’»)\]]*(?=\s)|[。！？｡]+[」』”’）]*|\n[^\S\n]*\n\s*",
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|cf|No|"
    r"Fig|al|Inc|Ltd|Co|bzw|Nr|usw)$"
)


@dataclass(frozen=True)
class Units:
    """U parts of a text, in order, none overlapping another.

    Attributes:
        spans: [U, 2], where each starts and ends in the text, in characters.
        values: float64 [U], or [C, U] for every class: the sum of the relevance of its tokens.
        first: [U], the number of the token (or of the smaller unit) with which each begins.
    """

    spans: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    first: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.spans)


def tokens(explanation: Explanation) -> Units:
    """Every token by itself."""
    return _grouped(
        explanation.offsets, explanation.relevance, np.arange(len(explanation.tokens)).tolist()
    )


def words(explanation: Explanation) -> Units:
    """Tokens that meet inside a word are one unit, without the white space round it."""
    text, spans = explanation.text, explanation.offsets.tolist()
    starts = [
        i
        for i, (start, _) in enumerate(spans)
        if i == 0 or spans[i - 1][1] != start or not _inside_a_word(text, start)
    ]
    units = _grouped(explanation.offsets, explanation.relevance, starts)
    for span in units.spans:
        written = text[span[0] : span[1]]
        if written != written.strip():
            bare = written.strip()
            if bare:
                span[0] += written.index(bare[0])
                span[1] = span[0] + len(bare)
    return units


def sentences(text: str, parts: Units) -> Units:
    """Words (or tokens) of one sentence are one unit; a word goes where it begins."""
    ends = sentence_ends(text)
    of = [bisect_right(ends, start) for start in parts.spans[:, 0].tolist()]
    starts = [i for i, sentence in enumerate(of) if i == 0 or sentence != of[i - 1]]
    return _grouped(parts.spans, parts.values, starts)


def sentence_ends(text: str) -> list[int]:
    """Where sentences end, in characters, exclusive; the last one ends with the text.

    A full stop after an abbreviation or an initial, or any mark before a small letter, ends none,
    unless it stands by itself, as in texts that have been cut into words.
    """
    ends = []
    for found in _END.finditer(text):
        start, end = found.span()
        if found[0][0] in ".!?…" and not text[max(start - 1, 0) : start].isspace():
            following = text[end : end + 40].lstrip()
            if following[:1].islower() or (
                found[0] == "." and _ABBREVIATION.search(text[max(start - 12, 0) : start])
            ):
                continue
        ends.append(end)
    if not ends or ends[-1] != len(text):
        ends.append(len(text))
    return ends


def _grouped(
    spans: npt.NDArray[np.int32] | npt.NDArray[np.int64],
    values: npt.NDArray[np.float32] | npt.NDArray[np.float64],
    starts: Sequence[int],
) -> Units:
    """Units that begin with the parts of these numbers."""
    first = np.asarray(starts, dtype=np.int64)
    spans, values = spans.astype(np.int64), values.astype(np.float64)
    if not len(first):
        return Units(np.empty((0, 2), np.int64), values, first)
    last = np.append(first[1:], len(spans)) - 1
    joined = np.stack([spans[first, 0], spans[last, 1]], axis=1)
    return Units(joined, np.add.reduceat(values, first, axis=-1), first)


def _inside_a_word(text: str, place: int) -> bool:
    """Whether the text has no limit of a word (or of what looks like one character) here."""
    before, after = text[place - 1], text[place]
    if after == _JOINER or before == _JOINER or _continues(after):
        return not before.isspace()
    if _flag(before) and _flag(after):
        flags = len(text[:place]) - len(text[:place].rstrip("".join(_FLAGS)))
        return flags % 2 == 1
    if before in _APOSTROPHES or after in _APOSTROPHES:
        rest = text[place - 2 : place - 1] + after if before in _APOSTROPHES else None
        rest = rest or before + text[place + 1 : place + 2]
        return len(rest) == 2 and rest.isalpha() and not _UNSPACED.search(rest)
    return _letter(before) and _letter(after)


_FLAGS = [chr(code) for code in range(0x1F1E6, 0x1F200)]


def _flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _continues(character: str) -> bool:
    """Combining marks, variation selectors and skin tones belong to the character before."""
    return unicodedata.category(character)[0] == "M" or "\U0001f3fb" <= character <= "\U0001f3ff"


def _letter(character: str) -> bool:
    if _UNSPACED.match(character):
        return False
    return character.isalnum() or character == "_" or unicodedata.category(character)[0] == "M"
