"""The result of cascading randomisation: how relevance changes as layers are randomised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqlrp.errors import check_choice
from seqlrp.evaluation.statistics import mean_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MEASURES = {
    "spearman_absolute": "|relevance|",
    "spearman": "relevance",
}


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """The correlation of relevance before and after layers are randomised.

    Attributes:
        table: a row for each `document`, `method`, `metric`, `layer` (the last one that was
            randomised, "" before any) and `k` (how many were), with its `value`, Spearman's
            correlation with the relevance of the original model: "spearman" of signed relevance,
            "spearman_absolute" of absolute relevance. NaN for a text of one word, or where all
            words have the same relevance.
        method: the method that was tested.
        layers: the layers in the order in which they were randomised, from the output.
        seed: the seed of the random weights and of bootstraps.
    """

    table: pd.DataFrame
    method: str
    layers: tuple[str, ...]
    seed: int

    def __repr__(self) -> str:
        texts = self.table["document"].nunique()
        return f"Cascade({self.method!r}, {len(self.layers)} layers, {texts:,} texts)"

    def curve(self, metric: str = "spearman_absolute") -> pd.DataFrame:
        """Compute the mean correlation after each layer, with its 95 % interval over texts.

        Args:
            metric: "spearman_absolute" or "spearman".

        Returns:
            a table with the columns k, layer, value, low, high and documents (how many have a
            value).

        Raises:
            OptionError: there is no such metric.
        """
        import pandas as pd

        check_choice("metric", metric, MEASURES)
        part = self.table[self.table["metric"] == metric]
        values = part.pivot(index="document", columns="k", values="value")
        mean, low, high = mean_interval(values.to_numpy(float), self.seed)
        known = values.notna().sum().to_numpy()
        columns = {"k": values.columns, "layer": ["", *self.layers]}
        numbers = {"value": mean, "low": low, "high": high, "documents": known}
        return pd.DataFrame({**columns, **numbers})

    def plot(self, metric: str = "spearman_absolute", *, ax: Axes | None = None) -> Axes:
        """Plot the curve over layers with its interval; 0 means no relation to the original.

        Several methods can be compared by plotting them on the same axes.

        Args:
            metric: "spearman_absolute" or "spearman".
            ax: where to draw; by default in a new figure, the attribute `figure` of the result.

        Raises:
            OptionError: there is no such metric.
        """
        from seqlrp.evaluation.report.plots import draw_curve, set_plain_style
        from seqlrp.show.plots.labels import make_labels, new_axes

        curve = self.curve(metric)
        ax = new_axes(ax, 6.4, 3.8)
        others = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
        draw_curve(curve, self.method, len(others), ax)
        names = make_labels(["none", *(name or "the model itself" for name in self.layers)], size=9)
        ax.set_xticks(curve["k"], names.texts, rotation=20, ha="right", **names.options)
        if not others:
            ax.axhline(0, color="black", linewidth=0.6, label="_zero")
        ax.set_xlabel("layers made random, from the output down to")
        ax.set_ylabel(f"rank correlation of\n{MEASURES[metric]} with before")
        set_plain_style(ax)
        ax.legend(frameon=False, fontsize=8)
        return ax
