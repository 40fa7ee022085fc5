"""Whole recurrent layers that a model calls as one function: `torch.lstm`, `torch.gru` and kin.

One layer is computed at a time, so that the outputs between layers are seen. Forward is the
library's own kernel or, where there is one, a compiled loop that remembers; backward is one of the
kernels. Padded and packed input become the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from seqlrp.errors import TrainingModeError
from seqlrp.lrp import documents as docs
from seqlrp.lrp import recurrent, unrolled
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.kernels import compiled, vectorised
from seqlrp.lrp.map_rules import absolute_epsilon
from seqlrp.lrp.recurrent import Gammas, Steps, Weights

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation

Kind = Literal["lstm", "gru", "rnn_tanh", "rnn_relu"]
_ACTIVATIONS = {"rnn_tanh": torch.tanh, "rnn_relu": torch.relu}


@dataclass
class _Layer:
    """What one layer needs to run forward and backward."""

    kind: Kind
    weights: list[Weights]  # one or two directions
    steps: Steps
    batch_sizes: Tensor | None  # int64 on the CPU, for packed rows
    cell: bool
    epsilon: float
    impl: str
    books: list[Callable[[str, int, Tensor], None]]  # empty: no account is kept

    def compiled(self, x: Tensor, *states: Tensor) -> bool:
        """Whether the compiled loops compute this layer."""
        return self.impl == "auto" and all(
            compiled.computes(self.kind, weights, x, *states) for weights in self.weights
        )

    def forward_compiled(
        self, x: Tensor, *states: Tensor
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """As `forward`, and for each direction the factors of the way back."""
        width = states[0].shape[-1]
        out = x.new_empty(len(x), width * len(self.weights))
        run: Any = compiled.lstm_forward if self.kind == "lstm" else compiled.gru_forward
        results = []
        for d, weights in enumerate(self.weights):
            start = (state[d] for state in states)
            results.append(
                run(x, *start, weights, self.steps, d == 1, self.epsilon, out, d * width)
            )
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
        direction: int,
        saved: tuple[Tensor, ...],
        factors: tuple[Tensor, ...],
        gammas: tuple[Tensor, ...],
    ) -> Gammas:
        """γ of what went into one direction."""
        x, h0, *c0, out = saved
        gamma_out, gamma_hn, *gamma_cn = gammas
        weights, reverse = self.weights[direction], direction == 1
        width = out.shape[-1] // len(self.weights)
        part = slice(direction * width, (direction + 1) * width)
        shared = (
            x, h0[direction], *(c[direction] for c in c0), weights, self.steps, reverse,
            gamma_out[:, part], gamma_hn[direction], *(g[direction] for g in gamma_cn),
            self.epsilon,
        )  # fmt: skip
        more = () if self.kind in ("lstm", "gru") else (_ACTIVATIONS[self.kind],)
        name = self.kind if self.kind in ("lstm", "gru") else "rnn"
        if self.impl == "reference":
            result: Gammas = getattr(recurrent, name)(*shared, *more)
        elif factors:
            result = getattr(compiled, name)(
                *shared, factors=factors[direction], account=bool(self.books)
            )
        else:
            result = getattr(vectorised, name)(
                *shared, *more, h=out[:, part], account=bool(self.books)
            )
        for book in self.books:
            for field in ("bias_ih", "bias_hh", "stabiliser"):
                rows = getattr(result, field)
                if rows is not None:
                    book(field, direction, rows)
            book("h0", direction, (result.h0 * h0[direction]).sum(-1))
            if result.c0 is not None:
                book("c0", direction, (result.c0 * c0[0][direction]).sum(-1))
            book("x", direction, (result.x * x).sum(-1))
        return result


class _Recurrence(torch.autograd.Function):
    """One layer in the graph of γ."""

    @staticmethod
    def forward(ctx: Any, layer: _Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
        factors: tuple[Tensor, ...] = ()
        if layer.compiled(*inputs):
            outputs, factors = layer.forward_compiled(*inputs)
        else:
            outputs = layer.forward(*inputs)
        ctx.layer, ctx.operands = layer, len(inputs) + 1
        ctx.save_for_backward(*inputs, outputs[0], *factors)
        return outputs

    @staticmethod
    def backward(ctx: Any, *gammas: Tensor) -> Any:
        layer: _Layer = ctx.layer
        saved, factors = ctx.saved_tensors[: ctx.operands], ctx.saved_tensors[ctx.operands :]
        results = [
            layer.backward(direction, saved, factors, gammas)
            for direction in range(len(layer.weights))
        ]
        gamma_x = results[0].x if len(results) == 1 else results[0].x + results[1].x
        states = [torch.stack([r.h0 for r in results])]
        cells = [r.c0 for r in results if r.c0 is not None]
        if cells:
            states.append(torch.stack(cells))
        return None, gamma_x, *states


def _recur(layer: _Layer, *inputs: Tensor) -> tuple[Tensor, ...]:
    outputs: tuple[Tensor, ...] = _Recurrence.apply(layer, *inputs)  # type: ignore[no-untyped-call]
    return outputs


def sequence(run: Propagation, function: Any, args: Any, kwargs: Any) -> tuple[Tensor, ...]:
    """`torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu`: padded or packed, of any depth."""
    kind: Kind = spelled(function)  # type: ignore[assignment]
    packed = isinstance(args[3], (list, tuple))
    if packed:
        data, batch_sizes, state, flat, biased, layers, dropout, training, both = args
        batch_first = False
    else:
        data, state, flat, biased, layers, dropout, training, both, batch_first = args
        batch_sizes = None
    if training and dropout > 0 and layers > 1:
        raise TrainingModeError(
            f"Dropout between layers is on in {run.place_in_words()}, so the answer changes from "
            f"call to call; call model.eval() first."
        )
    states = list(state) if isinstance(state, (tuple, list)) else [state]
    rule = run.rule_of_map()
    epsilon = absolute_epsilon(rule, run.epsilon)
    if batch_sizes is None:
        time_major = data.transpose(0, 1) if batch_first else data
        steps = Steps((time_major.shape[1],) * time_major.shape[0])
        shape = time_major.shape[:2]
    else:
        steps = Steps(tuple(batch_sizes.tolist()))
    owner, rows = _owners(run, data, states, steps, packed, batch_first)
    directions = 2 if both else 1
    each = len(flat) // (layers * directions)
    if epsilon != run.epsilon or not run.options.signal_takes_all:
        weights = [
            _weights(run, flat[start : start + each], biased) for start in range(0, len(flat), each)
        ]
        with run.pinned(rule):
            return _unrolled(
                run, kind, data, states, weights, steps, directions, owner,
                packed=packed, batch_first=batch_first,
            )  # fmt: skip
    x, x_known = _operand(run, data, kind)
    if batch_sizes is None:
        x = (x.transpose(0, 1) if batch_first else x).reshape(-1, x.shape[-1])
    operands = [_operand(run, s, kind) for s in states]
    finals: list[list[Tensor]] = [[] for _ in states]
    for index in range(layers):
        weights = []
        for direction in range(directions):
            start = (index * directions + direction) * each
            weights.append(_weights(run, flat[start : start + each], biased))
        part = slice(index * directions, (index + 1) * directions)
        constant = {
            name for name, (_, known) in zip(("h0", "c0"), operands, strict=False) if not known
        }
        if index == 0 and not x_known:
            constant.add("x")
        layer = _Layer(
            kind, weights, steps, batch_sizes, False, epsilon, run.options.impl,
            _bookers(run, kind, f"_l{index}", constant, rows, owner),
        )  # fmt: skip
        x, *final = _recur(layer, x, *(s[part] for s, _ in operands))
        for k, tensor in enumerate(final):
            finals[k].append(tensor)
    if batch_sizes is None:
        x = x.reshape(*shape, -1)
        x = x.transpose(0, 1) if batch_first else x
    x = x.clone(memory_format=torch.contiguous_format)  # the model may change it in place
    whose = None if rows is None else rows.unsqueeze(-1)
    if whose is not None and owner is not None and batch_sizes is None:
        whose = owner.view(-1, 1, 1) if batch_first else owner.view(1, -1, 1)
    run.mark(x, documents=whose)
    final_states = [torch.cat(parts) for parts in finals]
    for tensor in final_states:
        run.mark(tensor, documents=None if owner is None else owner.view(1, -1, 1))
    return (x, *final_states)


def _unrolled(
    run: Propagation,
    kind: Kind,
    data: Tensor,
    states: list[Tensor],
    weights: list[Weights],
    steps: Steps,
    directions: int,
    owner: Tensor | None,
    *,
    packed: bool,
    batch_first: bool,
) -> tuple[Tensor, ...]:
    """As `sequence`, step by step; `weights` by layer and direction."""

    def do(function: Any, *args: Any) -> Tensor:
        return run.call(function, args, {})  # type: ignore[no-any-return]

    shape = None
    x = data
    if not packed:
        x = do(torch.transpose, x, 0, 1) if batch_first else x
        shape = x.shape[:2]
        x = do(torch.flatten, x, 0, 1)
    finals: list[list[Tensor]] = [[] for _ in states]
    for layer in range(len(weights) // directions):
        outputs = []
        for way in range(directions):
            place = layer * directions + way
            held = [
                unrolled.initial(run, do(torch.select, s, 0, place), owner, kind) for s in states
            ]
            cell = unrolled.Cell(run, kind, weights[place])
            out, h, c = unrolled.direction(
                cell, x, held[0], held[1] if len(held) > 1 else None, steps, way == 1
            )
            outputs.append(out)
            for final, state in zip(finals, (h, c), strict=False):
                final.append(state)  # type: ignore[arg-type]
        x = outputs[0] if directions == 1 else do(torch.cat, outputs, -1)
    if shape is not None:
        x = do(torch.unflatten, x, 0, tuple(shape))
        x = do(torch.transpose, x, 0, 1) if batch_first else x
    return (x, *(do(torch.stack, final) for final in finals))


def cell(run: Propagation, function: Any, args: Any, kwargs: Any) -> Any:
    """`torch.lstm_cell`, `gru_cell`, `rnn_tanh_cell`, `rnn_relu_cell`: a layer of one step."""
    kind: Kind = (spelled(function) or "").removesuffix("_cell")  # type: ignore[assignment]
    names = ("input", "hx", "w_ih", "w_hh", "b_ih", "b_hh")
    given = dict(zip(names, args, strict=False)) | kwargs
    data, state = given["input"], given["hx"]
    states = list(state) if isinstance(state, (tuple, list)) else [state]
    flat = [given["w_ih"], given["w_hh"], given.get("b_ih"), given.get("b_hh")]
    weights = Weights(*(None if w is None else run.raw(w) for w in flat))  # type: ignore[arg-type]
    steps = Steps((len(data),))
    rule = run.rule_of_map()
    epsilon = absolute_epsilon(rule, run.epsilon)
    owner = None
    for tensor in (data, *states):
        mark = run.known(tensor)
        if mark is not None and mark.documents is not None:
            owner = mark.documents[:, 0].expand(len(data))
            break
    if epsilon != run.epsilon or not run.options.signal_takes_all:
        with run.pinned(rule):
            held = [unrolled.initial(run, s, owner, kind) for s in states]
            new = unrolled.Cell(run, kind, weights)(
                data, held[0], held[1] if len(held) > 1 else None
            )
        return new[0] if len(states) == 1 else new
    x, x_known = _operand(run, data, kind)
    operands = [_operand(run, s, kind) for s in states]
    constant = {name for name, (_, known) in zip(("h0", "c0"), operands, strict=False) if not known}
    if not x_known:
        constant.add("x")
    layer = _Layer(
        kind, [weights], steps, None, True, epsilon, run.options.impl,
        _bookers(run, f"{kind}_cell", "", constant, owner, owner),
    )  # fmt: skip
    out, _, *rest = _recur(layer, x, *(s.unsqueeze(0) for s, _ in operands))
    whose = None if owner is None else owner.view(-1, 1)
    out = run.mark(out.clone(), documents=whose)  # the model may change it in place
    if not rest:
        return out
    return out, run.mark(rest[0].squeeze(0).clone(), documents=whose)


def _operand(run: Propagation, value: Tensor, user: str) -> tuple[Tensor, bool]:
    """An input of a recurrence as the graph needs it, and whether it depends on the ids."""
    mark = run.known(value)
    if mark is not None:
        return run.signal(value, mark, user), True
    return value.detach(), False


def _weights(run: Propagation, flat: Any, biased: bool) -> Weights:
    given = [run.raw(w) for w in flat]
    for weight in given:
        if run.known(weight) is not None:
            run.refuse(torch.lstm, "weights that depend on the input")
    biases = given[2:4] if biased else [None, None]
    projection = given[4 if biased else 2 :]
    return Weights(given[0], given[1], *biases, *projection)


def _owners(
    run: Propagation,
    data: Tensor,
    states: list[Tensor],
    steps: Steps,
    packed: bool,
    batch_first: bool,
) -> tuple[Tensor | None, Tensor | None]:
    """The document of each sequence `[B]` and of each row `[N]`, where documents are followed."""
    batch = steps.sizes[0]
    mark = run.known(data)
    if mark is not None and mark.documents is not None:
        if packed:
            rows = mark.documents.expand(len(data), 1).reshape(-1)
            return rows[:batch], rows
        spread = mark.documents.expand(*data.shape[:2], 1).squeeze(-1)
        spread = spread.transpose(0, 1) if batch_first else spread
        owner = docs.reduced(spread, [0], keepdim=False)
        return owner, spread.reshape(-1)
    for state in states:
        state_mark = run.known(state)
        if state_mark is not None and state_mark.documents is not None:
            owner = state_mark.documents[0, :, 0].expand(batch)
            return owner, torch.cat([owner[:size] for size in steps.sizes])
    return None, None


def _bookers(
    run: Propagation,
    operation: str,
    suffix: str,
    constant: set[str],
    rows: Tensor | None,
    owner: Tensor | None,
) -> list[Callable[[str, int, Tensor], None]]:
    """How a layer's shares are booked: what they are, and whose."""
    if not run.account:
        return []
    kinds = {"bias_ih": "bias", "bias_hh": "bias", "stabiliser": "stabiliser"}
    if "h0" in constant:
        kinds["h0"] = "initial state"
    if "c0" in constant:
        kinds["c0"] = "initial state"
    if "x" in constant:
        kinds["x"] = "constant"
    writers, module = {}, run.place()
    for field, kind in kinds.items():
        for direction in range(2):
            name = f"{operation} {field}{suffix}{'_reverse' if direction else ''}"
            whose = owner if field in ("h0", "c0") else rows
            writers[field, direction] = run.booker(kind, name, module, whose)

    def book(field: str, direction: int, relevance: Tensor) -> None:
        if (field, direction) in writers:
            writers[field, direction](relevance)

    return [book]
