"""A copy of a classifier with its method, to be changed and explained while the first one stays."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tqdm import tqdm

from seqlrp.batching import BatchTokens, Budget
from seqlrp.errors import ModelError
from seqlrp.explain import explained_documents
from seqlrp.explanation import Explanation
from seqlrp.methods import Method

if TYPE_CHECKING:
    from torch import nn

    from seqlrp.text.encoded import EncodedText
    from seqlrp.text_classifier import TextClassifier


T = TypeVar("T")


def copied(model: T) -> T:
    """A deep copy of a model, or of a model with what refers to it.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"The model cannot be copied ({type(error).__name__}: {error}); this test changes a "
            f"copy of it, so make it one that copy.deepcopy takes."
        ) from error


class Twin(NamedTuple):
    """A classifier and the method that explains it, with a model of their own."""

    classifier: TextClassifier
    method: Method

    @classmethod
    def of(cls, classifier: TextClassifier, method: Method) -> Twin:
        """Copy both; the copied method explains the copied model.

        Raises:
            ModelError: the model cannot be copied.
        """
        # Together, so that the method's copy refers to the model's.
        model, twin = copied((classifier.model, method))
        return cls(replace(classifier, model=model), twin)

    @property
    def model(self) -> nn.Module:
        """The copied model."""
        return self.classifier.model

    def explain(
        self,
        documents: Sequence[EncodedText],
        like: Sequence[Explanation],
        batch_tokens: BatchTokens,
    ) -> list[Explanation]:
        """Explain documents for the same question as explanations of them, or of their originals.

        Args:
            documents: encoded texts.
            like: one explanation for each, which says the class, and what it is compared with.
            batch_tokens: the most tokens in a batch.
        """
        budget = Budget(batch_tokens, self.classifier.device)
        found: list[Explanation | None] = [None] * len(documents)
        with tqdm(disable=True) as bar:
            for against in sorted({e.against for e in like}, key=lambda a: -1 if a is None else a):
                rows = [k for k, e in enumerate(like) if e.against == against]
                made = explained_documents(
                    self.classifier,
                    self.method,
                    [documents[k] for k in rows],
                    "label" if against is None else ("label", against),
                    [int(like[k].target) for k in rows],
                    rows,
                    budget,
                    bar,
                )
                for k, e in zip(rows, made, strict=True):
                    found[k] = e
        return [e for e in found if e is not None]
