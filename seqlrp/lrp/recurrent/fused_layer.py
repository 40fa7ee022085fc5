"""One layer of a fused recurrence in the graph of γ, in the row layout of `reference.py`.

What it takes and returns is padded where the model's is: whoever copies γ once can then order it
for all targets, too.

The forward pass is the library's own kernel or, if available, a compiled loop that stores factors;
the backward pass is one of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import LayerKind, Steps, Weights
from seqlrp.lrp.recurrent import reference as recurrent
from seqlrp.lrp.recurrent.kernels import compiled, gpu, vectorised
from seqlrp.lrp.recurrent.kernels.choice import Kernel, choose_kernel
from seqlrp.lrp.recurrent.reference import Gammas
from seqlrp.lrp.stabilise import Stabiliser
from seqlrp.lrp.targets import OfTargets

Layout = Literal["rows", "time first", "batch first"]  # [N, ·], [T, B, ·] or [B, T, ·]
_AS_IT_IS = nullcontext()
_ACTIVATIONS = {"rnn_tanh": torch.tanh, "rnn_relu": torch.relu}


def to_rows(values: Tensor, layout: Layout) -> Tensor:
    """Return the rows `[N, …]` of what has this layout."""
    if layout == "rows":
        return values
    return (values.transpose(0, 1) if layout == "batch first" else values).flatten(0, 1)


@dataclass
class Layer:
    """The weights and options with which one layer runs forward and backward."""

    kind: LayerKind
    weights: list[Weights]  # one or two directions
    steps: Steps
    batch_sizes: Tensor | None  # int64 on the CPU, for packed rows
    cell: bool
    stabiliser: Stabiliser
    impl: str
    books: list[Callable[[str, int, Tensor], None]]  # empty without a ledger
    takes: Layout = "rows"  # the layout of the inputs
    layout: Layout = "rows"  # of the outputs

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return outputs `[N, dirs·P]` and final states `[dirs, B, ·]` by the library's kernel."""
        flat = [w for weights in self.weights for w in weights if w is not None]
        state = h0 if c0 is None else (h0, c0)
        if self.cell:
            cell = getattr(torch, f"{self.kind}_cell")
            flat_state = h0[0] if c0 is None else (h0[0], c0[0])
            new = cell(x, flat_state, *self.weights[0][:4])
            h, c = (new, None) if c0 is None else new
            return (h, h.unsqueeze(0)) if c is None else (h, h.unsqueeze(0), c.unsqueeze(0))
        run = getattr(torch, self.kind)
        biased = self.weights[0].bias_ih is not None
        options = (flat, biased, 1, 0.0, False, len(self.weights) == 2)
        if self.batch_sizes is not None:
            return tuple(run(x, self.batch_sizes, state, *options))
        batch = self.steps.sizes[0]
        padded = x.reshape(len(self.steps.sizes), batch, x.shape[-1])
        out, *final = run(padded, state, *options, False)
        return (out.reshape(len(x), -1), *final)

    def from_rows(self, rows: Tensor, layout: Layout) -> Tensor:
        """Return rows `[N, ·]` in another layout."""
        if layout == "rows":
            return rows
        padded = rows.reshape(len(self.steps.sizes), -1, rows.shape[-1])
        return padded.transpose(0, 1) if layout == "batch first" else padded

    def backward(
        self,
        kernel: Kernel,
        saved: Sequence[Tensor],
        factors: Sequence[Tensor],
        gammas: Sequence[Tensor],
        targets: int = 1,
    ) -> list[Gammas]:
        """Return γ of the inputs of each direction, in the dtype of the weights or wider.

        `gammas` has `targets` consecutive rows for each row of `saved`.
        """
        # Under autocast the forward pass gives narrower dtypes; relevance is summed in wider ones.
        dtype = self.weights[0].ih.dtype
        if {t.dtype for t in (*saved, *gammas)} != {dtype}:
            saved, gammas = ([t.to(dtype) for t in tensors] for tensors in (saved, gammas))
        steps = self.steps
        if targets > 1:
            steps = Steps(tuple(targets * size for size in steps.sizes))
        if kernel == "compiled":
            return compiled.backward(
                self.kind, self.weights, steps, gammas[0], gammas[1:], factors,
                account=bool(self.books),
            )  # fmt: skip
        return [
            self._backward_direction(kernel, direction, saved, steps, gammas, targets)
            for direction in range(len(self.weights))
        ]

    def _backward_direction(
        self,
        kernel: Kernel,
        direction: int,
        saved: Sequence[Tensor],
        steps: Steps,
        gammas: Sequence[Tensor],
        targets: int,
    ) -> Gammas:
        x, h0, *c0, out = saved
        gamma_out, *gamma_states = gammas
        weights = self.weights[direction]
        width = out.shape[-1] // len(self.weights)
        part = slice(direction * width, (direction + 1) * width)
        states, h = [s[direction] for s in (h0, *c0)], out[:, part]
        if targets > 1:
            x, h, *states = (t.repeat_interleave(targets, 0) for t in (x, h, *states))
        own = recurrent.Direction(
            x, states, weights, steps, direction == 1,
            gamma_out[:, part], [g[direction] for g in gamma_states], self.stabiliser,
        )  # fmt: skip
        more = () if self.kind in ("lstm", "gru") else (_ACTIVATIONS[self.kind],)
        name = self.kind if self.kind in ("lstm", "gru") else "rnn"
        if kernel == "reference":
            return getattr(recurrent, name)(own, *more)  # type: ignore[no-any-return]
        run = getattr(gpu if kernel == "triton" else vectorised, name)
        return run(own, *more, h=h, account=bool(self.books))  # type: ignore[no-any-return]

    def book(self, direction: int, saved: Sequence[Tensor], result: Gammas) -> None:
        """Book the relevance that ends in one direction."""
        x, h0, *c0, _ = saved
        for book in self.books:
            for field in ("bias_ih", "bias_hh", "stabiliser"):
                rows = getattr(result, field)
                if rows is not None:
                    book(field, direction, rows)
            book("h0", direction, (result.h0 * h0[direction]).sum(-1))
            if result.c0 is not None:
                book("c0", direction, (result.c0 * c0[0][direction]).sum(-1))
            book("x", direction, (result.x * x).sum(-1))


