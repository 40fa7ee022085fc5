"""The figure of a repair: accuracies before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqlrp.show.plots import NotebookFigure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_COLOURS = {"before": "#9aa0a6", "after": "#1a73e8"}
_ROW = 0.42  # height of a kind of texts, in inches


def accuracy_figure(measures: pd.DataFrame) -> Figure:
    """Draw a pair of bars for each kind of texts, with their 95 % intervals."""
    table = measures[(measures["measure"] == "accuracy") & (measures["documents"] > 0)]
    several = table["shortcut"].nunique() > 2
    names = [
        f"{texts} ({shortcut})" if several and shortcut else texts
        for texts, shortcut in zip(table["texts"], table["shortcut"], strict=True)
    ]
    figure = NotebookFigure(figsize=(7.0, 1.0 + _ROW * len(table)), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(table), dtype=float)
    for shift, side in ((-0.2, "before"), (0.2, "after")):
        value = table[side].to_numpy(float)
        reach = [value - table[f"{side}_low"], table[f"{side}_high"] - value]
        axes.barh(places + shift, value, height=0.36, color=_COLOURS[side], label=side)
        axes.errorbar(
            value, places + shift, xerr=np.clip(reach, 0, None), fmt="none", ecolor="black",
            capsize=2,
        )  # fmt: skip
    axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("accuracy")
    axes.spines[["top", "right"]].set_visible(False)
    # Above the bars, which leave no corner free.
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8, ncols=2,
                  loc="outside upper center")  # fmt: skip
    return figure
