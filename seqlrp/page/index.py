"""What stands round the texts: what they are together, the list of them, and the controls."""

from __future__ import annotations

from collections import Counter

from seqlrp.explanation import Explanation
from seqlrp.page.colours import PALETTES, SHADES
from seqlrp.page.document import Sides, margin, name, outcome
from seqlrp.page.markup import Html, element
from seqlrp.page.options import Look
from seqlrp.page.reading import parameters_of, percent

_EXCERPT = 90  # characters of a text in the list
_STABILISER = (
    "Epsilon (ε) is a small number that keeps divisions by nearly nothing from blowing up; what it "
    "takes away is told under each text as lost to the stabiliser."
)


class Tally:
    """What texts are together, counted as they come."""

    def __init__(self) -> None:
        self.texts = 0
        self.compared = False
        self.every = False
        self._known = 0
        self._right = 0
        self._methods: Counter[str] = Counter()
        self._settings: Counter[tuple[str, str]] = Counter()
        self._stabilised = False

    def add(self, sides: Sides) -> None:
        """Count one text, and every method that explains it."""
        first = sides[0][0].shown
        self.texts += 1
        self._known += first.label is not None
        self._right += first.label is not None and first.label == first.predicted
        # Once a text, however many sides it has, in the order of the sides.
        self._methods.update(dict.fromkeys(r.shown.method for r, _ in sides).keys())
        self._settings.update(
            dict.fromkeys((r.shown.method, parameters_of(r.shown)) for r, _ in sides).keys()
        )
        for reading, _ in sides:
            self.compared |= reading.shown.against is not None
            self.every |= reading.every is not None
            self._stabilised |= "epsilon" in reading.shown.parameters

    @property
    def known(self) -> bool:
        """Whether the true class of any text is known."""
        return self._known > 0

    def facts(self) -> list[Html]:
        """How many texts, how many predicted rightly, the methods; folded away, their settings."""
        facts = [_fact("Texts", f"{self.texts:,}")]
        if self._known:
            share = percent(self._right / self._known)
            facts.append(
                _fact("Predicted rightly", f"{self._right:,} of {self._known:,} ({share})")
            )
        facts += [_fact("Method", method, self._of(n)) for method, n in self._methods.items()]
        settings = [
            _fact("Settings", f"{method}: {parameters}", self._of(n))
            for (method, parameters), n in self._settings.items()
            if parameters
        ]
        shown = [element("dl", *facts, class_="about")]
        if settings:
            more = element("p", _STABILISER, class_="quiet") if self._stabilised else None
            folded = element("dl", *settings, class_="about")
            name_ = element("summary", "For experts: the settings of the method")
            shown.append(element("details", name_, folded, more))
        return shown

    def _of(self, count: int) -> str | None:
        return f" ({count:,} of {self.texts:,} texts)" if count != self.texts else None


def _fact(name: str, value: str, more: str | None = None) -> Html:
    return Html(element("dt", name) + element("dd", element("bdi", value), more))


def header(title: str, tally: Tally, look: Look, *, script: bool) -> Html:
    """The heading, how to read the colours, and what the texts are together."""
    every = element(
        "noscript",
        element(
            "p",
            "Each class was explained; without a script, the predicted one is shown.",
            class_="quiet",
        ),
    )
    return element(
        "header",
        element("h1", element("bdi", title)),
        colours_in_words(look, compared=tally.compared),
        _how_to_read(look, script=script),
        every if script and tally.every else None,
        *tally.facts(),
    )


def colours_in_words(look: Look, *, compared: bool) -> Html:
    """What the two colours mean, in a paragraph that shows them."""
    parts = f"{look.by}s"
    other = ", or for the class with which it is compared" if compared else ""
    return element(
        "p",
        f"The model gave every class a score. {parts.capitalize()} on ",
        element("mark", "this colour", class_="f12"),
        f" speak for the class that is explained, {parts} on ",
        element("mark", "this colour with a dotted line", class_="a12"),
        f" speak against it{other}. The deeper the colour, the more they weigh.",
    )


