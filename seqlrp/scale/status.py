"""The progress of the explanations in a folder, and the texts that were set aside."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from seqlrp.errors import SavedFileError
from seqlrp.scale.log import read_finished
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

    @property
    def complete(self) -> bool:
        """Whether all shards are finished."""
        return self.finished == self.shards

    def __str__(self) -> str:
        left_out = "".join(f", {n:,} left out {reason}" for reason, n in self.left_out.items())
        rate = f", {self.done / self.seconds:,.0f} a second and worker" if self.seconds else ""
        return (
            f"{self.finished:,} of {self.shards:,} shards, {self.done:,} of {self.documents:,} "
            f"documents: {self.explained:,} explained{left_out}, {self.failed:,} set aside; "
            f"{self.words:,} words, {self.size / 1e6:,.1f} MB{rate}"
        )


def status(folder: str | os.PathLike[str]) -> Status:
    """Return the progress of a folder, without opening its parts.

    Raises:
        SavedFileError: it holds no plan, or a damaged one.
    """
    folder = Path(folder)
    plan = Plan.load(folder)
    if plan is None:
        raise SavedFileError(
            f"{folder} holds no plan of shards.", "Give a folder that seqlrp.scale.explain began."
        )
    finished = list(read_finished(folder).values())
    left_out: Counter[str] = Counter()
    for found in finished:
        left_out.update(found.left_out)
    return Status(
        folder,
        shards=len(plan.shards),
        finished=len(finished),
        documents=plan.documents,
        done=sum(plan.shards[found.shard].documents for found in finished),
        explained=sum(found.explained for found in finished),
        left_out=dict(left_out),
        failed=sum(len(found.failed) for found in finished),
        words=sum(found.words for found in finished),
        size=sum(found.size for found in finished),
        seconds=sum(found.seconds for found in finished),
    )


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
