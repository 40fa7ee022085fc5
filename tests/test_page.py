from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from explanation_samples import HOSTILE, explanation, explanations, texts
from hypothesis import given
from hypothesis import strategies as st
from test_explanation import EVERY

from seqlrp.errors import OptionError
from seqlrp.explanation import Explanations
from seqlrp.page import render
from seqlrp.page.colours import DARK, LIGHT, SHADES, Palette, levels, rules, shade_class
from seqlrp.page.document import coloured_text, number_format
from seqlrp.page.markup import Html, element, escape

VOID = {"meta"}
ALLOWED = {  # every tag and attribute that a page may hold
    "html": {"lang"}, "head": set(), "title": set(), "style": set(), "body": {"class"},
    "meta": {"charset", "http-equiv", "content", "name"}, "header": set(), "main": set(),
    "nav": {"aria-label"}, "ol": set(), "li": set(), "a": {"href", "dir"}, "h1": set(),
    "h2": {"id"}, "p": {"class"}, "b": set(), "bdi": set(), "mark": {"class", "title"},
    "span": {"class", "aria-hidden"}, "i": {"class"}, "dl": {"class"}, "dt": set(), "dd": set(),
    "article": {"id", "aria-labelledby"}, "div": {"class", "dir", "lang"}, "section": set(),
    "table": set(), "caption": set(), "tbody": set(), "tfoot": set(), "tr": {"class"},
    "th": {"scope"}, "td": set(), "svg": {"aria-hidden"}, "rect": {"x", "width", "class"},
    "details": set(), "summary": set(),
}  # fmt: skip


class Page(HTMLParser):
    """What a page holds, read by another hand; a tag that is not closed in its place fails."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}  # by tag, or by class of a div
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            key = attributes.get("class") if tag == "div" else tag
            self.text.setdefault(key, []).append("")
            self.open.append(key)

    def handle_endtag(self, tag):
        key = self.open.pop()
        assert tag == "div" or key == tag

    def handle_data(self, data):
        for key in self.open:
            self.text[key][-1] += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data):
        raise AssertionError(f"a declaration: {data}")

    def handle_pi(self, data):
        raise AssertionError(f"a processing instruction: {data}")

    def assert_nothing_unexpected(self):
        for tag, attributes in self.tags:
            assert tag in ALLOWED
            assert set(attributes) <= ALLOWED[tag], tag


def shown(text: str) -> str:
    """How a text is to be shown, written a second time, character by character."""
    characters = []
    for character in text.replace("\r\n", "\n").replace("\r", "\n"):
        code = ord(character)
        if code < 32 and character not in "\t\n":
            character = chr(0x2400 + code)
        elif code == 127:
            character = "␡"
        elif 128 <= code < 160 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE:
            character = "\ufffd"
        characters.append(character)
    return "".join(characters)


# One escape for everything


@given(texts)
def test_escape_shows_the_text(text):
    escaped = escape(text)
    assert not set(escaped) & set("<>\"'")
    page = Page(f'<div class="x">{escaped}</div><a href="{escaped}"></a>')
    assert page.text["x"] == [shown(text)]
    assert page.tags[1][1]["href"] == shown(text)


def test_escape_of_what_html_forbids():
    assert escape("a\x00b\x1b\x7f\x85\ufffe\U0001ffff\ud800") == "a␀b␛␡" + "\ufffd" * 4
    assert escape("\t\n \r\n\r\r") == "\t\n \n\n\n"
    assert escape("\u202e\u2067\ufeff") == "\u202e\u2067\ufeff"


def test_element_escapes_what_is_no_html():
    assert element("b", "<", Html("<i></i>"), None) == "<b>&lt;<i></i></b>"
    assert (
        element("p", class_='"&', aria_label=1, id=None)
        == '<p class="&quot;&amp;" aria-label="1"></p>'
    )
    assert element("meta", charset="utf-8") == '<meta charset="utf-8">'


@given(
    st.lists(explanations(), max_size=3),
    texts,
    st.sampled_from(["document", "corpus"]),
    st.booleans(),
)
def test_nothing_in_the_data_becomes_markup(items, title, scale, whole):
    page = Page(render(items, title=title, scale=scale, page=whole))
    page.assert_nothing_unexpected()
    assert page.text.get("text", []) == [shown(e.text) for e in items]
    assert page.text["h1"] == [shown(title)]
    names = {shown(name) for e in items for name in e.labels}
    assert set(page.text.get("b", [])) <= names
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"d\d+(-[0-9a-f]{8})?(-heading)?", id) for id in ids)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_strings_everywhere(text):
    e = explanation(
        f"dull {text} film",
        labels=(text, text),
        method=text,
        id=text,
        parameters={text: {text: text}},
        ledger={text: 1.0},
    )
    page = Page(render([e, e], title=text))
    page.assert_nothing_unexpected()
    assert page.text["text"] == [shown(e.text)] * 2
    assert page.text["title"] == page.text["h1"] == [shown(text)]
    assert shown(text) in page.text["dd"]
    for heading in page.text["h2"][1:]:
        assert heading.endswith(shown(text))
    assert any(name == shown(text) for name in page.text["th"])
    assert not set(render([e, e], title=text)) & set("\x00\r\x1b\x7f\x85\ufffe")


# Colours


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2."""

    def luminance(colour: str) -> float:
        values = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_text_can_be_read_on_every_shade(palette: Palette):
    for level in range(-SHADES, SHADES + 1):
        assert contrast(palette.ink, palette.shade(level)) >= 4.5, level
        assert f"background:{palette.shade(level)};" in rules(palette) or level == 0
    assert contrast(palette.quiet, palette.paper) >= 4.5
    assert contrast(palette.deepest_for, palette.deepest_against) < 1.15  # equally strong
    shades = [contrast(palette.shade(level), palette.paper) for level in range(SHADES + 1)]
    assert shades == sorted(set(shades)), "a deeper shade stands out more"


