"""Words against classes or methods, as a map of colours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LinearSegmentedColormap

from seqlrp.errors import OptionError, check_choice
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.show.colours import LIGHT
from seqlrp.show.plots.labels import Labels, make_labels, new_axes

SCALES = ("all", "row")
COLOURS = LinearSegmentedColormap.from_list(
    "seqlrp", [LIGHT.deepest_against, LIGHT.paper, LIGHT.deepest_for], N=257
)  # an odd number, so that zero has a colour of its own
_MOST_ACROSS = 60  # words side by side, in a figure that a screen shows without making it small
_MOST_DOWN = 2500  # words one below the other: matplotlib draws no figure of 2¹⁶ pixels
_MARKED = 1 / COLOURS.N  # the share from which on a cell has another colour than zero


def heat_map(
    explanations: Explanation | Sequence[Explanation] | Mapping[str, Explanation],
    *,
    scale: str | None = None,
    down: bool | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A row of words for each class of one explanation, or for each of several explanations.

    Red is for the class that is explained, blue with a minus sign against it.

    Args:
        explanations: one, for a class or for all of them, or several of the same tokens, say by
            different methods; a mapping gives each a name of its own, which its row is called.
        scale: the deepest colour is the largest relevance of each "row", or of "all" rows. Left
            out, it is that of all for one explanation, and of each row for several, whose methods
            need not share a unit.
        down: words stand one below the other, as sentences can be read, and rows are columns; left
            out, words do that of which there are more than 60. `Explanation.merged("sentence")`
            has fewer.
        ax: where to draw; left out, in a figure of its own (`.figure` of what is returned).

    Raises:
        OptionError: nothing to show, explanations of different tokens, another scale, more
            words than there is room for.
    """
    items, given = _named_items(explanations)
    scale = scale or ("all" if len(items) == 1 else "row")
    check_choice("scale", scale, SCALES)
    tokens = _shared_tokens(items)
    down = len(tokens) > _MOST_ACROSS if down is None else down
    _check_room(len(tokens), down=down)
    names, table = _rows(items, given)
    largest = np.abs(table).max(axis=1 if scale == "row" else None, initial=0, keepdims=True)
    shares = np.divide(table, largest, out=np.zeros_like(table), where=largest > 0)
    limit = float(largest.max(initial=0)) or 1.0
    values, limit = (shares, 1.0) if scale == "row" else (table, limit)

    rows, words = make_labels(names), make_labels(tokens)
    along = (0.3 if len(tokens) <= _MOST_ACROSS else 0.2) * len(tokens)  # inches
    across = 0.4 * len(table)
    if down:
        ax = new_axes(ax, 2.2 + words.inches + across, max(0.8 + rows.inches + along, 2.4))
        values, shares = values.T, shares.T
    else:
        width = 1.6 + rows.inches + along
        ax = new_axes(ax, max(width, 4.0 + rows.inches), 1.2 + words.inches + across)
    drawn = ax.imshow(values, cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    negative_row, negative_column = np.nonzero(shares <= -_MARKED)
    ax.plot(
        negative_column, negative_row, "_",
        color=LIGHT.ink, ms=5, mew=0.9, scalex=False, scaley=False,
    )  # fmt: skip
    word_axis, row_axis = (ax.yaxis, ax.xaxis) if down else (ax.xaxis, ax.yaxis)
    _draw_grid(ax, [(row_axis, rows), (word_axis, words)])
    if title := _title(items) if len(items) > 1 else "":
        heading = make_labels([title])
        ax.set_title(heading.texts[0], loc="left", **heading.options)
    # A long column is read from its top, so its names and the scale stand there.
    part = min(1.0, 3.0 / along) if down else 1.0
    ax.tick_params(axis="x", top=part < 1, labeltop=part < 1, labelbottom=part == 1)
    bar = ax.figure.colorbar(
        drawn, ax=ax, fraction=0.05, pad=0.02, shrink=part, anchor=(0.0, 1.0 if part < 1 else 0.5)
    )
    line = "column" if down else "row"
    bar.set_label("relevance" if scale == "all" else f"share of the {line}'s\nlargest relevance")
    bar.outline.set_visible(False)
    return ax


def _named_items(
    explanations: Explanation | Sequence[Explanation] | Mapping[str, Explanation],
) -> tuple[list[Explanation], list[str] | None]:
    """The explanations, and their names where they are given."""
    if isinstance(explanations, Explanation):
        return [explanations], None
    if isinstance(explanations, Mapping):
        return list(explanations.values()), [str(name) for name in explanations]
    return list(explanations), None


def _shared_tokens(items: Sequence[Explanation]) -> tuple[str, ...]:
    tokens = items[0].tokens if items else ()
    if not tokens:
        raise OptionError("There is no explanation to show, or none with a word.")
    for item in items:
        if item.tokens != tokens:
            raise OptionError(
                "A heat map shows several explanations of the same tokens, got "
                f"{tokens[:5]!r:.60} and {item.tokens[:5]!r:.60}."
            )
    return tokens


def _check_room(words: int, *, down: bool) -> None:
    if words > (_MOST_DOWN if down else _MOST_ACROSS):
        room = f"{_MOST_DOWN:,} words one below the other" if down else f"{_MOST_ACROSS} in a row"
        more = "" if down else " say down=True, or"
        raise OptionError(
            f"A heat map has room for {room}, got {words:,} words:{more} show the sentences "
            'of explanation.merged("sentence").'
        )


def _draw_grid(ax: Axes, axes: Iterable[tuple[Axis, Labels]]) -> None:
    """Draw the labels of both axes, and a line of the paper's colour between two cells."""
    for axis, labels in axes:
        axis.set_ticks(range(len(labels.texts)), labels.texts, **labels.options)
        axis.set_ticks(np.arange(1, len(labels.texts)) - 0.5, minor=True)
    ax.tick_params(axis="x", rotation=90)
    ax.tick_params(which="both", length=0)
    ax.spines[:].set_visible(False)
    ax.grid(which="minor", color=LIGHT.paper, linewidth=1.5)


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
