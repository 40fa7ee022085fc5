"""Plots of an evaluation: curves and bars with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from seqlrp.errors import OptionError, check_choice
from seqlrp.show.plots import NotebookFigure, method_colour, method_marker, method_name
from seqlrp.show.plots.labels import make_labels, new_axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from seqlrp.evaluation.report.record import EvaluationResults

_DIRECTIONS = {
    "right": "texts classified correctly, most relevant first",
    "wrong": "texts classified wrongly, least relevant first",
}
_BETTER = {1: "higher is better", -1: "lower is better", 0: ""}
_COLUMNS = 2
_FEW = 4  # methods; the legend of more is below the panels
_LEGEND = 8.0  # font size of a legend, in points
_ROW = 0.17  # height of a row of a legend, in inches
_HANDLE = 0.6  # width of a line and its gap in a legend, in inches


def curves_figure(report: EvaluationResults, metrics: Sequence[str] | None = None) -> Figure:
    """Plot curves over k, a panel for each quantity and direction."""
    chosen = [m for m in report.quantity_names(metrics) if report.ks(m)]
    if metrics is not None and not chosen:
        raise OptionError(
            f"{_quoted(metrics)} has no curve; plot_results(metrics=[…]) has bars.",
            option="metrics",
            got=metrics,
        )
    panels = [(m, d) for m in chosen for d in report.directions(m)]
    if not panels:
        return bars_figure(report)
    figure, axes = _panels(len(panels), height=3.4)
    for (metric, direction), ax in zip(panels, axes, strict=True):
        draw_curves(report, metric, direction, ax)
    if len(report.methods) <= _FEW:
        axes[0].legend(frameon=False, fontsize=8)
    else:  # a legend with so many rows would cover the curves
        widest = make_labels(map(method_name, report.methods), _LEGEND).inches + _HANDLE
        columns = max(1, int(figure.get_figwidth() / widest))
        rows = math.ceil(len(report.methods) / columns)
        figure.set_figheight(figure.get_figheight() + rows * _ROW)
        figure.legend(
            *axes[0].get_legend_handles_labels(),
            loc="outside lower center",
            ncols=min(len(report.methods), columns),
            frameon=False,
            fontsize=_LEGEND,
        )
    return figure


def curve_axes(
    report: EvaluationResults, metric: str, direction: str | None, ax: Axes | None
) -> Axes:
    """Plot the curves of one quantity and direction with a legend, on `ax` or on new axes.

    Raises:
        OptionError: the quantity does not depend on k, or has no such direction.
    """
    directions = report.directions(metric)
    if direction is not None:
        check_choice("direction", direction, directions)
    if not report.ks(metric):
        raise OptionError(
            f"{metric!r} has no curve over k; plot_results(metrics=[…]) has bars.",
            option="metric",
            got=metric,
        )
    ax = new_axes(ax, 6.4, 3.8)
    draw_curves(report, metric, direction or directions[0], ax)
    ax.legend(frameon=False, fontsize=8)
    return ax


def draw_curves(report: EvaluationResults, metric: str, direction: str, ax: Axes) -> Axes:
    """Draw the curves of one quantity and direction, shaded by their 95 % intervals."""
    curves = report.curves(metric)
    curves = curves[curves["direction"] == direction]
    quantity = report.quantities[metric]
    for place, method in enumerate(report.methods):
        curve = curves[curves["method"] == method]
        shade = 0.15 if len(report.methods) <= 2 * _FEW else 0.05
        line = "--" if method == "random" else "-"
        draw_curve(curve, method, place, ax, shade=shade, linestyle=line)
    texts = int(curves["documents"].max()) if len(curves) else 0
    ax.set_title(_title(report, metric, direction, texts), fontsize=9)
    ax.set_xlabel("words in question, in %" if quantity.k == "%" else f"number of {quantity.k}")
    ax.set_ylabel(_short(quantity.title))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    set_plain_style(ax)
    return ax


def bars_figure(report: EvaluationResults, metrics: Sequence[str] | None = None) -> Figure:
    """Plot the results as bars, a panel for each quantity and direction."""
    results = report.results
    results = results[results["metric"].isin(report.quantity_names(metrics))]
    if metrics is not None and results.empty:
        raise OptionError(
            f"{_quoted(metrics)} has no mean; plot(metrics=[…]) has its curve.",
            option="metrics",
            got=metrics,
        )
    panels = list(results[["metric", "direction"]].drop_duplicates().itertuples(index=False))
    figure, axes = _panels(max(1, len(panels)), height=0.9 + 0.3 * len(report.methods))
    for place, ((metric, direction), ax) in enumerate(zip(panels, axes, strict=True)):
        draw_bars(report, str(metric), str(direction), ax)
        if place % _COLUMNS:
            ax.set_yticklabels([])
    return figure


def draw_bars(report: EvaluationResults, metric: str, direction: str, ax: Axes) -> Axes:
    """Draw a bar a method for one quantity and direction, with its 95 % interval."""
    results = report.results
    part = results[(results["metric"] == metric) & (results["direction"] == direction)]
    found = part.set_index("method").reindex(report.methods)
    value, low, high = (found[name].to_numpy(np.float64) for name in ("value", "low", "high"))
    places = np.arange(len(found))
    colours = [method_colour(m, k) for k, m in enumerate(report.methods)]
    ax.barh(places, value, color=colours, alpha=0.85, height=0.7)
    ax.errorbar(
        value, places, xerr=[value - low, high - value], fmt="none", ecolor="black", capsize=2.5
    )
    ax.set_yticks(places, [method_name(m) for m in report.methods])
    ax.invert_yaxis()
    texts = int(found["documents"].max()) if len(part) else 0
    ax.set_title(_title(report, metric, direction, texts), fontsize=9)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5))
    set_plain_style(ax)
    return ax


def _panels(count: int, height: float) -> tuple[NotebookFigure, list[Axes]]:
    rows = math.ceil(count / _COLUMNS)
    columns = min(count, _COLUMNS)
    size = (5.2 * columns, height * rows)
    figure = NotebookFigure(figsize=size, layout="constrained")
    return figure, [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def _title(report: EvaluationResults, metric: str, direction: str, texts: int) -> str:
    quantity = report.quantities[metric]
    better = _BETTER[quantity.sign(direction)]
    which = _DIRECTIONS.get(direction, "all texts" if direction == "all" else direction)
    return f"{quantity.title}\n{which} ({texts:,}){'; ' + better if better else ''}".replace(
        "$", r"\$"
    )


def _quoted(metrics: Sequence[str] | str) -> str:
    return ", ".join(map(repr, [metrics] if isinstance(metrics, str) else metrics))


def _short(title: str) -> str:
    return title.split(" after ")[0].replace("$", r"\$")


def draw_curve(
    curve: pd.DataFrame,
    method: str,
    place: int,
    ax: Axes,
    *,
    shade: float = 0.15,
    linestyle: str = "-",
) -> None:
    """Draw the `value` of one method over `k`, shaded from `low` to `high`."""
    colour = method_colour(method, place)
    ax.fill_between(curve["k"], curve["low"], curve["high"], color=colour, alpha=shade, linewidth=0)
    ax.plot(
        curve["k"],
        curve["value"],
        color=colour,
        marker=method_marker(place),
        markersize=4.5,
        linestyle=linestyle,
        label=method_name(method),
    )


def set_plain_style(ax: Axes) -> None:
    """Give axes a pale grid behind the data, and remove the top and right spines."""
    ax.grid(alpha=0.25)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
