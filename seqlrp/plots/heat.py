"""Words against classes or methods, as a map of colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from seqlrp.errors import OptionError, near
from seqlrp.explanation import ALL, Explanation
from seqlrp.page.colours import LIGHT
from seqlrp.plots.labels import axes_of, written

SCALES = ("all", "row")
COLOURS = LinearSegmentedColormap.from_list(
    "seqlrp", [LIGHT.deepest_against, LIGHT.paper, LIGHT.deepest_for], N=257
)  # an odd number, so that zero has a colour of its own
_MOST_WORDS = 100  # beyond, the words would lie on top of each other and are left out
_MARKED = 0.25  # negative cells from this share of the largest on have a minus sign


def heat_map(
    explanations: Explanation | Sequence[Explanation] | Mapping[str, Explanation],
    *,
    scale: str | None = None,
    down: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """A row of words for each class of one explanation, or for each of several explanations.

    Red is for the class that is explained, blue, with a minus sign in its stronger cells, against
    it. More than 100 words are numbered instead of written; `Explanation.merged` by sentence has
    fewer.

    Args:
        explanations: one, for a class or for all of them, or several of the same tokens, say by
            different methods; a mapping gives each a name of its own, which its row is called.
        scale: the deepest colour is the largest relevance of each "row", or of "all" rows. Left
            out, it is that of all for one explanation, and of each row for several, whose methods
            need not share a unit.
        down: words stand one below the other, as sentences can be read, and rows are columns.
        ax: where to draw; left out, in a figure of its own (`.figure` of what is returned).

    Raises:
        OptionError: nothing to show, explanations of different tokens, another scale.
    """
    given = None
    if isinstance(explanations, Explanation):
        items = [explanations]
    elif isinstance(explanations, Mapping):
        given, items = [str(name) for name in explanations], list(explanations.values())
    else:
        items = list(explanations)
    scale = scale or ("all" if len(items) == 1 else "row")
    if scale not in SCALES:
        raise OptionError(f"scale={scale!r} is not one of those allowed. {near(scale, SCALES)}")
    tokens = items[0].tokens if items else ()
    if not tokens:
        raise OptionError("There is no explanation to show, or none with a word.")
    for item in items:
        if item.tokens != tokens:
            raise OptionError(
                "A heat map shows several explanations of the same tokens, got "
                f"{tokens[:5]!r:.60} and {item.tokens[:5]!r:.60}."
            )
    names, table = _rows(items, given)
    title = _title(items) if len(items) > 1 else ""
    few = len(tokens) <= _MOST_WORDS
    largest = np.abs(table).max(axis=1 if scale == "row" else None, initial=0, keepdims=True)
    shares = np.divide(table, largest, out=np.zeros_like(table), where=largest > 0)
    limit = float(largest.max(initial=0)) or 1.0
    values, limit = (shares, 1.0) if scale == "row" else (table, limit)

    rows, words = written(names), written(tokens if few else ())
    along, across = 0.3 * min(len(tokens), _MOST_WORDS), 0.4 * len(table)  # inches
    if down:
        ax = axes_of(ax, 2.2 + words.inches + across, max(0.8 + rows.inches + along, 2.4))
        values, shares = values.T, shares.T
    else:
        width = 1.6 + rows.inches + along
        ax = axes_of(ax, max(width, 4.0 + rows.inches), 1.2 + words.inches + across)
    drawn = ax.imshow(values, cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    for row, column in np.argwhere(shares <= -_MARKED) if few else ():
        ax.text(column, row, "−", ha="center", va="center", color=LIGHT.ink, size=9)
    of_words, of_rows = (ax.yaxis, ax.xaxis) if down else (ax.xaxis, ax.yaxis)
    of_rows.set_ticks(range(len(names)), rows.texts, **rows.options)
    if few:
        of_words.set_ticks(range(len(tokens)), words.texts, **words.options)
    else:
        of_words.set_label_text("word")
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    of_words.set_ticks(np.arange(1, len(tokens)) - 0.5, minor=True)
    of_rows.set_ticks(np.arange(1, len(names)) - 0.5, minor=True)
    if few:
        ax.grid(which="minor", color=LIGHT.paper, linewidth=1.5)
    ax.tick_params(which="minor", length=0)
    if title:
        heading = written([title])
        ax.set_title(heading.texts[0], loc="left", **heading.options)
    bar = ax.figure.colorbar(drawn, ax=ax, fraction=0.05, pad=0.02)
    line = "column" if down else "row"
    bar.set_label("relevance" if scale == "all" else f"share of the {line}'s\nlargest relevance")
    bar.outline.set_visible(False)
    return ax


def _question(item: Explanation) -> str:
    against = "" if item.against_label is None else f" rather than {item.against_label}"
    return item.target_label + against


def _title(items: Sequence[Explanation]) -> str:
    """The class that all rows are about, where they are about one."""
    questions = {"" if item.target == ALL else _question(item) for item in items}
    (question,) = questions if len(questions) == 1 else ("",)
    return f"for {question}" if question else ""


def _rows(
    items: Sequence[Explanation], given: Sequence[str] | None
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """The name and the relevances of each row."""
    called = given or [item.method for item in items]
    alone = len(items) == 1 and given is None
    one_question = len({(item.target, item.against) for item in items}) == 1
    names: list[str] = []
    for item, name in zip(items, called, strict=True):
        before = "" if alone else f"{name}: "
        if item.target == ALL:
            names += [before + label for label in item.labels]
        elif one_question and not alone:
            names.append(name)
        else:
            names.append(before + _question(item))
    return names, np.vstack([item.relevance for item in items]).astype(np.float64)
