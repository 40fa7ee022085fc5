"""Lines from pieces of text: wrapped by measured widths, in the order in which they are read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

# One end of line; white space; a character of a script without spaces, after which a line may end;
# or what is left of a word. No-break spaces belong to words.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff01-\uffef"
_ATOM = re.compile(
    rf"\n|[^\S\n\u00a0]+|[{_UNSPACED}\U00020000-\U0003ffff]"
    rf"|(?:(?![{_UNSPACED}\U00020000-\U0003ffff])[\S\u00a0])+"
)
_MIRRORED = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")
_NEVER_FIRST = re.compile("[、。，．・：；！？）］｝」』】〉》〕ー々％]")


@dataclass(frozen=True)
class Run:
    """A stretch of one level on one line; x and width in the units of the measure."""

    text: str
    level: int
    width: float
    x: float = 0.0

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it but white space."""
        return self.text.isspace()


Line = tuple[Run, ...]
Measure = Callable[[str], float]


def lines(pieces: Iterable[tuple[str, int]], width: float, measure: Measure) -> list[Line]:
    """The lines of a text in pieces of (text, level), none wider than `width`.

    Ends of line are kept, other white space is kept but at the break of a line. A word that is
    wider than a line is broken anywhere but before a mark. A paragraph that begins in a script
    written from right to left stands on the right; within a line, words and runs of words of the
    other direction are ordered as they are read, without the finer rules for numbers and brackets
    of Unicode's algorithm (UAX #9: its rule L2, for whole words).
    """
    finished: list[Line] = []
    for paragraph in _paragraphs(pieces, measure):
        to_left = direction("".join(run.text for run in paragraph)) == "R"
        for line in _wrapped(paragraph, width, measure):
            finished.append(_placed(_joined(line), width, to_left))
    return finished


def _paragraphs(pieces: Iterable[tuple[str, int]], measure: Measure) -> Iterator[list[Run]]:
    paragraph: list[Run] = []
    for text, level in pieces:
        for atom in _ATOM.findall(text):
            if atom == "\n":
                yield paragraph
                paragraph = []
            else:
                for part in _parts(atom.replace("\t", "    ")):
                    paragraph.append(Run(part, level, measure(part)))
    yield paragraph


def _parts(atom: str) -> tuple[str, ...]:
    """A word from right to left apart from the signs round it, whose place the line decides."""
    if direction(atom) != "R":
        return (atom,)
    letters = [i for i, character in enumerate(atom) if character.isalnum()]
    if not letters:
        return (atom,)
    first, end = letters[0], letters[-1] + 1
    while end < len(atom) and unicodedata.category(atom[end])[0] == "M":
        end += 1
    return tuple(part for part in (atom[:first], atom[first:end], atom[end:]) if part)


def _wrapped(paragraph: list[Run], width: float, measure: Measure) -> Iterator[list[Run]]:
    line: list[Run] = []
    used = 0.0
    for word in _words(paragraph):
        size = sum(run.width for run in word)
        if used + size > width and not word[0].blank:
            if line and size <= width:
                yield _trimmed(line)
                line, used = [], 0.0
            elif size > width:
                word = [piece for run in word for piece in _characters(run, measure)]
                for piece in word:
                    if used + piece.width > width and line:
                        yield _trimmed(line)
                        line, used = [], 0.0
                    line.append(piece)
                    used += piece.width
                continue
        line += word
        used += size
    yield _trimmed(line)


def _words(paragraph: Sequence[Run]) -> Iterator[list[Run]]:
    """Runs between which no line may end."""
    word: list[Run] = []
    for run in paragraph:
        if word and (run.blank or word[-1].blank or _may_break(word[-1].text, run.text)):
            yield word
            word = []
        word.append(run)
    if word:
        yield word


def _may_break(before: str, after: str) -> bool:
    unspaced = re.match(f"[{_UNSPACED}\U00020000-\U0003ffff]", after) or re.search(
        f"[{_UNSPACED}\U00020000-\U0003ffff]$", before
    )
    forbidden = _NEVER_FIRST.match(after) or unicodedata.category(after[0])[0] == "M"
    return bool(unspaced and not forbidden)


def _characters(run: Run, measure: Measure) -> Iterator[Run]:
    cluster = ""
    for character in run.text:
        joined = unicodedata.category(character)[0] == "M" or "\u200d" in cluster[-1:] + character
        if cluster and not joined:
            yield Run(cluster, run.level, measure(cluster))
            cluster = ""
        cluster += character
    yield Run(cluster, run.level, measure(cluster))


def _trimmed(line: list[Run]) -> list[Run]:
    while line and line[-1].blank:
        line.pop()
    return line


def _joined(line: list[Run]) -> list[Run]:
    """Neighbours of one level as one run again, so that letters join; white space by itself."""
    joined: list[Run] = []
    for run in line:
        last = joined[-1] if joined else None
        if (
            last
            and (last.level, last.blank) == (run.level, run.blank)
            and direction(last.text) == direction(run.text)
        ):
            joined[-1] = Run(last.text + run.text, run.level, last.width + run.width)
        else:
            joined.append(run)
    return joined


def _placed(line: list[Run], width: float, to_left: bool) -> Line:
    x = width - sum(run.width for run in line) if to_left else 0.0
    placed = []
    for run in _as_seen(line, "R" if to_left else "L"):
        placed.append(replace(run, x=x))
        x += run.width
    return tuple(placed)


def _as_seen(line: list[Run], base: str) -> list[Run]:
    """The runs from left to right: what has no direction takes its neighbours', or the base."""
    own = [direction(run.text) for run in line]
    stretches: list[tuple[str, list[Run]]] = []
    for run, before, after in zip(
        line, _carried(own, base), _carried(own[::-1], base)[::-1], strict=True
    ):
        way = before if before == after else base
        if not stretches or stretches[-1][0] != way:
            stretches.append((way, []))
        signs = way == "R" and not any(character.isalnum() for character in run.text)
        text = run.text[::-1].translate(_MIRRORED) if signs else run.text
        stretches[-1][1].append(replace(run, text=text))
    ordered = stretches[::-1] if base == "R" else stretches
    return [run for way, runs in ordered for run in (runs[::-1] if way == "R" else runs)]


def _carried(ways: Iterable[str | None], base: str) -> list[str]:
    """The ways with each gap filled by what stands before it."""
    return list(accumulate(ways, lambda last, way: way or last, initial=base))[1:]


def direction(text: str) -> str | None:
    """Whether a text is written from the left ("L") or the right ("R"), by its first letter."""
    for character in text:
        kind = unicodedata.bidirectional(character)
        if kind in ("R", "AL"):
            return "R"
        if kind == "L":
            return "L"
    return None
