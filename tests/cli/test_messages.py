"""Errors and warnings are printed with the flags and the advice of the command line."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from samples.commands import run

import seqlrp
from seqlrp.cli.messages import ADVICE, command_line_message
from seqlrp.errors import (
    CorpusError,
    ImbalanceWarning,
    OptionError,
    SeqlrpError,
    check_choice,
    check_number,
)

OPTIONS = {"target": "--target", "min_words": "--min-words", "ks": "--k", "model": "model"}


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--device", "tpu", "'tpu' is not one of 'auto', 'cpu', 'cuda'."),
        ("--device", "\x1b[31m", "'\\x1b[31m' is not one of 'auto', 'cpu', 'cuda'."),
        ("--first", "0", None),
        ("--first", "x", None),
    ],
)
def test_a_value_of_a_wrong_kind_is_a_sentence(
    capsys: pytest.CaptureFixture[str], option: str, value: str, sentence: str | None
) -> None:
    status, _, err = run(capsys, "explain", "model", "texts.csv", option, value)
    assert status == 2
    assert f"Invalid value for '{option}': " in err
    assert "Value error" not in err
    assert sentence is None or err.rstrip().endswith(sentence)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OptionError(option="target", got="all"), "Got --target all."),
        (OptionError(option="target", got="two words"), "Got --target 'two words'."),
        (OptionError(option="target", got="a\x1b\n"), r"Got --target 'a\x1b\n'."),
        (OptionError(option="ks", got=(1, 2)), "Got --k 1,2."),
        (OptionError(option="epsilon", got="x"), "Got epsilon='x'."),
        (
            OptionError(option="min_words", got=0.5, expected="a whole number"),
            "Got --min-words 0.5; expected a whole number.",
        ),
        (
            OptionError("No text is that long.", "Lower it.", option="min_words"),
            "--min-words: No text is that long. Lower it.",
        ),
        (CorpusError("Text 3 is empty.", text=3), "Text 3 is empty. Texts are counted from 0."),
        (CorpusError("no column 'min_words'"), "no column 'min_words'"),
        (CorpusError("no column", "Set text to one.", option="text"), "no column Set text to one."),
        (SeqlrpError("Said.", "Done.", code="unheard of"), "Said. Done."),
        (ImbalanceWarning("Few."), "Few."),
        (SeqlrpError(), ""),
    ],
)
def test_messages_of_the_command_line(error: SeqlrpError, message: str) -> None:
    assert command_line_message(error, OPTIONS) == message


def test_checked_options_are_named_by_their_flags() -> None:
    with pytest.raises(OptionError) as caught:
        check_number("min_words", -1, least=0, whole=True)
    said = command_line_message(caught.value, OPTIONS)
    assert said == "Got --min-words -1; expected a whole number, at least 0."
    with pytest.raises(OptionError) as caught:
        check_choice("target", "positiv", ("negative", "positive"))
    assert command_line_message(caught.value, OPTIONS) == (
        "Got --target positiv. Did you mean 'positive'?"
    )


def test_advice_is_that_of_the_command() -> None:
    error = CorpusError("Row 2 has no label.", "Or leave it.", code="row_without_label")
    assert command_line_message(error, OPTIONS) == str(error) == "Row 2 has no label. Or leave it."
    said = command_line_message(error, {"no_labels": "--no-labels"})
    assert said == "Row 2 has no label. Take such rows out, or leave the labels out by --no-labels."
    error = CorpusError("'x' is not known.", "Known: 'y'.", code="unknown_label")
    assert command_line_message(error, {"no_labels": "--no-labels"}) == (
        "'x' is not known. Known: 'y'. Or leave the labels out by --no-labels."
    )


def test_every_code_with_advice_is_used() -> None:
    codes = set()
    for path in Path(seqlrp.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "code":
                codes.add(ast.unparse(node.value))
    columns = {"unknown_text_column", "unknown_label_column"}
    assert "f'unknown_{option}_column'" in codes
    assert {repr(code) for code in set(ADVICE) - columns} <= codes
