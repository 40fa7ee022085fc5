"""Trees of the treebank are read strictly, and the whole script runs on made-up ones."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.sst import (
    LABELS,
    METHODS,
    Phrase,
    Sentence,
    by_spaces,
    main,
    phrases,
    read_trees,
    sentences,
    tree,
)
from seqlrp.errors import CorpusError

words = st.text("ab'.é\u00a0-", min_size=1, max_size=4)
nested = st.recursive(
    st.tuples(st.integers(0, 4), words),
    lambda below: st.tuples(st.integers(0, 4), st.lists(below, min_size=1, max_size=3)),
    max_leaves=8,
)


def spelled(node: tuple) -> str:
    label, inside = node
    inner = inside if isinstance(inside, str) else " ".join(map(spelled, inside))
    return f"({label} {inner})"


def flattened(node: tuple, start: int = 0) -> tuple[list[str], list[Phrase]]:
    """Words and phrases by recursion, parents first."""
    label, inside = node
    if isinstance(inside, str):
        return [inside], [Phrase(start, start + 1, label)]
    found: list[str] = []
    below: list[Phrase] = []
    for child in inside:
        more, parts = flattened(child, start + len(found))
        found += more
        below += parts
    return found, [Phrase(start, start + len(found), label), *below]


@given(nested)
def test_a_tree_is_read_as_it_was_written(node: tuple) -> None:
    expected = flattened(node)
    assert tree(spelled(node)) == Sentence(tuple(expected[0]), tuple(expected[1]))
    loose = spelled(node).replace("(", " ( ").replace(")", " ) ")
    assert tree(loose) == tree(spelled(node))


@given(nested, st.data())
def test_a_tree_that_lacks_a_bracket_is_none(node: tuple, data: st.DataObject) -> None:
    line = spelled(node)
    brackets = [k for k, sign in enumerate(line) if sign in "()"]
    at = data.draw(st.sampled_from(brackets))
    with pytest.raises(ValueError, match=r"column|the line ends"):
        tree(line[:at] + line[at + 1 :])


def test_brackets_and_slashes_are_words() -> None:
    assert tree(r"(3 (2 -LRB-) (3 (2 a\/b) (2 -RRB-)))").words == ("(", "a/b", ")")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "the line ends before its tree"),
        ("(2 a", "the line ends before its tree"),
        ("(2)", "the phrase that ends at column 3 holds no word"),
        ("(2 (3))", "the phrase that ends at column 6 holds no word"),
        ("(5 a)", "column 1 opens a phrase without a label from 0 to 4"),
        ("(2 (x a))", "column 4 opens a phrase without a label"),
        ("()", "column 1 opens a phrase without a label"),
        ("(2 a b)", "the word 'a' after column 1 is not alone"),
        ("(2 a (3 b))", "the word 'a' after column 1 is not alone"),
        ("(2 (3 a) b)", "the word 'b' at column 10 has no label of its own"),
        ("(2 a))", "')' at column 6 stands outside the tree"),
        ("(2 a) (3 b)", "'(' at column 7 stands outside the tree"),
        ("a", "'a' at column 1 stands outside the tree"),
    ],
)
def test_what_is_no_tree_is_refused_with_its_line(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_text(f"(2 a)\n{line}\n(3 b)\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=f"Line 2 of .*train.txt is no tree: {re.escape(reason)}"):
        read_trees(path)


def test_files_that_hold_no_trees_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="Could not read the trees"):
        read_trees(tmp_path / "none.txt")
    (tmp_path / "latin.txt").write_bytes("(2 é)".encode("latin-1"))
    with pytest.raises(CorpusError, match="Could not read the trees"):
        read_trees(tmp_path / "latin.txt")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(CorpusError, match="is empty"):
        read_trees(tmp_path / "empty.txt")


def test_values_stand_where_their_words_are() -> None:
    read = tree("(3 (4 good) (2 (1 (0 bad) (2 film)) (2 .)))")
    text = read.text
    assert text == "good bad film ."
    assert [(text[a:b], v) for a, b, v in read.values(words=True)] == [
        ("good", 2.0),
        ("bad", -2.0),
        ("film", 0.0),
        (".", 0.0),
    ]
    assert [(text[a:b], v) for a, b, v in read.values(words=False)] == [
        ("bad film .", 0.0),
        ("bad film", -1.0),
    ]


def test_corpora_hold_every_phrase_once() -> None:
    trees = [tree("(3 (4 good) (2 film))"), tree("(1 (4 good) (2 film))"), tree("(2 film)")]
    found = phrases(trees, "made")
    assert [(t, int(y)) for t, y in zip(found.texts, found.labels, strict=True)] == [
        ("good film", 3),
        ("good", 4),
        ("film", 2),
        ("good film", 1),
    ]
    whole = sentences(trees, "made")
    assert whole.texts == ["good film", "good film", "film"]
    assert whole.labels.tolist() == [3, 1, 2]
    assert by_spaces("2\u00a01/2 stars").tokens == ("2\u00a01/2", "stars")


def written(folder: Path, count: int, seed: int) -> None:
    """Sentences whose label is that of their one strong word."""
    random = np.random.default_rng(seed)
    strong = ("dreadful", "dull", "plain", "good", "superb")
    lines = []
    for label in random.integers(0, 5, count):
        leaves = [(2, word) for word in random.choice(["the", "a", "film", "it"], 4)]
        leaves.insert(int(random.integers(5)), (int(label), strong[label]))
        kind, word = leaves.pop()
        line = f"({kind} {word})"
        for below, word in reversed(leaves):  # neutral until the strong word is in it
            kind = kind if below == 2 else below
            line = f"({kind} ({below} {word}) {line})"
        lines.append(line + "\n")
    folder.write_text("".join(lines), encoding="utf-8")


@pytest.mark.slow
def test_the_script_runs_from_trees_to_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed, (part, count) in enumerate((("train", 150), ("dev", 20), ("test", 25))):
        written(tmp_path / f"{part}.txt", count, seed)
    assert main([str(tmp_path), "--epochs", "15", "--min-words", "5"]) == 0
    printed = capsys.readouterr().out
    right = re.search(r"([\d.]+)% of 25 test sentences right", printed)
    assert right is not None
    assert float(right[1]) == 100
    assert "Accuracy in % of 25 sentences of 5 words or more" in printed
    rows = re.findall(r"^(lrp|gradient_x_input|sensitivity|random) +([-\d. na]+)$", printed, re.M)
    assert [name for name, _ in rows] == [*METHODS, *METHODS]  # every test sentence is right
    deleted = {name: [float(n) for n in row.split()] for name, row in rows[:4]}
    assert all(len(row) == 6 and row[0] == 100 for row in deleted.values())
    assert deleted["lrp"][1] < 30 < deleted["random"][1]  # the strong word goes first
    agreement = {name: [float(n) for n in row.split()] for name, row in rows[4:]}
    assert all(len(row) == 4 and max(map(abs, row)) <= 1 for row in agreement.values())
    assert agreement["lrp"][2] > 0.5


def test_the_script_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 2
    assert "Could not read the trees" in capsys.readouterr().err
    assert len(LABELS) == 5
