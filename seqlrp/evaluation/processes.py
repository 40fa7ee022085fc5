"""Processes beside this one that measure for the same evaluation."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def beside(count: int, function: Callable[..., object], *arguments: object) -> Iterator[None]:
    """Call a function in so many processes while the block runs, which share its cores.

    What they raise is for the block to find out, and they end with it.

    Args:
        count: how many processes.
        function: a function of a module.
        arguments: for it, which can be pickled.
    """
    if not count:
        yield
        return
    import torch

    before, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    threads = max(cores // (count + 1), 1)
    context = multiprocessing.get_context("spawn")
    started = [
        context.Process(target=_run, args=(threads, function, arguments), daemon=True)
        for _ in range(count)
    ]
    try:
        for process in started:
            process.start()
        torch.set_num_threads(threads)
        yield
    finally:
        torch.set_num_threads(before)
        for process in started:
            if process.pid is not None:
                process.terminate()
                process.join()


def _run(threads: int, function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(threads)
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")  # the first process has the same
        function(*arguments)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
