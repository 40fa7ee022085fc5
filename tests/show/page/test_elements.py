"""Text becomes HTML in one place only, and is escaped there."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from samples.explanations import texts
from samples.pages import Page, shown

from seqlrp.show.page.elements import Html, data_block, element, escape


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
