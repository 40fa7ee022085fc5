"""Workers that are processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from seqlrp.scale.engine import Answer, answer_to
from seqlrp.scale.worker import Job, Task, Worker

_THREADS = "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"
_PATIENCE = 5.0  # seconds in which a worker may end by itself


class Processes:
    """Processes that are started afresh (`spawn`), each with its share of cores or its GPU.

    Args:
        job: what workers do.
        device: "cpu", or "cuda" for a GPU each, in turn.
        workers: how many there are; None takes one for each core, or for each GPU.
    """

    def __init__(self, job: Job, device: str, workers: int | None) -> None:
        cores = len(os.sched_getaffinity(0))
        self.workers = workers or (_count_gpus() if device == "cuda" else cores)
        self._job = job
        self._device = device
        self._threads = max(cores // self.workers, 1)
        self._running: dict[int, tuple[BaseProcess, Connection]] = {}

    def start(self, worker: int) -> None:
        """Start a worker by its number, which takes the place of one that died."""
        context = multiprocessing.get_context("spawn")
        here, there = context.Pipe()
        arguments = (there, self._job, self._device_of(worker), self._threads)
        process = context.Process(
            target=_work, args=arguments, name=f"seqlrp-worker-{worker}", daemon=True
        )
        with _environment({name: str(self._threads) for name in _THREADS}):
            process.start()
        there.close()
        self._running[worker] = process, here

    def send(self, worker: int, task: Task) -> None:
        """Give a task to a worker that is ready."""
        with suppress(OSError):  # where it has died, `wait` will say so
            self._running[worker][1].send(task)

    def wait(self, seconds: float) -> Iterator[tuple[int, Answer]]:
        """Return the answers of workers as soon as there is one, or none after `seconds`."""
        connections = {here: worker for worker, (_, here) in self._running.items()}
        for ready in wait(list(connections), seconds):
            worker = connections[ready]  # type: ignore[index]
            try:
                answer: Answer = self._running[worker][1].recv()
            except (EOFError, OSError):
                status = self._end(worker)
                answer = Answer(died=_how_it_ended(status))
            else:
                if answer.died is not None:
                    self._end(worker)
            yield worker, answer

    def stop(self) -> None:
        """End all workers."""
        for process, _ in self._running.values():
            process.terminate()
        for worker in list(self._running):
            self._end(worker)

    def _end(self, worker: int) -> int | None:
        """End a worker; its exit status."""
        process, here = self._running.pop(worker)
        here.close()
        process.join(_PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
        return process.exitcode

    def _device_of(self, worker: int) -> str:
        return f"cuda:{worker % _count_gpus()}" if self._device == "cuda" else self._device


def _count_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _work(main: Connection, job: Job, device: str, threads: int) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the main process ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # instead of a semaphore that would outlive a killed worker
    torch.set_num_threads(threads)
    made: list[Worker] = []
    main.send(answer_to(lambda: made.append(Worker(job, device))))
    with suppress(EOFError, OSError):  # until the main process closes its end
        while made:
            main.send(answer_to(partial(made[0].do, main.recv())))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)


def _how_it_ended(status: int | None) -> str:
    if status is not None and status < 0:
        with suppress(ValueError):
            return f"The process was ended by {signal.Signals(-status).name}."
    return f"The process ended with status {status}."


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that are started in the block."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
