"""Workers that are real processes, killed at real moments."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from samples.sharded import KILLS, RAISES, contents, failing_classifier, write_texts

import seqlrp
import seqlrp.scale
from seqlrp.scale import processes
from seqlrp.scale.processes import Processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

TESTS = Path(__file__).parents[1]
SCRIPT = """
import sys
import seqlrp.scale
from samples.sharded import failing_classifier

if __name__ == "__main__":
    model, source, out, engine = sys.argv[1:]
    seqlrp.scale.explain(
        model, source, out, engine=engine, workers=2, shard_size=20, factory=failing_classifier,
        progress=False,
    )
"""


def command(*arguments: object) -> subprocess.Popen[bytes]:
    """The call, as a process of its own."""
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)], env={**os.environ, "PYTHONPATH": path}
    )


def children(process: int) -> list[int]:
    """The workers that a process started and that still run."""
    found = Path(f"/proc/{process}/task/{process}/children")
    started = list(map(int, found.read_text().split())) if found.exists() else []
    return [child for child in started if b"spawn_main" in _command_line(child)]


def _command_line(process: int) -> bytes:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


def test_processes_give_what_one_call_gives(saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 60, {7: RAISES})
    status = seqlrp.scale.explain(
        saved, tmp_path / "a.jsonl", tmp_path / "out", shard_size=30, workers=2,
        factory=failing_classifier, progress=False,
    )  # fmt: skip
    assert (status.explained, status.failed) == (59, 1)
    found = seqlrp.Explanations.load(tmp_path / "out")
    assert [e.id for e in found] == [str(k) for k in range(60) if k != 7]
    classifier = seqlrp.load(saved, factory=failing_classifier)
    alone = seqlrp.explain(classifier, [found[0].text], progress=False)[0]
    assert abs(alone.relevance - found[0].relevance).max() < 1e-5
    assert not multiprocessing.active_children()


def test_workers_share_cores_or_have_a_gpu_each(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    cores = len(os.sched_getaffinity(0))
    assert Processes(None, "cpu", None).workers == cores
    assert Processes(None, "cpu", 1)._threads == cores
    monkeypatch.setattr(processes, "_count_gpus", lambda: 3)
    on_gpus = Processes(None, "cuda", None)
    assert on_gpus.workers == 3
    assert [on_gpus._device_of(worker) for worker in range(4)] == [
        "cuda:0", "cuda:1", "cuda:2", "cuda:0"
    ]  # fmt: skip


@pytest.mark.slow
def test_a_text_that_kills_its_process_is_set_aside(saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 8, {5: KILLS})
    status = seqlrp.scale.explain(
        saved, tmp_path / "a.jsonl", tmp_path / "out", workers=1, factory=failing_classifier,
        progress=False,
    )  # fmt: skip
    assert (status.explained, status.failed) == (7, 1)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["main", "worker"])
def test_processes_that_are_killed(victim, saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """SEQLRP_MOMENTS says how many moments are tried."""
    source = tmp_path / "a.jsonl"
    write_texts(source, 150)
    begun = time.monotonic()
    assert command(saved, source, tmp_path / "calm", "processes").wait() == 0
    lasts = time.monotonic() - begun
    calm, drawn = contents(tmp_path / "calm"), random.Random(victim)
    for number in range(int(os.environ.get("SEQLRP_MOMENTS", "2"))):
        out = tmp_path / str(number)
        running = command(saved, source, out, "processes")
        time.sleep(drawn.uniform(0.2, 1.0) * lasts)
        workers = children(running.pid)
        if victim == "main":
            running.kill()
        elif workers:
            os.kill(drawn.choice(workers), signal.SIGKILL)
        status = running.wait(300)
        if status:
            assert victim == "main"
            assert command(saved, source, out, "processes").wait(300) == 0
        assert contents(out) == calm
        deadline = time.monotonic() + 20
        while any(Path(f"/proc/{worker}/exe").exists() for worker in workers):
            assert time.monotonic() < deadline, "workers outlive the run"
            time.sleep(0.1)
