"""Figures, with matplotlib: drawn without a display, returned to be shown or saved."""

from seqlrp.plots.heat import heat_map
from seqlrp.plots.position import relevance_by_position
from seqlrp.plots.style import NotebookAxes, NotebookFigure, colour_of, marker_of, shown_name
from seqlrp.plots.words import words_of_class

__all__ = [
    "NotebookAxes",
    "NotebookFigure",
    "colour_of",
    "heat_map",
    "marker_of",
    "relevance_by_position",
    "shown_name",
    "words_of_class",
]
