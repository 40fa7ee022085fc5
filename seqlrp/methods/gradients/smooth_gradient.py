"""The gradient, averaged over texts with a little noise on their vectors: SmoothGrad."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens
from seqlrp.engine.checks import Target
from seqlrp.engine.documents import NOBODY
from seqlrp.engine.explainer import Forward
from seqlrp.engine.gradient_mode import GradientMode
from seqlrp.engine.inputs import Reading
from seqlrp.errors import check_number
from seqlrp.methods.controls.random import document_checksums
from seqlrp.methods.copies import BATCH_TOKENS, CopiesExplainer
from seqlrp.methods.gradients.gradient import compute_gradients, gather_products


class NoisyMode(GradientMode):
    """Runs copies of documents with normal noise on the vectors of their words.

    A word that is read twice from one embedding table has the same noise both times.

    Args:
        seeds: the seed of the noise of each of N copies.
        deviations: the standard deviation of the noise of each copy, `[N]`.
        padding: bool, shaped as the ids of the copies, True where there is no noise.

    Attributes:
        words: the vectors without noise at each reading, `[..., D]`.
    """

    def __init__(self, seeds: list[list[int]], deviations: Tensor, padding: Tensor) -> None:
        super().__init__()
        self.seeds, self.deviations, self.quiet = seeds, deviations, padding
        self.words: list[Tensor] = []
        self._noise: dict[int, Tensor] = {}  # the noise for each embedding table, [N · T, D]

    def read(self, reading: Reading) -> Tensor:
        """Add noise to the vectors that an embedding reads."""
        vectors, origin = reading.vectors.detach(), reading.origin
        self.words.append(vectors)
        number = 0 if reading.table is None else reading.table.number
        if number not in self._noise:
            self._noise[number] = self._draw(number, vectors)
        noise = self._noise[number][origin.clamp(min=0)]
        noise = noise.masked_fill((origin == NOBODY).unsqueeze(-1), 0)
        return super().read(reading._replace(vectors=vectors + noise))

    def _draw(self, number: int, like: Tensor) -> Tensor:
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
        model: an `nn.Module`, see `seqlrp.LRP`; its answer must not depend on how a batch is
            padded.
        samples: the number of noisy copies of a document.
        noise: the standard deviation of the noise, as a fraction of the range (largest minus
            smallest number) of the vectors of the document.
        seed: another seed gives other noise.
        times_input: False gives ‖mean ∂score/∂x‖² instead, which is never negative.
        batch_tokens: the most tokens in a batch of copies; halved when memory runs out. `"auto"`
            finds it.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

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
        verify: bool = True,
    ) -> None:
        check_number("samples", samples, least=1, whole=True)
        check_number("seed", seed, least=0, whole=True)
        check_number("noise", noise, least=0)
        super().__init__(model, batch_tokens=batch_tokens, output=output, verify=verify)
        self.samples, self.noise, self.seed = int(samples), float(noise), int(seed)
        self.times_input = times_input

    @property
    def parameters(self) -> dict[str, Any]:
        """Return samples, noise, seed, and whether the mean gradient is multiplied by the input."""
        return {
            "samples": self.samples,
            "noise": self.noise,
            "seed": self.seed,
            "times_input": self.times_input,
        }

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return the factors of the relevance: their squares for the squared norm of a gradient."""
        return factors if self.times_input else factors.square()

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Tensors in `additional_forward_args` with a row for each document are copied with it.
        """
        run = self.forward(inputs, target, additional_forward_args, padding)
        count = len(run.padding)
        deviations = (self.noise * ranges(run)).cpu()
        seeds = document_checksums(inputs, run.padding)

        def work(copies: Tensor) -> Tensor:
            rows = copies % count
            drawn = [
                [self.seed, seeds[row], sample]
                for row, sample in zip(rows.tolist(), (copies // count).tolist(), strict=True)
            ]
            mode = NoisyMode(drawn, deviations[rows.cpu()], run.padding[rows])
            scores = self.score_copies(mode, inputs, additional_forward_args, rows, graph=True)
            words = []
            for found in compute_gradients(mode, list(run.select(scores, rows))):
                if self.times_input:
                    words.append(gather_products(mode, mode.words, found).unsqueeze(-1))
                else:
                    words.append(mode.gather(found))
            return torch.stack(words).double()

        total: Tensor | None = None  # [C or 1, *ids, 1 or D]
        for copies, found in self.iter_batches(run.padding, count * self.samples, work):
            if total is None:
                total = found.new_zeros(len(found), count, *found.shape[2:])
            total.index_add_(1, copies % count, found)
        assert total is not None
        mean = total / self.samples
        relevance = mean.squeeze(-1) if self.times_input else mean.square().sum(-1)
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        return run.attribution(self.check_finite(relevance).to(wide).masked_fill(run.padding, 0))


def ranges(run: Forward) -> Tensor:
    """Return the range, largest minus smallest number, of each document's word vectors, `[B]`."""
    padding = run.padding.reshape(-1)
    each = run.padding[0].numel()
    first = run.mode.readings[0].vectors
    high = torch.full((len(run.padding),), -torch.inf, dtype=first.dtype, device=first.device)
    low = -high
    for vectors, origin, _ in run.mode.readings:
        places = origin.reshape(-1)
        known = (places != NOBODY) & ~padding[places.clamp(min=0)]
        values = vectors.detach().reshape(len(places), -1)[known]
        document = places[known] // each
        high.scatter_reduce_(0, document, values.amax(1), "amax")
        low.scatter_reduce_(0, document, values.amin(1), "amin")
    return high - low
