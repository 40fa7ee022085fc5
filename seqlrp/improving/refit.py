"""Fits the scores of a pruned model to those of the full one, by its last layer.

Much of what pruning costs is a score that is shifted and shrunken. One scale and an offset for each
class, by least squares over the reference texts, mend that; no label is needed.
"""

from __future__ import annotations

import copy

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError
from seqlrp.improving.shrink import Run
from seqlrp.models.resizing import replace_weights

Floats = npt.NDArray[np.float64]


def fit_scores(pruned: Floats, full: Floats) -> tuple[float, Floats]:
    """Give the scale s and the offsets b `[C]` with the least Σ (s p_nc + b_c - f_nc)².

    Args:
        pruned: p, the scores `[N, C]` of the pruned model.
        full: f, those of the full one.

    Where all scores of the pruned model are equal, or fall where the others rise, s is 1.
    """
    means = pruned.mean(0), full.mean(0)
    centred, wanted = pruned - means[0], full - means[1]
    square = float((centred**2).sum())
    scale = float((centred * wanted).sum()) / square if square > 0 else 1.0
    if not scale > 0:
        scale = 1.0
    return scale, means[1] - scale * means[0]


def head_of(model: nn.Module, run: Run) -> str:
    """Find the linear layer whose output is the scores; give its name.

    Raises:
        ModelError: there is none, so that nothing can be folded into it.
    """
    seen: dict[str, list[Tensor]] = {}
    own = copy.deepcopy(model).double()
    for name, module in own.named_modules():
        if isinstance(module, nn.Linear):

            def note(_: nn.Module, args: object, output: Tensor, name: str = name) -> None:
                seen.setdefault(name, []).append(output)

            module.register_forward_hook(note)
    with torch.no_grad():
        scores = run(own)
    for name, outputs in seen.items():
        alike = len(outputs) == 1 and outputs[0].numel() == scores.numel()
        if alike and torch.equal(outputs[0].reshape(scores.shape), scores):
            return name
    raise ModelError(
        "The scores are not the output of a linear layer, so that no scale and offsets can be "
        "folded into one; pass refit=False.",
        option="refit",
    )


def fold(model: nn.Module, head: str, scale: float, offsets: Floats) -> None:
    """Multiply the output of a linear layer by `scale` and add `offsets` to it, in place."""
    layer = model.get_submodule(head)
    assert isinstance(layer, nn.Linear)
    weight = layer.weight.detach()
    bias = 0.0 if layer.bias is None else scale * layer.bias.detach()
    added = torch.as_tensor(offsets, dtype=weight.dtype, device=weight.device)
    replace_weights(model, {f"{head}.weight": scale * weight, f"{head}.bias": bias + added})
