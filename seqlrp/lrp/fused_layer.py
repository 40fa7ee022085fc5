"""One layer of a fused recurrence in the graph of γ, over the rows of `recurrent.py`.

Forward is the library's own kernel or, where there is one, a compiled loop that remembers; backward
is one of the kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from seqlrp.lrp import recurrent
from seqlrp.lrp.kernels import compiled, gpu, vectorised
from seqlrp.lrp.kernels.choice import Way, chosen
from seqlrp.lrp.recurrent import Gammas, Steps, Weights

Kind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
_ACTIVATIONS = {"rnn_tanh": torch.tanh, "rnn_relu": torch.relu}


@dataclass
class Layer:
    """What one layer needs to run forward and backward."""

    kind: Kind
    weights: list[Weights]  # one or two directions
    steps: Steps
    batch_sizes: Tensor | None  # int64 on the CPU, for packed rows
    cell: bool
    epsilon: float
    impl: str
    books: list[Callable[[str, int, Tensor], None]]  # empty: no account is kept

    def forward_compiled(
        self, x: Tensor, *states: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """As `forward`, and for each direction the factors of the way back."""
        width, account = states[0].shape[-1], bool(self.books)
        out = x.new_empty(len(x), width * len(self.weights))
        run: Any = compiled.lstm_forward if self.kind == "lstm" else compiled.gru_forward
        results = []
        for d, weights in enumerate(self.weights):
            start = (state[d] for state in states)
            operands = (x, *start, weights, self.steps, d == 1, self.epsilon, out, d * width)
            results.append(run(*operands, account=account))
        *finals, factors = zip(*results, strict=True)
        return (out, *(torch.stack(parts) for parts in finals)), factors

    def forward(self, x: Tensor, h0: Tensor, c0: Tensor | None = None) -> tuple[Tensor, ...]:
        """Outputs `[N, dirs·P]` and final states `[dirs, B, ·]` by the library's own kernel."""
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

    def backward(
        self,
        way: Way,
        direction: int,
        saved: Sequence[Tensor],
        factors: Sequence[Tensor],
        gammas: Sequence[Tensor],
        targets: int = 1,
    ) -> Gammas:
        """γ of what went into one direction, in the dtype of the weights or wider.

        Rows of `gammas` come in groups of so many targets for one row of `saved`.
        """
        # Under autocast the forward pass leaves narrower numbers; relevance is not summed in those.
        dtype = self.weights[direction].ih.dtype
        if any(t.dtype != dtype for t in (*saved, *gammas)):
            saved, gammas = ([t.to(dtype) for t in tensors] for tensors in (saved, gammas))
        x, h0, *c0, out = saved
        gamma_out, gamma_hn, *gamma_cn = gammas
        weights, reverse = self.weights[direction], direction == 1
        width = out.shape[-1] // len(self.weights)
        part = slice(direction * width, (direction + 1) * width)
        states, h = [s[direction] for s in (h0, *c0)], out[:, part]
        steps = self.steps
        if targets > 1:
            steps = Steps(tuple(targets * size for size in steps.sizes))
            if way != "compiled":  # which takes one row of factors for each group
                x, h, *states = (t.repeat_interleave(targets, 0) for t in (x, h, *states))
        shared = (
            x, *states, weights, steps, reverse,
            gamma_out[:, part], gamma_hn[direction], *(g[direction] for g in gamma_cn),
            self.epsilon,
        )  # fmt: skip
        more = () if self.kind in ("lstm", "gru") else (_ACTIVATIONS[self.kind],)
        name = self.kind if self.kind in ("lstm", "gru") else "rnn"
        if way == "reference":
            return getattr(recurrent, name)(*shared, *more)  # type: ignore[no-any-return]
        account = bool(self.books)
        if way == "compiled":
            run = getattr(compiled, name)
            return run(*shared, factors=factors[direction], account=account)  # type: ignore[no-any-return]
        run = getattr(gpu if way == "triton" else vectorised, name)
        return run(*shared, *more, h=h, account=account)  # type: ignore[no-any-return]

    def book(self, direction: int, saved: Sequence[Tensor], result: Gammas) -> None:
        """Tell the ledger what stays in one direction."""
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


