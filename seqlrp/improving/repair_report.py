"""The record of a repair: tables, sentences, a figure and a page."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.analysis.comparison_report import PAGE, Comparison
from seqlrp.improving.measures import AS_THEY_ARE, CLEAN, HOLDING, OTHERS, PUT_IN, TAKEN_OUT
from seqlrp.text.corpora import Corpus
from seqlrp.writing import written_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SUMMARY, MEASURES, WORDS, DESCRIPTION, MENDED = (
    "summary.txt", "measures.parquet", "words.parquet", "repair.json", "mended.parquet",
)  # fmt: skip
FILES = (SUMMARY, MEASURES, WORDS, DESCRIPTION, PAGE, MENDED)
_SHOWN = 20  # texts side by side on the page
_WORKED, _PARTLY = 0.9, 0.5  # of the loss that is recovered
_MOVED = 5  # words that are named of each class


@dataclass(frozen=True, eq=False, kw_only=True)
class RepairReport:
    """What a repair changed, measured on texts that it was not made with.

    Attributes:
        how: "data", "penalise", "project" or "disable".
        shortcuts: their names and the classes that they speak for.
        measures: a row for each shortcut, kind of texts and measure ("accuracy", "flips" or
            "relevance"): documents, before, after and change, each with its 95 % interval.
        recovered: a row for each shortcut: how much of the accuracy that it cost in texts of other
            classes is back, with its 95 % interval; NaN where it cost nothing. What these texts
            gain without the shortcut as well does not count.
        comparison: both classifiers on the same texts, word by word.
        made: how the repair was made, JSON values.
        mended: the corpus without the shortcuts, of how="data"; otherwise None.
    """

    how: str
    shortcuts: dict[str, str]
    measures: pd.DataFrame
    recovered: pd.DataFrame
    comparison: Comparison
    made: dict[str, Any]
    mended: Corpus | None = None

    def to_frame(self) -> pd.DataFrame:
        """The table `measures`."""
        return self.measures.copy()

    def value(
        self, texts: str, measure: str = "accuracy", shortcut: str | None = None
    ) -> dict[str, Any]:
        """A row of `measures` by the kind of texts: before, after, change and more.

        Args:
            texts: "as they are", "without the shortcut", "with the shortcut", "shortcut taken out",
                "of other classes" or "of other classes, shortcut put in".
            measure: "accuracy", "flips" or "relevance".
            shortcut: by default the first.
        """
        name = "" if texts == AS_THEY_ARE else shortcut or next(iter(self.shortcuts))
        table = self.measures
        kept = (table["texts"] == texts) & (table["measure"] == measure)
        found = table[kept & (table["shortcut"] == name)]
        return {str(key): value for key, value in found.iloc[0].items()}

    def verdict(self) -> str:
        """Say in sentences what the repair did, and what it cost."""
        lines = [self._made(), *self._measured_on()]
        for name, class_ in self.shortcuts.items():
            lines += self._of_shortcut(name, class_)
        lines += [*self._original(), *self._moved()]
        return "\n".join(lines)

    def summary(self) -> str:
        """Return the verdict, which is all of the report in words."""
        return self.verdict()

    def _made(self) -> str:
        names = ", ".join(map(repr, self.shortcuts)) or "units"
        ways = {
            "data": "by training {anew} a corpus that was mended ({edit})",
            "penalise": "by training on with a penalty on the relevance of the shortcut",
            "project": "by a projection at {layer}, without training",
            "disable": "by switching off {count}{training}",
        }
        count = sum(map(len, (self.made.get("units") or {}).values()))
        words = {
            "anew": "anew with" if self.made.get("anew") else "on with",
            "count": f"{count} unit{'s' * (count != 1)}",
            "training": ", and training the last layer on" if self.made.get("train_on") else "",
        }
        way = ways[self.how].format(**{**self.made, **words})
        return f"Repaired {names} {way}; measured on {self._count():,} texts."

    def _measured_on(self) -> Iterator[str]:
        """What numbers mean that were measured on a part of the corpus itself."""
        if self.made.get("held_out"):
            yield (
                "These are a quarter of the corpus, which the repair did not learn from. If the "
                "classifier was trained on them, it was right more often before than on new texts: "
                "then the repair looks more expensive, and recovers less, than it does there. Hand "
                "in texts that it has not seen by test= (--test)."
            )

    def _count(self) -> int:
        return int(self.value(AS_THEY_ARE)["documents"])

    def _of_shortcut(self, name: str, class_: str) -> Iterator[str]:
        misled, others = self.value(PUT_IN, shortcut=name), self.value(OTHERS, shortcut=name)
        if misled["documents"]:
            yield (
                f"Put into {misled['documents']:,} texts of other classes than {class_!r}, "
                f"{name!r} misleads: {_percent(misled['before'])} of them were right before, "
                f"{_percent(misled['after'])} are now ({_points(misled)}); without it "
                f"{_percent(others['before'])} were, and {_percent(others['after'])} are."
            )
            yield self._verdict(name)
            if others["high"] < 0:
                yield (
                    f"This has a price: of these texts as they were, {_percent(others['before'])} "
                    f"were right before, and {_percent(others['after'])} are now "
                    f"({_points(others)})."
                )
        flips = self.value(PUT_IN, "flips", name)
        if flips["documents"]:
            yield (
                f"It turned {_percent(flips['before'])} of these predictions to {class_!r}, and "
                f"turns {_percent(flips['after'])} now."
            )
        for texts, said in ((CLEAN, "Texts without it"), (TAKEN_OUT, "Texts it was taken out of")):
            row = self.value(texts, shortcut=name)
            if row["documents"]:
                yield (
                    f"{said}: right {_percent(row['before'])} before, {_percent(row['after'])} now "
                    f"({_points(row)}; {row['documents']:,} texts)."
                )
        share = self.value(HOLDING, "relevance", name)
        if share["documents"]:
            yield (
                f"Where it stands, it had {_percent(share['before'])} of the relevance, and has "
                f"{_percent(share['after'])} now."
            )

    def _verdict(self, name: str) -> str:
        row = self.recovered[self.recovered["shortcut"] == name].iloc[0]
        if row["recovered"] != row["recovered"]:
            return "The shortcut cost the classifier no accuracy that could be recovered."
        back, low, high = (_percent(row[column]) for column in ("recovered", "low", "high"))
        found = f"{back} of the loss ({low} to {high})"
        if row["recovered"] >= _WORKED:
            return f"The repair recovers {found}: it worked."
        if row["recovered"] >= _PARTLY:
            return f"The repair recovers {found}: it worked in part; {self._another_way()}."
        if row["recovered"] >= 0:
            return f"The repair recovers only {found}: it did not work; {self._another_way()}."
        return (
            f"The shortcut costs more than before: the repair recovers {found}; it did not work; "
            f"{self._another_way()}."
        )

    def _another_way(self) -> str:
        """Advice: the other of the two ways that work most often."""
        other = "data" if self.how == "project" else "project"
        return f"try another way, such as how={other!r}"

    def _original(self) -> Iterator[str]:
        row = self.value(AS_THEY_ARE)
        yield (
            f"All texts as they are: right {_percent(row['before'])} before, "
            f"{_percent(row['after'])} now ({_points(row)})."
        )
        if row["change"] < 0 and self.shortcuts:
            yield (
                "That this number fell does not say that the classifier got worse: in these texts "
                "the shortcut points to the right class, so whoever follows it is right for the "
                "wrong reason. Judge by the texts into which it was put and those without it."
            )

    def _moved(self) -> Iterator[str]:
        for label, moved in self.comparison.words.groupby("class", sort=False):
            words = moved[(moved["low"] > 0) | (moved["high"] < 0)].head(_MOVED)
            if len(words):
                named = ", ".join(
                    f"“{word}” ({change:+.2f}, {low:.2f} to {high:.2f})"
                    for word, change, low, high in words[
                        ["word", "change", "low", "high"]
                    ].itertuples(index=False)
                )
                yield f"Words of {label!r} whose share of relevance moved: {named}."

    def plot(self) -> Figure:
        """Plot the accuracies before and after, with their intervals."""
        from seqlrp.improving.repair_plot import accuracy_figure

        return accuracy_figure(self.measures)

    def save_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> None:
        """Write a page: the figure, the summary, the tables, and texts side by side.

        Raises:
            WriteError: the file system refused; what was there before is unchanged.
        """
        from seqlrp.explanations.collection import Explanations

        texts = self.comparison.texts
        chosen = [int(k) for k in texts.index[:_SHOWN]]
        moved = self.comparison.words.groupby("class", sort=False).head(_MOVED).round(3)
        Explanations(self.comparison.old[k] for k in chosen).save_html(
            path,
            compare=[self.comparison.new[k] for k in chosen],
            sides=self.comparison.names,
            report=self,
            tables=[
                ("Before and after, with 95 % intervals", self.measures.round(3)),
                ("The share of the loss that is recovered", self.recovered.round(3)),
                ("The mean share of relevance of words, before and after", moved),
            ],
            title=title or "What the repair changed",
            front=True,
            selection=True,
        )

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write summary.txt, repair.json, the tables, page.html and the mended corpus.

        Raises:
            WriteError: the file system refused; a file that was there before is unchanged.
        """
        folder = Path(folder)
        described = json.dumps(self.to_json(), indent=2)
        for name, content in ((SUMMARY, self.summary()), (DESCRIPTION, described)):
            with written_whole(folder / name) as temporary:
                temporary.write_text(content + "\n", encoding="utf-8")
        tables = {MEASURES: self.measures, WORDS: self.comparison.words}
        if self.mended is not None:
            tables[MENDED] = _frame(self.mended)
        for name, table in tables.items():
            with written_whole(folder / name) as temporary:
                table.to_parquet(temporary, index=False)
        self.save_html(folder / PAGE)

    def to_json(self) -> dict[str, Any]:
        """The numbers of the report as JSON values; null where there is none."""
        return {
            "how": self.how,
            "shortcuts": self.shortcuts,
            "made": self.made,
            "measures": json.loads(self.measures.to_json(orient="records")),
            "recovered": json.loads(self.recovered.to_json(orient="records")),
        }

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.shortcuts))
        return f"RepairReport({self.how!r}, {names})"


def _frame(corpus: Corpus) -> pd.DataFrame:
    import pandas as pd

    assert corpus.labels is not None
    labels = [corpus.label_names[k] for k in corpus.labels.tolist()]
    return pd.DataFrame({"text": list(corpus.texts), "label": labels})


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(row: dict[str, Any]) -> str:
    return f"{100 * row['change']:+.1f} points, {100 * row['low']:.1f} to {100 * row['high']:.1f}"
