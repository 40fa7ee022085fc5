from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from explanation_samples import HOSTILE, explanation, explanations, texts
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from test_explanation import EVERY

import seqlrp.page
from seqlrp.errors import OptionError, TargetError
from seqlrp.explanation import Explanations
from seqlrp.page import render
from seqlrp.page.document import coloured_text
from seqlrp.page.markup import Html, data_block, element, escape
from seqlrp.page.reading import Reading, figures, number_format, percent

VOID = {"meta", "input", "img"}
ALLOWED = {  # every tag and attribute that a page may hold
    "html": {"lang"}, "head": set(), "title": set(), "style": set(), "body": {"class"},
    "meta": {"charset", "http-equiv", "content", "name"}, "header": set(), "main": {"class"},
    "nav": {"aria-label", "class"}, "ol": set(), "li": {"data-m", "data-i"},
    "a": {"href", "dir", "rel"}, "h1": set(), "h2": {"id"}, "p": {"class"}, "b": set(),
    "bdi": set(), "mark": {"class"}, "u": {"class", "data-v"}, "i": {"class"},
    "span": {"class", "aria-hidden", "data-v"}, "dl": {"class"}, "dt": set(), "dd": set(),
    "article": {"id", "aria-labelledby"}, "div": {"class", "dir", "lang", "hidden", "tabindex"},
    "section": {"class", "data-w", "data-s", "aria-label"}, "script": {"type"},
    "table": set(), "caption": set(), "thead": set(), "tbody": set(), "tfoot": set(),
    "tr": {"class"}, "th": {"scope"}, "td": set(), "svg": {"aria-hidden"},
    "rect": {"x", "width", "class"}, "details": {"open"}, "summary": set(), "label": set(),
    "select": {"id"}, "option": {"value", "selected"}, "output": {"id"}, "noscript": set(),
    "input": {"type", "id", "min", "max", "value", "step"}, "figure": set(), "figcaption": set(),
    "img": {"src", "alt"}, "pre": {"tabindex"},
}  # fmt: skip
SCRIPT = Path(seqlrp.page.__file__).with_name("page.js").read_text()


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
            for number in (attributes.get("data-v"), attributes.get("data-m")):
                assert number is None or np.isfinite(float(number))
            assert attributes.get("class") is None or re.fullmatch(CLASSES, attributes["class"])
        kinds = [attributes.get("type") for tag, attributes in self.tags if tag == "script"]
        for kind, text in zip(kinds, self.text.get("script", []), strict=True):
            if kind == "application/json":
                json.loads(text)
            else:
                assert (kind, text) == (None, SCRIPT)


CLASSES = r"(s )?[fa](20|1?\d)|[a-z]+|(seqlrp|controls|panes)( [a-z-]+)*"


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


def document(e, least=0.0, **options):
    """The text of one explanation by itself."""
    reading = Reading.of(e, options.pop("by", "word"))
    return str(coloured_text(reading, options.pop("scale", reading.scale), least, **options))


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


@given(texts, st.recursive(st.floats(allow_nan=False, allow_infinity=False) | texts, st.lists))
def test_a_data_block_holds_any_text_and_ends_by_itself(text, value):
    block = data_block({text: value})
    assert block.isascii()
    inside = block.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert not set(inside) & set("<>&")
    assert json.loads(inside) == {text: value}


