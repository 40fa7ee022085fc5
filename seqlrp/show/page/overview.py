"""What stands round the texts: what they are together, the list of them, and the controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from seqlrp.explanations.record import Explanation
from seqlrp.show.colours import PALETTES, SHADES
from seqlrp.show.numbers import percent
from seqlrp.show.page.document import Sides, certainty, margin, name, outcome
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.text_view import format_parameters

_MANY = 10  # texts, of which a share says something
_FEW_CLASSES = 8  # that are named
_EXCERPT = 90  # characters of a text in the list
_STABILISER = (
    "Epsilon (ε) is a small number that keeps divisions by nearly nothing from blowing up; a "
    "percentage is one of the mean size of what a part of the model computes. What it takes away "
    "is told under each text as lost to the stabiliser."
)
_UNTESTED = (
    "That was not tested here: a test takes the coloured words out and sees whether the answer "
    "changes (seqlrp evaluate). The colours say what this model made of these words, not what is "
    "true of the world."
)
_TRAINED_ON = " How often the model is right counts only for texts that it was not trained on."


class Overview:
    """What texts are together, counted as they come."""

    def __init__(self) -> None:
        self.texts = 0
        self.compared = False
        self.every = False
        self.answers = True  # whether all that is explained is the answer of the model
        self._known = 0
        self._right = 0
        self._sure = 0
        self._labels: Counter[str] = Counter()
        self._mistakes: Counter[tuple[str, str]] = Counter()  # the true class, and the answer
        self._classes: tuple[str, ...] | None = None
        self._methods: Counter[str] = Counter()
        self._settings: Counter[tuple[str, str]] = Counter()
        self._stabilised = False

    def add(self, sides: Sides) -> None:
        """Count one text, and every method that explains it."""
        first = sides[0][0].shown
        self.texts += 1
        self._known += first.label is not None
        self._right += first.label is not None and first.label == first.predicted
        if first.label_name is not None:
            self._labels[first.label_name] += 1
            if first.label != first.predicted:
                self._mistakes[first.label_name, first.predicted_label] += 1
        self._classes = first.labels if self.texts == 1 or self._classes == first.labels else None
        self._sure += (certainty(first) or (False, 0))[0]
        # Once a text, however many sides it has, in the order of the sides.
        self._methods.update(dict.fromkeys(r.shown.method for r, _ in sides).keys())
        self._settings.update(
            dict.fromkeys((r.shown.method, format_parameters(r.shown)) for r, _ in sides).keys()
        )
        for view, _ in sides:
            self.compared |= view.shown.against is not None
            self.every |= view.every is not None
            self.answers &= view.shown.target == view.shown.predicted
            self._stabilised |= "epsilon" in view.shown.parameters

    @property
    def known(self) -> bool:
        """Whether the true class of any text is known."""
        return self._known > 0

    @property
    def method(self) -> str | None:
        """The method of the first text."""
        return next(iter(self._methods), None)

    @property
    def shares(self) -> bool:
        """Whether every answer has a probability."""
        return self._sure == self.texts

    def lead(self, options: PageOptions) -> Html | None:
        """The point, in sentences: who answered how many texts, and how often that was right.

        A single text says that itself.
        """
        if self.texts == 1:
            return None
        if options.selection:
            return element("p", f"{self.texts:,} texts that were selected.", class_="lead")
        known_as = options.model or (options.sides or (None,))[0]  # right answers: of the first
        model = "The model" if known_as is None else element("bdi", known_as)
        texts = f"{self.texts:,} texts"
        if not self._known:
            end = ". Whether it was right is not known." if self.texts else "."
            return element(
                "p", model, " answered ", element("span", texts, class_="point"), end, class_="lead"
            )
        known = texts if self._known == self.texts else f"{self._known:,}"
        rest = self.texts - self._known
        return element(
            "p",
            model,
            " was right on ",
            element("span", f"{self._right:,} of {known}", class_="point"),
            f" ({percent(self._right / self._known)})",
            f"; of the other {rest:,} it is not known" if rest else None,
            ". ",
            self._by_guessing(),
            self._most_often(),
            class_="lead",
        )

    def _most_often(self) -> Html | None:
        """The mistake that is made most often, where there is a choice of mistakes."""
        times = max(self._mistakes.values(), default=0)
        if times < 2 or len(self._mistakes) < 2:
            return None
        (true, answer), _ = max(self._mistakes.items(), key=lambda item: item[1])
        share = f" ({times:,} of {sum(self._mistakes.values()):,})."
        return element("span", " Its most frequent mistake is to answer ", name(answer), " for ",
                       name(true), share, class_="quiet")  # fmt: skip

    def _by_guessing(self) -> Html | None:
        """What anybody would reach who knows nothing but the most frequent class."""
        if self._known < _MANY:
            return None
        often, count = max(self._labels.items(), key=lambda item: item[1])
        if count == self._known:
            return element("span", "All of them are ", name(often), ".", class_="quiet")
        share = percent(count / self._known)
        return element("span", "Always answering ", name(often), f" would reach {share}.",
                       class_="quiet")  # fmt: skip

    def facts(self, options: PageOptions) -> Html | None:
        """What the author says of texts and model, and the classes; None where there is nothing."""
        facts = [] if options.corpus is None else [_fact("Texts from", options.corpus)]
        facts += [_fact(key, value) for key, value in options.about.items()]
        if self._classes is not None and 1 < len(self._classes) <= _FEW_CLASSES:
            facts.append(_fact("It chooses between", ", ".join(self._classes)))
        elif self._classes is not None and len(self._classes) > 1:
            facts.append(_fact("It chooses between", f"{len(self._classes):,} classes"))
        return element("dl", *facts, class_="about inline") if facts else None

    def settings(self) -> Html | None:
        """Folded away: the methods and their settings, for whoever makes such pages."""
        facts = [_fact("Method", method, self._of(n)) for method, n in self._methods.items()]
        facts += [
            _fact("Settings", f"{method}: {parameters}", self._of(n))
            for (method, parameters), n in self._settings.items()
            if parameters
        ]
        if not facts:
            return None
        more = element("p", _STABILISER, class_="quiet") if self._stabilised else None
        heading = element("summary", "How the colours were computed: method and settings")
        return element("details", heading, element("dl", *facts, class_="about"), more)

    def _of(self, count: int) -> str | None:
        return f" ({count:,} of {self.texts:,} texts)" if count != self.texts else None


def _fact(name: str, value: str, more: str | None = None) -> Html:
    return element("div", element("dt", name), element("dd", element("bdi", value), more))


def header(
    overview: Overview,
    options: PageOptions,
    *,
    script: bool = True,
    point: Html | None = None,
    after: Sequence[Html | None] = (),
) -> Html:
    """The point first: heading, the author's note, how often the model is right.

    Then what the colours mean, and what comes `after`.

    Args:
        overview: of the texts.
        options: the options of the page.
        script: whether the page has a script.
        point: what comes before all that is said of the texts.
        after: what ends the header.
    """
    paragraphs = [] if options.note is None else options.note.split("\n\n")
    return element(
        "header",
        element("h1", element("bdi", options.title)),
        *(element("p", element("bdi", text), class_="note") for text in paragraphs if text.strip()),
        point,
        overview.lead(options),
        colour_explanation(options, overview, script=script),
        *after,
    )


def trust(overview: Overview, *, script: bool, tested: bool, test: str | None) -> Html | None:
    """Whether the colours can be trusted; None where there is nothing to say.

    Args:
        overview: of the texts.
        script: whether the page has a script; without one it does not say what was not tested.
        tested: whether there is a report of a test.
        test: what the test found, in a sentence or two.
    """
    if script and not tested and overview.texts:
        test = _UNTESTED + (_TRAINED_ON if overview.known else "")
    return element("p", element("b", "Can these colours be trusted?"), " ", test) if test else None


def places_of_report(
    before: Html | None, options: PageOptions
) -> tuple[Html | None, Html | None, Html | None]:
    """A report as the point of the page, in front of the texts, or folded away behind them.

    Texts that were selected say nothing of the model: what a report in front says is the point.
    """
    if not options.front:
        return None, None, before
    return (before, None, None) if options.selection else (None, before, None)


def behind(overview: Overview, before: Html | None) -> Html | None:
    """What stands last, folded away: the evaluation, and the settings of the methods."""
    folded = before and element(
        "details", element("summary", "Evaluation: can these colours be trusted?"), before
    )
    parts = [part for part in (folded, overview.settings()) if part]
    return element("section", *parts, class_="behind", aria_label="Background") if parts else None


def colour_explanation(options: PageOptions, overview: Overview, *, script: bool = True) -> Html:
    """What the two colours mean, in a paragraph that shows them.

    With a script, the reader of a text whose every class is explained can choose another.
    """
    parts = f"{options.by}s"
    other = ", or for the class with which it is compared" if overview.compared else ""
    alone = overview.answers and not (overview.compared or (script and overview.every))
    explained = "the answer that the model gave" if alone else "the class that is explained"
    return element(
        "p",
        f"{parts.capitalize()} on ",
        element("mark", "this colour", class_="f12"),
        f" speak for {explained}, {parts} on ",
        element("mark", "this colour with a dotted line", class_="a12"),
        f" speak against it{other}. The deeper the colour, the more they weigh.",
    )


def how_to_read(
    options: PageOptions,
    *,
    every: bool,
    script: bool,
) -> Html:
    """How deep colours are, and how to see a value; what is missing without a script."""
    part, parts = options.by, f"{options.by}s"
    where = "In each text, the strongest" if options.scale == "document" else "The strongest"
    of_all = "" if options.scale == "document" else " of all texts"
    how = (
        f"Point at a {part} or tap it to see its value, and its share of the weight of all {parts} "
        f"in the text; on a keyboard, Tab goes to a text and the arrow keys from {part} to {part}."
        if script
        else f"Point at a {part} to see its value."
    )
    missing = element(
        "noscript", element("p", "Each class was explained; without a script, the predicted one "
                            "is shown.", class_="quiet"),
    )  # fmt: skip
    return element(
        "div",
        element(
            "p",
            f"{where} {part}{of_all} has the deepest colour; {parts} with less than "
            f"{percent(options.least)} of its weight have none. ",
            element("span", how, class_="how"),
            class_="quiet",
        ),
        missing if script and every else None,
        class_="reading",
    )


def list_entry(number: int, explanation: Explanation, link: str) -> Html:
    """One text in the list: its beginning, the predicted class, whether that is right."""
    ahead, sure = margin(explanation), certainty(explanation)
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
        data_p=None if sure is None or not sure[0] else f"{100 * sure[1]:.4g}",
        data_i=None if explanation.id is None else explanation.id[:80],
    )


def excerpt(explanation: Explanation) -> str:
    """The beginning of the text, in one line, up to the end of a word."""
    text = explanation.text
    line = " ".join(text[: 4 * _EXCERPT].split())
    if not line:
        return "(no visible character)"
    if len(line) <= _EXCERPT and len(text) <= 4 * _EXCERPT:
        return line
    whole, _, _ = line[: _EXCERPT + 1].rpartition(" ")
    return f"{whole or line[:_EXCERPT]} …"


def text_list(
    entries: list[Html],
    overview: Overview,
    *,
    heading: str = "Texts",
    here: bool = True,
    script: bool = True,
) -> Html:
    """The list of texts, on this page or on others.

    Args:
        entries: made by `entry`.
        overview: of the texts.
        here: whether the texts are on this page.
        script: whether the page has a script, which searches.
    """
    return element(
        "nav",
        element("h2", heading),
        search_form(overview.known, overview.shares) if script else None,
        element("ol", *entries),
        class_="here" if here else None,
        aria_label="Texts",
    )


def controls(options: PageOptions, *, every: bool, known: bool) -> Html:
    """How the texts are shown; the script brings this to light.

    Args:
        options: what is chosen at first.
        every: whether every class of a text is explained.
        known: whether the true class of any text is known.
    """
    choices = [
        _option(palette.replace("-", " and "), palette, options.palette) for palette in PALETTES
    ]
    small = "tokens" if options.by == "token" else "words"
    units = [_option(small, "word", options.by), _option("sentences", "sentence", options.by)]
    least = f"{100 * options.least:.0f}"
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
            "Only above ",
            element("input", type="range", id="threshold", min=100 // SHADES, max=100, value=least),
            element("output", f"{least} %"),
            " of the strongest",
        ),
        element("label", "Colours ", element("select", *choices, id="palette")),
        class_="controls",
        hidden="",
    )


def _option(text: str, value: str, chosen: str = "") -> Html:
    return element("option", text, value=value, selected="" if chosen and value == chosen else None)


def search_form(known: bool, shares: bool) -> Html:
    """Search, filter and order; the script brings this to light and knows the classes.

    What is right or wrong is asked for where the true class of any text is known; how sure the
    model is, in per cent where every answer has a probability, or by how far a score is ahead.
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
            "At most " if shares else "Lead over the next class up to ",
            element(
                "input", type="number", id="margin", min=0, max=100 if shares else None, step="any"
            ),
            " % sure" if shares else None,
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
