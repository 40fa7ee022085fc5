"""A damaged file of explanations gives a sentence, or the right content."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples.damage import damaged
from samples.explanations import EVERY, assert_same, explanation

from seqlrp.errors import SavedFileError
from seqlrp.explanations.collection import Explanations

ITEMS = [explanation(), explanation(**EVERY), explanation(id=None, unread=3)]


def check(path: Path, count: int) -> None:
    Explanations(ITEMS).save(path)
    refused = 0
    for content in damaged(path.read_bytes(), count):
        path.write_bytes(content)
        try:
            found = Explanations.load(path)
        except SavedFileError:
            refused += 1
        else:
            assert len(found) == len(ITEMS)
            for one, other in zip(found, ITEMS, strict=True):
                assert_same(one, other)
    assert refused > count / 2


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_a_hundred_damaged_files(tmp_path: Path, suffix: str) -> None:
    check(tmp_path / f"r{suffix}", 100)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
def test_two_thousand_damaged_files(tmp_path: Path, suffix: str) -> None:
    check(tmp_path / f"r{suffix}", 2000)
