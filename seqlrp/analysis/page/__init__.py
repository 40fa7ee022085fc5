"""An analysis as one page that needs no network and no other file: findings, words, map, proofs."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from seqlrp.analysis import sentences
from seqlrp.analysis.page.cards import anchor, shortcut_cards, strategy_cards
from seqlrp.analysis.page.map import map_section
from seqlrp.analysis.page.tabs import tabs
from seqlrp.analysis.page.words import words_table
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.template import whole_page

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults


def page(analysis: AnalysisResults, title: str | None = None) -> str:
    """The page: the verdict in sentences, words by class, the map, strategies, shortcuts."""
    title = "What the model looks at" if title is None else title
    options = PageOptions(title=title, minify=True)
    labels, present = sentences.largest_classes(analysis), analysis.documents["class"].nunique()
    left_out = present - len(labels)
    note = element("p", f"The {len(labels)} largest of {present} classes.", class_="quiet")
    words = [(label, words_table(analysis, label)) for label in labels]
    return whole_page(
        title,
        options,
        element(
            "header",
            element("h1", element("bdi", title)),
            element("p", sentences.overview(analysis)),
            _findings(analysis),
        ),
        _part("The words of each class", note if left_out else None, tabs("words", words)),
        map_section(analysis),
        _part("The strategies of each class", _STRATEGIES, strategy_cards(analysis, labels)),
        _part("Shortcuts, and their evidence", _SHORTCUTS, shortcut_cards(analysis)),
        more_style=_source("style.css"),
        more_script=_source("map.js"),
    )


_STRATEGIES = element(
    "p",
    "Texts of a class that the model decides alike, by clusters of their relevance. A cluster says "
    "what texts have in common; whether the model needs it, the interventions below say.",
    class_="quiet",
)
_SHORTCUTS = element(
    "p",
    "Each candidate was put into texts that are predicted otherwise, and taken out of texts "
    "that have it. The thick bar is the share of predictions that turn, of 100 %; the thin grey "
    "one is the share that control words of the same frequency and place turn; the line is the "
    "95 % interval of the candidate against its control.",
    class_="quiet",
)


def _findings(analysis: AnalysisResults) -> Html:
    """The verdict, with a line for each decisive candidate that leads to its card."""
    decisive = analysis.decisive().head(sentences.NAMED).to_dict("records")
    lines = [
        element("li", element("a", element("bdi", sentences.finding(row)), href=f"#{anchor(k)}"))
        for k, row in enumerate(decisive)
    ]
    return element(
        "div",
        element("p", sentences.conclusion(analysis), class_="conclusion"),
        element("ul", *lines) if lines else None,
        *(element("p", sentence) for sentence in sentences.remarks(analysis)),
        class_="findings alarm" if lines else "findings",
    )


def _part(heading: str, *content: Html | None) -> Html:
    return element("section", element("h2", heading), *content, class_="part")


def _source(name: str) -> str:
    return files("seqlrp.analysis.page").joinpath(name).read_text(encoding="utf-8")