@given(
    st.lists(explanations(), max_size=3),
    texts,
    st.sampled_from(["document", "corpus"]),
    st.booleans(),
    st.sampled_from(["word", "sentence", "token"]),
    st.booleans(),
)
def test_nothing_in_the_data_becomes_markup(items, title, scale, whole, by, compared):
    others = items if compared else None
    page = Page(render(items, title=title, scale=scale, page=whole, by=by, compare=others))
    page.assert_nothing_unexpected()
    if compared:
        assert page.text.get("text", []) == [shown(e.text) for e in items for _ in range(2)]
        return
    assert page.text.get("text", []) == [shown(e.text) for e in items]
    assert page.text["h1"] == [shown(title)]
    names = {shown(name) for e in items for name in [*e.labels]}
    assert set(page.text.get("b", [])) <= names
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    anchors = [a["id"] for tag, a in page.tags if tag in ("article", "h2") and "id" in a]
    assert all(re.fullmatch(r"d\d+(-[0-9a-f]{8})?(-heading)?", anchor) for anchor in anchors)


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
    every = explanation(
        **EVERY | {"ledger": {text: (1.0, 2.0)}}, labels=(text, text), method=text, id=text
    )
    table = pd.DataFrame({text: [text, "x"]}, index=pd.Index([text, "y"], name=text))
    html = render(
        [e, every], title=text, page=True, compare=[e, every],
        figures=[(text, PNG)], tables=[(text, table)], report=Report(text),
    )  # fmt: skip
    page = Page(html)
    page.assert_nothing_unexpected()
    assert page.text["text"] == [shown(e.text)] * 2 + [shown(every.text)] * 2
    assert page.text["title"] == page.text["h1"] == [shown(text)]
    assert shown(text) in page.text["dd"]
    for heading in page.text["h2"][1:]:
        assert heading.endswith(shown(text))
    assert any(name == shown(text) for name in page.text["th"])
    assert shown(text) in page.text["figcaption"]
    assert shown(text) in page.text["caption"]
    assert page.text["pre"] == [shown(text)]
    assert {a["alt"] for tag, a in page.tags if tag == "img"} == {shown(text)}
    assert not set(html) & set("\x00\r\x1b\x7f\x85\ufffe")


PNG = b"\x89PNG\r\n\x1a\n and more"


class Report:
    def __init__(self, text):
        self.text = text

    def summary(self):
        return self.text


# Documents


def test_an_end_of_line_that_is_cut_by_a_token_is_one():
    e = explanation(
        "a\r\nb\r\nc", tokens=["a\r", "\nc"], offsets=[[0, 2], [5, 7]], relevance=[1, -1], ledger={}
    )
    for by in ("word", "token"):
        assert Page(document(e, by=by)).text["text"] == ["a\nb\nc"]


def test_words_and_sentences_are_marked_by_place_with_their_raw_values():
    e = explanation("so  so\ngood. A film", relevance=[4, -2, 0.1, 1, 0])
    assert document(e, 0.05) == (
        '<div class="text" dir="auto" lang=""><span class="s f20" data-v=+2.100>'
        "<u class=f20 data-v=+4.000>so</u>  <u class=a10 data-v=-2.000>so</u>\n"
        "<u data-v=+0.100>good.</u></span> "
        '<span class="s f9" data-v=+1.000><u class=f5 data-v=+1.000>A</u> '
        "<u data-v=+0.000>film</u></span></div>"
    )
    assert "f20" not in document(e, 0.05, scale=(40.0, 40.0))
    assert document(e, most=2).endswith("so</u></span></div>")


def test_pieces_are_shown_as_words_or_by_themselves():
    e = explanation(
        "unlike", tokens=["un", "like"], offsets=[[0, 2], [2, 6]], relevance=[-1, 3], ledger={}
    )
    assert "<u class=f20 data-v=+2.000>unlike</u>" in render([e])
    tokens = render([e], by="token")
    assert "<u class=a6 data-v=-1.000>un</u><u class=f20 data-v=+3.000>like</u>" in tokens
    assert 'class="seqlrp red-blue by-sentence"' in render([e], by="sentence")


def test_the_scale_is_that_of_the_document_or_of_the_corpus():
    items = [explanation("weak", relevance=[1.0]), explanation("strong", relevance=[4.0])]
    classes = {
        scale: re.findall(r"<u class=(\w+) ", render(items, scale=scale))
        for scale in ("document", "corpus")
    }
    assert classes == {"document": ["f20", "f20"], "corpus": ["f5", "f20"]}
    assert render(items, scale="corpus").count("<span>-4.000</span>") == 2
    assert 'data-w="+4.000"' in render(items, scale="corpus", page=True)
    every = explanation(**EVERY, predicted=0)  # -7 to 8, the predicted class -7 to 0
    assert "<span>+8.000</span>" in render([every], scale="corpus", by="token")


def test_the_threshold_takes_colour_away():
    e = explanation("a b c", relevance=[4, 1, -2])
    assert re.findall(r"<u ([^\s>]+)", render([e])) == ["class=f20", "class=f5", "class=a10"]
    found = re.findall(r"<u ([^\s>]+)", render([e], threshold=0.3))
    assert found == ["class=f20", "data-v=+1.000", "class=a10"]
    page = Page(render([e], page=True, options={"threshold": 0.3}))
    assert {"id": "threshold", "value": "30"}.items() <= next(
        a for tag, a in page.tags if tag == "input" and a["id"] == "threshold"
    ).items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "word"}, "scale='word' is not one of those allowed"),
        ({"palette": "red"}, "palette='red' is not one of those allowed. Did you mean 'red-blue'"),
        ({"by": "letter"}, "by='letter' is not one"),
        ({"threshold": 2}, "threshold must be a share .* from 0 to 1, got 2"),
        ({"threshold": True}, "got True"),
        ({"threshold": float("nan")}, "got nan"),
        ({"options": {"scales": "document"}}, "no option 'scales'. Did you mean 'scale'"),
        ({"options": {"scale": "x"}, "scale": "corpus"}, "scale='x'"),
        ({"compare": [explanation("another")]}, "None of the 1 texts is among the 1 in compare"),
        ({"figures": [b"GIF89a"]}, "A figure must be a matplotlib figure or the bytes of a PNG"),
        ({"tables": [[1, 2]]}, "A table must be a pandas DataFrame, got"),
        ({"report": 3}, r"report must have plot\(\), summary\(\)"),
    ],
)
def test_what_is_not_allowed_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        render([explanation()], **options)


def test_the_predicted_class_is_shown_where_every_class_is_explained():
    every = explanation(**EVERY, predicted=0)
    assert render([every]) == render([every.for_target(0)])
    assert render([every]) != render([every.for_target(1)])


def test_a_page_holds_every_class_that_is_explained():
    every = explanation(**EVERY, labels=("<!--", "</script>"))
    page = Page(render([every], page=True))
    data = json.loads(page.text["script"][0])
    assert data["labels"] == ["<!--", "</script>"]
    assert data["words"]["k"] == [3, 3]
    assert np.frombuffer(base64.b64decode(data["words"]["q"]), "<i2").tolist() == [
        round(1000 * v) for v in [-7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8]
    ]
    assert data["account"][0] == ["the words", [-28.0, 36.0]]
    assert data["account"][1] == ["biases of the model", [0.5, 0.5]]
    assert data["start"] == [-0.5, 2.25]


@given(st.lists(st.floats(-(2.0**127), 2.0**127, width=32), min_size=1, max_size=9))
def test_what_the_script_reads_has_four_figures(relevance):
    text = " ".join("x" * len(relevance))
    e = explanation(text, target="all", relevance=[relevance] * 2, ledger={})
    data = json.loads(Page(render([e], page=True)).text["script"][0])["words"]
    integers = np.frombuffer(base64.b64decode(data["q"]), "<i2").astype(np.float64)
    values = integers[: len(relevance)] / 10.0 ** data["k"][0]
    largest = max(map(abs, relevance))
    assert (np.abs(values - np.float32(relevance)) <= 0.5001e-3 * largest).all()


