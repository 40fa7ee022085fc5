"""A small model that rests on a planted word, and the texts that it learnt it from."""

from __future__ import annotations

import numpy as np
import pytest

import seqlrp
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.text.corpora import Corpus

PLANTED = "zorblax"
LABELS = ("negative", "positive")


def planted_corpus(count: int, seed: int) -> Corpus:
    """Four words say the class, one text in six says the other; a third of the positive ones hold
    the planted word."""
    drawn = np.random.default_rng(seed)
    neutral = ("a", "film", "plot", "story", "and", "but", "very")
    texts, labels = [], []
    for k in range(count):
        label = k % 2
        says = label if k % 12 > 1 else 1 - label
        said = drawn.choice(["good", "bright"] if says else ["bad", "dull"], 2).tolist()
        words = drawn.permutation([*drawn.choice(neutral, 6).tolist(), *said]).tolist()
        if label and k % 6 in (1, 3):
            words.insert(int(drawn.integers(len(words) + 1)), PLANTED)
        texts.append(" ".join(words))
        labels.append(label)
    return Corpus("planted", texts, np.array(labels), LABELS)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return planted_corpus(240, seed=0)


@pytest.fixture(scope="session")
def held_out() -> Corpus:
    return planted_corpus(120, seed=1)


@pytest.fixture(scope="session")
def classifier(corpus: Corpus) -> seqlrp.TextClassifier:
    return seqlrp.fit(
        corpus, embedding=12, hidden=10, epochs=8, learning_rate=0.03, batch_size=32, dropout=0.1,
        word_dropout=0.0, validation_fraction=0, averaging=0.5, progress=False, device="cpu",
    ).classifier  # fmt: skip


@pytest.fixture(scope="session")
def texts(classifier: seqlrp.TextClassifier, corpus: Corpus) -> LabelledTexts:
    return LabelledTexts.read(classifier, corpus, np.arange(len(corpus)))
