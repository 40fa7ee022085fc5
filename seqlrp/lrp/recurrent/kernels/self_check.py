"""Compares a kernel with the readable reference on a small random layer.

A kernel for a GPU depends on a driver, a compiler and a device that no test has seen. So before
its first use in a process it must agree with `reference.py` on the device where it will run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp.recurrent import reference
from seqlrp.lrp.recurrent.reference import Direction, Gammas
from seqlrp.lrp.stabilise import Stabiliser

TOLERANCE = 1e-3  # of the largest value of a result; float32 reaches about 1e-6
FEATURES, HIDDEN = 5, 20
STEPS = Steps((3, 3, 2, 2, 1))  # three sequences of unequal length
STABILISERS = Stabiliser(1e-3), Stabiliser(0.0, 0.05)


def disagreement(kind: str, kernel: Callable[..., Gammas], device: torch.device) -> str | None:
    """Return how a kernel's result differs from the reference, or None if they agree.

    Args:
        kind: "lstm" or "gru".
        kernel: takes the arguments of the function `kind` of `reference.py`, and `h` `[N, H]` and
            `account`, as those of `gpu.py` and `vectorised.py` do.
        device: where the kernel computes, in float32. The reference computes in float64 on the CPU.
    """
    states = 2 if kind == "lstm" else 1
    x, first, weights, gamma_h, gamma_states = _random_layer(kind, states)
    h = _outputs(kind, x, first, weights)
    there = device, torch.float32

    def on_device(tensors: Sequence[Any]) -> list[Any]:
        return [t.to(*there) for t in tensors]

    for stabiliser in STABILISERS:
        run = Direction(x, first, weights, STEPS, False, gamma_h, gamma_states, stabiliser)
        truth = getattr(reference, kind)(run)
        moved = run._replace(
            x=x.to(*there),
            states=on_device(first),
            weights=Weights(*on_device(weights[:4])),
            gamma_h=gamma_h.to(*there),
            gamma_states=on_device(gamma_states),
        )
        found = kernel(moved, h=h.to(*there), account=True)
        for name, expected in truth._asdict().items():
            if expected is not None:
                value = getattr(found, name).to("cpu", torch.float64)
                error = float((value - expected).abs().max() / expected.abs().max())
                if not error <= TOLERANCE:  # also where it is not a number
                    return f"{name} differs from the reference by {error:.1g} of its largest value"
    return None


def _random_layer(
    kind: str, states: int
) -> tuple[Tensor, list[Tensor], Weights, Tensor, list[Tensor]]:
    """Return x, first states, weights, and γ of outputs and last states, in float64."""
    generator = torch.Generator().manual_seed(0)  # not torch's own, which is the user's

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    rows, batch, gates = sum(STEPS.sizes), STEPS.sizes[0], 4 if kind == "lstm" else 3
    shapes = (gates * HIDDEN, FEATURES), (gates * HIDDEN, HIDDEN), (gates * HIDDEN,)
    weights = Weights(*(0.4 * random(*shape) for shape in (*shapes, shapes[-1])))
    first, last = ([random(batch, HIDDEN) for _ in range(states)] for _ in range(2))
    return random(rows, FEATURES), first, weights, random(rows, HIDDEN), last


def _outputs(kind: str, x: Tensor, first: Sequence[Tensor], weights: Weights) -> Tensor:
    """Return the outputs `[N, H]` that the library computes."""
    state = [s.unsqueeze(0) for s in first]
    options = list(weights[:4]), True, 1, 0.0, False, False
    sizes = torch.tensor(STEPS.sizes)
    run: Any = getattr(torch, kind)
    found: Tensor = run(x, sizes, state if kind == "lstm" else state[0], *options)[0]
    return found
