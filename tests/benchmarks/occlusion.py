"""Occlusion, written as plainly as can be: for the networks whose right explanation is known."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Occlusion:
    """Leaves each token out in turn: relevance is by how much the score falls."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def attribute(self, inputs: Tensor, target: int) -> Tensor:
        """Ids `[B, T]`, or vectors `[B, T, D]`, to `[B, T]`."""
        B, T = inputs.shape[:2]
        others = torch.stack([torch.arange(T)[torch.arange(T) != t] for t in range(T)])
        with torch.no_grad():
            whole = self.model(inputs)[:, target, None]
            left = self.model(inputs[:, others].flatten(0, 1))[:, target].reshape(B, T)
        change: Tensor = whole - left
        return change