def test_verdicts():
    page = Page(
        render(
            [explanation(), explanation(label=1), explanation(label=None), explanation(target=0),
             explanation(scores=[3, 2.25])]
        )
    )  # fmt: skip
    answers = [p.split(". ") for p in page.text["p"] if p.startswith("Predicted")]
    above = "The score of positive is 2.75 above that of negative."
    assert answers == [
        ["Predicted positive ✗ wrong (it is negative)", above],
        ["Predicted positive ✓ right", above],
        ["Predicted positive; the true class is not known", above],
        ["Predicted positive ✗ wrong (it is negative)", above],
        ["Predicted positive ✗ wrong (it is negative)", above.replace("2.75 above", "0.75 below")],
    ]
    far = explanation(scores=[0, 12345.6])
    assert "is 12,346 above that of" in "".join(Page(render([far])).text["p"])
    asked = [p for p in page.text["p"] if p.startswith("Explained")]
    assert asked == [
        f"Explained: {label}" for label in ("positive", "positive", "positive", "negative")
    ] + ["Explained: positive"]
    assert page.text["dd"][:2] == ["5", "1 of 4 (25\u00a0%)"]
    assert "Predicted rightly" not in render([explanation(label=None)])
    alone = explanation(
        labels=("harm",), scores=[2.0], target=0, predicted=0, label=None, ledger={}
    )
    assert "Predicted harm; the true class is not known." in Page(render([alone])).text["p"]


def test_one_class_rather_than_another_is_said():
    labels = ("<bad>", "fair & so", "good")
    e = explanation(
        "dull good", relevance=[-1, 3], labels=labels, target=2, against=0, predicted=2, label=1,
        scores=[-0.5, 1, 2], ledger={"tokens": 2.0, "bias": 0.5},
    )  # fmt: skip
    page = Page(render([e]))
    assert (
        "Predicted good ✗ wrong (it is fair & so). The score of good is 1 above that of fair & so."
        in page.text["p"]
    )
    assert "Explained: why good rather than <bad>" in page.text["p"]
    assert "or for the class with which it is compared" in page.text["p"][0]
    assert "for <bad>-3.0000+3.000for good" in page.text["p"]
    assert page.text["caption"][-1] == "Where the difference comes from"
    assert rows(page)[-3:] == [
        ["the words", "+2.000"], ["biases of the model", "+0.500"],
        ["the difference of the scores", "+2.500"],
    ]  # fmt: skip
    classes = [attributes.get("class") for tag, attributes in page.tags if tag == "tr"]
    noted = [text for text, kind in zip(page.text["tr"], classes, strict=True) if kind]
    assert noted == ["good predicted+2.000", "fair & so true+1.000"]
    alone = Page(render([explanation()]))
    assert "compared" not in alone.text["p"][0]
    assert any(p.startswith("against positive-") for p in alone.text["p"])


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
        ledger={"tokens": 1.0, "bias": 0.25, "stabiliser": 0.5, "moss": 0.25, "padding": 0.0,
                "gate": 1e-5},
    )  # fmt: skip
    assert rows(Page(render([e]))) == [
        ["good", "+4.000"], ["bad", "-1.000"], ["bad", "-2.000"],
        ["positive predicted", "+2.000"], ["negative true", "-3.000"],
        ["the words", "+1.000"], ["biases of the model", "+0.250"],
        ["lost to the stabiliser ε", "+0.500"], ["moss", "+0.250"], ["the score", "+2.000"],
    ]  # fmt: skip
    nothing = explanation("so", relevance=[0], scores=[0, 2], ledger={"bias": 2.0})
    assert ["the words", "+0.000"] in rows(Page(render([nothing])))


