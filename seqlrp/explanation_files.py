"""Explanations on disk, exactly: Parquet for many, JSON lines for reading and for other programs.

Both formats have the same columns, one row a document: `id`, `text`, `tokens`, `start`, `end`,
`relevance`, `target`, `against`, `predicted`, `label`, `scores`, `labels`, `method`, `parameters`,
`ledger`. `target` is null where every class is explained; `relevance` is then the [C, T] array row
by row. `against` is null where a class is not compared with another; files of version 1 lack it.
In Parquet, `parameters` and `ledger` are JSON text.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from seqlrp.errors import InputError, OptionError, SavedFileError, SeqlrpError
from seqlrp.explanation import ALL, Explanation
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 3
# Rows are written when they hold so many characters and values of relevance: some tens of
# megabytes in memory, however long the documents are.
BATCH = 2_000_000

COLUMNS = {
    "id": "string",
    "text": "string",
    "tokens": "strings",
    "start": "integers",
    "end": "integers",
    "relevance": "floats",
    "target": "integer",
    "against": "integer",
    "predicted": "integer",
    "label": "integer",
    "scores": "floats",
    "probabilities": "floats",
    "labels": "strings",
    "method": "string",
    "parameters": "string",
    "ledger": "string",
}
SINCE = {
    "against": 2,
    "probabilities": 3,
}  # the version that brought a column; files of older ones lack it

Row = Mapping[str, Any]
WriteRows = Callable[[Sequence[Row]], None]
Open = Callable[[Path], AbstractContextManager[WriteRows]]
Read = Callable[[Path], Iterator[Row]]


class ExplanationWriter:
    """Collects explanations and writes them a batch at a time; made by `explanation_writer`."""

    def __init__(self, write: WriteRows) -> None:
        self._write = write
        self._rows: list[Row] = []
        self._size = 0

    def append(self, explanation: Explanation) -> None:
        """Add one explanation."""
        self._rows.append(_row(explanation))
        self._size += len(explanation.text) + explanation.relevance.size
        if self._size >= BATCH:
            self.flush()

    def extend(self, explanations: Iterable[Explanation]) -> None:
        """Add explanations, one after the other."""
        for explanation in explanations:
            self.append(explanation)

    def flush(self) -> None:
        """Write what is held."""
        if self._rows:
            self._write(self._rows)
        self._rows, self._size = [], 0


@contextlib.contextmanager
def explanation_writer(path: str | os.PathLike[str]) -> Iterator[ExplanationWriter]:
    """Write explanations to `path` as they come, in bounded memory; the file is whole or absent.

    >>> with explanation_writer("r.parquet") as writer:  # doctest: +SKIP
    ...     for explanation in stream:
    ...         writer.append(explanation)

    Raises:
        OptionError: a suffix that is neither `.parquet` nor `.jsonl`.
        InputError: nothing was added to a `.jsonl` file, where it would look truncated.
        WriteError: the file system refused; what was at `path` is unchanged.
    """
    opened, _ = _format(Path(path))
    with written_whole(path) as temporary, opened(temporary) as write:
        writer = ExplanationWriter(write)
        yield writer
        writer.flush()


def read_explanations(path: str | os.PathLike[str]) -> Iterator[Explanation]:
    """Give the explanations of a `.parquet` or `.jsonl` file one by one, in bounded memory.

    Raises:
        OptionError: another suffix.
        SavedFileError: the file is not there, is foreign, or is truncated.
    """
    path = Path(path)
    _, rows = _format(path)
    if not path.is_file():
        raise SavedFileError(f"{path} is not a file; give one that Explanations.save wrote.")
    return _explanations(path, rows)


def _explanations(path: Path, rows: Read) -> Iterator[Explanation]:
    for number, row in enumerate(rows(path), 1):
        try:
            explanation = _explanation(row)
        except (SeqlrpError, TypeError, ValueError, RecursionError) as error:
            raise SavedFileError(f"{path}: document {number} is damaged: {error}") from error
        yield explanation


def _columns(version: int) -> dict[str, str]:
    return {name: kind for name, kind in COLUMNS.items() if SINCE.get(name, 1) <= version}


def _row(explanation: Explanation) -> Row:
    return {
        "id": explanation.id,
        "text": explanation.text,
        "tokens": explanation.tokens,
        "start": explanation.offsets[:, 0],
        "end": explanation.offsets[:, 1],
        "relevance": explanation.relevance.ravel(),
        "target": None if explanation.target == ALL else explanation.target,
        "against": explanation.against,
        "predicted": explanation.predicted,
        "label": explanation.label,
        "scores": explanation.scores,
        "probabilities": explanation.probabilities,
        "labels": explanation.labels,
        "method": explanation.method,
        "parameters": explanation.parameters,
        "ledger": explanation.ledger,
    }


def _explanation(row: Row) -> Explanation:
    values = {name: row[name] for name in COLUMNS if name in row}
    values["offsets"] = np.stack([values.pop("start"), values.pop("end")], axis=1)
    if values["target"] is None:
        shape = len(values["labels"]), len(values["tokens"])
        values["target"] = ALL
        values["relevance"] = np.asarray(values["relevance"]).reshape(shape)
    return Explanation(**values)


# JSON lines: every line says what it is, so that a file can be cut and joined by lines.


@contextlib.contextmanager
def _json_lines_file(path: Path) -> Iterator[WriteRows]:
    with path.open("w", encoding="ascii", newline="\n") as file:

        def write(rows: Sequence[Row]) -> None:
            file.writelines(map(_line, rows))

        yield write
        if file.tell() == 0:
            raise InputError(
                f"There is no explanation to write to {path.name}, and an empty .jsonl file "
                "cannot be told from a truncated one; use .parquet."
            )


def json_line(explanation: Explanation) -> str:
    """An explanation as a line of a `.jsonl` file, ASCII, with its end of line."""
    return _line(_row(explanation))


def _line(row: Row) -> str:
    return _json({"seqlrp": VERSION, **row}) + "\n"


def _json_lines_rows(path: Path) -> Iterator[Row]:
    line = None
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                row = _parsed(line.decode())
            except (ValueError, RecursionError) as error:
                raise SavedFileError(
                    f"{path}: line {number} is no JSON ({error}); the file is truncated or was "
                    "not written by seqlrp."
                ) from error
            version = _check_version(path, row.get("seqlrp") if isinstance(row, dict) else None)
            missing = [name for name in _columns(version) if name not in row]
            if missing:
                raise SavedFileError(f"{path}: line {number} lacks {', '.join(missing)}.")
            yield row
    if line is None:
        raise SavedFileError(f"{path} is empty.")


def _json(value: Any) -> str:
    def plain(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray) else dict(value)

    return json.dumps(value, default=plain, allow_nan=False)


def _parsed(text: str) -> Any:
    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    return json.loads(text, parse_constant=refuse)


def _check_version(path: Path, version: Any) -> int:
    if version is None:
        raise SavedFileError(f"{path} was not written by seqlrp.")
    if type(version) is not int or not 1 <= version <= VERSION:
        raise SavedFileError(
            f"{path} has format version {version!r:.20}, and this seqlrp reads 1 to {VERSION}; "
            "install the seqlrp that wrote it."
        )
    return version


# Parquet


@contextlib.contextmanager
def _parquet_file(path: Path) -> Iterator[WriteRows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(VERSION)
    with pq.ParquetWriter(path, schema, compression="zstd") as file:

        def write(rows: Sequence[Row]) -> None:
            columns = {name: [row[name] for row in rows] for name in COLUMNS}
            for name in ("parameters", "ledger"):
                columns[name] = [_json(value) for value in columns[name]]
            file.write_table(pa.table(columns, schema=schema))

        yield write


def _parquet_rows(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            version = _check_version(path, _version(found))
            if not found.equals(_schema(version)):
                raise SavedFileError(f"{path} has other columns than seqlrp writes: {found.names}.")
            for batch in file.iter_batches(batch_size=256):
                yield from _batch_rows(batch, _columns(version))
    except (pa.ArrowException, OSError) as error:
        raise SavedFileError(
            f"{path} cannot be read as Parquet ({_first_line(error)}); it is truncated, damaged or "
            "something else."
        ) from error


def _batch_rows(batch: pa.RecordBatch, kinds: Mapping[str, str]) -> Iterator[Row]:
    columns: dict[str, list[Any]] = {}
    for name, kind in kinds.items():
        column = batch.column(name)
        if kind in ("integers", "floats"):
            columns[name] = [_numbers(value) for value in column]
        else:
            columns[name] = column.to_pylist()
    for row in zip(*columns.values(), strict=True):
        values = dict(zip(columns, row, strict=True))
        for name in ("parameters", "ledger"):
            values[name] = _parsed(values[name])
        yield values


def _numbers(value: pa.ListScalar) -> Any:
    return None if value.values is None else value.values.to_numpy(zero_copy_only=False)


def _schema(version: int) -> pa.Schema:
    import pyarrow as pa

    types = {
        "string": pa.string(),
        "strings": pa.list_(pa.string()),
        "integer": pa.int32(),
        "integers": pa.list_(pa.int32()),
        "floats": pa.list_(pa.float32()),
    }
    columns = [(name, types[kind]) for name, kind in _columns(version).items()]
    return pa.schema(columns, metadata={"seqlrp": "explanations", "version": str(version)})


def _version(schema: pa.Schema) -> int | str | None:
    metadata = schema.metadata or {}
    if metadata.get(b"seqlrp") != b"explanations":
        return None
    version = metadata.get(b"version", b"").decode(errors="replace")
    return int(version) if version.isdecimal() else version


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


FORMATS: dict[str, tuple[Open, Read]] = {
    ".parquet": (_parquet_file, _parquet_rows),
    ".jsonl": (_json_lines_file, _json_lines_rows),
}


def _format(path: Path) -> tuple[Open, Read]:
    if path.suffix not in FORMATS:
        raise OptionError(
            f"{path} has the suffix {path.suffix!r}, expected one of {', '.join(FORMATS)}."
        )
    return FORMATS[path.suffix]
