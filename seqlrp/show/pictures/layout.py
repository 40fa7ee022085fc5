"""Lines of coloured text: broken at a width, their parts in the order from left to right.

Spaces part words. Text in Chinese, Japanese or Korean is broken by UAX #14 and a word wider than a
line between grapheme clusters (uniseg); text from right to left is ordered by UAX #9
(python-bidi). Both packages are in the extra `pictures` and imported only for a text that needs
them.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any
from unicodedata import bidirectional, east_asian_width

from seqlrp.errors import MissingPackageError

_NO_BREAK = "\u00a0\u2007\u202f"
_SPACES = "".join(c for c in map(chr, range(0x3001)) if c.isspace() and c not in _NO_BREAK)
_WORD = re.compile(f"[^{_SPACES}]+[{_SPACES}]*|[{_SPACES}]+")
_RIGHT_TO_LEFT = {"R", "AL"}
# Formatting characters are ordered like combining marks, with what stands before them.
_FORMATTING = {"BN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", ""}
_MARK = "\u0300"


@dataclass(frozen=True)
class Run:
    """A part of a line with one colour and one direction.

    Attributes:
        text: its characters in the order of reading.
        style: how it looks; characters of one style are drawn together.
        width: how wide it is, in the units of the measure.
        x: where it begins, counted from the left end of the line.
        embedding: its level in UAX #9, odd for text from right to left.
    """

    text: str
    style: Hashable
    width: float
    x: float = 0.0
    embedding: int = 0

    def drawn(self, *, shaped: bool) -> str:
        """The text as it is given to Matplotlib.

        Args:
            shaped: whether Matplotlib orders the characters itself (3.11 and later), which it does
                by the letters and so not for a run of punctuation; else it draws left to right.
        """
        letters = any(bidirectional(character) in _RIGHT_TO_LEFT for character in self.text)
        if self.embedding % 2 == 0 or (shaped and letters):
            return self.text
        text: str = _package("bidi.algorithm", "python-bidi").get_display(self.text, base_dir="R")
        return text


Line = tuple[Run, ...]
Measure = Callable[[str], float]


def lines(pieces: Iterable[tuple[str, Hashable]], width: float, measure: Measure) -> list[Line]:
    """The lines of a text in pieces of (text, style), none wider than `width`.

    Ends of line are kept, other white space is kept but at the break of a line. A paragraph that
    begins in a script written from right to left stands on the right.

    Raises:
        MissingPackageError: the text needs python-bidi or uniseg, which is not installed.
    """
    expanded = [(text.replace("\t", "    "), style) for text, style in pieces]
    styles = [style for text, style in expanded for _ in text]
    found: list[Line] = []
    start = 0
    for paragraph in "".join(text for text, _ in expanded).split("\n"):
        end = start + len(paragraph)
        found += _Paragraph(paragraph, styles[start:end], measure).lines(width)
        start = end + 1
    return found


class _Paragraph:
    def __init__(self, text: str, styles: list[Hashable], measure: Measure) -> None:
        self._text, self._measure = text, measure
        self._base, embeddings = _embedding_levels(text)
        classes = map(_class, text, embeddings)
        self._kinds = list(zip(styles, embeddings, classes, strict=True))

    def lines(self, width: float) -> Iterator[Line]:
        for start, end in self._line_ends(width):
            runs = [*self._runs(start, start + len(self._text[start:end].rstrip(_SPACES)))]
            x = width - sum(run.width for run in runs) if self._base else 0.0
            line = []
            for run in _visual_order(runs):
                line.append(replace(run, x=x))
                x += run.width
            yield tuple(line)

    def _line_ends(self, width: float) -> Iterator[tuple[int, int]]:
        start = done = 0  # the first character of the line, and the first that is not on it yet
        used = 0.0
        for word in _words(self._text):
            shown = word.rstrip(_SPACES)
            fits = self._width(done, len(shown)) <= width
            for part in [shown] if fits else _grapheme_clusters(shown):
                size = self._width(done, len(part))
                if used + size > width and done > start:
                    yield start, done
                    start, used = done, 0.0
                used += size
                done += len(part)
            blank = len(word) - len(shown)
            used += self._width(done, blank)
            done += blank
        yield start, done

    def _width(self, start: int, length: int) -> float:
        return sum(run.width for run in self._runs(start, start + length))

    def _runs(self, start: int, end: int) -> Iterator[Run]:
        """Neighbouring characters of one style, direction and class."""
        for (style, embedding, _), same in groupby(self._kinds[start:end]):
            stop = start + len(list(same))
            text = self._text[start:stop]
            yield Run(text, style, self._measure(text), embedding=embedding)
            start = stop


def _class(character: str, embedding: int) -> str:
    """Which characters are drawn together: white space apart, and so are signs among letters.

    Matplotlib orders what it draws as if it stood in a line from left to right, so that a bracket
    before a Hebrew word would end up on its left.
    """
    if character in _SPACES:
        return "space"
    if embedding % 2 and bidirectional(character) not in {*_RIGHT_TO_LEFT, "NSM", *_FORMATTING}:
        return "sign"
    return "letter"


def _words(text: str) -> list[str]:
    """The parts of a paragraph, with the spaces behind them, after each of which a line may end."""
    if any(east_asian_width(c) in "WF" and c.isalpha() for c in text):
        return list(_package("uniseg.linebreak", "uniseg").line_break_units(text))
    return _WORD.findall(text)


def _grapheme_clusters(word: str) -> list[str]:
    if all(c.isascii() or c.isalnum() for c in word):  # neither marks nor joined emoji
        return list(word)
    return list(_package("uniseg.graphemecluster", "uniseg").grapheme_clusters(word))


def _embedding_levels(text: str) -> tuple[int, list[int]]:
    """The levels of UAX #9 of the paragraph and of each of its characters."""
    if not any(bidirectional(c) in _RIGHT_TO_LEFT for c in text):
        return 0, [0] * len(text)
    algorithm = _package("bidi.algorithm", "python-bidi")
    text = "".join(_MARK if bidirectional(c) in _FORMATTING else c for c in text)
    base: int = algorithm.get_base_level(text)
    storage = algorithm.get_empty_storage() | {"base_level": base, "base_dir": "LR"[base]}
    algorithm.get_embedding_levels(text, storage)
    algorithm.explicit_embed_and_overrides(storage)
    algorithm.resolve_weak_types(storage)
    algorithm.resolve_neutral_types(storage, False)
    algorithm.resolve_implicit_levels(storage, False)
    return base, [character["level"] for character in storage["chars"]]


def _visual_order(runs: Iterable[Run]) -> list[Run]:
    """The runs from left to right: rule L2 of UAX #9."""
    ordered = list(runs)
    for level in range(max((run.embedding for run in ordered), default=0), 0, -1):
        parts = groupby(ordered, lambda run: run.embedding >= level)  # noqa: B023
        ordered = [run for high, part in parts for run in ([*part][::-1] if high else part)]
    return ordered


def _package(module: str, name: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingPackageError(
            f"A picture of this text needs {name}, which is not installed: "
            'pip install "seqlrp[pictures]"'
        ) from error
