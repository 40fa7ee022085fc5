"""Explanations of many texts, in order: kept in a file, as a table, summed up."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from seqlrp.errors import InputError, check_choice
from seqlrp.explanations.exports import Exported
from seqlrp.explanations.files import explanation_writer, read_explanations
from seqlrp.explanations.frames import by_document, by_word
from seqlrp.explanations.record import Explanation
from seqlrp.explanations.saved_parts import SavedParts

if TYPE_CHECKING:
    import pandas as pd


class Explanations(Sequence[Explanation], Exported):
    """Explained texts in order; a slice, a filter and a sum are `Explanations` again."""

    def __init__(self, explanations: Iterable[Explanation] = ()) -> None:
        self._items: Sequence[Explanation] = tuple(explanations)
        for item in self._items:
            if not isinstance(item, Explanation):
                raise InputError(f"Explanations holds Explanation records, got {item!r:.80}.")

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> Explanations: ...
    def __getitem__(self, index: int | slice) -> Explanation | Explanations:
        if isinstance(index, slice):
            return Explanations(self._items[index])
        return self._items[index]

    def __iter__(self) -> Iterator[Explanation]:
        return iter(self._items)

    def __add__(self, other: Explanations) -> Explanations:
        if not isinstance(other, Explanations):
            return NotImplemented
        return Explanations((*self._items, *other._items))

    @property
    def folder(self) -> Path | None:
        """The folder of parts that they are read from, None where they are held in memory."""
        return self._items.folder if isinstance(self._items, SavedParts) else None

    def _documents(self) -> Sequence[Explanation]:
        return self._items

    def filter(self, predicate: Callable[[Explanation], bool]) -> Explanations:
        """Keep those for which `predicate` is true, e.g. `lambda e: e.predicted != e.label`."""
        return Explanations(item for item in self._items if predicate(item))

    def merged(self, by: str = "word") -> Explanations:
        """Merge each by "word" or by "sentence"; see `Explanation.merged`."""
        return Explanations(item.merged(by) for item in self._items)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them to a `.parquet` or a `.jsonl` file, from which `load` gives the same again.

        Raises:
            OptionError: another suffix.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        with explanation_writer(path) as writer:
            writer.extend(self._items)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Explanations:
        """Read a file that `save` wrote, or open a folder that `seqlrp.scale.explain` wrote.

        The explanations of a folder are not held: each loop over them reads the files again.

        Raises:
            OptionError: a suffix that is neither `.parquet` nor `.jsonl`.
            SavedFileError: the file is not there, is foreign, or is truncated; the folder is not
                finished.
        """
        loaded = cls()
        if Path(path).is_dir():
            loaded._items = SavedParts(path)
        else:
            loaded._items = tuple(read_explanations(path))
        return loaded

    def to_pandas(self, by: str = "word") -> pd.DataFrame:
        """A table with one row a word, or one row a document (`by="document"`).

        Where every class is explained there is a row for each class. Relevance is raw: float32 a
        word, summed in float64 a document.
        """
        frames = {"word": by_word, "document": by_document}
        check_choice("by", by, frames)
        return frames[by](self._items)

    def summary(self, by: str = "word", **options: Any) -> pd.DataFrame:
        """Relevance of each "word", "token", "lemma" or "class" over all documents.

        A word that the model reads in pieces is put together, and its relevance added up. See
        `seqlrp.explanations.summaries.summarise`, which also takes a stream.
        """
        from seqlrp.explanations.summaries import summarise

        return summarise(self._items, by, **options)

    def __repr__(self) -> str:
        known = self._items if isinstance(self._items, tuple) else self._items[:1]  # of a folder
        methods = ", ".join(sorted({repr(item.method) for item in known}))
        return f"Explanations({len(self)} documents{', method ' + methods if methods else ''})"
