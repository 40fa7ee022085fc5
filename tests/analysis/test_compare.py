"""Two classifiers on the same texts: a model and itself, a changed one, other tokens."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts
from samples.explanations import explanation

import seqlrp
from seqlrp.analysis.common_units import common_units
from seqlrp.errors import LabelError, OptionError, TextError


def test_a_model_agrees_with_itself() -> None:
    classifier = small_classifier()
    found = seqlrp.compare(classifier, classifier, some_texts(20), min_documents=1)
    assert found.agreement == 1
    assert found.correlation == pytest.approx(1)
    assert (found.words["change"] == 0).all()
    assert (found.texts["moved"] == 0).all()
    assert "same answer to 100.0 %" in found.summary()


def turned(classifier: seqlrp.TextClassifier, word: str) -> seqlrp.TextClassifier:
    """The same model, for which one word means something else."""
    model = copy.deepcopy(classifier.model)
    with torch.no_grad():
        model.embedding.weight[classifier.vocabulary.encode([word])[0]] *= -4  # type: ignore[operator,union-attr]
    return replace(classifier, model=model)


def test_the_word_that_changed_moved_most() -> None:
    classifier = small_classifier()
    texts = some_texts(60)
    word = max(set(" ".join(texts).split()), key=lambda w: sum(w in t.split() for t in texts))
    found = seqlrp.compare(classifier, turned(classifier, word), texts, target=0, min_documents=3)
    assert found.words["word"].iloc[0] == word.casefold()


def test_tables_say_what_the_explanations_say() -> None:
    classifier, texts = small_classifier(), some_texts(12)
    other = turned(classifier, texts[0].split()[0])
    labels = [k % len(classifier.labels) for k in range(12)]
    found = seqlrp.compare(classifier, other, texts, labels, ids=[f"t{k}" for k in range(12)])
    answers = other.predict(texts)[0]
    for row in found.texts.itertuples(index=True):
        e, f = found.old[row.Index], found.new[row.Index]
        assert (e.text, f.text, row.id) == (texts[row.Index],) * 2 + (f"t{row.Index}",)
        assert e.target_label == f.target_label == e.predicted_label
        assert row.new == other.labels[answers[row.Index]]
        shares = [x.relevance / np.abs(x.relevance).sum() for x in (e, f)]
        assert row.moved == pytest.approx(np.abs(shares[0] - shares[1]).sum() / 2, abs=1e-6)
    same = found.texts["same"].to_numpy()
    assert not (~same[:-1] & same[1:]).any()  # same answers come first
    assert found.to_json()["changed_predictions"] == int((~same).sum())


def test_labels_in_another_order_are_matched_by_name() -> None:
    classifier, texts = small_classifier(), some_texts(8)

    class Swapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = classifier.model

        def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
            return self.inner(*inputs).flip(-1)  # type: ignore[no-any-return]

    swapped = replace(classifier, model=Swapped().eval(), labels=classifier.labels[::-1])
    found = seqlrp.compare(classifier, swapped, texts)
    assert found.agreement == 1
    assert found.correlation == pytest.approx(1)


def test_what_cannot_be_compared_is_refused() -> None:
    classifier = small_classifier()
    renamed = replace(classifier, labels=("yes", *classifier.labels[1:]))
    with pytest.raises(LabelError, match="expected the same names"):
        seqlrp.compare(classifier, renamed, some_texts(2))
    with pytest.raises(TextError, match="no text to compare"):
        seqlrp.compare(classifier, classifier, [])
    with pytest.raises(OptionError, match="two different names"):
        seqlrp.compare(classifier, classifier, some_texts(2), names=("a", "a"))


def test_a_comparison_is_written_as_page_and_tables(tmp_path: Path) -> None:
    classifier, texts = small_classifier(), some_texts(10)
    other = turned(classifier, texts[0].split()[0])
    found = seqlrp.compare(classifier, other, texts, names=("before", "<after>"))
    found.save(tmp_path / "out", first=4)
    page = (tmp_path / "out" / "page.html").read_text("utf-8")
    assert "&lt;after&gt;" in page
    assert "<after>" not in page
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out" / "words.parquet"), found.words)


def tokens_of(text: str, cuts: list[int]) -> list[tuple[int, int]]:
    ends = sorted({c for c in cuts if 0 < c < len(text)} | {len(text)})
    return list(zip([0, *ends[:-1]], ends, strict=True))


@given(
    cuts=st.tuples(*[st.lists(st.integers(1, 11), max_size=6)] * 2),
    seed=st.integers(0, 99),
)
def test_units_cut_no_word_and_lose_no_relevance(
    cuts: tuple[list[int], list[int]], seed: int
) -> None:
    text = "x;y-z,(u.v)!"
    sides = []
    for which in cuts:
        spans = tokens_of(text, which)
        values = np.random.default_rng(seed).normal(size=len(spans)).astype(np.float32)
        sides.append(
            explanation(text, tokens=tuple(text[a:b] for a, b in spans),
                        offsets=np.array(spans, np.int32), relevance=values,
                        sentences=None)
        )  # fmt: skip
    units = common_units(*sides)
    assert units.first.sum() == pytest.approx(float(sides[0].relevance.sum()), abs=1e-5)
    assert units.second.sum() == pytest.approx(float(sides[1].relevance.sum()), abs=1e-5)
    starts, ends = units.spans.T.tolist()
    assert starts[1:] == ends[:-1]
    for side in sides:
        for start, end in side.merged("word").offsets.tolist():
            assert any(a <= start and end <= b for a, b in units.spans.tolist())
    # The smallest: an inner boundary that both share is a boundary of a unit.
    shared = set(sides[0].merged("word").offsets[:, 0].tolist()) & set(
        sides[1].merged("word").offsets[:, 0].tolist()
    )
    assert shared == set(starts)
