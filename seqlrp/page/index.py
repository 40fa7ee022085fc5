"""What stands round the texts: what they are together, the list of them, and the controls."""

from __future__ import annotations

from collections import Counter

from seqlrp.explanation import Explanation
from seqlrp.page.colours import PALETTES, SHADES
from seqlrp.page.document import Sides, margin, name, outcome
from seqlrp.page.markup import Html, element
from seqlrp.page.options import Look
from seqlrp.page.reading import parameters_of

_EXCERPT = 90  # characters of a text in the list


class Tally:
    """What texts are together, counted as they come."""

    def __init__(self) -> None:
        self.texts = 0
        self.compared = False
        self.every = False
        self._known = 0
        self._right = 0
        self._methods: Counter[tuple[str, str]] = Counter()

    def add(self, sides: Sides) -> None:
        """Count one text, and every method that explains it."""
        first = sides[0][0].shown
        self.texts += 1
        self._known += first.label is not None
        self._right += first.label is not None and first.label == first.predicted
        for reading, _ in sides:
            self.compared |= reading.shown.against is not None
            self.every |= reading.every is not None
            self._methods[reading.shown.method, parameters_of(reading.shown)] += 1

    def facts(self) -> Html:
        """How many texts, how many predicted rightly, the methods with their parameters."""
        facts = [element("dt", "Texts"), element("dd", f"{self.texts:,}")]
        if self._known:
            right = f"{self._right:,} of {self._known:,}"
            facts += [element("dt", "Predicted rightly"), element("dd", right)]
        for (method, parameters), count in self._methods.items():
            only = f" ({count:,} of {self.texts:,} texts)" if count != self.texts else None
            facts += [element("dt", "Method"), element("dd", element("bdi", method), only)]
            if parameters:
                facts += [element("dt", "Parameters"), element("dd", element("bdi", parameters))]
        return element("dl", *facts, class_="about")


def header(title: str, tally: Tally, look: Look, *, script: bool) -> Html:
    """The heading, how to read the colours, and what the texts are together."""
    other = ", or for the class with which it is compared" if tally.compared else ""
    parts = {"word": "words", "token": "tokens", "sentence": "sentences"}[look.by]
    largest_of = "each text" if look.scale == "document" else "all texts together"
    read = (
        f"Point at one or tap it, or go to a text with Tab and to its {parts} with the arrow keys, "
        f"to see the value, and its share of the absolute values of all {parts} of the text."
        if script
        else "Point at one to see its value."
    )
    return element(
        "header",
        element("h1", element("bdi", title)),
        element(
            "p",
            f"{parts.capitalize()} on ",
            element("mark", "this colour", class_="f12"),
            f" speak for the class that is explained, {parts} on ",
            element("mark", "this colour with a dotted line", class_="a12"),
            f" speak against it{other}, and the deeper the colour, the more they weigh.",
        ),
        element(
            "p",
            f"The deepest colour stands for the largest value of {largest_of}; {parts} that have "
            f"less than {100 * look.least:.0f} % of it have no colour. {read}",
            class_="quiet",
        ),
        element(
            "noscript",
            element(
                "p",
                "Each class was explained; without a script, the predicted one is shown.",
                class_="quiet",
            ),
        )
        if script and tally.every
        else None,
        tally.facts(),
    )


def entry(number: int, explanation: Explanation, link: str) -> Html:
    """One text in the list: its beginning, the predicted class, whether that is right."""
    ahead = margin(explanation)
    known = explanation.label is not None
    right = known and explanation.label == explanation.predicted
    truth = name(explanation.labels[explanation.label or 0]) if known and not right else None
    return element(
        "li",
        element("span", str(number), class_="quiet"),
        element("a", excerpt(explanation), href=link, dir="auto"),
        element(
            "span",
            name(explanation.predicted_label),
            " ",
            outcome(explanation),
            None if truth is None else element("span", " it is ", truth, class_="quiet"),
        ),
        data_m=None if ahead is None else f"{ahead:.4g}",
        data_i=None if explanation.id is None else explanation.id[:80],
    )


def excerpt(explanation: Explanation) -> str:
    """The beginning of the text, in one line."""
    words = explanation.text[: 4 * _EXCERPT].split()
    return " ".join(words)[:_EXCERPT] or "(no visible character)"


def listed(entries: list[Html], *, here: bool = True, script: bool = True) -> Html | None:
    """The list of texts, on this page or on others; None where there is nothing to choose."""
    if len(entries) < (2 if here else 1):
        return None
    return element(
        "nav",
        element("h2", "Texts"),
        finder() if script else None,
        element("ol", *entries),
        class_="here" if here else None,
        aria_label="Texts",
    )


def controls(look: Look, *, every: bool) -> Html:
    """How the texts are shown; the script brings this to light."""
    choices = [
        _option(palette.replace("-", " and "), palette, look.palette) for palette in PALETTES
    ]
    small = "tokens" if look.by == "token" else "words"
    units = [_option(small, "word", look.by), _option("sentences", "sentence", look.by)]
    percent = f"{100 * look.least:.0f}"
    classes = element(
        "label",
        "Class ",
        element(
            "select",
            _option("predicted", "predicted"),
            _option("true", "true"),
            id="target",
        ),
    )
    return element(
        "div",
        element("label", "Colour ", element("select", *units, id="unit")),
        classes if every else None,
        element(
            "label",
            "from ",
            element(
                "input", type="range", id="threshold", min=100 // SHADES, max=100, value=percent
            ),
            element("output", f"{percent} %"),
        ),
        element("label", "in ", element("select", *choices, id="palette")),
        class_="controls",
        hidden="",
    )


def _option(text: str, value: str, chosen: str = "") -> Html:
    return element("option", text, value=value, selected="" if chosen and value == chosen else None)


def finder() -> Html:
    """Search, filter and order; the script brings this to light and knows the classes."""
    outcomes = [("", "right or wrong"), ("1", "right"), ("0", "wrong")]
    orders = [
        ("", "as given"),
        ("least", "least sure first"),
        ("most", "surest first"),
        ("wrong", "wrong ones first"),
        ("class", "by class"),
    ]
    return element(
        "div",
        element("label", "Search ", element("input", type="search", id="search")),
        element("label", "Class ", element("select", _option("any", ""), id="class")),
        element(
            "label",
            "Outcome ",
            element("select", *(_option(t, v) for v, t in outcomes), id="outcome"),
        ),
        element(
            "label",
            "Ahead by at most ",
            element("input", type="number", id="margin", min=0, step="any"),
        ),
        element(
            "label",
            "Order ",
            element("select", *(_option(t, v) for v, t in orders), id="order"),
        ),
        element("p", element("output", id="count"), element("span", class_="turn")),
        class_="controls finder",
        hidden="",
    )
