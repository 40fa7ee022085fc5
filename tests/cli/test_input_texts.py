"""What a user hands in becomes texts, with what is known of each."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from samples.classifiers import small_classifier

from seqlrp.cli import input_texts
from seqlrp.cli.input_texts import (
    InputTexts,
    numbered_lines,
    read_texts,
    with_standard_input,
)
from seqlrp.errors import CorpusError, LabelError, OptionError


def handed(corpus: object, *texts: str, labelled: bool = True) -> InputTexts:
    return read_texts(
        small_classifier(), None if corpus is None else str(corpus), texts,
        text_column=None, label_column=None, split=None, labelled=labelled,
    )  # fmt: skip


def test_a_text_from_standard_input() -> None:
    assert with_standard_input(["a"], io.StringIO("b")) == ["a"]
    assert with_standard_input(["a", "-", "c"], io.StringIO("x\ny\n")) == ["a", "x\ny", "c"]
    assert with_standard_input(["-"], io.StringIO("a\udcff")) == ["a\ufffd"]
    for nothing in (io.StringIO("\n"), None):
        with pytest.raises(OptionError, match="Nothing came from standard input"):
            with_standard_input(["-"], nothing)
    with pytest.raises(OptionError, match="can be read once"):
        with_standard_input(["-", "-"], io.StringIO("a"))


def test_bytes_that_are_no_text_are_replaced() -> None:
    stream = io.TextIOWrapper(io.BytesIO(b"caf\xe9\n"), encoding="utf-8")
    assert with_standard_input(["-"], stream) == ["caf\ufffd"]


def test_lines_are_texts_and_blank_ones_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    given = ["\ufeffa b \n", "\n", " \t\n", "c\r\n", "\ufeffd\x85e"]
    assert list(numbered_lines(given)) == [(0, "a b "), (3, "c"), (4, "\ufeffd\x85e")]
    assert capsys.readouterr().err == (
        "seqlrp: Standard input has 2 blank lines: left out (lines 2, 3, counted from 1; "
        "ids count from 0).\n"
    )
    assert len(list(numbered_lines(given, report=False))) == 3
    assert capsys.readouterr().err == ""
    with pytest.raises(OptionError, match="Nothing came from standard input"):
        list(numbered_lines(["\n"]))


def test_lines_come_one_by_one() -> None:
    read = []

    def endless() -> Iterator[str]:
        for number in itertools.count():
            read.append(number)
            yield f"{number}\n"

    found = iter(InputTexts(text for _, text in numbered_lines(endless())).first(3).texts)
    assert next(found) == "0"
    assert read == [0]
    assert list(found) == ["1", "2"]


def test_the_first_keep_what_is_known() -> None:
    every = InputTexts(["a", "b", "c"], ["x", "y", "z"], ["1", "2", "3"])
    assert every.first(2) == InputTexts(["a", "b"], ["x", "y"], ["1", "2"])
    assert every.first(None) is every


def test_a_folder_of_texts(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_bytes(b"\xef\xbb\xbfgood\n")
    (tmp_path / "a.txt").write_text("bad")
    (tmp_path / ".DS_Store").touch()
    found = handed(tmp_path)
    assert (found.texts, found.names, found.labels) == (
        ["bad", "good\n"], ["a.txt", "b.txt"], None
    )  # fmt: skip
    assert handed(tmp_path / "b.txt") == InputTexts(["good"], numbers=[0])  # a text on each line
    (tmp_path / "c.txt").write_text(" \n")
    with pytest.raises(CorpusError, match=r"c\.txt is empty"):
        handed(tmp_path)
    (tmp_path / "c.txt").write_bytes(b"caf\xe9")
    with pytest.raises(CorpusError, match=r"c\.txt, expected a text in UTF-8"):
        handed(tmp_path)
    (tmp_path / "c.csv").touch()
    with pytest.raises(CorpusError, match="is no corpus"):
        handed(tmp_path)


def test_labels_only_where_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("text,label\ngood,strange\n")
    assert handed(path, labelled=False) == InputTexts(["good"])
    with pytest.raises(LabelError, match="'strange'"):
        handed(path)
    names = small_classifier().labels
    path.write_text(f"text,label\ngood,{names[1]}\n")
    assert handed(path).labels == [names[1]]


def test_either_a_corpus_or_texts() -> None:
    assert handed(None, "a", "b").texts == ["a", "b"]
    for wrong in ((None,), ("c.csv", "a")):
        with pytest.raises(OptionError, match="Name the texts"):
            handed(*wrong)


def test_standard_input_as_a_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_texts.sys, "stdin", io.StringIO("a\nb\n"))
    found = handed("-")
    assert (list(found.texts), found.typed) == (["a", "b"], False)
    monkeypatch.setattr(input_texts.sys, "stdin", None)
    with pytest.raises(OptionError, match="Nothing came"):
        list(handed("-").texts)
