"""Words and sentences of a text, found by its characters, without any model.

The tokens of a text are put together to words and sentences by where they stand in it. Where a
tokenizer has found sentences itself, these are the sentences; the rule here is for all others.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

import numpy as np
import numpy.typing as npt

# Scripts that put no space between words: Thai, Lao, Tibetan, Myanmar, Khmer, Han, Kana. What the
# tokenizer found is the best word there is.
_UNSPACED = re.compile(
    "[\u0e00-\u109f\u1780-\u17ff\u2e80-\u2fff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9ff\uaa60-\uaa7f\uf900-\ufaff\uff66-\uff9f"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
_JOINERS = frozenset("'’ʼ＇-\u2010\u2011")
_ZERO_WIDTH_JOINER = "\u200d"
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
_FLAG = re.compile("[\U0001f1e6-\U0001f1ff]{2}")  # the letters of a country

# The end of a sentence: marks and closing quotes before white space, with what further punctuation
# stands by itself; the marks of scripts without spaces anywhere; or an empty line. No mark is the
# first character of a second attempt, so that a long row of them takes linear time.
_LINE = r"(?:\r\n|[\n\r\v\x1c-\x1e\x85\u2028])"
_SPACE = r"[^\S\n\r\v\f\x1c-\x1e\x85\u2028\u2029]"
_SENTENCE_END = re.compile(
    rf"""(?: (?<![.!?…‽؟۔।॥]) [.!?…‽؟۔।॥]++ ["'”’»)\]}}]*+ (?=\s|$) | [。！？｡]++ [」』”’）]*+ )
         (?: {_SPACE}++ [^\w\s(\[{{“‘«„¿¡]++ (?=\s|$) )*+
       | (?: {_LINE} (?: {_SPACE}*+ {_LINE} )++ | [\f\u2029] )""",
    re.VERBOSE,
)
_ABBREVIATION = re.compile(
    r"(?:^|[\s(\"'“‘])(?:[^\W\d_]|(?:[^\W\d_]\.)+[^\W\d_]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|cf|No|"
    r"Fig|al|Inc|Ltd|Co|bzw|Nr|usw)$"
)


def word_starts(text: str, offsets: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Find the positions of the tokens with which a word begins.

    Args:
        text: the text.
        offsets: `[T, 2]`, where each token starts and ends in it; where both are the same, the
            token does not stand in the text, such as `[CLS]`.
    """
    spans = offsets.tolist()
    return _unit_starts(spans, _continues_word(text, spans))


def _continues_word(text: str, spans: list[list[int]]) -> list[bool]:
    """Whether each token that stands in the text, but for the first, continues a word."""
    in_flags = {found.start() + 1 for found in _FLAG.finditer(text)}
    return [
        before[1] == place and (place in in_flags or _joined(text, place))
        for before, (place, _) in pairwise(span for span in spans if span[0] < span[1])
    ]


def sentence_starts(
    text: str,
    offsets: npt.NDArray[np.integer],
    sentences: npt.NDArray[np.integer] | None = None,
) -> npt.NDArray[np.intp]:
    """Find the positions of the tokens with which a sentence begins.

    A word is in the sentence in which it begins.

    Args:
        text: the text.
        offsets: `[T, 2]`, where each token starts and ends in it; where both are the same, the
            token does not stand in the text, such as `[CLS]`.
        sentences: `[T]`, the number of each token's sentence, if the tokenizer found sentences;
            otherwise they end where `sentence_ends` says.
    """
    spans = offsets.tolist()
    standing = [i for i, (start, end) in enumerate(spans) if start < end]
    if sentences is None:
        places = [_first_visible(text, *spans[i]) for i in standing]
        numbers = np.searchsorted(np.array(sentence_ends(text)), places, side="right").tolist()
    else:
        numbers = sentences[standing].tolist()
    for k, inside in enumerate(_continues_word(text, spans), 1):
        if inside:
            numbers[k] = numbers[k - 1]
    return _unit_starts(spans, [a == b for a, b in pairwise(numbers)])


def _unit_starts(spans: list[list[int]], continues: list[bool]) -> npt.NDArray[np.intp]:
    """Find where units begin.

    A token that does not stand in the text is inside a unit that continues after it, belongs to
    the next unit where it is placed at its beginning after a gap, or is a unit of its own.

    Args:
        spans: where each token starts and ends.
        continues: whether each token that stands in the text, but for the first, continues the
            unit of the one before it.
    """
    first = np.ones(len(spans), dtype=np.bool_)
    standing = [i for i, (start, end) in enumerate(spans) if start < end]
    for (i, j), inside in zip(pairwise(standing), continues, strict=True):
        if inside:
            first[i + 1 : j + 1] = False
            continue
        begins = j
        while begins > i + 1 and spans[begins - 1][0] == spans[j][0] > spans[i][1]:
            begins -= 1
        first[begins + 1 : j + 1] = False
    return np.flatnonzero(first)


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


def sentence_ends(text: str) -> list[int]:
    """Where sentences end, in characters, exclusive; the last one ends with the text."""
    ends = [found.end() for found in _SENTENCE_END.finditer(text) if _ends_one(found)]
    return ends if ends and ends[-1] == len(text) else [*ends, len(text)]


def _ends_one(found: re.Match[str]) -> bool:
    """Whether these marks end a sentence, and not an abbreviation or a part of it."""
    text, (start, end) = found.string, found.span()
    if found[0][0] not in ".!?…‽" or text[max(start - 1, 0) : start].isspace():
        return True
    if text[end : end + 40].lstrip()[:1].islower():
        return any(mark in ".!?…‽" for mark in "".join(found[0].split()[1:]))
    return found[0] != "." or not _ABBREVIATION.search(text[max(start - 12, 0) : start])


def _first_visible(text: str, start: int, end: int) -> int:
    """Where a token begins that may bring the white space before it along."""
    while start < end - 1 and text[start].isspace():
        start += 1
    return start
