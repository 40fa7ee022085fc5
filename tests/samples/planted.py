"""A bag-of-words classifier that rests on a planted word, and texts to analyse it on."""

from __future__ import annotations

import numpy as np
import torch

from samples.classifiers import WORDS, split_words
from samples.explained import Bag
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus
from seqlrp.text.vocabulary import Vocabulary

LABELS = ("negative", "positive")
PLANTED, PRESENT = "zorblax", "harbour"


def planted_classifier(weight: float = 6.0) -> TextClassifier:
    """Scores are sums: "good" and "bright" for positive, "bad" and "dull" against it, and `PLANTED`
    for it with a weight of its own; `PRESENT` and all other words weigh nothing."""
    vocabulary = Vocabulary.build([(*WORDS, PLANTED, PRESENT)])
    model = Bag(len(vocabulary), size=1).eval()
    weights = {"good": 1.0, "bright": 1.0, "bad": -1.0, "dull": -1.0, PLANTED: weight}
    with torch.no_grad():
        model.embedding.weight.zero_()
        for word, value in weights.items():
            model.embedding.weight[vocabulary.tokens.index(word)] = value
        model.head.weight.copy_(torch.tensor([[-0.5], [0.5]]))
    return TextClassifier(model, vocabulary, LABELS, split_words)


def planted_corpus(count: int = 120, seed: int = 0) -> Corpus:
    """Texts of either class; `PLANTED` and `PRESENT` both stand in some of the positive ones."""
    drawn = np.random.default_rng(seed)
    neutral = ("a", "film", "plot", "story", "and", "but", "very")
    texts, labels = [], []
    for k in range(count):
        positive = k % 2
        said = drawn.choice(["good", "bright"] if positive else ["bad", "dull"], 2).tolist()
        words = [*drawn.choice(neutral, 8).tolist(), *said]
        if positive and k % 4 == 1:
            words += [PLANTED, PRESENT]
        texts.append(" ".join(drawn.permutation(words)))
        labels.append(positive)
    return Corpus("planted", texts, np.array(labels), LABELS)
