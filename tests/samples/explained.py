"""Documents as one method explained them, for the metrics' tests, and models made by hand."""

from __future__ import annotations

import torch
from torch import nn

from samples.classifiers import WORDS, split_words
from seqlrp import Vocabulary
from seqlrp.evaluation.documents import ExplainedDocuments
from seqlrp.evaluation.removal import Remover
from seqlrp.explaining.explain import chosen_method, explain
from seqlrp.models.classifier import TextClassifier


class Bag(nn.Module):
    """Scores are a linear map of the sum of the words' vectors: what each word does is known."""

    def __init__(self, words: int, classes: int = 2, size: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, size, padding_idx=0)
        self.head = nn.Linear(size, classes, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        vectors = self.embedding(ids).masked_fill((ids == 0).unsqueeze(-1), 0)
        scores: torch.Tensor = self.head(vectors.sum(1))
        return scores


def bag_classifier(**options: int) -> TextClassifier:
    """A bag of words with fixed random weights."""
    vocabulary = Vocabulary.build([WORDS])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Bag(len(vocabulary), **options).eval()
    return TextClassifier(model, vocabulary, ("negative", "positive"), split_words)


def explained_by(
    classifier: TextClassifier, texts: list[str], method: str = "lrp", **options: object
) -> ExplainedDocuments:
    """As `evaluate` hands them to a metric, for the predicted class."""
    numbers = options.pop("numbers", range(len(texts)))
    removal = options.pop("removal", "zero")
    asked = {"epsilon": options.pop("epsilon")} if "epsilon" in options else {}
    chosen = chosen_method(classifier, method, asked)
    explanations = list(explain(classifier, texts, chosen, progress=False))
    return ExplainedDocuments(
        classifier=classifier,
        documents=list(classifier.encode(texts)),
        numbers=list(numbers),  # type: ignore[call-overload]
        labels=[None] * len(texts),
        method=method,
        explanations=explanations,
        of_label=[None] * len(texts),
        explainer=chosen,
        remover=Remover(classifier, removal),  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )
