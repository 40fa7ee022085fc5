"""Blocks of sequences, each computed from its first to its last step by one thread.

The threads are those of OpenMP in which torch itself computes, where they can be had. After each
parallel function of torch they wait for the next one for milliseconds without giving up their
cores, which any other threads would have to share with them.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import torch

# Multiplications, from which on a second thread saves more than it costs; and where it is started
# for them, which takes longer than to wake one of OpenMP.
WORTH_THREADS = 2**23
WORTH_STARTING = 2**25
FEWEST = 6  # sequences in a block; fewer read the weights as often for less
ROOMY = 16  # sequences in a block, that it has at least where a thread gets two

_Task = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_PROCESS = os.getpid()


def run_in_blocks(
    jobs: Sequence[Callable[[int, int], object]], sequences: int, multiplications: int
) -> None:
    """Call each job on blocks `[begin, end)` of the sequences, in as many threads as torch uses.

    The calling thread is one of them. Each takes the next block when it has finished one, so that
    nobody waits for a thread that finds no core.

    Args:
        jobs: functions that release the GIL, and write nothing that another call reads or writes.
        sequences: all of them.
        multiplications: of all jobs together.
    """
    least = WORTH_STARTING if _open_mp() is None else WORTH_THREADS
    threads = torch.get_num_threads() if multiplications >= least else 1
    if threads == 1:
        for job in jobs:
            job(0, sequences)
        return
    blocks = _blocks(sequences, threads)
    calls = [partial(job, *block) for block in blocks for job in jobs]
    if len(calls) == 1:
        calls[0]()
        return
    waiting, errors = deque(calls), deque[BaseException]()

    def work(_: Any = None) -> None:
        try:
            while not errors:
                try:
                    call = waiting.popleft()
                except IndexError:
                    return
                call()
        except BaseException as error:
            errors.append(error)

    _run_in_threads(work, min(threads, len(calls)))
    if errors:
        raise errors[0]


def _run_in_threads(work: Callable[..., None], threads: int) -> None:
    """Call a function that raises nothing, in this thread and at the same time in others."""
    parallel = _open_mp()
    if parallel is not None and os.getpid() == _PROCESS:  # a fork leaves its threads behind
        parallel(_Task(work), None, threads, 0)
        return
    with ThreadPoolExecutor(threads - 1) as pool:
        for _ in range(threads - 1):
            pool.submit(work)
        work()


@cache
def _open_mp() -> Any:
    """Return the function of torch's OpenMP that calls another in several threads, or None."""
    try:
        return ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):  # macOS, or Windows
        return None


def _blocks(sequences: int, threads: int) -> list[tuple[int, int]]:
    """Return blocks of nearly equal size: two a thread if they are large enough, or fewer."""
    count = threads if sequences < 2 * ROOMY * threads else 2 * threads
    count = max(1, min(count, sequences // FEWEST))
    ends = [sequences * (k + 1) // count for k in range(count)]
    return list(zip([0, *ends[:-1]], ends, strict=True))
