"""Attributions of the models of the registry, and what must hold for each of them."""

from __future__ import annotations

import warnings
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor, nn

import seqlrp
from samples.architectures.registry import Architecture, arguments, built, inputs
from seqlrp.errors import PaddingWarning
from seqlrp.lrp import Attribution

EPSILON = 0.01


@cache
def shared(entry: Architecture) -> nn.Module:
    """The model of an architecture, for all tests that leave it as it is."""
    return built(entry.make)


@lru_cache(maxsize=256)
def _explainer(model: nn.Module, output: Any, **options: Any) -> seqlrp.LRP:
    """One object for all calls about a model: a second run on other words is made once."""
    return seqlrp.LRP(model, EPSILON, output=output, **options)


def attribute(
    entry: Architecture,
    model: nn.Module,
    ids: Tensor,
    target: Any = "all",
    *,
    verify: bool = False,
    **options: Any,
) -> Attribution:
    """An attribution, which warns of padding if it is there and the model reads it.

    The first law of `tests/lrp/test_architectures.py` verifies each model; the others need not.
    """
    lrp = _explainer(model, entry.output, verify=verify, **options)
    with warnings.catch_warnings():
        if entry.warned and bool((ids == 0).any()):
            warnings.simplefilter("ignore", PaddingWarning)
        return lrp.attribution(ids, target, arguments(entry, ids))


@cache
def whole(entry: Architecture, target: Any = "all") -> Attribution:
    """The attribution of the whole batch, for all tests that compare with it."""
    return attribute(entry, shared(entry), inputs(entry), target)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-11) -> None:
    """Equal to a part of the largest value."""
    scale = max(1.0, b.abs().max().item())
    torch.testing.assert_close(a, b, rtol=0, atol=tolerance * scale)


def check_ledger(found: Attribution, tolerance: float) -> None:
    ledger = found.ledger
    assert ledger is not None
    moved = torch.stack([entry.amount.abs() for entry in ledger.entries]).sum(0)
    assert (ledger.residual.abs() <= tolerance * torch.maximum(moved, ledger.score.abs())).all()
