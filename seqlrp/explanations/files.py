"""Explanations on disk, exactly: Parquet for many, JSON lines for reading and for other programs.

Both formats have the same columns, one row a document: `id`, `text`, `tokens`, `start`, `end`,
`sentences`, `relevance`, `target`, `against`, `predicted`, `label`, `scores`, `probabilities`,
`labels`, `method`, `parameters`, `ledger`, `unread`. `target` is null where every class is
explained; `relevance` is then the [C, T] array row by row. `against` is null where a class is not
compared with another, `sentences` where the text was not split into sentences, and `unread` where
the model read the whole text. `SINCE` says which columns files of earlier versions lack. In
Parquet, `parameters` and `ledger` are JSON text.

Three more columns show damage. `number` counts the documents of a file from 1, and `count`, in the
last row alone, says how many there are, so that a file which lost rows is refused. Both are null in
lines that are streamed (`json_line`): each stands for itself, and they can be cut and joined.
`checksum` is a hash of all the other columns.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from seqlrp.errors import InputError, OptionError, SavedFileError, SeqlrpError
from seqlrp.explanations.parts import part_paths
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 5
BATCH = 16_000_000  # rows are written when they hold about so many bytes of memory
# About so many bytes a row holds besides its text and arrays, and a string besides its characters.
_ROW, _STRING = 4_000, 64

COLUMNS = {
    "id": "string",
    "text": "string",
    "tokens": "strings",
    "start": "integers",
    "end": "integers",
    "sentences": "integers",
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
    "unread": "integer",
    "number": "integer",
    "count": "integer",
    "checksum": "string",
}
SINCE = {
    "against": 2,
    "probabilities": 3,
    "sentences": 4,
    "unread": 5,
    "number": 5,
    "count": 5,
    "checksum": 5,
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
        self._number = 0

    def append(self, explanation: Explanation) -> None:
        """Add one explanation."""
        if self._size >= BATCH:
            self._flush()
        self._number += 1
        self._rows.append({**_row(explanation), "number": self._number, "count": None})
        self._size += _held_bytes(explanation)

    def extend(self, explanations: Iterable[Explanation]) -> None:
        """Add explanations, one after the other."""
        for explanation in explanations:
            self.append(explanation)

    def close(self) -> None:
        """Write what is held; the last row says how many there are."""
        if self._rows:
            self._rows[-1] = {**self._rows[-1], "count": self._number}
            self._flush()

    def _flush(self) -> None:
        self._write([{**row, "checksum": _checksum(row)} for row in self._rows])
        self._rows, self._size = [], 0


def _held_bytes(explanation: Explanation) -> int:
    """About how much memory an explanation takes until it is written."""
    arrays = (explanation.relevance, explanation.offsets, explanation.scores)
    strings = (explanation.text, *explanation.tokens)
    characters = _STRING * len(strings) + sum(map(len, strings))
    return _ROW + sum(a.nbytes for a in arrays) + characters


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
        writer.close()


def read_explanations(path: str | os.PathLike[str]) -> Iterator[Explanation]:
    """Give the explanations of a `.parquet` or `.jsonl` file one by one, in bounded memory.

    Those of a folder in parts (`seqlrp.scale.explain`) are given part by part.

    Raises:
        OptionError: another suffix.
        SavedFileError: the file is not there, is foreign, or is truncated; a part is missing.
    """
    path = Path(path)
    if path.is_dir():
        return chain.from_iterable(map(read_explanations, part_paths(path)))
    _, rows = _format(path)
    if not path.is_file():
        raise SavedFileError(
            f"{path} is not a file.",
            "Give one that Explanations.save wrote.",
            code="no_explanations_file",
        )
    return _explanations(path, rows)


def _explanations(path: Path, rows: Read) -> Iterator[Explanation]:
    before = 0  # the number of the row before, 0 where the next one begins a file or stands alone
    for document, row in enumerate(rows(path), 1):
        try:
            explanation = _explanation(row)
            _check_row(row, explanation)
        except (SeqlrpError, TypeError, ValueError, RecursionError, OverflowError) as error:
            raise SavedFileError(f"{path}: document {document} is damaged: {error}") from error
        number = row.get("number")
        if number != (before + 1 if before or number is not None else None):
            raise _lost_rows(path, before)
        before = 0 if number is None or number == row.get("count") else number
        yield explanation
    if before:
        raise _lost_rows(path, before)


def _lost_rows(path: Path, number: int) -> SavedFileError:
    return SavedFileError(
        f"{path} is truncated or was put together from parts: what follows document {number} is "
        "missing.",
        "Take the whole file, and parts of it by explanations[a:b].",
    )


def _columns(version: int) -> dict[str, str]:
    return {name: kind for name, kind in COLUMNS.items() if SINCE.get(name, 1) <= version}


def _row(explanation: Explanation) -> Row:
    start, end = np.ascontiguousarray(explanation.offsets.T)  # which Arrow copies faster
    return {
        "id": explanation.id,
        "text": explanation.text,
        "tokens": explanation.tokens,
        "start": start,
        "end": end,
        "sentences": explanation.sentences,
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
        "unread": explanation.unread or None,
    }


def _explanation(row: Row) -> Explanation:
    values = {name: row[name] for name in COLUMNS if name in row}
    for name in ("number", "count", "checksum"):
        values.pop(name, None)
    values["unread"] = values.get("unread") or 0
    values["offsets"] = np.stack([values.pop("start"), values.pop("end")], axis=1)
    if values["target"] is None:
        shape = len(values["labels"]), len(values["tokens"])
        values["target"] = ALL
        values["relevance"] = np.asarray(values["relevance"]).reshape(shape)
    return Explanation(**values)


def _checksum(row: Row) -> str:
    """A hash of the content of a row, the same for both formats: 64 bits of BLAKE2b, in hex.

    It finds accidents; who changes a file on purpose can write it anew.
    """
    parts: list[bytes] = []
    for name, kind in COLUMNS.items():
        value = row.get(name)
        if name == "checksum":
            continue
        if value is None:
            content = b""
        elif kind in ("floats", "integers"):
            content = np.asarray(value, "<f4" if kind == "floats" else "<i4").tobytes()
        elif kind == "string" and isinstance(value, str):
            content = value.encode()
        elif type(value) is int:
            content = b"%d" % value  # as JSON writes it
        elif name == "labels":
            content = _labels(tuple(value))
        else:
            content = _sorted_json(value).encode()
        parts += (f"{name} {'-' if value is None else len(content)} ".encode(), content)
    return hashlib.blake2b(b"".join(parts), digest_size=8).hexdigest()


@lru_cache(maxsize=8)
def _labels(names: tuple[str, ...]) -> bytes:
    """The names of the classes as JSON, which are the same for all rows."""
    return _sorted_json(names).encode()


def _check_row(row: Row, explanation: Explanation) -> None:
    """Check a row by its checksum, if it has one."""
    if "checksum" not in row:
        return
    counted = {name: row.get(name) for name in ("number", "count")}
    if _checksum({**_row(explanation), **counted}) != row["checksum"]:
        raise InputError("its checksum is that of another content; it was changed or miscopied")


# JSON lines: every line says what it is, so that files can be joined, and streams cut.


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
    """An explanation as a line of a `.jsonl` file that stands for itself, ASCII, with its end."""
    row = {**_row(explanation), "number": None, "count": None}
    return _line({**row, "checksum": _checksum(row)})


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


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else dict(value)


# Made once: `json.dumps` makes an encoder for each value.
_json = json.JSONEncoder(default=_plain, allow_nan=False).encode
_sorted_json = json.JSONEncoder(default=_plain, allow_nan=False, sort_keys=True).encode


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

_AROUND_FOOTER = 12  # bytes: "PAR1", the length of the footer, "PAR1"
# Values that recur are kept once. Of others that takes time and room, and of places in the text,
# which only grow, the steps between them are kept.
_ENCODINGS: dict[str, Any] = {
    "use_dictionary": [
        "tokens.list.element", "sentences.list.element", "labels.list.element", "method",
        "parameters",
    ],
    "column_encoding": dict.fromkeys(
        ("start.list.element", "end.list.element"), "DELTA_BINARY_PACKED"
    ),
}  # fmt: skip


@contextlib.contextmanager
def _parquet_file(path: Path) -> Iterator[WriteRows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(VERSION)
    options = {"compression": "zstd", "write_page_checksum": True, **_ENCODINGS}
    # pyarrow opens no file whose name is not UTF-8.
    with path.open("wb") as sink, pq.ParquetWriter(sink, schema, **options) as file:

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
        with (
            path.open("rb") as source,
            pq.ParquetFile(source, page_checksum_verification=True) as file,
        ):
            found = file.schema_arrow
            version = _check_version(path, _version(found))
            if not found.equals(_schema(version)):
                raise SavedFileError(f"{path} has other columns than seqlrp writes: {found.names}.")
            about = file.metadata
            left, without_rows = about.num_rows, about.serialized_size + _AROUND_FOOTER
            for batch in file.iter_batches(batch_size=256):
                yield from _batch_rows(path, batch, _columns(version))
                left -= len(batch)
            if left or (not about.num_rows and path.stat().st_size != without_rows):
                raise SavedFileError(f"{path} is damaged: it has lost rows.")
    except (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError) as error:
        raise SavedFileError(
            f"{path} cannot be read as Parquet ({_first_line(error)}); it is truncated, damaged or "
            "something else."
        ) from error


def _batch_rows(path: Path, batch: pa.RecordBatch, kinds: Mapping[str, str]) -> Iterator[Row]:
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
            try:
                values[name] = _parsed(values[name])
            except (TypeError, ValueError, RecursionError) as error:
                raise SavedFileError(f"{path} is damaged: {name} is no JSON: {error}") from error
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
