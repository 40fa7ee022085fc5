"""Columns of Arrow that are made from their bytes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.explanations import HOSTILE

from seqlrp.explanations.columns import arrow_table

TEXTS = st.text(max_size=5)  # without surrogates, as all of an explanation
WHOLE = st.integers(-(2**31), 2**31 - 1)
KINDS: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): TEXTS,
    pa.int32(): WHOLE,
    pa.list_(pa.string()): st.lists(TEXTS, max_size=3).map(tuple),
    pa.list_(pa.int32()): st.lists(WHOLE, max_size=3).map(lambda n: np.array(n, np.int32)),
    pa.list_(pa.float32()): st.lists(st.floats(width=32), max_size=3).map(
        lambda n: np.array(n, np.float32)
    ),
}
SCHEMA = pa.schema([(str(k), kind) for k, kind in enumerate(KINDS)])
ROWS = st.lists(st.tuples(*(st.none() | values for values in KINDS.values())), max_size=20)


@given(ROWS)
def test_a_table_is_that_of_arrow(rows: list[tuple[Any, ...]]) -> None:
    columns = [[row[k] for row in rows] for k in range(len(SCHEMA))]
    found = arrow_table(columns, SCHEMA)
    expected = pa.table(dict(zip(SCHEMA.names, columns, strict=True)), schema=SCHEMA)
    assert found.schema == expected.schema
    assert str(found.to_pydict()) == str(expected.to_pydict())  # NaN is not equal to itself


def test_text_of_any_script_is_kept() -> None:
    schema = pa.schema([("text", pa.string()), ("tokens", pa.list_(pa.string()))])
    columns = [list(HOSTILE), [tuple(text.split()) for text in HOSTILE]]
    found = arrow_table(columns, schema).to_pydict()
    assert found == {"text": columns[0], "tokens": list(map(list, columns[1]))}


def test_numbers_of_another_kind_are_no_column() -> None:
    schema = pa.schema([("numbers", pa.list_(pa.int32()))])
    with pytest.raises(TypeError):
        arrow_table([[np.array([2**40])]], schema)


def test_writing_imports_no_pandas() -> None:
    code = """
import io, sys
import numpy as np, pyarrow as pa, pyarrow.parquet
from seqlrp.explanations.columns import arrow_table

kinds = pa.string(), pa.int32(), pa.list_(pa.string()), pa.list_(pa.float32())
schema = pa.schema([(str(kind), kind) for kind in kinds])
table = arrow_table([["a"], [1], [("a", "b")], [np.zeros(2, np.float32)]], schema)
with pyarrow.parquet.ParquetWriter(io.BytesIO(), schema) as file:
    file.write_table(table)
assert "pandas" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
