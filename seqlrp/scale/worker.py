"""What each worker does: load the model once, then explain shard after shard into files."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import safetensors.torch

from seqlrp.errors import (
    CorpusError,
    FailedTextError,
    SavedFileError,
    SeqlrpError,
    SeqlrpWarning,
    ShardError,
    WriteError,
)
from seqlrp.explaining.explain import chosen_method, iter_explanations
from seqlrp.explaining.skipped import NO_WORD, SkippedTexts
from seqlrp.explanations.files import explanation_writer
from seqlrp.explanations.parts import part_path
from seqlrp.models.fingerprint import fingerprint
from seqlrp.models.saving import WEIGHTS, load
from seqlrp.scale.halving import find_failing
from seqlrp.scale.plan import Shard
from seqlrp.scale.shard_texts import ColumnNames, ShardTexts, read_shard
from seqlrp.scale.source import UNREADABLE, SourceFile

if TYPE_CHECKING:
    from torch import nn

    from seqlrp.engine.batches import BatchTokens
    from seqlrp.explaining.targets import Target
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

OnError = Literal["raise", "skip"]


@dataclass(frozen=True)
class Job:
    """All that a worker must know, in values that can be sent to it.

    Attributes:
        classifier: the folder of the model, or the classifier itself.
        factory: the function that builds a model of the user's own.
        model: the fingerprint of the classifier.
        folder: where the parts are written.
        files: the files of the sources.
        columns: which columns of them are read.
        method: its name.
        options: of the method.
        target: which class is explained.
        skip: whether texts without a word, or with too many, are left out rather than failures.
        on_error: whether a text that fails is set aside, or ends the run.
        batch_tokens: the most tokens in a batch.
        max_words: the most words in a text.
    """

    classifier: TextClassifier | str
    factory: Callable[..., TextClassifier] | None
    model: str
    folder: Path
    files: tuple[SourceFile, ...]
    columns: ColumnNames
    method: str
    options: Mapping[str, Any]
    target: Target
    skip: bool
    on_error: OnError
    batch_tokens: BatchTokens
    max_words: int


@dataclass(frozen=True)
class Task:
    """A task for a worker.

    Attributes:
        shard: the shard.
        failed: texts that are known to fail, and why.
        attempt: the only texts that are tried, whose explanations are not written; None where the
            shard is explained.
    """

    shard: Shard
    failed: dict[int, str] = field(default_factory=dict)
    attempt: tuple[int, ...] | None = None


class Finished(NamedTuple):
    """The facts about a shard that a worker has written.

    Attributes:
        shard: its number.
        explained: how many of its documents are explained.
        left_out: how many were left out, by reason.
        failed: why texts were set aside, by number.
        words: of all that were explained.
        size: of the file, in bytes.
        digest: of the file.
        seconds: how long it took.
        warnings: the last message of each kind of warning.
    """

    shard: int
    explained: int
    left_out: dict[str, int]
    failed: dict[int, str]
    words: int
    size: int
    digest: str
    seconds: float
    warnings: dict[str, str]


class _Written(NamedTuple):
    explained: int
    words: int
    left_out: dict[str, int]


def failure(number: int, reason: str) -> FailedTextError:
    """The error that ends a run at a text that fails."""
    return FailedTextError(
        f"Text {number} cannot be explained: {reason}",
        "Set such texts aside (on_error='skip').",
        text=number,
        code="text_failed",
    )


MOST_RAISED = 64  # texts of a shard that raise; where more do, it is not the texts' fault
_PAUSES = (1.0, 4.0)  # seconds before a source that could not be read is read again
ACCIDENTS = 2  # errors of a shard that no text raises by itself, before it is given up


class Worker:
    """A model that explains shards.

    Args:
        job: what is to be done.
        device: where this worker's model runs.

    Raises:
        SavedFileError: the model is another one than when the run began.
    """

    def __init__(self, job: Job, device: str) -> None:
        self._job = job
        if isinstance(job.classifier, str):
            self._classifier = load(job.classifier, device=device, factory=job.factory)
            if fingerprint(self._classifier, {}, ()).hexdigest() != job.model:
                raise SavedFileError(
                    f"The model in {job.classifier} was replaced while the run went on.",
                    "Put the model back with which the run began, or begin another folder.",
                )
            if device == "cpu" and job.factory is None:
                _share_weights(self._classifier.model, Path(job.classifier) / WEIGHTS)
        else:
            self._classifier = job.classifier
            self._classifier.model.to(device)
        self._method = chosen_method(self._classifier, job.method, dict(job.options))

    def do(self, task: Task) -> Finished | None:
        """Carry out a task; errors are those of `explain` and `attempt`."""
        if task.attempt is None:
            return self.explain(task.shard, task.failed)
        self.attempt(task.shard, task.attempt)
        return None

    def explain(self, shard: Shard, failed: Mapping[int, str]) -> Finished:
        """Explain a shard into its file, without the texts that are known to fail, and why.

        Texts that raise are found by halving, and set aside, too.

        Raises:
            WriteError: the file system refused.
            FailedTextError: a text fails, and may not.
            InputError: the source was changed, or has labels that the classifier does not know.
            ShardError: more texts raise than can be the texts' fault, or none by itself.
            Exception: on a GPU, whatever was raised there.
        """
        begun = time.monotonic()
        texts = self._read(shard)
        failed, raised = {**failed, **texts.failed}, 0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            while True:
                try:
                    found = self._write(shard, texts, failed)
                    break
                except (WriteError, MemoryError, FailedTextError):
                    raise
                except Exception as error:
                    raised += 1
                    culprit = self._failing(texts, failed, error)
                    if culprit is not None:
                        failed.update([culprit])
                    elif raised > ACCIDENTS:
                        raise ShardError(
                            f"Shard {shard.number} fails, and no text of it by itself: {error}",
                            "Try smaller batches.",
                        ) from error
                    if raised > MOST_RAISED:
                        raise ShardError(
                            f"More than {MOST_RAISED} texts of shard {shard.number} fail, the last "
                            f"with: {error}",
                            "Look for what is wrong with all of them, the model or its tokenizer.",
                        ) from error
        path = part_path(self._job.folder, shard.number)
        return Finished(
            shard.number, found.explained, found.left_out, failed, found.words,
            path.stat().st_size, file_digest(path), time.monotonic() - begun, _last(caught),
        )  # fmt: skip

    def attempt(self, shard: Shard, numbers: Collection[int]) -> None:
        """Explain some texts of a shard and forget the answers, to see whether they fail."""
        for _ in self._explanations(self._read(shard).part(numbers), SkippedTexts("skip")):
            pass

    def _read(self, shard: Shard) -> ShardTexts:
        """Read a shard; where a disk or a network fails, once more after a while."""
        pauses = list(_PAUSES)
        while True:
            try:
                return read_shard(
                    self._job.files, shard, self._job.columns, self._classifier.labels
                )
            except CorpusError as error:
                if error.code != UNREADABLE or not pauses:
                    raise
                time.sleep(pauses.pop(0))

    def _write(self, shard: Shard, texts: ShardTexts, failed: dict[int, str]) -> _Written:
        """Write the explanations; texts that are not left out and have no answer go to `failed`."""
        skipped = SkippedTexts("skip")
        explained = words = 0
        left_out: Counter[str] = Counter()
        kept = texts.part(set(texts.numbers).difference(failed))
        with explanation_writer(part_path(self._job.folder, shard.number)) as writer:
            for explanation in self._explanations(kept, skipped):
                writer.append(explanation)
                explained, words = explained + 1, words + len(explanation.tokens)
            for number, reason in (dict.fromkeys(texts.empty, NO_WORD) | skipped.reasons).items():
                if self._job.skip:
                    left_out[reason] += 1
                else:
                    failed[number] = f"A text {reason}."
            if failed and self._job.on_error == "raise":
                raise failure(*min(failed.items()))  # and the file is not written
        return _Written(explained, words, dict(left_out))

    def _explanations(self, texts: ShardTexts, skipped: SkippedTexts) -> Iterator[Explanation]:
        return iter_explanations(
            self._classifier, texts.texts, self._method, self._job.target,
            labels=texts.labels, ids=texts.ids, numbers=texts.numbers, on_unanswerable=skipped,
            batch_tokens=self._job.batch_tokens, max_words=self._job.max_words, progress=False,
        )  # fmt: skip

    def _failing(
        self, texts: ShardTexts, failed: Collection[int], error: Exception
    ) -> tuple[int, str] | None:
        """The text that raised an error, and why; None where no text raises by itself."""
        if isinstance(error, SeqlrpError):
            if error.text is not None and error.text not in failed:
                return error.text, str(error)
        elif self._classifier.device.type != "cpu":
            raise error  # what runs there next may fail, too
        left = texts.part(set(texts.numbers).difference(failed))

        def trial(numbers: Collection[int]) -> str | None:
            try:
                for _ in self._explanations(left.part(set(numbers)), SkippedTexts("skip")):
                    pass
            except Exception as again:
                return f"{type(again).__name__}: {again}"
            return None

        return find_failing(left.numbers, trial)


def file_digest(path: Path) -> str:
    """A hash of the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _last(caught: list[warnings.WarningMessage]) -> dict[str, str]:
    return {
        type(w.message).__name__: str(w.message)
        for w in caught
        if isinstance(w.message, SeqlrpWarning)
    }


def _share_weights(model: nn.Module, path: Path) -> None:
    """Map the weights from their file into memory, where all workers of a machine share them."""
    mapped = safetensors.torch.load_file(path)
    own = model.state_dict()
    if own.keys() == mapped.keys() and all(own[n].equal(mapped[n]) for n in own):
        model.load_state_dict(mapped, assign=True)
