"""Jobs of many requests on one thread: those that wait together share a batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from seqlrp.serve.limits import RequestError

Run = Callable[[Any, Sequence[Any]], Sequence[Any]]


class _Job(NamedTuple):
    kind: Hashable
    item: Any
    future: Future[Any]


class SharedBatches:
    """Runs jobs one batch after the other, on a thread of its own.

    Args:
        run: takes a kind and the items of all waiting jobs of that kind, and returns a result for
            each; an exception among the results is raised for that job alone.
        waiting: the most jobs that wait.
    """

    def __init__(self, run: Run, waiting: int) -> None:
        self._run = run
        self._jobs: queue.Queue[_Job | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._work, name="seqlrp-serve", daemon=True)
        self._thread.start()

    def submit(self, kind: Hashable, item: Any) -> Future[Any]:
        """Add a job, and return the future of its result.

        Raises:
            RequestError: too many jobs wait, status 503.
        """
        job = _Job(kind, item, Future())
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise RequestError(
                503, "busy", "Too many requests wait for the model; try again in a moment."
            ) from None
        return job.future

    def close(self) -> None:
        """Finish the jobs that wait, and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        open_ = True
        while open_:
            jobs = [self._jobs.get()]
            while not self._jobs.empty():
                jobs.append(self._jobs.get_nowait())
            open_ = None not in jobs
            groups: dict[Hashable, list[_Job]] = {}
            for job in jobs:
                # A request that was given up is not begun.
                if job is not None and job.future.set_running_or_notify_cancel():
                    groups.setdefault(job.kind, []).append(job)
            for kind, group in groups.items():
                self._answer(kind, group)

    def _answer(self, kind: Hashable, jobs: Sequence[_Job]) -> None:
        try:
            results = self._run(kind, [job.item for job in jobs])
        except Exception as error:
            results = [error] * len(jobs)
        for job, result in zip(jobs, results, strict=True):
            if isinstance(result, Exception):
                job.future.set_exception(result)
            else:
                job.future.set_result(result)