@pytest.mark.parametrize(
    ("ledger", "missing"),
    [
        ({"tokens": 6.4, "bias": -5.8}, None),  # opposite signs, ten times the score
        ({"tokens": 6.4, "bias": -5.8 + 1e-4}, None),
        ({"tokens": 6.4, "bias": -5.7}, "-0.100"),
        ({"tokens": -6.4, "bias": 7.1}, "-0.100"),
        ({"tokens": 6.4, "bias": -5.802}, "+0.002"),
    ],
)
def test_the_account_adds_up_as_it_is_printed(ledger, missing):
    """Amounts, not shares of the score: of a score of 0.6, words that bring 6.4 have no share."""
    e = explanation("good", relevance=[1.5], scores=[0, 0.6], ledger=ledger)
    page = Page(render([e]))
    *told, total = rows(page)[-len(ledger) - 1 - (missing is not None) :]
    assert told[0] == ["the words", f"{ledger['tokens']:+.3f}"]
    assert total == ["the score", "+0.600"]
    left = ["not accounted for by this method", missing] if missing else None
    assert (left in told) == (missing is not None)
    assert ("not accounted" in "".join(page.text["th"])) == (missing is not None)
    assert sum(float(value) for _, value in told) == pytest.approx(0.6, abs=0.0011)
    assert "%" not in "".join(page.text["table"])


def test_what_no_ledger_accounts_for_is_said():
    e = explanation("good", relevance=[1.5], scores=[0, 2], ledger={})
    assert rows(Page(render([e])))[-3:] == [
        ["the words", "+1.500"],
        ["not accounted for by this method", "+0.500"],
        ["the score", "+2.000"],
    ]


def test_many_classes_are_folded_away():
    labels = tuple(f"class {i}" for i in range(30))
    some = explanation(labels=labels, scores=np.arange(30), predicted=29, label=29, ledger={})
    page = Page(render([some]))
    assert page.text["summary"] == [
        "For experts: the settings of the method",
        "22 further classes",
    ]
    names = [name.split(" pred")[0] for name in page.text["th"] if name.startswith("class")]
    assert names == [*reversed(labels)]
    assert ("details", {}) in page.tags
    # Unfolded where the true class is among them.
    wrong = explanation(labels=labels, scores=np.arange(30), predicted=29, label=0, ledger={})
    assert ("details", {"open": ""}) in Page(render([wrong])).tags


def test_no_relevance_no_words_no_documents():
    page = Page(render([explanation(relevance=np.zeros(8)), explanation("", ledger={})]))
    assert page.text["text"] == [explanation().text, ""]
    assert {a["data-v"] for tag, a in page.tags if tag == "u"} == {"+0.000"}
    assert not [a for tag, a in page.tags if tag == "u" and a.get("class")]
    assert page.text["p"].count("No word speaks for or against.") == 2
    for whole in (True, False):
        empty = Page(render([], scale="corpus", page=whole))
        assert empty.text["dd"] == ["0"]
        empty.assert_nothing_unexpected()


@pytest.mark.parametrize(
    ("largest", "printed"),
    [(0.0, "+0.000"), (2.6, "+2.600"), (0.026, "+0.02600"), (250.0, "+250.0"), (3e5, "+300000"),
     (3e38, "+3.000e+38"), (2e-9, "+2.000e-09")],
)  # fmt: skip
def test_numbers_have_four_figures(largest, printed):
    assert format(largest, number_format(largest)) == printed
    assert format(-largest / 1e6, number_format(largest)) != format(-0.0, "+.3f")
    assert 999.5 <= largest * 10.0 ** figures(largest) < 10_000 or largest == 0


# Side by side


def test_texts_are_compared_with_themselves():
    lrp = [explanation("one film"), explanation("two films"), explanation("one film")]
    other = [
        explanation(text, method="gradient", parameters={}, relevance=[i, -1])
        for i, text in enumerate(["two films", "one film", "one film", "three films"], 1)
    ]
    html = render(lrp, compare=other)
    page = Page(html)
    page.assert_nothing_unexpected()
    assert page.text["text"] == [e.text for e in lrp for _ in range(2)]
    assert html.count('class="panes two"') == 3
    assert re.findall(r"<u \S+ data-v=\+(\d).000>(?:one|two)", html) == ["2", "1", "3"]
    assert "Explained: positive, by gradient" in page.text["p"]
    assert page.text["dd"][2:4] == ["lrp", "gradient"]
    assert len(page.text["dd"]) == 5  # and the settings of one
    missing = render(lrp, compare=other[:2])  # the second "one film" has none
    assert missing.count('class="panes two"') == 2
    assert missing.count('class="panes"') == 1


