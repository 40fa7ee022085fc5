"""Backward passes of several targets at once, under `torch.vmap`."""

from __future__ import annotations

from typing import Any

import torch


class OfTargets(torch.autograd.Function):
    """A function of γ of several targets: what `torch.vmap` asks of it, beside its own `vmap`."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        """Not used: γ of one target takes another way."""
        raise AssertionError("only reached through torch.vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        """Keep nothing: there is no second derivative."""
