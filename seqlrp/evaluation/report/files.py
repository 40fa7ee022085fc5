"""Parquet files of an evaluation's rows, with a description in JSON in the metadata."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.errors import SavedFileError
from seqlrp.evaluation.metrics.metric import COLUMNS
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd

_KEY = b"seqlrp evaluation"
_CHECKSUM = b"seqlrp checksum"
_VERSION = 2  # which brought the checksum


def write_rows(path: str | os.PathLike[str], table: pd.DataFrame, about: Mapping[str, Any]) -> None:
    """Write rows as a Parquet file, with the JSON values `about` in its metadata.

    Raises:
        WriteError: the file system refused; what was there before is unchanged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = pa.Table.from_pandas(table, preserve_index=False)
    written = json.dumps({"version": _VERSION, **about}, allow_nan=False)
    checksum = _checksum(table, written)
    rows = rows.replace_schema_metadata(
        {**(rows.schema.metadata or {}), _KEY: written.encode(), _CHECKSUM: checksum}
    )
    # pyarrow opens no file whose name is not UTF-8.
    with written_whole(path) as temporary, temporary.open("wb") as sink:
        pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)


def read_rows(path: str | os.PathLike[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the rows and the description that `write_rows` wrote.

    Raises:
        SavedFileError: the file does not exist, is damaged or was not written by `write_rows`.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise SavedFileError(f"{path} is not a file; give one that an evaluation was saved to.")
    try:
        with path.open("rb") as source:
            rows = pq.read_table(source, page_checksum_verification=True)
        metadata = rows.schema.metadata or {}
        about = json.loads(metadata[_KEY])
        version = about.pop("version")
        table = rows.to_pandas()
        if version == _VERSION and metadata[_CHECKSUM] != _checksum(table, metadata[_KEY].decode()):
            raise ValueError("its checksum is that of another content")
    except (
        pa.ArrowException,
        OSError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        raise SavedFileError(
            f"{path} was not written by an evaluation, or is damaged; evaluate again."
        ) from error
    if version not in (1, _VERSION) or list(table.columns) != list(COLUMNS):
        raise SavedFileError(
            f"{path} is of version {version!r} with the columns {list(table.columns)}; expected "
            f"version {_VERSION} or 1 with {list(COLUMNS)}; evaluate again."
        )
    return table, about


def _checksum(table: pd.DataFrame, about: str) -> bytes:
    """A hash of the rows and of their description, in hex."""
    import pandas as pd

    found = hashlib.blake2b(about.encode(), digest_size=8)
    for name in table.columns:
        column = table[name]
        found.update(name.encode())
        found.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())
    return found.hexdigest().encode()
