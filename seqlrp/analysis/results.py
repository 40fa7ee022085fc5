"""The results of an analysis: tables and texts, without what shows or saves them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seqlrp.analysis.strategies import Strategies
from seqlrp.explanations.collection import Explanations

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier


@dataclass(frozen=True, eq=False)
class AnalysisResults:
    """What an analysis found; `seqlrp.CorpusAnalysis` describes its attributes."""

    class_words: pd.DataFrame
    found: Strategies
    shortcuts: pd.DataFrame
    explanations: Explanations
    made: dict[str, Any]
    assigned: pd.DataFrame | None = None
    classifier: TextClassifier | None = None

    @property
    def strategies(self) -> pd.DataFrame:
        """One row a strategy: class, strategy, size, share, accuracy, words and more."""
        return self.found.table

    @property
    def documents(self) -> pd.DataFrame:
        """One row a text: id, class, strategy, outlier, x, y (its place on the map) and more."""
        return self.found.documents

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.found.labels

    def decisive(self, allow: Iterable[str] = ()) -> pd.DataFrame:
        """The rows of `shortcuts` whose verdict is "decisive", except for those in `allow`.

        Args:
            allow: candidates that are expected to decide, such as words that make a class by their
                meaning, in any case.
        """
        allowed = {allow.lower()} if isinstance(allow, str) else {word.lower() for word in allow}
        table = self.shortcuts
        kept = (table["verdict"] == "decisive") & ~table["candidate"].str.lower().isin(allowed)
        return table[kept].reset_index(drop=True)
