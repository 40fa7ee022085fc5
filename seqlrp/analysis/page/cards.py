"""Strategies with their prototypes, and shortcuts with their evidence as small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.page.tabs import tabs
from seqlrp.analysis.sentences import evidence, quoted
from seqlrp.analysis.shortcuts import DECISIVE, VERDICTS
from seqlrp.show.numbers import percent
from seqlrp.show.page.document import coloured_text, verdict
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.text_view import TextView

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults

_STRATEGIES = 8  # of a class
_PROTOTYPES = 2
_WORDS = 16_000  # of all prototypes together
_FEWEST, _MOST = 20, 100  # words of a prototype


def strategy_cards(analysis: AnalysisResults, labels: Sequence[str]) -> Html:
    """A tab for each class, a card for each of its largest strategies."""
    table = analysis.strategies
    shown = [(label, table[table["class"] == label].head(_STRATEGIES)) for label in labels]
    count = sum(len(own) for _, own in shown) * _PROTOTYPES
    most = min(max(_WORDS // max(count, 1), _FEWEST), _MOST)
    panels = []
    for label, own in shown:
        left = int((table["class"] == label).sum()) - len(own)
        cards = [_strategy(analysis, row, most) for row in own.to_dict("records")]
        more = element("p", f"And {left} smaller strategies.", class_="quiet") if left else None
        content = element("div", element("ol", *cards, class_="cards"), more)
        panels.append((label, content))
    return tabs("strategies", panels)


def _strategy(analysis: AnalysisResults, row: Mapping[Any, Any], most: int) -> Html:
    facts = [f"{row['size']:,} texts ({percent(row['share'])} of the class)"]
    if not np.isnan(row["accuracy"]):
        facts.append(f"accuracy {percent(row['accuracy'])}")
    if not np.isnan(row["stability"]):
        facts.append(f"stability {row['stability']:.2f}")
    words = ", ".join(map(str, row["words"])) or "no word in particular"
    pieces: list[Html] = []
    for number in list(row["prototypes"])[:_PROTOTYPES]:
        view = TextView.of(analysis.explanations[int(number)], "word")
        cut = len(view.words) > most
        pieces.append(
            element(
                "section",
                verdict(view.shown),
                coloured_text(view, view.scale, 0.05, most),
                element("p", f"… the first {most} words", class_="quiet") if cut else None,
                class_="pane",
            )
        )
    return element(
        "li",
        element("h3", f"Strategy {row['strategy']}: ", element("bdi", words)),
        element("p", "; ".join(facts), class_="quiet"),
        *pieces,
    )


def shortcut_cards(analysis: AnalysisResults) -> Html:
    """A card for each candidate; those that are not decisive are folded away."""
    groups: dict[str, list[Html]] = {name: [] for name in VERDICTS}
    for number, row in enumerate(analysis.shortcuts.to_dict("records")):
        groups[row["verdict"]].append(_shortcut(number, row))
    pieces = []
    for name, cards in groups.items():
        if cards:
            pieces.append(
                element(
                    "details",
                    element("summary", f"{VERDICTS[name].capitalize()}: {len(cards)}"),
                    element("ol", *cards, class_="cards"),
                    open="" if name == DECISIVE else None,
                )
            )
    return element("div", *(pieces or [element("p", "No candidate was tried.", class_="quiet")]))


def anchor(number: int) -> str:
    """The id of the card of a candidate, by its row in the table."""
    return f"shortcut-{number}"


def _shortcut(number: int, row: Mapping[Any, Any]) -> Html:
    return element(
        "li",
        element(
            "h3",
            element("bdi", quoted(row)),
            " for ",
            element("bdi", str(row["class"])),
            " ",
            element("span", VERDICTS[row["verdict"]], class_="badge"),
        ),
        element(
            "div",
            *_numbers(row, "inserted", "put in"),
            *_numbers(row, "removed", "taken out"),
            class_="numbers",
        ),
        element("p", evidence(row), class_="quiet"),
        id=anchor(number),
    )


def _numbers(row: Mapping[Any, Any], name: str, said: str) -> list[Html]:
    if not row[f"{name}_texts"]:
        return [element("span", said), element("span"), element("span", "no text to try it on")]
    share, control = row[name], row[f"{name}_control"]
    told = f"{percent(share)} turn, with control words {percent(control)}"
    low, high = (min(max(control + row[f"{name}_{end}"], 0), 1) for end in ("low", "high"))
    colour = "up" if name == "inserted" else "down"
    picture = element(
        "svg",
        element("rect", x="0", y="10%", width=f"{100 * share:.1f}%", height="45%", class_=colour),
        element(
            "rect", x="0", y="65%", width=f"{100 * control:.1f}%", height="20%", class_="control"
        ),
        element("line", x1=f"{100 * low:.1f}%", x2=f"{100 * high:.1f}%", y1="33%", y2="33%"),
        class_="effect",
        role="img",
        aria_label=told,
    )
    return [element("span", said), picture, element("span", told)]
