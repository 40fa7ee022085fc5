"""Shortcuts are proved by intervention, and what is merely present is not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.planted import PLANTED, PRESENT, planted_classifier, planted_corpus

import seqlrp
from seqlrp.analysis.class_words import class_words
from seqlrp.analysis.interventions import Effect, gap_like, paired_interval
from seqlrp.analysis.shortcuts import find_shortcuts, verdict
from seqlrp.errors import OptionError


def found(weight: float = 6.0, **options: Any) -> Any:
    classifier = planted_classifier(weight)
    explanations = seqlrp.explain(classifier, planted_corpus(), progress=False)
    words = class_words(explanations)
    return find_shortcuts(explanations, classifier, words, progress=False, **options)


def row(table: Any, name: str) -> Any:
    return table[table["candidate"] == name].iloc[0]


def test_a_planted_word_is_decisive_and_one_that_stands_beside_it_is_not() -> None:
    table = found(candidates=[PLANTED, PRESENT])
    planted, present = row(table, PLANTED), row(table, PRESENT)
    assert planted["verdict"] == "decisive"
    assert planted["class"] == present["class"] == "positive"
    assert planted["inserted"] == 1.0
    assert planted["p"] < 0.05
    assert planted["exclusive"] == present["exclusive"] == 1.0
    assert planted["documents"] == 30
    assert present["verdict"] == "unused"


def test_a_planted_word_without_weight_is_unused() -> None:
    assert row(found(0.0, candidates=[PLANTED]), PLANTED)["verdict"] == "unused"


def test_it_is_found_among_the_words_of_its_class() -> None:
    table = found()
    assert any(PLANTED in name for name in table["candidate"][table["verdict"] == "decisive"])


def test_the_same_seed_gives_the_same_row_whatever_else_is_tried() -> None:
    alone = row(found(candidates=[PLANTED], most=20, seed=3), PLANTED)
    beside = row(found(candidates=[PRESENT, "good + film", PLANTED], most=20, seed=3), PLANTED)
    columns = ["removed", "inserted", "control", "removed_change", "inserted_change"]
    assert alone[columns].tolist() == beside[columns].tolist()


def test_a_word_in_no_text_is_put_in_and_nothing_is_taken_out() -> None:
    table = found(candidates=["not"], most=20)
    own = table[table["candidate"] == "not"]
    assert set(own["class"]) == {"negative", "positive"}
    assert (own["removed_texts"] == 0).all()
    assert (own["inserted_texts"] == 20).all()
    assert (own["verdict"] == "unused").all()


@pytest.mark.parametrize("given_", [[""], [3], ["  "]])
def test_what_is_no_word_is_refused(given_: list[object]) -> None:
    with pytest.raises(OptionError, match="candidates"):
        found(candidates=given_)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_a_paired_interval_holds_the_difference(more: int, less: int, same: int) -> None:
    n = more + less + same
    low, high = paired_interval(more, less, n)
    assert -1 <= low < high <= 1
    assert low <= (more - less) / (n + 2) <= high
    assert paired_interval(less, more, n) == pytest.approx((-high, -low))


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_a_phrase_at_an_end_stays_there(donor: int, length: int, data: st.DataObject) -> None:
    assert gap_like(0, 1, donor, length) == 0
    if donor > 1:
        assert gap_like(donor - 1, donor, donor, length) == length
    start = data.draw(st.integers(0, donor - 1))
    assert 0 <= gap_like(start, start + 1, donor, length) <= length


def test_a_verdict_asks_for_predictions_and_not_only_for_probability() -> None:
    moved = Effect(100, 0.5, 0.5, 0.0, -0.1, 0.1, 0.3, 1e-9)
    little = Effect(100, 0.1, 0.0, 0.1, 0.04, 0.16, 0.1, 1e-9)
    much = Effect(100, 0.9, 0.1, 0.8, 0.7, 0.9, 0.8, 1e-9)
    assert verdict(moved, moved, 1e-8, 0.9) == "unused"
    assert verdict(moved, little, 1e-8, 0.9) == "used"
    assert verdict(much, moved, 1e-8, 0.9) == "decisive"
    assert verdict(much, much, 0.2, 0.9) == "unused"


def test_what_stands_in_other_classes_too_is_not_decisive() -> None:
    much = Effect(100, 0.9, 0.1, 0.8, 0.7, 0.9, 0.8, 1e-9)
    assert verdict(much, much, 1e-8, 0.74) == "used"
    assert verdict(much, much, 1e-8, float("nan")) == "decisive"  # in no text that was analysed


def test_in_a_corpus_of_one_class_no_word_is_exclusive() -> None:
    much = Effect(100, 0.9, 0.1, 0.8, 0.7, 0.9, 0.8, 1e-9)
    assert verdict(much, much, 1e-8, 0.93, 1.0) == "used"
    assert verdict(much, much, 1e-8, 0.85, 0.9) == "used"
    assert verdict(much, much, 1e-8, 0.95, 0.9) == "decisive"


def test_a_part_comes_after_what_shares_no_word_with_the_whole() -> None:
    table = found(candidates=[PLANTED, f"{PLANTED} + {PRESENT}", "good"])
    of_class = table[table["class"] == "positive"]
    for verdict_ in set(of_class["verdict"]):
        seen: set[str] = set()
        again = []
        for name in of_class["candidate"][of_class["verdict"] == verdict_]:
            words = set(name.split()) - {"+"}
            again.append(bool(words & seen))
            seen |= words
        assert again == sorted(again)
    decisive = of_class["candidate"][of_class["verdict"] == "decisive"].tolist()
    assert sum(PLANTED in name for name in decisive) > 1
