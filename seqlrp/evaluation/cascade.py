"""What is left of relevance when more and more layers are made random: the record, its figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seqlrp.errors import OptionError, near
from seqlrp.evaluation import statistics

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

MEASURES = {
    "spearman_absolute": "|relevance|",
    "spearman": "relevance",
}


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """How relevance changes with the weights, as `cascading_randomisation` finds it.

    Attributes:
        table: a row for each `document`, `method`, `metric`, `layer` (the last one made random, ""
            before any) and `k` (how many are), with its `value`, Spearman's correlation with the
            relevance of the untouched model: "spearman" of relevance as it is,
            "spearman_absolute" of its absolute values. NaN for a text of one word, or where all
            words have the same.
        method: what was tested.
        layers: the layers in the order in which they became random, the output first.
        seed: of the random weights and of bootstraps.
    """

    table: pd.DataFrame
    method: str
    layers: tuple[str, ...]
    seed: int

    def __repr__(self) -> str:
        texts = self.table["document"].nunique()
        return f"Cascade({self.method!r}, {len(self.layers)} layers, {texts:,} texts)"

    def curve(self, metric: str = "spearman_absolute") -> pd.DataFrame:
        """The mean correlation after each layer, with its 95 % interval (bootstrap over texts).

        Columns: k, layer, value, low, high, documents (that have a value).

        Raises:
            OptionError: another metric.
        """
        import pandas as pd

        if metric not in MEASURES:
            raise OptionError(f"There is no metric {metric!r}. {near(metric, MEASURES)}")
        part = self.table[self.table["metric"] == metric]
        values = part.pivot(index="document", columns="k", values="value")
        mean, low, high = statistics.mean_interval(values.to_numpy(float), self.seed)
        known = values.notna().sum().to_numpy()
        columns = {"k": values.columns, "layer": ["", *self.layers]}
        numbers = {"value": mean, "low": low, "high": high, "documents": known}
        return pd.DataFrame({**columns, **numbers})

    def plot(self, metric: str = "spearman_absolute", *, ax: Axes | None = None) -> Axes:
        """The curve over layers, shaded by its interval; at 0 nothing of before is left.

        Drawn onto the same axes, several methods stand beside each other.

        Args:
            metric: "spearman_absolute" or "spearman".
            ax: where to draw; left out, in a figure of its own (`.figure` of what is returned).

        Raises:
            OptionError: another metric.
        """
        from seqlrp.evaluation.plots import draw_curve, plain
        from seqlrp.plots.labels import axes_of, written

        curve = self.curve(metric)
        ax = axes_of(ax, 6.4, 3.8)
        others = [line for line in ax.lines if not str(line.get_label()).startswith("_")]
        draw_curve(curve, self.method, len(others), ax)
        names = written(["none", *(name or "the model itself" for name in self.layers)], size=9)
        ax.set_xticks(curve["k"], names.texts, rotation=20, ha="right", **names.options)
        if not others:
            ax.axhline(0, color="black", linewidth=0.6, label="_zero")
        ax.set_xlabel("layers made random, from the output down to")
        ax.set_ylabel(f"rank correlation of\n{MEASURES[metric]} with before")
        plain(ax)
        ax.legend(frameon=False, fontsize=8)
        return ax
