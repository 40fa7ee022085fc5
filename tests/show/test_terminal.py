"""A terminal is shown colours and words, and steered by nothing else."""

from __future__ import annotations

import io
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.explanations import HOSTILE, explanation, explanations

from seqlrp.errors import OptionError
from seqlrp.explanations.collection import Explanations
from seqlrp.show.terminal import COLOURS, colours_for, show, to_ansi
from seqlrp.show.visible import visible

STYLE = re.compile(r"\x1b\[[0-9;]+m")


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class OldTerminal(Terminal):
    encoding = "latin-1"


@given(
    explanations() | st.builds(explanation, st.sampled_from(HOSTILE)),
    st.sampled_from(COLOURS),
    st.booleans(),
)
def test_without_its_styles_it_is_the_visible_text(e, colours, dark):
    plain = STYLE.sub("", e.to_ansi(colours=colours, dark=dark))
    assert visible(e.text) in plain
    assert all(c in "\t\n" or unicodedata.category(c) != "Cc" for c in plain)


@given(st.builds(explanation, st.sampled_from(HOSTILE)), st.sampled_from(COLOURS))
def test_no_style_runs_over_the_end_of_a_line(e, colours):
    for line in e.to_ansi(colours=colours).split("\n"):
        styles = STYLE.findall(line)
        assert styles[1::2] == ["\x1b[0m"] * (len(styles) // 2)
        assert "\x1b[0m" not in styles[::2]


def test_colours_and_cues():
    e = explanation("dull film", relevance=[-1.0, 0.5])
    true = e.to_ansi()
    ink = "38;2;27;28;31"
    assert f"\x1b[4;{ink};48;2;106;160;244mdull\x1b[0m" in true
    assert f"\x1b[{ink};48;2;255;255;255m \x1b[0m" in true
    assert f"\x1b[1;{ink};48;2;250;187;180mfilm\x1b[0m" in true
    assert "\x1b[4;38;5;234;48;5;75mdull\x1b[0m" in e.to_ansi(colours="256")
    assert "\x1b[4mdull\x1b[0m \x1b[1mfilm\x1b[0m" in e.to_ansi(colours="none")
    assert "48;2;43;95;179mdull" in e.to_ansi(dark=True)
    faint = explanation("dull film", relevance=[-1.0, 0.2])
    assert "\x1b[4mdull\x1b[0m film" in faint.to_ansi(colours="none")


def test_the_account_is_the_last_line():
    plain = STYLE.sub("", explanation(ledger={"tokens": 2.0, "bias": 0.25}).to_ansi())
    assert plain.endswith("+1.500 for positive\nWhere it went: words +2.000, bias +0.250\n")


def test_several_documents():
    both = Explanations([explanation("one"), explanation("two")])
    assert to_ansi(both) == "\n".join(e.to_ansi() for e in both)
    assert to_ansi([]) == ""


def test_what_suits_a_stream():
    assert colours_for(io.StringIO(), {"COLORTERM": "truecolor"}) is None
    assert colours_for(Terminal(), {"TERM": "dumb"}) is None
    assert colours_for(Terminal(), {"NO_COLOR": "1", "COLORTERM": "truecolor"}) == "none"
    assert colours_for(Terminal(), {"NO_COLOR": ""}) == "256"
    assert colours_for(Terminal(), {"COLORTERM": "truecolor"}) == "truecolour"
    assert colours_for(Terminal(), {}) == "256"


def test_other_colours_are_refused():
    with pytest.raises(OptionError, match=r"colours='255'.*'256'"):
        explanation().to_ansi(colours="255")


def test_a_terminal_is_shown_the_texts():
    both = Explanations([explanation("one"), explanation("two")])
    stream = Terminal()
    assert show(both, stream, {"COLORTERM": "truecolor"})
    assert stream.getvalue() == both.to_ansi()
    stream = Terminal()
    assert show(iter(both), stream, {"NO_COLOR": "1"})
    assert stream.getvalue() == both.to_ansi(colours="none")
    assert "[38" not in stream.getvalue()
    assert "48;" not in stream.getvalue()


def test_a_file_is_shown_nothing():
    stream = io.StringIO()
    assert not show([explanation()], stream, {})
    assert stream.getvalue() == ""


def test_what_an_old_terminal_does_not_have_is_escaped():
    stream = OldTerminal()
    assert show([explanation("naïve 日本")], stream, {})
    assert "naïve" in stream.getvalue()
    assert "\\u65e5\\u672c" in stream.getvalue()
