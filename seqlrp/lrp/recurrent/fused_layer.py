"""One layer of a fused recurrence in the graph of γ.

The forward pass is the library's own kernel or, if available, a compiled loop that stores factors;
the backward pass is one of the kernels. What a layer takes and returns is laid out as the model has
it. The compiled loops compute in every layout, and the other kernels in the rows of `reference.py`.
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
_Saved = tuple[Sequence[Tensor], Sequence[Tensor]]  # `inputs`, `results` of `Layer.backward`
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
    layout: Layout = "rows"  # of inputs and outputs
    maps: Sequence[compiled.Maps] = ()  # of γ, since a forward pass of the compiled loops

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

    def from_rows(self, rows: Tensor) -> Tensor:
        """Return rows `[N, ·]` in the layout of the model."""
        if self.layout == "rows":
            return rows
        padded = rows.reshape(len(self.steps.sizes), -1, rows.shape[-1])
        return padded.transpose(0, 1) if self.layout == "batch first" else padded

    def backward(
        self,
        kernel: Kernel,
        inputs: Sequence[Tensor],
        results: Sequence[Tensor],
        gammas: Sequence[Tensor],
        targets: int = 1,
    ) -> list[Gammas]:
        """Return γ of the inputs of each direction, in the dtype of the weights or wider.

        The compiled loops need their factors as `results`, and no inputs without a ledger; the
        other kernels need inputs and outputs. γ is given and returned in rows, `targets`
        consecutive ones for each row of the inputs, or for the compiled loops, if of one target, in
        the layout of the model.
        """
        steps = self.steps
        if targets > 1:
            steps = Steps(tuple(targets * size for size in steps.sizes))
        if kernel == "compiled":
            batch_first = self.layout == "batch first" and gammas[0].ndim == 3
            return compiled.backward(
                self.kind, self.maps, steps, gammas[0], gammas[1:], results,
                account=bool(self.books), batch_first=batch_first,
            )  # fmt: skip
        # Under autocast the forward pass gives narrower dtypes; relevance is summed in wider ones.
        dtype = self.weights[0].ih.dtype
        saved, gammas = ([t.to(dtype) for t in each] for each in ((*inputs, *results), gammas))
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

    def book(self, direction: int, inputs: Sequence[Tensor], result: Gammas) -> None:
        """Book the relevance that ends in one direction; the inputs are rows and states."""
        x, h0, *c0 = inputs
        for book in self.books:
            for field in ("bias_ih", "bias_hh", "stabiliser"):
                rows = getattr(result, field)
                if rows is not None:
                    book(field, direction, rows)
            book("h0", direction, (result.h0 * h0[direction]).sum(-1))
            if result.c0 is not None:
                book("c0", direction, (result.c0 * c0[0][direction]).sum(-1))
            book("x", direction, (to_rows(result.x, self.layout) * x).sum(-1))


def _backward(
    layer: Layer, kernel: Kernel, saved: _Saved, gammas: Sequence[Tensor]
) -> list[Gammas]:
    """Return γ of the inputs by direction, for one target or, under `torch.vmap`, several."""
    if any(map(torch._C._functorch.is_batchedtensor, gammas)):
        given = _Backward.apply(layer, kernel, saved, *gammas)  # type: ignore[no-untyped-call]
        each = len(given) // len(layer.weights)
        results = [
            _make_gammas(given[first : first + each], layer.kind)
            for first in range(0, len(given), each)
        ]
    elif kernel == "compiled":
        return layer.backward(kernel, *saved, gammas)
    else:
        own = to_rows(gammas[0], layer.layout)
        results = layer.backward(kernel, *saved, [own, *gammas[1:]])
    return [result._replace(x=layer.from_rows(result.x)) for result in results]


class _Backward(OfTargets):
    """`Layer.backward` for γ of several targets, with a copy of each sequence per target."""

    @staticmethod
    def vmap(
        info: Any, in_dims: Any, layer: Layer, kernel: Kernel, saved: _Saved,
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:  # fmt: skip
        targets = info.batch_size
        # [N, targets, ·], [T, B, targets, ·], or for a state [directions, B, targets, ·]
        gammas = [
            tensor.unsqueeze(-2).expand(*tensor.shape[:-1], targets, tensor.shape[-1])
            if place is None
            else tensor.movedim(place, -2)
            for tensor, place in zip(tensors, in_dims[3:], strict=True)
        ]
        own, states = to_rows(gammas[0], layer.layout), gammas[1:]
        if kernel == "compiled" or own.is_cuda:
            # One copy puts the outputs in the order of rows and the targets of a row side by side.
            grouped = [gamma.flatten(-3, -2) for gamma in (own, *states)]
            results = layer.backward(kernel, *saved, grouped, targets)
            given = [t.reshape(-1, targets, *t.shape[1:]) for t in chain(*results) if t is not None]
        else:  # in plain torch on a CPU, memory access limits the speed
            by_target = []
            for k in range(targets):
                each = [gamma.select(-2, k) for gamma in (own, *states)]
                by_target.append(layer.backward(kernel, *saved, each))
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
    def forward(ctx: Any, layer: Layer, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        kernel = choose_kernel(layer.impl, layer.kind, layer.weights, x, *states)
        # The model may change what it gets in place; it shares no memory with what is saved.
        if kernel == "compiled":
            out, finals, results, layer.maps = compiled.forward(
                layer.kind, x, states, layer.weights, layer.steps, layer.stabiliser,
                account=bool(layer.books), batch_first=layer.layout == "batch first",
            )  # fmt: skip
            inputs = (to_rows(x, layer.layout), *states) if layer.books else ()
        else:
            inputs = (to_rows(x, layer.layout), *states)
            rows, *finals = layer.forward(*inputs)
            results = [rows]
            out = layer.from_rows(rows).clone(memory_format=torch.contiguous_format)
        ctx.layer, ctx.kernel, ctx.inputs = layer, kernel, len(inputs)
        ctx.save_for_backward(*inputs, *results)
        return out, *finals

    @staticmethod
    def backward(ctx: Any, *gammas: Tensor) -> Any:
        layer: Layer = ctx.layer
        tensors = ctx.saved_tensors
        inputs, saved = tensors[: ctx.inputs], tensors[ctx.inputs :]
        narrow = False
        if ctx.kernel != "compiled":  # which autocast does not reach
            device = gammas[0].device.type
            narrow = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
        with torch.autocast(device, enabled=False) if narrow else _AS_IT_IS:
            results = _backward(layer, ctx.kernel, (inputs, saved), gammas)
            if layer.books:
                for direction, result in enumerate(results):
                    layer.book(direction, inputs, result)
        gamma_x = results[0].x if len(results) == 1 else results[0].x + results[1].x
        by_state = [[r.h0 for r in results], [r.c0 for r in results if r.c0 is not None]]
        states = [
            torch.stack(parts) if needed else None
            for parts, needed in zip(by_state, ctx.needs_input_grad[2:], strict=False)
        ]
        return None, gamma_x, *states


def recur(layer: Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Return outputs and final states of a layer, as parts of the graph of γ."""
    outputs: tuple[Tensor, ...] = _Recurrence.apply(layer, *inputs)  # type: ignore[no-untyped-call]
    return outputs