@given(st.lists(st.floats(-100, 100, width=32), min_size=1), st.floats(0, 100))
def test_levels_are_centred_at_zero_and_symmetric(relevance, more):
    relevance = np.array(relevance, np.float32)
    largest = float(abs(relevance).max()) + more
    found = levels(relevance, largest)
    assert abs(found).max() <= SHADES
    assert (levels(-relevance, largest) == -found).all()
    assert (found * relevance >= 0).all()
    assert (found[relevance == 0] == 0).all()
    order = np.argsort(relevance)
    assert (np.diff(found[order]) >= 0).all()


def test_levels_of_the_largest_of_nothing_and_of_very_small_values():
    assert levels(np.array([5, -5, 2.5, 0.1], np.float32), 5.0).tolist() == [20, -20, 10, 0]
    assert levels(np.zeros(3, np.float32), 0.0).tolist() == [0, 0, 0]
    tiny = np.array([1e-45, -1e-45], np.float32)
    assert levels(tiny, float(tiny[0])).tolist() == [SHADES, -SHADES]
    huge = np.array([3e38, -3e38], np.float32)
    assert levels(huge, float(huge[0])).tolist() == [SHADES, -SHADES]


def test_classes_of_shades():
    assert [shade_class(level) for level in (-20, -1, 0, 1, 20)] == ["a20", "a1", None, "f1", "f20"]


# Documents


def test_an_end_of_line_that_is_cut_by_a_token_is_one():
    e = explanation(
        "a\r\nb\r\nc", tokens=["a\r", "\nc"], offsets=[[0, 2], [5, 7]], relevance=[1, -1], ledger={}
    )
    assert Page(str(coloured_text(e, 1.0))).text["text"] == ["a\nb\nc"]


def test_words_are_marked_by_place_with_their_raw_value():
    e = explanation("so  so\ngood", relevance=[4, -2, 0.1])
    assert coloured_text(e, 4.0) == (
        '<div class="text" dir="auto" lang=""><mark class="f20" title="+4.000">so</mark>  '
        '<mark class="a10" title="-2.000">so</mark>\ngood</div>'
    )


def test_the_scale_is_that_of_the_document_or_of_the_corpus():
    items = [explanation("weak", relevance=[1.0]), explanation("strong", relevance=[4.0])]
    classes = {
        scale: re.findall(r'<mark class="(\w+)" title', render(items, scale=scale))
        for scale in ("document", "corpus")
    }
    assert classes == {"document": ["f20", "f20"], "corpus": ["f5", "f20"]}
    assert "-4.000" in render(items, scale="corpus")
    with pytest.raises(OptionError, match="scale='word' is not one of those allowed"):
        render(items, scale="word")


