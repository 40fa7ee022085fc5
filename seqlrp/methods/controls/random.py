"""Random numbers, as a control: every word gets a number that is independent of the model."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target
from seqlrp.engine.explainer import Explainer


def document_checksums(inputs: Tensor, padding: Tensor) -> list[int]:
    """Return a checksum of the words of each document, as a seed for its random numbers."""
    inputs, words = inputs.detach().cpu(), ~padding.cpu()
    return [checksum(row[kept]) for row, kept in zip(inputs, words, strict=True)]


def checksum(words: Tensor) -> int:
    """Return a checksum of the words `[n]` or `[n, D]`."""
    return zlib.crc32(words.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())


class Random(Explainer):
    """Uniform random numbers from -1 to 1, the same for a document in every batch and call.

    Args:
        model: an `nn.Module` in evaluation mode, which computes only the scores.
        seed: the seed of the numbers.
        output: which part of the model's output holds the scores, if it returns several.
    """

    name = "random"

    def __init__(self, model: nn.Module, seed: int = 0, *, output: int | str | None = None) -> None:
        super().__init__(model, output=output)
        self.seed = seed

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the seed."""
        return {"seed": self.seed}

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Draw random numbers `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores."""
        run = self.forward(inputs, target, additional_forward_args, padding)
        classes = run.scores.shape[1] if run.target is None else 1
        numbers = torch.zeros(classes, *run.padding.shape)
        for row, kept in enumerate(~run.padding.cpu()):
            drawn = document_generator(self.seed, inputs[row].detach().cpu()[kept])
            count = int(kept.sum())
            numbers[:, row, kept] = torch.from_numpy(
                drawn.uniform(-1, 1, (count, classes)).T.astype(np.float32).copy()
            )
        return run.attribution(numbers.to(run.scores.device))


def document_generator(seed: int, words: Tensor) -> np.random.Generator:
    """Return a generator seeded by `seed` and the words `[n]` or `[n, D]` of a document."""
    return np.random.default_rng([seed, checksum(words)])
