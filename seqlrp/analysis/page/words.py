"""The strongest words of a class as a table, with what counting alone says of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.show.page.elements import Html, element

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults

_WORDS = 15
_NOTED = 5  # words whose relevance and counts differ
_HEAD = ("relevance", "95 % interval", "texts", "by counting", "")


def words_table(analysis: AnalysisResults, label: str) -> Html:
    """The strongest words, and those that are frequent but not used or used but rare."""
    table = analysis.class_words
    own = table[table["class"] == label]
    if own.empty:
        return element("p", "No word stands in enough texts.", class_="quiet")
    noted = own[(own["use"] != "")].head(_NOTED)
    shown = own.head(_WORDS)
    shown = own.loc[shown.index.union(noted.index, sort=False)]
    ends = shown[["mean", "low", "high"]].to_numpy(np.float64)
    scale = min(float(np.nanmin(ends)), 0.0), max(float(np.nanmax(ends)), 0.0)
    return element(
        "table",
        element(
            "thead",
            element("tr", element("td"), element("td"), *(element("td", name) for name in _HEAD)),
        ),
        element("tbody", *(_row(row, scale) for row in shown.to_dict("records"))),
        class_="words",
    )


def _row(row: Mapping[Any, Any], scale: tuple[float, float]) -> Html:
    known = not np.isnan(row["low"])
    score = "–" if np.isnan(row["distinctive"]) else f"{row['distinctive']:.2f}"
    return element(
        "tr",
        element("th", element("bdi", str(row["word"])), scope="row"),
        element("td", _bar(row, scale)),
        element("td", f"{row['mean']:+.3f}"),
        element("td", f"{row['low']:+.3f} to {row['high']:+.3f}" if known else "–"),
        element("td", f"{row['documents']:,}", element("span", " texts", class_="narrow")),
        element("td", element("span", "by counting ", class_="narrow"), score),
        element("td", str(row["use"])),
    )


def _bar(row: Mapping[Any, Any], scale: tuple[float, float]) -> Html:
    """The mean as a bar from zero, and its interval as a line; `scale` is what the width spans."""
    size = scale[1] - scale[0] or 1.0

    def at(value: float) -> str:
        return f"{100 * (value - scale[0]) / size:.1f}%"

    first, width = min(row["mean"], 0.0), abs(row["mean"])
    line = None
    if not np.isnan(row["low"]):
        line = element("line", x1=at(row["low"]), x2=at(row["high"]), y1="50%", y2="50%")
    return element(
        "svg",
        element(
            "rect", x=at(first), width=f"{100 * width / size:.1f}%", y="15%", height="70%",
            class_="up" if row["mean"] > 0 else "down",
        ),
        line,
        class_="interval",
        aria_hidden="true",
    )  # fmt: skip