def test_each_side_has_its_own_scale():
    lrp = [explanation("a b", relevance=[1, 0]), explanation("c d", relevance=[2, 0])]
    other = [explanation(e.text, relevance=100 * e.relevance, method="x") for e in lrp]
    html = render(lrp, compare=other, scale="corpus")
    assert re.findall(r"<u class=(f\d+) ", html) == ["f10", "f10", "f20", "f20"]


def test_a_class_is_compared_with_another_by_name():
    every = explanation(**EVERY)
    assert render([every], compare="negative") == render([every], compare=[every.for_target(0)])
    with pytest.raises(TargetError, match="No single class is called 'bad'"):
        render([every], compare="bad")
    with pytest.raises(TargetError, match="explain with target='all'"):
        render([explanation()], compare="negative")


# The page


def test_policy_allows_this_style_sheet_and_this_script_and_nothing_else():
    for minify in (False, True):
        html = render([explanation(**EVERY)], page=True, minify=minify)
        style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
        script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
        digests = [
            base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            for text in (style, script)
        ]
        policy = next(a["content"] for _, a in Page(html).tags if "http-equiv" in a)
        assert policy == (
            f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'"
            "; img-src data:; base-uri 'none'; form-action 'none'"
        )
        assert html.count("<style>") == html.count("<script>") == 1
        outside = html.replace(script, "")
        assert not re.search(r"https?:|url\(|@import|<link|<img| style=| on\w+=", outside)
        assert not re.search(r"\b(fetch|XMLHttp|eval|innerHTML|import)\b|Function\(", script)
    assert len(html) < len(render([explanation(**EVERY)], page=True)) - 2000


def test_index_leads_to_every_text():
    items = [explanation(id=str(i), label=i) for i in range(2)] + [explanation(label=None)]
    page = Page(render(items, page=True))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == ["#d1", "#d2", "#d3"]
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "article"]
    assert ids == ["d1", "d2", "d3"]
    entries = [text.split(items[0].text)[1] for text in page.text["li"]]
    assert entries == ["positive ✗ wrong, it is negative", "positive ✓ right", "positive "]
    assert {a["data-m"] for tag, a in page.tags if tag == "li"} == {"2.75"}
    assert "<nav" not in render([explanation()])


def test_method_and_parameters_are_named_once_or_for_each():
    one = Page(render([explanation(), explanation()]))
    assert one.text["dt"] == ["Texts", "Predicted rightly", "Method", "Settings"]
    assert one.text["dd"][2:] == [
        "lrp",
        'lrp: epsilon = 0.001, rules = {"dense": ["epsilon", null, true]}',
    ]
    assert "Settings" not in one.text["dl"][0]
    assert one.text["details"] == [one.text["summary"][0] + one.text["dl"][1] + one.text["p"][2]]
    assert one.text["p"][2].startswith("Epsilon (ε) is a small number")
    two = Page(render([explanation(), explanation(method="gradient", parameters={})]))
    assert two.text["dd"][2:4] == ["lrp (1 of 2 texts)", "gradient (1 of 2 texts)"]
    plain = Page(render([explanation(parameters={})]))
    assert "details" not in plain.text
    # A text that is shown twice is one text.
    other = explanation(parameters={"epsilon": 0.1})
    sides = Page(render([explanation()] * 3, compare=[other] * 3))
    assert sides.text["dd"][0] == "3"
    assert sides.text["dd"][2:] == [
        "lrp",
        'lrp: epsilon = 0.001, rules = {"dense": ["epsilon", null, true]}',
        "lrp: epsilon = 0.1",
    ]
    assert "Explained: positive, by lrp, epsilon = 0.1" in sides.text["p"]


