"""Max pooling: γ moves to the elements that PyTorch's gradient moves to, for one target or many."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seqlrp import LRP
from seqlrp.engine.functions import Call
from seqlrp.lrp.laws import reductions
from seqlrp.lrp.laws.extremes import extremes


def gammas(values: Any, x: Tensor, seeds: Tensor, together: bool) -> Tensor:
    def backward(seed: Tensor) -> Tensor:
        return torch.autograd.grad(values, x, seed, retain_graph=True)[0]

    return torch.vmap(backward)(seeds) if together else torch.stack([backward(s) for s in seeds])


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize(
    ("shape", "dim"), [((7,), 0), ((4, 5), 0), ((4, 5), -1), ((3, 6, 5), 1), ((3, 6, 5, 2), 2)]
)
def test_gamma_moves_as_the_gradient_does(
    shape: tuple[int, ...], dim: int, name: str, keep: bool, together: bool
) -> None:
    torch.manual_seed(len(shape))
    x = torch.randint(0, 4, shape).float().requires_grad_()  # with equal elements
    call = Call(getattr(torch, name), name, (x, dim), {"keepdim": keep})
    found, expected = extremes(x, call), call.function(x, dim, keepdim=keep)
    assert type(found) is type(expected)
    assert found.values.equal(expected.values)
    assert found.indices.equal(expected.indices)
    seeds = torch.randn(3, *expected.values.shape)
    own = gammas(found.values, x, seeds, together)
    assert own.equal(gammas(expected.values, x, seeds, together=False))


def test_gamma_of_several_targets_lies_as_a_recurrent_layer_reads_it() -> None:
    x = torch.randn(2, 4, 3, requires_grad=True)  # [B, T, H]
    values = extremes(x, Call(torch.max, "max", (x, 1), {})).values
    found = gammas(values, x, torch.randn(5, 2, 3), together=True)  # [targets, B, T, H]
    assert found.permute(2, 1, 0, 3).is_contiguous()


class Pooled(nn.Module):
    """An embedding, a GRU in two directions, max pooling and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 4)
        self.layer = nn.GRU(4, 5, batch_first=True, bidirectional=True)
        self.head = nn.Linear(10, 3)

    def forward(self, ids: Tensor) -> Tensor:
        """Score ids `[B, T]` as `[B, C]`."""
        scores: Tensor = self.head(self.layer(self.embedding(ids))[0].max(1).values)
        return scores


@pytest.mark.parametrize("target", [1, "all"])
def test_many_elements_are_explained_as_few(target: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    lrp, ids = LRP(Pooled().eval()), torch.randint(0, 20, (3, 7))
    few, account = lrp.attribute(ids, target=target, return_ledger=True)
    monkeypatch.setattr(reductions, "MANY", 1)
    many, same = lrp.attribute(ids, target=target, return_ledger=True)
    assert many.equal(few)
    for kind, total in same.totals.items():
        torch.testing.assert_close(total, account.totals[kind], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["max", "amax", "min", "amin"])
def test_of_a_word_that_stands_twice_the_first_takes_all(name: str) -> None:
    class Extreme(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.head = nn.Embedding(20, 4), nn.Linear(4, 3)

        def forward(self, ids: Tensor) -> Tensor:
            found = getattr(torch, name)(self.embedding(ids), 1)
            scores: Tensor = self.head(found if name.startswith("am") else found.values)
            return scores

    relevance = LRP(Extreme().eval()).attribute(torch.tensor([[5, 5, 9, 5], [9, 5, 9, 5]]), 1)
    assert bool((relevance[0, [0, 2]] != 0).all())
    torch.testing.assert_close(relevance[0, [0, 2, 1, 3]], relevance[1, [1, 0, 2, 3]])
    assert not bool(relevance[0, [1, 3]].any())
