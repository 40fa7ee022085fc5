"""Where in a text relevance stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from seqlrp.errors import OptionError, check_number
from seqlrp.explanations.record import ALL
from seqlrp.explanations.summaries import WordSums
from seqlrp.show.plots.labels import new_axes

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation

# Okabe and Ito's blue and vermilion, which survive colour-blindness.
_CURVES = {
    "mean relevance": ("#0072b2", "o", "-"),
    "mean |relevance|": ("#d55e00", "s", "--"),
}


def relevance_by_position(
    explanations: Iterable[Explanation],
    *,
    bins: int = 20,
    relative: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """The mean relevance of a word, and its mean size, by place in the text.

    Words of one text in one part of it are averaged first, then texts; the bands are 95 %
    intervals over texts (Student's t), absent where one text alone reaches that far. Where every
    class is explained, it is relevance for the predicted one.

    Args:
        explanations: by one method; a list, or a stream of any length.
        bins: how many parts a text is cut into; with `relative=False` how many words from its
            beginning are shown, each a part.
        relative: whether places are shares of the text's length.
        ax: where to draw; left out, in a figure of its own (`.figure` of what is returned).

    Raises:
        OptionError: no word to show, several methods at once, or less than one part.
    """
    check_number("bins", bins, least=1, whole=True)
    curves = {name: [WordSums() for _ in range(bins)] for name in _CURVES}
    methods: dict[str, None] = {}
    texts = 0
    for given in explanations:
        e = given.for_target(given.predicted) if given.target == ALL else given
        if not e.tokens:
            continue
        methods[e.method] = None
        texts += 1
        for amounts, values in zip(curves.values(), _means(e, bins, relative), strict=True):
            for place in np.flatnonzero(~np.isnan(values)).tolist():
                amounts[place].add(float(values[place]), 1)
    if len(methods) != 1:
        found = " and ".join(map(repr, methods)) or "no words at all"
        raise OptionError(f"The figure shows explanations by one method, got {found}.")

    ax = new_axes(ax, 6.4, 3.6)
    middles = (np.arange(bins) + 0.5) * 100 / bins if relative else np.arange(bins) + 1.0
    for (name, amounts), (colour, marker, style) in zip(
        curves.items(), _CURVES.values(), strict=True
    ):
        mean = np.array([amount.mean for amount in amounts])
        half = np.array([amount.half_width for amount in amounts])
        ax.fill_between(middles, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        ax.plot(middles, mean, color=colour, marker=marker, linestyle=style, ms=4, label=name)
    ax.axhline(0, color="#7f7f7f", linewidth=0.8)
    ax.set_xlabel("place in the text (%)" if relative else "word, counted from the beginning")
    ax.set_ylabel(f"relevance of a word ({texts:,} texts)")
    if relative:
        ax.set_xlim(0, 100)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False)
    return ax


def _means(e: Explanation, bins: int, relative: bool) -> npt.NDArray[np.float64]:
    """The mean relevance and the mean |relevance| in each part of a text, [2, bins]; else NaN."""
    length = len(e.tokens)
    places = np.arange(length)
    if relative:
        places = (2 * places + 1) * bins // (2 * length)  # the part that a word's middle is in
    places = places[places < bins]
    counts = np.bincount(places, minlength=bins)
    signed = e.relevance[: len(places)].astype(np.float64)
    sums = [np.bincount(places, values, bins) for values in (signed, np.abs(signed))]
    means = np.full((2, bins), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
