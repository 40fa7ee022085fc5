"""A classifier whose answers change when words go, and labelled texts for it."""

from __future__ import annotations

import numpy as np
import torch

import seqlrp
from samples.classifiers import small_classifier, some_texts
from seqlrp.evaluation import ExplainedDocuments
from seqlrp.evaluation.removal import Remover
from seqlrp.models.classifier import TextClassifier


def lively_classifier(
    *, double: bool = False, seed: int = 3, strength: float = 1.5, **options: object
) -> TextClassifier:
    """Fixed weights drawn by NumPy, large enough for a word to change the answer."""
    classifier = small_classifier(**options)
    drawn = np.random.default_rng(seed)
    for parameter in classifier.model.parameters():
        values = drawn.normal(0, strength, tuple(parameter.shape))
        parameter.data = torch.from_numpy(values.astype(np.float32))
    with torch.no_grad():
        classifier.model.embedding.weight[0] = 0
    if double:
        classifier.model.double()
    return classifier


def labelled(count: int = 40) -> tuple[list[str], list[int]]:
    """Texts of 10 to 20 words, and labels that have nothing to do with them."""
    texts = [t for t in some_texts(4 * count, seed=5) if len(t.split()) >= 10][:count]
    return texts, [k % 2 for k in range(len(texts))]


def explained_by(
    classifier: TextClassifier,
    texts: list[str],
    labels: list[int] | list[None],
    numbers: list[int] | None = None,
    method: str = "lrp",
    removal: str = "zero",
) -> ExplainedDocuments:
    """Texts as `seqlrp.evaluate` hands them to a metric."""
    known = None if None in labels else labels
    of_label = [None] * len(texts)
    predicted = seqlrp.explain(classifier, texts, method, labels=known, progress=False)
    if known is not None:
        of_label = list(
            seqlrp.explain(classifier, texts, method, "label", labels=known, progress=False)
        )
    return ExplainedDocuments(
        classifier=classifier,
        documents=list(classifier.encode(texts)),
        numbers=list(range(len(texts))) if numbers is None else numbers,
        labels=labels,
        method=method,
        explanations=list(predicted),
        of_label=of_label,
        remover=Remover(classifier, removal),
    )
