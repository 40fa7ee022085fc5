"""Highlighted documents as PNG and PDF, typeset by matplotlib: no browser, no display.

Words for the class that is explained stand on red, words against it on blue with a dotted line
under them; the colours are the page's. Fonts are found by what they cover; a character that no
font of matplotlib's has is drawn as U+FFFD, and a `FontWarning` says so. Scripts whose letters join
and scripts written from right to left are drawn as well as the installed matplotlib shapes them
(3.11 and later: wholly, within a word; earlier: letters side by side).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from matplotlib import ft2font, rc_context
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from seqlrp.errors import OptionError
from seqlrp.explanation import Explanation
from seqlrp.exports.fonts import Fonts, fonts_for
from seqlrp.exports.shading import Shaded, shaded
from seqlrp.exports.typesetting import Line, Run, direction, lines
from seqlrp.page.colours import LIGHT, SHADES

_A4 = (595.0, 842.0)  # points, as is everything here
_PDF_MARGIN = 54.0
_PNG_MARGIN = 20.0
_BETWEEN = 30.0  # one document and the next, in a picture
_HIGHEST = 32_000  # pixels: many programs show no picture of 2¹⁵ and more
_LEADING = 1.7  # from line to line, in sizes of the letters
_RISE, _FALL = 1.05, 0.4  # how far the colour reaches over and under the base line, in sizes
_SHAPES = hasattr(ft2font, "__libraqm_version__")


@dataclass(frozen=True)
class _Typeset:
    """A line with the size and the colour of its letters, and the space above it."""

    runs: Line
    size: float
    ink: str = LIGHT.ink
    above: float = 0.0

    @property
    def height(self) -> float:
        return self.above + self.size * _LEADING


def write_png(
    explanations: Iterable[Explanation],
    path: Path,
    *,
    scale: str = "document",
    width: float = 6.5,
    dpi: float = 150,
    font: str | None = None,
) -> None:
    """One picture, documents one below the other.

    Args:
        explanations: what is shown, in this order.
        path: the file to be written.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        width: of the picture, in inches, from 2 to 40.
        dpi: pixels an inch, from 36 to 1200.
        font: a family that matplotlib knows, to be tried first.

    Raises:
        OptionError: an option out of range, or a picture of more than 32,000 pixels in height.
    """
    _within(width, 2, 40, "width")
    _within(dpi, 36, 1200, "dpi")
    shown = shaded(explanations, scale)
    fonts = _fonts(shown, font)
    fonts.tell_missing(stacklevel=3)  # who called save_png or save_pdf
    documents = [_typeset(s, width * 72 - 2 * _PNG_MARGIN, fonts) for s in shown]
    gaps = max(len(documents) - 1, 0) * _BETWEEN
    height = 2 * _PNG_MARGIN + gaps + sum(line.height for lines in documents for line in lines)
    pixels = round(height / 72 * dpi)
    if pixels > _HIGHEST:
        raise OptionError(
            f"The picture would be {pixels:,} pixels high, expected {_HIGHEST:,} at most: give "
            "fewer explanations, a smaller dpi, or save_pdf, which has pages."
        )
    sheet = _Sheet(width * 72, height, fonts)
    top = _PNG_MARGIN
    for document in documents:
        top = sheet.draw(document, _PNG_MARGIN, top) + _BETWEEN
    # Words are placed by their true widths; hinting would draw them wider, into the next gap.
    with rc_context({"text.hinting": "no_hinting"}):
        sheet.figure().savefig(path, format="png", dpi=dpi, metadata={"Software": "seqlrp"})


def write_pdf(
    explanations: Iterable[Explanation],
    path: Path,
    *,
    scale: str = "document",
    font: str | None = None,
) -> None:
    """Pages of A4; every document begins a new one.

    Args:
        explanations: what is shown, in this order.
        path: the file to be written.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        font: a family that matplotlib knows, to be tried first.

    Raises:
        OptionError: nothing to show, another scale, or a font that is not known.
    """
    shown = shaded(explanations, scale)
    if not shown:
        raise OptionError("There is no explanation to show, and a PDF needs a page.")
    fonts = _fonts(shown, font)
    fonts.tell_missing(stacklevel=3)  # who called save_png or save_pdf
    width, height = _A4
    with PdfPages(path, metadata={"Creator": "seqlrp", "CreationDate": None}) as pdf:
        for one in shown:
            document = _typeset(one, width - 2 * _PDF_MARGIN, fonts)
            for page in _pages(document, height - 2 * _PDF_MARGIN):
                sheet = _Sheet(width, height, fonts)
                sheet.draw(page, _PDF_MARGIN, _PDF_MARGIN)
                pdf.savefig(sheet.figure())


def _within(value: float, least: float, most: float, name: str) -> None:
    if not least <= value <= most:
        raise OptionError(f"{name} must lie between {least} and {most}, got {value!r}.")


def _fonts(shown: Iterable[Shaded], first: str | None) -> Fonts:
    drawn = {
        character
        for one in shown
        for text in (*one.heading(), *one.legend(), *(piece for piece, _ in one.pieces()))
        for character in text
    }
    return fonts_for("".join(drawn - {"\n", "\t"}) + "0 ", first)


def _typeset(shown: Shaded, width: float, fonts: Fonts) -> list[_Typeset]:
    def block(
        pieces: Iterable[tuple[str, int]], size: float, ink: str = LIGHT.ink, above: float = 0.0
    ) -> Iterator[_Typeset]:
        drawable = ((fonts.drawable(text), level) for text, level in pieces)
        for number, line in enumerate(lines(drawable, width, fonts.measure(size))):
            yield _Typeset(line, size, ink, 0.0 if number else above)

    first, *rest = shown.heading()
    found = [*block([(first, 0)], 12.0)]
    for line in rest:
        found += block([(line, 0)], 8.5, LIGHT.quiet)
    if shown.explanation.text:
        found += block(shown.pieces(), 11.0, above=8.0)
    if shown.largest:
        found += block(_scale(shown), 8.5, LIGHT.quiet, above=8.0)
    return found


def _scale(shown: Shaded) -> Iterator[tuple[str, int]]:
    """The legend: what the deepest colours stand for, and the steps between them."""
    low, high = shown.legend()
    steps = range(2, SHADES + 1, 2)
    yield f"{low} ", 0
    yield from (("\u00a0\u00a0", -step) for step in reversed(steps))
    yield "\u00a00\u00a0", 0
    yield from (("\u00a0\u00a0", step) for step in steps)
    yield f" {high}", 0


def _pages(document: list[_Typeset], height: float) -> Iterator[list[_Typeset]]:
    page: list[_Typeset] = []
    used = 0.0
    for line in document:
        if page and used + line.height > height:
            yield page
            page, used = [], 0.0
        page.append(line)
        used += line.height
    yield page


class _Sheet:
    """What is to be drawn on one sheet, collected by kinds: thousands of words take few artists."""

    def __init__(self, width: float, height: float, fonts: Fonts) -> None:
        self._figure = Figure(figsize=(width / 72, height / 72), facecolor=LIGHT.paper)
        self._height = height
        self._families = list(fonts.families)
        self._boxes: list[tuple[list[tuple[float, float]], str]] = []
        self._lines: list[tuple[list[tuple[float, float]], str]] = []

    def draw(self, document: Iterable[_Typeset], left: float, top: float) -> float:
        """Draw lines from `top`, counted downwards; where the next would begin."""
        for line in document:
            base = self._height - top - line.above - line.size * (_RISE + 0.15)
            for run in line.runs:
                self._run(run, left, base, line)
            top += line.height
        return top

    def _run(self, run: Run, left: float, base: float, line: _Typeset) -> None:
        x, end = left + run.x, left + run.x + run.width
        if run.level:
            low, high = base - line.size * _FALL, base + line.size * _RISE
            corners = [(x, low), (x, high), (end, high), (end, low)]
            self._boxes.append((_inches(corners), LIGHT.shade(run.level)))
        if run.level < 0:
            under = base - line.size * 0.25
            self._lines.append((_inches([(x, under), (end, under)]), LIGHT.underline(run.level)))
        if not run.text.strip():
            return
        self._figure.text(
            x / 72,
            base / 72,
            _in_drawing_order(run.text),
            transform=self._figure.dpi_scale_trans,
            family=self._families,
            size=line.size,
            color=line.ink,
            va="baseline",
            parse_math=False,
            usetex=False,
        )

    def figure(self) -> Figure:
        """The figure with everything on it."""
        figure = self._figure
        boxes = PolyCollection(
            [corners for corners, _ in self._boxes],
            facecolors=[colour for _, colour in self._boxes],
            edgecolors="none",
            antialiaseds=False,
            transform=figure.dpi_scale_trans,
            zorder=0,
        )
        dotted = LineCollection(
            [ends for ends, _ in self._lines],
            colors=[colour for _, colour in self._lines],
            linestyles=[(0, (1.2, 1.2))],
            linewidths=1.1,
            transform=figure.dpi_scale_trans,
            zorder=1,
        )
        figure.add_artist(boxes)
        figure.add_artist(dotted)
        return figure


def _inches(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x / 72, y / 72) for x, y in points]


def _in_drawing_order(text: str) -> str:
    """The text as it is given to matplotlib, which before 3.11 draws from left to right only."""
    return text[::-1] if not _SHAPES and direction(text) == "R" else text
