"""Contenders timed side by side, so that what slows the machine down slows all of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from seqlrp.benchmark.contenders import Contender

FEWEST, MOST = 3, 200  # rounds

Clock = Callable[[], float]


@dataclass(frozen=True, eq=False)
class Timed:
    """Seconds of one contender in each round it took part in, and what it computed at last.

    Without rounds, it was left out because one call would take longer than allowed.
    """

    seconds: tuple[float, ...]
    result: Tensor | None


def time_interleaved(
    contenders: Mapping[str, Contender], *, seconds: float, limit: float, clock: Clock, seed: int
) -> dict[str, Timed]:
    """Time every contender once a round, in an order that changes from round to round.

    A contender that is iterated sits rounds out while it has taken more time than the others
    together, so that it is measured once at least and costs as much as they do at most.

    Args:
        contenders: the first is what `expected` of the others is in units of.
        seconds: for all rounds, without the iterated ones; there are `FEWEST` rounds at least.
        limit: contenders whose single call is expected to take longer, in seconds, are left out.
        clock: gives the time in seconds.
        seed: of the order.
    """
    results: dict[str, Tensor] = {}

    def timed(name: str) -> float:
        start = clock()
        results[name] = contenders[name].run()
        return clock() - start

    first = next(iter(contenders))
    unit = timed(first)
    if unit <= limit:
        unit = min(unit, timed(first))  # the first call also loads and allocates
    running = [name for name, c in contenders.items() if unit * c.expected <= limit]
    for name in running:
        if name != first and not contenders[name].iterated:
            timed(name)  # for the same reason
    steady = [name for name in running if not contenders[name].iterated]
    values: dict[str, list[float]] = {name: [] for name in contenders}
    order, spent, rounds = random.Random(seed), 0.0, 0
    while steady and (rounds < FEWEST or (spent < seconds and rounds < MOST)):
        joining = [name for name in running if name in steady or sum(values[name]) <= spent]
        for name in order.sample(joining, len(joining)):
            values[name].append(timed(name))
        spent = sum(sum(values[name]) for name in steady)
        rounds += 1
    return {name: Timed(tuple(values[name]), results.get(name)) for name in contenders}
