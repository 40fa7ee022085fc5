"""Whole recurrent layers that a model calls as one function: `torch.lstm`, `torch.gru` and kin.

One layer is computed at a time, so that the outputs between layers are seen. Padded and packed
input become the same rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from seqlrp.errors import TrainingModeError
from seqlrp.lrp import documents as docs
from seqlrp.lrp import unrolled
from seqlrp.lrp.functions import spelled
from seqlrp.lrp.fused_layer import Kind, Layer, recur
from seqlrp.lrp.kernels import choice
from seqlrp.lrp.map_rules import absolute_epsilon
from seqlrp.lrp.recurrent import Steps, Weights

if TYPE_CHECKING:
    from seqlrp.lrp.propagate import Propagation


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
        choice.check(run.options.impl, signal_takes_all=False)
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
        layer = Layer(
            kind, weights, steps, batch_sizes, False, epsilon, run.options.impl,
            _bookers(run, kind, f"_l{index}", constant, rows, owner),
        )  # fmt: skip
        x, *final = recur(layer, x, *(s[part] for s, _ in operands))
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
        choice.check(run.options.impl, signal_takes_all=False)
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
    layer = Layer(
        kind, [weights], steps, None, True, epsilon, run.options.impl,
        _bookers(run, f"{kind}_cell", "", constant, owner, owner),
    )  # fmt: skip
    out, _, *rest = recur(layer, x, *(s.unsqueeze(0) for s, _ in operands))
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
