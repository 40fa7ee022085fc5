"""CSV for spreadsheets: explanations a word a row, and text that never begins a formula."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seqlrp.explanations.frames import by_word
from seqlrp.explanations.record import Explanation
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd

HELD = 256  # explanations that are written together


class SpreadsheetWriter:
    """Collects explanations and writes them as rows of words; made by `spreadsheet_writer`."""

    def __init__(self, file: os.PathLike[str]) -> None:
        self._file = file
        self._held: list[Explanation] = []
        self._number = 0

    def append(self, explanation: Explanation) -> None:
        """Add one explanation."""
        self._held.append(explanation)
        if len(self._held) == HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held; the first time the names of the columns, too."""
        table = by_word(self._held)
        table["document"] += self._number
        text = to_csv(table, header=not self._number)
        with open(self._file, "a", encoding="utf-8", newline="") as file:
            file.write(text)
        self._number += len(self._held)
        self._held = []


@contextmanager
def spreadsheet_writer(path: str | os.PathLike[str]) -> Iterator[SpreadsheetWriter]:
    """Open a CSV file for a stream of explanations, with the columns of `Explanations.to_frame`.

    It is for reading and cannot be loaded again: write Parquet or JSON lines beside it. The file is
    there when all is written.

    Raises:
        WriteError: the file system refused; what was at `path` is unchanged.
    """
    with written_whole(path) as temporary:
        writer = SpreadsheetWriter(temporary)
        yield writer
        writer.flush()


def to_csv(table: pd.DataFrame, *, header: bool = True) -> str:
    """CSV in which no text begins a formula: an apostrophe says to a spreadsheet that it is text.

    Tokens, labels and names of methods are what others like them to be.
    """
    text = table.select_dtypes(exclude="number").columns
    guarded = {name: table[name].map(_guarded) for name in text}
    return str(table.assign(**guarded).to_csv(index=False, header=header, lineterminator="\n"))


def _guarded(value: object) -> object:
    formula = isinstance(value, str) and re.match(r"[\s]*[=+\-@]|[\t\r\n]", value)
    return f"'{value}" if formula else value
