"""Python's names of options become flags where that is certain, and nothing else changes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import seqlrp
from seqlrp.cli.wording import PHRASES, spoken

FLAGS = {"target": "--target", "min_words": "--min-words", "epsilon": "--epsilon", "ks": "--k"}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Got target='all'; a check", "Got --target all; a check"),
        ("Got target='two words'.", "Got --target 'two words'."),
        ("pass min_words=0.5.", "pass --min-words 0.5."),
        ("pass min_words=, or more", "pass --min-words, or more"),
        ("pass a smaller min_words.", "pass a smaller --min-words."),
        ("Take a smaller epsilon; it is 1.", "Take a smaller epsilon; it is 1."),
        ("Got target=('a', 'b').", "Got target=('a', 'b')."),
        ("no column 'min_words'", "no column 'min_words'"),
        ("no column 'target=3'", "no column 'target=3'"),
        ("Could not read /data/min_words/x.csv", "Could not read /data/min_words/x.csv"),
        ("Could not read min_words.csv", "Could not read min_words.csv"),
        ("Could not read min_words/x", "Could not read min_words/x"),
        ("Could not read a_target=3.csv", "Could not read a_target=3.csv"),
        ("Text 0 holds no word", "Text number 0 (counted from 0) holds no word"),
        ("For text 9 both sides", "For text number 9 (counted from 0) both sides"),
        ("'x', which the option text asks for", "'x', which --text-column asks for"),
        ("Row 3 of Text 0", "Row 3 of Text 0"),
        ("give method=, or hidden=3", "give method=, or hidden=3"),
    ],
)
def test_what_is_said(message: str, said: str) -> None:
    assert spoken(message, FLAGS) == said


@given(st.text(st.characters(exclude_characters="=_")).filter(lambda t: "ext " not in t))
def test_what_names_no_option_stays(message: str) -> None:
    assert spoken(message, FLAGS) == message


def test_labels_are_left_out_where_the_command_can() -> None:
    said = (
        "Row 2 has no label; take such rows out, or leave out the column if no row is to have one."
    )
    assert spoken(said, FLAGS) == said
    assert "leave the labels out by --no-labels." in spoken(said, {"no_labels": "--no-labels"})


def test_every_phrase_is_said_somewhere() -> None:
    strings = []
    for path in Path(seqlrp.__file__).parent.rglob("*.py"):
        if path.parent.name == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                strings.append(node.value)
    for phrase in PHRASES:
        assert any(phrase in string for string in strings), phrase
