"""An analysis as one page that needs no network and no other file: findings, words, map, proofs."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from seqlrp.analysis import sentences
from seqlrp.analysis.page.cards import anchor, effects, example, shortcut_cards, strategy_cards
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
            element("p", _TRIED) if len(analysis.shortcuts) else None,
            _findings(analysis),
        ),
        _part("The words of each class", _WORDS, note if left_out else None, tabs("words", words)),
        map_section(analysis),
        _part("The strategies of each class", _STRATEGIES, strategy_cards(analysis, labels)),
        _part("Shortcuts, and their evidence", _SHORTCUTS, shortcut_cards(analysis)),
        more_style=_source("style.css"),
        more_script=_source("map.js"),
    )


def _quiet(*content: str) -> Html:
    return element("p", *content, class_="quiet")


_TRIED = (
    "Can a single word decide an answer, whatever else a text says? Words and phrases that might "
    "(candidates) were put into texts that are answered otherwise, and taken out of texts that "
    "have them; and so were other words of the same frequency (control words)."
)
_WORDS = _quiet(
    "Relevance is the share of a word in the score of the class that is predicted: above 0 it "
    "speaks for the class. Bars show its mean over all places where the word stands, thin lines "
    "the 95 % interval; first come the words whose relevance is surely high. “By counting” is how "
    "typical a word is of the class by its frequency alone, from 0 to 1: a word that is frequent "
    "but not used, or used but rare, is marked."
)
_STRATEGIES = _quiet(
    "Texts of a class that the model decides by the same words, found by clustering. Each group is "
    "named by the words that tell it from the rest of its class, and shown by its most typical "
    "texts: words are ",
    element("mark", "coloured for", class_="f14"),
    " the predicted class, or ",
    element("mark", "against", class_="a14"),
    " it. Stability is how surely the group is found again in a part of the texts, up to 1. "
    "A group shows what texts have in common; whether the model needs it, the shortcuts say.",
)
_BARS = (
    "The thick bar is the share of predictions that turn, of 100 %; the thin grey bar is what "
    "control turns in the same texts; the line is the 95 % interval of the one beside the other."
)
_SHORTCUTS = _quiet(
    "A shortcut gives a class away without being what the class is about. So each candidate was "
    "put into texts that are predicted otherwise, and taken out of texts that have it; and so were "
    f"control words of the same frequency, in the same places. {_BARS}"
)


def _findings(analysis: AnalysisResults) -> Html:
    """The verdict, with a sentence, pictures and a link to the evidence for what is decisive."""
    decisive = analysis.decisive().head(sentences.NAMED).to_dict("records")
    lines = [
        element(
            "li",
            element(
                "p",
                element("b", element("bdi", sentences.subject(row))),
                element("bdi", f": {sentences.outcome(row)} "),
                element("a", "Evidence", href=f"#{anchor(place)}"),
            ),
            effects(row, told=False),
            example(analysis, row),
        )
        for place, row in enumerate(decisive)
    ]
    return element(
        "div",
        element("p", sentences.conclusion(analysis), class_="conclusion"),
        element("ul", *lines) if lines else None,
        _quiet(_BARS) if lines else None,
        element("p", said) if (said := sentences.meaning(analysis)) else None,
        *(element("p", sentence) for sentence in sentences.remarks(analysis)),
        class_="findings alarm" if lines else "findings",
    )


def _part(heading: str, *content: Html | None) -> Html:
    return element("section", element("h2", heading), *content, class_="part")


def _source(name: str) -> str:
    return files("seqlrp.analysis.page").joinpath(name).read_text(encoding="utf-8")
