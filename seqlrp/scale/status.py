"""The progress of the explanations in a folder, and the texts that were set aside."""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from seqlrp.errors import SavedFileError
from seqlrp.scale.lock import is_locked
from seqlrp.scale.log import LastRun, read_finished, read_log
from seqlrp.scale.plan import Plan
from seqlrp.writing import written_whole

FAILED = "_failed.parquet"


@dataclass(frozen=True)
class Status:
    """The progress of the explanations in a folder.

    Attributes:
        folder: which.
        shards: how many it has.
        finished: how many of them are finished.
        documents: of the sources.
        done: documents of finished shards: explained, left out or set aside.
        explained: documents that have relevance.
        left_out: how many documents have none, by reason, as was asked for.
        failed: documents that were set aside, listed in `_failed.parquet`.
        words: that were explained.
        size: of the finished parts, in bytes.
        seconds: that workers took for them, added up.
        running: whether a run is at work in it; None where that cannot be seen, on Windows and on
            file systems without locks.
        rate: documents a second of the last run, all workers together, since the first of them was
            ready; 0 where it finished no shard.
        activity: a sentence about the last run: its workers, rate and time left, or how it ended.
    """

    folder: Path
    shards: int
    finished: int
    documents: int
    done: int
    explained: int
    left_out: dict[str, int]
    failed: int
    words: int
    size: int
    seconds: float
    running: bool | None
    rate: float
    activity: str

    @property
    def complete(self) -> bool:
        """Whether all shards are finished."""
        return self.finished == self.shards

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at the rate of the last run; None where it has no rate yet."""
        return (self.documents - self.done) / self.rate if self.rate else None

    def __str__(self) -> str:
        left_out = "".join(f", {n:,} left out {reason}" for reason, n in self.left_out.items())
        rate = f", {self.done / self.seconds:,.0f} a second and worker" if self.seconds else ""
        return (
            f"{self.finished:,} of {self.shards:,} shards, {self.done:,} of {self.documents:,} "
            f"documents ({100 * self.done / self.documents:.1f} %): {self.explained:,} explained"
            f"{left_out}, {self.failed:,} set aside; "
            f"{self.words:,} words, {self.size / 1e6:,.1f} MB{rate}"
        )


def status(folder: str | os.PathLike[str]) -> Status:
    """Return the progress of a folder, without opening its parts.

    Raises:
        SavedFileError: it holds no plan, or a damaged one.
    """
    folder = Path(folder)
    running = is_locked(folder)
    plan = Plan.load(folder)
    if plan is None:
        if running:
            raise SavedFileError(f"{folder} has no plan yet: a run reads the sources to make it.")
        raise SavedFileError(
            f"{folder} holds no plan of shards." if folder.is_dir() else f"There is no {folder}.",
            "Give a folder that seqlrp.scale.explain began.",
        )
    by_number, run = read_log(folder)
    finished = list(by_number.values())
    left_out: Counter[str] = Counter()
    for found in finished:
        left_out.update(found.left_out)
    done = sum(plan.shards[found.shard].documents for found in finished)
    rate = _rate(plan, run)
    left = (plan.documents - done) / rate if rate else None
    return Status(
        folder,
        shards=len(plan.shards),
        finished=len(finished),
        documents=plan.documents,
        done=done,
        explained=sum(found.explained for found in finished),
        left_out=dict(left_out),
        failed=sum(len(found.failed) for found in finished),
        words=sum(found.words for found in finished),
        size=sum(found.size for found in finished),
        seconds=sum(found.seconds for found in finished),
        running=running,
        rate=rate,
        activity=_activity(run, running, len(finished) == len(plan.shards), rate, left),
    )


def _rate(plan: Plan, run: LastRun | None) -> float:
    """Documents a second of a run, from its first worker to its last shard."""
    if run is None or run.ready is None or run.shard_at is None:
        return 0.0
    documents = sum(plan.shards[shard].documents for shard in run.shards)
    return documents / max(run.shard_at - run.ready, 1e-3)


def _activity(
    run: LastRun | None, running: bool | None, complete: bool, rate: float, left: float | None
) -> str:
    """A sentence about the last run."""
    if run is None:
        return "A run is about to begin." if running else "No run has begun."
    if complete and not running:
        return f"Complete since {_clock(run.last)}."
    if running or (running is None and run.end is None):
        found = f"Running since {_clock(run.began)} with up to {run.workers:,} workers"
        if left is not None:
            found += f", {rate:,.0f} documents a second, {_span(left)} left"
        found += f", workers that died: {run.died:,}" if run.died else ""
        return found + f"; heard of {_span(time.time() - run.last)} ago."
    how = (
        f"Stopped at {_clock(run.last)}: {run.reason}"
        if run.end
        else (f"Not running: the last run was killed, and was last heard of at {_clock(run.last)}.")
    )
    return f"{how} The same command goes on from there."


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "seconds")


def _span(seconds: float) -> str:
    return str(timedelta(seconds=max(round(seconds), 0)))


def write_failed(folder: Path, plan: Plan) -> None:
    """Write `_failed.parquet`: number, source, row and reason of each text that was set aside.

    Where there is none, there is no file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    failed = sorted(f for found in read_finished(folder).values() for f in found.failed.items())
    if not failed:
        with suppress(OSError):
            (folder / FAILED).unlink(missing_ok=True)
        return
    places = [plan.place(number) for number, _ in failed]
    table = pa.table(
        {
            "number": pa.array([number for number, _ in failed], pa.int64()),
            "source": pa.array([place.url for place in places], pa.string()),
            "row": pa.array([place.row for place in places], pa.int64()),
            "reason": pa.array([reason for _, reason in failed], pa.string()),
        }
    )
    with written_whole(folder / FAILED) as temporary:
        pq.write_table(table, temporary)
