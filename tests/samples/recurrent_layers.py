"""Random recurrent layers, and the check of a kernel's result against the reference."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.engine.recurrent_calls import Steps, Weights
from seqlrp.lrp.recurrent import reference as recurrent
from seqlrp.lrp.recurrent.reference import Direction, Gammas
from seqlrp.lrp.stabilise import Stabiliser

D = 5
# One sequence, a padded batch, packed ones of few and of many sequences.
SIZES = [(1,) * 9, (4,) * 6, (7, 3, 3, 1), (20, 20, 17, 2)]


class Case(NamedTuple):
    kind: str
    hidden: int  # also one that is no multiple of a vector's width
    sizes: tuple[int, ...]
    reverse: bool
    bias: bool
    epsilon: float
    relative: float = 0.0

    @property
    def stabiliser(self) -> Stabiliser:
        return Stabiliser(self.epsilon, self.relative)

    def __str__(self) -> str:
        way, bias = "back" if self.reverse else "on", "bias" if self.bias else "unbiased"
        shape = f"{self.hidden}x{self.sizes[0]}x{len(self.sizes)}"
        return f"{self.kind}-{shape}-{way}-{bias}-{self.epsilon}-{self.relative}"


class Layer(NamedTuple):
    weights: Weights
    x: Tensor
    states: tuple[Tensor, ...]
    gamma_h: Tensor
    gamma_states: tuple[Tensor, ...]

    def to(self, there: torch.dtype | str) -> Layer:
        def moved(tensors: Any) -> Any:
            return (None if t is None else t.to(there) for t in tensors)

        return Layer(
            Weights(*moved(self.weights)),
            self.x.to(there),
            tuple(moved(self.states)),
            self.gamma_h.to(there),
            tuple(moved(self.gamma_states)),
        )


CASES = [
    Case(*values)
    for values in itertools.product(
        ["lstm", "gru"], [3, 20], SIZES, [False, True], [False, True], [0.0, 1e-3, 1.0]
    )
] + [
    Case(kind, hidden, sizes, reverse, reverse, epsilon, 0.05)
    for kind, hidden, sizes, (reverse, epsilon) in itertools.product(
        ["lstm", "gru"], [3, 20], SIZES, [(False, 0.0), (True, 1e-3)]
    )
]


def build(case: Case) -> Layer:
    torch.manual_seed(CASES.index(case) if case in CASES else 0)
    gates = 4 if case.kind == "lstm" else 3
    n, batch, hidden = sum(case.sizes), case.sizes[0], case.hidden
    shapes: list[tuple[int, ...]] = [(gates * hidden, D), (gates * hidden, hidden)]
    shapes += [(gates * hidden,)] * 2 if case.bias else []
    weights = Weights(*(nn.init.normal_(torch.empty(shape), std=0.4) for shape in shapes))
    count = 2 if case.kind == "lstm" else 1
    states = [torch.randn(batch, hidden) for _ in range(2 * count)]
    return Layer(
        weights,
        torch.randn(n, D),
        tuple(states[:count]),
        torch.randn(n, hidden),
        tuple(states[count:]),
    )


def run_reference(case: Case, layer: Layer) -> Gammas:
    run: Any = getattr(recurrent, case.kind)
    result: Gammas = run(direction(case, layer))
    return result


def direction(case: Case, layer: Layer) -> Direction:
    return Direction(
        layer.x, layer.states, layer.weights, Steps(case.sizes), case.reverse,
        layer.gamma_h, layer.gamma_states, case.stabiliser,
    )  # fmt: skip


def outputs(case: Case, layer: Layer) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The library's own outputs `[N, H]` and final states `[B, H]`."""
    weights = [w for w in layer.weights if w is not None]
    flat = [torch.zeros_like(w) for w in weights] + weights if case.reverse else weights
    state: Any = tuple(s.expand(1 + case.reverse, -1, -1).contiguous() for s in layer.states)
    state = state if case.kind == "lstm" else state[0]
    options = (flat, case.bias, 1, 0.0, False, case.reverse)
    out, *final = getattr(torch, case.kind)(layer.x, torch.tensor(case.sizes), state, *options)
    return out[:, -case.hidden :], tuple(s[-1] for s in final)


def fields(gammas: Gammas) -> dict[str, Tensor]:
    return {k: v for k, v in gammas._asdict().items() if v is not None}


def check_as_good(found: Gammas, case: Case, layer: Layer) -> None:
    """In float32, not much further from the truth than the reference in float32 is."""
    truth = fields(run_reference(case, layer.to(torch.float64)))
    single = fields(run_reference(case, layer))
    assert fields(found).keys() == truth.keys()
    for name, exact in truth.items():
        scale = exact.abs().max().clamp(min=1e-3)
        # ε multiplies rounding errors of states that are nearly 0: by chance more or less so.
        allowed = 20 * (single[name] - exact).abs().max() + 2e-6 * scale
        if case.epsilon:
            allowed = allowed + 1e-6 / min(case.epsilon, 1) * scale
        assert (fields(found)[name] - exact).abs().max() <= allowed, name
