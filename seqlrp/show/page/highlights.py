"""Three texts that show something: the surest right and wrong answers, and the least sure one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seqlrp.explanations.record import Explanation
from seqlrp.show.page.document import Sides, certainty, coloured_text, name, verdict
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.text_view import Scale, TextView

FEWEST = 4  # texts; fewer are all in sight
_READABLE = range(5, 61)  # words that are read at a glance; other lengths come second
_RIGHT, _WRONG = "Surest right answer", "Surest wrong answer"
_SUREST, _LEAST = "Surest answer", "Least sure answer"

Rank = tuple[bool, bool, float]


@dataclass(frozen=True)
class _Chosen:
    """A text that is shown, and why."""

    rank: Rank
    number: int
    view: TextView
    scale: Scale
    link: str


class Highlights:
    """The texts that stand at the top of a page, found in a stream of texts."""

    def __init__(self) -> None:
        self._texts = 0
        self._compared = False
        self._best: dict[str, _Chosen] = {}

    def add(self, number: int, sides: Sides, link: str) -> None:
        """Look at one text; `link` leads to it."""
        self._texts += 1
        self._compared |= len(sides) > 1
        view, scale = sides[0]
        sure = certainty(view.shown)
        if sure is None or self._compared:
            return
        for kind, sign in _kinds(view.shown):
            rank = (len(view.words) in _READABLE, *_signed(sure, sign))
            if kind not in self._best or rank > self._best[kind].rank:
                self._best[kind] = _Chosen(rank, number, view, scale or view.scale, link)

    def section(self, options: PageOptions) -> Html | None:
        """The texts, largest of all on the page; None where there are few, or two sides."""
        if self._compared or self._texts < FEWEST:
            return None
        shown: dict[int, Html] = {}
        for kind in (_RIGHT, _WRONG, _SUREST, _LEAST):
            found = self._best.get(kind)
            if found is not None and found.number not in shown:
                shown[found.number] = _card(kind, found, options)
        return element(
            "section", *shown.values(), class_="highlights", aria_label="Texts that show something"
        )


def _kinds(explanation: Explanation) -> list[tuple[str, int]]:
    surest = _SUREST
    if explanation.label is not None:
        surest = _RIGHT if explanation.label == explanation.predicted else _WRONG
    return [(surest, +1), (_LEAST, -1)]


def _signed(sure: tuple[bool, float], sign: int) -> tuple[bool, float]:
    # Probabilities come before scores, with which they cannot be compared.
    return sure[0], sign * sure[1]


def _card(kind: str, chosen: _Chosen, options: PageOptions) -> Html:
    view = chosen.view
    shown, size = view.shown, len(view.words)
    first, most = _strongest_part(view)
    cut = " ".join(
        word for word, needed in (("since", first > 0), ("until", first + most < size)) if needed
    )
    about = element(
        "div",
        element("h2", kind),
        verdict(shown),
        _why(shown),
        element("p", element("a", f"Text {chosen.number} in full", href=chosen.link)),
        class_="why",
    )
    text = coloured_text(view, chosen.scale, options.least, most, first)
    return element(
        "section",
        about,
        element("div", text, class_=cut or None),
        class_="pane",
        data_w=str(chosen.scale[0]),
        data_s=str(chosen.scale[1]),
    )


def _why(shown: Explanation) -> Html | None:
    """What is explained, where that is not the answer."""
    if shown.target == shown.predicted and shown.against is None:
        return None
    asked = ["Explained: ", name(shown.target_label)]
    if shown.against_label is not None:
        asked += [" rather than ", name(shown.against_label)]
    return element("p", *asked)


def _strongest_part(view: TextView) -> tuple[int, int]:
    """The part of a text that is shown: where it begins and how many words it has."""
    most, size = _READABLE.stop - 1, len(view.words)
    if size <= most:
        return 0, size
    before = np.concatenate([[0.0], np.abs(view.word_values).cumsum()])
    first = int(np.argmax(before[most:] - before[:-most]))
    return first, most
