"""Chance, as a control: every word gets a number that has nothing to do with the model."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.lrp import Attribution, door
from seqlrp.methods.explainer import Explainer


def contents(inputs: Tensor, padding: Tensor) -> list[int]:
    """A number for each document that depends on its words alone, to draw its own numbers by."""
    inputs, words = inputs.detach().cpu(), ~padding.cpu()
    return [content_of(row[kept]) for row, kept in zip(inputs, words, strict=True)]


def content_of(words: Tensor) -> int:
    """A number that depends on the words `[n]` or `[n, D]` alone."""
    return zlib.crc32(words.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())


class Random(Explainer):
    """Uniform numbers from -1 to 1, the same for a document in any batch and at any time.

    Args:
        model: as for the other methods; it gives the scores, and nothing else.
        seed: another seed gives other numbers.
        output: which part of the model's output holds the scores, if it returns several.
    """

    name = "random"

    def __init__(self, model: nn.Module, seed: int = 0, *, output: int | str | None = None) -> None:
        super().__init__(model, output=output)
        self.seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed}

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Random numbers `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores."""
        run = self.forward(inputs, target, additional_forward_args, padding)
        classes = run.scores.shape[1] if run.wanted is None else 1
        numbers = torch.zeros(classes, *run.padding.shape)
        for row, kept in enumerate(~run.padding.cpu()):
            drawn = generator_of(self.seed, inputs[row].detach().cpu()[kept])
            count = int(kept.sum())
            numbers[:, row, kept] = torch.from_numpy(
                drawn.uniform(-1, 1, (count, classes)).T.astype(np.float32).copy()
            )
        return run.attribution(numbers.to(run.scores.device))


def generator_of(seed: int, words: Tensor) -> np.random.Generator:
    """Random numbers that depend on a seed and the words `[n]` or `[n, D]` of a document alone."""
    return np.random.default_rng([seed, content_of(words)])
