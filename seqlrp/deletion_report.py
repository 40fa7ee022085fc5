"""What the deletion experiment found: curves, their intervals, and one method against another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.errors import OptionError, near
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import matplotlib.figure
    import numpy.typing as npt
    import pandas as pd

DIRECTIONS = ("right", "wrong")
_ADVERBS = {"right": "correctly", "wrong": "wrongly"}
_RESAMPLES = 2000


@dataclass(frozen=True)
class DeletionReport:
    """What the deletion experiment found.

    Attributes:
        table: a row for each document, method, order (`seed`) and number of deleted words `k`,
            with `direction` (`"right"`: the document was classified correctly to begin with, words
            deleted most relevant first; `"wrong"`: least relevant first), the true class's `score`
            and `probability`, and `correct`. Where a document has fewer than `k` words (or no
            word would be left) the last three are missing, never 0 or 1.
        removal: how words were removed.
        min_words: shorter documents were left out.
        left_out: how many those were.
        seed: of the bootstrap and the random orders.
    """

    table: pd.DataFrame
    removal: str
    min_words: int
    left_out: int
    seed: int

    def curves(self, value: str = "correct") -> pd.DataFrame:
        """The mean of `value` for each direction, method and k, with its 95 % interval.

        Orders of one method (random ones, say) are averaged within a document first; the interval
        is a bootstrap over documents.
        """
        import pandas as pd

        rows = []
        for direction, method, matrix in self._matrices(value):
            low, high = _interval(matrix, self.seed)
            for column, k in enumerate(self.ks):
                known = matrix[:, column][~np.isnan(matrix[:, column])]
                rows.append(
                    (
                        direction,
                        method,
                        k,
                        float(known.mean()) if len(known) else np.nan,
                        low[column],
                        high[column],
                        len(known),
                    )
                )
        names = ["direction", "method", "k", value, "low", "high", "documents"]
        return pd.DataFrame(rows, columns=names)

    def advantage(self, over: str = "random", value: str = "correct") -> pd.DataFrame:
        """How much steeper each method's curve is than another's, with a paired 95 % interval.

        The mean over k ≥ 1 of the difference of the two curves, signed so that positive is better
        in both directions; paired by document, the interval a bootstrap over documents.
        """
        import pandas as pd

        matrices = {(d, m): matrix for d, m, matrix in self._matrices(value)}
        columns = [c for c, k in enumerate(self.ks) if k > 0]
        rows = []
        for (direction, method), matrix in matrices.items():
            other = matrices.get((direction, over))
            if other is None:
                raise OptionError(f"The report has no method {over!r}. {near(over, self.methods)}")
            if method == over:
                continue
            sign = 1.0 if direction == "wrong" else -1.0
            difference = sign * (matrix - other)[:, columns]
            with np.errstate(invalid="ignore"):
                counts = (~np.isnan(difference)).sum(1)
            each = np.nansum(difference[counts > 0], 1) / counts[counts > 0]
            low, high = _interval(each[:, None], self.seed)
            mean = float(each.mean()) if len(each) else np.nan
            rows.append((direction, method, over, mean, low[0], high[0], len(each)))
        names = ["direction", "method", "over", "advantage", "low", "high", "documents"]
        return pd.DataFrame(rows, columns=names)

    @property
    def ks(self) -> tuple[int, ...]:
        """The numbers of deleted words."""
        return tuple(int(k) for k in sorted(self.table["k"].unique()))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods compared, in the order in which they were asked for."""
        return tuple(self.table["method"].unique())

    def plot(self, value: str = "correct") -> matplotlib.figure.Figure:
        """The curves of both directions side by side, with their intervals."""
        from seqlrp.plots import deletion_figure

        return deletion_figure(self, value)

    def summary(self) -> str:
        """Accuracy by number of deleted words, and what each method gains over chance, as text."""
        wide = self.curves().pivot(index=["direction", "method"], columns="k", values="correct")
        order = [(d, m) for d in DIRECTIONS for m in self.methods if (d, m) in wide.index]
        lines = []
        for direction, method in order:
            if method == self.methods[0]:
                first = "most" if direction == "right" else "least"
                documents = self.table.loc[self.table["direction"] == direction, "document"]
                lines += [
                    "",
                    f"Texts classified {_ADVERBS[direction]} ({documents.nunique():,}), "
                    f"{first} relevant words deleted first: accuracy after k words",
                    f"{'':18}" + "".join(f"{f'k={k}':>8}" for k in self.ks),
                ]
            values = wide.xs((direction, method)).to_numpy(np.float64)
            lines.append(f"{method:18}" + "".join(f"{value:8.3f}" for value in values))
        if "random" in self.methods and len(self.methods) > 1 and max(self.ks) > 0:
            lines += ["", "Better than a random order by (mean over k, 95 % interval over texts):"]
            for gain in self.advantage().to_dict("records"):
                adverb = _ADVERBS[str(gain["direction"])]
                interval = f"[{gain['low']:+.3f}, {gain['high']:+.3f}]"
                lines.append(f"{gain['method']:18}{adverb:12}{gain['advantage']:+.3f}  {interval}")
        if self.left_out:
            lines += ["", f"Left out: {self.left_out:,} texts shorter than {self.min_words} words."]
        return "\n".join(lines).lstrip("\n")

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write `deletion.parquet` (every row), `deletion.csv` (the curves) and `deletion.png`.

        Raises:
            WriteError: the file system refused; what was there before is unchanged.
        """
        folder = Path(folder)
        paths = [folder / f"deletion.{suffix}" for suffix in ("parquet", "csv", "png")]
        with written_whole(paths[0]) as temporary:
            self.table.to_parquet(temporary)
        with written_whole(paths[1]) as temporary:
            self.curves().to_csv(temporary, index=False)
        with written_whole(paths[2]) as temporary:
            self.plot().savefig(temporary, dpi=150)
        return paths

    def _matrices(self, value: str) -> Iterable[tuple[str, str, npt.NDArray[np.float64]]]:
        """For each direction and method: values [documents, ks]."""
        for direction in DIRECTIONS:
            part = self.table[self.table["direction"] == direction]
            for method in self.methods:
                one = part[part["method"] == method]
                if len(one):
                    wide = one.pivot_table(
                        index="document", columns="k", values=value, aggfunc="mean", dropna=False
                    )
                    yield direction, method, wide.to_numpy(np.float64)


def _interval(
    matrix: npt.NDArray[np.float64], seed: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The 95 % bootstrap interval of the mean of each column, over rows."""
    if not len(matrix):
        nothing = np.full(matrix.shape[1], np.nan)
        return nothing, nothing
    drawn = np.random.default_rng(seed).multinomial(
        len(matrix), np.full(len(matrix), 1 / len(matrix)), size=_RESAMPLES
    )
    known = ~np.isnan(matrix)
    with np.errstate(invalid="ignore"):
        means = (drawn @ np.where(known, matrix, 0)) / (drawn @ known)
    if np.isnan(means).all(0).any():
        means = np.where(np.isnan(means).all(0), 0, means)
        low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
        empty = ~known.any(0)
        return np.where(empty, np.nan, low), np.where(empty, np.nan, high)
    low, high = np.nanpercentile(means, [2.5, 97.5], axis=0)
    return low, high
