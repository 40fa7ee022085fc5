"""The record of a choice among methods of explanation: sentences, tables, and a file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from seqlrp.errors import OptionError
from seqlrp.evaluation.report.verdict import size_in_words
from seqlrp.models.saving import save_choice
from seqlrp.show.numbers import percent

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier

DEFAULT, CHEAPEST = "lrp", "gradient_x_input"  # what every choice is compared with
SIGNIFICANT = 0.05


@dataclass(frozen=True, eq=False, kw_only=True)
class Choice:
    """The method of explanation that was chosen for a classifier, and how.

    Attributes:
        name: the candidate that was chosen.
        best: the best one on the choosing half, which may not have been confirmed.
        metric: the quantity by which candidates were compared.
        title: what it is, in words.
        candidates: a row for each candidate on the choosing half, the best first: `candidate`, mean
            `value` (higher is better; the sign is changed where lower is), its `difference` to the
            default with a 95 % interval `low`, `high`, and `milliseconds` a text.
        differences: the comparisons on the confirming half: `candidate`, `over` (another one),
            `difference` with its 95 % interval `low`, `high` and `p` value, `documents`.
        methods: the candidates by name: mappings of a method and its options, or objects.
        classifier: the classifier that it was chosen for.
        made: the options of the comparison, JSON values; `texts` has the sizes of both halves.
    """

    name: str
    best: str
    metric: str
    title: str
    candidates: pd.DataFrame
    differences: pd.DataFrame
    methods: Mapping[str, Any]
    classifier: TextClassifier
    made: Mapping[str, Any]

    @property
    def method(self) -> Any:
        """The method and its options, as in `seqlrp.explain(classifier, texts, **choice.method)`.

        A candidate that was an object is that object.
        """
        chosen = self.methods[self.name]
        return dict(chosen) if isinstance(chosen, Mapping) else chosen

    def summary(self) -> str:
        """Say in sentences what was chosen, what it is worth, and what it costs."""
        choosing, confirming = self.made["texts"]
        measured = self.metric if self.title == self.metric else f"{self.metric} ({self.title})"
        lines = [
            f"Chosen: {_named(self.name)}.",
            f"{len(self.candidates)} candidates were compared by {measured} on "
            f"{choosing:,} texts; {_named(self.best)} was the best. On {confirming:,} others:",
            *(f"- {sentence}" for sentence in self._findings()),
        ]
        if not any(is_better(self.differences, self.best, over) for over in (DEFAULT, CHEAPEST)):
            lines.append("Nothing is shown to be better than the default or gradient × input.")
        elif self.name == DEFAULT:
            lines.append("Nothing is shown to be better than the default.")
        width = max(map(len, self.candidates["candidate"])) + 2
        gain = "over the default (95 % interval)"
        lines += ["", f"{'':{width}}{'value':>9}{gain:>34}{'ms a text':>12}"]
        for row in self.candidates.itertuples():
            gain = f"{row.difference:+.4f} ({row.low:+.4f} to {row.high:+.4f})"
            gain = "" if row.candidate == DEFAULT else gain
            lines.append(
                f"{row.candidate:{width}}{row.value:9.4f}{gain:>34}{row.milliseconds:12.1f}"
            )
        return "\n".join(lines)

    def _findings(self) -> list[str]:
        """A sentence for each pair that was compared on the confirming half."""
        values = self.candidates.set_index("candidate")["value"]
        found, told = [], set()
        rows: Iterable[Any] = self.differences.itertuples()
        for row in rows:
            one, other = str(row.candidate), str(row.over)
            if (other, one) in told:  # where the default is the best, the other way round
                continue
            told.add((one, other))
            if is_better(self.differences, one, other):
                verdict = "is better than"
            elif is_better(self.differences, other, one):
                verdict = "is worse than"
            else:
                verdict = "is not shown to be better than"
            zero = ", which holds 0" if row.low <= 0 <= row.high else ""
            size = ""
            if values[other] and np.isfinite(share := abs(row.difference / values[other])):
                size = f" That is {percent(share)} of the value of {_named(other)}, "
                size += f"{size_in_words(share)}."
            found.append(
                f"{_named(one)} {verdict} {_named(other)}: {row.difference:+.2g} "
                f"({row.low:+.2g} to {row.high:+.2g}{zero}), p = {row.p:.2g}."
                f"{size}"
            )
        return found

    def to_frame(self) -> pd.DataFrame:
        """A row for each candidate: the choosing half, and the differences on the confirming half.

        The columns are those of `candidates`, whether it was `chosen`, and `over_default`,
        `over_cheapest` with `_low`, `_high` and `_p`, NaN where a candidate did not take part.
        """
        table = self.candidates.assign(chosen=self.candidates["candidate"] == self.name)
        for over, name in ((DEFAULT, "over_default"), (CHEAPEST, "over_cheapest")):
            rows = self.differences[self.differences["over"] == over].set_index("candidate")
            for column in ("difference", "low", "high", "p"):
                suffix = "" if column == "difference" else f"_{column}"
                table[name + suffix] = table["candidate"].map(rows[column]).astype(np.float64)
        return table

    def to_json(self) -> dict[str, Any]:
        """What is stored with the classifier, JSON values; null where there is no number."""
        frame = self.to_frame()
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        return {
            "name": self.name,
            "best": self.best,
            "metric": self.metric,
            "candidates": rows,
            **self.made,
        }

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Store the choice as `choice.json` in the folder of the classifier.

        `seqlrp.load(folder)` reads it, and `method="chosen"` uses it. Where another classifier is
        saved to the folder, it goes.

        Raises:
            SavedFileError: the folder holds no classifier, or another one.
            OptionError: the method is an object, or has an option that JSON cannot hold.
            WriteError: the file system refused; what was there before is unchanged.
        """
        try:
            if not isinstance(self.method, Mapping):
                raise TypeError
            method = json.loads(json.dumps(self.method, allow_nan=False))
        except (TypeError, ValueError):
            raise OptionError(
                f"The candidate {self.name!r} cannot be stored; expected a method by its name, "
                "with options of numbers, strings and lists.",
                "Pass it to seqlrp.explain yourself.",
                option="candidates",
                got=self.name,
            ) from None
        save_choice(Path(folder), self.classifier, method, self.to_json())


def is_better(differences: pd.DataFrame, candidate: str, over: str) -> bool:
    """Whether a candidate is shown to be better than another on the confirming half."""
    for one, other, sign in ((candidate, over, 1), (over, candidate, -1)):
        row = differences[(differences["candidate"] == one) & (differences["over"] == other)]
        if len(row):
            low = row["low"].iloc[0] if sign > 0 else -row["high"].iloc[0]
            return bool(low > 0 and row["p"].iloc[0] < SIGNIFICANT)
    return False


def _named(candidate: str) -> str:
    return f"{candidate} (the default)" if candidate == DEFAULT else candidate
