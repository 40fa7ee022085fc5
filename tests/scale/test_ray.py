"""Workers that are actors of Ray; the class in Ray Data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from samples.kills import children, command_line, count_lines, descendants, runs
from samples.sharded import KILLS, RAISES, contents, failing_classifier, write_texts

import seqlrp.scale
from seqlrp.scale.log import LOG

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.filterwarnings("ignore"),  # of Ray itself
]
TESTS = Path(__file__).parents[1]
PATH = os.pathsep.join([str(TESTS), str(TESTS.parent), *sys.path])
SCRIPT = """
import sys
import seqlrp.scale
from samples.sharded import failing_classifier

model, source, out = sys.argv[1:]
seqlrp.scale.explain(
    model, source, out, engine="ray", workers=2, shard_size=5, factory=failing_classifier,
    progress=False,
)
"""


@pytest.fixture(scope="module")
def cluster():  # type: ignore[no-untyped-def]
    """A cluster of two cores on this machine, whose workers find the samples."""
    import ray

    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": PATH}},
    )  # fmt: skip
    yield ray
    ray.shutdown()


def test_actors_write_what_processes_write(cluster, saved, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 60, {3: RAISES})
    explain(tmp_path / "a.jsonl", tmp_path / "calm", shard_size=20)
    status = seqlrp.scale.explain(
        saved, tmp_path / "a.jsonl", tmp_path / "out", engine="ray", workers=2, shard_size=20,
        factory=failing_classifier, progress=False,
    )  # fmt: skip
    assert (status.explained, status.failed) == (59, 1)
    assert contents(tmp_path / "out") == contents(tmp_path / "calm")


def test_a_text_that_kills_its_actor_is_set_aside(cluster, saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 8, {5: KILLS})
    status = seqlrp.scale.explain(
        saved, tmp_path / "a.jsonl", tmp_path / "out", engine="ray", workers=2, shard_size=2,
        factory=failing_classifier, progress=False,
    )  # fmt: skip
    assert (status.explained, status.failed) == (7, 1)


def actors() -> list[int]:
    """The processes of this test's actors."""
    return [p for p in descendants(os.getpid()) if command_line(p).startswith(b"ray::_Actor")]


def test_an_actor_that_is_killed(cluster, saved, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    write_texts(source, 300)
    explain(source, tmp_path / "calm", shard_size=5)
    killed: list[int] = []

    def kill() -> None:
        while count_lines(out / LOG) < 3:  # it began, and two shards are finished
            time.sleep(0.01)
        while not (found := actors()):
            time.sleep(0.01)
        os.kill(found[0], signal.SIGKILL)
        killed.append(found[0])

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    seqlrp.scale.explain(
        saved, source, out, engine="ray", workers=2, shard_size=5, factory=failing_classifier,
        progress=False,
    )  # fmt: skip
    assert killed, [command_line(p) for p in descendants(os.getpid())]
    assert contents(out) == contents(tmp_path / "calm")


def test_a_node_that_is_killed(saved, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    """As by `ray stop --force`, but of the processes of this test alone."""
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    write_texts(source, 300)
    explain(source, tmp_path / "calm", shard_size=5)
    environment = {**os.environ, "PYTHONPATH": PATH}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", SCRIPT, str(saved), str(source), str(out)]
    driver = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    while count_lines(out / LOG) < 3:
        assert driver.poll() is None, "it ended before it was killed"
        time.sleep(0.01)
    node = descendants(driver.pid)
    assert len(node) > len(children(driver.pid)) > 1
    for process in node:
        if runs(process):
            os.kill(process, signal.SIGKILL)
    try:
        assert driver.wait(60) != 0
    except subprocess.TimeoutExpired:
        driver.kill()
        driver.wait()
    assert 0 < seqlrp.scale.status(out).finished < 60
    explain(source, out, shard_size=5)
    assert contents(out) == contents(tmp_path / "calm")
    assert not any(map(runs, node))


def test_the_class_in_ray_data(cluster, saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import ray

    write_texts(tmp_path / "a.jsonl", 20)
    table = pd.read_json(tmp_path / "a.jsonl", lines=True)
    made = ray.data.from_pandas(table).map_batches(
        seqlrp.scale.Explain,
        fn_constructor_args=[str(saved)],
        fn_constructor_kwargs={"factory": failing_classifier},
        compute=ray.data.ActorPoolStrategy(size=1),
        batch_format="pyarrow",
    )
    rows = made.take_all()
    assert [row["text"] for row in rows] == table["text"].tolist()
    assert all(len(row["relevance"]) == len(row["tokens"]) for row in rows)