def test_the_predicted_class_is_shown_where_every_class_is_explained():
    every = explanation(**EVERY, predicted=0)
    assert render([every]) == render([every.for_target(0)])
    assert render([every]) != render([every.for_target(1)])


def test_verdicts():
    page = Page(
        render(
            [explanation(), explanation(label=1), explanation(label=None), explanation(target=0)]
        )
    )
    assert [p for p in page.text["p"] if p.startswith("Predicted")] == [
        "Predicted positive ✗ wrong (it is negative). Explained: positive.",
        "Predicted positive ✓ right. Explained: positive.",
        "Predicted positive; the true class is not known. Explained: positive.",
        "Predicted positive ✗ wrong (it is negative). Explained: negative.",
    ]
    assert page.text["dd"][:2] == ["4", "1 of 3"]
    assert "Predicted rightly" not in render([explanation(label=None)])


def test_one_class_rather_than_another_is_said():
    labels = ("<bad>", "fair & so", "good")
    e = explanation(
        "dull good", relevance=[-1, 3], labels=labels, target=2, against=0, predicted=2, label=1,
        scores=[-0.5, 1, 2], ledger={"tokens": 2.0, "bias": 0.5},
    )  # fmt: skip
    page = Page(render([e]))
    assert (
        "Predicted good ✗ wrong (it is fair & so). Explained: why good rather than <bad>."
        in page.text["p"]
    )
    assert "or for the class with which it is compared" in page.text["p"][0]
    assert "for <bad> -3.0000+3.000 for good" in page.text["p"]
    assert page.text["caption"][-1] == "Where the difference comes from"
    assert rows(page)[-3:] == [
        ["the words", "+2.000"], ["biases of the model", "+0.500"],
        ["the difference of the scores", "+2.500"],
    ]  # fmt: skip
    classes = [attributes.get("class") for tag, attributes in page.tags if tag == "tr"]
    chosen = [text for text, kind in zip(page.text["tr"], classes, strict=True) if kind]
    assert chosen == ["good+2.000", "<bad>-0.500"]
    alone = Page(render([explanation()]))
    assert "compared" not in alone.text["p"][0]
    assert any(p.startswith("against positive -") for p in alone.text["p"])


def test_relevance_that_starts_from_one():
    e = explanation(
        "good", relevance=[0.75], ledger={"tokens": 0.75, "bias": 0.25}, parameters={"start": "one"}
    )
    assert rows(Page(render([e])))[-3:] == [
        ["the words", "+0.750"],
        ["biases of the model", "+0.250"],
        ["what relevance starts from", "+1.000"],
    ]


def rows(page: Page) -> list[list[str]]:
    cells = iter(page.text["td"])
    return [[name, next(cells), next(cells)][:2] for name in page.text["th"]]


def test_tables_of_words_scores_and_ledger():
    e = explanation(
        "bad bad good so-so",
        relevance=[-1, -2, 4, 0.01],
        scores=[-3, 2],
        ledger={"tokens": 1.0, "bias": 0.25, "stabiliser": 0.5, "moss": 0.25},
    )
    assert rows(Page(render([e]))) == [
        ["good", "+4.000"], ["bad", "-1.000"], ["bad", "-2.000"],
        ["positive", "+2.000"], ["negative", "-3.000"],
        ["the words", "+1.000"], ["biases of the model", "+0.250"],
        ["lost to the stabiliser ε", "+0.500"], ["moss", "+0.250"], ["the score", "+2.000"],
    ]  # fmt: skip


def test_what_no_ledger_accounts_for_is_said():
    e = explanation("good", relevance=[1.5], scores=[0, 2], ledger={})
    assert rows(Page(render([e])))[-3:] == [
        ["the words", "+1.500"],
        ["not accounted for by this method", "+0.500"],
        ["the score", "+2.000"],
    ]


