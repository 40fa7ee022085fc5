"""One comparison for all tests against `rule_oracle`: relevance, each ledger kind, closing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from oracles.rules import Array, Ledger
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.ledger import Ledger as Account

TOLERANCE = 1e-10
KINDS = ("bias", "stabiliser", "initial state", "constant", "gate", "zero input", "refused")


class Function(nn.Module):
    """A model that is one function of its input and of the modules that it is given."""

    def __init__(self, function: Callable[..., Tensor], **modules: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, module in modules.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def double(model: nn.Module) -> nn.Module:
    return model.double().eval().requires_grad_(False)


def array(tensor: Tensor) -> Array:
    return tensor.detach().double().numpy()


def check(
    model: nn.Module,
    x: Tensor,
    oracle: Callable[[Array, int, Ledger], tuple[float, Array]],
    target: int = 0,
    *,
    constant_is_bias: bool = False,
    **options: Any,
) -> Account:
    """seqlrp's relevance of every unit and document, and its ledger, are those of `oracle`.

    `constant_is_bias`: a bias that the model writes as a map of a constant is booked as the latter.
    """
    lrp = seqlrp.LRP(model, **options)
    R, ledger = lrp.attribute(x, target=target, return_ledger=True, reduce=False)
    assert R.shape == x.shape
    for d in range(len(x)):
        booked = Ledger()
        score, expected = oracle(array(x[d]), target, booked)
        scale = max(abs(score), np.abs(expected).max(), *(abs(v) for v in booked.values()))
        scale = TOLERANCE * scale + 1e-300
        accounted = expected.sum() + sum(booked.values())
        np.testing.assert_allclose(accounted, score, rtol=0, atol=scale, err_msg="the oracle")
        np.testing.assert_allclose(array(R[d]), expected, rtol=0, atol=scale)
        got = {kind: float(ledger.total(kind)[d]) for kind in KINDS}
        if constant_is_bias:
            got["bias"] += got.pop("constant")
        for kind in got:
            assert abs(got[kind] - booked[kind]) <= scale, (kind, got, dict(booked))
        assert abs(float(ledger.residual[d])) <= scale
        assert float(ledger.total("padding")[d]) == 0.0
    return ledger


def seeded(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """All parameters from a normal distribution, biases too, so that nothing is small."""
    model = double(model)
    for n, p in enumerate(model.parameters()):
        p.copy_(seeded(1000 * seed + n, *p.shape))
    return model
