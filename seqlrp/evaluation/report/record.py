"""The results of an evaluation: every row, and the means, intervals and comparisons of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import OptionError, near
from seqlrp.evaluation.metrics.metric import Quantity
from seqlrp.evaluation.statistics import Comparison, compare, holm, mean_interval

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

CHANCE = "random"
_DIRECTIONS = ("all", "right", "wrong")  # the order in which they are shown; others follow


@dataclass(frozen=True, eq=False)
class EvaluationResults:
    """The values that an evaluation measured, and what is computed from them.

    It is the base of `seqlrp.EvaluationReport`, which describes the attributes.
    """

    table: pd.DataFrame
    quantities: Mapping[str, Quantity]
    seconds: Mapping[str, float]
    made: Mapping[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that are compared, in the order in which they were passed."""
        return tuple(self.seconds)

    @property
    def metrics(self) -> dict[str, tuple[str, ...]]:
        """The names of each metric's quantities, as in the column `metric` of all tables.

        For example, `"aopc"` computes the curves `"morf"` and `"lerf"`, the areas over them,
        `"aopc_morf"` and `"aopc_lerf"`, and the area between them, `"abpc"`.
        """
        known = {name: tuple(names) for name, names in self.made.get("figures", {}).items()}
        return known or {name: (name,) for name in self.quantities}

    @property
    def seed(self) -> int:
        """The seed of random orders and bootstraps."""
        return int(self.made["seed"])

    def ks(self, metric: str) -> tuple[float, ...]:
        """Return the values of k at which a quantity was measured; empty where it has none."""
        ks = (
            self.table.loc[self.table["metric"] == self._quantity_name(metric), "k"]
            .dropna()
            .unique()
        )
        return tuple(sorted(float(k) for k in ks))

    def directions(self, metric: str) -> tuple[str, ...]:
        """Return the directions of a quantity: `"all"`, or `"right"` and `"wrong"`, or others."""
        found = self.table.loc[
            self.table["metric"] == self._quantity_name(metric), "direction"
        ].unique()
        return tuple(sorted(found, key=lambda d: _DIRECTIONS.index(d) if d in _DIRECTIONS else 9))

    def curves(self, metric: str = "deletion_accuracy") -> pd.DataFrame:
        """Compute the mean of a quantity for each direction, method and k, with its 95 % interval.

        The interval is a bootstrap over documents, and over random orders where there are several.

        Returns:
            a table with the columns direction, method, k, value, low, high and documents (how many
            have a value).

        Raises:
            OptionError: there is no such quantity.
        """
        import pandas as pd

        rows = []
        for direction in self.directions(metric):
            for method in self.methods:
                ks, cube = self._cube(metric, direction, method)
                if not len(cube):
                    continue
                mean, low, high = mean_interval(cube, self.seed)
                known = (~np.isnan(cube)).any(1).sum(0)
                rows += [
                    (direction, method, k, *values)
                    for k, *values in zip(ks, mean, low, high, known, strict=True)
                ]
        names = ["direction", "method", "k", "value", "low", "high", "documents"]
        return pd.DataFrame(rows, columns=names)

    @cached_property
    def results(self) -> pd.DataFrame:
        """The mean over k > 0 and documents, for each quantity, direction and method.

        Columns: metric, direction, method, better (`"higher"`, `"lower"` or `"neither"`), value,
        low, high (95 % interval), documents (how many have a value) and missing (how many have
        none).
        """
        import pandas as pd

        rows = []
        for metric, direction, values in self._headline_values():
            sign = self.quantities[metric].sign(direction)
            better = {1: "higher", -1: "lower"}.get(sign, "neither")
            for method, matrix in values.items():
                (mean,), (low,), (high,) = mean_interval(matrix[:, :, None], self.seed)
                known = int((~np.isnan(matrix)).any(1).sum())
                missing = len(matrix) - known
                rows.append((metric, direction, method, better, mean, low, high, known, missing))
        names = ["metric", "direction", "method", "better"]
        return pd.DataFrame(rows, columns=[*names, "value", "low", "high", "documents", "missing"])

    def advantage(self, over: str = CHANCE, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        """Compare each method with another one on the same documents.

        Args:
            over: a method of the report.
            metrics: names of metrics or quantities; by default all.

        Returns:
            a table of the differences of `results`, positive where the method is better than
            `over`. Columns: metric, direction, method, over, difference, low, high (95 % interval),
            p (two-sided, sign-flip permutation), p_holm (corrected for the number of rows), d_z,
            rank_biserial, documents.

        Raises:
            OptionError: there is no method `over`, or no such metric.
        """
        import pandas as pd

        if over not in self.methods:
            raise OptionError(
                f"The report has no method {over!r}. {near(over, self.methods)}",
                option="over",
                got=over,
                known=self.methods,
            )
        rows = []
        chosen = self.quantity_names(metrics)
        for metric, direction, values in self._headline_values():
            sign = self.quantities[metric].sign(direction) if metric in chosen else 0
            for method, matrix in values.items():
                if method == over or over not in values or not sign:
                    continue
                comparison = compare(sign * matrix, sign * values[over], self.seed)
                rows.append((metric, direction, method, over, *dataclasses.astuple(comparison)))
        measures = [f.name for f in dataclasses.fields(Comparison)]
        table = pd.DataFrame(rows, columns=["metric", "direction", "method", "over", *measures])
        table.insert(8, "p_holm", holm(table["p"].to_numpy(float)))  # after p
        return table

    def document_values(self, metric: str) -> dict[str, npt.NDArray[np.float64]]:
        """Return the value of each document by method, `[documents, orders]`, higher is better.

        The value is the mean over k > 0, with the opposite sign where lower is better. Documents
        are in their order, those of all directions together; NaN where there was nothing to
        measure.

        Raises:
            OptionError: there is no such quantity, or no value of it is better than another.
        """
        name = self._quantity_name(metric)
        signs = {d: self.quantities[name].sign(d) for d in self.directions(name)}
        if not self.quantities[name].headline or 0 in signs.values():
            raise OptionError(
                f"{name!r} is no quantity by which methods can be ranked.",
                option="metric",
                got=metric,
            )
        found: dict[str, list[npt.NDArray[np.float64]]] = {method: [] for method in self.methods}
        for quantity, direction, values in self._headline_values():
            for method, matrix in values.items() if quantity == name else ():
                found[method].append(signs[direction] * matrix)
        numbers = np.concatenate([self._documents[name, direction] for direction in signs])
        return {method: np.concatenate(v)[np.argsort(numbers)] for method, v in found.items() if v}

    def quantity_names(self, metrics: Sequence[str] | str | None = None) -> tuple[str, ...]:
        """Return the names of the quantities of metrics.

        Args:
            metrics: names of metrics or quantities; by default all.

        Raises:
            OptionError: there is no such metric.
        """
        if metrics is None:
            return tuple(self.quantities)
        names = [metrics] if isinstance(metrics, str) else metrics
        known = {name: (name,) for name in self.quantities} | self.metrics
        if unknown := [name for name in names if name not in known]:
            raise OptionError(
                f"The report has no metric {unknown[0]!r}. {near(unknown[0], known)}",
                option="metrics",
                got=unknown[0],
                known=tuple(known),
            )
        return tuple(dict.fromkeys(quantity for name in names for quantity in known[name]))

    def _quantity_name(self, metric: str) -> str:
        """The name of a quantity, or of the single quantity of a metric."""
        names = (metric,) if metric in self.quantities else self.quantity_names(metric)
        if len(names) > 1:
            raise OptionError(
                f"{metric!r} is a metric of several quantities, name one: "
                f"{', '.join(map(repr, names))}.",
                option="metric",
                got=metric,
                known=names,
            )
        return names[0]

    def __repr__(self) -> str:
        texts = self.table["document"].nunique()
        parts = [f"texts: {texts:,}"]
        for what, names in (("methods", self.methods), ("metrics", tuple(self.metrics))):
            shown = ", ".join(map(repr, names[:5])) + (", …" if len(names) > 5 else "")
            parts.append(f"{what}: {shown}")
        return f"{type(self).__name__}({'; '.join(parts)})"

    @cached_property
    def _groups(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        names = ["metric", "direction", "method"]
        return dict(iter(self.table.groupby(names, sort=False)))  # type: ignore[arg-type]

    @cached_property
    def _documents(self) -> dict[tuple[str, str], npt.NDArray[np.int64]]:
        """The documents of each quantity and direction, which are the same for every method."""
        groups = self.table.groupby(["metric", "direction"], sort=False)["document"]
        return {key: np.unique(part.to_numpy()) for key, part in groups}  # type: ignore[misc]

    def _cube(
        self, metric: str, direction: str, method: str
    ) -> tuple[tuple[float, ...], npt.NDArray[np.float64]]:
        """The values of k, and the values `[documents, orders, ks]`, sorted by document."""
        part = self._groups.get((metric, direction, method))
        if part is None:
            return (), np.zeros((0, 1, 0))
        documents = self._documents[metric, direction]
        orders, of_order = np.unique(part["order"].to_numpy(), return_inverse=True)
        ks, of_k = np.unique(part["k"].to_numpy(np.float64), return_inverse=True)
        cube = np.full((len(documents), len(orders), len(ks)), np.nan)
        of_document = np.searchsorted(documents, part["document"].to_numpy())
        cube[of_document, of_order, of_k] = part["value"].to_numpy()
        return tuple(float(k) for k in ks), cube

    def _headline_values(self) -> Iterator[tuple[str, str, dict[str, npt.NDArray[np.float64]]]]:
        """Yield each quantity and direction, with values `[documents, orders]` by method."""
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
