"""The texts of a shard with their numbers, labels and ids, and those that cannot be read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from seqlrp.explaining.questions import label_names
from seqlrp.explanations.fields import SURROGATE
from seqlrp.scale.plan import Shard
from seqlrp.scale.source import Broken, Row, SourceFile, read_rows
from seqlrp.text.corpora import corpus_from_table
from seqlrp.text.tables import Table


@dataclass(frozen=True)
class ShardTexts:
    """Texts of a shard.

    Attributes:
        numbers: the number of each over all sources; the texts stand in this order.
        texts: the texts themselves.
        ids: what the source calls each, or its number.
        labels: the names of the true classes, None where they are not wanted.
        failed: why others could not be read, by number.
        empty: the numbers of those that hold nothing.
    """

    numbers: Sequence[int]
    texts: Sequence[str]
    ids: Sequence[str]
    labels: Sequence[str] | None
    failed: dict[int, str]
    empty: Sequence[int]

    def part(self, numbers: Collection[int]) -> ShardTexts:
        """The texts with these numbers."""
        rows = [row for row, number in enumerate(self.numbers) if number in numbers]
        labels = self.labels
        return ShardTexts(
            [self.numbers[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.ids[row] for row in rows],
            None if labels is None else [labels[row] for row in rows],
            {},
            (),
        )


@dataclass(frozen=True)
class ColumnNames:
    """Which columns are read; labels and ids may not be wanted."""

    text: str
    label: str | None = None
    id: str | None = None


def read_shard(
    files: Sequence[SourceFile], shard: Shard, columns: ColumnNames, classes: Sequence[str]
) -> ShardTexts:
    """Read a shard.

    Args:
        files: all files of the plan.
        shard: the shard.
        columns: which columns are read.
        classes: the labels of the classifier.

    Raises:
        CorpusError: a file is gone or was changed, or lacks a column.
        LabelError: a label is none of the classifier's.
    """
    names = [name for name in (columns.text, columns.label, columns.id) if name is not None]
    rows, class_names = read_rows(files, shard.pieces, names)
    failed: dict[int, str] = {}
    kept: list[tuple[int, dict[str, object]]] = []
    empty: list[int] = []
    for number, row in enumerate(rows, shard.first):
        reason = _unreadable(row, columns.text)
        if reason is not None:
            failed[number] = reason
        elif isinstance(row, dict) and _is_empty(row.get(columns.text)):
            empty.append(number)
        elif isinstance(row, dict):
            kept.append((number, row))
    numbers = [number for number, _ in kept]
    if not kept:
        return ShardTexts([], [], [], None if columns.label is None else [], failed, empty)
    held = {name: [row.get(name) for _, row in kept] for name in names}
    corpus = corpus_from_table(
        Table(files[shard.pieces[0].file].url, held, class_names, numbers=numbers),
        "shard",
        text=columns.text,
        label=columns.label,
        label_names=classes,
        labelled=columns.label is not None,
    )
    ids = numbers if columns.id is None else held[columns.id]
    return ShardTexts(
        numbers, corpus.texts, [str(value) for value in ids], label_names(corpus), failed, empty
    )


def _unreadable(row: Row, column: str) -> str | None:
    """Why a row has no readable text; None where it has one, or is empty."""
    if isinstance(row, Broken):
        return row.reason
    text = row.get(column)
    if isinstance(text, str):
        if SURROGATE.search(text):
            return "The text is not UTF-8, or holds a lone surrogate."
        return None
    return None if _is_empty(text) else f"The text is of type {type(text).__name__}, no string."


def _is_empty(text: object) -> bool:
    return not text.strip() if isinstance(text, str) else text is None or text != text
