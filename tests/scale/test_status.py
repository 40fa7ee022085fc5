"""What `status` says of a folder while a run is at work in it, and after it ended."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from samples.sharded import RAISES, InProcess, write_texts

from seqlrp.errors import FailedTextError, FolderInUseError, SavedFileError
from seqlrp.explanations.parts import MANIFEST, part_path
from seqlrp.scale import lock
from seqlrp.scale.lock import LOCK, is_locked, locked
from seqlrp.scale.log import LOG
from seqlrp.scale.status import status
from seqlrp.scale.worker import Task

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="locks cannot be seen")


@pytest.fixture
def folder(tmp_path: Path, explain) -> Path:  # type: ignore[no-untyped-def]
    """A folder with three of five shards, 30 of 47 texts, which took a second each."""
    write_texts(tmp_path / "a.jsonl", 47)
    out = tmp_path / "out"
    explain(tmp_path / "a.jsonl", out)
    events = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    began, ready, *finished = (e for e in events if e["event"] in ("began", "ready", "finished"))
    died = {"event": "died", "worker": 0, "reason": "", "shard": 2}
    kept = [began, ready, *finished[:2], died, finished[2]]
    now = time.time()
    for event, seconds in zip(kept, (60, 40, 30, 20, 15, 10), strict=True):
        event["time"] = now - seconds
    (out / LOG).write_text("".join(json.dumps(event) + "\n" for event in kept))
    for number in (3, 4):
        part_path(out, number).unlink()
    return out


def test_a_run_that_goes_on(folder) -> None:  # type: ignore[no-untyped-def]
    with FileLock(folder / LOCK):
        found = status(folder)
    assert found.running
    assert found.rate == pytest.approx(1.0, 1e-3)
    assert found.seconds_left == pytest.approx(17.0, 1e-3)
    assert (
        "with up to 2 workers, 1 documents a second, 0:00:17 left, workers that died: 1"
        in found.activity
    )
    assert str(found).startswith("3 of 5 shards, 30 of 47 documents (63.8 %): 30 explained")


def test_a_run_that_was_killed(folder) -> None:  # type: ignore[no-untyped-def]
    found = status(folder)
    assert found.running is False
    assert "the last run was killed" in found.activity
    assert "The same command goes on" in found.activity
    events = (folder / LOG).read_text().splitlines()
    (folder / LOG).write_text(events[0] + "\n")  # before its first shard
    assert (status(folder).rate, status(folder).seconds_left) == (0, None)
    (folder / LOG).unlink()
    assert status(folder).activity == "No run has begun."


def test_a_run_that_was_stopped_or_ended(tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 30, {17: RAISES})
    with pytest.raises(FailedTextError):
        explain(tmp_path / "a.jsonl", tmp_path / "out", on_error="raise")
    assert "FailedTextError: Text 17 cannot be explained" in status(tmp_path / "out").activity
    explain(tmp_path / "a.jsonl", tmp_path / "out")
    assert status(tmp_path / "out").activity.startswith("Complete since")


def test_a_run_that_was_interrupted(tmp_path, explain, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 30)
    send = InProcess.send

    def interrupted(self: InProcess, worker: int, task: Task) -> None:
        if task.shard.number == 1:
            raise KeyboardInterrupt
        send(self, worker, task)

    with monkeypatch.context() as patch:
        patch.setattr(InProcess, "send", interrupted)
        with pytest.raises(KeyboardInterrupt):
            explain(tmp_path / "a.jsonl", tmp_path / "out")
    found = status(tmp_path / "out")
    assert (found.running, found.complete) == (False, False)
    assert "it was interrupted. The same command goes on" in found.activity
    assert explain(tmp_path / "a.jsonl", tmp_path / "out").explained == 30


def test_before_there_is_a_plan(tmp_path, folder) -> None:  # type: ignore[no-untyped-def]
    (folder / MANIFEST).unlink()
    with pytest.raises(SavedFileError, match="Give a folder"):
        status(folder)
    with FileLock(folder / LOCK), pytest.raises(SavedFileError, match="a run reads the sources"):
        status(folder)
    with pytest.raises(SavedFileError, match="There is no"):
        status(tmp_path / "nowhere")


def test_who_looks_neither_writes_nor_is_in_the_way(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert is_locked(tmp_path) is False
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(lock, "_PATIENCE", 0.1)
    with locked(tmp_path):
        assert is_locked(tmp_path)
        with pytest.raises(FolderInUseError), locked(tmp_path):
            pass
    assert is_locked(tmp_path) is False
    with locked(tmp_path):
        pass
