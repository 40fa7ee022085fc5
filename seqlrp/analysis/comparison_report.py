"""The record of two compared classifiers: tables, sentences, and a page with both side by side."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seqlrp.evaluation.statistics import mean_interval
from seqlrp.explanations.collection import Explanations
from seqlrp.writing import written_whole

PAGE = "page.html"
FILES = ("summary.txt", "comparison.json", "texts.parquet", "words.parquet", PAGE)
SHOWN = 30  # texts side by side, where nobody asks for more
WORDS = 5  # named in the summary, of each class


@dataclass(frozen=True, eq=False, kw_only=True)
class Comparison:
    """Two classifiers on the same texts.

    Attributes:
        names: what the two are called, e.g. `("old", "new")`.
        texts: a row for each text, first those with the same answer, the least similar reasons on
            top: `id`, `text`, `class` (that is explained), `label`, the answers `old` and `new`,
            whether they are the `same`, `old_probability` and `new_probability` of the class,
            `correlation` (Spearman's ρ of the relevance of its words; NaN where there is none),
            `moved` (half the sum of the changes of all shares, 0 to 1), and the words that `gained`
            and `lost` most.
        words: a row for each word of each class, the surest change first: `class`, `word`, mean
            shares `old` and `new`, their difference `change` with its 95 % interval `low`, `high`
            over texts, and the number of `documents`.
        old: the explanations by the first classifier, in the order of the texts.
        new: those by the second, for the same classes.
    """

    names: tuple[str, str]
    texts: pd.DataFrame
    words: pd.DataFrame
    old: Explanations
    new: Explanations

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def agreement(self) -> float:
        """The share of texts to which both give the same answer."""
        return float(self.texts["same"].mean())

    @property
    def correlation(self) -> float:
        """Spearman's ρ of the relevance of the words, the mean over texts; NaN without any."""
        return float(self.texts["correlation"].mean())

    def verdict(self) -> str:
        """Say in sentences what changed."""
        old, new = self.names
        changed = int((~self.texts["same"]).sum())
        lines = [
            f"{len(self):,} texts. {old} and {new} give the same answer to "
            f"{_share(self.texts['same'])} of them; {changed:,} answers changed."
        ]
        known = self.texts[self.texts["label"].notna()]
        if len(known):
            lines.append(
                f"Right: {old} {_share(known['old'] == known['label'])}, "
                f"{new} {_share(known['new'] == known['label'])} of {len(known):,} texts."
            )
        found = self.texts["correlation"].dropna().to_numpy()
        if len(found):
            mean, low, high = (float(v[0]) for v in mean_interval(found[:, None]))
            lines.append(
                "How alike they weigh the words of a text: "
                f"{mean:.2f} ({low:.2f} to {high:.2f}); 1 is the same order of words, 0 is chance "
                "(rank correlation)."
            )
        for label, moved in self.words.groupby("class", sort=False):
            for sign, verb in ((1, "gained"), (-1, "lost")):
                bound = moved["low"] if sign > 0 else -moved["high"]
                words = moved[bound > 0]["word"].head(WORDS)
                if len(words):
                    named = ", ".join(f"“{word}”" for word in words)
                    lines.append(f"For the class {label!r}, these {verb} weight: {named}.")
        return "\n".join(lines)

    def summary(self) -> str:
        """Return the verdict, which is all of the report in words."""
        return self.verdict()

    def save(self, folder: str | os.PathLike[str], *, first: int = SHOWN) -> None:
        """Write summary.txt, comparison.json, texts.parquet, words.parquet and page.html.

        Raises:
            WriteError: the file system refused; a file that was there before is unchanged.
        """
        folder = Path(folder)
        for name, content in (
            ("summary.txt", self.summary()),
            ("comparison.json", json.dumps(self.to_json(), indent=2)),
        ):
            with written_whole(folder / name) as temporary:
                temporary.write_text(content + "\n", encoding="utf-8")
        for name, table in (("texts.parquet", self.texts), ("words.parquet", self.words)):
            with written_whole(folder / name) as temporary:
                table.to_parquet(temporary, index=False)
        self.save_html(folder / PAGE, first=first)

    def to_json(self) -> dict[str, Any]:
        """The numbers of the summary, as JSON values; null where there is none."""
        known = self.texts[self.texts["label"].notna()]
        values = {
            "texts": len(self),
            "changed_predictions": int((~self.texts["same"]).sum()),
            "agreement": self.agreement,
            "correlation": self.correlation,
            "old_accuracy": float((known["old"] == known["label"]).mean()) if len(known) else None,
            "new_accuracy": float((known["new"] == known["label"]).mean()) if len(known) else None,
        }
        return {"names": list(self.names)} | {
            name: None if isinstance(value, float) and np.isnan(value) else value
            for name, value in values.items()
        }

    def save_html(
        self, path: str | os.PathLike[str], *, first: int = SHOWN, **options: Any
    ) -> None:
        """Write a page: the summary, the words that moved, and texts side by side.

        Half of the texts have the same prediction with the least similar relevance; the others have
        different predictions.

        Raises:
            OptionError: an option that a page does not have.
            WriteError: the file system refused; what was at `path` is unchanged.
        """
        same = self.texts.index[self.texts["same"]][: (first + 1) // 2]
        changed = self.texts.index[~self.texts["same"]][: first - len(same)]
        chosen = [int(k) for k in (*same, *changed)]
        moved = self.words.groupby("class", sort=False).head(WORDS).round(3)
        moved = moved.rename(columns={"old": self.names[0], "new": self.names[1]})
        title = f"{self.names[0]} and {self.names[1]}, word by word"
        shown: dict[str, Any] = {"title": title, "front": True, "selection": True, **options}
        Explanations(self.old[k] for k in chosen).save_html(
            path,
            compare=[self.new[k] for k in chosen],
            sides=self.names,
            report=self,
            tables=[("The mean share of relevance that words have in both models", moved)],
            **shown,
        )


def _share(right: pd.Series[bool]) -> str:
    return f"{100 * float(right.mean()):.1f} %"
