"""A damaged file of an evaluation gives a sentence, or the right rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples.damage import damaged

from seqlrp.errors import SavedFileError
from seqlrp.evaluation.metrics.metric import COLUMNS
from seqlrp.evaluation.report.files import read_rows, write_rows


def table() -> pd.DataFrame:
    values: dict[str, object] = {name: np.arange(30) / 7 for name in COLUMNS}
    values |= {"method": ["lrp", "random"] * 15, "metric": "aopc", "document": np.arange(30)}
    return pd.DataFrame(values)[list(COLUMNS)]


def check(path: Path, count: int) -> None:
    rows, about = table(), {"made": {"seed": 3}}
    write_rows(path, rows, about)
    refused = 0
    for content in damaged(path.read_bytes(), count):
        path.write_bytes(content)
        try:
            found, said = read_rows(path)
        except SavedFileError:
            refused += 1
        else:
            assert said == about
            pd.testing.assert_frame_equal(found, rows)
    assert refused > count / 2


def test_a_hundred_damaged_files(tmp_path: Path) -> None:
    check(tmp_path / "rows.parquet", 100)


@pytest.mark.slow
def test_two_thousand_damaged_files(tmp_path: Path) -> None:
    check(tmp_path / "rows.parquet", 2000)


def test_one_changed_value_is_noticed(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    write_rows(path, table(), {})
    rows = pq.read_table(path)
    k = rows.schema.get_field_index("value")
    values = pa.array([9.0, *rows["value"].to_pylist()[1:]])
    pq.write_table(rows.set_column(k, rows.schema.field(k), values), path)
    with pytest.raises(SavedFileError, match="damaged"):
        read_rows(path)
