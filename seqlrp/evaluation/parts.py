"""Finished methods of an evaluation that is not finished, kept so that a rerun goes on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from seqlrp.errors import SavedFileError
from seqlrp.evaluation.candidates import Candidate
from seqlrp.evaluation.files import read_rows, write_rows
from seqlrp.explanation import Explanation
from seqlrp.writing import check_writable

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.evaluation.run import Texts
    from seqlrp.text_classifier import TextClassifier


class Parts:
    """One Parquet file for each method and order, in the folder `unfinished` beside the report.

    A file counts only if it was made with the same model (its code by name, its weights bit for
    bit), texts, labels, options and versions: all of these are in the fingerprint in its name.

    Args:
        folder: the report's.
        classifier: what is explained.
        texts: the documents that take part.
        made: seed, options and versions, JSON values.

    Raises:
        WriteError: nothing can be written there.
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
        self._used: set[Path] = set()
        self._common = hashlib.sha256()
        for piece in _pieces(classifier, texts, made):
            self._common.update(len(piece).to_bytes(8, "big"))
            self._common.update(piece)

    def path(self, candidate: Candidate) -> Path:
        """Where the rows of a method are."""
        digest = self._common.copy()
        about = {"name": candidate.name, "order": candidate.order, **candidate.about}
        digest.update(type(candidate.method).__qualname__.encode())
        digest.update(json.dumps(about, sort_keys=True, default=repr).encode())
        for item in candidate.given or ():
            array = np.asarray(item.relevance if isinstance(item, Explanation) else item)
            target = repr(item.target) if isinstance(item, Explanation) else ""
            digest.update(f"{target}{array.dtype}{array.shape}".encode())
            digest.update(array.tobytes())
        path = self.folder / f"{digest.hexdigest()}.parquet"
        self._used.add(path)
        return path

    def read(self, candidate: Candidate) -> tuple[pd.DataFrame, float] | None:
        """Rows and seconds a text, None if they are not there whole."""
        try:
            table, about = read_rows(self.path(candidate))
            seconds = about["seconds"]
            return table, math.nan if seconds is None else float(seconds)
        except (SavedFileError, KeyError, TypeError, ValueError):
            return None

    def write(self, candidate: Candidate, table: pd.DataFrame, seconds: float) -> None:
        """Keep rows and seconds a text."""
        about = {"method": candidate.name, "seconds": None if math.isnan(seconds) else seconds}
        write_rows(self.path(candidate), table, about)

    def remove(self) -> None:
        """Remove these files, and the folder if it holds no others: the report is there."""
        for path in self._used:
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def _pieces(classifier: TextClassifier, texts: Texts, made: Mapping[str, Any]) -> Iterator[bytes]:
    yield json.dumps(made, sort_keys=True, default=repr).encode()
    yield repr(classifier.model).encode()
    yield classifier.vocabulary.fingerprint.encode()
    for name, tensor in classifier.model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield flat.view(torch.uint8).numpy().tobytes()
    yield json.dumps([texts.numbers, texts.labels]).encode()
    for document in texts.documents:
        yield document.ids.tobytes()
        yield document.source.sentences.tobytes()
        yield document.source.text.encode("utf-8", "surrogatepass")
    for marks in texts.rationales or ():
        yield marks.tobytes()
