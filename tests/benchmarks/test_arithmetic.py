"""What relevance says of networks that add or subtract, next to what is known to be right."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

import seqlrp
from benchmarks import arithmetic
from benchmarks.arithmetic import CELLS, TASKS, TOLERANCE, Calculator, agreements, drawn
from benchmarks.occlusion import Occlusion
from seqlrp.methods.gradients.gradient import GradientXInput

KINDS = list(itertools.product(TASKS, CELLS))


def lrp(epsilon: float, gate_rule: Any = "all") -> Callable[[nn.Module], Any]:
    return lambda model: seqlrp.LRP(model, epsilon=epsilon, gate_rule=gate_rule)


def mean(
    method: Callable[[nn.Module], Any], models: Sequence[Calculator], task: str, lengths: Any
) -> tuple[float, float, float]:
    """Agreement, mean over networks; correlations positive where they are right."""
    found = agreements(method, models, drawn(task, 150, seed=3, lengths=lengths)).mean(0)
    sign = 1 if task == "addition" else -1
    return float(found[0]), sign * float(found[1]), float(found[2])


@cache
def least_of_lrp(task: str, cell: str, count: int, lengths: tuple[int, ...]) -> float:
    """The lower correlation of LRP without a stabiliser, of so many networks."""
    return min(mean(lrp(0.0), arithmetic.stored(task, cell, count), task, lengths)[:2])


def test_sequences_hold_what_they_say() -> None:
    for task, sign in (("addition", 1), ("subtraction", -1)):
        for sums in drawn(task, 200, seed=4):
            marked, others = sums.numbers.unbind(-1)
            assert torch.equal((marked != 0).sum(1), torch.full((200,), 2))
            assert ((marked != 0) ^ (others != 0)).all()
            assert (sums.at[:, 0] < sums.at[:, 1]).all()
            assert torch.equal(marked.gather(1, sums.at), sums.operands)
            assert torch.allclose(sums.operands @ torch.tensor([1.0, sign]).double(), sums.result)
            assert bool((marked < 0).any()) == (task == "addition")


@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_stored_networks_solve_their_task(task: str, cell: str) -> None:
    models = arithmetic.stored(task, cell)
    sums = drawn(task, 100, seed=5)
    assert len(models) == 50
    assert max(arithmetic.squared_error(model, sums) for model in models) < 1.2 * TOLERANCE


@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_relevance_is_what_the_operands_contribute(task: str, cell: str) -> None:
    models, lengths = arithmetic.stored(task, cell, 5), (4, 7, 10)
    a, b, error = mean(lrp(0.0), models, task, lengths)
    assert a > (0.999 if task == "addition" else 0.98)
    assert b > (0.999 if task == "addition" else 0.98)
    assert error < 0.04
    if cell == "lstm":  # as published; for the GRU the two are too close to tell
        assert min(a, b) > min(mean(GradientXInput, models, task, lengths)[:2])


@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_a_large_stabiliser_hides_small_cell_states(task: str, cell: str) -> None:
    models, lengths = arithmetic.stored(task, cell, 5), (4, 10)
    exact, small, published, large = (
        min(mean(lrp(epsilon), models, task, lengths)[:2]) for epsilon in (0.0, 1e-6, 1e-3, 1e-2)
    )
    assert abs(exact - small) < 0.01
    assert published < exact - (0.01 if task == "addition" else 0.15)
    assert large < published


def test_single_precision_needs_no_stabiliser() -> None:
    models = arithmetic.stored("subtraction", "lstm", 3)
    sums = drawn("subtraction", 100, seed=6, lengths=(10,))[0]
    for model in models:
        double = seqlrp.LRP(model, epsilon=0.0).attribute(sums.numbers, target=0)
        single = seqlrp.LRP(model.float(), epsilon=0.0).attribute(sums.numbers.float(), target=0)
        assert single.dtype == torch.float32
        assert torch.allclose(single.double(), double, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("gate_rule", ["prop", "abs", "half"])
@pytest.mark.parametrize("cell", CELLS)
def test_other_gate_rules_are_far_below(cell: str, gate_rule: str) -> None:
    for task in TASKS:
        models = arithmetic.stored(task, cell, 2)
        a, b, _ = mean(lrp(0.0, gate_rule), models, task, (6,))
        limit = 0.9 if gate_rule == "half" and task == "addition" else 0.75
        assert min(a, b) < limit
        assert min(a, b) < least_of_lrp(task, cell, 2, (6,)) - 0.1


@pytest.mark.parametrize("cell", CELLS)
def test_occlusion_is_no_ground_truth(cell: str) -> None:
    # A network that subtracts flips what it holds at each operand: without b it says k − n_a, so
    # that R_b = 2 n_a − n_b − k, which correlates with −n_b by 1/√5.
    added = mean(Occlusion, arithmetic.stored("addition", cell, 5), "addition", (4, 7, 10))
    assert min(added[:2]) > 0.999
    models = arithmetic.stored("subtraction", cell, 5)
    assert mean(Occlusion, models, "subtraction", (4, 7, 10))[1] < 0.7


def test_weights_are_written_and_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def always(task: str, cell: str) -> Iterator[Calculator | None]:
        yield None
        for seed in itertools.count():
            torch.manual_seed(seed)
            yield Calculator(cell)

    monkeypatch.setattr(arithmetic, "training", always)
    monkeypatch.setattr(arithmetic, "STORED", tmp_path / "weights.json")
    with torch.random.fork_rng(devices=[]):
        arithmetic.store(2, tmp_path / "weights.json")
        torch.manual_seed(1)
        expected = parameters_to_vector(Calculator("gru").parameters())
    first, second = arithmetic.stored("subtraction", "gru")
    assert torch.allclose(parameters_to_vector(second.parameters()), expected, rtol=1e-8)
    assert not torch.allclose(parameters_to_vector(first.parameters()), expected)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_networks_trained_anew_agree(task: str, cell: str) -> None:
    solved = (model for model in arithmetic.training(task, cell) if model is not None)
    models = list(itertools.islice(solved, 3))
    a, b, _ = mean(lrp(0.0), models, task, (4, 7, 10))
    assert min(a, b) > 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("task", "cell"), KINDS)
def test_all_stored_networks_agree_as_published(task: str, cell: str) -> None:
    # Published for the LSTM: 99.995 % and 99.995 % for sums, 98.5 % and −99.3 % for differences.
    found = agreements(lrp(0.0), arithmetic.stored(task, cell), drawn(task, 72, seed=7)).abs()
    median = found.median(0).values
    assert (median[:2] > (0.9995 if task == "addition" else 0.985)).all()
