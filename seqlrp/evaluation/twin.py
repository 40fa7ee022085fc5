"""A copy of a classifier and its method, which can be changed without changing the original."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from tqdm import tqdm

from seqlrp.engine.batches import BatchTokens, Budget
from seqlrp.errors import ModelError
from seqlrp.explaining.attribute import explain_questions
from seqlrp.explaining.questions import Question
from seqlrp.explanations.record import Explanation
from seqlrp.methods import Method

if TYPE_CHECKING:
    from torch import nn

    from seqlrp.models.classifier import TextClassifier
    from seqlrp.text.encoded import EncodedText


T = TypeVar("T")


def deep_copy(model: T) -> T:
    """Return a deep copy of a model, or of a model with objects that refer to it.

    Raises:
        ModelError: it cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise ModelError(
            f"The model cannot be copied ({type(error).__name__}: {error}); this test changes a "
            f"copy of it, so copy.deepcopy must support it."
        ) from error


class Twin(NamedTuple):
    """A copied classifier and a copied method that explains the copied model."""

    classifier: TextClassifier
    method: Method

    @classmethod
    def of(cls, classifier: TextClassifier, method: Method) -> Twin:
        """Copy both; the copied method explains the copied model.

        Raises:
            ModelError: the model cannot be copied.
        """
        # Together, so that the method's copy refers to the model's.
        model, twin = deep_copy((classifier.model, method))
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
        """Explain documents for the classes for which they, or their originals, were explained.

        Args:
            documents: encoded texts.
            like: one explanation for each, which says the class, and what it is compared with.
            batch_tokens: the most tokens in a batch.
        """
        budget = Budget(batch_tokens, self.classifier.device)
        questions = [
            Question(number, document, e.target, e.against)
            for number, (document, e) in enumerate(zip(documents, like, strict=True))
        ]
        found: dict[int, Explanation] = {}
        with tqdm(disable=True) as bar:
            for pairs in (False, True):  # a batch holds questions of one kind
                asked = [q for q in questions if (q.against is not None) == pairs]
                made = explain_questions(self.classifier, self.method, asked, budget, bar)
                found.update(zip((q.number for q in asked), made, strict=True))
        return [found[number] for number in range(len(questions))]
