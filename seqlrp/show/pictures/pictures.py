"""Highlighted documents as PNG and PDF, drawn by Matplotlib: no browser, no display.

Words for the class that is explained stand on red, words against it on blue with a dotted line
under them; the colours are the page's. What was struck has a line through it, what was put in for
other words a frame. Fonts are found by what they cover; a character that no
font of Matplotlib's has is drawn as U+FFFD, and a `FontWarning` says so. Letters that join are
joined by Matplotlib 3.11 and later.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib import ft2font, rc_context
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D, Transform

from seqlrp.errors import OptionError, check_number
from seqlrp.explanations.record import Explanation
from seqlrp.show.coloured_text import ColouredText, Style, coloured_texts
from seqlrp.show.colours import LIGHT, SHADES
from seqlrp.show.edits import REPLACED, STRUCK, Edits
from seqlrp.show.pictures.fonts import Fonts, fonts_for
from seqlrp.show.pictures.layout import Line, Run, lines

_A4 = (595.0, 842.0)  # points, as is everything here
_PDF_MARGIN = 54.0
_PNG_MARGIN = 20.0
_DOCUMENT_GAP = 30.0  # in a picture
_MOST_PIXELS = 32_000  # in height: many programs show no picture of 2¹⁵ and more
_LEADING = 1.7  # from line to line, in sizes of the letters
_RISE, _FALL = 1.05, 0.4  # how far the colour reaches over and under the base line, in sizes
_SHAPED = hasattr(ft2font, "__libraqm_version__")


@dataclass(frozen=True)
class _StyledLine:
    """A line with the size and the colour of its letters, and the space above it."""

    runs: Line
    size: float
    ink: str
    above: float

    @property
    def height(self) -> float:
        return self.above + self.size * _LEADING


_Document = list[_StyledLine]
_Coloured = tuple[list[tuple[float, float]], str]  # points, and the colour of what they outline


def write_png(
    explanations: Iterable[Explanation],
    path: Path,
    *,
    scale: str = "document",
    width: float = 6.5,
    dpi: float = 150,
    font: str | None = None,
    edits: Sequence[Edits] | None = None,
) -> None:
    """Write one picture, documents one below the other.

    Args:
        explanations: what is shown, in this order.
        path: the file to be written.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        width: of the picture, in inches, from 2 to 40.
        dpi: pixels an inch, from 36 to 1200.
        font: a family that Matplotlib knows, to be tried first.
        edits: what was done to each text; None where nothing was.

    Raises:
        OptionError: an option out of range, or a picture of more than 32,000 pixels in height.
        MissingPackageError: the text needs python-bidi or uniseg, which is not installed.
    """
    check_number("width", width, least=2, most=40)
    check_number("dpi", dpi, least=36, most=1200)
    shown = coloured_texts(explanations, scale, edits)
    fonts, documents = _set(shown, font, width * 72 - 2 * _PNG_MARGIN)
    gaps = max(len(documents) - 1, 0) * _DOCUMENT_GAP
    height = 2 * _PNG_MARGIN + gaps + sum(line.height for lines in documents for line in lines)
    pixels = round(height / 72 * dpi)
    if pixels > _MOST_PIXELS:
        raise OptionError(
            f"The picture would be {pixels:,} pixels high, expected {_MOST_PIXELS:,} at most: give "
            "fewer explanations, a smaller dpi, or save_pdf, which has pages."
        )
    figure = _drawn(documents, fonts, width * 72, height, _PNG_MARGIN)
    # Words are placed by their true widths; hinting would draw them wider, into the next gap.
    with rc_context({"text.hinting": "no_hinting"}):
        figure.savefig(path, format="png", dpi=dpi, metadata={"Software": "seqlrp"})


def write_pdf(
    explanations: Iterable[Explanation],
    path: Path,
    *,
    scale: str = "document",
    font: str | None = None,
) -> None:
    """Write pages of A4; every document begins a new one.

    Args:
        explanations: what is shown, in this order.
        path: the file to be written.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        font: a family that Matplotlib knows, to be tried first.

    Raises:
        OptionError: nothing to show, another scale, or a font that is not known.
        MissingPackageError: the text needs python-bidi or uniseg, which is not installed.
    """
    shown = coloured_texts(explanations, scale)
    if not shown:
        raise OptionError("There is no explanation to show, and a PDF needs a page.")
    width, height = _A4
    fonts, documents = _set(shown, font, width - 2 * _PDF_MARGIN)
    with PdfPages(path, metadata={"Creator": "seqlrp", "CreationDate": None}) as pdf:
        for document in documents:
            for page in _pages(document, height - 2 * _PDF_MARGIN):
                pdf.savefig(_drawn([page], fonts, width, height, _PDF_MARGIN))


def _set(
    shown: Sequence[ColouredText], font: str | None, width: float
) -> tuple[Fonts, list[_Document]]:
    """The fonts for all documents, and the lines of each."""
    drawn = {
        character
        for one in shown
        for text in (*one.heading(), *one.legend(), *(piece for piece, _ in one.pieces()))
        for character in text
    }
    fonts = fonts_for("".join(drawn - {"\n", "\t"}) + "0 ", font)
    fonts.warn_missing(stacklevel=4)  # who called save_png or save_pdf
    return fonts, [[*_document(one, width, fonts)] for one in shown]


def _document(shown: ColouredText, width: float, fonts: Fonts) -> Iterator[_StyledLine]:
    first, *rest = shown.heading()
    blocks = [([(first, Style())], 12.0, LIGHT.ink, 0.0)]
    blocks += [([(line, Style())], 8.5, LIGHT.quiet, 0.0) for line in rest]
    if shown.explanation.text:
        blocks.append(([*shown.styled()], 11.0, LIGHT.ink, 8.0))
    if shown.largest:
        blocks.append(([*_legend(shown)], 8.5, LIGHT.quiet, 8.0))
    for pieces, size, ink, above in blocks:
        drawable = ((fonts.drawable(text), style) for text, style in pieces)
        for number, line in enumerate(lines(drawable, width, fonts.measure(size))):
            yield _StyledLine(line, size, ink, 0.0 if number else above)


def _legend(shown: ColouredText) -> Iterator[tuple[str, Style]]:
    """What the deepest colours stand for, and the steps between them."""
    low, high = shown.legend()
    steps = range(2, SHADES + 1, 2)
    yield f"{low} ", Style()
    yield from (("\u00a0\u00a0", Style(-step)) for step in reversed(steps))
    yield "\u00a00\u00a0", Style()
    yield from (("\u00a0\u00a0", Style(step)) for step in steps)
    yield f" {high}", Style()


def _pages(document: _Document, height: float) -> Iterator[_Document]:
    page: _Document = []
    used = 0.0
    for line in document:
        if page and used + line.height > height:
            yield page
            page, used = [], 0.0
        page.append(line)
        used += line.height
    yield page


def _drawn(
    documents: Iterable[_Document], fonts: Fonts, width: float, height: float, margin: float
) -> Figure:
    """Documents one below the other; coordinates are points from the upper left corner."""
    figure = Figure(figsize=(width / 72, height / 72), facecolor=LIGHT.paper)
    points = Affine2D().translate(0, -height).scale(1 / 72, -1 / 72) + figure.dpi_scale_trans
    marks = _Marks()
    top = margin
    for document in documents:
        for line in document:
            base = top + line.above + line.size * (_RISE + 0.15)
            for run in line.runs:
                marks.add(run, margin + run.x, base, line.size)
                if run.text.strip():
                    _write(figure, run, margin + run.x, base, line, fonts, points)
            top += line.height
        top += _DOCUMENT_GAP
    figure.add_artist(_filled(marks.boxes, points))
    figure.add_artist(_dotted(marks.underlines, points))
    figure.add_artist(LineCollection(marks.strokes, colors=LIGHT.ink, linewidths=0.8,
                                     transform=points, zorder=4))  # fmt: skip
    return figure


class _Marks:
    """Boxes and lines of all words: thousands of words share few artists."""

    def __init__(self) -> None:
        self.boxes: list[_Coloured] = []
        self.underlines: list[_Coloured] = []
        self.strokes: list[list[tuple[float, float]]] = []

    def add(self, run: Run, x: float, base: float, size: float) -> None:
        """Mark a run that begins at x, in letters of this size on this base line."""
        style, end = run.style, x + run.width
        assert isinstance(style, Style)
        high, low = base - size * _RISE, base + size * _FALL
        corners = [(x, low), (x, high), (end, high), (end, low)]
        if style.level:
            self.boxes.append((corners, LIGHT.shade(style.level)))
        if style.level < 0:
            under = base + size * 0.25
            self.underlines.append(([(x, under), (end, under)], LIGHT.underline(style.level)))
        if style.edit == STRUCK:
            self.strokes.append([(x, base - size * 0.28), (end, base - size * 0.28)])
        if style.edit == REPLACED:
            self.strokes.append([*corners, corners[0]])


def _write(
    figure: Figure, run: Run, x: float, base: float, line: _StyledLine, fonts: Fonts,
    points: Transform,
) -> None:  # fmt: skip
    figure.text(
        x,
        base,
        run.drawn(shaped=_SHAPED),
        transform=points,
        family=list(fonts.families),
        size=line.size,
        color=line.ink,
        va="baseline",
        parse_math=False,
        usetex=False,
    )


def _filled(boxes: list[_Coloured], points: Transform) -> PolyCollection:
    return PolyCollection(
        [corners for corners, _ in boxes],
        facecolors=[colour for _, colour in boxes],
        edgecolors="none",
        antialiaseds=False,
        transform=points,
        zorder=0,
    )


def _dotted(underlines: list[_Coloured], points: Transform) -> LineCollection:
    return LineCollection(
        [ends for ends, _ in underlines],
        colors=[colour for _, colour in underlines],
        linestyles=[(0, (1.2, 1.2))],
        linewidths=1.1,
        transform=points,
        zorder=1,
    )
