"""One explained text: its words and sentences, their colours, the verdict."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from samples.explanations import EVERY, explanation
from samples.pages import Page

from seqlrp.show.page import render
from seqlrp.show.page.document import coloured_text
from seqlrp.show.page.text_view import TextView


def document(e, least=0.0, **options):
    """The text of one explanation by itself."""
    view = TextView.of(e, options.pop("by", "word"))
    return str(coloured_text(view, options.pop("scale", view.scale), least, **options))


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
    assert document(e, 0.05, first=1, most=3) == (
        '<div class="text" dir="auto" lang=""><span class="s f20" data-v=+2.100>'
        "<u class=a10 data-v=-2.000>so</u>\n<u data-v=+0.100>good.</u></span> "
        '<span class="s f9" data-v=+1.000><u class=f5 data-v=+1.000>A</u></span></div>'
    )


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
    assert data["account"][1] == ["constants of the model (biases)", [0.5, 0.5]]
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
    assert asked == ["Explained: negative"]  # what is not the answer
    assert page.text["p"][0] == (
        "The model was right on 1 of 4 (25\u00a0%); of the other 1 it is not known. "
    )
    unknown = Page(render([explanation(label=None)] * 2))
    assert unknown.text["p"][0] == "The model answered 2 texts. Whether it was right is not known."
    alone = explanation(
        labels=("harm",), scores=[2.0], target=0, predicted=0, label=None, ledger={}
    )
    assert "Predicted harm; the true class is not known." in Page(render([alone])).text["p"]


def test_no_relevance_no_words_no_documents():
    page = Page(render([explanation(relevance=np.zeros(8)), explanation("", ledger={})]))
    assert page.text["text"] == [explanation().text, ""]
    assert {a["data-v"] for tag, a in page.tags if tag == "u"} == {"+0.000"}
    assert not [a for tag, a in page.tags if tag == "u" and a.get("class")]
    assert page.text["p"].count("No word speaks for or against.") == 2
    for whole in (True, False):
        empty = Page(render([], scale="corpus", page=whole))
        assert empty.text["p"][0] == "The model answered 0 texts."
        empty.assert_nothing_unexpected()
