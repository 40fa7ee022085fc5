"""A registry of text classifiers as people write them, each with what it is fed with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

V, D, H, C = 24, 6, 5, 3
Fed = Literal["words", "pairs", "sentences", "bag"]
M = TypeVar("M", bound=Callable[[], nn.Module])


@dataclass(frozen=True)
class Architecture:
    """A model, and what a caller has to know of it.

    Attributes:
        make: returns the module with PyTorch's own initial weights.
        fed: ids `[B, T]`, pairs `[B, 2, T]`, sentences `[B, S, W]`, or ids `[N]` with offsets.
        lengths: `forward(ids, lengths)`.
        reads_padding: padding takes part in the scores, so that a warning is due.
        reads_zeros: padding is read, but as zeros that change nothing: in a sum of embeddings, or
            under a convolution that itself pads with zeros. Nobody can know that; it is warned of.
        output: which part of the output holds the scores.
    """

    make: Callable[[], nn.Module]
    fed: Fed = "words"
    lengths: bool = False
    reads_padding: bool = False
    reads_zeros: bool = False
    output: int | str | None = None

    @property
    def name(self) -> str:
        return str(getattr(self.make, "__name__", self.make))

    @property
    def warned(self) -> bool:
        return self.reads_padding or self.reads_zeros


ARCHITECTURES: list[Architecture] = []


def architecture(**options: Any) -> Callable[[M], M]:
    """Enter a module class, or a function that builds a module, in the registry."""

    def enter(make: M) -> M:
        ARCHITECTURES.append(Architecture(make, **options))
        return make

    return enter


def built(make: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    """A model of float64 in evaluation mode, whose weights are no longer special in any way.

    Biases that start at 0 and scales that start at 1 would hide what is done with them.
    """
    torch.manual_seed(seed)
    model = make().double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for module in model.modules():
            if (
                isinstance(module, nn.Embedding | nn.EmbeddingBag)
                and module.padding_idx is not None
            ):
                module.weight[module.padding_idx] = 0
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
    return model.eval()


def _words() -> Tensor:
    ids = torch.randint(1, V, (4, 7), generator=torch.Generator().manual_seed(1))
    return ids.masked_fill(torch.arange(7) >= torch.tensor([[4], [7], [1], [6]]), 0)


def _rows(lengths: list[list[int]]) -> Tensor:
    ids = torch.randint(1, V, (3, len(lengths[0]), 5), generator=torch.Generator().manual_seed(2))
    return ids.masked_fill(torch.arange(5) >= torch.tensor(lengths).unsqueeze(-1), 0)


WORDS = _words()
PAIRS = _rows([[3, 5], [1, 2], [4, 4]])
SENTENCES = _rows([[3, 5, 1], [2, 0, 0], [4, 4, 0]])  # with sentences that are padding
BAG, OFFSETS = WORDS[WORDS != 0], torch.tensor([0, 4, 11, 12])


def arguments(entry: Architecture, ids: Tensor) -> Any:
    """What a model takes after its ids."""
    if entry.fed == "bag":
        return OFFSETS
    return (ids != 0).sum(-1) if entry.lengths else None


def inputs(entry: Architecture) -> Tensor:
    """A batch of documents of different lengths."""
    return {"words": WORDS, "pairs": PAIRS, "sentences": SENTENCES, "bag": BAG}[entry.fed]
