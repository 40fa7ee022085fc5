"""The gradient, averaged over texts with a little noise on their vectors: SmoothGrad."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens
from seqlrp.errors import OptionError
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.documents import NOBODY
from seqlrp.methods.copies import BATCH_TOKENS, CopiesExplainer
from seqlrp.methods.explainer import Forward, GradientMode
from seqlrp.methods.gradient import gradients
from seqlrp.methods.random import contents


class Noisy(GradientMode):
    """Runs copies of documents with normal noise on the vectors of their words.

    A word that is read twice from one embedding table has the same noise both times.

    Args:
        seeds: what the noise of each of N copies is drawn by.
        deviations: its standard deviation, `[N]`.
        padding: bool, shaped as the ids of the copies, True where there is no noise.

    Attributes:
        words: the vectors without noise at each reading, `[..., D]`.
    """

    def __init__(self, seeds: list[list[int]], deviations: Tensor, padding: Tensor) -> None:
        super().__init__()
        self.seeds, self.deviations, self.quiet = seeds, deviations, padding
        self.words: list[Tensor] = []
        self._noise: dict[int, Tensor] = {}  # of each embedding table, [N · T, D]

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """As `InputMode.read`, with noise."""
        vectors = vectors.detach()
        self.words.append(vectors)
        number = 0 if self.table is None else self.table.number
        if number not in self._noise:
            self._noise[number] = self._drawn(number, vectors)
        noise = self._noise[number][origin.clamp(min=0)]
        return super().read(
            vectors + noise.masked_fill((origin == NOBODY).unsqueeze(-1), 0), origin
        )

    def _drawn(self, number: int, like: Tensor) -> Tensor:
        words = ~self.quiet.cpu()
        noise = torch.zeros(*words.shape, like.shape[-1], dtype=torch.float64)
        for row, seed in enumerate(self.seeds):
            drawn = np.random.default_rng([*seed, number])
            count = int(words[row].sum())
            numbers = torch.from_numpy(drawn.standard_normal((count, like.shape[-1])))
            noise[row, words[row]] = numbers * float(self.deviations[row])
        return noise.flatten(0, -2).to(like)


class SmoothGrad(CopiesExplainer):
    """SmoothGrad: the mean gradient over noisy copies of the text (Smilkov et al. 2017, eq. 2).

    R_t = Σ_d x_d · mean ∂score/∂x_d, signed, where the mean is over copies with x + normal noise;
    without noise it is gradient × input. Noise is the same for a document in any batch and at any
    time.

    Args:
        model: as for `seqlrp.LRP`; its answer must not depend on how a batch is padded.
        samples: how many noisy copies of a document run.
        noise: the standard deviation of the noise, as a fraction of the range (largest minus
            smallest number) of the vectors of the document.
        seed: another seed gives other noise.
        times_input: False gives ‖mean ∂score/∂x‖² instead, which is never negative.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: no samples, or a negative noise or seed.
        ModelError: the model cannot be run as it is.
    """

    name = "smoothgrad"

    def __init__(
        self,
        model: nn.Module,
        samples: int = 25,
        noise: float = 0.1,
        seed: int = 0,
        *,
        times_input: bool = True,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        for what, number, least in (("samples", samples, 1), ("seed", seed, 0)):
            if isinstance(number, bool) or not isinstance(number, int) or number < least:
                raise OptionError(
                    f"Got {what} {number!r}; expected a whole number from {least} on."
                )
        if not (isinstance(noise, (int, float)) and math.isfinite(noise) and noise >= 0):
            raise OptionError(
                f"Got noise {noise!r}; expected a number from 0 on, a fraction of the range of "
                f"the vectors, e.g. 0.1."
            )
        super().__init__(model, batch_tokens=batch_tokens, output=output)
        self.samples, self.noise, self.seed = samples, float(noise), seed
        self.times_input = times_input

    @property
    def parameters(self) -> dict[str, Any]:
        """Samples, noise, seed, and what is made of the mean gradient."""
        return {
            "samples": self.samples,
            "noise": self.noise,
            "seed": self.seed,
            "times_input": self.times_input,
        }

    def rescaled(self, factors: Tensor) -> Tensor:
        """A squared gradient takes the square of what its score is multiplied by."""
        return factors if self.times_input else factors.square()

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Of `additional_forward_args`, tensors with a row for each document go along with it.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        count = len(run.padding)
        deviations = (self.noise * ranges(run)).cpu()
        seeds = contents(inputs, run.padding)

        def work(copies: Tensor) -> Tensor:
            rows = copies % count
            drawn = [
                [self.seed, seeds[row], sample]
                for row, sample in zip(rows.tolist(), (copies // count).tolist(), strict=True)
            ]
            mode = Noisy(drawn, deviations[rows.cpu()], run.padding[rows])
            scores = self.answers(mode, inputs, additional_forward_args, rows, graph=True)
            words = []
            for found in gradients(mode, list(run.chosen(scores, rows))):
                if self.times_input:
                    found = [
                        None if g is None else x * g for x, g in zip(mode.words, found, strict=True)
                    ]
                gathered = mode.gathered(found)
                words.append(gathered.sum(-1, keepdim=True) if self.times_input else gathered)
            return torch.stack(words).double()

        total: Tensor | None = None  # [C or 1, *ids, 1 or D]
        for copies, found in self.in_batches(run.padding, count * self.samples, work):
            if total is None:
                total = found.new_zeros(len(found), count, *found.shape[2:])
            total.index_add_(1, copies % count, found)
        assert total is not None
        mean = total / self.samples
        relevance = mean.squeeze(-1) if self.times_input else mean.square().sum(-1)
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        return run.attribution(self.check_found(relevance).to(wide).masked_fill(run.padding, 0))


def ranges(run: Forward) -> Tensor:
    """The largest minus the smallest number in the vectors of the words of each document, `[B]`."""
    padding = run.padding.reshape(-1)
    each = run.padding[0].numel()
    first = run.mode.readings[0].vectors
    high = torch.full((len(run.padding),), -torch.inf, dtype=first.dtype, device=first.device)
    low = -high
    for vectors, origin in run.mode.readings:
        places = origin.reshape(-1)
        known = (places != NOBODY) & ~padding[places.clamp(min=0)]
        values = vectors.detach().reshape(len(places), -1)[known]
        document = places[known] // each
        high.scatter_reduce_(0, document, values.amax(1), "amax")
        low.scatter_reduce_(0, document, values.amin(1), "amin")
    return high - low
