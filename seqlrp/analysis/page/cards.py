"""Strategies with their prototypes, and shortcuts with their evidence as small pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.page.tabs import tabs
from seqlrp.analysis.sentences import evidence, quoted, strategy_names
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
_READABLE = range(5, 31)  # words of an example
_LOOKED_AT = 100  # texts, for an example
_EFFECTS = (("inserted", "put in", "up"), ("removed", "taken out", "down"))


def strategy_cards(analysis: AnalysisResults, labels: Sequence[str]) -> Html:
    """A tab for each class, a card for each of its largest strategies."""
    table = analysis.strategies
    shown = [(label, table[table["class"] == label].head(_STRATEGIES)) for label in labels]
    count = sum(len(own) for _, own in shown) * _PROTOTYPES
    most = min(max(_WORDS // max(count, 1), _FEWEST), _MOST)
    names, tried = strategy_names(analysis), _tried(analysis)
    panels = []
    for label, own in shown:
        left = int((table["class"] == label).sum()) - len(own)
        cards = [
            _strategy(analysis, row, names[key], tried.get(key, []), most)
            for row in own.to_dict("records")
            if (key := (str(row["class"]), int(row["strategy"])))
        ]
        more = element("p", f"And {left} smaller strategies.", class_="quiet") if left else None
        content = element("div", element("ol", *cards, class_="cards"), more)
        panels.append((label, content))
    return tabs("strategies", panels)


def _tried(analysis: AnalysisResults) -> dict[tuple[str, int], list[Html]]:
    """For each strategy, a link to what was tried of its words."""
    found: dict[tuple[str, int], list[Html]] = {}
    for place, row in enumerate(analysis.shortcuts.to_dict("records")):
        source = str(row["source"]).removeprefix("strategy ")
        if source.isdecimal():
            said = element("bdi", quoted(row)), f": {VERDICTS[row['verdict']]}"
            link = element("a", *said, href=f"#{anchor(place)}")
            found.setdefault((str(row["class"]), int(source)), []).append(link)
    return found


def _strategy(
    analysis: AnalysisResults, row: Mapping[Any, Any], name: str, tried: list[Html], most: int
) -> Html:
    facts = [f"{row['size']:,} texts, {percent(row['share'])} of the class"]
    if not np.isnan(row["accuracy"]):
        facts.append(f"{percent(row['accuracy'])} predicted rightly")
    if not np.isnan(row["stability"]):
        facts.append(f"stability {row['stability']:.2f}")
    facts.append(f"number {row['strategy']} in the tables")
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
        element("h3", element("bdi", name[:1].upper() + name[1:])),
        element("p", "; ".join(facts), ".", class_="quiet"),
        element("ul", *(element("li", link) for link in tried), class_="tried") if tried else None,
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


def example(analysis: AnalysisResults, row: Mapping[Any, Any]) -> Html | None:
    """The text of the class in which a word has the largest share of the relevance, coloured.

    None for what is no single word or phrase. Looked at are the first texts that hold it.
    """
    sought = str(row["candidate"]).split()
    if row["kind"] != "words" or "+" in sought:
        return None
    best: tuple[float, TextView] | None = None
    left = _LOOKED_AT
    for explanation in analysis.explanations:
        written = explanation.text.lower()
        if explanation.predicted_label != row["class"] or any(w not in written for w in sought):
            continue
        view = TextView.of(explanation, "word")
        values = view.word_values
        own = sum(
            value for i, value in enumerate(values.tolist()) if view.word(i).lower() in sought
        )
        share = own / max(float(np.abs(values).sum()), 1e-30)
        if len(view.words) in _READABLE and (best is None or share > best[0]):
            best = share, view
        left -= 1
        if not left:
            break
    if best is None:
        return None
    return element("div", coloured_text(best[1], best[1].scale, 0.05), class_="pane")


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
        effects(row, told=True),
        element("p", evidence(row), class_="quiet"),
        id=anchor(number),
    )


def effects(row: Mapping[Any, Any], *, told: bool) -> Html:
    """What a candidate does beside its control, as two small pictures, and in words if `told`."""
    pieces: list[Html] = []
    for name, said, colour in _EFFECTS:
        texts = row[f"{name}_texts"]
        words = "no text to try it on"
        if texts:
            words = (
                f"{percent(row[name])} of {texts:,} predictions turn, by control "
                f"{percent(row[f'{name}_control'])}"
            )
        picture = _picture(row, name, colour, words) if texts else element("span", "–")
        pieces += [element("span", said), picture]
        if told:
            pieces.append(element("span", words))
    return element("div", *pieces, class_="effects told" if told else "effects")


def _picture(row: Mapping[Any, Any], name: str, colour: str, words: str) -> Html:
    share, control = row[name], row[f"{name}_control"]
    low, high = (min(max(control + row[f"{name}_{end}"], 0), 1) for end in ("low", "high"))
    return element(
        "svg",
        element("rect", x="0", y="10%", width=f"{100 * share:.1f}%", height="45%", class_=colour),
        element(
            "rect", x="0", y="65%", width=f"{100 * control:.1f}%", height="20%", class_="control"
        ),
        element("line", x1=f"{100 * low:.1f}%", x2=f"{100 * high:.1f}%", y1="33%", y2="33%"),
        class_="effect",
        role="img",
        aria_label=words,
    )
