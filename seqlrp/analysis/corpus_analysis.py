"""What a model looks at over a whole corpus: the words of its classes, strategies, shortcuts."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seqlrp.analysis import sentences
from seqlrp.analysis.results import AnalysisResults
from seqlrp.analysis.saved_analysis import DESCRIPTION, read_frames, write_frames
from seqlrp.analysis.strategies import Strategies
from seqlrp.errors import OptionError, SavedFileError
from seqlrp.explanations.collection import Explanations
from seqlrp.writing import check_replaceable, written_whole

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from seqlrp.analysis.units import Units
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

PAGE = "index.html"
_TEXTS, _SUMMARY = "explanations.parquet", "summary.txt"
_OWN, _ASSIGNED = ("class_words", "shortcuts"), "assigned"


class CorpusAnalysis(AnalysisResults):
    """What `seqlrp.analyse` found of a classifier on a corpus.

    Attributes:
        class_words: one row a class and word: class, word, mean, low, high, sum, documents, count,
            tfidf, distinctive, use; see `seqlrp.analysis.class_words.class_words`.
        found: the strategies with all that is known of them, `seqlrp.analysis.strategies`.
        shortcuts: one row a candidate: candidate, class, verdict ("decisive", "used" or "unused"),
            removed, inserted, control, p and more; see `seqlrp.analysis.shortcuts`.
        explanations: of the texts, in their order.
        made: how the analysis was made, JSON values: corpus, method, seed and more.
        assigned: where a sample of saved explanations was analysed, one row for each of all texts:
            class, strategy, outlier, distance, sampled; otherwise None.
        classifier: the classifier that was analysed; None where the analysis was loaded.
    """

    def assign(
        self, explanations: Iterable[Explanation], classifier: TextClassifier | None = None
    ) -> pd.DataFrame:
        """Assign new explained texts to the strategies; see `Strategies.assign`.

        Args:
            explanations: of the same method.
            classifier: the classifier, where the analysis was loaded from a folder.
        """
        return self.found.assign(explanations, classifier or self.classifier)

    def units(
        self, layer: str, *, classifier: TextClassifier | None = None, **options: Any
    ) -> Units:
        """Give the texts and words with the highest relevance of each unit of a layer.

        Args:
            layer: the name of a module, as in `classifier.model.named_modules()`.
            classifier: the classifier, where the analysis was loaded from a folder.
            options: of `seqlrp.analysis.units.units`, e.g. `chosen=[3, 17]`.

        Raises:
            OptionError: no such module or unit; explanations of a method other than LRP; or no
                classifier.
        """
        from seqlrp.analysis.units import units

        classifier = classifier or self.classifier
        if classifier is None:
            raise OptionError(
                "The analysis was loaded without its classifier, which finds the units.",
                "Hand it in as classifier=.",
                option="classifier",
            )
        return units(self.explanations, classifier, layer, **options)

    def summary(self) -> str:
        """The findings in plain sentences: the verdict, and what each class rests on."""
        return sentences.summary(self)

    def plot_words(
        self, target: int | str | None = None, *, n: int = 15, ax: Axes | None = None
    ) -> Axes:
        """Plot the strongest words of a class with the interval of their mean relevance.

        Args:
            target: the index or the name of the class; by default the first that was explained.
            n: how many words.
            ax: where to draw; by default in a new figure.

        Raises:
            OptionError: no text was explained for that class.
        """
        from seqlrp.analysis.plots import words_axes

        return words_axes(self, target, n, ax)

    def plot_map(self, *, ax: Axes | None = None) -> Axes:
        """Plot the map: a marker a class, a colour a strategy within it; outliers are hollow."""
        from seqlrp.analysis.plots import map_axes

        return map_axes(self, ax)

    def plot_eigenvalues(self, target: int | str | None = None, *, ax: Axes | None = None) -> Axes:
        """Plot the smallest eigenvalues of a class, whose gaps say how many clusters there are.

        Raises:
            OptionError: no text was explained for that class.
        """
        from seqlrp.analysis.plots import eigenvalues_axes

        return eigenvalues_axes(self, target, ax)

    def plot_shortcuts(self, *, n: int = 15, ax: Axes | None = None) -> Axes:
        """Plot what removing and inserting the first n candidates does, beside their controls."""
        from seqlrp.analysis.plots import shortcuts_axes

        return shortcuts_axes(self, n, ax)

    def save_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> Path:
        """Write one page that needs no network and no other file.

        Args:
            path: of the file, or a folder, where it is called `index.html`.
            title: the heading.

        Returns:
            the path of the page.

        Raises:
            WriteError: the file system refused; what was there before is unchanged.
        """
        from seqlrp.analysis.page import page

        path = Path(path)
        if path.is_dir() or not path.suffix:
            path = path / PAGE
        html = page(self, title)
        with written_whole(path) as temporary:
            temporary.write_text(html, "utf-8", newline="\n")
        return path

    def save(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write the page, the summary and all tables into a folder, whole or not at all.

        `index.html` is the page, `summary.txt` holds `summary()`, each frame is a Parquet file,
        `explanations.parquet` holds the explained texts, `analysis.json` what else `load` needs.

        Returns:
            the paths of the files.

        Raises:
            OptionError: the folder holds other files.
            WriteError: the file system refused; what was there before is unchanged.
        """
        from seqlrp.analysis.checkpoint import UNFINISHED
        from seqlrp.analysis.page import page

        folder = Path(folder)
        facts, frames = self.found.state()
        frames = {**frames, "class_words": self.class_words, "shortcuts": self.shortcuts}
        if self.assigned is not None:
            frames[_ASSIGNED] = self.assigned
        names = {PAGE, _TEXTS, _SUMMARY, DESCRIPTION, *(f"{name}.parquet" for name in frames)}
        ours = {*names, f"{_ASSIGNED}.parquet", UNFINISHED}
        check_replaceable(folder, ours.__contains__, "an analysis")
        with written_whole(folder) as temporary:
            temporary.mkdir()
            write_frames(temporary, frames, {"facts": facts, "made": self.made})
            self.explanations.save(temporary / _TEXTS)
            (temporary / _SUMMARY).write_text(self.summary() + "\n", "utf-8", newline="\n")
            (temporary / PAGE).write_text(page(self, None), "utf-8", newline="\n")
        return [folder / name for name in sorted(names)]

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> CorpusAnalysis:
        """Load an analysis from the folder that `save` wrote.

        Raises:
            SavedFileError: it is not there, damaged, or was not written by `save`.
        """
        folder = Path(folder)
        frames, about = read_frames(folder)
        try:
            found = Strategies.from_state(about["facts"], frames)
            own = [frames[name] for name in _OWN]
            made = about["made"]
        except (KeyError, TypeError, ValueError) as error:
            raise SavedFileError(f"{folder} lacks a part; analyse again.") from error
        texts = Explanations.load(folder / _TEXTS)
        return cls(own[0], found, own[1], texts, made, frames.get(_ASSIGNED))

    def __repr__(self) -> str:
        return (
            f"CorpusAnalysis({len(self.explanations)} documents, {len(self.strategies)} "
            f"strategies, {len(self.shortcuts)} candidates, {len(self.decisive())} decisive)"
        )
