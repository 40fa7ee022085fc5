"""Ten thousand texts, some of them poisonous; runs that are killed, or whose disk fails."""

from __future__ import annotations

import random
import sys

import pandas as pd
import pytest
from samples.kills import Kills, forked_workers
from samples.sharded import ABORTS, OVERFLOWS, RAISES, failing_classifier, write_texts

import seqlrp
import seqlrp.scale

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and forks"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]


def test_poisonous_texts_among_ten_thousand(saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """They are set aside by their numbers, and each other text is explained once."""
    poison = {211: ABORTS, 4024: RAISES, 4030: OVERFLOWS, 9999: ABORTS}
    texts = write_texts(tmp_path / "a.jsonl", 10_000, poison)
    with forked_workers():
        status = seqlrp.scale.explain(
            saved, tmp_path / "a.jsonl", tmp_path / "out", workers=2, shard_size=1000,
            factory=failing_classifier, progress=False,
        )  # fmt: skip
    assert (status.explained, status.failed) == (9996, 4)
    failed = pd.read_parquet(tmp_path / "out" / "_failed.parquet").set_index("number")["reason"]
    assert sorted(failed.index) == sorted(poison)
    expected = {ABORTS: "SIGABRT", RAISES: "cannot be split", OVERFLOWS: "finite"}
    for number, word in poison.items():
        assert expected[word] in failed[number]
    explained = [(int(e.id or 0), e.text) for e in seqlrp.Explanations.load(tmp_path / "out")]
    assert explained == [(k, text) for k, text in enumerate(texts) if k not in poison]


def test_a_run_is_the_same_whatever_happens_to_it(saved, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """`tests/benchmarks/kills.py` does the same at any number of moments."""
    source, drawn = tmp_path / "a.jsonl", random.Random(0)
    write_texts(source, 80, {40: RAISES})
    kills = Kills(saved, source, tmp_path)
    assert len(kills.calm) == 9  # eight parts, and the text that is set aside
    for victim in ("main", "worker", "read-only"):
        assert any(kills.at(drawn, victim) for _ in range(3))
