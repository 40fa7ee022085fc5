"""Checkpoints of an evaluation: the results of finished methods, so that a rerun continues."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.errors import SavedFileError
from seqlrp.evaluation.candidates import Candidate
from seqlrp.evaluation.documents import Texts
from seqlrp.evaluation.report.files import read_rows, write_rows
from seqlrp.explanations.record import Explanation
from seqlrp.models.fingerprint import fingerprint
from seqlrp.writing import check_writable

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier


_LOCK = ".lock"  # the suffix of a file that a process locks while it measures


class Checkpoint:
    """One Parquet file for each method and order, in the folder `unfinished` beside the report.

    The name of a file is a fingerprint of the model (class names and weights), texts, labels,
    options and versions, so that a file is used only if all of these are the same.

    Args:
        folder: the folder of the report.
        classifier: the classifier that is explained.
        texts: the documents that take part.
        made: seed, options and versions, JSON values.

    Raises:
        WriteError: the folder cannot be written to.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        classifier: TextClassifier,
        texts: Texts,
        made: Mapping[str, Any],
    ) -> None:
        check_writable(folder)
        self.folder = Path(folder) / "unfinished"
        self._paths: set[Path] = set()
        self._fingerprint = fingerprint(classifier, made, _pieces(texts))

    def path(self, candidate: Candidate) -> Path:
        """Return the path of the rows of a method."""
        digest = self._fingerprint.copy()
        about = {"name": candidate.name, "order": candidate.order, **candidate.about}
        digest.update(type(candidate.method).__qualname__.encode())
        digest.update(json.dumps(about, sort_keys=True, default=repr).encode())
        for item in candidate.given or ():
            array = np.asarray(item.relevance if isinstance(item, Explanation) else item)
            target = repr(item.target) if isinstance(item, Explanation) else ""
            digest.update(f"{target}{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        path = self.folder / f"{digest.hexdigest()}.parquet"
        self._paths.add(path)
        return path

    def read(self, candidate: Candidate) -> tuple[pd.DataFrame, float] | None:
        """Return the rows and the seconds a text; None if there is no readable file."""
        try:
            table, about = read_rows(self.path(candidate))
            seconds = about["seconds"]
            return table, math.nan if seconds is None else float(seconds)
        except (SavedFileError, KeyError, TypeError, ValueError):
            return None

    def write(self, candidate: Candidate, table: pd.DataFrame, seconds: float) -> None:
        """Write the rows of a method and the seconds a text."""
        about = {"method": candidate.name, "seconds": None if math.isnan(seconds) else seconds}
        write_rows(self.path(candidate), table, about)

    @contextlib.contextmanager
    def claimed(self, candidate: Candidate, *, wait: bool) -> Iterator[bool]:
        """Keep other processes from measuring a method while the block runs.

        Args:
            candidate: the method.
            wait: whether to wait until no other process measures it; one that dies is no hindrance.

        Yields:
            whether no other process measures it.
        """
        from filelock import FileLock, Timeout

        self.folder.mkdir(exist_ok=True)
        lock = FileLock(self.path(candidate).with_suffix(_LOCK), timeout=-1 if wait else 0)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    def remove(self) -> None:
        """Remove the files of this evaluation, and the folder if it is then empty."""
        for path in self._paths:
            path.unlink(missing_ok=True)
            path.with_suffix(_LOCK).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _pieces(texts: Texts) -> Iterator[bytes]:
    yield json.dumps([texts.numbers, texts.labels]).encode()
    for document in texts.documents:
        yield document.ids.tobytes()
        yield document.source.sentences.tobytes()
        yield document.source.text.encode("utf-8", "surrogatepass")
    for marks in texts.rationales or ():
        yield marks.tobytes()
