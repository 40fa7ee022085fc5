"""Finds the size of a shard for many workers that are taken away: a discrete simulation.

Each worker starts, then explains shard after shard, until it is taken away at a time drawn from an
exponential distribution. Then its shard is lost, and goes to the next worker that is free; another
worker starts after a delay. One process hands out all shards and writes the log, one after the
other. `python tests/benchmarks/cluster_simulation.py` prints how much longer than the bare
explaining, divided among all workers, a run takes.
"""

from __future__ import annotations

import argparse
import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np


@dataclass(frozen=True)
class Cluster:
    """What is measured, or known of a cluster; times in seconds.

    Attributes:
        workers: how many.
        documents: in all.
        rate: documents a second that a worker explains.
        start: of a worker: its process, its imports and the model.
        delay: until a worker that was taken away has a successor.
        lifetime: of a worker, on average.
        shard: what a shard costs a worker besides explaining: opening files, writing, hashing.
        hand: what a shard costs the process that hands it out: messages, and a line in the log.
    """

    workers: int = 1000
    documents: int = 100_000_000
    rate: float = 150.0
    start: float = 5.0
    delay: float = 60.0
    lifetime: float = 3600.0
    shard: float = 0.2
    hand: float = 0.005

    @property
    def ideal(self) -> float:
        """The time of explaining alone, if workers lived for ever and no time were lost."""
        return self.documents / (self.rate * self.workers)


def simulate(cluster: Cluster, size: int, seed: int = 0) -> float:
    """The time of a whole run with shards of `size` documents, in seconds."""
    random = np.random.default_rng(seed)
    left = -(-cluster.documents // size)  # to be handed out
    unfinished = left
    lasts = size / cluster.rate + cluster.shard
    order = count()  # so that no two events compare by more than their times
    events: list[tuple[float, int, float, bool]] = []  # time, order, end of the worker, has a shard
    main_free = now = 0.0

    def begin(at: float) -> None:
        ready = at + cluster.start
        heapq.heappush(
            events, (ready, next(order), ready + random.exponential(cluster.lifetime), False)
        )

    for _ in range(min(cluster.workers, left)):
        begin(0.0)
    idle: list[float] = []  # the ends of workers for which there was no shard
    while unfinished:
        now, _, end, has = heapq.heappop(events)
        if has and now >= end:  # taken away in the middle of a shard
            left += 1
            begin(now + cluster.delay)
            if not idle:
                continue
            end = idle.pop()
            if end <= now:
                end = now + random.exponential(cluster.lifetime)
        elif has:
            unfinished -= 1
        if not left:
            idle.append(end)
            continue
        left -= 1
        main_free = max(main_free, now) + cluster.hand
        heapq.heappush(events, (min(main_free + lasts, end), next(order), end, True))
    return now


def overheads(cluster: Cluster, sizes: list[int], seeds: int = 2) -> dict[int, float]:
    """The time of a run divided by the ideal, the mean of several seeds, for each size."""
    return {
        size: float(np.mean([simulate(cluster, size, seed) for seed in range(seeds)]))
        / cluster.ideal
        for size in sizes
    }


def main() -> None:
    """Print a table of overheads."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=Cluster.rate)
    parser.add_argument("--start", type=float, default=Cluster.start)
    parser.add_argument("--shard", type=float, default=Cluster.shard)
    parser.add_argument("--hand", type=float, default=Cluster.hand)
    options = vars(parser.parse_args())
    sizes = [4**k for k in range(4, 9)]
    print("| mean life of a worker |", " | ".join(f"{size:,}" for size in sizes), "|")
    print("| --- |" + " --- |" * len(sizes))
    for name, lifetime in (("10 min", 600.0), ("1 h", 3600.0), ("24 h", 86400.0)):
        found = overheads(Cluster(lifetime=lifetime, **options), sizes)
        print(f"| {name} |", " | ".join(f"{value:.2f}" for value in found.values()), "|")


if __name__ == "__main__":
    main()
