"""Runs that are killed at random moments, and what they leave behind."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import seqlrp
import seqlrp.scale
from samples.sharded import contents, failing_classifier
from seqlrp.scale.log import LOG


@contextmanager
def forked_workers() -> Iterator[None]:
    """Start workers by `fork`, in milliseconds; all else is as with `spawn`."""
    forks = multiprocessing.get_context("fork")
    with mock.patch.object(multiprocessing, "get_context", return_value=forks):
        yield


def children(process: int) -> list[int]:
    """The processes that a process started, in any thread, and that still run."""
    found: list[int] = []
    for listed in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, listed.read_text().split())
    return found


def count_lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def runs(process: int) -> bool:
    """Whether a process has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


class Kills:
    """Explains a source again and again, and kills the run, or a worker of it, at some moment.

    Args:
        saved: the folder of `samples.sharded.save_classifier`.
        source: the texts.
        folder: where runs write; a subfolder each.
        options: of `seqlrp.scale.explain`.
    """

    def __init__(self, saved: Path, source: Path, folder: Path, **options: object) -> None:
        self._folder, self._count = folder, 0
        self._explain: Callable[[Path], object] = lambda out: seqlrp.scale.explain(
            saved, source, out, factory=failing_classifier, progress=False,
            **{"workers": 2, "shard_size": 10, **options},
        )  # fmt: skip
        classifier = seqlrp.load(saved, factory=failing_classifier)
        list(
            seqlrp.explain(classifier, ["a good film"], progress=False)
        )  # loads all that is forked
        begun = time.monotonic()
        assert self._wait(self._start(folder / "calm")) == 0
        self.lasts = time.monotonic() - begun
        self.calm = contents(folder / "calm")
        self._events = count_lines(folder / "calm" / LOG)

    def at(self, drawn: random.Random, victim: str) -> str:
        """Kill "main" or a "worker" at a moment that is drawn, go on, and check the folder.

        Returns:
            what happened: "killed main", "killed worker", or "too late".
        """
        self._count += 1
        out = self._folder / f"run-{self._count}"
        main = self._start(out)
        wanted = drawn.randrange(self._events)  # a moment of the run, however fast the machine is
        while count_lines(out / LOG) < wanted and runs(main):
            time.sleep(0.002)
        time.sleep(drawn.uniform(0, 1.5) * self.lasts / self._events)
        workers = children(main)
        chosen = main if victim == "main" else drawn.choice(workers or [0])
        happened = f"killed {victim}" if chosen and runs(chosen) else "too late"
        if happened != "too late":
            os.kill(chosen, signal.SIGKILL)
        if self._wait(main) != 0:
            assert victim == "main", "a run does not survive the death of a worker"
            self._check_ended(workers)
            assert self._wait(self._start(out)) == 0
        self._check_ended(workers)
        left = sorted(path.name for path in out.iterdir() if path.name.startswith("."))
        assert left in ([], [".lock"]), f"left behind: {left}"
        assert contents(out) == self.calm, f"moment {self._count}: other parts"
        return happened

    def _start(self, out: Path) -> int:
        process = os.fork()
        if process:
            return process
        status = 1
        try:
            with forked_workers():
                self._explain(out)
            status = 0
        finally:
            os._exit(status)

    @staticmethod
    def _wait(process: int) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])

    @staticmethod
    def _check_ended(workers: list[int]) -> None:
        deadline = time.monotonic() + 60
        while any(map(runs, workers)):
            assert time.monotonic() < deadline, "workers outlive the run"
            time.sleep(0.02)