def _back(
    layer: Layer,
    way: Way,
    direction: int,
    saved: Sequence[Tensor],
    factors: Sequence[Tensor],
    gammas: Sequence[Tensor],
) -> Gammas:
    """γ of what went into one direction, for one target or, under `torch.vmap`, for several."""
    if any(torch._C._functorch.is_batchedtensor(gamma) for gamma in gammas):
        given = _Targets.apply(layer, way, direction, len(gammas), *saved, *factors, *gammas)  # type: ignore[no-untyped-call]
        result = _whole(given, layer.kind)
    else:
        result = layer.backward(way, direction, saved, factors, gammas)
    layer.book(direction, saved, result)
    return result


class _Targets(torch.autograd.Function):
    """`Layer.backward` for γ of several targets, laid out as so many times the sequences."""

    @staticmethod
    def forward(*arguments: Any) -> Any:
        raise AssertionError("only reached through torch.vmap")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def vmap(
        info: Any,
        in_dims: Any,
        layer: Layer,
        way: Way,
        direction: int,
        count: int,
        *tensors: Tensor,
    ) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
        saved, factors = tensors[: count + 1], tensors[count + 1 : -count]
        gammas = []
        for gamma, place in zip(tensors[-count:], in_dims[-count:], strict=True):
            # [N, targets, ·], or for a state [directions, B, targets, ·]
            gammas.append(
                gamma.unsqueeze(-2).expand(*gamma.shape[:-1], info.batch_size, gamma.shape[-1])
                if place is None
                else gamma.movedim(place, -2)
            )
        if way == "compiled" or saved[0].is_cuda:
            grouped = [gamma.flatten(-3, -2) for gamma in gammas]
            result = layer.backward(way, direction, saved, factors, grouped, info.batch_size)
            given = [t.reshape(-1, info.batch_size, *t.shape[1:]) for t in result if t is not None]
        else:  # in plain torch on a CPU, memory is what counts
            results = [
                layer.backward(way, direction, saved, factors, [g.select(-2, k) for g in gammas])
                for k in range(info.batch_size)
            ]
            columns = zip(*results, strict=True)
            given = [torch.stack(column, 1) for column in columns if column[0] is not None]
        return tuple(given), (1,) * len(given)


def _whole(given: Sequence[Tensor], kind: Kind) -> Gammas:
    """The `Gammas` whose fields, without those that are None, are given."""
    x, h0, *rest = given
    return Gammas(x, h0, rest.pop(0) if kind == "lstm" else None, *rest)


class _Recurrence(torch.autograd.Function):
    """One layer in the graph of γ."""

    @staticmethod
    def forward(ctx: Any, layer: Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
        factors: tuple[Tensor, ...] = ()
        way = chosen(layer.impl, layer.kind, layer.weights, *inputs)
        if way == "compiled":
            outputs, factors = layer.forward_compiled(*inputs)
        else:
            outputs = layer.forward(*inputs)
        ctx.layer, ctx.way, ctx.operands = layer, way, len(inputs) + 1
        ctx.save_for_backward(*inputs, outputs[0], *factors)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gammas: Tensor) -> Any:
        layer: Layer = ctx.layer
        saved, factors = ctx.saved_tensors[: ctx.operands], ctx.saved_tensors[ctx.operands :]
        with torch.autocast(gammas[0].device.type, enabled=False):
            results = [
                _back(layer, ctx.way, direction, saved, factors, gammas)
                for direction in range(len(layer.weights))
            ]
        gamma_x = results[0].x if len(results) == 1 else results[0].x + results[1].x
        states = [torch.stack([r.h0 for r in results])]
        cells = [r.c0 for r in results if r.c0 is not None]
        if cells:
            states.append(torch.stack(cells))
        return None, gamma_x, *states


def recur(layer: Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Outputs and final states of a layer, as parts of the graph."""
    outputs: tuple[Tensor, ...] = _Recurrence.apply(layer, *inputs)  # type: ignore[no-untyped-call]
    return outputs
