"""The progress of a run: what all workers have done, shown, and as metrics for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from seqlrp.scale.bars import Bar
from seqlrp.scale.plan import Plan
from seqlrp.scale.worker import Finished
from seqlrp.writing import written_whole

_METRICS = 15.0  # seconds between two files of metrics


class Workers(NamedTuple):
    """How many workers a run has at most, how many have loaded the model, how many died so far."""

    most: int = 0
    ready: int = 0
    died: int = 0


class Progress:
    """Counts the documents of all workers.

    Args:
        plan: which documents there are.
        finished: the shards that earlier runs did.
        metrics: a file for the text file collector of Prometheus's node exporter.
        shown: whether it is shown; see `Bar`.
    """

    def __init__(
        self, plan: Plan, finished: Iterable[Finished], metrics: Path | None, shown: bool | None
    ) -> None:
        self._plan, self._metrics = plan, metrics
        self._done = self._finished = 0
        self._explained = self._left_out = self._failed = self._words = 0
        self._workers, self._metrics_at = Workers(), time.monotonic()
        for found in finished:
            self._count(found)
        self._before = self._done
        self._bar = Bar("explaining", plan.documents, "text", shown, before=self._done)

    def add(self, finished: Finished) -> None:
        """Count a shard that a worker has finished."""
        self._bar.add(self._count(finished))

    def tick(self, workers: Workers) -> None:
        """Show how far it is, and write the metrics, if enough time has passed."""
        if workers.ready and not self._workers.ready and self._done == self._before:
            self._bar.restart()  # so that the start of workers does not count
        self._workers = workers
        self._bar.note(self._note())
        self._bar.tick()
        now = time.monotonic()
        if now - self._metrics_at >= _METRICS:
            self._metrics_at = now
            self._write_metrics()

    def close(self) -> None:
        """Show and write the last state."""
        self._bar.note(self._note())
        self._bar.close(last=self._done > self._before)
        self._write_metrics()

    def _count(self, finished: Finished) -> int:
        """Count a shard; how many documents it holds."""
        documents = self._plan.shards[finished.shard].documents
        self._done += documents
        self._finished += 1
        self._explained += finished.explained
        self._left_out += sum(finished.left_out.values())
        self._failed += len(finished.failed)
        self._words += finished.words
        return documents

    def _note(self) -> str:
        """What is out of the ordinary."""
        most, ready, died = self._workers
        notes = {
            f"{self._failed:,} set aside": self._failed,
            f"{ready:,} of {most:,} workers ready": ready < most,
            f"workers that died: {died:,}": died,
        }
        return ", ".join(note for note, said in notes.items() if said)

    def _write_metrics(self) -> None:
        if self._metrics is None:
            return
        values = {
            "documents": (self._plan.documents, "gauge", "Documents of the sources"),
            "documents_done_total": (self._done, "counter", "Documents of finished shards"),
            "documents_explained_total": (self._explained, "counter", "Documents with relevance"),
            "documents_left_out_total": (self._left_out, "counter", "Documents without a word"),
            "documents_failed_total": (self._failed, "counter", "Documents that were set aside"),
            "words_total": (self._words, "counter", "Words that were explained"),
            "shards": (len(self._plan.shards), "gauge", "Shards of the plan"),
            "shards_done_total": (self._finished, "counter", "Finished shards"),
            "workers": (self._workers.most, "gauge", "Workers of this run at most"),
            "workers_ready": (self._workers.ready, "gauge", "Workers that have loaded the model"),
            "workers_died_total": (self._workers.died, "counter", "Workers of this run that died"),
            "updated_seconds": (round(time.time(), 3), "gauge", "When this was written"),
        }
        lines = [
            f"# HELP seqlrp_{name} {about}.\n# TYPE seqlrp_{name} {kind}\nseqlrp_{name} {value}\n"
            for name, (value, kind, about) in values.items()
        ]
        with written_whole(self._metrics) as temporary:
            temporary.write_text("".join(lines), "ascii")
