"""Files of texts, on disk or behind a URL: found, cut into shards by position, read in pieces.

A piece is a range of a file: of rows in a Parquet file, of bytes in the others, whose lines are
read once to find where documents begin. So a plan is a few numbers a shard, whatever the corpus,
and each shard is read by itself.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import PurePosixPath
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

from seqlrp.errors import CorpusError, MissingPackageError, SeqlrpError
from seqlrp.text.hub import is_hub_name
from seqlrp.text.tables import SUFFIXES, USUAL_DELIMITERS, Table, cause, delimiter_of, from_dataset

_JSON = (".jsonl", ".json")
_MARK = b"\xef\xbb\xbf"  # of UTF-8 at the start of a file
_ROWS = 1024  # of a Parquet file that are decoded at a time
_TEXT = "text"  # the column of files that have none
UNREADABLE = "source_unreadable"  # the code of errors of a disk or a network, which may pass
_VERSIONS = (  # where file systems say which version of a file there is, the surest first
    "ETag", "etag", "blob_id", "md5Hash", "mtime", "mtimeNs", "updated", "LastModified", "created",
)  # fmt: skip
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "http": "http", "https": "http"}


class SourceFile(NamedTuple):
    """A file of texts.

    Attributes:
        url: its path, or its URL.
        size: bytes.
        modified: what the file system says about its version, a tag or a time; may be "".
        whole: whether the file is one document, as are those of a folder of nothing but `.txt`.
        digest: a hash of its content; of a Parquet file, of the footer, which has the sizes and
            bounds of all that is in it.
        header: the columns of a CSV, TSV or Parquet file.
        delimiter: what separates the columns, where it is not what the suffix says.
    """

    url: str
    size: int
    modified: str
    whole: bool = False
    digest: str = ""
    header: tuple[str, ...] = ()
    delimiter: str = ""

    @property
    def suffix(self) -> str:
        """The suffix in lower case, which says the format."""
        return _suffix(self.url)


class Piece(NamedTuple):
    """A range of a file: of rows in a Parquet file, otherwise of bytes, with its documents."""

    file: int
    start: int
    stop: int
    documents: int


class Place(NamedTuple):
    """Where a document stands: its file, and its row in it, counted from 0."""

    url: str
    row: int


class Broken(NamedTuple):
    """A document that could not be read, and why."""

    reason: str


Row = Mapping[str, Any] | Broken


def find_files(sources: Sequence[str]) -> list[SourceFile]:
    """The files of texts that paths, folders, globs and URLs name, each in the order of names.

    A folder stands for all files of texts below it, and a name as `owner/name` that is no path for
    the files of that data set of the Hugging Face hub.

    Raises:
        CorpusError: there is no such file, none whose format can be read in pieces, a file is named
            twice, or the file system cannot be reached.
        MissingPackageError: a URL needs a package that is not installed.
    """
    found = [file for source in sources for file in _files_of(str(source))]
    if not found:
        raise CorpusError("Got no source; expected files, folders, globs or URLs.")
    seen: set[str] = set()
    for file in found:
        if file.url in seen:  # as by a folder and a glob that overlap: its texts would count twice
            raise CorpusError(
                f"The sources name the file {file.url} twice, and its texts would count twice; "
                "expected each file once.",
                "A folder stands for all files below it: take out what it holds already.",
            )
        seen.add(file.url)
    return found


def cut(
    files: Sequence[SourceFile], size: int, advance: Callable[[int], object] = int
) -> tuple[list[SourceFile], list[list[Piece]]]:
    """Cut files into shards of `size` documents, the last of fewer, reading each file once.

    Args:
        files: as `find_files` found them.
        size: documents in a shard.
        advance: called now and then with the bytes that were read since it was called before; of a
            Parquet file with its size, though only the footer is read.

    Returns:
        The files with their hashes and headers, and the pieces of each shard.

    Raises:
        CorpusError: a file is broken, or none holds a document.
    """
    scanned: list[SourceFile] = []
    shards: list[list[Piece]] = []
    room = 0
    for number, file in enumerate(files):
        scan, told = _Scan(file), 0
        start, count = None, 0
        for end in scan:
            start = scan.begin if start is None else start
            if not room:
                shards.append([])
                room = size
            count, room = count + 1, room - 1
            if not room:
                shards[-1].append(Piece(number, start, end, count))
                start, count = end, 0
                advance(scan.read - told)
                told = scan.read
        if start is not None and count:
            shards[-1].append(Piece(number, start, end, count))
        scanned.append(scan.file)
        advance(max(file.size, told) - told)
    if not shards:
        raise CorpusError(f"The sources hold no document: {', '.join(f.url for f in files[:5])}.")
    return scanned, shards


def read_rows(
    files: Sequence[SourceFile], pieces: Iterable[Piece], columns: Sequence[str] | None = None
) -> tuple[list[Row], dict[str, tuple[str, ...]]]:
    """Read the rows of a shard, or some columns of them, and the names of classes if they have any.

    Raises:
        CorpusError: a file is gone, or is no longer what it was.
    """
    rows: list[Row] = []
    class_names: dict[str, tuple[str, ...]] = {}
    for piece in pieces:
        file = files[piece.file]
        with _opened(file.url) as handle:
            if file.suffix == ".parquet":
                table = _row_range(handle, file, piece, columns)
                class_names.update(table.class_names)
                values = zip(*table.columns.values(), strict=True)
                found: list[Row] = [dict(zip(table.columns, row, strict=True)) for row in values]
            else:
                with _reading(file.url):
                    handle.seek(piece.start)
                    content = handle.read(piece.stop - piece.start)
                if not piece.start:
                    content = content.removeprefix(_MARK)
                found = list(_parsed(file, content.decode("utf-8", "surrogateescape")))
        if len(found) != piece.documents:
            raise CorpusError(
                f"{file.url} was changed: a part that had {piece.documents:,} documents has "
                f"{len(found):,}.",
                "Begin again in another folder.",
            )
        rows += found
    return rows, class_names


# Which files there are


def _files_of(source: str) -> Iterator[SourceFile]:
    if "/" in source and is_hub_name(source) and not os.path.exists(source):
        source = f"hf://datasets/{source}"
    file_system, path = _file_system(source)
    protocol = "" if source == path or "://" not in source else source.split("://")[0] + "://"
    with _reading(source):
        file_system.invalidate_cache()  # of what an earlier call in this process saw
        names, whole = _names(file_system, path)
        about = {name: file_system.info(name) for name in names}
    if not names:
        raise CorpusError(
            f"{source} names no file of texts; expected files that end in {', '.join(SUFFIXES)}, "
            "a folder or a glob of such, or a URL."
        )
    for name, facts in about.items():
        version = next((facts[key] for key in _VERSIONS if facts.get(key)), "")
        url = name if not protocol else protocol + name.removeprefix(protocol)
        yield SourceFile(url, int(facts.get("size") or 0), str(version), whole)


def _names(file_system: Any, path: str) -> tuple[list[str], bool]:
    """The names of the files of texts at a path, and whether each is one document."""
    whole = False
    if path.startswith(("http://", "https://")):
        names = [path]  # fsspec would read it all to see whether it is a folder
    elif file_system.isdir(path):
        names = sorted(name for name in file_system.find(path) if not _is_hidden(name, path))
        whole = all(_suffix(name) == ".txt" for name in names)
    else:
        names = [path] if file_system.exists(path) else sorted(file_system.glob(path))
    return [name for name in names if _suffix(name) in SUFFIXES], whole


def _suffix(url: str) -> str:
    path = urlsplit(url).path if url.startswith(("http://", "https://")) else url
    return PurePosixPath(path).suffix.lower()


def _is_hidden(name: str, folder: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).relative_to(folder).parts)


def _file_system(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        file_system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(url.split(":")[0])
        install = f"pip install 'seqlrp[{extra}]'" if extra else str(error)
        raise MissingPackageError(f"{url} needs a package that is not installed: {install}") from (
            error
        )
    except ValueError as error:
        raise CorpusError(f"Got the source {url!r}: {error}") from error
    return file_system, str(path)


@contextmanager
def _reading(url: str) -> Iterator[None]:
    """Turn what file systems raise, which may be anything, into an error that names the file."""
    try:
        yield
    except (SeqlrpError, MemoryError):
        raise
    except Exception as error:
        reason = getattr(error, "strerror", None) or cause(error)
        raise CorpusError(f"Could not read {url}: {reason}.", code=UNREADABLE) from error


def _opened(url: str) -> IO[bytes]:
    file_system, path = _file_system(url)
    with _reading(url):
        opened: IO[bytes] = file_system.open(path, "rb")
    try:
        opened.seek(1)
        opened.seek(0)
    except ValueError as error:  # fsspec's answer to a server that knows no ranges
        raise CorpusError(
            f"The server of {url} sends whole files only, and shards are read from the middle.",
            "Download the file first.",
        ) from error
    return opened


# Where documents begin


class _Scan:
    """Reads a file once: iterating gives where each document ends; `file` is then complete."""

    def __init__(self, file: SourceFile) -> None:
        self.file = file
        self.begin = 0  # where the first document begins
        self.read = 0  # bytes of it, but for Parquet
        self._digest = hashlib.blake2b(digest_size=16)

    def __iter__(self) -> Iterator[int]:
        header: Sequence[str] = ()
        with _opened(self.file.url) as handle:
            if self.file.suffix == ".parquet":
                rows, header = self._footer(handle)
                yield from range(1, rows + 1)
            elif self.file.whole:
                for _ in self._lines(handle):
                    pass
                yield self.read
            elif self.file.suffix in USUAL_DELIMITERS:
                lines = self._decoded(handle)
                first = next(lines, "")
                found = delimiter_of(first, self.file.suffix)
                if found != USUAL_DELIMITERS[self.file.suffix]:
                    self.file = self.file._replace(delimiter=found)
                reader = _csv_rows(self.file, chain([first], lines))
                header, self.begin = next(reader, ()), self.read
                if len(set(header)) < len(header):
                    raise CorpusError(f"The header of {self.file.url} has a name twice: {header}.")
                yield from (self.read for row in reader if row)
            else:
                yield from self._ends_of_lines(handle)
        self.file = self.file._replace(digest=self._digest.hexdigest(), header=tuple(header))

    def _lines(self, handle: IO[bytes]) -> Iterator[bytes]:
        with _reading(self.file.url):
            for line in handle:
                self._digest.update(line)
                self.read += len(line)
                yield line

    def _decoded(self, handle: IO[bytes]) -> Iterator[str]:
        for line in self._lines(handle):
            yield line.decode("utf-8", "surrogateescape").removeprefix("\ufeff")

    def _ends_of_lines(self, handle: IO[bytes]) -> Iterator[int]:
        json_lines = self.file.suffix in _JSON
        for line in self._lines(handle):
            if json_lines and not line.strip():
                continue
            if json_lines and self.file.suffix == ".json" and line.lstrip(_MARK + b" ")[:1] == b"[":
                raise CorpusError(
                    f"{self.file.url} is a list of JSON objects, which cannot be read from its "
                    "middle; write an object a line (.jsonl), or Parquet."
                )
            yield self.read

    def _footer(self, handle: IO[bytes]) -> tuple[int, list[str]]:
        import pyarrow.parquet as pq

        with _reading(self.file.url), pq.ParquetFile(handle) as file:
            names, rows = file.schema_arrow.names, file.metadata.num_rows
            about = file.metadata.serialized_size
        with _opened(self.file.url) as again, _reading(self.file.url):
            again.seek(max(self.file.size - about - 8, 0))
            self._digest.update(again.read())
        return int(rows), list(names)


# Reading a piece


def _parsed(file: SourceFile, content: str) -> Iterator[Row]:
    if file.whole:
        yield {_TEXT: content}
    elif file.suffix in USUAL_DELIMITERS:
        rows = _csv_rows(file, _split(content, keep=True))
        yield from (dict(zip(file.header, row, strict=True)) for row in rows if row)
    elif file.suffix in _JSON:
        for line in _split(content):
            if line.strip():
                yield _json_row(line)
    else:
        yield from ({_TEXT: line.removesuffix("\r")} for line in _split(content))


def _split(content: str, *, keep: bool = False) -> Iterator[str]:
    """The lines of a text, at line feeds only: other ends of line may stand inside a document."""
    lines = content.split("\n")
    last = lines.pop()
    yield from (line + "\n" * keep for line in lines)
    if last:
        yield last


def _json_row(line: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Broken(f"The line is no JSON: {error}.")
    if not isinstance(row, dict):
        return Broken(f"The line is JSON of type {type(row).__name__}, expected an object.")
    return row


def _csv_rows(file: SourceFile, lines: Iterable[str]) -> Iterator[list[str]]:
    limit = csv.field_size_limit(sys.maxsize)
    delimiter = file.delimiter or USUAL_DELIMITERS[file.suffix]
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    columns = len(file.header)
    try:
        for row in reader:
            columns = columns or len(row)
            if row and len(row) != columns:
                raise CorpusError(
                    f"A row of {file.url} has {len(row)} fields, where the header has {columns}: "
                    f"{','.join(row)[:60]!r}; put texts that hold a delimiter in quotes."
                )
            yield row
    except csv.Error as error:
        raise CorpusError(f"Line {reader.line_num} of {file.url} is broken: {error}.") from error
    finally:
        csv.field_size_limit(limit)


def _row_range(
    handle: IO[bytes], file: SourceFile, piece: Piece, columns: Sequence[str] | None
) -> Table:
    """Some rows of a Parquet file, of which no more than needed is held."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    with _reading(file.url), pq.ParquetFile(handle) as opened:
        names = [n for n in opened.schema_arrow.names if columns is None or n in columns]
        groups, before = _groups(opened, piece)
        parts = []
        for batch in opened.iter_batches(_ROWS, row_groups=groups, columns=names):
            part = batch[max(piece.start - before, 0) : max(piece.stop - before, 0)]
            if len(part):
                parts.append(part)
            before += len(batch)
            if before >= piece.stop:
                break
        schema = pa.schema([opened.schema_arrow.field(n) for n in names])
        schema = schema.with_metadata(opened.schema_arrow.metadata)
        return from_dataset(file.url, datasets.Dataset(pa.Table.from_batches(parts, schema)))


def _groups(opened: Any, piece: Piece) -> tuple[list[int], int]:
    """The row groups that hold a piece, and how many rows stand before the first of them."""
    groups: list[int] = []
    first = before = 0
    for number in range(opened.metadata.num_row_groups):
        end = before + opened.metadata.row_group(number).num_rows
        if end > piece.start and before < piece.stop:
            first = first if groups else before
            groups.append(number)
        before = end
    return groups, first
