"""Explanations that are there already as the corpus of an analysis: a sample, and all the others.

A folder may hold more explanations than fit into memory. Of each class a sample is drawn in one
pass, which is what is clustered; in a second pass all texts are assigned to the clusters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from seqlrp.analysis.strategies import SAMPLE, Strategies
from seqlrp.errors import InputError, OptionError
from seqlrp.explaining.known import check_explained_by
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import ALL, Explanation
from seqlrp.explanations.sampling import draw_numbered
from seqlrp.text.corpora import Corpus

if TYPE_CHECKING:
    import pandas as pd

    from seqlrp.models.classifier import TextClassifier

HELD = 20_000  # explanations that are analysed without drawing a sample
_BLOCK = 1024  # explanations that are assigned at a time


class KnownExplanations:
    """Explanations of the predicted classes, or a sample of them where they are many.

    Args:
        classifier: the classifier that was explained.
        explanations: of one method.
        sample: the most texts of a class that are clustered.
        seed: of the sample.

    Attributes:
        explanations: all, or up to `sample` of each class where there are more than 20,000.
        corpus: their texts.

    Raises:
        InputError: explanations of other classes than the predicted ones.
        OptionError: the classifier is not the one that was explained.
    """

    def __init__(
        self,
        classifier: TextClassifier,
        explanations: Explanations,
        sample: int = SAMPLE,
        seed: int = 0,
    ) -> None:
        check_explained_by(classifier, explanations)
        self._classifier, self._all = classifier, explanations
        most = HELD if len(explanations) <= HELD else sample
        drawn = draw_numbered(_of_predicted(explanations), most, seed)
        self._numbers = np.array([number for number, _ in drawn], np.int64)
        self.explanations = Explanations(e for _, e in drawn)
        self.corpus = self._corpus()

    @property
    def made(self) -> dict[str, Any]:
        """How they were made, JSON values."""
        first = self.explanations[0]
        parameters = json.loads(json.dumps(first.parameters, default=dict))
        return {
            "corpus": self.corpus.name,
            "method": first.method,
            "parameters": parameters,
            "explanations": len(self._all),
        }

    def check_method(self, method: Any, options: dict[str, Any]) -> None:
        """Check that no other method was asked for; "lrp" is the default of those who ask.

        Raises:
            OptionError: another one was.
        """
        known = self.explanations[0].method
        if options or method not in ("lrp", known):
            raise OptionError(
                f"The explanations are by {known!r}, and nothing is explained again.",
                "Leave the method and its options out, or give the texts instead.",
                option="method",
                got=method,
            )

    def assign(self, found: Strategies, progress: bool | None) -> pd.DataFrame | None:
        """Assign all texts to the strategies of the sample; None where all were held.

        Returns:
            One row a text, in order: class, strategy, outlier, distance, sampled; about 15 bytes.
        """
        import pandas as pd

        if len(self._numbers) == len(self._all):
            return None
        hidden = None if progress is None else not progress
        bar = tqdm(self._all, "assigning", unit="text", disable=hidden)
        stream, parts = iter(bar), []
        while block := list(islice(stream, _BLOCK)):
            part = found.assign(block, self._classifier).drop(columns="id")
            part["class"] = pd.Categorical(part["class"], found.labels)
            parts.append(part.astype({"strategy": "int32", "distance": "float32"}))
        table = pd.concat(parts, ignore_index=True)
        for name in ("strategy", "outlier", "distance"):
            values = table[name].to_numpy(copy=True)
            values[self._numbers] = found.documents[name].to_numpy()
            table[name] = values
        return table.assign(sampled=np.isin(np.arange(len(table)), self._numbers))

    def _corpus(self) -> Corpus:
        held, folder = self.explanations, self._all.folder
        labels = [-1 if e.label is None else e.label for e in held]
        return Corpus(
            "explanations" if folder is None else folder.resolve().name,
            [e.text for e in held],
            None if -1 in labels else np.array(labels, np.int64),
            held[0].labels,
        )


def _of_predicted(explanations: Iterable[Explanation]) -> Iterator[Explanation]:
    for number, explanation in enumerate(explanations):
        predicted = explanation.target in (explanation.predicted, ALL)
        if not predicted or explanation.against is not None:
            raise InputError(
                f"Explanation {number} is not of the class that is predicted.",
                "Analyse explanations that were made with target='predicted' or 'all'.",
                text=number,
            )
        yield explanation
