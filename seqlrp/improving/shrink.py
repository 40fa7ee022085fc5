"""Removes units from a model: a smaller model with the scores of one in which they are 0.

What reads a unit is found in any model by automatic differentiation: where a unit is 0 at every
step, the weights that read it get a gradient of exactly 0, and they get another one where it is
not. This is asked of a copy with random weights, in which nothing else is 0 by accident. The
smaller model then runs beside the one with silent units, and is taken only if the scores agree.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError
from seqlrp.improving.unit_sets import Slice, UnitSet, own_slices, silence
from seqlrp.models.resizing import replace_weights

Run = Callable[[nn.Module], Tensor]  # the scores of some texts by a model of float64

_PROBES = 12  # random weights that are tried, so that no unit is always dead behind a ReLU
_TOLERANCE = 1e-10  # of scores in float64, relative to the largest
# What a model raises whose layers no longer fit together.
_FAILURES = (
    RuntimeError, ValueError, IndexError, TypeError, AssertionError, AttributeError, ModelError
)  # fmt: skip


class Shrunk(NamedTuple):
    """A smaller model, and for each module that kept its size the reason why."""

    model: nn.Module
    masked: dict[str, str]


def shrink(model: nn.Module, removed: Mapping[UnitSet, Tensor], run: Run) -> Shrunk:
    """Remove units from a copy of a model.

    Where what reads a layer cannot be made smaller, its units stay, and are 0 at every step.

    Args:
        model: the model, which is not changed.
        removed: the units that go, int64 in rising order, of each set; of one module, which has
            one size, as many of each set of a kind.
        run: scores some texts, on which the two are compared; gradients must pass.
    """
    current = copy.deepcopy(model)
    masked: dict[str, str] = {}
    for name in dict.fromkeys(units.module for units in removed):
        own = {u: gone for u, gone in removed.items() if u.module == name and len(gone)}
        if not own:
            continue
        silent = silence_units(current, own)
        try:
            current = _smaller(current, silent, own, run)
        except _FAILURES as error:
            masked[name] = " ".join(str(error).split())[:200]
            current = silent
    return Shrunk(current, masked)


def silence_units(model: nn.Module, removed: Mapping[UnitSet, Tensor]) -> nn.Module:
    """Give a copy of a model in which units are 0 at every step."""
    silent = copy.deepcopy(model)
    for units, gone in removed.items():
        silence(silent, units, gone)
    return silent


def _smaller(
    model: nn.Module, silent: nn.Module, removed: Mapping[UnitSet, Tensor], run: Run
) -> nn.Module:
    """Remove units of one module; first as it is, then with the sizes that own modules state."""
    weights = _smaller_weights(model, removed, run)
    with torch.no_grad():
        expected = run(copy.deepcopy(silent).double())
    failure: Exception | None = None
    for state_sizes in (False, True):
        smaller = copy.deepcopy(model)
        replace_weights(smaller, weights)
        if state_sizes and not _replace_sizes(smaller, removed):
            break
        try:
            with torch.no_grad():
                found = run(copy.deepcopy(smaller).double())
            _check_scores(found, expected)
        except _FAILURES as error:
            failure = failure or error
        else:
            return smaller
    assert failure is not None
    raise failure


def _check_scores(found: Tensor, expected: Tensor) -> None:
    if found.shape != expected.shape:
        raise ModelError(f"the scores would be {list(found.shape)}, not {list(expected.shape)}")
    error = float((found - expected).abs().max())
    if not error <= _TOLERANCE * max(1.0, float(expected.abs().max())):
        raise ModelError(f"without these units the scores would differ by {error:.2g}")


def _replace_sizes(model: nn.Module, removed: Mapping[UnitSet, Tensor]) -> bool:
    """Set numbers of a model's own modules that are the size of a layer to its new size."""
    units, gone = next(iter(removed.items()))  # all sets of a kind have one size
    changed = False
    for module in model.modules():
        if type(module).__module__.startswith("torch."):
            continue
        for name, value in vars(module).items():
            if type(value) is int and value == units.size and not name.startswith("_"):
                setattr(module, name, value - len(gone))
                changed = True
    return changed


def _smaller_weights(
    model: nn.Module, removed: Mapping[UnitSet, Tensor], run: Run
) -> dict[str, Tensor]:
    """Give all weights that lose rows or columns with the units, by name."""
    slices = [s for units, gone in removed.items() for s in own_slices(model, units, gone)]
    weights = {name: p.detach() for name, p in model.named_parameters()}
    smaller: dict[str, Tensor] = {}
    gone_by_dim: dict[tuple[str, int], list[Tensor]] = {}
    for weight, dim, places in slices:
        gone_by_dim.setdefault((weight, dim), []).append(places)
    for (weight, dim), parts in gone_by_dim.items():
        value = smaller.get(weight, weights[weight])
        smaller[weight] = _without(value, dim, torch.cat(parts))
    for name, (gone, still) in _readers(model, removed, slices, run).items():
        smaller[name] = _compress(name, weights[name], gone, still)
    return smaller