def _backward(
    layer: Layer,
    kernel: Kernel,
    saved: Sequence[Tensor],
    factors: Sequence[Tensor],
    gammas: Sequence[Tensor],
) -> list[Gammas]:
    """Return γ of the inputs by direction, for one target or, under `torch.vmap`, several."""
    if any(map(torch._C._functorch.is_batchedtensor, gammas)):
        given = _Backward.apply(layer, kernel, len(gammas), *saved, *factors, *gammas)  # type: ignore[no-untyped-call]
        each = len(given) // len(layer.weights)
        results = [
            _make_gammas(given[first : first + each], layer.kind)
            for first in range(0, len(given), each)
        ]
    else:
        given = (to_rows(gammas[0], layer.layout), *gammas[1:])
        results = layer.backward(kernel, saved, factors, given)
    for direction, result in enumerate(results):
        layer.book(direction, saved, result)
    return results


class _Backward(OfTargets):
    """`Layer.backward` for γ of several targets, with a copy of each sequence per target."""

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        layer: Layer,
        kernel: Kernel,
        count: int,
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        saved, factors = tensors[: count + 1], tensors[count + 1 : -count]
        gammas = []
        for gamma, place in zip(tensors[-count:], in_dims[-count:], strict=True):
            # [N, targets, ·], [T, B, targets, ·], or for a state [directions, B, targets, ·]
            gammas.append(
                gamma.unsqueeze(-2).expand(*gamma.shape[:-1], info.batch_size, gamma.shape[-1])
                if place is None
                else gamma.movedim(place, -2)
            )
        if kernel == "compiled" or saved[0].is_cuda:
            # One copy puts the outputs in the order of rows and the targets of a row side by side.
            grouped = [g.flatten(-3, -2) for g in (to_rows(gammas[0], layer.layout), *gammas[1:])]
            results = layer.backward(kernel, saved, factors, grouped, info.batch_size)
            given = [
                t.reshape(-1, info.batch_size, *t.shape[1:])
                for result in results
                for t in result
                if t is not None
            ]
        else:  # in plain torch on a CPU, memory access limits the speed
            by_target = []
            for k in range(info.batch_size):
                own, *states = (g.select(-2, k) for g in gammas)
                own = to_rows(own, layer.layout)
                by_target.append(layer.backward(kernel, saved, factors, [own, *states]))
            columns = zip(*(chain(*results) for results in by_target), strict=True)
            given = [torch.stack(column, 1) for column in columns if column[0] is not None]
        return tuple(given), (1,) * len(given)


def _make_gammas(given: Sequence[Tensor], kind: LayerKind) -> Gammas:
    """Return `Gammas` from its fields, given without those that are None."""
    x, h0, *rest = given
    return Gammas(x, h0, rest.pop(0) if kind == "lstm" else None, *rest)


class _Recurrence(torch.autograd.Function):
    """One layer in the graph of γ."""

    @staticmethod
    def forward(ctx: Any, layer: Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
        factors: tuple[Tensor, ...] = ()
        x, states = to_rows(inputs[0], layer.takes), inputs[1:]
        inputs = (x, *states)
        kernel = choose_kernel(layer.impl, layer.kind, layer.weights, *inputs)
        if kernel == "compiled":
            out, finals, found = compiled.forward(
                layer.kind, x, states, layer.weights, layer.steps, layer.stabiliser,
                account=bool(layer.books),
            )  # fmt: skip
            outputs, factors = (out, *finals), tuple(found)
        else:
            outputs = layer.forward(*inputs)
        ctx.layer, ctx.kernel, ctx.operands = layer, kernel, len(inputs) + 1
        ctx.save_for_backward(*inputs, outputs[0], *factors)
        out = layer.from_rows(outputs[0], layer.layout)
        if layer.layout != "rows":  # the model may change it in place, and the rows are saved
            out = out.clone(memory_format=torch.contiguous_format)
        return out, *outputs[1:]

    @staticmethod
    def backward(ctx: Any, *gammas: Tensor) -> Any:
        layer: Layer = ctx.layer
        tensors = ctx.saved_tensors
        saved, factors = tensors[: ctx.operands], tensors[ctx.operands :]
        device = gammas[0].device.type
        narrow = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if narrow else _AS_IT_IS:
            results = _backward(layer, ctx.kernel, saved, factors, gammas)
        gamma_x = results[0].x if len(results) == 1 else results[0].x + results[1].x
        by_state = [[r.h0 for r in results], [r.c0 for r in results if r.c0 is not None]]
        states = [
            torch.stack(parts) if needed else None
            for parts, needed in zip(by_state, ctx.needs_input_grad[2:], strict=False)
        ]
        return None, layer.from_rows(gamma_x, layer.takes), *states


def recur(layer: Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return outputs and final states of a layer, as parts of the graph of γ."""
    outputs: tuple[Tensor, ...] = _Recurrence.apply(layer, *inputs)  # type: ignore[no-untyped-call]
    return outputs
