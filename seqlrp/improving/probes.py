"""Texts that show what a shortcut does: with it, without it, and with it where it misleads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seqlrp.engine.batches import BatchTokens
from seqlrp.improving.labelled_texts import Integers, LabelledTexts
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.models.classifier import TextClassifier

TOLERANCE = 0.01  # of accuracy on clean texts that a repair may cost


@dataclass(frozen=True, eq=False)
class Probes:
    """Texts about one shortcut.

    Attributes:
        shortcut: with its class.
        clean: texts that do not hold it.
        holding: texts that hold it.
        taken_out: the same without it, but for those of which nothing is left.
        others: clean texts of other classes than that of the shortcut.
        put_in: the same with it, so that it misleads.
    """

    shortcut: Shortcut
    clean: LabelledTexts
    holding: LabelledTexts
    taken_out: LabelledTexts
    others: LabelledTexts
    put_in: LabelledTexts

    @classmethod
    def make(
        cls,
        shortcut: Shortcut,
        texts: LabelledTexts,
        donors: Located,
        random: np.random.Generator,
        most: int | None = None,
    ) -> Probes:
        """Change texts by a shortcut.

        Args:
            shortcut: with its class.
            texts: those that are changed.
            donors: the shortcut in texts that show where it usually stands.
            random: draws texts and donors.
            most: the most texts of a kind; None takes all.
        """
        located = Located(shortcut, texts)
        holders = located.holders
        removed = [located.taken_out(int(k)) for k in holders]
        left = holders[np.array([d is not None for d in removed], bool)]
        clean = texts.part(_drawn(np.flatnonzero(~located.held), most, random))
        others = clean.part(clean.labels != shortcut.class_)
        return cls(
            shortcut,
            clean,
            texts.part(holders),
            texts.part(left).edited([d for d in removed if d is not None]),
            others,
            others.edited(donors.put_in(others.documents, random)),
        )

    def first(self, count: int) -> Probes:
        """The same probes with the shortcut put into the first `count` texts only."""
        few = np.arange(min(count, len(self.others)))
        return replace(self, others=self.others.part(few), put_in=self.put_in.part(few))

    def accuracies(
        self, classifier: TextClassifier, batch_tokens: BatchTokens
    ) -> tuple[float, float]:
        """The accuracy on clean texts, and on texts of other classes into which it was put."""
        found = [
            float((texts.predicted(classifier, batch_tokens) == texts.labels).mean())
            for texts in (self.clean, self.put_in)
        ]
        return found[0], found[1]


def best_repair(
    before: TextClassifier,
    candidates: Sequence[TextClassifier],
    probes: Sequence[Probes],
    batch_tokens: BatchTokens,
) -> int:
    """The number of the candidate that is misled least.

    What it costs in accuracy on clean texts beyond `TOLERANCE` counts twice against it.
    """

    def worth(candidate: TextClassifier) -> float:
        total = 0.0
        for probe, (clean, _) in zip(probes, known, strict=True):
            own, misled = probe.accuracies(candidate, batch_tokens)
            total += misled - 2 * max(0.0, clean - own - TOLERANCE)
        return total

    known = [probe.accuracies(before, batch_tokens) for probe in probes]
    return int(np.argmax([worth(candidate) for candidate in candidates]))


def _drawn(rows: Integers, most: int | None, random: np.random.Generator) -> Integers:
    if most is None or len(rows) <= most:
        return rows.astype(np.int64)
    return np.sort(random.choice(rows, most, replace=False)).astype(np.int64)
