"""The summary against plain Python: counts, sums, means, and intervals that cover."""

from __future__ import annotations

import math
import sys
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from samples.examples import examples
from samples.explanations import HOSTILE, explanation, explanations
from samples.summaries import words
from spacy.lookups import Lookups

from seqlrp.errors import OptionError
from seqlrp.explanations import summaries
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.summaries import student_t, summarise

COLUMNS = [
    "method", "target", "target_label", "against", "against_label", "word", "documents",
    "occurrences", "mean", "low", "high", "q25", "median", "q75", "sum",
]  # fmt: skip
# Tables of Student's t, 97.5 %: NIST/SEMATECH e-Handbook, 1.3.6.7.2.
TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 10: 2.228, 30: 2.042, 100: 1.984}


def lemmatizer():
    nlp = spacy.blank("en")
    lookups = Lookups()
    lookups.add_table("lemma_lookup", {"films": "film", "was": "be", "is": "be"})
    nlp.add_pipe("lemmatizer", config={"mode": "lookup"}).initialize(lookups=lookups)
    return nlp


def test_a_word_over_documents():
    frame = summarise(
        [words("so so good", [1, 2, 4]), words("So bad", [6, -3]), words("bad", [-1.5])]
    )
    assert list(frame.columns) == COLUMNS
    assert frame.word.tolist() == ["so", "good", "bad"]
    assert frame.documents.tolist() == [2, 1, 2]
    assert frame.occurrences.tolist() == [3, 1, 2]
    assert frame["sum"].tolist() == [9, 4, -4.5]
    assert frame["mean"].tolist() == [3, 4, -2.25]
    # so: S = 3, 6 and n = 2, 1; residuals 3 - 3·2, 6 - 3·1; √(2/1 · 18/9) = 2
    assert frame.high[0] - 3 == pytest.approx(12.7062047 * 2, rel=1e-8)
    assert frame.high[2] + 2.25 == pytest.approx(12.7062047 * 0.75, rel=1e-8)
    assert math.isnan(frame.low[1])
    assert set(frame.target_label) == {"positive"}
    assert frame.against.isna().all()


def test_a_spike_moves_the_mean_and_not_the_median():
    items = [words("film a", [0.1, 0]), words("film", [0.2]), words("film film", [0.1, 30])]
    frame = summarise(items).set_index("word")
    assert frame.loc["film", "mean"] == pytest.approx(7.6)
    assert frame.loc["film", "median"] == pytest.approx(0.15)
    assert frame.loc["film", ["q25", "q75"]].tolist() == pytest.approx([0.1, 7.65])
    assert frame.loc["a", ["q25", "median", "q75"]].tolist() == [0, 0, 0]


@given(st.lists(explanations(), max_size=4), st.sampled_from(["token", "class"]))
@examples(30)
def test_quartiles_are_those_of_numpy(items, by):
    found = defaultdict(list)
    for e in items:
        every = e.target == "all"
        rows = enumerate(e.relevance) if every else [(e.target, e.relevance)]
        for target, relevance in rows:
            for token, value in zip(e.tokens, relevance, strict=True):
                label = e.labels[target]
                question = (
                    e.method,
                    target,
                    label,
                    -1 if every or e.against is None else e.against,
                )
                name = token.lower() if by == "token" else ""
                found[(*question, e.against_label or "", name)].append(float(value))
    frame = summarise(items, by)
    assert len(frame) == len(found)
    for row in frame.to_dict("records"):
        against = -1 if pd.isna(row["against"]) else row["against"]
        question = (row["method"], row["target"], row["target_label"], against)
        label = row["against_label"] if isinstance(row["against_label"], str) else ""
        values = found[(*question, label, row.get("word", ""))]
        expected = np.quantile(np.array(values, np.float64), [0.25, 0.5, 0.75])
        got = [row["q25"], row["median"], row["q75"]]
        assert got == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_pieces_of_a_word_are_put_together():
    text = "unbelievably good, don't"
    pieces = [(0, 2), (2, 9), (9, 12), (13, 17), (17, 18), (19, 21), (21, 24)]
    e = explanation(
        text,
        tokens=tuple(text[start:end] for start, end in pieces),
        offsets=np.array(pieces, np.int32),
        relevance=[1.0, 2.0, 4.0, 8.0, 0.5, 16.0, 32.0],
        sentences=None,
        ledger={},
    )
    frame = summarise([e, e])
    assert dict(zip(frame.word, frame["sum"], strict=True)) == {
        "don't": 96, "good": 16, "unbelievably": 14, ",": 1,
    }  # fmt: skip
    assert frame.occurrences.tolist() == [2, 2, 2, 2]
    pd.testing.assert_frame_equal(frame, summarise([e.merged(), e.merged()], "token"))
    assert "bly" in summarise([e], "token").word.tolist()


