"""Runs that are killed, or whose disk fails, at random moments, and what they leave behind."""

from __future__ import annotations

import contextlib
import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import seqlrp.scale
from samples.sharded import InProcess, contents, failing_classifier
from seqlrp.errors import WriteError
from seqlrp.scale import run
from seqlrp.scale.log import LOG

NOT_WRITTEN = 3  # the exit status of a run that ended by a WriteError


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


def runs(process: int) -> bool:
    """Whether a process has not ended."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def on_writes(folder: Path, do: Callable[[], None]) -> None:
    """From now on call `do` in this process before anything is written to a folder."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"):
            here = any(str(folder) in str(argument) for argument in arguments)
            reads = event == "open" and not int(str(arguments[2])) & (os.O_WRONLY | os.O_RDWR)
            if here and not reads:
                do()

    sys.addaudithook(hook)


def check_folder(out: Path, calm: dict[str, bytes]) -> None:
    """Check that a folder has what an undisturbed run gives, and nothing else."""
    left = sorted(path.name for path in out.iterdir() if path.name.startswith("."))
    assert left in ([], [".lock"]), f"left behind: {left}"
    assert contents(out) == calm, "other parts"


class Moment(NamedTuple):
    """So many seconds after a run has written so many lines to its log."""

    lines: int
    seconds: float


class Moments:
    """Draws moments of a run, as likely in each part of it, however fast the machine is.

    Args:
        log: of a run that was not disturbed.
        begun: when it began.
    """

    def __init__(self, log: Path, begun: float) -> None:
        times = [json.loads(line)["time"] for line in log.read_text().splitlines()]
        self._gaps = [max(b - a, 0.0) for a, b in pairwise([begun, *times])]

    def draw(self, drawn: random.Random, least: int = 0) -> Moment:
        """Draw a moment after at least so many lines."""
        lines = drawn.randrange(least, len(self._gaps))
        return Moment(lines, drawn.uniform(0, self._gaps[lines]))


def wait_until(moment: Moment, log: Path, goes_on: Callable[[], bool]) -> None:
    """Wait until a moment of a run has come, or it no longer goes on."""
    while goes_on() and (log.read_bytes().count(b"\n") if log.exists() else 0) < moment.lines:
        time.sleep(0.002)
    time.sleep(moment.seconds)


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
        with mock.patch.object(run, "_engine", lambda name, job, *rest: InProcess(job)):
            self._explain(folder / "here")  # loads all that is forked
        begun, calm = time.time(), folder / "calm"
        assert self._wait(self._start(calm)) == 0
        self.lasts = time.time() - begun
        self.calm, self._moments = contents(calm), Moments(calm / LOG, begun)

    def at(self, drawn: random.Random, victim: str) -> bool:
        """Do harm at a moment that is drawn, go on, and check the folder.

        Args:
            drawn: draws the moment.
            victim: "main" or a "worker" is killed; the disk is "full" (a file system in memory,
                which only root can mount), or becomes "read-only".

        Returns:
            whether the moment came before the end.
        """
        self._count += 1
        place = self._folder / f"run-{self._count}"
        place.mkdir()
        with _small_disk(place) if victim == "full" else contextlib.nullcontext():
            return self._at(drawn, victim, place / "out", place / "fault")

    def _at(self, drawn: random.Random, victim: str, out: Path, fault: Path) -> bool:
        main = self._start(out, fault if victim == "read-only" else None)
        wait_until(self._moments.draw(drawn), out / LOG, lambda: runs(main))
        workers = children(main)
        came = runs(main) and (victim != "worker" or bool(workers))
        if came and victim == "full":
            _fill(fault)
        elif came and victim == "read-only":
            fault.touch()
        elif came:
            os.kill(main if victim == "main" else drawn.choice(workers), signal.SIGKILL)
        status = self._wait(main)
        self._check_ended(workers)
        fault.unlink(missing_ok=True)
        if status != 0:
            assert status == {"main": -signal.SIGKILL, "worker": 0}.get(victim, NOT_WRITTEN)
            assert self._wait(self._start(out)) == 0
        check_folder(out, self.calm)
        return came and (status != 0 or victim == "worker")

    def _start(self, out: Path, fault: Path | None = None) -> int:
        """Begin a run in a fork; where the file `fault` is there, nothing can be written."""
        process = os.fork()
        if process:
            return process
        status = 1
        try:
            if fault is not None:
                on_writes(out, lambda: _refuse(fault))
            with forked_workers():
                self._explain(out)
            status = 0
        except WriteError:
            status = NOT_WRITTEN
        except BaseException:
            traceback.print_exc()
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


def _refuse(fault: Path) -> None:
    if fault.exists():
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))


@contextmanager
def _small_disk(place: Path) -> Iterator[None]:
    """Mount a file system of 2 MB."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", place], check=True)


def _fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
