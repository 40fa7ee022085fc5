"""Other programs read a folder of explanations as one table."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pyarrow.dataset
import pytest
from samples.sharded import RAISES, write_texts

import seqlrp

TEXTS = 23  # of which one is set aside, so that there is a file that is no part


@pytest.fixture
def folder(tmp_path: Path, explain) -> Path:  # type: ignore[no-untyped-def]
    write_texts(tmp_path / "a.jsonl", TEXTS, {5: RAISES})
    explain(tmp_path / "a.jsonl", tmp_path / "explained")
    return tmp_path / "explained"


def check(folder: Path, columns: dict[str, list[Any]]) -> None:
    """Compare columns that another program read with the explanations."""
    expected = list(seqlrp.Explanations.load(folder))
    rows = sorted(zip(columns["id"], columns["tokens"], columns["relevance"], strict=True),
                  key=lambda row: int(row[0]))  # fmt: skip
    assert [row[0] for row in rows] == [e.id for e in expected]
    assert len(rows) == TEXTS - 1
    for (_, tokens, relevance), explanation in zip(rows, expected, strict=True):
        assert tuple(tokens) == explanation.tokens
        assert [float(value) for value in relevance] == explanation.relevance.tolist()


def test_pandas_and_pyarrow(folder) -> None:  # type: ignore[no-untyped-def]
    check(folder, pd.read_parquet(folder).to_dict("list"))
    check(folder, pyarrow.dataset.dataset(folder).to_table().to_pydict())


@pytest.mark.skipif(find_spec("duckdb") is None, reason="needs DuckDB")
def test_duckdb(folder) -> None:  # type: ignore[no-untyped-def]
    import duckdb

    found = duckdb.sql(f"SELECT * FROM read_parquet('{folder}/part-*.parquet')")
    rows = dict(zip(found.columns, map(list, zip(*found.fetchall(), strict=True)), strict=True))
    check(folder, rows)
    mean = duckdb.sql(
        "SELECT avg(list_sum(relevance)) FROM read_parquet("
        f"'{folder}/part-*.parquet') WHERE predicted = 1"
    ).fetchall()[0][0]
    chosen = [e for e in seqlrp.Explanations.load(folder) if e.predicted == 1]
    assert mean == pytest.approx(sum(float(e.relevance.sum()) for e in chosen) / len(chosen), 1e-4)


@pytest.mark.skipif(find_spec("polars") is None, reason="needs Polars")
def test_polars(folder) -> None:  # type: ignore[no-untyped-def]
    import polars

    check(folder, polars.read_parquet(folder / "part-*.parquet").to_dict(as_series=False))
    found = polars.scan_parquet(folder / "part-*.parquet").filter(polars.col("predicted") == 1)
    expected = [e.id for e in seqlrp.Explanations.load(folder) if e.predicted == 1]
    assert found.collect()["id"].to_list() == expected


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_datasets(folder, tmp_path) -> None:  # type: ignore[no-untyped-def]
    files = str(folder / "part-*.parquet")
    found = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=tmp_path)
    check(folder, found.to_dict())
