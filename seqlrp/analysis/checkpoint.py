"""Stores the finished parts of an analysis, so that the same call goes on after an interruption."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.analysis.interventions import Effect, Proof
from seqlrp.analysis.saved_analysis import read_frames, write_frames
from seqlrp.analysis.strategies import Strategies
from seqlrp.errors import SavedFileError
from seqlrp.explanations.files import explanation_writer, read_explanations
from seqlrp.explanations.record import Explanation
from seqlrp.models.fingerprint import fingerprint
from seqlrp.text.corpora import Corpus
from seqlrp.writing import check_writable, written_whole

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier

UNFINISHED = "unfinished"


class Checkpoint:
    """Explained texts, strategies and proofs, in the folder `unfinished` of the report.

    They stand in a folder named by a fingerprint of the model, the texts, their labels and the
    options, so that they are used only where all of these are the same.

    Args:
        folder: of the report.
        classifier: the classifier that is analysed.
        corpus: the texts.
        made: the options, JSON values.

    Raises:
        WriteError: the folder cannot be written to.
    """

    def __init__(
        self, folder: Path, classifier: TextClassifier, corpus: Corpus, made: Mapping[str, Any]
    ) -> None:
        check_writable(folder)
        digest = fingerprint(classifier, made, _pieces(corpus))
        self._holder = folder / UNFINISHED
        self.folder = self._holder / digest.hexdigest()[:32]
        self._proofs = dict(self._read_proofs())

    def read_part(self, number: int) -> list[Explanation] | None:
        """A part of the explained texts; None where there is no readable file."""
        try:
            return list(read_explanations(self._part(number)))
        except SavedFileError:
            return None

    def write_part(self, number: int, explanations: Sequence[Explanation]) -> None:
        """Keep a part of the explained texts."""
        with explanation_writer(self._part(number)) as writer:
            writer.extend(explanations)

    def read_strategies(self) -> Strategies | None:
        """The strategies; None where they are not there."""
        try:
            frames, about = read_frames(self.folder / "strategies")
            return Strategies.from_state(about["facts"], frames)
        except (SavedFileError, KeyError):
            return None

    def write_strategies(self, strategies: Strategies) -> None:
        """Keep the strategies."""
        facts, frames = strategies.state()
        with written_whole(self.folder / "strategies") as temporary:
            temporary.mkdir()
            write_frames(temporary, frames, {"facts": facts})

    def proof(self, key: str) -> Proof | None:
        """What interventions found of a candidate."""
        return self._proofs.get(key)

    def note(self, key: str, proof: Proof) -> None:
        """Keep what interventions found of a candidate, as a line of JSON."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "proofs.jsonl").open("a", encoding="ascii") as file:
            file.write(json.dumps([key, *proof]) + "\n")

    def remove(self) -> None:
        """Remove what was kept, and the folder `unfinished` if it is then empty."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._holder.rmdir()

    def _part(self, number: int) -> Path:
        return self.folder / f"explanations-{number}.parquet"

    def _read_proofs(self) -> Iterator[tuple[str, Proof]]:
        path = self.folder / "proofs.jsonl"
        lines = path.read_text("ascii").splitlines() if path.is_file() else []
        for line in lines:
            try:  # the last line may have been cut off
                key, removed, inserted, alone = json.loads(line)
            except ValueError:
                continue
            yield str(key), Proof(Effect(*removed), Effect(*inserted), float(alone))


def _pieces(corpus: Corpus) -> Iterator[bytes]:
    yield b"" if corpus.labels is None else corpus.labels.tobytes()
    for text in corpus.texts:
        yield str(text).encode("utf-8", "surrogatepass")
