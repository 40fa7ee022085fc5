"""Blocks of sequences, each computed from its first to its last step by one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

# Multiplications, below which one thread is done before others have begun.
WORTH_THREADS = 2**25
FEWEST = 6  # sequences in a block; fewer read the weights as often for less


def run_in_blocks(
    jobs: Sequence[Callable[[int, int], object]], sequences: int, multiplications: int
) -> None:
    """Call each job on blocks `[begin, end)` of the sequences, in as many threads as torch uses.

    Args:
        jobs: functions that release the GIL, and write nothing that another call reads or writes.
        sequences: all of them.
        multiplications: of all jobs together.
    """
    threads = torch.get_num_threads() if multiplications >= WORTH_THREADS else 1
    blocks = _blocks(sequences, threads)
    calls = [partial(job, *block) for block in blocks for job in jobs]
    if threads == 1 or len(calls) == 1:
        for call in calls:
            call()
        return
    with ThreadPoolExecutor(min(threads, len(calls))) as pool:
        for done in [pool.submit(call) for call in calls]:
            done.result()


def _blocks(sequences: int, threads: int) -> list[tuple[int, int]]:
    """Return blocks of nearly equal size: two a thread if they are large enough, or fewer."""
    count = threads if sequences < 2 * FEWEST * threads else 2 * threads
    count = 1 if threads == 1 else max(1, min(count, sequences // FEWEST))
    ends = [sequences * (k + 1) // count for k in range(count)]
    return list(zip([0, *ends[:-1]], ends, strict=True))
