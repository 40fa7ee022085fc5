"""Columns of texts and labels, read from a file or a folder."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from seqlrp.errors import CorpusError, GuessedEncodingWarning, LeftOutWarning, near

if TYPE_CHECKING:
    import datasets

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet", ".txt")
SHOWN = 5  # numbers of rows in a message
USUAL_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_ANSI = "cp1252"  # what Windows and its spreadsheets write in western Europe and America
_MOST_ACCENTS = 0.2  # of the letters; other writing in an old encoding has more
_SPLITS = ("train", "test", "validation", "valid", "val", "dev")


@dataclass(frozen=True)
class Table:
    """Columns of equal length, by name.

    Attributes:
        name: its name in messages.
        columns: the values of each column; None where a row has none.
        class_names: the names that integers stand for, by the columns where they are known.
        borrowed: whether the data come from the hub, where the user cannot take out rows.
        unit: what holds a text: a row, or a line, which may be blank.
        numbers: the row or line of the source that each one is, counted from 0; None where none was
            left out.
        remarks: sentences on how the file was read, where that is not the usual way.
    """

    name: str
    columns: Mapping[str, Sequence[Any]]
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    borrowed: bool = False
    unit: Literal["row", "line"] = "row"
    numbers: Sequence[int] | None = None
    remarks: tuple[str, ...] = ()

    def numbered(self, values: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        """The value of each row with the row's number in the source, counted from 1."""
        numbers = range(len(values)) if self.numbers is None else self.numbers
        return ((number + 1, value) for number, value in zip(numbers, values, strict=True))


def left_out(
    name: str, unit: str, count: int, first: Sequence[int], why: str = "without a text"
) -> str:
    """The warning that rows or lines are left out: their count, and the first, numbered from 0."""
    what = f"row{'s' * (count > 1)} {why}"
    if unit == "line":
        what = f"blank line{'s' * (count > 1)}"
    listed = ", ".join(str(number + 1) for number in first[:SHOWN])
    more = ", …" if count > SHOWN else ""
    return (
        f"{name} has {count:,} {what}: left out ({unit}{'s' * (count > 1)} {listed}{more}, "
        "counted from 1; ids count from 0)."
    )


def read_path(path: Path, split: str | None, *, skip: bool = False) -> Table:
    """Read a CSV, TSV, JSON, JSON lines, Parquet or text file, or a folder of such or of texts.

    A text file holds a text a line; blank lines are kept here, as lines without a text.
    A folder holds `CLASS/*.txt`, or `SPLIT/CLASS/*.txt`, or files named by their split.

    Args:
        path: the file or folder.
        split: which part of a folder.
        skip: whether rows with more or fewer fields than the header are left out, with a warning.

    Raises:
        CorpusError: the file or folder is empty, broken, not UTF-8, or has no such split.
    """
    if path.is_dir():
        return _read_folder(path, split, skip)
    if split is not None:
        raise CorpusError(
            f"{path} is a single file and has no splits.",
            "Leave the split out.",
            option="split",
            got=split,
        )
    return _read_file(path, skip)


def choose_split(name: object, splits: Sequence[str], split: str | None) -> str:
    """The split to read: the requested one, else "train", else the only one.

    Raises:
        CorpusError: there is no such split, or several and none was asked for.
    """
    if split is not None:
        if split not in splits:
            raise CorpusError(
                f"The corpus {name} has no split {split!r}.",
                near(split, splits),
                option="split",
                got=split,
                known=tuple(splits),
            )
        return split
    if "train" in splits:
        return "train"
    if len(splits) == 1:
        return splits[0]
    raise CorpusError(
        f"The corpus {name} has the splits {', '.join(map(repr, splits))}.",
        "Set split to one.",
        option="split",
        known=tuple(splits),
        code="several_splits",
    )


def from_dataset(name: str, dataset: datasets.Dataset, *, borrowed: bool = False) -> Table:
    """The columns of a data set of Hugging Face."""
    import datasets

    class_names = {
        column: tuple(feature.names)
        for column, feature in dataset.features.items()
        if isinstance(feature, datasets.ClassLabel) and feature.names
    }
    return Table(name, dataset.with_format("arrow")[:].to_pydict(), class_names, borrowed)


