"""The texts that pruning is given: references, which score units, and those that measure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.errors import LabelError, OptionError, TextError
from seqlrp.improving.criteria import Texts
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus
from seqlrp.text.encoded import EncodedText

Integers = npt.NDArray[np.int64]

MEASURED = 500  # texts, the most, on which is measured what was lost


@dataclass(frozen=True, eq=False)
class ReferenceTexts:
    """Texts that have a token, with their classes.

    Attributes:
        documents: all texts.
        classes: int64 `[N]`, the true classes, or the predicted ones where nobody knows.
        labelled: whether they are the true ones.
        references: int64, the texts by which units are scored.
        measured: int64, those that measure; the references where there are no others.
    """

    documents: list[EncodedText]
    classes: Integers
    labelled: bool
    references: Integers
    measured: Integers

    def part(self, rows: Integers) -> Texts:
        """Some of the texts."""
        return Texts([self.documents[k] for k in rows.tolist()], self.classes[rows])


def read_texts(
    classifier: TextClassifier,
    texts: Iterable[str] | Corpus,
    labels: Iterable[int | str] | None,
    most: int,
    seed: int,
    batch_tokens: BatchTokens = 4096,
) -> ReferenceTexts:
    """Encode texts, and draw at most `most` references of each class.

    Raises:
        TextError: no text has a token.
        LabelError: there are more or fewer labels than texts.
    """
    if isinstance(texts, Corpus):
        if labels is None and texts.labels is not None:
            labels = [texts.label_names[k] for k in texts.labels.tolist()]
        texts = texts.texts
    documents = list(classifier.encode(texts))
    given = None if labels is None else [classifier.label_index(label) for label in labels]
    if given is not None and len(given) != len(documents):
        raise LabelError(
            f"Got {len(given)} labels for {len(documents)} texts; expected one a text.", got=given
        )
    kept = [k for k, document in enumerate(documents) if len(document)]
    if not kept:
        raise TextError("Got no text with a token; units are scored by some texts of each class.")
    documents = [documents[k] for k in kept]
    if given is None:
        scores = classifier.all_scores(documents, Budget(batch_tokens, classifier.device))
        classes = scores.argmax(axis=1).astype(np.int64)
    else:
        classes = np.array([given[k] for k in kept], np.int64)
    order = np.random.default_rng(seed).permutation(len(documents))
    own = [order[classes[order] == c][:most] for c in range(len(classifier.labels))]
    references = np.sort(np.concatenate(own)).astype(np.int64)
    others = order[~np.isin(order, references)][:MEASURED]
    measured = np.sort(others).astype(np.int64) if len(others) else references
    return ReferenceTexts(documents, classes, given is not None, references, measured)


def check_labelled(
    texts: ReferenceTexts, criteria: Iterable[str], needing: Iterable[str], epochs: int
) -> None:
    """Check that there are labels where a criterion or training on needs them.

    Raises:
        OptionError: there are none.
    """
    asked = [f"the criterion {name!r}" for name in criteria if name in needing]
    asked += ["training on"] if epochs else []
    if asked and not texts.labelled:
        raise OptionError(
            f"{asked[0][0].upper()}{asked[0][1:]} needs the true classes, and there are no labels.",
            "Pass labels=, or take another criterion such as 'lrp' and epochs=0.",
            option="labels",
            code="labels_missing",
        )
