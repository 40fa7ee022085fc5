"""The backward passes of one run: a pass for each target, or one pass for all of them.

Targets share the forward pass, and in the backward pass the factors that multiply γ. Under
`torch.vmap` γ has one more dimension, of targets, and each recurrence runs backward only once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlrp.engine.ledger import Books
from seqlrp.errors import RefusedFunctionError
from seqlrp.lrp.layers import LayerRecorder
from seqlrp.lrp.propagate import Propagation

Amounts = dict[tuple[str, str, str], Tensor]  # ledger amounts by kind, operation, module
TOKENS = 16_384  # tokens × targets in one pass: more do not fit into a processor's caches


class Pass(NamedTuple):
    """The result of a backward pass: γ at each reading, and amounts of the ledger."""

    gammas: list[Tensor | None]
    amounts: Amounts


def run_pass(run: Propagation, start: Tensor, *, keep_graph: bool) -> Pass:
    """Run the backward pass from `start` `[B]`; `keep_graph` if other passes follow."""
    run.books = Books(len(start)) if run.account else None
    leaves = [reading.vectors for reading in run.readings]
    # γ is 1 at each score. As an argument it would make torch import SymPy, in half a second.
    whole = start if start.numel() == 1 else start.sum()
    try:
        gammas = torch.autograd.grad(
            whole, [*leaves, *run.ends], retain_graph=keep_graph, allow_unused=True
        )
    except RuntimeError as error:
        if not run.overwrites:
            raise
        raise RefusedFunctionError(
            "A tensor is changed in place after another step has used it, so that relevance cannot "
            "flow back through that step. Write the change without the in-place operation."
        ) from error
    return Pass(list(gammas[: len(leaves)]), {} if run.books is None else run.books.close())


def run_selected(run: Propagation, starts: Sequence[Tensor], recorder: LayerRecorder) -> list[Pass]:
    """Run a pass for each of `starts`, and let the recorder record, or select units, on the way."""
    total: list[Pass] = []
    for sign, last in recorder.selections():
        if recorder.records:
            found = []
            for each in iter_passes(run, starts):
                found.append(each)
                recorder.close_pass(len(starts[0]))
        else:
            found = run_passes(run, starts, again=not last)
        total = [_added(a, b, sign) for a, b in zip(total, found, strict=True)] if total else found
    return total


def _added(one: Pass, other: Pass, sign: int) -> Pass:
    """Return γ of one pass plus or minus that of another; there are no amounts of a ledger."""
    gammas: list[Tensor | None] = []
    for a, b in zip(one.gammas, other.gammas, strict=True):
        gammas.append(a if b is None else sign * b if a is None else a + sign * b)
    return Pass(gammas, {})


def iter_passes(run: Propagation, starts: Sequence[Tensor], again: bool = False) -> Iterator[Pass]:
    """Run a pass for each of `starts`, one after the other; `again` if other passes follow."""
    for k, start in enumerate(starts):
        yield run_pass(run, start, keep_graph=again or k + 1 < len(starts))


def run_passes(run: Propagation, starts: Sequence[Tensor], again: bool = False) -> list[Pass]:
    """Run a pass for each of `starts`, in one joint pass if the laws in use allow it."""
    at_once = min(TOKENS // torch.Size(run.ids_shape).numel(), len(starts))
    if at_once > 1:
        try:
            return _run_together(run, starts, at_once)
        except (RuntimeError, UserWarning):  # an operation without support for torch.vmap
            pass
    return list(iter_passes(run, starts, again))


def _run_together(run: Propagation, starts: Sequence[Tensor], at_once: int) -> list[Pass]:
    leaves = [reading.vectors for reading in run.readings]
    scores = torch.stack(list(starts))  # [C, B]
    reached: list[int] = []

    def backward(seed: Tensor) -> tuple[list[Tensor], Amounts]:
        run.books = Books(scores.shape[1]) if run.account else None
        gammas = torch.autograd.grad(
            scores, [*leaves, *run.ends], seed, retain_graph=True, allow_unused=True
        )
        reached[:] = [k for k in range(len(leaves)) if gammas[k] is not None]
        return [gammas[k] for k in reached], {} if run.books is None else run.books.close()

    seeds = torch.eye(len(starts), dtype=scores.dtype, device=scores.device)
    seeds = seeds.unsqueeze(-1).expand(-1, -1, scores.shape[1])  # [C, C, B]
    found = []
    for part in torch.split(seeds, at_once):
        gammas, amounts = torch.vmap(backward)(part)
        for k in range(len(part)):
            of_target: list[Tensor | None] = [None] * len(leaves)
            for place, gamma in zip(reached, gammas, strict=True):
                of_target[place] = gamma[k]
            found.append(Pass(of_target, {key: amount[k] for key, amount in amounts.items()}))
    return found
