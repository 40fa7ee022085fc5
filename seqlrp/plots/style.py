"""Figures, with matplotlib: drawn without a display, returned to be shown or saved."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

if TYPE_CHECKING:
    from seqlrp.deletion_report import DeletionReport

# Okabe and Ito's palette, which survives colour-blindness; chance is grey.
_COLOURS = {
    "lrp": "#d55e00",
    "gradient_x_input": "#0072b2",
    "sensitivity": "#009e73",
    "random": "#7f7f7f",
}
_MORE = ("#cc79a7", "#e69f00", "#56b4e9", "#000000")
_MARKERS = "osd^vPX*"
_NAMES = {
    "lrp": "LRP",
    "gradient_x_input": "gradient × input",
    "sensitivity": "sensitivity",
    "random": "random order",
}
_AXES = {
    "correct": "accuracy",
    "probability": "probability of the true class",
    "score": "score of the true class",
}
_TITLES = {
    "right": "Classified correctly:\nmost relevant words deleted first",
    "wrong": "Classified wrongly:\nleast relevant words deleted first",
}


class NotebookFigure(Figure):
    """A figure that a notebook shows by itself, whether or not pyplot was imported."""

    def _repr_png_(self) -> bytes:
        memory = io.BytesIO()
        self.savefig(memory, format="png", dpi=110)
        return memory.getvalue()


def deletion_figure(report: DeletionReport, value: str = "correct") -> Figure:
    """The deletion curves of both directions side by side, shaded by their 95 % intervals."""
    curves = report.curves(value)
    figure = NotebookFigure(figsize=(9.5, 4.2), layout="constrained")
    for place, (direction, title) in enumerate(_TITLES.items()):
        axes = figure.add_subplot(1, 2, place + 1)
        part = curves[curves["direction"] == direction]
        for number, method in enumerate(report.methods):
            curve = part[part["method"] == method]
            colour = _COLOURS.get(method, _MORE[number % len(_MORE)])
            axes.fill_between(
                curve["k"], curve["low"], curve["high"], color=colour, alpha=0.15, linewidth=0
            )
            axes.plot(
                curve["k"],
                curve[value],
                color=colour,
                marker=_MARKERS[number % len(_MARKERS)],
                markersize=4.5,
                linestyle="--" if method == "random" else "-",
                label=_NAMES.get(method, method),
            )
        documents = int(part["documents"].max()) if len(part) else 0
        axes.set_title(f"{title} ({documents:,} texts)", fontsize=10)
        axes.set_xlabel("number of deleted words")
        axes.set_ylabel(_AXES.get(value, value))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        if place == 0:
            axes.legend(frameon=False)
    return figure
