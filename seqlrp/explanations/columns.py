"""Columns of Arrow, made of the values of rows from their bytes.

`pyarrow.array` would do the same, but imports pandas first, wherever that is installed: 46 MB and
a third of a second in each process that writes explanations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_table(columns: Sequence[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    """Make a table of columns in the order of a schema; None is a missing value.

    Args:
        columns: the values of each column; numbers of lists stand in NumPy arrays.
        schema: strings, int32 numbers, and lists of strings and numbers.
    """
    import pyarrow as pa

    arrays = [_array(values, kind) for values, kind in zip(columns, schema.types, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    table.validate(full=True)
    return table


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    present = [value is not None for value in values]
    validity = None if all(present) else pa.py_buffer(np.packbits(present, bitorder="little"))
    buffers, children = [], []
    if pa.types.is_string(kind):
        buffers = _characters(["" if value is None else value for value in values])
    elif pa.types.is_list(kind):
        buffers = [_ends(0 if value is None else len(value) for value in values)]
        children = [_items([value for value in values if value is not None], kind.value_type)]
    else:
        buffers = [pa.py_buffer(np.array([value or 0 for value in values], np.int32))]
    return pa.Array.from_buffers(kind, len(values), [validity, *buffers], children=children)


def _items(lists: Sequence[Sequence[Any]], kind: pa.DataType) -> pa.Array:
    """The items of all lists, one after the other."""
    import pyarrow as pa

    if pa.types.is_string(kind):
        strings = list(chain.from_iterable(lists))
        return pa.Array.from_buffers(kind, len(strings), [None, *_characters(strings)])
    dtype = np.float32 if pa.types.is_floating(kind) else np.int32
    numbers = np.concatenate([np.zeros(0, dtype), *lists], dtype=dtype, casting="no")
    return pa.Array.from_buffers(kind, len(numbers), [None, pa.py_buffer(numbers)])


def _characters(strings: Sequence[str]) -> list[pa.Buffer]:
    """Where each string ends, and the bytes of all."""
    import pyarrow as pa

    joined = "".join(strings)
    lengths = map(len, strings if joined.isascii() else map(str.encode, strings))
    return [_ends(lengths), pa.py_buffer(joined.encode())]


def _ends(lengths: Iterable[int]) -> pa.Buffer:
    """Where the first of values of these lengths begins, and where each of them ends."""
    import pyarrow as pa

    ends = np.cumsum(np.fromiter(chain([0], lengths), np.int64))
    return pa.py_buffer(ends.astype(np.int32))
