"""Figures are shown by themselves; what they draw is tested with the report that they draw."""

from __future__ import annotations

from matplotlib.figure import Figure
from samples.explanations import explanation
from samples.summaries import words

from seqlrp.show.plots import NotebookFigure, heat_map, relevance_by_position, words_of_class

PNG = b"\x89PNG"


def test_a_notebook_shows_the_figure_by_itself() -> None:
    assert NotebookFigure(figsize=(1, 1))._repr_png_().startswith(PNG)


def test_a_notebook_shows_axes_that_end_a_cell() -> None:
    """As their whole figure, colour bar included, and only where pyplot does not show them."""
    items = [words("so good", [1, 4])]
    for draw in (heat_map, relevance_by_position, words_of_class):
        made = draw(items)
        assert made._repr_png_() == made.figure._repr_png_()  # type: ignore[attr-defined]
        own = Figure().add_subplot()
        assert not hasattr(draw(items, ax=own), "_repr_png_")


def test_other_figures_are_left_to_whoever_made_them() -> None:
    made = heat_map(explanation("a b"))
    other = Figure().add_subplot(axes_class=type(made))
    assert other._repr_png_() is None
