"""Axes, and labels for them: text in any script, never read as mathematics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from seqlrp.show.pictures.fonts import fonts_for
from seqlrp.show.plots.style import NotebookAxes, NotebookFigure
from seqlrp.show.visible import one_line

_LONGEST = 40  # characters of a label


def new_axes(ax: Axes | None, width: float, height: float) -> Axes:
    """New axes in a figure of this size in inches, unless the caller gave some."""
    if ax is not None:
        return ax
    figure = NotebookFigure(figsize=(width, height), layout="constrained")
    return figure.add_subplot(axes_class=NotebookAxes)


@dataclass(frozen=True)
class Labels:
    """Labels that Matplotlib can draw.

    Attributes:
        texts: one for each word.
        options: fonts and size, for the functions of Matplotlib that draw text.
        inches: the width of the widest label.
    """

    texts: list[str]
    options: dict[str, Any]
    inches: float


def make_labels(words: Iterable[str], size: float = 10.0) -> Labels:
    """Make labels of words, in letters of this size in points.

    Invisible characters are written as their numbers, those that no font has as U+FFFD (with a
    `FontWarning`), and long words are cut; a `$` is a `$`.
    """
    shown = [one_line(word) for word in words]
    shown = [word if len(word) <= _LONGEST else word[: _LONGEST - 1] + "…" for word in shown]
    fonts = fonts_for("".join(shown) + "…")
    fonts.warn_missing(stacklevel=3)  # who called the function that draws
    texts = [fonts.drawable(text) for text in shown]
    options = {"family": list(fonts.families), "parse_math": False, "usetex": False, "size": size}
    return Labels(texts, options, max(map(fonts.measure(size), texts), default=0.0) / 72)
