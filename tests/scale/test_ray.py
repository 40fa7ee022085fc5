"""Workers that are actors of Ray; the class in Ray Data."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from samples.sharded import KILLS, RAISES, contents, failing_classifier, write_texts

import seqlrp.scale

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.filterwarnings("ignore"),  # of Ray itself
]
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cluster():  # type: ignore[no-untyped-def]
    """A cluster of two cores on this machine, whose workers find the samples."""
    import ray

    path = os.pathsep.join([str(TESTS), str(TESTS.parent), *sys.path])
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
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
        saved, tmp_path / "a.jsonl", tmp_path / "out", engine="ray", workers=2, shard_size=4,
        factory=failing_classifier, progress=False,
    )  # fmt: skip
    assert (status.explained, status.failed) == (7, 1)


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
