"""Figures that notebooks show, and the colour, marker and name of each method in all of them."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seqlrp.show.colours import LIGHT
from seqlrp.show.method_titles import method_title

# Okabe and Ito's palette, which survives colour-blindness, and a wine red; chance is grey.
_COLOURS = {
    "lrp": "#d55e00",
    "gradient_x_input": "#0072b2",
    "sensitivity": "#009e73",
    "random": "#7f7f7f",
}
_MORE = ("#cc79a7", "#e69f00", "#56b4e9", "#882255")
_MARKERS = "osd^vPX*"


class NotebookFigure(Figure):
    """A figure that a notebook shows by itself, whether or not pyplot was imported.

    pyplot does not know it, so that no figure stays open, none is shown twice, and figures can be
    made in any thread. For `plt.show()` hand in axes of pyplot's: `ax=plt.gca()`.
    """

    def _repr_png_(self) -> bytes:
        memory = io.BytesIO()
        self.savefig(memory, format="png", dpi=110)
        return memory.getvalue()


class NotebookAxes(Axes):
    """Axes that a notebook shows at the end of a cell, as the whole figure that they are in."""

    def _repr_png_(self) -> bytes | None:
        figure = self.get_figure(root=True)
        return figure._repr_png_() if isinstance(figure, NotebookFigure) else None


def around_bars(ax: Axes) -> Axes:
    """Draw what horizontal bars are read by, a line at 0 and a quiet grid, and nothing else."""
    ax.axvline(0, color=LIGHT.quiet, linewidth=0.8)
    ax.grid(axis="x", alpha=0.25)
    ax.set_axisbelow(True)
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right", "left"]].set_visible(False)
    return ax


def method_colour(method: str, place: int) -> str:
    """The colour of the method at this place in a list: its own, or one of four that are left."""
    return _COLOURS.get(method, _MORE[place % len(_MORE)])


def method_marker(place: int) -> str:
    """A marker for the method at this place: of 32 none has the colour and marker of another."""
    return _MARKERS[(place + place // len(_MARKERS)) % len(_MARKERS)]


def method_name(method: str) -> str:
    """A method's name for readers; `$`, with which matplotlib begins a formula, is escaped."""
    return method_title(method).replace("$", r"\$")
