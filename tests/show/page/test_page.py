"""A whole page: nothing in the data becomes markup, and what stands round the texts."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from samples.explanations import EVERY, HOSTILE, explanation, explanations, texts
from samples.pages import Page, shown

from seqlrp.errors import OptionError
from seqlrp.explanations.collection import Explanations
from seqlrp.show.page import render


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
    names.add("Can these colours be trusted?")
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
    assert shown(text) in page.text["pre"]
    assert {a["alt"] for tag, a in page.tags if tag == "img"} == {shown(text)}
    assert not set(html) & set("\x00\r\x1b\x7f\x85\ufffe")


PNG = b"\x89PNG\r\n\x1a\n and more"


class Report:
    def __init__(self, text):
        self.text = text

    def summary(self):
        return self.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": "word"}, "Got scale='word'. Known: 'document', 'corpus'"),
        ({"palette": "red"}, "Got palette='red'. Did you mean 'red-blue'"),
        ({"by": "letter"}, "Got by='letter'. Known: 'word'"),
        ({"threshold": 2}, "Got threshold=2; .* at least 0, at most 1"),
        ({"threshold": True}, "Got threshold=True"),
        ({"threshold": float("nan")}, "Got threshold=nan"),
        ({"options": {"scales": "document"}}, "no option 'scales'. Did you mean 'scale'"),
        ({"options": {"scale": "x"}, "scale": "corpus"}, "scale='x'"),
        ({"compare": [explanation("another")]}, "None of the 1 texts is among the 1 in compare"),
        ({"compare": {"x": 3}}, "Got compare=3; expected explanations of the same texts"),
        ({"compare": {"x": [3]}}, "compare must hold explanations of the same texts, got 3"),
        ({"figures": [b"GIF89a"]}, "A figure must be a matplotlib figure or the bytes of a PNG"),
        ({"tables": [[1, 2]]}, "A table must be a pandas DataFrame, got"),
        ({"report": 3}, r"report must have plot\(\), verdict\(\), summary\(\)"),
    ],
)
def test_what_is_not_allowed_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        render([explanation()], **options)


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
    items = [explanation(id=str(i), label=i) for i in range(2)] + [explanation(label=None)] * 2
    page = Page(render(items))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    ids = [attributes["id"] for tag, attributes in page.tags if tag == "article"]
    assert links == [f"#{name}" for name in ids]
    entries = [text.split(items[0].text)[1] for text in page.text["li"]]
    assert entries == ["positive ✗ wrong, it is negative", "positive ✓ right", *["positive "] * 2]
    assert {a["data-m"] for tag, a in page.tags if tag == "li"} == {"2.75"}
    whole = Page(render(items, page=True))
    ids = [attributes["id"] for tag, attributes in whole.tags if tag == "article"]
    assert ids == ["d1", "d2", "d3", "d4"]
    links = [attributes["href"] for tag, attributes in whole.tags if tag == "a"]
    assert links[-4:] == [f"#{name}" for name in ids]


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_texts_come_first_and_need_no_list(count):
    """What was explained and the coloured text; then what is to be known about them."""
    html = render(
        [explanation(label=None)] * count, page=True, corpus="letters", report=Report("x")
    )
    order = [
        "<h1",
        "this colour",
        "<main",
        "Texts from",
        "Point at a word",
        "palette",
        "Evaluation",
    ]
    places = [html.index(part) for part in order]
    assert places == sorted(places)
    page = Page(html)
    page.assert_nothing_unexpected()
    assert not {tag for tag, _ in page.tags} & {"nav", "li"}
    for name in ("search", "outcome", "order"):
        assert f'id="{name}"' not in html
    # Of several, the first line says that the truth is not known.
    assert html.count("not known") == 1


def test_method_and_parameters_are_named_once_or_for_each():
    one = Page(render([explanation(), explanation()]))
    assert one.text["dt"] == ["It chooses between", "Method", "Settings"]
    assert one.text["dd"] == [
        "negative, positive",
        "lrp",
        'lrp: epsilon = 0.001, rules = {"dense": ["epsilon", null, true]}',
    ]
    assert "Settings" not in one.text["dl"][0]
    settings = one.text["summary"][-1] + one.text["dl"][1] + one.text["p"][-1]
    assert one.text["details"][2:] == [settings]  # behind the tables of both texts
    assert one.text["p"][-1].startswith("Epsilon (ε) is a small number")
    two = Page(render([explanation(), explanation(method="gradient", parameters={})]))
    assert two.text["dd"][1:3] == ["lrp (1 of 2 texts)", "gradient (1 of 2 texts)"]
    plain = Page(render([explanation(parameters={})]))
    assert plain.text["dt"] == ["It chooses between", "Method"]
    # A text that is shown twice is one text.
    other = explanation(parameters={"epsilon": 0.1})
    sides = Page(render([explanation()] * 3, compare=[other] * 3))
    assert sides.text["p"][0].startswith("The model was right on 0 of 3 texts")
    assert sides.text["dd"][1:] == [
        "lrp",
        'lrp: epsilon = 0.001, rules = {"dense": ["epsilon", null, true]}',
        "lrp: epsilon = 0.1",
    ]
    assert "lrp, epsilon = 0.1 · Explained: positive" in sides.text["p"]


def test_right_and_wrong_are_asked_for_only_where_they_are_known():
    unknown = render([explanation(label=None)] * 5, page=True)
    known = render([*[explanation(label=None)] * 3, explanation()], page=True)
    for text in ('id="outcome"', "wrong ones first"):
        assert text not in unknown
        assert text in known
    every = [explanation(**EVERY | {"label": label}) for label in (None, None)]
    assert 'value="predicted"' in render(every, page=True)
    assert 'value="true"' not in render(every, page=True)
    assert 'value="true"' in render([explanation(**EVERY)], page=True)


def test_the_author_speaks_first():
    options = {"title": "T", "note": "One.\n\nTwo.", "model": "news", "corpus": "2026"}
    items = [explanation(label=n % 2) for n in range(12)]
    html = render(items, page=True, about={"Saved": "1 May 2026"}, **options)
    page = Page(html)
    page.assert_nothing_unexpected()
    assert page.text["p"][:3] == [
        "One.", "Two.",
        "news was right on 6 of 12 texts (50\u00a0%). Always answering negative would reach "
        "50\u00a0%.",
    ]  # fmt: skip
    facts = [*zip(page.text["dt"], page.text["dd"], strict=True)]
    assert facts[:2] == [("Texts from", "2026"), ("Saved", "1 May 2026")]
    assert "Always answering" not in render([explanation(), explanation()])
    for wrong in ({"note": 3}, {"model": b"x"}, {"about": {"Saved": 3}}, {"about": ["Saved"]}):
        with pytest.raises(OptionError, match=f"Got {next(iter(wrong))}="):
            render(items, **wrong)


def test_how_sure_is_asked_in_per_cent_where_that_is_known():
    known = explanation(probabilities=[0.25, 0.75])
    page = Page(render([known] * 4, page=True))
    assert {a["data-p"] for tag, a in page.tags if tag == "li"} == {"75"}
    assert "At most  % sure" in page.text["label"]
    mixed = Page(render([*[known] * 3, explanation()], page=True))
    assert "Lead over the next class up to " in mixed.text["label"]


def test_a_share_of_right_answers_is_told_with_its_condition():
    known, unknown = (render([explanation(label=n)] * 2, page=True) for n in (1, None))
    assert "counts only for texts that it was not trained on" in known
    assert "not trained on" not in unknown


def test_few_of_many_texts_are_shown_and_all_are_counted():
    items = [
        explanation(f"number {n}", label=int(n < 3), predicted=1, id=str(n)) for n in range(40)
    ]
    html = render(items, page=True, shown=4)
    headings = Page(html).text["h2"]
    assert headings[-4:] == [f"Text {n + 1} {n}" for n in (0, 10, 20, 30)]
    assert "4 of 40 texts" in headings
    assert '<span class="point">3 of 40 texts</span>' in html
    assert "Texts" in Page(render(items[:4], page=True, shown=5)).text["h2"]
    assert "1 of 4 texts" in Page(render(items[:4], page=True, shown=1)).text["h2"]
    with pytest.raises(OptionError, match="Got shown=0; expected a whole number, at least 1"):
        render(items, shown=0)


@pytest.mark.parametrize("front", [False, True])
def test_the_evaluation_is_folded_away_behind_the_texts_or_stands_in_front(front):
    html = render([explanation()] * 4, page=True, report=Report("words"), front=front)
    places = [html.index(part) for part in ('class="front"', "<nav", "<main", "How the colours")]
    assert (places == sorted(places)) == front
    assert places[1:] == sorted(places[1:])
    assert ("Evaluation: can these colours be trusted?" in html) is not front


def test_only_a_report_about_the_colours_says_whether_to_trust_them():
    class Comparison:
        def verdict(self):
            return "Two models give the same answer to half of the texts.\nAnd more."

    class Test(Comparison):
        def trust(self, method):
            return f"The words that {method} names matter." if method == "lrp" else ""

    page = Page(render([explanation()], page=True, report=Comparison(), front=True))
    assert not any("Can these colours be trusted" in said for said in page.text["p"])
    assert page.text["p"].count("Two models give the same answer to half of the texts.") == 1
    page = Page(render([explanation()], page=True, report=Test()))
    asked = "Can these colours be trusted? "
    assert f"{asked}The words that lrp names matter." in page.text["p"]
    page = Page(render([explanation(method="other")], page=True, report=Test()))
    assert f"{asked}Two models give the same answer to half of the texts." in page.text["p"]


def test_columns_of_numbers_stand_one_below_the_other():
    table = pd.DataFrame({"word": ["one", "two"], "n": [1, 20], "share": [0.5, np.nan]})
    page = Page(render([explanation()], page=True, tables=[table], front=True))
    cells = [(tag, a.get("class")) for tag, a in page.tags if tag in ("th", "td")]
    assert [kind for tag, kind in cells if tag == "th"][:3] == [None, "number", "number"]
    assert [kind for tag, kind in cells if tag == "td"][:6] == [None, "number", "number"] * 2


def test_figures_and_tables_stand_on_the_page():
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
            [explanation()], page=True, report=Full("aligned  words"), figures=[memory.getvalue()],
            tables=[("Methods", table.rename_axis("method")), many],
        )
    )  # fmt: skip
    page.assert_nothing_unexpected()
    images = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(images) == 2
    for image in images:
        assert base64.b64decode(image.removeprefix("data:image/png;base64,"))[1:4] == b"PNG"
    assert page.text["pre"] == ["aligned  words"]
    mixed = pd.DataFrame({
        "accuracy": [0.8692, 0], "parameters": [814944, 3], "small": [1e-9, float("inf")],
        "count": pd.array([1, None], dtype="Int64"), "any": [1.23456, [1, "x"]],
    })  # fmt: skip
    rows = Page(render([explanation()], page=True, front=True, tables=[mixed])).text["td"]
    assert rows[:5] == ["0.8692", "814,944", "1.000e-09", "1", "1.235"]
    assert rows[5:10] == ["0.0000", "3", "inf", "–", "[1, 'x']"]
    assert page.text["tr"][-204:-201] == ["methodkn", "lrp1.2351", "random––"]
    assert "… and 100 further rows" in page.text["p"]
    folded = "<details><summary>The report"
    assert folded not in render([explanation()], report=Full("aligned  words"))
    assert folded in render([explanation()], report=Full("aligned  words\n" * 12))


@pytest.mark.parametrize("summary", ["One sentence.\nAnother.", "One  column"])
def test_the_verdict_of_a_report_is_paragraphs(summary):
    class Judged(Report):
        def verdict(self):
            return "One sentence.\nAnother."

    html = render([explanation()], report=Judged(summary))
    assert "<p>One sentence.</p><p>Another.</p>" in html
    assert ("<pre" in html) == (summary != Judged("").verdict())


def test_texts_that_were_selected_say_nothing_of_the_model():
    items = [explanation(label=1)] * 40
    plain, chosen = render(items, page=True), render(items, page=True, selection=True)
    assert "was right on" in plain
    assert "was right on" not in chosen
    assert "40 texts that were selected." in chosen
    front = render(items, page=True, selection=True, front=True, report=Report("The point"))
    places = [front.index(text) for text in ("<h1", "The point", "that were selected", "<main")]
    assert places == sorted(places)
    assert 'class="weightiest"' not in chosen


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


@pytest.mark.slow
def test_a_page_of_a_thousand_classes_is_soon_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    every = [
        explanation(
            "review " * 60, labels=[f"class {c}" for c in range(1000)], target="all",
            relevance=rng.laplace(size=(1000, 60)), scores=rng.normal(size=1000),
        )
        for _ in range(40)
    ]  # fmt: skip
    start = time.process_time()
    Explanations(every).save_html(tmp_path / "r.html")
    assert time.process_time() - start < 20
    assert (tmp_path / "r.html").stat().st_size < 25e6
