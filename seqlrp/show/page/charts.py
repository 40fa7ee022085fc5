"""Small tables of names, numbers and bars: the strongest words, the scores, the account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np

from seqlrp.explanations.ledger_names import LEDGER_NAMES
from seqlrp.explanations.record import Explanation
from seqlrp.show.numbers import number_format
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.text_view import TextView, format_probabilities
from seqlrp.show.page.units import outside_the_text

NAMED = 3  # tokens that are not in the text; more kinds of them are one row
_ROUNDING = 5e-5  # of the largest number: less is never printed, with four digits of it
TABLE_ROWS = 8  # further classes are folded away

Bar = tuple[str, float]


def strongest_words(view: TextView, n: int = 5) -> Html:
    """The n strongest words on either side, but for those with less than 5 % of the strongest."""
    bars = view.top(n, +1) + view.top(n, -1)[::-1]
    least = 0.05 * largest_of(bars)
    bars = [bar for bar in bars if abs(bar[1]) >= least]
    if not bars:
        nothing = element("p", "No word speaks for or against.", class_="quiet")
        return element("section", nothing, class_="top")
    return element("section", bar_table("Strongest words", bars), class_="top")


def class_scores(explanation: Explanation) -> Html:
    """The scores of all classes, best first; beyond the first few they are folded away.

    Beside them stand the probabilities, where they are known.
    """
    scores = explanation.scores.tolist()
    order = sorted(range(len(scores)), key=lambda c: -scores[c])
    bars = [(explanation.labels[c], scores[c]) for c in order]
    chances = format_probabilities(explanation)
    shares = [chances[c] for c in order] if chances else []
    first, further = bars[:TABLE_ROWS], bars[TABLE_ROWS:]
    notes = {order.index(explanation.predicted): "predicted"}
    if explanation.label is not None:
        place = order.index(explanation.label)
        notes[place] = "predicted, true" if place in notes else "true"
    later = {i - TABLE_ROWS: note for i, note in notes.items()}
    folded = further and element(
        "details",
        element("summary", f"{len(further)} further classes"),
        bar_table(None, further, largest=largest_of(bars), notes=later, shares=shares[TABLE_ROWS:]),
        open="" if any(i >= 0 for i in later) else None,
    )
    return element(
        "section",
        bar_table(
            "Scores and probabilities" if shares else "Scores",
            first,
            largest=largest_of(bars),
            notes=notes,
            shares=shares[:TABLE_ROWS],
        ),
        folded or None,
    )


def where_the_score_comes_from(explanation: Explanation) -> Html:
    """The ledger: how much of the score the words took, and who took the rest."""
    bars = account(explanation)
    total = (what_is_shared(explanation), explanation.start)
    number = number_format(largest_of([*bars, total]))
    nothing = format(0.0, number)
    bars = [bar for i, bar in enumerate(bars) if i == 0 or format(bar[1], number) != nothing]
    caption = "Where the score comes from"
    if explanation.against is not None:
        caption = "Where the difference comes from"
    return element("section", bar_table(caption, bars, total=total), class_="account")


def account(explanation: Explanation) -> list[Bar]:
    """The rows of the account, the words first, those that are zero included."""
    ledger = {key: value for key, value in explanation.ledger.items() if isinstance(value, float)}
    tokens = ledger.pop("tokens", None)
    words = float(explanation.relevance.sum(dtype=np.float64)) if tokens is None else tokens
    bars = [(LEDGER_NAMES["tokens"], words)]
    outside = outside_the_text(explanation)
    if outside:
        bars = [(LEDGER_NAMES["tokens"], words - sum(outside.values()))]
        if len(outside) > NAMED:
            outside = {"tokens": sum(outside.values())}
        bars += [(f"{name}, not in the text", value) for name, value in outside.items()]
    bars += [(LEDGER_NAMES.get(key, key), value) for key, value in ledger.items()]
    missing = explanation.start - sum(value for _, value in bars)
    if abs(missing) > _ROUNDING * largest_of([*bars, ("", explanation.start)]):
        bars.append(("not accounted for by this method", missing))
    return bars


def what_is_shared(explanation: Explanation) -> str:
    """What the rows of the account add up to."""
    if explanation.parameters.get("start") == "one":
        return "what relevance starts from"
    return "the score" if explanation.against is None else "the difference of the scores"


def bar_table(
    caption: str | None,
    bars: Sequence[Bar],
    *,
    largest: float | None = None,
    notes: Mapping[int, str] | None = None,
    total: Bar | None = None,
    shares: Sequence[str] = (),
) -> Html:
    """A table of names, numbers and bars that start at zero; rows with a note stand out.

    Args:
        caption: what the table is about.
        bars: the rows.
        largest: what the longest bar stands for; by default the largest of the rows.
        notes: by row, what is said beside the name.
        total: a last row, apart from the others.
        shares: one more column, between the number and the bar.
    """
    everything = [*bars, total] if total else bars
    largest = largest_of(everything) if largest is None else largest
    number = number_format(largest)
    notes = notes or {}

    def row(bar: Bar, note: str | None = None, share: str | None = None) -> Html:
        said = element("span", f" {note}", class_="quiet") if note else None
        return element(
            "tr",
            element("th", element("bdi", bar[0]), said, scope="row"),
            element("td", format(bar[1], number)),
            element("td", share) if share is not None else None,
            element("td", value_bar(bar[1], largest)),
            class_="chosen" if note else None,
        )

    rows = [
        row(bar, notes.get(i), share) for i, (bar, share) in enumerate(zip_longest(bars, shares))
    ]
    return element(
        "table",
        element("caption", caption) if caption else None,
        element("tbody", *rows),
        element("tfoot", row(total)) if total else None,
    )


def value_bar(value: float, largest: float) -> Html:
    """A bar from the middle, to the right for positive values; `largest` fills a half."""
    width = round(50 * abs(value) / largest, 1) if largest else 0.0
    start, sign = (50.0, "up") if value > 0 else (50 - width, "down")
    bar = f'<rect x="{start:.1f}%" width="{width:.1f}%" class="{sign}"></rect>'
    return Html(f'<svg aria-hidden="true">{bar}</svg>')


def largest_of(bars: Sequence[Bar]) -> float:
    """The largest absolute value."""
    return max((abs(value) for _, value in bars), default=0.0)
