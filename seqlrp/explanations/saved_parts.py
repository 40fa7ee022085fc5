"""A folder of explanations in numbered parts, read as one sequence that is not held in memory."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import overload

from seqlrp.errors import SavedFileError
from seqlrp.explanations.files import read_explanations
from seqlrp.explanations.parts import part_paths
from seqlrp.explanations.record import Explanation

_ADVICE = "Run the command that began the folder again; it writes damaged parts again."


class SavedParts(Sequence[Explanation]):
    """The explanations of a folder, read from its files each time that they are asked for.

    Iterating holds a batch of rows in memory, an index one part.

    Attributes:
        folder: where they are.

    Raises:
        SavedFileError: the folder is not finished, or a file is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        import pyarrow.parquet as pq

        self.folder = Path(folder)
        self._paths = part_paths(folder)
        try:
            counts = [pq.read_metadata(path).num_rows for path in self._paths]
        except (OSError, ValueError) as error:  # of pyarrow, too
            raise SavedFileError(f"A part in {folder} is damaged: {error}", _ADVICE) from error
        self._ends = list(accumulate(counts))
        self._held: tuple[int, list[Explanation]] = (-1, [])

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_held": (-1, [])}  # for another process, which reads its own

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Explanation]:
        for path in self._paths:
            yield from self._read(path)

    @overload
    def __getitem__(self, index: int) -> Explanation: ...
    @overload
    def __getitem__(self, index: slice) -> list[Explanation]: ...
    def __getitem__(self, index: int | slice) -> Explanation | list[Explanation]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        part = bisect_right(self._ends, place)
        if self._held[0] != part:
            self._held = part, list(self._read(self._paths[part]))
        found: Explanation = self._held[1][place - self._ends[part]]
        return found  # counted from the end of the part

    def _read(self, path: Path) -> Iterator[Explanation]:
        try:
            yield from read_explanations(path)
        except SavedFileError as error:
            raise SavedFileError(str(error), _ADVICE) from error
