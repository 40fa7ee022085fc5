"""Workers that are actors of Ray, any of which may die; the class in Ray Data, and its reader."""

from __future__ import annotations

import random
import sys
from importlib.util import find_spec

import pandas as pd
import pytest
from samples.ray_kills import RayKills, ray_cluster
from samples.sharded import KILLS, RAISES, contents, failing_classifier, write_texts

import seqlrp
import seqlrp.scale

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray"),
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.filterwarnings("ignore"),  # of Ray itself
]


@pytest.fixture(scope="module")
def cluster():  # type: ignore[no-untyped-def]
    with ray_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def kills(cluster, saved, tmp_path_factory):  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("ray")
    write_texts(folder / "a.jsonl", 80, {40: RAISES})
    return RayKills(cluster, saved, folder / "a.jsonl", folder)


def test_actors_write_what_processes_write(kills, tmp_path, explain) -> None:  # type: ignore[no-untyped-def]
    explain(kills.source, tmp_path / "calm")
    assert contents(tmp_path / "calm") == kills.calm


def test_other_programs_read_it_with_ray(kills) -> None:  # type: ignore[no-untyped-def]
    import ray

    rows = ray.data.read_parquet(str(kills.folder / "calm-ray")).take_all()
    expected = {e.id: e for e in seqlrp.Explanations.load(kills.folder / "calm-ray")}
    assert len(rows) == len(expected) == 79
    for row in rows:
        assert list(row["relevance"]) == expected[row["id"]].relevance.tolist()


@pytest.mark.parametrize("victim", ["actor", "node"])
def test_a_run_is_the_same_whatever_is_killed(victim, kills) -> None:  # type: ignore[no-untyped-def]
    """`tests/benchmarks/kills.py` does the same at any number of moments."""
    drawn = random.Random(0)
    assert any(kills.at(drawn, victim) for _ in range(3))


def test_a_text_that_kills_its_actor_is_set_aside(cluster, saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", 3, {1: KILLS})
    status = seqlrp.scale.explain(
        saved, tmp_path / "a.jsonl", tmp_path / "out", engine="ray", workers=1, shard_size=1,
        factory=failing_classifier, progress=False,
    )  # fmt: skip
    assert (status.explained, status.failed) == (2, 1)


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
