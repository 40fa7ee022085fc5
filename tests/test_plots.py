"""Figures are shown by themselves; what they draw is tested with the report that they draw."""

from __future__ import annotations

from seqlrp.plots import NotebookFigure


def test_a_notebook_shows_the_figure_by_itself() -> None:
    assert NotebookFigure(figsize=(1, 1))._repr_png_().startswith(b"\x89PNG")
