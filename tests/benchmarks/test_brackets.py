"""What explanations show of networks that count brackets with their gates."""

from __future__ import annotations

import pytest
import torch

import seqlrp
from benchmarks.brackets import (
    CELLS,
    GATE_RULES,
    TOKENS,
    Agreement,
    agreement,
    by_hand,
    drawn,
    methods,
    squared_error,
    trained,
)
from benchmarks.occlusion import Occlusion

cells = pytest.mark.parametrize("cell", CELLS)


@cells
def test_networks_by_hand_count(cell: str) -> None:
    data = drawn(100, seed=3, lengths=(4, 12))
    assert float(squared_error(by_hand(cell), data).detach()) < 1e-3
    ids = torch.tensor([[TOKENS.index(token) for token in "((x)(x"]])
    assert by_hand(cell)(ids).item() == pytest.approx(2, abs=0.02)


@cells
def test_signal_take_all_leaves_everything_to_the_biases(cell: str) -> None:
    model = by_hand(cell)
    for data in drawn(50, seed=4, lengths=(4, 9)):
        relevance, ledger = seqlrp.LRP(model, epsilon=0.0).attribute(
            data.ids, target=0, return_ledger=True
        )
        assert relevance.abs().max() < 1e-12
        assert torch.allclose(ledger.total("bias"), model(data.ids)[:, 0].detach(), atol=1e-9)


@cells
def test_occlusion_is_right_where_relevance_is_not(cell: str) -> None:
    model, data = by_hand(cell), drawn(20, seed=5, lengths=(4, 8, 12))
    found = {name: agreement(method(model), data) for name, method in methods().items()}
    occlusion, gradient = found["occlusion"], found["gradient x input"]
    assert occlusion.share == pytest.approx(1, abs=0.02)
    assert min(occlusion.correlation, occlusion.within) > 0.999
    # The order is right, the size is not: the gates are shut or open, their slope is small.
    assert gradient.correlation > 0.999
    assert not 0.1 < gradient.share < 10
    assert found["LRP-all"] == Agreement(0.0, 0.0, 0.0)
    for rule in GATE_RULES[1:]:
        assert found[f"LRP-{rule}"].correlation < 0.7


@cells
def test_equal_shares_fade_with_every_product_on_the_way(cell: str) -> None:
    model = by_hand(cell)
    opened = torch.full((1, 8), TOKENS.index("("))
    half = seqlrp.LRP(model, epsilon=0.0, gate_rule="half").attribute(opened, target=0)[0]
    assert (half > 0).all()
    assert (half[:-1] < half[1:]).all()
    assert half[0] < half[-1] / 50
    assert torch.allclose(
        Occlusion(model).attribute(opened, target=0), torch.ones_like(half), atol=0.02
    )


def test_occlusion_is_the_change_when_one_token_is_left_out() -> None:
    model = by_hand("gru")
    ids = torch.tensor([[0, 2, 1, 0, 0]])
    with torch.no_grad():
        change = model(ids) - model(torch.tensor([[0, 2, 0, 0]]))
    assert torch.equal(Occlusion(model).attribute(ids, target=0)[0, 2], change[0, 0])


@pytest.mark.slow
@cells
def test_networks_trained_to_count_with_gates_only(cell: str) -> None:
    model, data = trained(cell, gates_only=True), drawn(20, seed=6)
    candidate = model.recurrent.get_parameter("weight_ih_l0")[model.candidate]
    assert not candidate.any()
    found = {name: agreement(method(model), data) for name, method in methods().items()}
    assert found["LRP-all"].share < 1e-9
    assert found["occlusion"].correlation > 0.99
    assert found["gradient x input"].correlation > 0.8
    for rule in GATE_RULES[1:]:
        assert found[f"LRP-{rule}"].correlation < 0.75


@pytest.mark.slow
@cells
def test_how_much_relevance_tells_of_a_free_network_is_chance(cell: str) -> None:
    model, data = trained(cell, gates_only=False), drawn(20, seed=7)
    found = {name: agreement(method(model), data) for name, method in methods().items()}
    # From 0.34 to 1.00, by what the random start led to: candidate or gates.
    assert 0.1 < found["LRP-all"].correlation < found["occlusion"].correlation
    assert found["occlusion"].correlation > 0.99
