"""The report of a pruning: what was lost and what was gained, by the share that was taken away."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from seqlrp.analysis.comparison_report import PAGE
from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.evaluation.statistics import mean_interval
from seqlrp.improving.criteria import Texts
from seqlrp.models.classifier import TextClassifier
from seqlrp.show.page.elements import element
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.report import report_section
from seqlrp.show.page.template import whole_page
from seqlrp.show.plots.labels import make_labels, new_axes
from seqlrp.show.plots.style import method_colour, method_marker
from seqlrp.text.encoded import EncodedText
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILES = ("summary.txt", "layers.csv", "sizes.csv", "curve.csv", PAGE)
_TIMED, _PASSES = 100, 5  # texts that are timed, and how often


@dataclass(frozen=True, eq=False, kw_only=True)
class PruneReport:
    """What pruning took away, and what it cost.

    Attributes:
        settings: what was asked for, and the numbers of texts that scored units and measured.
        layers: a row for each set of units: `layer`, `units` before, `left`, and `masked`, why the
            units are silent and not gone ("" where they are gone).
        sizes: the classifiers `before` and `after`: `parameters`, `bytes`, `milliseconds` a text
            (the median of several passes), `accuracy` (NaN without labels), `agreement` with the
            answers before, and `change` of the accuracy with its 95 % interval `low`, `high`.
        curve: by `criterion` and `share` asked for: the share of units `removed`, `accuracy` and
            `agreement`; means over three draws for "random". All in one step.
    """

    settings: dict[str, Any]
    layers: pd.DataFrame
    sizes: pd.DataFrame
    curve: pd.DataFrame

    def verdict(self) -> str:
        """Say in sentences what was taken away, and what it cost."""
        before, after = self.sizes.iloc[0], self.sizes.iloc[1]
        units, left = int(self.layers["units"].sum()), int(self.layers["left"].sum())
        lines = [
            f"{units - left:,} of {units:,} units are gone, by the criterion "
            f"{self.settings['criterion']!r} from {self.settings['references']:,} texts.",
            f"{before['parameters']:,} numbers became {after['parameters']:,}; a text takes "
            f"{after['milliseconds']:.2g} ms instead of {before['milliseconds']:.2g}.",
        ]
        if self.settings["labelled"]:
            lines.append(
                f"Right: {before['accuracy']:.1%} before, {after['accuracy']:.1%} after "
                f"(change {100 * after['change']:+.1f} points, 95 % interval "
                f"{100 * after['low']:+.1f} to {100 * after['high']:+.1f}), "
                f"of {self.settings['measured']:,} texts."
            )
        lines.append(
            f"{after['agreement']:.1%} of {self.settings['measured']:,} answers stayed the same."
        )
        for row in self.layers[self.layers["masked"] != ""].drop_duplicates("masked").itertuples():
            lines.append(f"{row.layer} kept its size, and the units are silent: {row.masked}.")
        return "\n".join(lines)

    def summary(self) -> str:
        """Return the verdict, which is all of the report in words."""
        return self.verdict()

    def to_json(self) -> dict[str, Any]:
        """The report as values that JSON can hold; null where there is no number."""
        tables = {"layers": self.layers, "sizes": self.sizes, "curve": self.curve}
        return {"settings": self.settings} | {
            name: table.astype(object).where(table.notna(), None).to_dict("records")
            for name, table in tables.items()
        }

    def plot(self, ax: Axes | None = None) -> Any:
        """Draw accuracy (or agreement, without labels) by the share of units that is gone.

        Returns:
            the figure.
        """
        measure = "accuracy" if self.settings["labelled"] else "agreement"
        ax = new_axes(ax, 6.0, 3.6)
        whole = self.curve[self.curve["criterion"] == "all units"]
        groups = self.curve[self.curve["criterion"] != "all units"].groupby("criterion", sort=False)
        for place, (name, own) in enumerate(groups):
            rows = pd.concat([whole, own.sort_values("removed")])
            ax.plot(
                100 * rows["removed"], rows[measure], color=method_colour("", place),
                marker=method_marker(place), label=make_labels([str(name)]).texts[0],
            )  # fmt: skip
        ax.set_xlabel("units that are gone, %")
        ax.set_ylabel(measure)
        ax.legend(frameon=False)
        return ax.figure

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write summary.txt, layers.csv, sizes.csv, curve.csv and page.html.

        Raises:
            WriteError: the file system refused; a file that was there before is unchanged.
        """
        folder = Path(folder)
        with written_whole(folder / "summary.txt") as temporary:
            temporary.write_text(self.summary() + "\n", encoding="utf-8")
        for name in ("layers", "sizes", "curve"):
            with written_whole(folder / f"{name}.csv") as temporary:
                getattr(self, name).to_csv(temporary, index=False)
        self.save_html(folder / PAGE)

    def save_html(
        self, path: str | os.PathLike[str], *, title: str = "A pruned classifier"
    ) -> None:
        """Write the report as a page that needs no other file.

        Raises:
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        tables = [
            ("Before and after", self.sizes),
            ("The layers", self.layers),
            ("By criterion and share", self.curve),
        ]
        page = whole_page(
            title,
            PageOptions(title=title, minify=True),
            element("header", element("h1", element("bdi", title))),
            report_section(self, (), tables),
        )
        with written_whole(path) as temporary:
            temporary.write_text(page, encoding="utf-8")


def measure(
    before: TextClassifier,
    after: TextClassifier,
    texts: Texts,
    labelled: bool,
    batch_tokens: BatchTokens,
) -> pd.DataFrame:
    """Measure two classifiers on the same texts: the table `sizes` of a report."""
    read = [
        EncodedText(after.vocabulary.encode(d.source.spelled), d.source) for d in texts.documents
    ]
    sides = (before, texts.documents), (after, read)
    answers = [
        c.all_scores(documents, Budget(batch_tokens, c.device)).argmax(axis=1)
        for c, documents in sides
    ]
    times = _milliseconds(sides, batch_tokens)
    rows = []
    for (classifier, _), found, milliseconds in zip(sides, answers, times, strict=True):
        parameters = list(classifier.model.parameters())
        right = (found == texts.classes).astype(np.float64)
        change = right - (answers[0] == texts.classes)
        mean, low, high = (float(v[0]) for v in mean_interval(change[:, None]))
        rows.append(
            {
                "classifier": "before" if classifier is before else "after",
                "parameters": sum(p.numel() for p in parameters),
                "bytes": sum(p.numel() * p.element_size() for p in parameters),
                "milliseconds": milliseconds,
                "accuracy": right.mean() if labelled else np.nan,
                "agreement": float((found == answers[0]).mean()),
                "change": mean if labelled else np.nan,
                "low": low if labelled else np.nan,
                "high": high if labelled else np.nan,
            }
        )
    return pd.DataFrame(rows)


def _milliseconds(sides: Any, batch_tokens: BatchTokens) -> list[float]:
    """Time each classifier in turn on the same texts: the median, in milliseconds a text."""
    times: list[list[float]] = [[], []]
    for _ in range(_PASSES):
        for (classifier, documents), own in zip(sides, times, strict=True):
            started = time.perf_counter()
            classifier.all_scores(documents[:_TIMED], Budget(batch_tokens, classifier.device))
            if classifier.device.type == "cuda":
                torch.cuda.synchronize(classifier.device)
            own.append(1000 * (time.perf_counter() - started) / len(documents[:_TIMED]))
    return [float(np.median(own)) for own in times]