def cause(error: BaseException) -> str:
    """The innermost cause of an error, in one line: libraries wrap their errors in each other."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    lines = str(error).strip().splitlines()
    return (lines[0][:200] if lines else type(error).__name__).rstrip(".")


def _read_file(path: Path, skip: bool) -> Table:
    suffix = path.suffix.lower()
    if suffix in USUAL_DELIMITERS:
        return _read_csv(path, skip)
    if suffix in (".json", ".jsonl"):
        return _read_json(path)
    if suffix == ".parquet":
        return _read_parquet(path)
    if suffix == ".txt":
        return _read_lines(path)
    raise CorpusError(
        f"Got the file {path}, expected a folder or a file that ends in {', '.join(SUFFIXES)}."
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            yield handle
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except OSError as error:
        raise CorpusError(
            f"Could not read the corpus {path}: {error.strerror or error}."
        ) from error


def _not_utf8(path: Path, error: UnicodeDecodeError) -> CorpusError:
    return CorpusError(
        f"The corpus {path} is not in UTF-8 (byte 0x{error.object[error.start]:02x}); convert it "
        f"first, e.g. by iconv -f LATIN1 -t UTF-8 {path.name}, with the encoding that it has for "
        "LATIN1."
    )


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a table, and what is to be said of its encoding.

    Spreadsheets write UTF-16 with a mark at the start, and without asking what Windows has always
    written: that is a guess, which is told, and not made where the writing is not Latin.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(
            f"Could not read the corpus {path}: {error.strerror or error}."
        ) from error
    try:
        wide = content.startswith(codecs.BOM_UTF32_LE)  # begins as UTF-16 does
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and not wide:
            return content.decode("utf-16"), [f"{path} is in UTF-16."]
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError as error:
        text = _western(content)
        if text is None:
            raise _not_utf8(path, error) from error
    warnings.warn(
        f"{path} is not in UTF-8 and was read as Windows-1252 ({_ANSI}): {_first_accent(text)}. "
        "If that is not what stands there, convert the file to UTF-8.",
        GuessedEncodingWarning,
        stacklevel=7,
    )
    return text, []


def _western(content: bytes) -> str | None:
    """The text in the encoding of western Windows; None where it is more likely in another."""
    try:
        text = content.decode(_ANSI)
    except UnicodeDecodeError:
        return None
    letters = sum(map(str.isalpha, text))
    accents = sum(character.isalpha() and not character.isascii() for character in text)
    return None if "\0" in text or accents > _MOST_ACCENTS * letters else text


def _first_accent(text: str) -> str:
    """Where the first character outside ASCII stands, and the word round it, to be checked."""
    found = re.search(r"\w*[^\x00-\x7f]\w*", text)
    assert found is not None  # otherwise it would be UTF-8
    return f"line {text.count(chr(10), 0, found.start()) + 1} has {found[0][:40]!r}"


def delimiter_of(header: str, suffix: str) -> str:
    """What separates the names in the first line of a table: the usual for a file that ends so.

    Where that is not among them, a comma, a semicolon or a tab, whichever is there most often.
    """
    usual = USUAL_DELIMITERS[suffix]
    others = [d for d in _DELIMITERS if d in header]
    return usual if usual in header or not others else max(others, key=header.count)


def _read_csv(path: Path, skip: bool) -> Table:
    # The module csv, as readers that guess take the first column for an index where rows are
    # longer than the header (a comma that nobody quoted), and "None" or "NA" for missing.
    text, remarks = _decoded(path)
    suffix = path.suffix.lower()
    delimiter = delimiter_of(text[:100_000].partition("\n")[0], suffix)
    if delimiter != USUAL_DELIMITERS[suffix]:
        remarks.append(f"The columns of {path} are separated by {_DELIMITERS[delimiter]}.")
    limit = csv.field_size_limit(sys.maxsize)
    ended = 0  # the line in which the row before ends
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        rows: list[list[str]] = []
        numbers: list[int] = []  # of the rows that are whole, blank lines not counted
        ragged: list[tuple[int, str]] = []  # the others, and what is wrong with each
        ended = reader.line_num
        for row in reader:
            if row and len(row) != len(header):
                place = _place(path, ended, reader.line_num, "ends")
                ragged.append((len(rows) + len(ragged), f"{place} a row of {len(row)} fields"))
            elif row:
                numbers.append(len(rows) + len(ragged))
                rows.append(row)
            ended = reader.line_num
    except csv.Error as error:
        place = _place(path, ended, reader.line_num, "is broken")
        raise CorpusError(f"{place}: {error}.") from error
    finally:
        csv.field_size_limit(limit)
    columns = _named_columns(path, header, rows)
    if ragged:
        _report_ragged(path, len(header), ragged, skip)
    return Table(str(path), columns, numbers=numbers if ragged else None, remarks=tuple(remarks))


def _place(path: Path, before: int, line: int, verb: str) -> str:
    """The line in which a row ends, and where it begins if a quoted field goes over several."""
    begins = f", in a row that begins in line {before + 1}," if before + 1 < line else ""
    return f"Line {line} of {path}{begins} {verb}"


def _named_columns(
    path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]
) -> dict[str, list[str]]:
    """The columns by their names; spreadsheets write empty columns without a name."""
    kept = [i for i, name in enumerate(header) if name or any(row[i].strip() for row in rows)]
    names = [header[i] for i in kept]
    if len(set(names)) < len(names):
        raise CorpusError(f"The header of {path} has a name twice: {', '.join(header)}.")
    return {header[i]: [row[i] for row in rows] for i in kept}


def _report_ragged(path: Path, columns: int, ragged: Sequence[tuple[int, str]], skip: bool) -> None:
    """Refuse a table with rows of other lengths than the header, or say that they are left out."""
    count, (_, first) = len(ragged), ragged[0]
    if skip:
        why = f"of other than {columns} fields"
        numbers = [number for number, _ in ragged[:SHOWN]]
        message = f"{left_out(str(path), 'row', count, numbers, why)} {first}."
        warnings.warn(message, LeftOutWarning, stacklevel=6)
        return
    quotes = "put texts that hold a delimiter in quotes."
    more = f" There are {count:,} such rows." if count > 1 else ""
    raise CorpusError(
        f"{first}, where the header has {columns}; {quotes}{more}",
        "Or leave such rows out (on_unanswerable='skip').",
        code="ragged_rows",
    )


def _read_json(path: Path) -> Table:
    with _opened(path) as handle:
        text = handle.read()
    if text.lstrip().startswith("["):
        rows = _parsed(text, path, "The file")
        place = "Item {} of {}"
    else:
        # Not splitlines, which also splits at characters that JSON allows inside a string.
        lines = {n: line for n, line in enumerate(text.split("\n"), start=1) if line.strip()}
        rows = [_parsed(line, path, f"Line {number}") for number, line in lines.items()]
        place = "Row {} of {}"
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise CorpusError(
                f"{place.format(number, path)} is of type {type(row).__name__}, expected an object "
                'like {"text": "...", "label": "..."}.'
            )
    names = dict.fromkeys(name for row in rows for name in row)
    return Table(str(path), {name: [row.get(name) for row in rows] for name in names})


def _parsed(text: str, path: Path, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CorpusError(
            f"{place} of {path} is not valid JSON ({error}); expected an object a line, "
            "or one list of objects."
        ) from error


def _read_lines(path: Path) -> Table:
    with _opened(path) as handle:
        # Not splitlines, which also splits inside a text, at U+2028 for instance.
        lines = [line.removesuffix("\r") for line in handle.read().split("\n")]
    if not lines[-1]:  # after the last end of line
        lines.pop()
    return Table(str(path), {"text": lines}, unit="line", numbers=range(len(lines)))


def _read_parquet(path: Path) -> Table:
    import datasets
    import pyarrow.parquet

    try:
        # Read afresh: the files that `datasets` caches may be older than the file.
        return from_dataset(str(path), datasets.Dataset(pyarrow.parquet.read_table(path)))
    except Exception as error:  # whatever else the two libraries raise on a broken file
        raise CorpusError(f"Could not read the corpus {path}: {cause(error)}.") from error


def _read_folder(path: Path, split: str | None, skip: bool) -> Table:
    try:
        files = {p.stem: p for p in sorted(path.iterdir()) if p.is_file() and p.stem in _SPLITS}
        if files:
            return _read_file(files[choose_split(path, list(files), split)], skip)
        splits = [p.name for p in _folders(path) if p.name in _SPLITS and _classes(p)]
        if splits:
            path = path / choose_split(path, splits, split)
        elif split is not None:
            raise CorpusError(f"{path} has no folder {split!r}.", option="split", got=split)
        return _read_texts(path)
    except OSError as error:
        raise CorpusError(
            f"Could not read the corpus {path}: {error.strerror or error}."
        ) from error


def _read_texts(path: Path) -> Table:
    classes = _classes(path)
    texts, labels = [], []
    for label, files in enumerate(classes.values()):
        for file in files:
            with _opened(file) as handle:
                text = handle.read()
            if not text.strip():
                raise CorpusError(f"The text {file} of the corpus is empty; take it out.")
            texts.append(text)
            labels.append(label)
    if not texts:
        raise CorpusError(
            f"The folder {path} is no corpus: expected texts as CLASS/*.txt or "
            "train/CLASS/*.txt, or files like train.csv and test.csv."
        )
    return Table(str(path), {"text": texts, "label": labels}, {"label": tuple(classes)})


def _classes(path: Path) -> dict[str, list[Path]]:
    found = {folder.name: sorted(folder.glob("*.txt")) for folder in _folders(path)}
    return {name: files for name, files in found.items() if files}


def _folders(path: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(path) if entry.is_dir())
