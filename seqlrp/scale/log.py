"""The log of a folder: events as JSON lines, which say what shards are finished.

A shard is finished where the log says so and its file has the hash that the log has. What a run
that was killed wrote without a line in the log is written again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seqlrp.errors import WriteError
from seqlrp.explanations.parts import part_path
from seqlrp.scale.worker import Finished, file_digest

LOG = "_log.jsonl"


class Log:
    """Appends events to the log of a folder, each as soon as it happens.

    Raises:
        WriteError: the file system refused.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOG
        try:
            self._file = self._path.open("ab")
            if self._path.stat().st_size and not _ends_a_line(self._path):  # it was cut off
                self._file.write(b"\n")
        except OSError as error:
            raise self._write_error(error) from error

    def note(self, event: str, **facts: Any) -> None:
        """Write an event with the time and its facts, JSON values."""
        line = json.dumps({"time": round(time.time(), 3), "event": event, **facts}) + "\n"
        try:
            self._file.write(line.encode("ascii"))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._write_error(error) from error

    def finished(self, found: Finished) -> None:
        """Write that a shard is finished."""
        facts = found._asdict()
        facts["failed"] = list(found.failed.items())  # JSON has no keys that are numbers
        self.note("finished", **facts)

    def close(self) -> None:
        """Close the file."""
        try:
            self._file.close()
        except OSError as error:
            raise self._write_error(error) from error

    def _write_error(self, error: OSError) -> WriteError:
        return WriteError(
            f"Could not write {self._path}: {error.strerror or error}; finished shards are kept.",
            got=self._path,
        )


@dataclass
class LastRun:
    """What the log says of the run that began last.

    Attributes:
        began: when, in seconds since 1970.
        last: when the last event was written.
        ready: when the first worker had loaded the model, None where none had.
        shard_at: when the last shard was finished, None where none was.
        workers: how many it has at most.
        shards: those that it finished.
        died: how many of its workers died.
        end: "ended" or "stopped"; None where it goes on, or was killed.
        reason: why it was stopped.
    """

    began: float
    last: float
    ready: float | None = None
    shard_at: float | None = None
    workers: int = 0
    shards: list[int] = field(default_factory=list)
    died: int = 0
    end: str | None = None
    reason: str = ""


def read_log(folder: Path) -> tuple[dict[int, Finished], LastRun | None]:
    """The shards that are finished, by number, and the last run, None where there was none.

    A shard is finished where the log says so and its file is there in its size. Where a shard was
    written again, the last time counts. Lines that were cut off are passed over.
    """
    found: dict[int, Finished] = {}
    run: LastRun | None = None
    for at, event, facts in _events(folder):
        if event == "began":
            run = LastRun(at, at, workers=int(facts.get("workers") or 0))
        known = _finished(facts) if event == "finished" else None
        if known is not None:
            found[known.shard] = known
        if run is None:
            continue
        run.last = at
        if known is not None:
            run.shards.append(known.shard)
            run.shard_at = at
        elif event == "ready":
            run.ready = at
        elif event == "died":
            run.died += 1
        elif event in ("ended", "stopped"):
            run.end, run.reason = event, str(facts.get("reason") or "")
    return {n: f for n, f in found.items() if _has_size(part_path(folder, n), f.size)}, run


def read_finished(folder: Path) -> dict[int, Finished]:
    """The shards that are finished, by number; see `read_log`."""
    return read_log(folder)[0]


def is_whole(folder: Path, found: Finished) -> bool:
    """Whether the file of a finished shard has the content that it was written with."""
    try:
        return file_digest(part_path(folder, found.shard)) == found.digest
    except OSError:
        return False


def _events(folder: Path) -> Iterator[tuple[float, str, dict[str, Any]]]:
    """When each event was, its name, and what else is known of it."""
    path = folder / LOG
    if not path.is_file():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                facts = json.loads(line)
                event = float(facts.pop("time")), str(facts.pop("event")), facts
            except (AttributeError, KeyError, TypeError, ValueError):
                continue
            yield event


def _finished(facts: dict[str, Any]) -> Finished | None:
    try:
        failed = {int(number): str(reason) for number, reason in facts["failed"]}
        return Finished(**{name: (facts | {"failed": failed})[name] for name in Finished._fields})
    except (KeyError, TypeError, ValueError):
        return None


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"
