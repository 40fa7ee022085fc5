"""Figures of explanations, drawn by Matplotlib without a display."""

from seqlrp.show.plots.heat import heat_map
from seqlrp.show.plots.position import relevance_by_position
from seqlrp.show.plots.style import (
    NotebookAxes,
    NotebookFigure,
    method_colour,
    method_marker,
    method_name,
)
from seqlrp.show.plots.words import words_of_class

__all__ = [
    "NotebookAxes",
    "NotebookFigure",
    "heat_map",
    "method_colour",
    "method_marker",
    "method_name",
    "relevance_by_position",
    "words_of_class",
]
