"""Thousands of texts, some of them poisonous; runs and workers that are killed at any moment."""

from __future__ import annotations

import os
import random
import sys

import pandas as pd
import pytest
from samples.kills import Kills, forked_workers
from samples.sharded import ABORTS, OVERFLOWS, RAISES, contents, failing_classifier, write_texts

import seqlrp
import seqlrp.scale

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and forks"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def test_poisonous_texts_among_thousands(saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """They are set aside by their numbers, and each other text is explained once."""
    poison = {211: ABORTS, 1024: RAISES, 1030: OVERFLOWS, 2999: ABORTS}
    texts = write_texts(tmp_path / "a.jsonl", 3000, poison)
    with forked_workers():
        status = seqlrp.scale.explain(
            saved, tmp_path / "a.jsonl", tmp_path / "out", workers=2, shard_size=250,
            factory=failing_classifier, progress=False,
        )  # fmt: skip
    assert (status.explained, status.failed) == (2996, 4)
    failed = pd.read_parquet(tmp_path / "out" / "_failed.parquet").set_index("number")["reason"]
    assert sorted(failed.index) == sorted(poison)
    expected = {ABORTS: "SIGABRT", RAISES: "cannot be split", OVERFLOWS: "finite"}
    for number, word in poison.items():
        assert expected[word] in failed[number]
    explained = [(int(e.id or 0), e.text) for e in seqlrp.Explanations.load(tmp_path / "out")]
    assert explained == [(k, text) for k, text in enumerate(texts) if k not in poison]


def test_a_run_is_the_same_whenever_it_is_killed(saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """SEQLRP_MOMENTS says how many moments are tried."""
    source, drawn = tmp_path / "a.jsonl", random.Random(0)
    write_texts(source, 80, {40: RAISES})
    kills = Kills(saved, source, tmp_path)
    happened = [
        kills.at(drawn, ("main", "worker")[moment % 2])
        for moment in range(int(os.environ.get("SEQLRP_MOMENTS", "10")))
    ]
    assert {"killed main", "killed worker"} <= set(happened)
    assert len(contents(tmp_path / "calm")) == 9  # eight parts, and the text that is set aside