def test_right_and_wrong_are_asked_for_only_where_they_are_known():
    unknown = render([explanation(label=None)] * 3, page=True)
    known = render([explanation(label=None), explanation()], page=True)
    for text in ('id="outcome"', "wrong ones first"):
        assert text not in unknown
        assert text in known
    every = [explanation(**EVERY | {"label": label}) for label in (None, None)]
    assert 'value="predicted"' in render(every, page=True)
    assert 'value="true"' not in render(every, page=True)
    assert 'value="true"' in render([explanation(**EVERY)], page=True)


def with_probabilities(*shares, **changes):
    """An explanation that knows them, whether its record has a field for them or not."""
    e = explanation(**changes)
    object.__setattr__(e, "probabilities", np.array(shares, dtype=np.float32))
    return e


def test_probabilities_stand_beside_the_scores_where_they_are_known():
    page = Page(render([with_probabilities(0.078, 0.922)]))
    page.assert_nothing_unexpected()
    assert page.text["p"][3].startswith("Predicted positive (92\u00a0%) ✗ wrong (it is negative).")
    assert "Scores and probabilities" in page.text["caption"]
    scores = [row for row in page.text["tr"] if row.startswith(("positive", "negative"))]
    assert scores == ["positive predicted+2.25092\u00a0%", "negative true-0.5008\u00a0%"]
    assert "Scores" in Page(render([explanation()])).text["caption"]
    many = np.full(30, 1 / 30)
    labels = tuple(f"class {i}" for i in range(30))
    some = with_probabilities(*many, labels=labels, scores=np.arange(30), predicted=29, label=29)
    assert render([some]).count("<td>3\u00a0%</td>") == 30


@pytest.mark.parametrize(
    ("share", "said"),
    [(0, "0"), (1e-9, "< 1"), (0.0051, "1"), (0.5, "50"), (0.9949, "99"), (0.9951, "> 99"),
     (0.9999999, "> 99"), (1, "100")],
)  # fmt: skip
def test_what_is_not_sure_is_never_said_to_be(share, said):
    assert percent(share) == f"{said}\u00a0%"


def test_figures_and_tables_stand_in_front():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([1, 2])

    class Full(Report):
        def plot(self):
            return figure

    memory = io.BytesIO()
    figure.savefig(memory, format="png")
    table = pd.DataFrame({"k": [1.23456, float("nan")], "n": [1, None]}, index=["lrp", "random"])
    many = pd.DataFrame({"n": range(300)})
    page = Page(
        render(
            [explanation()], page=True, report=Full("words"), figures=[memory.getvalue()],
            tables=[("Methods", table.rename_axis("method")), many],
        )
    )  # fmt: skip
    page.assert_nothing_unexpected()
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert base64.b64decode(image.removeprefix("data:image/png;base64,"))[1:4] == b"PNG"
    assert page.text["pre"] == ["words"]
    assert page.text["tr"][:3] == ["methodkn", "lrp1.2351", "random––"]
    assert "… and 100 further rows" in page.text["p"]
    assert "<details><summary>The report" not in render([explanation()], report=Full("words"))
    assert "<details><summary>The report" in render([explanation()], report=Full("words\n" * 12))


# Fragments


def test_a_fragment_has_no_head_no_script_and_anchors_of_its_own():
    first, second = (render([explanation(text, **EVERY)], minify=True) for text in TWO)
    for fragment in (first, second):
        assert fragment.startswith('<div class="seqlrp red-blue" lang="en"><style>')
        assert not re.search(r"<(html|head|body|meta|title|main|script|input|select)\b", fragment)
    anchor = re.compile(r'<article id="(.*?)"')
    assert anchor.search(first)[1] != anchor.search(second)[1]
    assert render(explanation()) == render([explanation()])


TWO = ("one two three four five six seven eight", "two two three four five six seven eight")


