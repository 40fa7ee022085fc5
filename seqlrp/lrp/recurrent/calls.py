"""Recurrent layers that a model calls as one function: `torch.lstm`, `torch.gru` and others.

One layer is computed at a time, so that the outputs between layers are available. Padded and packed
input get the same layout of rows. Under rules that the fused kernels do not support, each step runs
as separate torch functions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlrp.engine import documents as docs
from seqlrp.engine import unrolled
from seqlrp.engine.following import constant
from seqlrp.engine.functions import Call
from seqlrp.engine.recurrent_calls import (
    RecurrentCall,
    Steps,
    Weights,
    parse_cell,
    parse_layer,
)
from seqlrp.lrp.map_rules import MapRule, stabiliser_of
from seqlrp.lrp.marks import Value
from seqlrp.lrp.recurrent.fused_layer import Layer, Layout, recur
from seqlrp.lrp.recurrent.kernels import choice
from seqlrp.lrp.run import Run
from seqlrp.lrp.stabilise import Stabiliser


def sequence(run: Run, call: Call) -> tuple[Tensor, ...]:
    """`torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu`: padded or packed, of any depth."""
    given = parse_layer(call.name, call.args)
    given.check_dropout(run.describe_place)
    rule = run.rule_of_map()
    stabiliser = stabiliser_of(rule, run.stabiliser)
    steps = given.steps()
    owner, rows = _documents(run, given, steps)
    if not _can_fuse(run, stabiliser):
        return _sequence_unrolled(run, given, steps, rule, owner)
    assert stabiliser is not None
    x, x_known = _operand(run, given.data, given.kind)
    padded = not given.packed
    layout: Layout = "rows"
    if padded:
        layout = "batch first" if given.batch_first else "time first"
    operands = [_operand(run, s, given.kind) for s in given.states]
    own_names = _constant_names(operands)
    weights = _weights(run, given)
    states = [state for state, _ in operands]
    finals: list[list[Tensor]] = [[] for _ in operands]
    for index in range(given.layers):
        part = slice(index * given.directions, (index + 1) * given.directions)
        own = own_names | {"x"} if index == 0 and not x_known else own_names
        layer = Layer(
            given.kind, weights[part], steps, given.batch_sizes, False,
            stabiliser, run.options.impl,
            _bookers(run, given.kind, f"_l{index}", own, rows, owner), layout,
        )  # fmt: skip
        own_states = states if given.layers == 1 else [state[part] for state in states]
        x, *final = recur(layer, x, *own_states)
        for k, tensor in enumerate(final):
            finals[k].append(tensor)
    x = x.contiguous()  # alone and in a batch, so that sums of it have one order
    documents = None if rows is None else rows.unsqueeze(-1)
    if documents is not None and owner is not None and padded:
        documents = owner.view(-1, 1, 1) if given.batch_first else owner.view(1, -1, 1)
    run.mark(x, documents=documents)
    final_states = [parts[0] if given.layers == 1 else torch.cat(parts) for parts in finals]
    for tensor in final_states:
        run.mark(tensor, documents=None if owner is None else owner.view(1, -1, 1))
    return (x, *final_states)


def cell(run: Run, call: Call) -> Any:
    """`torch.lstm_cell`, `gru_cell`, `rnn_tanh_cell`, `rnn_relu_cell`: a layer of one step."""
    given = parse_cell(call.name, call.args, call.kwargs)
    kind = given.kind
    weights = given.weights(run.raw)
    rule = run.rule_of_map()
    stabiliser = stabiliser_of(rule, run.stabiliser)
    owner = None
    for tensor in (given.data, *given.states):
        mark = run.known(tensor)
        if mark is not None and mark.documents is not None:
            owner = mark.documents[:, 0].expand(len(given.data))
            break
    if not _can_fuse(run, stabiliser):
        with run.use_rule_inside(rule):
            states = tuple(_initial(run, s, owner, kind) for s in given.states)
            new = unrolled.Cell(run, kind, weights)(given.data, states)
        return new[0] if len(new) == 1 else new
    assert stabiliser is not None
    x, x_known = _operand(run, given.data, kind)
    operands = [_operand(run, s, kind) for s in given.states]
    own_names = _constant_names(operands) | (set() if x_known else {"x"})
    layer = Layer(
        kind, [weights], given.steps(), None, True, stabiliser, run.options.impl,
        _bookers(run, call.name, "", own_names, owner, owner),
    )  # fmt: skip
    # A part of a state, as h[:n], may be written over before the backward pass reads it.
    before = [
        s if state._base is None else s.clone()
        for (s, _), state in zip(operands, given.states, strict=True)
    ]
    out, _, *rest = recur(layer, x, *(s.unsqueeze(0) for s in before))
    documents = None if owner is None else owner.view(-1, 1)
    run.mark(out, documents=documents)
    if not rest:
        return out
    return out, run.mark(rest[0].squeeze(0).clone(), documents=documents)


def _can_fuse(run: Run, stabiliser: Stabiliser | None) -> bool:
    """Return whether the fused kernels support the rules of a layer with this ε."""
    fused = stabiliser == run.stabiliser and run.options.signal_takes_all
    if not fused:
        choice.check(run.options.impl, signal_takes_all=False)
    return fused


def _sequence_unrolled(
    run: Run, given: RecurrentCall, steps: Steps, rule: MapRule | None, owner: Tensor | None
) -> tuple[Tensor, ...]:
    """Run a recurrent layer step by step, as torch functions under the laws of the run."""
    weights = _weights(run, given)

    def direction(
        place: int, reverse: bool, x: Tensor, states: unrolled.States
    ) -> tuple[Tensor, ...]:
        cell = unrolled.Cell(run, given.kind, weights[place])
        states = tuple(_initial(run, state, owner, given.kind) for state in states)
        return unrolled.run_direction(cell, x, states, steps, reverse)

    with run.use_rule_inside(rule):
        return unrolled.run_layers(run, given, direction)


def _initial(run: Run, state: Tensor, owner: Tensor | None, operation: str) -> Tensor:
    """Return an initial state `[B, ·]`; book the relevance that reaches it if it is no signal."""
    mark = run.known(state)
    if mark is not None and not _is_constant(state, mark):
        return state
    documents = None if owner is None else owner.reshape(-1, 1)
    start = run.end(state)
    start = run.absorb(start, start, "initial state", operation, documents)
    return run.mark(start, documents=documents)


def _operand(run: Run, value: Tensor, user: str) -> tuple[Tensor, bool]:
    """Return an input of a recurrence, ready for the graph, and whether it depends on the ids."""
    mark = run.known(value)
    if mark is not None and not _is_constant(value, mark):
        return run.signal(value, mark, user), True
    return value.detach(), False


def _is_constant(value: Tensor, mark: Value) -> bool:
    """Return whether a value is a gate times a constant, as a state of zeros that was scaled."""
    return mark.inert and not value.requires_grad


def _constant_names(states: Sequence[tuple[Tensor, bool]]) -> set[str]:
    return {name for name, (_, known) in zip(("h0", "c0"), states, strict=False) if not known}


def _weights(run: Run, given: RecurrentCall) -> list[Weights]:
    for weight in given.flat:
        if run.known(weight) is not None:
            run.refuse(torch.lstm, "weights that depend on the input")
    return given.all_weights(constant)


def _documents(run: Run, given: RecurrentCall, steps: Steps) -> tuple[Tensor | None, Tensor | None]:
    """Return the document of each sequence `[B]` and row `[N]`, if documents are followed."""
    batch, data = steps.sizes[0], given.data
    mark = run.known(data)
    if mark is not None and mark.documents is not None:
        if given.packed:
            rows = mark.documents.expand(len(data), 1).reshape(-1)
            return rows[:batch], rows
        spread = mark.documents.expand(*data.shape[:2], 1).squeeze(-1)
        spread = spread.transpose(0, 1) if given.batch_first else spread
        return docs.reduce(spread, [0], keepdim=False), spread.reshape(-1)
    for state in given.states:
        state_mark = run.known(state)
        if state_mark is not None and state_mark.documents is not None:
            owner = state_mark.documents[0, :, 0].expand(batch)
            return owner, torch.cat([owner[:size] for size in steps.sizes])
    return None, None


def _bookers(
    run: Run,
    operation: str,
    suffix: str,
    constant: set[str],
    rows: Tensor | None,
    owner: Tensor | None,
) -> list[Callable[[str, int, Tensor], None]]:
    """Return a function per direction that books shares of a layer by kind and document."""
    if not run.account:
        return []
    kinds = {"bias_ih": "bias", "bias_hh": "bias", "stabiliser": "stabiliser"}
    kinds |= {name: "initial state" for name in ("h0", "c0") if name in constant}
    if "x" in constant:
        kinds["x"] = "constant"
    writers, module = {}, run.place()
    for field, kind in kinds.items():
        for direction in range(2):
            name = f"{operation} {field}{suffix}{'_reverse' if direction else ''}"
            documents = owner if field in ("h0", "c0") else rows
            writers[field, direction] = run.booker(kind, name, module, documents)

    def book(field: str, direction: int, relevance: Tensor) -> None:
        if (field, direction) in writers:
            writers[field, direction](relevance)

    return [book]
