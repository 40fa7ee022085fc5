"""Where in a text relevance stands."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from seqlrp.errors import OptionError
from seqlrp.explanation import ALL
from seqlrp.plots.labels import axes_of
from seqlrp.summarising import Amount

if TYPE_CHECKING:
    from seqlrp.explanation import Explanation

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
    if bins < 1:
        raise OptionError(f"bins must be at least 1, got {bins!r}.")
    curves = {name: [Amount() for _ in range(bins)] for name in _CURVES}
    methods: dict[str, None] = {}
    texts = 0
    for explanation in explanations:
        e = (
            explanation.for_target(explanation.predicted)
            if explanation.target == ALL
            else explanation
        )
        length = len(e.tokens)
        if not length:
            continue
        methods[e.method] = None
        texts += 1
        places = np.arange(length)
        if relative:
            places = (2 * places + 1) * bins // (2 * length)  # the part that a word's middle is in
        places = places[places < bins]
        counts = np.bincount(places, minlength=bins)
        signed = e.relevance[: len(places)].astype(np.float64)
        for amounts, values in zip(curves.values(), (signed, np.abs(signed)), strict=True):
            sums = np.bincount(places, values, bins)
            for i in np.flatnonzero(counts).tolist():
                amounts[i].add(float(sums[i] / counts[i]), 1)
    if len(methods) != 1:
        found = " and ".join(map(repr, methods)) or "no words at all"
        raise OptionError(f"The figure shows explanations by one method, got {found}.")

    ax = axes_of(ax, 6.4, 3.6)
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
