"""The backward passes of one run: a pass for each target, or one pass in which all of them ride.

Targets have the forward pass in common, and on the way back the factors that multiply γ. Under
`torch.vmap` γ has one more dimension, of targets, and the recurrences go back once for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlrp.lrp.ledger import Books
from seqlrp.lrp.propagate import Propagation

Account = dict[tuple[str, str, str], Tensor]
TOKENS = 16_384  # times targets ride together: more of them fall out of a processor's caches


class Pass(NamedTuple):
    """What one target found: γ at each reading, and the entries of the ledger."""

    gammas: list[Tensor | None]
    account: Account


def one(run: Propagation, start: Tensor, *, again: bool) -> Pass:
    """The pass that begins in `start` `[B]`; `again` if others follow."""
    run.books = Books(len(start)) if run.account else None
    leaves = [reading.vectors for reading in run.readings]
    gammas = torch.autograd.grad(
        start, [*leaves, *run.ends], torch.ones_like(start), retain_graph=again, allow_unused=True
    )
    return Pass(list(gammas[: len(leaves)]), {} if run.books is None else run.books.close())


def in_turn(run: Propagation, starts: Sequence[Tensor]) -> Iterator[Pass]:
    """A pass for each of `starts`, one after the other."""
    for k, start in enumerate(starts):
        yield one(run, start, again=k + 1 < len(starts))


def several(run: Propagation, starts: Sequence[Tensor]) -> list[Pass]:
    """A pass for each of `starts`, all in one wherever the laws that were used can do that."""
    at_once = min(TOKENS // torch.Size(run.ids_shape).numel(), len(starts))
    if at_once > 1:
        try:
            return _together(run, starts, at_once)
        except (RuntimeError, UserWarning):  # an operation that knows no dimension of targets
            pass
    return list(in_turn(run, starts))


def _together(run: Propagation, starts: Sequence[Tensor], at_once: int) -> list[Pass]:
    leaves = [reading.vectors for reading in run.readings]
    scores = torch.stack(list(starts))  # [C, B]
    reached: list[int] = []

    def passed(seed: Tensor) -> tuple[list[Tensor], Account]:
        run.books = Books(scores.shape[1]) if run.account else None
        gammas = torch.autograd.grad(
            scores, [*leaves, *run.ends], seed, retain_graph=True, allow_unused=True
        )
        reached[:] = [k for k in range(len(leaves)) if gammas[k] is not None]
        return [gammas[k] for k in reached], {} if run.books is None else run.books.close()

    seeds = torch.eye(len(starts), dtype=scores.dtype, device=scores.device)
    seeds = seeds.unsqueeze(-1).expand(-1, -1, scores.shape[1])  # [C, C, B]
    gammas, account = torch.vmap(passed, chunk_size=at_once)(seeds)
    found = []
    for k in range(len(starts)):
        of_target: list[Tensor | None] = [None] * len(leaves)
        for place, gamma in zip(reached, gammas, strict=True):
            of_target[place] = gamma[k]
        found.append(Pass(of_target, {key: amounts[k] for key, amounts in account.items()}))
    return found
