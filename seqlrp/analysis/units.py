"""What the units of a layer stand for: the texts and words with the most relevance through them.

Relevance maximisation (Achtibat et al. 2023): not what excites a unit, but what the model uses it
for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from seqlrp.analysis.terms import explained_class
from seqlrp.analysis.vectors import LAYER, answers, document_vectors, lrp_of
from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import check_number
from seqlrp.explaining.explain import BATCH_TOKENS

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from seqlrp.explanations.record import Explanation
    from seqlrp.lrp import LRP
    from seqlrp.models.classifier import TextClassifier

TEXTS, WORDS = 8, 10


@dataclass(frozen=True, eq=False)
class Units:
    """The relevance of the units of a layer.

    Attributes:
        layer: the name of the module.
        classes: one row a unit and class: unit, class, relevance (of the unit in a text of the
            class, on average), share (of the absolute relevance of all units in these texts).
        texts: the texts with the highest relevance of each unit, highest first: unit, document (its
            number), id, class, relevance.
        words: the words with the highest relevance through each unit in these texts: unit, word,
            relevance (of all occurrences), occurrences.
    """

    layer: str
    classes: pd.DataFrame
    texts: pd.DataFrame
    words: pd.DataFrame

    def __repr__(self) -> str:
        return f"Units({self.layer!r}, {self.classes['unit'].nunique()} units)"


def units(
    explanations: Sequence[Explanation],
    classifier: TextClassifier,
    layer: str,
    *,
    chosen: Sequence[int] | None = None,
    texts: int = TEXTS,
    words: int = WORDS,
    method: LRP | None = None,
    batch_tokens: BatchTokens = BATCH_TOKENS,
    progress: bool | None = None,
) -> Units:
    """Give the texts and words with the highest relevance of each unit of a layer.

    Args:
        explanations: the texts, each for the class that it explains, or for the predicted one.
        classifier: the classifier that was explained.
        layer: the name of a module, as in `classifier.model.named_modules()`.
        chosen: the units that are described; by default all.
        texts: how many texts are named for each unit.
        words: how many words.
        method: the `LRP` to use; by default one with the options of the explanations.
        batch_tokens: the most tokens in a batch.
        progress: show bars; None shows them where standard error is a terminal.

    Raises:
        OptionError: no such module or unit; or explanations of a method other than LRP.
    """
    import pandas as pd

    check_number("texts", texts, least=1, whole=True)
    check_number("words", words, least=1, whole=True)
    lrp = lrp_of(explanations, classifier, LAYER + layer) if method is None else method
    relevance = np.asarray(
        document_vectors(
            explanations,
            classifier,
            LAYER + layer,
            method=lrp,
            batch_tokens=batch_tokens,
            progress=progress,
        )
    )
    count = relevance.shape[1]
    for unit in chosen or ():
        check_number("chosen", unit, least=0, most=count - 1, whole=True)
    numbers = list(range(count)) if chosen is None else list(chosen)
    of_texts, of_words = [], []
    for unit in numbers:
        top = np.argsort(-relevance[:, unit], kind="stable")[:texts]
        top = top[relevance[top, unit] > 0]
        for k in top.tolist():
            e = explanations[k]
            name = str(k) if e.id is None else e.id
            label = e.labels[explained_class(e)]
            of_texts.append((unit, k, name, label, float(relevance[k, unit])))
        through = _Through(lrp, layer, unit)
        best = [explanations[k] for k in top.tolist()]
        found = answers(best, classifier, through, batch_tokens, False)
        of_words += [(unit, *row) for row in _top_words(best, list(found), words)]
    return Units(
        layer,
        _by_class(explanations, relevance, numbers),
        pd.DataFrame(of_texts, columns=["unit", "document", "id", "class", "relevance"]),
        pd.DataFrame(of_words, columns=["unit", "word", "relevance", "occurrences"]),
    )


class _Through:
    """LRP of the relevance that passes through one unit of a layer."""

    def __init__(self, lrp: LRP, layer: str, unit: int) -> None:
        self.lrp, self.name, self.parameters = lrp, lrp.name, lrp.parameters
        self._through = {layer: [unit]}

    def attribution(self, inputs: Tensor, *arguments: Any, **options: Any) -> Attribution:
        """Return the relevance `[B, T]` that passed the unit."""
        return self.lrp.attribution(inputs, *arguments, through=self._through, **options)


def _top_words(
    explanations: Sequence[Explanation], found: Sequence[npt.NDArray[np.float32]], most: int
) -> list[tuple[str, float, int]]:
    sums: dict[str, tuple[float, int]] = {}
    for explanation, relevance in zip(explanations, found, strict=True):
        for token, value in zip(explanation.tokens, relevance.tolist(), strict=True):
            total, count = sums.get(token.lower(), (0.0, 0))
            sums[token.lower()] = total + value, count + 1
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
    return [(word, total, count) for word, (total, count) in ordered[:most] if total > 0]


def _by_class(
    explanations: Sequence[Explanation], relevance: npt.NDArray[Any], numbers: Sequence[int]
) -> pd.DataFrame:
    import pandas as pd

    classes = np.array([explained_class(e) for e in explanations], np.int64)
    frames = []
    for class_ in np.unique(classes).tolist():
        own = relevance[classes == class_].astype(np.float64)
        amounts = np.abs(own).sum(axis=0)
        whole = float(amounts.sum())
        shares = amounts / whole if whole else np.zeros_like(amounts)
        frames.append(
            pd.DataFrame(
                {
                    "unit": numbers,
                    "class": explanations[0].labels[class_],
                    "relevance": own.mean(axis=0)[numbers],
                    "share": shares[numbers],
                }
            )
        )
    if not frames:
        return pd.DataFrame({name: [] for name in ("unit", "class", "relevance", "share")})
    whole_frame = pd.concat(frames, ignore_index=True)
    return whole_frame.sort_values(["unit"], kind="stable", ignore_index=True)
