from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import assume, given
from samples.explanations import explanation, explanations

from seqlrp.errors import NonFiniteError
from seqlrp.explanations.record import Explanation
from seqlrp.show.page.charts import account
from seqlrp.show.page.units import (
    Units,
    outside_the_text,
    tokens_and_sentences,
    words_and_sentences,
)


def cut(text: str, pieces: list[str], relevance: list[float] | None = None) -> Explanation:
    """An explanation of a text that a tokenizer has cut into these pieces."""
    spans, done = [], 0
    for piece in pieces:
        start = text.index(piece, done)
        done = start + len(piece)
        spans.append((start, done))
    relevance = list(range(1, len(pieces) + 1)) if relevance is None else relevance
    offsets = np.array(spans, np.int32).reshape(-1, 2)
    return explanation(text, tokens=pieces, offsets=offsets, relevance=relevance, ledger={})


def words(e: Explanation) -> Units:
    return words_and_sentences(e)[0]


def tokens(e: Explanation) -> Units:
    return tokens_and_sentences(e)[0]


def written(text: str, units: Units) -> list[str]:
    return [text[start:end] for start, end in units.spans.tolist()]


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("unbelievably so.", ["un", "believ", "ably", "so", "."], ["unbelievably", "so", "."]),
        ("don't l’eau rock 'n' roll", ["do", "n't", "l", "’", "eau", "rock", "'", "n", "'", "roll"],
         ["don't", "l’eau", "rock", "'", "n", "'", "roll"]),
        ("so-so (film)", ["so", "-", "so", "(", "film", ")"], ["so-so", "(", "film", ")"]),
        ("New York is", ["New York", "is"], ["New York", "is"]),
        ("New York is", ["New Yo", "rk", "is"], ["New York", "is"]),
        ("a film", ["a", " film"], ["a", "film"]),
        ("a  b", ["a", "  ", "b"], ["a", "  ", "b"]),
        ("x_1 3.5", ["x", "_", "1", "3", ".", "5"], ["x_1", "3.5"]),
        ("映画は", ["映", "画", "は"], ["映", "画", "は"]),
        ("ไทย", ["ไ", "ทย"], ["ไ", "ทย"]),
        ("한국어를", ["한국", "어를"], ["한국어를"]),
        ("هذا الفيلم", ["هذا", "ال", "فيلم"], ["هذا", "الفيلم"]),
        ("e\u0301te\u0301", ["e", "\u0301", "t", "e\u0301"], ["e\u0301te\u0301"]),
        ("👩‍👧 👍🏽", ["👩", "\u200d", "👧", "👍", "🏽"], ["👩‍👧", "👍🏽"]),
        ("🇫🇷🇩🇪", ["🇫", "🇷", "🇩", "🇪"], ["🇫🇷", "🇩🇪"]),
        ("日本語film", ["日本語", "film"], ["日本語", "film"]),
        ("'a", ["'", "a"], ["'", "a"]),
    ],
)  # fmt: skip
def test_pieces_of_a_word_are_put_together(text, pieces, expected):
    found = words(cut(text, pieces))
    assert written(text, found) == expected
    assert found.values.sum() == sum(range(1, len(pieces) + 1))


def test_the_relevance_of_pieces_is_added():
    e = cut("unbelievably good", ["un", "believ", "ably", "good"], [1.0, -0.25, 2.0, 5.0])
    found = words(e)
    assert found.values.tolist() == [2.75, 5.0]
    assert found.first.tolist() == [0, 3]
    every = explanation(
        "ab c", tokens=["a", "b", "c"], offsets=[[0, 1], [1, 2], [3, 4]], target="all",
        relevance=[[1, 2, 3], [10, 20, 30]], ledger={},
    )  # fmt: skip
    assert words(every).values.tolist() == [[3, 3], [30, 30]]
    assert tokens(every).values.tolist() == [[1, 2, 3], [10, 20, 30]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is good. It is bad! Is it? Yes", ["It is good.", "It is bad!", "Is it?", "Yes"]),
        ("Dr. Smith met J. R. Doe, e.g. in Rome. It rained.",
         ["Dr. Smith met J. R. Doe, e.g. in Rome.", "It rained."]),
        ("It cost 3.5 dollars. \"Not bad!\" he said. 'No.' We left.",
         ["It cost 3.5 dollars.", '"Not bad!" he said.', "'No.'", "We left."]),
        ("a good film . it never ends . really", ["a good film .", "it never ends .", "really"]),
        ("Title\n\nFirst line\nsecond line", ["Title", "First line\nsecond line"]),
        ("映画は良い。とても。", ["映画は良い。", "とても。"]),
        ("هل هو جيد؟ نعم", ["هل هو جيد؟", "نعم"]),
        ("wait... what. Oh… Fine", ["wait... what.", "Oh…", "Fine"]),
        ("", []),
    ],
)  # fmt: skip
def test_sentences(text, expected):
    pieces = re.findall(r"[^\s。]+。?", text)
    parts, found = words_and_sentences(cut(text, pieces))
    assert written(text, found) == expected
    sums = [
        sum(v for (a, b), v in zip(parts.spans, parts.values, strict=True) if s <= a < e)
        for s, e in found.spans.tolist()
    ]
    assert found.values.tolist() == sums


