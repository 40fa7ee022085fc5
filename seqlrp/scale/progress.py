"""The progress of a run: a bar on a terminal or a line a minute, and metrics for Prometheus."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from pathlib import Path

from tqdm import tqdm

from seqlrp.scale.plan import Plan
from seqlrp.scale.worker import Finished
from seqlrp.writing import written_whole

_LINE, _METRICS = 60.0, 15.0  # seconds between two of them


class Progress:
    """Counts the documents of all workers.

    Args:
        plan: which documents there are.
        workers: how many workers.
        metrics: a file for the text file collector of Prometheus's node exporter.
        shown: False shows nothing; None shows a bar on a terminal and lines elsewhere.
    """

    def __init__(self, plan: Plan, workers: int, metrics: Path | None, shown: bool | None) -> None:
        self._plan, self._workers = plan, workers
        self._total = plan.documents
        self._metrics = metrics
        self._begun = self._line_at = self._metrics_at = time.monotonic()
        self._before = self._done = self._finished = 0
        self._explained = self._left_out = self._failed = self._words = 0
        terminal = sys.stderr.isatty()
        self._lines = shown is not False and not terminal
        self._bar = tqdm(
            total=self._total,
            desc="explaining",
            unit="text",
            disable=shown is False or not terminal,
        )

    def add(self, finished: Finished, *, before: bool = False) -> None:
        """Count a shard that is finished; `before` says that an earlier run did it."""
        documents = self._plan.shards[finished.shard].documents
        self._done += documents
        self._before += documents if before else 0
        self._finished += 1
        self._explained += finished.explained
        self._left_out += sum(finished.left_out.values())
        self._failed += len(finished.failed)
        self._words += finished.words
        if before and not self._bar.disable:
            self._bar.initial += documents
            self._bar.n += documents
        else:
            self._bar.update(documents)
        if self._failed:
            self._bar.set_postfix(failed=self._failed)

    def tick(self) -> None:
        """Show a line and write the metrics, if enough time has passed."""
        now = time.monotonic()
        if self._lines and now - self._line_at >= _LINE:
            self._line_at = now
            print(self.line(), file=sys.stderr, flush=True)
        if now - self._metrics_at >= _METRICS:
            self._metrics_at = now
            self._write_metrics()

    def close(self) -> None:
        """Show and write the last state."""
        self._bar.close()
        if self._lines and self._done > self._before:
            print(self.line(), file=sys.stderr, flush=True)
        self._write_metrics()

    def line(self) -> str:
        """The state as a sentence."""
        rate = (self._done - self._before) / max(time.monotonic() - self._begun, 1e-9)
        share = 100 * self._done / max(self._total, 1)
        found = f"{self._done:,} of {self._total:,} texts ({share:.1f} %), {rate:,.0f} a second"
        if rate and self._done < self._total:
            found += f", {timedelta(seconds=round((self._total - self._done) / rate))} left"
        return found + (f", {self._failed:,} set aside" if self._failed else "")

    def _write_metrics(self) -> None:
        if self._metrics is None:
            return
        values = {
            "documents": (self._total, "gauge", "Documents of the sources"),
            "documents_done_total": (self._done, "counter", "Documents of finished shards"),
            "documents_explained_total": (self._explained, "counter", "Documents with relevance"),
            "documents_left_out_total": (self._left_out, "counter", "Documents without a word"),
            "documents_failed_total": (self._failed, "counter", "Documents that were set aside"),
            "words_total": (self._words, "counter", "Words that were explained"),
            "shards": (len(self._plan.shards), "gauge", "Shards of the plan"),
            "shards_done_total": (self._finished, "counter", "Finished shards"),
            "workers": (self._workers, "gauge", "Workers of this run"),
            "updated_seconds": (round(time.time(), 3), "gauge", "When this was written"),
        }
        lines = [
            f"# HELP seqlrp_{name} {about}.\n# TYPE seqlrp_{name} {kind}\nseqlrp_{name} {value}\n"
            for name, (value, kind, about) in values.items()
        ]
        with written_whole(self._metrics) as temporary:
            temporary.write_text("".join(lines), "ascii")