@given(st.lists(explanations(), max_size=4))
def test_words_are_those_of_merged_explanations(items):
    merged = [item.merged("word") for item in items]
    kept = ["method", "target", "word", "documents", "occurrences"]
    order = ["method", "target", "against", "word"]
    one, other = (
        f.sort_values(order)[kept] for f in (summarise(items), summarise(merged, "token"))
    )
    assert one.to_numpy().tolist() == other.to_numpy().tolist()


def test_quartiles_may_be_left_out_or_sorted_in_parts(monkeypatch):
    texts = [list("abcd"[: k % 4 + 1]) for k in range(12)]
    found = [words(" ".join(t), [len(t) / (k + 1) for k in range(len(t))]) for t in texts]
    whole = summarise(found)
    monkeypatch.setattr(summaries, "_SORTED", 3)
    pd.testing.assert_frame_equal(summarise(found), whole)
    without = summarise(found, quartiles=False)
    assert without[["q25", "median", "q75"]].isna().all(axis=None)
    others = [name for name in COLUMNS if name not in ("q25", "median", "q75")]
    pd.testing.assert_frame_equal(without[others], whole[others])


def test_case_can_be_kept():
    items = [words("So so", [1, 2])]
    assert summarise(items, fold_case=False).word.tolist() == ["so", "So"]
    assert summarise(items).word.tolist() == ["so"]


def test_what_differs_is_never_mixed():
    items = Explanations([
        words("a", [1]),
        words("a", [2], target=0),
        words("a", [4], against=0),
        words("a", [8], method="gradient"),
        words("a", [16], labels=("x", "y")),
        explanation("a", relevance=[[32], [64]], target="all", ledger={}),
    ])  # fmt: skip
    frame = items.summary()
    assert len(frame) == 5
    assert sorted(frame["sum"]) == [4, 8, 16, 34, 65]
    assert frame.against.dropna().tolist() == [0]
    assert frame.against_label.dropna().tolist() == ["negative"]


def test_by_class():
    frame = summarise([words("a b", [1, 2]), words("c", [9]), words("", [])], "class")
    assert list(frame.columns) == [c for c in COLUMNS if c != "word"]
    assert frame.documents.tolist() == [2]
    assert frame.occurrences.tolist() == [3]
    assert frame["mean"].tolist() == [4]


def test_by_lemma():
    items = [words("Films was", [1, 2]), words("a film is", [4, 8, 16])]
    frame = summarise(items, "lemma", nlp=lemmatizer())
    assert dict(zip(frame.word, frame["sum"], strict=True)) == {
        "be": 18,
        "films": 1,
        "film": 8,
        "a": 4,
    }
    lower = [words("films was", [1, 2]), items[1], words("", [])]
    frame = Explanations(lower).summary("lemma", nlp=lemmatizer())
    assert dict(zip(frame.word, frame["sum"], strict=True)) == {"be": 18, "film": 9, "a": 4}