def test_tokens_that_stand_nowhere_are_no_units():
    e = explanation(
        "Dull film. Good.",
        tokens=["[CLS]", "Du", "[X]", "ll", "film", ".", "Good", ".", "[SEP]"],
        offsets=[[0, 0], [0, 2], [2, 2], [2, 4], [5, 9], [9, 10], [11, 15], [15, 16], [16, 16]],
        relevance=[64, 1, 32, 2, 4, 8, 16, 0.5, 128],
        ledger={},
    )
    parts, whole = words_and_sentences(e)
    assert written(e.text, parts) == ["Dull", "film", ".", "Good", "."]
    assert parts.values.tolist() == [35, 4, 8, 16, 0.5]
    assert parts.first.tolist() == [1, 4, 5, 6, 7]
    assert written(e.text, whole) == ["Dull film.", "Good."]
    assert whole.values.tolist() == [47, 16.5]
    assert whole.first.tolist() == [0, 3]
    assert outside_the_text(e) == {"[CLS]": 64, "[SEP]": 128}
    assert tokens(e).values.tolist() == [1, 2, 4, 8, 16, 0.5]
    assert tokens(e).first.tolist() == [1, 3, 4, 5, 6, 7]


def test_a_token_that_stands_nowhere_counts_in_the_sentence_that_goes_on():
    e = explanation(
        "so bad",
        tokens=["so", "[MASK]", "bad"],
        offsets=[[0, 2], [2, 2], [3, 6]],
        relevance=[1, 2, 4],
        ledger={},
    )
    parts, whole = words_and_sentences(e)
    assert parts.values.tolist() == [1, 4]
    assert whole.values.tolist() == [7]
    assert whole.first.tolist() == [0]


@given(explanations())
def test_units_are_what_merging_gives_but_for_what_stands_nowhere(e):
    parts, whole = words_and_sentences(e)
    single, same = tokens_and_sentences(e)
    scale = np.abs(e.relevance.astype(np.float64)).max(initial=0.0)
    try:
        words, sentences = e.merged("word"), e.merged("sentence")
        of_words = words.merged("sentence")  # a sentence that begins within a word: after it
    except NonFiniteError:  # a sum past the range of float32
        assume(False)
    for units, expected in (
        (single, e),
        (parts, words),
        (whole, of_words),
        (same, sentences),
    ):
        stands = expected.offsets[:, 0] < expected.offsets[:, 1]
        places = expected.offsets[stands].tolist()
        assert [e.text[a:b].strip() for a, b in places] == [
            w.strip() for w in written(e.text, units)
        ]
        assert units.values == pytest.approx(expected.relevance[..., stands], abs=1e-5 * scale)
        flat = units.spans.ravel().tolist()
        assert flat == sorted(flat)
    for larger, smaller in ((whole, parts), (same, single)):
        assert larger.spans[:, 0].tolist() == smaller.spans[larger.first, 0].tolist()


@given(explanations())
def test_what_is_shown_and_what_is_not_add_up(e):
    for one in [e.for_target(c) for c in range(len(e.labels))] if e.target == "all" else [e]:
        relevance = one.relevance.astype(np.float64)
        shown = words_and_sentences(one)[0].values.sum()
        missing = relevance.sum() - shown - sum(outside_the_text(one).values())
        assert abs(missing) <= 1e-9 * np.abs(relevance).sum()


def test_many_kinds_of_tokens_outside_the_text_are_one_row_of_the_account():
    names = ["[A]", "[B]", "[C]", "[D]"]
    for kinds in (3, 4):
        e = explanation(
            "so",
            tokens=[*names[:kinds], "so"],
            offsets=[*[[0, 0]] * kinds, [0, 2]],
            relevance=[1.0] * kinds + [8.0],
            ledger={},
        )
        rows = dict(account(e))
        assert rows["the words"] == 8
        assert [v for name, v in rows.items() if "not in the text" in name] == (
            [1, 1, 1] if kinds == 3 else [4]
        )
