"""The words that speak most for a class and against it, over many documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes

from seqlrp.errors import OptionError, check_choice, check_number, near
from seqlrp.explanations.summaries import Group, summarise
from seqlrp.show.colours import LIGHT
from seqlrp.show.plots.labels import make_labels, new_axes
from seqlrp.show.plots.style import around_bars
from seqlrp.show.wording import counted

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.explanations.record import Explanation

VALUES = ("sum", "mean", "median")
_ENDS = {"mean": ("low", "high"), "median": ("q25", "q75")}
_SHOWN = {
    "sum": "summed relevance",
    "mean": "mean relevance, 95 % interval",
    "median": "median relevance, quartiles",
}
_NAMES = ["target_label", "against_label"]


def words_of_class(
    explanations: Iterable[Explanation],
    target: int | str | None = None,
    *,
    n: int = 15,
    value: str = "sum",
    by: str = "word",
    min_documents: int = 1,
    ax: Axes | None = None,
    **options: Any,
) -> Axes:
    """Bars of the n strongest words of a class: red for it, blue and hatched against it.

    Beside each bar stands how often the word was read and in how many texts.

    Args:
        explanations: a list, or a stream of any length.
        target: the index or the name of a class; needed where several were explained.
        n: how many words, the strongest of both signs together.
        value: their "sum" over all texts, the "mean" of an occurrence with its 95 % interval, or
            its "median" with the quartiles, which single occurrences do not move.
        by: "word", "token" or "lemma", as `summarise` takes it.
        min_documents: words that fewer documents hold are left out; with "mean" or "median", a
            word that was read once is else as good as any.
        ax: where to draw; left out, in a figure of its own (`.figure` of what is returned).
        options: the others of `seqlrp.explanations.summaries.summarise`.

    Raises:
        OptionError: another value, a class that was not explained, several questions (methods,
            classes, contrasts) at once, no word to show, or an option of `summarise`.
    """
    check_choice("value", value, VALUES)
    check_number("n", n, least=1, whole=True)
    check_choice("by", by, ("word", "token", "lemma"))
    frame = _one_question(summarise(explanations, by, **options), target)
    frame = frame[(frame["documents"] >= min_documents) & (frame[value] != 0)]
    if frame.empty:
        raise OptionError(
            f"No word to show: none with relevance stands in {min_documents} documents or more."
        )
    strongest = frame.loc[frame[value].abs().sort_values(ascending=False, kind="stable").index[:n]]
    bars = strongest.sort_values(value, kind="stable")

    words = make_labels(bars["word"])
    ax = new_axes(ax, 5.4 + words.inches, 1.1 + 0.27 * len(bars))
    _draw_bars(ax, bars, value)
    ax.set_yticks(range(len(bars)), words.texts, **words.options)
    names = [name for name in bars.iloc[0][_NAMES] if isinstance(name, str)]  # or missing
    classes = make_labels(names)
    label = " rather than ".join(classes.texts)
    ax.set_xlabel(f"{_SHOWN[value]}, for {label}", **classes.options)
    return around_bars(ax)


def _draw_bars(ax: Axes, bars: pd.DataFrame, value: str) -> None:
    """Draw the bars with their intervals, and how often each word was read beside them."""
    against = (bars[value] < 0).tolist()
    drawn = ax.barh(
        range(len(bars)),
        bars[value],
        color=[LIGHT.deepest_against if minus else LIGHT.deepest_for for minus in against],
        edgecolor=LIGHT.paper,
        height=0.8,
    )
    for bar, minus in zip(drawn, against, strict=True):
        bar.set_hatch("///" if minus else "")
    if value in _ENDS:
        low, high = (bars[end].to_numpy(float) for end in _ENDS[value])
        rows = np.flatnonzero(~np.isnan(low))
        ax.hlines(rows, low[rows], high[rows], color=LIGHT.ink, linewidth=1)
    for row, (times, texts) in enumerate(zip(bars["occurrences"], bars["documents"], strict=True)):
        ax.text(
            1.01,
            row,
            f"{times:,}× in {counted(texts, 'text')}",
            transform=ax.get_yaxis_transform(),
            va="center",
            size=8,
            color=LIGHT.quiet,
        )


def _one_question(frame: pd.DataFrame, target: int | str | None) -> pd.DataFrame:
    if target is not None:
        column = "target_label" if isinstance(target, str) else "target"
        known = frame[column].unique().tolist()
        frame = frame[frame[column] == target]
        if target not in known:
            names = near(str(target), map(str, known))
            raise OptionError(f"No explanation is for the class {target!r}. {names}")
    questions = frame[list(Group._fields)].drop_duplicates()
    if len(questions) > 1:
        shown = "; ".join(
            " rather than ".join(repr(name) for name in row[_NAMES] if isinstance(name, str))
            + f" by {row['method']!r}"
            for _, row in questions.head(6).iterrows()
        )
        raise OptionError(
            f"These explanations answer {len(questions)} questions ({shown}), and a figure shows "
            "one: say target=, or filter them."
        )
    return frame