def test_lemmas_want_a_lemmatizer():
    with pytest.raises(OptionError, match=r"by='lemma' needs nlp=.*by='word'"):
        summarise([], "lemma")
    with pytest.raises(OptionError, match="it has no component; load"):
        summarise([explanation()], "lemma", nlp=spacy.blank("en"))


def test_other_groups_are_refused():
    with pytest.raises(OptionError, match=r"by='wrod'.*'word'"):
        summarise([], "wrod")


@pytest.mark.parametrize("by", ["word", "class"])
def test_nothing_gives_an_empty_table_of_the_same_columns(by):
    some, none = summarise([explanation()], by), summarise([], by)
    assert len(none) == 0
    assert list(none.columns) == list(some.columns)
    assert none.dtypes.tolist() == some.dtypes.tolist()


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("abAB"), st.floats(-100, 100, width=32)), max_size=8),
        max_size=8,
    )
)
def test_against_plain_python(documents):
    items = [words(" ".join(w for w, _ in d), [r for _, r in d]) for d in documents]
    frame = summarise(items).set_index("word")
    expected = defaultdict(list)
    for document in documents:
        found = defaultdict(list)
        for word, relevance in document:
            found[word.lower()].append(relevance)
        for word, values in found.items():
            expected[word].append((math.fsum(values), len(values)))
    assert set(frame.index) == set(expected)
    for word, each in expected.items():
        row = frame.loc[word]
        total, count, size = math.fsum(s for s, _ in each), sum(n for _, n in each), len(each)
        mean = total / count
        near = {"rel": 1e-9, "abs": 1e-9}
        assert (row.documents, row.occurrences) == (size, count)
        assert row["sum"] == pytest.approx(total, **near)
        assert row["mean"] == pytest.approx(mean, **near)
        if size == 1:
            assert math.isnan(row.low)
            assert math.isnan(row.high)
            continue
        squares = math.fsum((s - mean * n) ** 2 for s, n in each)
        half = student_t(size - 1) * math.sqrt(size / (size - 1) * squares) / count
        assert row.high - row["mean"] == pytest.approx(half, rel=1e-6, abs=1e-5)
        assert row["mean"] - row.low == pytest.approx(half, rel=1e-6, abs=1e-5)


@given(st.lists(explanations(), max_size=4))
def test_every_token_is_counted_once(items):
    frame = summarise(items, "token")
    wanted = sum(len(e.tokens) * (len(e.labels) if e.target == "all" else 1) for e in items)
    assert frame.occurrences.sum() == wanted


def test_intervals_cover_what_they_say():
    generator = np.random.default_rng(0)
    drawn = [
        words(f"a{k} " * n, list(generator.normal(1, 1, n) + generator.normal()))
        for k in range(300)
        for n in generator.integers(1, 4, 12)
    ]
    frame = summarise(drawn)
    assert (frame.documents == 12).sum() == len(frame) == 300
    assert 0.91 <= ((frame.low <= 1) & (frame.high >= 1)).mean() <= 0.985


def test_a_stream_is_read_once_and_its_table_is_small():
    made, one = 0, words("a b", [1, 2])

    def stream():
        nonlocal made
        for _ in range(3000):
            made += 1
            yield one

    frame = summarise(stream())
    assert made == 3000
    assert frame.documents.tolist() == [3000, 3000]
    assert sys.getsizeof(frame) < 5000
    assert frame.high.tolist() == frame["mean"].tolist()


def test_student_t():
    for freedom, value in TABLE.items():
        assert student_t(freedom) == pytest.approx(value, abs=6e-4)
    assert student_t(200) == pytest.approx(1.971896, abs=1e-6)
    assert student_t(199) == pytest.approx(1.971957, abs=1e-6)
    assert student_t(10**7) == pytest.approx(1.959964, abs=1e-6)


def test_hostile_words_are_kept():
    frame = summarise([explanation(text) for text in HOSTILE], fold_case=False)
    assert set(frame.word) == {token for text in HOSTILE for token in explanation(text).tokens}