def test_many_classes_are_folded_away():
    labels = tuple(f"class {i}" for i in range(30))
    page = Page(render([explanation(labels=labels, scores=np.arange(30), ledger={})]))
    assert page.text["summary"] == ["22 further classes"]
    assert [name for name in page.text["th"] if name.startswith("class")] == [*reversed(labels)]


def test_no_relevance_no_words_no_documents():
    page = Page(render([explanation(relevance=np.zeros(8)), explanation("", ledger={})]))
    assert page.text["text"] == [explanation().text, ""]
    assert not [attributes for tag, attributes in page.tags if attributes.get("title")]
    assert page.text["p"].count("No word speaks for or against.") == 2
    assert Page(render([])).text["dd"] == ["0"]
    Page(render([], scale="corpus")).assert_nothing_unexpected()


@pytest.mark.parametrize(
    ("largest", "printed"),
    [(0.0, "+0.000"), (2.6, "+2.600"), (0.026, "+0.02600"), (250.0, "+250.0"), (3e5, "+300000"),
     (3e38, "+3.000e+38"), (2e-9, "+2.000e-09")],
)  # fmt: skip
def test_numbers_have_four_figures(largest, printed):
    assert format(largest, number_format(largest)) == printed
    assert format(-largest / 1e6, number_format(largest)) != format(-0.0, "+.3f")


# The page


def test_policy_allows_this_style_sheet_and_nothing_else():
    html = render([explanation()])
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = next(a["content"] for _, a in Page(html).tags if "http-equiv" in a)
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert html.count("<style>") == 1
    assert not re.search(r"https?:|url\(|@import|<script|<link|<img| style=| on\w+=", html)


def test_index_leads_to_every_text():
    page = Page(render([explanation(id=str(i)) for i in range(3)]))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["#d1", "#d2", "#d3"]
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "article"]
    assert ids == ["d1", "d2", "d3"]
    assert "<nav" not in render([explanation()])


def test_method_and_parameters_are_named_once_or_for_each():
    one = Page(render([explanation(), explanation()]))
    assert one.text["dt"] == ["Texts", "Predicted rightly", "Method", "Parameters"]
    assert one.text["dd"][2:] == [
        "lrp",
        'epsilon = 0.001, rules = {"dense": ["epsilon", null, true]}',
    ]
    two = Page(render([explanation(), explanation(method="gradient", parameters={})]))
    assert two.text["dd"][2::2] == ["lrp (1 of 2 texts)", "gradient (1 of 2 texts)"]


def test_a_fragment_has_no_head_and_anchors_of_its_own():
    first, second = (render([explanation(text)], page=False) for text in ("one", "two"))
    for fragment in (first, second):
        assert fragment.startswith('<div class="seqlrp" lang="en"><style>')
        assert not re.search(r"<(html|head|body|meta|title|main)\b", fragment)
    anchor = re.compile(r'<article id="(.*?)"')
    assert anchor.search(first)[1] != anchor.search(second)[1]
    assert explanation("one")._repr_html_() == first
    many = Explanations([explanation()] * 12)
    assert Page(many._repr_html_()).text["h1"] == ["10 of 12 documents"]


def test_every_rule_of_the_style_sheet_stays_inside():
    style = re.search(r"<style>(.*?)</style>", render([explanation()]), re.DOTALL)[1]
    selectors = re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*\{", style)
    assert len(selectors) > 80
    for selector in selectors:
        assert all(part.strip().startswith(".seqlrp") for part in selector.split(",")), selector


def test_save_html_writes_what_render_gives(tmp_path):
    path = tmp_path / "r.html"
    items = Explanations([explanation(text) for text in HOSTILE])
    items.save_html(path, title="Reviews", scale="corpus")
    assert path.read_bytes().decode() == render(items, title="Reviews", scale="corpus")
    with pytest.raises(OptionError, match="scale"):
        items.save_html(tmp_path / "x.html", scale="all")
    assert not (tmp_path / "x.html").exists()


def test_pages_stay_small():
    rng = np.random.default_rng(0)
    reviews = [explanation("review " * 250, relevance=rng.laplace(size=250)) for _ in range(100)]
    assert len(render(reviews).encode()) < 1_500_000
    words = explanation("word " * 20_000, relevance=rng.laplace(size=20_000))
    assert len(render([words]).encode()) < 1_000_000
