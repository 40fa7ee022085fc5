"""What an evaluation found: every row, and the figures, intervals and comparisons made of them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import OptionError, SavedFileError, near
from seqlrp.evaluation import statistics
from seqlrp.evaluation.files import read_rows, write_rows
from seqlrp.evaluation.metric import Quantity
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANCE = "random"
_DIRECTIONS = ("all", "right", "wrong")  # the order in which they are shown; others follow


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """What an evaluation found.

    Attributes:
        table: a row for each `document` (which of the texts given), `method`, random `order`,
            `metric`, `direction` and `k`, with its `value`; NaN where there was nothing to measure,
            never 0 or 1. `k` is NaN for a metric without places.
        quantities: what each name in the column `metric`, a figure, means, and whether more is
            better. A metric gives one figure or several, see `metrics`.
        seconds: what a method took to explain a text, on average; NaN for attributions from
            outside.
        made: how it was made, JSON values: `seed`, `options`, `methods`, `metrics`, `versions`,
            `documents`, `left_out` (texts with fewer than `min_words` words) and more.
    """

    table: pd.DataFrame
    quantities: Mapping[str, Quantity]
    seconds: Mapping[str, float]
    made: Mapping[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods compared, in the order in which they were asked for."""
        return tuple(self.seconds)

    @property
    def metrics(self) -> dict[str, tuple[str, ...]]:
        """The figures of each metric, the names in the column `metric` of all tables.

        `"aopc"`, say, gives the curves `"morf"` and `"lerf"`, the areas `"aopc_morf"` and
        `"aopc_lerf"`, and the area between the two, `"abpc"`.
        """
        known = {name: tuple(figures) for name, figures in self.made.get("figures", {}).items()}
        return known or {name: (name,) for name in self.quantities}

    @property
    def seed(self) -> int:
        """Of the random orders and of every bootstrap."""
        return int(self.made["seed"])

    def ks(self, metric: str) -> tuple[float, ...]:
        """The places k at which a metric was measured; empty where it has none."""
        ks = self.table.loc[self.table["metric"] == self._known(metric), "k"].dropna().unique()
        return tuple(sorted(float(k) for k in ks))

    def directions(self, metric: str) -> tuple[str, ...]:
        """How documents were treated: `"all"` alike, or those classified `"right"` or `"wrong"`."""
        found = self.table.loc[self.table["metric"] == self._known(metric), "direction"].unique()
        return tuple(sorted(found, key=lambda d: _DIRECTIONS.index(d) if d in _DIRECTIONS else 9))

    def curves(self, metric: str = "deletion_accuracy") -> pd.DataFrame:
        """The mean of a metric for each direction, method and k, with its 95 % interval.

        Columns: direction, method, k, value, low, high, documents (those that have a value). The
        interval is a bootstrap over documents, and over random orders where there are several.
        """
        import pandas as pd

        rows = []
        for direction in self.directions(metric):
            for method in self.methods:
                ks, cube = self._cube(metric, direction, method)
                if not len(cube):
                    continue
                mean, low, high = statistics.mean_interval(cube, self.seed)
                known = (~np.isnan(cube)).any(1).sum(0)
                rows += [
                    (direction, method, k, *values)
                    for k, *values in zip(ks, mean, low, high, known, strict=True)
                ]
        names = ["direction", "method", "k", "value", "low", "high", "documents"]
        return pd.DataFrame(rows, columns=names)

    @cached_property
    def results(self) -> pd.DataFrame:
        """One number for each metric, direction and method: its mean over k > 0 and documents.

        Columns: metric, direction, method, better (`"higher"`, `"lower"` or `"neither"`), value,
        low, high (95 % interval), documents (that have a value), missing (that have none).
        """
        import pandas as pd

        rows = []
        for metric, direction, values in self._headlines():
            sign = self.quantities[metric].sign(direction)
            better = {1: "higher", -1: "lower"}.get(sign, "neither")
            for method, matrix in values.items():
                (mean,), (low,), (high,) = statistics.mean_interval(matrix[:, :, None], self.seed)
                known = int((~np.isnan(matrix)).any(1).sum())
                missing = len(matrix) - known
                rows.append((metric, direction, method, better, mean, low, high, known, missing))
        names = ["metric", "direction", "method", "better"]
        return pd.DataFrame(rows, columns=[*names, "value", "low", "high", "documents", "missing"])

    def advantage(self, over: str = CHANCE, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """How much better each method is than another one, on the same documents.

        Differences of the numbers in `results`, signed so that positive is better. Columns: metric,
        direction, method, over, difference, low, high (95 % interval), p (two-sided, sign-flip
        permutation), p_holm (corrected for the number of rows), d_z, rank_biserial, documents.

        Args:
            over: a method of the report.
            metrics: which metrics or figures; by default all.

        Raises:
            OptionError: there is no method `over`, or no such metric.
        """
        import pandas as pd

        if over not in self.methods:
            raise OptionError(f"The report has no method {over!r}. {near(over, self.methods)}")
        rows = []
        chosen = self.figures(metrics)
        for metric, direction, values in self._headlines():
            sign = self.quantities[metric].sign(direction) if metric in chosen else 0
            for method, matrix in values.items():
                if method == over or over not in values or not sign:
                    continue
                found = statistics.compare(sign * matrix, sign * values[over], self.seed)
                rows.append((metric, direction, method, over, *dataclasses.astuple(found)))
        measures = [f.name for f in dataclasses.fields(statistics.Comparison)]
        table = pd.DataFrame(rows, columns=["metric", "direction", "method", "over", *measures])
        table.insert(8, "p_holm", statistics.holm(table["p"].to_numpy(float)))  # after p
        return table

    def verdict(self) -> str:
        """Which methods are better than chance, and which are best: a sentence a method."""
        from seqlrp.evaluation.tables import as_verdict

        return as_verdict(self)

    def summary(self) -> str:
        """The verdict, then every figure with its interval, what it means and who is best."""
        from seqlrp.evaluation.tables import as_text

        return as_text(self)

    def to_pandas(self) -> pd.DataFrame:
        """A table of all methods and metrics as text; numbers are in `results` and `curves`."""
        from seqlrp.evaluation.tables import as_frame

        return as_frame(self)

    def to_markdown(self) -> str:
        """A table of all methods and metrics, with intervals and times."""
        from seqlrp.evaluation.tables import as_markdown

        return as_markdown(self)

    def to_latex(self) -> str:
        """The same table for LaTeX, with the rules of the package booktabs."""
        from seqlrp.evaluation.tables import as_latex

        return as_latex(self)

    def to_csv(self) -> str:
        """A row for each metric, direction and method: the columns of `results`, and times."""
        from seqlrp.evaluation.tables import as_csv

        return as_csv(self)

    def plot(self, metrics: Sequence[str] | None = None) -> Figure:
        """Curves over k of several metrics, a panel each, shaded by their intervals.

        Args:
            metrics: metrics or figures; by default all that have curves; without any, bars of
                all results.

        Raises:
            OptionError: there is no such metric.
        """
        from seqlrp.evaluation.plots import curves_figure

        return curves_figure(self, metrics)

    def plot_results(self, metrics: Sequence[str] | None = None) -> Figure:
        """Bars of the results, a panel a figure and direction, with their intervals.

        Args:
            metrics: metrics or figures; by default all.

        Raises:
            OptionError: there is no such metric, or it has no mean.
        """
        from seqlrp.evaluation.plots import bars_figure

        return bars_figure(self, metrics)

    def plot_curve(
        self,
        metric: str = "deletion_accuracy",
        direction: str | None = None,
        *,
        ax: Axes | None = None,
    ) -> Axes:
        """Curves over k of one figure and direction, shaded by their intervals.

        Args:
            metric: one that has curves, see `ks`.
            direction: by default the first of `directions(metric)`.
            ax: where to draw; left out, in a figure of its own (`.figure` of what is returned).
        """
        from seqlrp.evaluation.plots import curve_axes

        return curve_axes(self, metric, direction, ax)

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every row (`evaluation.parquet`), tables and pictures into a folder.

        `summary.txt` is `summary`, `evaluation.csv` and `.md` hold the results, `curves.csv` the
        curves, `curves.png` and `results.png` what `plot` and `plot_results` draw.

        Raises:
            WriteError: the file system refused; what was there before is unchanged.
        """
        import pandas as pd

        folder = Path(folder)
        about = {
            "quantities": {name: dataclasses.asdict(q) for name, q in self.quantities.items()},
            "seconds": {m: None if np.isnan(s) else s for m, s in self.seconds.items()},
            "made": dict(self.made),
        }
        paths = [folder / "evaluation.parquet"]
        write_rows(paths[0], self.table, about)
        curves = [
            self.curves(metric).assign(metric=metric)
            for metric in self.quantities
            if self.ks(metric)
        ]
        texts = {
            "summary.txt": self.summary() + "\n",
            "evaluation.csv": self.to_csv(),
            "evaluation.md": self.to_markdown(),
        }
        if curves:
            texts["curves.csv"] = pd.concat(curves).to_csv(index=False, lineterminator="\n")
        for name, text in texts.items():
            with written_whole(folder / name) as temporary:
                temporary.write_text(text, "utf-8", newline="\n")
            paths.append(folder / name)
        for name, draw in (("curves.png", self.plot), ("results.png", self.plot_results)):
            with written_whole(folder / name) as temporary:
                draw().savefig(temporary, dpi=150)
            paths.append(folder / name)
        return paths

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> EvaluationReport:
        """Read what `save` wrote: its folder, or the `evaluation.parquet` in it.

        Raises:
            SavedFileError: the file is not there, foreign or damaged.
        """
        path = Path(path)
        path = path / "evaluation.parquet" if path.is_dir() else path
        table, about = read_rows(path)
        try:
            quantities = {name: Quantity(**given) for name, given in about["quantities"].items()}
            seconds = {m: np.nan if s is None else float(s) for m, s in about["seconds"].items()}
            return cls(table, quantities, seconds, about["made"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise SavedFileError(f"{path} does not say how it was made; evaluate again.") from error

    def figures(self, metrics: Sequence[str] | str | None = None) -> tuple[str, ...]:
        """The figures of these metrics; a name may also be that of a figure itself.

        Raises:
            OptionError: there is no such metric.
        """
        if metrics is None:
            return tuple(self.quantities)
        names = [metrics] if isinstance(metrics, str) else metrics
        of = {name: (name,) for name in self.quantities} | self.metrics
        if unknown := [name for name in names if name not in of]:
            hint = near(unknown[0], of)
            raise OptionError(f"The report has no metric {unknown[0]!r}. {hint}")
        return tuple(dict.fromkeys(figure for name in names for figure in of[name]))

    def _known(self, metric: str) -> str:
        figures = (metric,) if metric in self.quantities else self.figures(metric)
        if len(figures) > 1:
            raise OptionError(
                f"{metric!r} is a metric of several figures, name one: "
                f"{', '.join(map(repr, figures))}."
            )
        return figures[0]

    def __repr__(self) -> str:
        texts = self.table["document"].nunique()
        parts = [f"texts: {texts:,}"]
        for what, names in (("methods", self.methods), ("metrics", tuple(self.metrics))):
            shown = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
            parts.append(f"{what}: {shown}")
        return f"EvaluationReport({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        return str(self.to_pandas().to_html())

    @cached_property
    def _groups(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        names = ["metric", "direction", "method"]
        return dict(iter(self.table.groupby(names, sort=False)))  # type: ignore[arg-type]

    @cached_property
    def _documents(self) -> dict[tuple[str, str], npt.NDArray[np.int64]]:
        """The documents of each metric and direction, whatever the method: what pairs stand on."""
        groups = self.table.groupby(["metric", "direction"], sort=False)["document"]
        return {key: np.unique(part.to_numpy()) for key, part in groups}  # type: ignore[misc]

    def _cube(
        self, metric: str, direction: str, method: str
    ) -> tuple[tuple[float, ...], npt.NDArray[np.float64]]:
        """The places, and the values `[documents, orders, places]` in the order of documents."""
        part = self._groups.get((metric, direction, method))
        if part is None:
            return (), np.zeros((0, 1, 0))
        documents = self._documents[metric, direction]
        orders, of_order = np.unique(part["order"].to_numpy(), return_inverse=True)
        ks, of_k = np.unique(part["k"].to_numpy(np.float64), return_inverse=True)
        cube = np.full((len(documents), len(orders), len(ks)), np.nan)
        places = np.searchsorted(documents, part["document"].to_numpy())
        cube[places, of_order, of_k] = part["value"].to_numpy()
        return tuple(float(k) for k in ks), cube

    def _headlines(self) -> Iterator[tuple[str, str, dict[str, npt.NDArray[np.float64]]]]:
        """For each metric and direction: the values `[documents, orders]` of each method."""
        for metric, quantity in self.quantities.items():
            for direction in self.directions(metric) if quantity.headline else ():
                found = {}
                for method in self.methods:
                    ks, cube = self._cube(metric, direction, method)
                    if len(cube):
                        chosen = cube[:, :, [k != 0 for k in ks]]
                        known = (~np.isnan(chosen)).sum(2)
                        total = np.nansum(chosen, axis=2)
                        found[method] = np.where(known > 0, total / np.maximum(known, 1), np.nan)
                yield metric, direction, found
