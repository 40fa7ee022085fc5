"""A table on disk together with how it was made: Parquet, with JSON in its metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.errors import SavedFileError
from seqlrp.evaluation.metric import COLUMNS
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd

_KEY = b"seqlrp evaluation"
_VERSION = 1


def write_rows(path: str | os.PathLike[str], table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Write rows as Parquet, whole or not at all; `about` is anything that JSON can hold.

    Raises:
        WriteError: the file system refused; what was there before is unchanged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.Table.from_pandas(table, preserve_index=False)
    written = json.dumps({"version": _VERSION, **about}, allow_nan=False)
    rows = rows.replace_schema_metadata({**(rows.schema.metadata or {}), _KEY: written.encode()})
    with written_whole(path) as temporary:
        pq.write_table(rows, temporary, compression="zstd")


def read_rows(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The rows that `write_rows` wrote, and what it wrote about them.

    Raises:
        SavedFileError: there is no such file, or it is foreign or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise SavedFileError(f"{path} is not a file; give one that an evaluation was saved to.")
    try:
        rows = pq.read_table(path)
        about = json.loads((rows.schema.metadata or {})[_KEY])
        version = about.pop("version")
        table = rows.to_pandas()
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise SavedFileError(
            f"{path} was not written by an evaluation, or is damaged; evaluate again."
        ) from error
    if version != _VERSION or list(table.columns) != list(COLUMNS):
        raise SavedFileError(
            f"{path} is of version {version!r} with the columns {list(table.columns)}; expected "
            f"version {_VERSION} with {list(COLUMNS)}; evaluate again."
        )
    return table, about
