"""One explained text as HTML: coloured words, the verdict, and three small tables of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from seqlrp.explanation import Explanation
from seqlrp.page.colours import SHADES, levels, shade_class
from seqlrp.page.markup import Html, element

# What the entries of a ledger are, for somebody who has not read the paper.
PLAIN_WORDS = {
    "tokens": "the words",
    "padding": "padding",
    "bias": "biases of the model",
    "stabiliser": "lost to the stabiliser ε",
    "initial state": "the initial state",
    "constant": "other constants",
    "gate": "gates that pass nothing on",
    "zero input": "inputs that are exactly 0",
    "refused": "functions without a rule",
    "baseline": "the score of the baseline",
}
TABLE_ROWS = 8  # further classes are folded away

Bar = tuple[str, float]


def coloured_text(explanation: Explanation, largest: float) -> Html:
    """The text exactly as it is, white space included, with every word of some weight marked.

    Words too weak for a colour carry no mark-up, which keeps long documents small.
    """
    number = number_format(largest)
    shades = levels(explanation.relevance, largest).tolist()
    pieces: list[str] = []
    done = 0
    for (start, end), shade, relevance in zip(
        explanation.offsets.tolist(), shades, explanation.relevance.tolist(), strict=True
    ):
        if shade and start < end:  # [CLS] and the like stand nowhere
            word, value = _cut(explanation.text, start, end), format(relevance, number)
            pieces.append(_cut(explanation.text, done, start))
            pieces.append(element("mark", word, class_=shade_class(shade), title=value))
            done = end
    pieces.append(_cut(explanation.text, done, len(explanation.text)))
    return element("div", *pieces, class_="text", dir="auto", lang="")


def _cut(text: str, start: int, end: int) -> str:
    # A CR whose LF comes with the next piece would be shown as an end of line of its own.
    return text[start : end - 1 if text[end - 1 : end + 1] == "\r\n" else end]


def verdict(explanation: Explanation) -> Html:
    """A sentence: the predicted class, whether that is right, the class that is explained."""
    truth: list[str | None] = [" ", outcome(explanation)]
    if explanation.label_name is None:
        truth = ["; the true class is not known"]
    elif explanation.label != explanation.predicted:
        truth += [" (it is ", name(explanation.label_name), ")"]
    question: list[str] = [name(explanation.target_label)]
    if explanation.against_label is not None:
        question = ["why ", *question, " rather than ", name(explanation.against_label)]
    return element(
        "p",
        "Predicted ",
        name(explanation.predicted_label),
        *truth,
        ". Explained: ",
        *question,
        ".",
        class_="verdict",
    )


def outcome(explanation: Explanation) -> str | None:
    """Whether the prediction is right, as a mark and a word; None where that is not known."""
    if explanation.label is None:
        return None
    return "✓ right" if explanation.label == explanation.predicted else "✗ wrong"


def legend(largest: float, target: str | None = None, against: str | None = None) -> Html:
    """The scale of colours with its numbers: the deepest colours stand for ±largest.

    Words against the target speak for the class `against`, if it is compared with one.
    """
    number = number_format(largest)
    steps = range(2, SHADES + 1, 2)
    left = [element("i", class_=shade_class(-step)) for step in reversed(steps)]
    right = [element("i", class_=shade_class(step)) for step in steps]
    named = name(target) if target is not None else "the class"
    opposite = ("against ", named) if against is None else ("for ", name(against))
    return element(
        "p",
        element("span", *opposite, f" {format(-largest, number)}"),
        element("span", *left, class_="strip", aria_hidden="true"),
        element("span", "0"),
        element("span", *right, class_="strip", aria_hidden="true"),
        element("span", f"{format(largest, number)} for ", named),
        class_="legend",
    )


def strongest_words(explanation: Explanation, n: int = 5) -> Html:
    """The n strongest words on either side, but for those with less than 5 % of the strongest."""
    strongest = explanation.top(n, +1) + explanation.top(n, -1)[::-1]
    bars = [(token, relevance) for _, token, relevance in strongest]
    bars = [bar for bar in bars if abs(bar[1]) >= 0.05 * largest_of(bars)]
    if not bars:
        return element("section", element("p", "No word speaks for or against.", class_="quiet"))
    return element("section", bar_table("Strongest words", bars))


def class_scores(explanation: Explanation) -> Html:
    """The scores of all classes, best first; beyond the first few they are folded away."""
    scores = explanation.scores.tolist()
    order = sorted(range(len(scores)), key=lambda c: -scores[c])
    bars = [(explanation.labels[c], scores[c]) for c in order]
    first, further = bars[:TABLE_ROWS], bars[TABLE_ROWS:]
    chosen = [order.index(c) for c in (explanation.target, explanation.against) if c in order]
    folded = further and element(
        "details",
        element("summary", f"{len(further)} further classes"),
        bar_table(None, further, largest=largest_of(bars)),
    )
    return element(
        "section",
        bar_table("Scores", first, largest=largest_of(bars), chosen=chosen),
        folded or None,
    )


def where_the_score_comes_from(explanation: Explanation) -> Html:
    """The ledger: how much of the score the words took, and who took the rest."""
    ledger = {key: value for key, value in explanation.ledger.items() if isinstance(value, float)}
    words = float(explanation.relevance.sum(dtype=np.float64))
    bars = [(PLAIN_WORDS.get(key, key), value) for key, value in ledger.items()]
    if "tokens" not in ledger:
        bars.insert(0, (PLAIN_WORDS["tokens"], words))
    total = (_what_is_shared(explanation), explanation.start)
    missing = explanation.start - sum(value for _, value in bars)
    if abs(missing) > 1e-3 * largest_of([*bars, total]):
        bars.append(("not accounted for by this method", missing))
    caption = "Where the score comes from"
    if explanation.against is not None:
        caption = "Where the difference comes from"
    return element("section", bar_table(caption, bars, total=total))


def _what_is_shared(explanation: Explanation) -> str:
    if explanation.parameters.get("start") == "one":
        return "what relevance starts from"
    return "the score" if explanation.against is None else "the difference of the scores"


def bar_table(
    caption: str | None,
    bars: Sequence[Bar],
    *,
    largest: float | None = None,
    chosen: Sequence[int] = (),
    total: Bar | None = None,
) -> Html:
    """A table of names, numbers and bars that start at zero."""
    everything = [*bars, total] if total else bars
    largest = largest_of(everything) if largest is None else largest
    number = number_format(largest)

    def row(bar: Bar, chosen: bool = False) -> Html:
        return element(
            "tr",
            element("th", element("bdi", bar[0]), scope="row"),
            element("td", format(bar[1], number)),
            element("td", _bar(bar[1], largest)),
            class_="chosen" if chosen else None,
        )

    return element(
        "table",
        element("caption", caption) if caption else None,
        element("tbody", *(row(bar, i in chosen) for i, bar in enumerate(bars))),
        element("tfoot", row(total)) if total else None,
    )


def _bar(value: float, largest: float) -> Html:
    width = round(50 * abs(value) / largest, 1) if largest else 0.0
    start, sign = (50.0, "up") if value > 0 else (50 - width, "down")
    bar = element("rect", x=f"{start:.1f}%", width=f"{width:.1f}%", class_=sign)
    return element("svg", bar, aria_hidden="true")


def name(label: str) -> Html:
    """The name of a class, kept apart from the direction of the writing round it."""
    return element("b", element("bdi", label))


def largest_of(bars: Sequence[Bar]) -> float:
    """The largest absolute value."""
    return max((abs(value) for _, value in bars), default=0.0)


def number_format(largest: float) -> str:
    """How to print numbers up to `largest`: sign, and the decimals that give four figures of it."""
    if largest == 0:
        return "+z.3f"
    decimals = 3 - math.floor(math.log10(largest))
    return f"+z.{max(decimals, 0)}f" if -3 <= decimals <= 8 else "+z.3e"
