"""Metrics and statistics against formulas of the papers, written by somebody who saw no code."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import permutations
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from oracles import metrics as oracle
from samples.examples import examples

from seqlrp.evaluation.metrics.agreement import auroc, average_precision, token_f1, token_iou
from seqlrp.evaluation.metrics.erasure import PERCENTAGES, Comprehensiveness, Sufficiency
from seqlrp.evaluation.metrics.perturbation import Perturbation
from seqlrp.evaluation.statistics import compare, mean_interval, sign_flip_p

# Few values, so that many are equal.
few = st.sampled_from([-1.5, -0.5, 0.0, 0.25, 2.0])
numbers = st.floats(-9, 9).map(lambda x: round(x, 2))


class Game:
    """Documents whose score without some words is any function of these, with a relevance."""

    def __init__(self, relevances: list[list[float]], seed: int) -> None:
        self.seed = seed
        self.documents = [range(len(r)) for r in relevances]
        self.explanations = [SimpleNamespace(relevance=np.array(r)) for r in relevances]
        self.predicted = np.ones(len(relevances), np.int64)
        self.remover = SimpleNamespace(max_removed=lambda words: words)
        self.scores = self.scores_without(range(len(relevances)), [()] * len(relevances))

    def p(self, n: int, gone: Any) -> float:
        """The score of document n without the words at these positions."""
        content = [self.seed, n, *sorted(int(k) for k in gone)]
        return float(np.random.default_rng(content).random())

    def scores_without(self, which: Any, removed: Any) -> np.ndarray:
        found = [self.p(n, gone) for n, gone in zip(which, removed, strict=True)]
        return np.array([[-1.0, p] for p in found])

    @staticmethod
    def value(scores: np.ndarray, classes: np.ndarray, score: str) -> np.ndarray:
        return scores[np.arange(len(scores)), classes]


games = st.builds(
    Game, st.lists(st.lists(few, min_size=1, max_size=12), min_size=1, max_size=3), st.integers(0)
)


def by_relevance(game: Game, n: int, sign: int) -> list[int]:
    values = game.explanations[n].relevance
    return sorted(game.documents[n], key=lambda t: (-sign * values[t], t))


@examples(60)
@given(games, st.integers(1, 6))
def test_aopc(game: Game, most: int) -> None:
    """1/(K + 1), as in the paper, over the k for which a document has words."""
    measured = {m.metric: m.values for m in Perturbation(range(most + 1)).measure(game)}
    for n, document in enumerate(game.documents):
        areas = []
        for name, sign in (("morf", 1), ("lerf", -1)):
            order = by_relevance(game, n, sign)
            curve = [game.p(n, order[:k]) for k in range(min(most, len(document)) + 1)]
            areas.append(oracle.aopc(curve, "K+1"))
            assert measured[f"aopc_{name}"][n] == pytest.approx(areas[-1], abs=1e-14)
        assert measured["abpc"][n] == pytest.approx(areas[0] - areas[1], abs=1e-14)


@examples(60)
@given(games)
def test_comprehensiveness_and_sufficiency(game: Game) -> None:
    """Each bin is eq. 1 or 2, and their mean that of the published code; no bin is empty."""
    (needed,), (enough,) = (
        [m.values for m in metric.measure(game)] for metric in (Comprehensiveness(), Sufficiency())
    )
    for n, document in enumerate(game.documents):
        order, whole = by_relevance(game, n, 1), game.p(n, [])
        sizes = [math.ceil(Fraction(q) * len(document) / 100) for q in PERCENTAGES]
        without = [game.p(n, order[:k]) for k in sizes]
        assert needed[n].mean() == pytest.approx(
            oracle.comprehensiveness(whole, without), abs=1e-14
        )
        assert needed[n, 0] == pytest.approx(oracle.comprehensiveness(whole, without[0]), abs=1e-14)
        # Where a rationale is the whole text there is nothing to ask, and the bin is missing.
        asked = [k < len(document) for k in sizes]
        assert (~np.isnan(enough[n])).tolist() == asked
        alone = [game.p(n, order[k:]) for k, some in zip(sizes, asked, strict=True) if some]
        if alone:
            expected = oracle.sufficiency(whole, alone)
            assert np.nanmean(enough[n]) == pytest.approx(expected, abs=1e-14)


def marked(longest: int) -> st.SearchStrategy[tuple[list[float], list[bool]]]:
    words = st.lists(st.tuples(few, st.booleans()), min_size=1, max_size=longest)
    return words.map(lambda w: ([r for r, _ in w], [m for _, m in w]))


@given(marked(12))
def test_ranking_of_marked_words(document: tuple[list[float], list[bool]]) -> None:
    relevance, inside = document
    expected = oracle.auroc(relevance, inside)
    assert auroc(relevance, inside) == pytest.approx(expected, abs=1e-14, nan_ok=True)
    # Where every word is marked there is nothing to find; the oracle says 1.
    expected = math.nan if all(inside) else oracle.average_precision(relevance, inside)
    found = average_precision(relevance, inside)
    assert found == pytest.approx(expected, abs=1e-14, nan_ok=True)


@examples(40)
@given(marked(6))
def test_as_many_words_as_are_marked(document: tuple[list[float], list[bool]]) -> None:
    """Ours is the mean over ways to choose among equal words, the oracle takes the earlier one."""
    relevance, inside = document
    assume(not all(inside))  # then missing, as above
    orders = list(permutations(range(len(inside))))
    chosen = [
        oracle.token_f1_iou([relevance[t] for t in o], [inside[t] for t in o]) for o in orders
    ]
    f1, iou = np.mean(chosen, 0)
    assert token_f1(relevance, inside) == pytest.approx(f1, abs=1e-12, nan_ok=True)
    assert token_iou(relevance, inside) == pytest.approx(iou, abs=1e-12, nan_ok=True)
    if len(set(relevance)) == len(relevance) and any(inside):
        found = token_f1(relevance, inside), token_iou(relevance, inside)
        assert found == pytest.approx(oracle.token_f1_iou(relevance, inside), abs=1e-14)


pairs = st.lists(st.tuples(few | numbers, few | numbers), min_size=1, max_size=12).map(
    lambda rows: tuple(np.array(column) for column in zip(*rows, strict=True))
)


@examples(60)
@given(pairs, st.integers(0, 99))
def test_bootstrap_intervals(both: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    """The same draws, of documents in an order of their own, and of one side or its mirror."""
    a, b = both
    mean, low, high = mean_interval(a[:, None], seed, resamples=60, level=0.9)
    expected = oracle.paired_bootstrap(np.sort(a), 0 * a, seed, 60, level=0.9)
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-12)
    assert mean[0] == pytest.approx(math.fsum(a) / len(a), abs=1e-12)
    found = compare(a, b, seed, resamples=60)
    ours = oracle.paired_bootstrap(*zip(*sorted(zip(a, b, strict=True)), strict=True), seed, 60)
    theirs = oracle.paired_bootstrap(*zip(*sorted(zip(b, a, strict=True)), strict=True), seed, 60)
    mirrored = -theirs[1], -theirs[0]
    assert (found.low, found.high) in (
        pytest.approx(ours, abs=1e-12),
        pytest.approx(mirrored, abs=1e-12),
    )


@examples(100)
@given(pairs)
def test_effects_and_p_values(both: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = both
    found, differences = compare(a, b, resamples=10), a - b
    assert found.p == pytest.approx(oracle.sign_flip_p(a, b), abs=1e-12)
    assert sign_flip_p(differences) == found.p
    if np.ptp(differences) > 1e-9:
        assert found.d_z == pytest.approx(oracle.cohen_dz(a, b), rel=1e-6)
    else:
        assert math.isnan(found.d_z)
    expected = oracle.rank_biserial_paired(a, b)
    # Where nothing differs neither side has a rank: 0 here, undefined there.
    expected = 0.0 if math.isnan(expected) else expected
    assert found.rank_biserial == pytest.approx(expected, abs=1e-12)


def test_differences_that_are_one_but_for_rounding_have_no_effect_size() -> None:
    """0.1 + 0.1 + 0.1 is not 3 · 0.1, and a spread of 1e-17 is none."""
    assert math.isnan(compare(np.full(3, 0.1), np.zeros(3), resamples=10).d_z)
    base = np.array([0.7, 1.3, 2.9, 5.1])
    assert math.isnan(compare(base + 0.1, base, resamples=10).d_z)
