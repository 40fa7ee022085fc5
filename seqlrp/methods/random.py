"""Chance, as a control: every word gets a number that has nothing to do with the model."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.lrp import Attribution, door
from seqlrp.lrp.inputs import InputMode


class Random:
    """Uniform numbers from -1 to 1, the same for a document in any batch and at any time.

    Args:
        model: as for the other methods; it gives the scores, and nothing else.
        seed: another seed gives other numbers.
    """

    name = "random"

    def __init__(self, model: nn.Module, seed: int = 0, *, output: int | str | None = None) -> None:
        self.model = door.checked_model(model)
        self.seed = seed
        self.output = output

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
        mode = InputMode()
        with torch.inference_mode(False), torch.enable_grad():
            output = door.selected(
                mode.run(self.model, inputs, additional_forward_args), self.output
            )
            padding = door.padding_given(padding, mode.ids_shape)
            documents = inputs.shape[0] if inputs.ndim > 1 else None
            scores = door.checked_scores(output, documents, gate=False).detach()
        wanted, against = door.resolved_contrast(target, scores)
        classes = scores.shape[1] if wanted is None else 1
        padding = mode.padding if padding is None else padding
        words = ~padding if padding is not None else torch.ones(mode.ids_shape, dtype=torch.bool)
        numbers = torch.zeros(classes, *mode.ids_shape)
        for row, kept in enumerate(words.cpu()):
            content = inputs[row].detach().cpu()[kept].numpy().tobytes()
            drawn = np.random.default_rng([self.seed, zlib.crc32(content)])
            count = int(kept.sum())
            numbers[:, row, kept] = torch.from_numpy(
                drawn.uniform(-1, 1, (count, classes)).T.astype(np.float32).copy()
            )
        numbers = numbers.to(scores.device)
        shown = numbers[0] if wanted is not None else numbers.transpose(0, 1)
        return Attribution(shown, scores, wanted, None, against)
