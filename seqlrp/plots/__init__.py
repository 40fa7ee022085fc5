"""Figures, with matplotlib: drawn without a display, returned to be shown or saved."""

from seqlrp.plots.heat import heat_map
from seqlrp.plots.position import relevance_by_position
from seqlrp.plots.style import NotebookFigure, deletion_figure
from seqlrp.plots.words import words_of_class

__all__ = [
    "NotebookFigure",
    "deletion_figure",
    "heat_map",
    "relevance_by_position",
    "words_of_class",
]