def _without(value: Tensor, dim: int, places: Tensor) -> Tensor:
    kept = torch.ones(value.shape[dim], dtype=torch.bool, device=value.device)
    kept[places] = False
    return value.index_select(dim, kept.nonzero().squeeze(1))


def _compress(name: str, weight: Tensor, gone: Tensor, still: Tensor) -> Tensor:
    """Leave slices of a weight out, or as many elements of each row.

    Args:
        name: its name in the model.
        weight: the weight.
        gone: bool, where it mattered to the removed units alone.
        still: bool, where it matters without them.
    """
    covered = torch.zeros_like(gone)
    result = weight
    for dim in range(weight.ndim):
        others = [d for d in range(weight.ndim) if d != dim]
        whole = gone.any(dim=others) & ~still.any(dim=others) if others else gone
        if whole.all():
            raise ModelError(f"the weight {name!r} would be empty")
        if whole.any():
            covered |= whole.reshape([-1 if d == dim else 1 for d in range(weight.ndim)])
            result = _without(result, dim, whole.nonzero().squeeze(1))
    if not (gone & ~covered).any():
        return result
    for dim in range(weight.ndim):
        counts = gone.sum(dim)
        if (counts == counts.flatten()[0]).all():
            kept = weight.movedim(dim, -1)[~gone.movedim(dim, -1)]
            shape = [*weight.movedim(dim, -1).shape[:-1], -1]
            return kept.reshape(shape).movedim(-1, dim).contiguous()
    raise ModelError(f"the weight {name!r} has no rows or columns that read these units alone")


def _readers(
    model: nn.Module, removed: Mapping[UnitSet, Tensor], slices: list[Slice], run: Run
) -> dict[str, tuple[Tensor, Tensor]]:
    """Find the elements of other weights that matter to the removed units alone.

    Returns:
        for each such weight, bool of its shape: these elements, and those that matter without the
        units.
    """
    own = {s.weight for s in slices}
    plain: dict[str, Tensor] = {}
    silent: dict[str, Tensor] = {}
    cut: dict[str, Tensor] = {}
    for seed in range(_PROBES):
        _join(plain, _reached(_random_copy(model, seed), run, own))
        _join(silent, _reached(silence_units(_random_copy(model, seed), removed), run, own))
    reading = {name: mask & ~silent[name] for name, mask in plain.items()}
    # First states and the like are read by the units, and matter no more where nothing reads them.
    for seed in range(_PROBES):
        probe = _random_copy(model, seed)
        weights = dict(probe.named_parameters())
        with torch.no_grad():
            for weight, dim, places in slices:
                if dim == 1:
                    weights[weight].index_fill_(1, places, 0)
            for name, mask in reading.items():
                weights[name].masked_fill_(mask, 0)
        _join(cut, _reached(probe, run, own))
    still = {name: silent[name] & cut[name] for name in plain}
    found = {name: (mask & ~still[name], still[name]) for name, mask in plain.items()}
    return {name: masks for name, masks in found.items() if masks[0].any()}


def _join(known: dict[str, Tensor], more: dict[str, Tensor]) -> None:
    for name, mask in more.items():
        known[name] = known[name] | mask if name in known else mask


def _random_copy(model: nn.Module, seed: int) -> nn.Module:
    """Copy a model to float64, with random weights that all get a gradient."""
    probe = copy.deepcopy(model).double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in probe.parameters():
            width = parameter.shape[-1] if parameter.ndim else 1
            values = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.copy_(values / max(width, 1) ** 0.5)
            parameter.requires_grad_()
    return probe


def _reached(model: nn.Module, run: Run, left_out: set[str]) -> dict[str, Tensor]:
    """Find the elements of each weight that have a gradient, bool; NaN counts as one."""
    named = [(n, p) for n, p in model.named_parameters() if n not in left_out]
    if not named:
        return {}
    # cuDNN gives no gradients of a recurrent layer in evaluation mode.
    with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        scores = run(model)
        draw = torch.Generator().manual_seed(0)
        factors = torch.randn(scores.shape, generator=draw, dtype=torch.float64)
        total = (scores * factors.to(scores)).sum()
        gradients = torch.autograd.grad(total, [p for _, p in named], allow_unused=True)
    return {
        name: torch.zeros_like(p, dtype=torch.bool) if g is None else g.to_dense() != 0
        for (name, p), g in zip(named, gradients, strict=True)
    }
