"""Figures of an analysis, drawn by Matplotlib without a display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.sentences import quoted, strategy_names
from seqlrp.errors import OptionError, check_number, near
from seqlrp.show.colours import LIGHT
from seqlrp.show.plots.labels import make_labels, new_axes
from seqlrp.show.plots.style import around_bars, method_marker
from seqlrp.show.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from seqlrp.analysis.results import AnalysisResults

_LEGEND = 16  # strategies that a legend names
# Of strategies, as on the page: those of Okabe and Ito (2008) that are seen on white.
_COLOURS = (
    "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#a33a63", "#7f7f7f",
)  # fmt: skip


def class_named(analysis: AnalysisResults, target: int | str | None) -> str:
    """The name of a class that was explained, by its name or index; the first one for None.

    Raises:
        OptionError: no text was explained for it.
    """
    explained = set(analysis.documents["class"])
    present = [label for label in analysis.labels if label in explained]
    if target is None:
        return present[0]
    known = dict(enumerate(analysis.labels))
    label = target if isinstance(target, str) else known.get(target, str(target))
    if label not in present:
        raise OptionError(
            f"No text was explained for the class {label!r}. {near(label, present)}",
            option="target",
            got=target,
            known=tuple(present),
        )
    return label


def words_axes(
    analysis: AnalysisResults, target: int | str | None, n: int, ax: Axes | None
) -> Axes:
    """Bars of the strongest words of a class, with intervals and numbers of texts."""
    check_number("n", n, least=1, whole=True)
    label = class_named(analysis, target)
    table = analysis.class_words
    shown = table[table["class"] == label].head(n).iloc[::-1]
    words = make_labels(shown["word"])
    ax = new_axes(ax, 5.4 + words.inches, 1.1 + 0.27 * max(len(shown), 1))
    mean = shown["mean"].to_numpy(np.float64)
    colours = [LIGHT.deepest_against if value < 0 else LIGHT.deepest_for for value in mean]
    rows = np.arange(len(shown))
    ax.barh(rows, mean, color=colours, height=0.8)
    low, high = shown["low"].to_numpy(np.float64), shown["high"].to_numpy(np.float64)
    known = ~np.isnan(low)
    ax.hlines(rows[known], low[known], high[known], color=LIGHT.ink, linewidth=1)
    ax.set_yticks(rows, words.texts, **words.options)
    for row, count in enumerate(shown["documents"].tolist()):
        ax.text(
            1.01, row, counted(count, "text"),
            transform=ax.get_yaxis_transform(), va="center", size=8, color=LIGHT.quiet,
        )  # fmt: skip
    name = make_labels([label])
    ax.set_xlabel(f"mean relevance, 95 % interval, for {name.texts[0]}", **name.options)
    return around_bars(ax)


def map_axes(analysis: AnalysisResults, ax: Axes | None) -> Axes:
    """The texts in two dimensions: a marker a class, a colour a strategy; outliers are hollow."""
    documents = analysis.documents
    ax = new_axes(ax, 7.5, 5.5)
    groups = documents.groupby(["class", "strategy"], sort=True)
    names, kinds = strategy_names(analysis), {label: k for k, label in enumerate(analysis.labels)}
    for place, ((class_, strategy), own) in enumerate(groups):
        outlier = own["outlier"].to_numpy(bool)
        colour = _COLOURS[int(str(strategy)) % len(_COLOURS)]
        label = make_labels([f"{class_}: {names[str(class_), int(str(strategy))]}"]).texts[0]
        x, y = own["x"].to_numpy(np.float64), own["y"].to_numpy(np.float64)
        style: dict[str, Any] = {
            "marker": method_marker(kinds[str(class_)]),
            "s": 14,
            "linewidths": 0.8,
        }
        ax.scatter(
            x[~outlier], y[~outlier], color=colour, **style,
            label=label if place < _LEGEND else None,
        )  # fmt: skip
        ax.scatter(x[outlier], y[outlier], facecolors="none", edgecolors=colour, **style)
    ax.set_xticks([])
    ax.set_yticks([])
    if len(groups):
        options = make_labels([" ".join(analysis.labels)]).options
        legend = ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=8)
        for text in legend.get_texts():
            text.set_parse_math(False)
            text.set_fontfamily(options["family"])
    return ax


def eigenvalues_axes(analysis: AnalysisResults, target: int | str | None, ax: Axes | None) -> Axes:
    """The smallest eigenvalues of a class, and the number of clusters that was chosen."""
    label = class_named(analysis, target)
    values = analysis.found.eigenvalues[label]
    ax = new_axes(ax, 5, 3.2)
    ax.plot(np.arange(1, len(values) + 1), values, "o-", color=LIGHT.ink, markersize=4, linewidth=1)
    chosen = int((analysis.strategies["class"] == label).sum())
    ax.axvline(chosen + 0.5, color=LIGHT.deepest_for, linestyle="--", linewidth=1)
    name = make_labels([label])
    clusters = counted(chosen, "cluster")
    ax.set_xlabel(f"number of the eigenvalue, for {name.texts[0]}: {clusters}", **name.options)
    ax.set_ylabel("eigenvalue")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def shortcuts_axes(analysis: AnalysisResults, n: int, ax: Axes | None) -> Axes:
    """The share of predictions that candidates flip, put in and taken out, and their controls."""
    check_number("n", n, least=1, whole=True)
    shown = analysis.shortcuts.head(n).iloc[::-1]
    names = [f"{quoted(row)} ({row['class']})" for row in shown.to_dict("records")]
    labels = make_labels(names)
    ax = new_axes(ax, 5.4 + labels.inches, 1.4 + 0.45 * max(len(shown), 1))
    rows = np.arange(len(shown))
    for shift, name, colour in (
        (0.2, "inserted", LIGHT.deepest_for),
        (-0.2, "removed", LIGHT.deepest_against),
    ):
        share = shown[name].to_numpy(np.float64)
        control = shown[f"{name}_control"].to_numpy(np.float64)
        ax.barh(rows + shift, np.nan_to_num(share), color=colour, height=0.36, label=name)
        low, high = (
            np.clip(control + shown[f"{name}_{end}"].to_numpy(np.float64), 0, 1)
            for end in ("low", "high")
        )
        known = ~np.isnan(low)
        ax.hlines(rows[known] + shift, low[known], high[known], color=LIGHT.ink, linewidth=1)
        ax.plot(
            control, rows + shift, "|", color=LIGHT.ink, markersize=9,
            label="control words" if name == "removed" else None,
        )  # fmt: skip
    ax.set_yticks(rows, labels.texts, **labels.options)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of predictions that turn")
    if len(shown):
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False, fontsize=8)
    return around_bars(ax)
