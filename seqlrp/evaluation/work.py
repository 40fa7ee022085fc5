"""The work of an evaluation, block by block, which several processes may share."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tqdm import tqdm

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import LabelError, OptionError
from seqlrp.evaluation.blocks import Blocks
from seqlrp.evaluation.candidates import Candidate, Methods, candidates, chosen_metrics
from seqlrp.evaluation.checkpoint import Checkpoint
from seqlrp.evaluation.documents import Score, Texts
from seqlrp.evaluation.measuring import measure
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.metrics.metric import Metric
from seqlrp.evaluation.removal import Removal, Remover
from seqlrp.explaining.known import is_by
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier

Result = tuple["pd.DataFrame", float]  # the rows of a candidate, and seconds a text


class Block(NamedTuple):
    """What was measured of a block: for each candidate its result, None where there is none yet."""

    documents: int
    results: list[Result | None]


class Asked(NamedTuple):
    """The arguments of `evaluate` on which its numbers depend, and how the work is done.

    Attributes:
        kept: the folder where results are kept meanwhile, if they are.
        block: explanations that are held at a time.
        shared: whether several processes measure at a time; they share the folder.
    """

    classifier: TextClassifier
    texts: Any
    labels: Sequence[int | str] | None
    methods: Methods
    metrics: Sequence[str | Metric]
    ks: Sequence[int]
    removal: Removal
    score: Score
    rationales: Sequence[Any] | None
    random_orders: int
    column: str
    min_words: int
    seed: int
    batch_tokens: BatchTokens
    kept: str | os.PathLike[str] | None
    block: int
    shared: bool


class Work:
    """What an evaluation measures, and what is measured so far.

    Attributes:
        asked: the arguments, in a form that other processes can be sent.
        compared: the methods, one for each random order.
        metrics: what measures them.
        made: what the numbers depend on, JSON values.
        texts: how many texts there are.

    Raises:
        SeqlrpError: as `evaluate`.
    """

    def __init__(self, asked: Asked) -> None:
        self._blocks = Blocks(
            asked.classifier, asked.texts, asked.labels, asked.rationales, column=asked.column,
            min_words=max(asked.min_words, 1), size=asked.block,
        )  # fmt: skip
        self.asked = asked._replace(texts=self._blocks.texts, labels=self._blocks.labels)
        self.texts = len(self._blocks)
        self.compared = candidates(
            asked.classifier, asked.methods, texts=self.texts, orders=asked.random_orders,
            seed=asked.seed,
        )  # fmt: skip
        given = {"ks": asked.ks, "score": asked.score}
        self.metrics = chosen_metrics(asked.metrics, METRICS, given)
        _check_needs(self.metrics, self._blocks.labelled, asked.rationales)
        if isinstance(self._blocks.texts, Explanations):
            _check_compared(self._blocks.texts[0], self.compared)
        self._remover = Remover(asked.classifier, asked.removal, asked.batch_tokens)
        options = {"removal": asked.removal, "random_orders": asked.random_orders}
        self.made = _settings(asked.classifier, self.metrics, options) | {
            "seed": asked.seed, "min_words": asked.min_words
        }  # fmt: skip
        self._checkpoints: dict[int, Checkpoint] = {}
        self._measured: dict[int, Block] = {}

    def measure(self, progress: bool | None) -> list[Block]:
        """Measure all blocks: first what no other process measures, then what is still missing.

        What another process measures is waited for; if it dies, it is measured here.
        """
        hidden = None if progress is None else not progress
        total = len(self.compared) * self.texts * (1 + len(self.metrics))
        with tqdm(total=total, unit="step", disable=hidden) as bar:
            self.measure_free(bar)
            if any(None in block.results for block in self._measured.values()):
                self.measure_free(bar, wait=True)
        return list(self._measured.values())

    def measure_free(self, bar: tqdm[Any], *, wait: bool = False) -> None:
        """Go over the blocks once, and measure, or read, what no other process measures.

        With `wait` also what another process has been measuring, as soon as it no longer does.
        """
        for number, texts in enumerate(self._blocks):
            if self.asked.kept is not None and number not in self._checkpoints:
                self._checkpoints[number] = Checkpoint(
                    self.asked.kept, self.asked.classifier, texts, self.made
                )
            block = self._measured.setdefault(
                number, Block(len(texts.questions), [None] * len(self.compared))
            )
            for place, candidate in enumerate(self.compared):
                if block.results[place] is None:
                    bar.set_description(f"{candidate.name} ({place + 1} of {len(self.compared)})")
                    kept = self._checkpoints.get(number)
                    block.results[place] = self._result(candidate, texts, kept, bar, wait)

    def remove_checkpoints(self) -> None:
        """Remove the files of results, which the report now has."""
        for checkpoint in self._checkpoints.values():
            checkpoint.remove()

    def _result(
        self,
        candidate: Candidate,
        texts: Texts,
        kept: Checkpoint | None,
        bar: tqdm[Any],
        wait: bool,
    ) -> Result | None:
        """Measure a candidate, or read what was measured; None where another process does it."""
        with contextlib.ExitStack() as claim:
            shared = kept if self.asked.shared else None
            if shared and not claim.enter_context(shared.claimed(candidate, wait=wait)):
                return None
            found = None if kept is None else kept.read(candidate)
            if found is not None:
                bar.update(len(texts.questions) * (1 + len(self.metrics)))
                return found
            found = measure(candidate, texts, self._remover, self.metrics, self.asked.seed, bar)
            if kept is not None:
                kept.write(candidate, *found)
        bar.set_postfix_str(f"{candidate.name}: {1000 * found[1]:.1f} ms/text", refresh=False)
        return found


def measure_beside(asked: Asked) -> None:
    """Measure, in another process, what no other process measures."""
    with tqdm(disable=True) as silent:
        Work(asked).measure_free(silent)


def _settings(
    classifier: TextClassifier, metrics: Sequence[Metric], options: dict[str, Any]
) -> dict[str, Any]:
    """What the numbers depend on, as JSON values."""
    return {
        "options": options,
        "metrics": {m.name: m.parameters for m in metrics},
        "figures": {m.name: list(m.quantities) for m in metrics},
        "versions": _versions(),
        "labels": list(classifier.labels),
    }


def _check_compared(known: Explanation, compared: Sequence[Candidate]) -> None:
    """Check that the method which made explanations is among those that are compared."""
    methods = [c.method for c in compared if c.method is not None]
    if not any(is_by(known, method.name, method.parameters) for method in methods):
        raise OptionError(
            f"The explanations are by {known.method} with {dict(known.parameters)}, which is none "
            "of the methods that are compared.",
            "Name it with these options.",
            option="methods",
            got=known.method,
        )


def _check_needs(
    metrics: Sequence[Metric], labelled: bool, rationales: Sequence[Any] | None
) -> None:
    """Check that there is what the metrics compare with."""
    if not labelled and any("labels" in m.needs for m in metrics):
        raise LabelError(
            "Deleting words needs the true class of each text.",
            "Pass labels=.",
            option="labels",
            code="labels_missing",
        )
    if rationales is None and any("rationales" in m.needs for m in metrics):
        raise OptionError(
            "A metric compares with the words that people marked; pass rationales=.",
            option="rationales",
        )


def _versions() -> dict[str, str]:
    packages = ("seqlrp", "torch", "numpy", "pandas")
    return {p: importlib.metadata.version(p) for p in packages} | {
        "python": platform.python_version()
    }
