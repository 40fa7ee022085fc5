"""What is measured: cells of a table, what contenders took in them, and the ratios of that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np

Question = Literal["speed", "classes", "growth", "curves", "every word"]
Kind = Literal["lstm", "gru"]
Pooling = Literal["max", "last"]

LONGER = 10  # "growth" compares a text with one so many times as long
BY_THREADS = "lrp/one thread"  # of two cells that differ in their threads alone
# numerator, denominator, and what the quotient is divided by
RATIOS = {
    BY_THREADS: ("lrp", "lrp", 1),
    "lrp/forward": ("lrp", "forward", 1),
    "lrp/gradient_x_input": ("lrp", "gradient_x_input", 1),
    "lrp/integrated_gradients": ("lrp", "integrated_gradients", 1),
    "lrp/occlusion": ("lrp", "occlusion", 1),
    "all/one": ("all_classes", "lrp", 1),
    "growth": ("longer", "lrp", LONGER),
    "curves/passes": ("curves", "passes", 1),
    "every word/occlusion": ("every_word", "occlusion", 1),
    "memory growth": ("memory_longer", "memory", LONGER),
}
CONTENDER_NAMES = {
    "lrp": "LRP",
    "forward": "forward",
    "gradient_x_input": "gradient × input",
    "integrated_gradients": "integrated gradients",
    "occlusion": "occlusion",
    "all_classes": "all classes",
    "longer": f"text {LONGER} times as long",
    "curves": "curves of deletion",
    "passes": "passes of one text",
    "every_word": "every word",
}


@dataclass(frozen=True)
class Cell:
    """One row of the table: a classifier, and a batch of texts of one length for it.

    Attributes:
        question: "speed" (against other methods), "classes" (all against one), "growth", "curves"
            (of deletion, against a pass for each point) or "every word" (occlusion, likewise).
        kind: "lstm" or "gru".
        directions: 1 or 2.
        hidden: units H in each direction.
        length: tokens T in a text.
        batch: texts B.
        classes: scores C.
        threads: of the CPU.
        device: "cpu", "cuda" or "cuda:1".
        pooling: "max" over the steps, or the "last" state.
        packed: whether sequences are packed, their lengths T/2 to T.
    """

    question: Question
    kind: Kind
    directions: int
    hidden: int
    length: int
    batch: int
    classes: int = 2
    threads: int = 1
    device: str = "cpu"
    pooling: Pooling = "max"
    packed: bool = False

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        where = threads if self.device == "cpu" else self.device
        return (
            f"{self.kind} ×{self.directions} H={self.hidden} T={self.length} B={self.batch}"
            f"{f' C={self.classes}' if self.question == 'classes' else ''} ({where})"
        )


@dataclass(frozen=True)
class Measurement:
    """What one contender took in one cell.

    Attributes:
        cell: where.
        contender: "lrp", "forward", …; "memory" and "memory_longer" are peaks in bytes, the others
            times in seconds.
        values: one a round; empty where it was left out.
        left_out: why.
        subnormal: share of its relevances that are subnormal numbers, with which a CPU computes
            slowly.
    """

    cell: Cell
    contender: str
    values: tuple[float, ...]
    left_out: str = ""
    subnormal: float = 0.0

    @property
    def median(self) -> float:
        """The median over rounds, NaN where there are none."""
        return median(self.values) if self.values else math.nan

    @property
    def spread(self) -> float:
        """How many times as long slow rounds (90 %) took as quick ones (10 %)."""
        if not self.values:
            return math.nan
        quick, slow = np.quantile(np.array(self.values), (0.1, 0.9))
        return float(slow / quick) if quick else math.nan