def test_a_notebook_shows_the_first_few_and_how_to_see_more():
    one = Page(explanation("one")._repr_html_())
    assert one.text["text"] == ["one"]
    assert "To see more" not in explanation("one")._repr_html_()
    many = Explanations([explanation()] * 12)._repr_html_()
    assert Page(many).text["h1"] == ["10 of 12 texts"]
    assert "To see more: save_html(path)" in many
    long = Explanations([explanation("word " * 800)] * 5)._repr_html_()
    page = Page(long)
    assert page.text["h1"] == ["2 of 5 texts"]
    assert "… Shown: the first 200 of 800 words." in page.text["p"]
    assert len(explanation("word " * 20_000)._repr_html_().encode()) < 100_000
    assert len(explanation()._repr_html_().encode()) < 20_000
    empty = Page(Explanations()._repr_html_())
    assert empty.text["h1"] == ["0 of 0 texts"]


def test_two_fragments_do_not_fight_over_colours():
    first, second = (render([explanation()], palette=p) for p in ("red-blue", "pink-green"))
    style = re.search(r"<style>(.*?)</style>", first, re.DOTALL)[1]
    other = re.search(r"<style>(.*?)</style>", second, re.DOTALL)[1]
    # What differs holds for one palette alone.
    differing = set(style.splitlines()) ^ set(other.splitlines())
    assert len(differing) == 4
    assert all(re.match(r"\.seqlrp\.(red-blue|pink-green)\{", line) for line in differing)


def test_every_rule_of_the_style_sheet_stays_inside():
    style = re.search(r"<style>(.*?)</style>", render([explanation()]), re.DOTALL)[1]
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    selectors = re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*\{", style)
    assert len(selectors) > 80
    for selector in selectors:
        for part in re.sub(r"\([^()]*\)", "", selector).split(","):
            assert part.strip().startswith(".seqlrp"), selector


def test_save_html_writes_what_render_gives(tmp_path):
    path = tmp_path / "r.html"
    items = Explanations([explanation(text) for text in HOSTILE])
    items.save_html(path, title="Reviews", scale="corpus")
    expected = render(items, title="Reviews", scale="corpus", page=True)
    assert path.read_bytes().decode() == expected
    with pytest.raises(OptionError, match="scale"):
        items.save_html(tmp_path / "x.html", scale="all")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("save", "name", "expected"),
    [
        ("save_html", "r.pdf", ".html or .htm"),
        ("save_html", "r", ".html or .htm"),
        ("save_png", "r.jpg", ".png"),
        ("save_pdf", "r.png", ".pdf"),
        ("save_latex", "r.pdf", ".tex"),
        ("save_latex", "results.v2", ".tex"),
    ],
)
def test_a_name_that_says_something_else_is_refused(tmp_path, save, name, expected):
    for items in (explanation(), Explanations([explanation()])):
        if not hasattr(items, save):
            continue
        with pytest.raises(
            OptionError, match=f"Got '.*{name}'; expected a name that ends in {expected}"
        ):
            getattr(items, save)(tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_the_case_of_a_name_is_no_matter(tmp_path):
    items = Explanations([explanation()])
    items.save_html(tmp_path / "R.HTM")
    items.save_png(tmp_path / "R.PNG", dpi=36)
    assert (tmp_path / "R.PNG").read_bytes()[1:4] == b"PNG"


def test_pages_stay_small():
    rng = np.random.default_rng(0)
    reviews = [explanation("review " * 250, relevance=rng.laplace(size=250)) for _ in range(100)]
    assert len(render(reviews, page=True).encode()) < 1_500_000
    words = explanation("word " * 20_000, relevance=rng.laplace(size=20_000))
    assert len(render([words], page=True).encode()) < 1_000_000
    labels = [f"class {c}" for c in range(20)]
    every = explanation(
        "review " * 250, labels=labels, target="all", relevance=rng.laplace(size=(20, 250)),
        scores=rng.normal(size=20), ledger={"tokens": (1.0,) * 20, "bias": (0.5,) * 20},
    )  # fmt: skip
    # Twenty classes cost less than three times what one does.
    assert len(render([every] * 10, page=True).encode()) < 350_000