def _how_to_read(look: Look, *, script: bool) -> Html:
    part, parts = look.by, f"{look.by}s"
    where = "In each text, the strongest" if look.scale == "document" else "The strongest"
    of_all = "" if look.scale == "document" else " of all texts"
    how = (
        f"Point at a {part} or tap it to see its value, and its share of the weight of all {parts} "
        f"in the text; on a keyboard, Tab goes to a text and the arrow keys from {part} to {part}."
        if script
        else f"Point at a {part} to see its value."
    )
    return element(
        "p",
        f"{where} {part}{of_all} has the deepest colour; {parts} with less than "
        f"{percent(look.least)} of its weight have none. ",
        element("span", how, class_="how"),
        class_="quiet",
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
            None if truth is None else element("span", ", it is ", truth, class_="quiet"),
        ),
        data_m=None if ahead is None else f"{ahead:.4g}",
        data_i=None if explanation.id is None else explanation.id[:80],
    )


def excerpt(explanation: Explanation) -> str:
    """The beginning of the text, in one line."""
    words = explanation.text[: 4 * _EXCERPT].split()
    return " ".join(words)[:_EXCERPT] or "(no visible character)"


def listed(
    entries: list[Html], *, known: bool, here: bool = True, script: bool = True
) -> Html | None:
    """The list of texts, on this page or on others; None where there is nothing to choose.

    Args:
        entries: made by `entry`.
        known: whether the true class of any of them is known.
        here: whether the texts are on this page.
        script: whether the page has a script, which searches.
    """
    if len(entries) < (2 if here else 1):
        return None
    return element(
        "nav",
        element("h2", "Texts"),
        finder(known) if script else None,
        element("ol", *entries),
        class_="here" if here else None,
        aria_label="Texts",
    )


def controls(look: Look, *, every: bool, known: bool) -> Html:
    """How the texts are shown; the script brings this to light.

    Args:
        look: what is chosen at first.
        every: whether every class of a text is explained.
        known: whether the true class of any text is known.
    """
    choices = [
        _option(palette.replace("-", " and "), palette, look.palette) for palette in PALETTES
    ]
    small = "tokens" if look.by == "token" else "words"
    units = [_option(small, "word", look.by), _option("sentences", "sentence", look.by)]
    least = f"{100 * look.least:.0f}"
    classes = element(
        "label",
        "Explained class ",
        element(
            "select",
            _option("predicted", "predicted"),
            _option("true", "true") if known else None,
            id="target",
        ),
    )
    return element(
        "div",
        element("label", "Colour ", element("select", *units, id="unit")),
        classes if every else None,
        element(
            "label",
            "with at least ",
            element("input", type="range", id="threshold", min=100 // SHADES, max=100, value=least),
            element("output", f"{least} %"),
            " of the strongest",
        ),
        element("label", "in ", element("select", *choices, id="palette")),
        class_="controls",
        hidden="",
    )


def _option(text: str, value: str, chosen: str = "") -> Html:
    return element("option", text, value=value, selected="" if chosen and value == chosen else None)


def finder(known: bool) -> Html:
    """Search, filter and order; the script brings this to light and knows the classes.

    What is right or wrong is asked for where the true class of any text is known.
    """
    outcomes = [("", "right or wrong"), ("1", "right"), ("0", "wrong")]
    orders = [("", "as given"), ("least", "least sure first"), ("most", "surest first")]
    orders += [("wrong", "wrong ones first")] if known else []
    orders += [("class", "by class")]
    outcome_ = element(
        "label",
        "Outcome ",
        element("select", *(_option(t, v) for v, t in outcomes), id="outcome"),
    )
    return element(
        "div",
        element("label", "Search ", element("input", type="search", id="search")),
        element("label", "Class ", element("select", _option("any", ""), id="class")),
        outcome_ if known else None,
        element(
            "label",
            "Score ahead by at most ",
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
