"""The report of an evaluation: its results as text, tables, plots and files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.errors import SavedFileError
from seqlrp.evaluation.metrics.metric import Quantity
from seqlrp.evaluation.report import tables
from seqlrp.evaluation.report.files import read_rows, write_rows
from seqlrp.evaluation.report.record import EvaluationResults
from seqlrp.evaluation.report.verdict import trust
from seqlrp.explanations.spreadsheets import to_csv
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FILES = (
    "evaluation.parquet",
    "summary.txt",
    "evaluation.csv",
    "evaluation.md",
    "curves.csv",
    "curves.png",
    "results.png",
)  # what `EvaluationReport.save` writes


class EvaluationReport(EvaluationResults):
    """The results of `seqlrp.evaluate`, which show themselves as text, tables and plots.

    Attributes:
        table: a row for each `document` (its position among the texts), `method`, random `order`,
            `metric`, `direction` and `k`, with its `value`, which is NaN, never 0 or 1, where there
            was nothing to measure. `k` is NaN for quantities that do not depend on k.
        quantities: the quantity that each name in the column `metric` stands for. A metric computes
            one or several quantities, see `metrics`.
        seconds: the mean time that each method took to explain a text; NaN for attributions from
            outside.
        made: how the evaluation was made, JSON values: `seed`, `options`, `methods`, `metrics`,
            `versions`, `documents`, `left_out` (texts with fewer than `min_words` words) and more.
    """

    def verdict(self) -> str:
        """Return one sentence a method: where it is better than chance, and where it is best."""
        return tables.as_verdict(self)

    def trust(self, method: str) -> str:
        """Return whether the words that a method names matter, for readers who know no metric.

        Empty where that was not measured for this method, by `deletion_accuracy` against chance.
        """
        return trust(self, method)

    def summary(self) -> str:
        """Return the verdict and all results as text, with intervals, meanings and best methods."""
        return tables.as_text(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a table of text cells, a column a method; `results` and `curves` hold numbers."""
        return tables.as_frame(self)

    def to_markdown(self) -> str:
        """Return a Markdown table, a column a method, with intervals and times."""
        return tables.as_markdown(self)

    def to_latex(self) -> str:
        """Return a LaTeX table, a column a method, with the rules of the package booktabs."""
        return tables.as_latex(self)

    def to_csv(self) -> str:
        """Return the results as CSV, a row for each quantity, direction and method, with times."""
        return tables.as_csv(self)

    def plot(self, metrics: Sequence[str] | None = None) -> Figure:
        """Plot curves over k with their intervals, a panel for each quantity and direction.

        Args:
            metrics: names of metrics or quantities; by default all that have curves. Where none
                has, the results are plotted as bars.

        Raises:
            OptionError: there is no such metric.
        """
        from seqlrp.evaluation.report.plots import curves_figure

        return curves_figure(self, metrics)

    def plot_results(self, metrics: Sequence[str] | None = None) -> Figure:
        """Plot the results as bars with their intervals, a panel for each quantity and direction.

        Args:
            metrics: names of metrics or quantities; by default all.

        Raises:
            OptionError: there is no such metric, or it has no mean.
        """
        from seqlrp.evaluation.report.plots import bars_figure

        return bars_figure(self, metrics)

    def plot_curve(
        self,
        metric: str = "deletion_accuracy",
        direction: str | None = None,
        *,
        ax: Axes | None = None,
    ) -> Axes:
        """Plot the curves over k of one quantity and direction, with their intervals.

        Args:
            metric: the name of a quantity that depends on k, see `ks`.
            direction: by default the first of `directions(metric)`.
            ax: where to draw; by default in a new figure, the attribute `figure` of the result.

        Raises:
            OptionError: the quantity does not depend on k, or has no such direction.
        """
        from seqlrp.evaluation.report.plots import curve_axes

        return curve_axes(self, metric, direction, ax)

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write every row (`evaluation.parquet`), tables and plots into a folder.

        `summary.txt` holds `summary()`, `evaluation.csv` and `evaluation.md` the results,
        `curves.csv` the curves, `curves.png` and `results.png` the plots.

        Returns:
            the paths of the files.

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
            texts["curves.csv"] = to_csv(pd.concat(curves))
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
        """Load a report from the folder that `save` wrote, or from its `evaluation.parquet`.

        Raises:
            SavedFileError: the file does not exist, is damaged or was not written by `save`.
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

    def _repr_html_(self) -> str:
        from seqlrp.show.page.elements import element

        said = (element("p", line) for line in self.verdict().splitlines())
        return "".join([*said, str(self.to_pandas().to_html())])
