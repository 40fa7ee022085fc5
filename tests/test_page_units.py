from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from explanation_samples import explanation, explanations
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.explanation import Explanation
from seqlrp.page.units import Units, sentence_ends, sentences, tokens, words


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


def written(text: str, units: Units) -> list[str]:
    return [text[start:end] for start, end in units.spans.tolist()]


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("unbelievably so.", ["un", "believ", "ably", "so", "."], ["unbelievably", "so", "."]),
        ("don't l’eau rock 'n' roll", ["do", "n't", "l", "’", "eau", "rock", "'", "n", "'", "roll"],
         ["don't", "l’eau", "rock", "'", "n", "'", "roll"]),
        ("so-so (film)", ["so", "-", "so", "(", "film", ")"], ["so", "-", "so", "(", "film", ")"]),
        ("New York is", ["New York", "is"], ["New York", "is"]),
        ("New York is", ["New Yo", "rk", "is"], ["New York", "is"]),
        ("a film", ["a", " film"], ["a", "film"]),
        ("a  b", ["a", "  ", "b"], ["a", "  ", "b"]),
        ("x_1 3.5", ["x", "_", "1", "3", ".", "5"], ["x_1", "3", ".", "5"]),
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
    parts = words(cut(text, pieces))
    found = sentences(text, parts)
    assert written(text, found) == expected
    sums = [
        sum(v for (a, b), v in zip(parts.spans, parts.values, strict=True) if s <= a < e)
        for s, e in found.spans.tolist()
    ]
    assert found.values.tolist() == sums


@given(explanations())
def test_units_cover_the_tokens_and_keep_their_sum(e):
    parts = words(e)
    whole = sentences(e.text, parts)
    for units in (parts, whole, tokens(e)):
        flat = units.spans.ravel().tolist()
        assert flat == sorted(flat)
        assert (units.spans[:, 0] < units.spans[:, 1]).all()
        assert units.values.shape == (*e.relevance.shape[:-1], len(units))
        scale = np.abs(e.relevance.astype(np.float64)).sum(-1)
        difference = units.values.sum(-1) - e.relevance.sum(-1, dtype=np.float64)
        assert (np.abs(difference) <= 1e-9 * scale).all()
    outside = set(range(len(e.text)))
    for start, end in parts.spans.tolist():
        outside -= set(range(start, end))
    inside = {i for start, end in e.offsets.tolist() for i in range(start, end)}
    assert all(e.text[i].isspace() for i in outside & inside)


@given(st.text(st.sampled_from("aB .!?\n\"'。…Dr"), max_size=40))
def test_ends_of_sentences_run_forward_to_the_end(text):
    ends = sentence_ends(text)
    assert ends[-1] == len(text)
    assert all(a < b for a, b in itertools.pairwise(ends))
    assert all(end >= 0 for end in ends)
