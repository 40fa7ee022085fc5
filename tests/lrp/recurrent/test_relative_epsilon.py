"""An ε relative to the mean |z| of a row: fused layers do what the same steps by hand do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from seqlrp import LRP
from seqlrp.lrp.options import DEFAULT_EPSILON
from seqlrp.rules import Epsilon


class Recurrent(nn.Module):
    def __init__(self, kind: str, layers: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 5)
        self.layer = getattr(nn, kind)(5, 6, layers, batch_first=True, bidirectional=layers > 1)
        self.head = nn.Linear(6 * (2 if layers > 1 else 1), 3)

    def forward(self, ids: Tensor) -> Tensor:
        scores: Tensor = self.head(self.layer(self.embedding(ids))[0].mean(1))
        return scores


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_fused_is_step_by_step(kind: str, layers: int) -> None:
    torch.manual_seed(0)
    model, ids = Recurrent(kind, layers).double().eval(), torch.randint(1, 30, (3, 7))
    # The same rule named for all maps is applied step by step, by other code.
    by_rule = LRP(model, epsilon=0.0, rules=Epsilon(0.05, relative=True))
    expected = by_rule.attribute(ids, target=1)
    for impl in ("auto", "reference"):
        found, ledger = LRP(model, "5%", impl=impl).attribute(ids, target=1, return_ledger=True)
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-14)
        assert float(ledger.residual.abs().max()) < 1e-12
    assert not torch.allclose(found, LRP(model, epsilon=0.0).attribute(ids, target=1))


def test_the_relative_part_does_not_depend_on_the_scale_of_a_layer() -> None:
    torch.manual_seed(0)
    weight = torch.randn(4, 5, dtype=torch.float64)

    class Scaled(nn.Module):
        def __init__(self, scale: float) -> None:
            super().__init__()
            self.embedding = nn.Embedding(9, 5, dtype=torch.float64)
            self.scale = scale
            with torch.no_grad():
                self.embedding.weight.copy_(torch.arange(45.0).reshape(9, 5).sin())

        def forward(self, ids: Tensor) -> Tensor:
            return nn.functional.linear(self.embedding(ids).mean(1), self.scale * weight)

    ids = torch.tensor([[1, 2, 3]])
    one, large = (LRP(Scaled(scale).eval(), "50%").attribute(ids, target=1) for scale in (1.0, 1e3))
    torch.testing.assert_close(1e3 * one, large, rtol=1e-12, atol=0)


@pytest.mark.parametrize("epsilon", ["5%", "0.5%", "12.5%", 0.1, 0.0])
def test_the_option_is_recorded_as_it_was_given(epsilon: float | str) -> None:
    model, ids = Recurrent("LSTM", 1).eval(), torch.tensor([[1, 2, 3]])
    lrp = LRP(model, epsilon)
    assert lrp.parameters["epsilon"] == epsilon
    again = LRP(model, **lrp.parameters)
    assert torch.equal(again.attribute(ids, target=1), lrp.attribute(ids, target=1))


def test_the_default_is_relative_and_a_number_is_absolute() -> None:
    model, ids = Recurrent("GRU", 1).eval(), torch.tensor([[1, 2, 3]])
    assert LRP(model).parameters["epsilon"] == DEFAULT_EPSILON == "5%"
    absolute = LRP(model, 0.05).attribute(ids, target=1)
    assert not torch.allclose(absolute, LRP(model).attribute(ids, target=1))
    assert torch.equal(LRP(model, "0%").attribute(ids), LRP(model, 0).attribute(ids))


def test_what_a_sum_passes_on_is_not_stabilised() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding.from_pretrained(torch.tensor([[0.0], [3.0], [-2.9]]))

        def forward(self, ids: Tensor) -> Tensor:
            return self.embedding(ids).sum(1)

    relevance = LRP(Sum().eval(), "50%").attribute(torch.tensor([[1, 2]]), target=0)
    torch.testing.assert_close(relevance, torch.tensor([[3.0, -2.9]]))
