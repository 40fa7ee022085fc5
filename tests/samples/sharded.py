"""A classifier for workers in other processes, texts in files, and texts at which it fails."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import time
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

import seqlrp
from samples.classifiers import WORDS, some_texts, split_words
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.scale.engine import Answer, answer_to
from seqlrp.scale.worker import Job, Task, Worker
from seqlrp.text.tokens import TokenizedText
from seqlrp.text.vocabulary import Vocabulary

# Words at which a tokenizer raises, a process is killed, a model gives NaN, a process aborts.
RAISES, KILLS, OVERFLOWS, ABORTS = "RAISES", "KILLS", "OVERFLOWS", "ABORTS"


def failing_tokenizer(text: str) -> TokenizedText:
    """Words by white space; some of them fail."""
    if RAISES in text:
        raise ValueError("this text cannot be split")
    if KILLS in text:
        die()
    if ABORTS in text:
        abort()
    return split_words(text)


def die() -> None:
    """End this process as if it had been killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def abort() -> None:
    """End this process as C code does that finds an impossible state."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.disable()
    os.abort()


class Death(BaseException):
    """Stands for the death of a worker that is no process of its own."""


class InProcess:
    """An engine whose workers run in this process, one task after the other.

    Args:
        job: what workers do.
        deaths: the numbers of the tasks, counted from 0, at which a worker dies: before the task is
            done where the number is even, after it where it is odd.
        failed_starts: how many of the first workers die before they are ready.
    """

    workers = 2

    def __init__(self, job: Job, deaths: Collection[int] = (), failed_starts: int = 0) -> None:
        self._job, self._deaths = job, deaths
        self._failed_starts = failed_starts
        self._workers: dict[int, Worker] = {}
        self._answers: deque[tuple[int, Answer]] = deque()
        self._count = 0

    def start(self, worker: int) -> None:
        if self._failed_starts:
            self._failed_starts -= 1
            self._answers.append((worker, Answer(died="at the start")))
            return
        self._workers[worker] = Worker(self._job, "cpu")
        self._answers.append((worker, Answer()))

    def send(self, worker: int, task: Task) -> None:
        self._answers.append((worker, self._answer(self._workers[worker], task)))

    def wait(self, seconds: float) -> Iterator[tuple[int, Answer]]:
        while self._answers:
            yield self._answers.popleft()

    def stop(self) -> None:
        self._workers.clear()

    def _answer(self, worker: Worker, task: Task) -> Answer:
        dies, self._count = self._count in self._deaths, self._count + 1
        if dies and self._count % 2:
            return Answer(died="before the task")
        try:
            answer = answer_to(lambda: worker.do(task))
        except Death:
            return Answer(died="at a text")
        return Answer(died="after the task") if dies else answer


class FailingModel(RecurrentClassifier):
    """Gives NaN for texts with a certain word."""

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        overflow = (10 * self.sizes(ids)).sum(1)
        return super().forward(ids) + 0 * overflow


def failing_classifier(vocabulary: Vocabulary, labels: tuple[str, ...]) -> TextClassifier:
    """Random but fixed weights, and that tokenizer: a factory for `seqlrp.load`."""
    torch.manual_seed(7)
    model = FailingModel(len(vocabulary), len(labels), embedding=6, hidden=5).eval()
    model.sizes = nn.Embedding.from_pretrained(torch.zeros(len(vocabulary), 1))
    model.sizes.weight[vocabulary.encode([OVERFLOWS])[0]] = torch.finfo().max
    return TextClassifier(model, vocabulary, labels, failing_tokenizer)


def _slow_tokenizer(text: str) -> TokenizedText:
    time.sleep(0.05)
    return failing_tokenizer(text)


def slow_classifier(vocabulary: Vocabulary, labels: tuple[str, ...]) -> TextClassifier:
    """The same, whose shards last longer than a worker needs to start, at no processor time."""
    return replace(failing_classifier(vocabulary, labels), tokenizer=_slow_tokenizer)


def save_classifier(folder: Path) -> Path:
    """Save such a classifier."""
    vocabulary = Vocabulary.build([[*WORDS, OVERFLOWS]])
    classifier = failing_classifier(vocabulary, ("negative", "positive"))
    seqlrp.save(classifier, folder, factory=failing_classifier)
    return folder


def write_texts(path: Path, count: int, failing: dict[int, str] | None = None) -> list[str]:
    """Write texts as JSON lines, some with a word that fails; return them."""
    texts = some_texts(count)
    for number, word in (failing or {}).items():
        texts[number] += f" {word}"
    rows = [
        {"text": text, "label": ("negative", "positive")[k % 2]} for k, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return texts


def contents(folder: Path) -> dict[str, bytes]:
    """The files of a folder, but for the lock, the log and the plan, which has times of files."""
    kept = {".lock", "_log.jsonl", "_manifest.json"}
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name not in kept}
