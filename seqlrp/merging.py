"""Relevance of words and sentences from that of smaller tokens: sums, so that nothing is lost.

Relevance is additive: as that of a word is the sum over the dimensions of its vector (Arras et al.
2017), that of a word in pieces is the sum over its pieces, and that of a sentence the sum over its
words. Which tokens belong together is read from the text, without any model; what a word is and
where a sentence ends is said here for the whole package.
"""

from __future__ import annotations

import operator
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from seqlrp.errors import OptionError, near

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation

By: TypeAlias = str | Sequence[tuple[int, int]] | Sequence[int | None] | npt.NDArray[np.integer]

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


def merged(explanation: Explanation, by: By = "word") -> Explanation:
    """The explanation with tokens put together, and their relevance added up.

    Sums are taken in float64 and stored in float32; the ledger and the scores stay as they are.
    A new token is the text from its first piece to the end of its last; a token that is joined
    with no other is kept as it is.

    Tokens that stand nowhere in the text, such as `[CLS]`, stay by themselves in words and
    sentences, but for those inside one, and those that stand before its first character after a
    gap, as tokenizers place the bytes of a character.

    Args:
        explanation: for one class [T] or for every class [C, T].
        by: which tokens belong together:

            - "word": neighbours with nothing between them, where the characters that meet are
              letters, digits or marks. Apostrophes and hyphens between letters or digits belong to
              the word (don't, well-made), points and commas between digits to the number (3.5);
              all other punctuation stays apart. Scripts without spaces between words (Chinese,
              Japanese, Thai, Lao, Tibetan, Burmese, Khmer) keep the tokenizer's tokens.
            - "sentence": tokens of one sentence. A sentence ends with . ! ? and their like, and
              the quotes that close it, before white space, with 。！？ anywhere, and with an empty
              line. A full stop after an initial or one of the commonest abbreviations ends none,
              and no mark does before a small letter, unless it stands by itself, as in texts that
              have been cut into words.
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
    offsets, relevance = added(explanation.offsets, explanation.relevance, starts)
    tokens = [
        (end > first + 1 and explanation.text[start:stop]) or "".join(explanation.tokens[first:end])
        for first, end, (start, stop) in zip(
            starts.tolist(), ends.tolist(), offsets.tolist(), strict=True
        )
    ]
    unit = by if isinstance(by, str) else "spans"
    return replace(
        explanation,
        tokens=tuple(tokens),
        offsets=offsets.astype(np.int32),
        relevance=relevance,
        parameters={**explanation.parameters, "merged": unit},
    )


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


def _starts(explanation: Explanation, by: By) -> npt.NDArray[np.intp]:
    """Positions of the tokens with which a word, sentence or span begins; 0 is one of them."""
    known = {"word": word_starts, "sentence": sentence_starts}
    if not isinstance(by, str):
        return np.flatnonzero(_given_starts(list(by), len(explanation.tokens)))
    if by not in known:
        raise OptionError(
            f"by={by!r} is not one of those allowed. {near(by, known)} Or give spans of "
            "tokens, or the number of each token's word."
        )
    return known[by](explanation.text, explanation.offsets)


def word_starts(text: str, offsets: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Positions of the tokens with which a word begins; `offsets` [T, 2] are places in the text."""
    spans = offsets.tolist()
    return _with_those_nowhere(spans, _words_that_go_on(text, spans))


def _words_that_go_on(text: str, spans: list[list[int]]) -> list[bool]:
    """Of each but the first of the tokens that stand, whether it goes on with a word."""
    in_flags = {found.start() + 1 for found in _FLAG.finditer(text)}
    return [
        before[1] == place and (place in in_flags or _joined(text, place))
        for before, (place, _) in pairwise(span for span in spans if span[0] < span[1])
    ]


def sentence_starts(text: str, offsets: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Positions of the tokens with which a sentence begins; a word goes where it begins."""
    spans = offsets.tolist()
    places: list[int] = []
    standing = (span for span in spans if span[0] < span[1])
    for span, inside in zip(standing, [False, *_words_that_go_on(text, spans)], strict=False):
        places.append(places[-1] if inside else _first_visible(text, *span))
    sentences = np.searchsorted(np.array(sentence_ends(text)), places, side="right").tolist()
    return _with_those_nowhere(spans, [a == b for a, b in pairwise(sentences)])


def _with_those_nowhere(spans: list[list[int]], goes_on: list[bool]) -> npt.NDArray[np.intp]:
    """Where units begin, from whether each but the first of the tokens that stand goes on with one.

    Tokens that stand nowhere are inside a unit that goes on after them, or belong to the next one
    where they are placed at its beginning after a gap, or stand alone.
    """
    first = np.ones(len(spans), dtype=np.bool_)
    standing = [i for i, (start, end) in enumerate(spans) if start < end]
    for (i, j), inside in zip(pairwise(standing), goes_on, strict=True):
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
