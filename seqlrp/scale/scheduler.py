"""Gives shards to workers, and finds the text at which workers die."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from seqlrp.errors import CorpusError, ShardError, WriteError
from seqlrp.scale.engine import Answer, Engine
from seqlrp.scale.halving import Search, halve
from seqlrp.scale.log import Log
from seqlrp.scale.plan import Shard
from seqlrp.scale.progress import Workers
from seqlrp.scale.worker import Finished, OnError, Task, failure

_STARTS = 3  # how often in a row a worker may end before it is ready, to be started again
_TRIES = 6  # of a shard at which workers die, though none of its texts kills one by itself
_TICK = 1.0  # seconds


class Scheduler:
    """Runs shards on an engine until all are finished.

    A shard whose worker dies is tried once more. If that one dies, too, parts of it are tried, each
    half of the one before, until a single text is found at which workers die; without that text
    the shard is explained. All of a shard is always explained at once, so that its batches, and
    the last bits of relevance, are the same however often workers die.

    A worker that ends three times before it is ready is given up, as where its GPU is broken; the
    others go on without it.

    Args:
        engine: where workers run.
        log: where events are written.
        on_error: whether a text that fails ends the run, or is set aside.
        note: called with each finished shard.
        tick: called about once a second with how many workers there are.
    """

    def __init__(
        self,
        engine: Engine,
        log: Log,
        on_error: OnError,
        note: Callable[[Finished], None],
        tick: Callable[[Workers], None],
    ) -> None:
        self._engine, self._log = engine, log
        self._on_error, self._note, self._tick = on_error, note, tick
        self._todo: deque[Task] = deque()
        self._running: dict[int, Task] = {}
        self._idle: list[int] = []
        self._left = self._most = self._died = 0
        self._ready: set[int] = set()
        self._any_ready = False
        self._starts: Counter[int] = Counter()  # those in a row that failed, of each worker
        self._tries: Counter[int] = Counter()
        self._searches: dict[int, Search] = {}
        self._aside: dict[int, dict[int, str]] = {}

    def run(self, shards: Iterable[Shard]) -> None:
        """Explain shards.

        Raises:
            FailedTextError: a text fails, and `on_error` is "raise".
            ShardError: workers die, and no text is at fault.
            SeqlrpError: what a worker says is in the way of the whole run.
        """
        self._todo.extend(map(Task, shards))
        self._left = len(self._todo)
        try:
            self._most = min(self._engine.workers, self._left)
            self._log.note("began", shards=self._left, workers=self._most)
            for worker in range(self._most):
                self._engine.start(worker)
            while self._left:
                for worker, answer in self._engine.wait(_TICK):
                    self._take(worker, answer)
                    self._send()
                self._tick(Workers(self._most, len(self._ready), self._died))
        finally:
            self._engine.stop()

    def _send(self) -> None:
        while self._todo and self._idle:
            worker, task = self._idle.pop(), self._todo.popleft()
            self._running[worker] = task
            self._engine.send(worker, task)

    def _take(self, worker: int, answer: Answer) -> None:
        task = self._running.pop(worker, None)
        if answer.died is not None:
            self._replace(worker, task, answer.died)
            return
        if not self._any_ready:
            self._log.note("ready", worker=worker)
        self._any_ready = True
        self._starts[worker] = 0
        self._ready.add(worker)
        self._idle.append(worker)
        if answer.finished is not None and task is not None:
            self._send()  # the worker goes on while the log is forced onto the disk
            self._finish(task.shard, answer.finished)
        elif isinstance(answer.error, CorpusError | WriteError):  # the files, and not a text
            raise answer.error
        elif task is not None and task.attempt is not None:
            self._go_on(task.shard, None if answer.error is None else str(answer.error))
        elif answer.error is not None:
            raise answer.error

    def _replace(self, worker: int, task: Task | None, reason: str) -> None:
        """Start a worker in the place of one that died, and look at what it died of."""
        self._log.note("died", worker=worker, reason=reason, shard=task and task.shard.number)
        self._died += 1
        self._ready.discard(worker)
        if task is None:
            self._start_again(worker, reason)
            return
        self._engine.start(worker)
        if task.attempt is not None:
            self._go_on(task.shard, reason)
            return
        number = task.shard.number
        self._tries[number] += 1
        if self._tries[number] > _TRIES:
            raise ShardError(
                f"Workers die at shard {number}, and at no text of it by itself; the last: "
                f"{reason}",
                "Give each worker more memory, or take smaller shards or batches.",
            )
        if self._tries[number] % 2:
            self._todo.appendleft(task)
        else:
            first, aside = task.shard.first, self._aside.get(number, {})
            numbers = range(first, first + task.shard.documents)
            self._searches[number] = halve([n for n in numbers if n not in aside])
            self._go_on(task.shard, None)

    def _start_again(self, worker: int, reason: str) -> None:
        """Start a worker that ended before it was ready, or give it up."""
        self._starts[worker] += 1
        if self._starts[worker] < _STARTS:
            self._engine.start(worker)
            return
        self._log.note("given up", worker=worker, reason=reason)
        if sum(starts >= _STARTS for starts in self._starts.values()) == self._most:
            raise ShardError(
                f"Each worker ended {_STARTS} times before it was ready, the last so: {reason}",
                "In a script, call seqlrp.scale.explain under `if __name__ == '__main__':`; "
                "otherwise see what the workers print.",
            )

    def _go_on(self, shard: Shard, reason: str | None) -> None:
        """Go on with the search for the text at which workers die."""
        try:
            asked = self._searches[shard.number].send(reason)
            self._todo.appendleft(Task(shard, attempt=tuple(asked)))
        except StopIteration as end:
            del self._searches[shard.number]
            aside = self._aside.setdefault(shard.number, {})
            if end.value is not None:
                if self._on_error == "raise":
                    raise failure(*end.value) from None
                aside.update([end.value])
                self._tries[shard.number] = 1  # the next death begins a search at once
            self._todo.appendleft(Task(shard, aside))

    def _finish(self, shard: Shard, finished: Finished) -> None:
        self._log.finished(finished)
        self._left -= 1
        self._note(finished)
