"""Several processes measure for one evaluation, and its numbers are those of one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock
from samples.evaluations import labelled, lively_classifier
from tqdm import tqdm

import seqlrp
from seqlrp.errors import OptionError
from seqlrp.evaluation.run import BLOCK
from seqlrp.evaluation.work import Asked, Work

QUICK: dict[str, Any] = {
    "methods": ["lrp", "gradient_x_input", "random"], "metrics": ["aopc"], "ks": (1, 3),
    "random_orders": 2, "progress": False,
}  # fmt: skip


def work(kept: Path, shared: bool = True) -> Work:
    texts, labels = labelled(5)
    return Work(Asked(
        lively_classifier(), texts, labels, QUICK["methods"], ["aopc"], (1, 3), "zero",
        "probability", None, 2, "text", 10, 0, 8192, kept, BLOCK, shared,
    ))  # fmt: skip


@pytest.mark.usefixtures("without_pictures")
@pytest.mark.parametrize("out", [None, "report"])
def test_processes_give_the_numbers_of_one(out, tmp_path) -> None:  # type: ignore[no-untyped-def]
    texts, labels = labelled(8)
    one = seqlrp.evaluate(lively_classifier(), texts, labels, **QUICK)
    place = None if out is None else tmp_path / out
    two = seqlrp.evaluate(lively_classifier(), iter(texts), labels, **QUICK, workers=2, out=place)
    pd.testing.assert_frame_equal(two.table, one.table)
    assert two.made["documents"] == 8
    if place is not None:
        assert not (place / "unfinished").exists()
    assert not multiprocessing.active_children()


def test_what_another_process_measures_is_left_to_it(tmp_path) -> None:  # type: ignore[no-untyped-def]
    ours, theirs = work(tmp_path), work(tmp_path)
    with tqdm(disable=True) as bar:
        theirs.measure_free(bar)
        paths = sorted((tmp_path / "unfinished").glob("*.parquet"))
        assert len(paths) == 4
        read = paths[0].stat().st_mtime_ns
        paths[1].unlink()
        with FileLock(paths[1].with_suffix(".lock")):
            ours.measure_free(bar)
        results = ours._measured[0].results
        assert [result is None for result in results].count(True) == 1
        assert not paths[1].exists()
        ours.measure_free(bar, wait=True)
    assert None not in ours._measured[0].results
    assert paths[0].stat().st_mtime_ns == read  # not measured again
    ours.remove_checkpoints()
    assert not (tmp_path / "unfinished").exists()


def test_what_cannot_be_sent_is_refused() -> None:
    texts, labels = labelled(2)
    classifier = lively_classifier()
    classifier.model.secret = lambda: None
    with pytest.raises(OptionError, match="cannot be sent to other processes") as raised:
        seqlrp.evaluate(classifier, texts, labels, **QUICK, workers=2)
    assert raised.value.option == "workers"
    with pytest.raises(OptionError):
        seqlrp.evaluate(classifier, texts, labels, **QUICK, workers=0)
