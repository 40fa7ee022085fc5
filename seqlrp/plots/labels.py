"""Axes to draw on, and words as their labels: any script, no mathematics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from seqlrp.exports.fonts import fonts_for
from seqlrp.exports.shading import one_line
from seqlrp.plots.style import NotebookAxes, NotebookFigure

_LONGEST = 40  # characters of a label


def axes_of(ax: Axes | None, width: float, height: float) -> Axes:
    """The axes given, or those of a new figure of this size in inches."""
    if ax is not None:
        return ax
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    return figure.add_subplot(axes_class=NotebookAxes)


@dataclass(frozen=True)
class Labels:
    """Words as matplotlib can draw them, the options of text that go with them, their width.

    Attributes:
        texts: what is drawn, one for each word.
        options: for the functions of matplotlib that draw text.
        inches: how wide the widest of them is.
    """

    texts: list[str]
    options: dict[str, Any]
    inches: float


def written(words: Iterable[str], size: float = 10.0) -> Labels:
    """Words as labels of this size in points.

    What cannot be seen is written as its number, what no font has as U+FFFD (with a
    `FontWarning`), and long words are cut; a `$` is a `$`.
    """
    shown = [one_line(word) for word in words]
    shown = [word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…" for word in shown]
    fonts = fonts_for("".join(shown) + "…")
    fonts.tell_missing(stacklevel=3)  # who called the function that draws
    texts = [fonts.drawable(text) for text in shown]
    options = {"family": list(fonts.families), "parse_math": False, "usetex": False, "size": size}
    return Labels(texts, options, max(map(fonts.measure(size), texts), default=0.0) / 72)
