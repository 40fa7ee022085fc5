"""The strongest words of a class as a table, with what counting alone says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from seqlrp.show.page.charts import value_bar
from seqlrp.show.page.elements import Html, element

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults

_WORDS = 15
_NOTED = 5  # words whose relevance and counts differ


def words_table(analysis: AnalysisResults, label: str) -> Html:
    """The strongest words, and those that are frequent but not used or used but rare."""
    table = analysis.class_words
    own = table[table["class"] == label]
    if own.empty:
        return element("p", "No word stands in enough texts.", class_="quiet")
    noted = own[(own["use"] != "")].head(_NOTED)
    shown = own.head(_WORDS)
    shown = own.loc[shown.index.union(noted.index, sort=False)]
    largest = float(np.abs(shown["mean"]).max())
    head = ["relevance", "95 % interval", "", "texts", "distinctive by counts", ""]
    rows = [
        element(
            "tr",
            element("th", element("bdi", str(row["word"])), scope="row"),
            element("td", f"{row['mean']:+.3f}"),
            element("td", _interval(row["low"], row["high"])),
            element("td", value_bar(float(row["mean"]), largest)),
            element("td", f"{row['documents']:,}"),
            element("td", "–" if np.isnan(row["distinctive"]) else f"{row['distinctive']:.2f}"),
            element("td", str(row["use"])),
        )
        for row in shown.to_dict("records")
    ]
    return element(
        "table",
        element("thead", element("tr", element("td"), *(element("td", name) for name in head))),
        element("tbody", *rows),
    )


def _interval(low: float, high: float) -> str:
    return "–" if np.isnan(low) else f"{low:+.3f} to {high:+.3f}"
