"""Places and lengths as candidates: found where a model looks at them, and proved."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from samples.classifiers import WORDS, split_words
from torch import nn

import seqlrp
from seqlrp.analysis.class_words import class_words
from seqlrp.analysis.shortcuts import find_shortcuts
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus
from seqlrp.text.vocabulary import Vocabulary

LABELS = ("negative", "positive")
NEUTRAL = ("a", "film", "plot", "story", "and", "but", "very")


class OneNumber(nn.Module):
    """A number for each word; that of one place, or the sum, says the class."""

    def __init__(self, words: int, place: int | None) -> None:
        super().__init__()
        self.place = place
        self.embedding = nn.Embedding(words, 1, padding_idx=0)
        self.head = nn.Linear(1, 2)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores `[B, 2]` of ids `[B, T]`."""
        vectors = self.embedding(ids).masked_fill((ids == 0).unsqueeze(-1), 0)
        scores: torch.Tensor = self.head(
            vectors.sum(1) if self.place is None else vectors[:, self.place]
        )
        return scores


def classifier_of(place: int | None, others: float, word: float, bias: float) -> TextClassifier:
    """Words weigh `others`, "good" weighs `word`, and the bias is that of "positive"."""
    vocabulary = Vocabulary.build([WORDS])
    model = OneNumber(len(vocabulary), place).eval()
    with torch.no_grad():
        model.embedding.weight[1:] = others
        model.embedding.weight[vocabulary.tokens.index("good")] = word
        model.head.weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model.head.bias.copy_(torch.tensor([-bias, bias]))
    return TextClassifier(model, vocabulary, LABELS, split_words)


def shortcuts(classifier: TextClassifier, texts: list[str]) -> pd.DataFrame:
    labels = classifier.predict(texts, progress=False).predicted
    corpus = Corpus("places", texts, labels, LABELS)
    found = seqlrp.explain(classifier, corpus, progress=False)
    return find_shortcuts(found, classifier, class_words(found), progress=False)


@pytest.mark.parametrize("shift", [0, 3])
def test_the_first_word_is_tried_where_it_decides(shift: int) -> None:
    drawn = np.random.default_rng(shift)
    texts = []
    for k in range(80):
        words = drawn.choice(NEUTRAL, 9).tolist()
        words.insert(0 if k % 2 else int(drawn.integers(2, 9)), "good")
        texts.append(" ".join(words))
    table = shortcuts(classifier_of(0, -1.0, 1.0, 0.0), texts)
    own = table[table["kind"] == "position"].set_index("class")
    assert set(own["candidate"]) == {"the first word"}
    assert own.loc["positive", "verdict"] == "decisive"
    assert own.loc["positive", ["inserted", "removed"]].tolist() == [1.0, 1.0]
    assert own.loc["positive", "control"] == 0.0
    assert np.isnan(own.loc["positive", "exclusive"])


def test_the_length_is_tried_where_it_decides() -> None:
    drawn = np.random.default_rng(0)
    texts = [" ".join(drawn.choice(NEUTRAL, 20 if k % 2 else 7)) for k in range(80)]
    table = shortcuts(classifier_of(None, 1.0, 1.0, -12.0), texts)
    own = table[table["kind"] == "length"].set_index("class")
    assert set(own["candidate"]) == {"the length"}
    assert own.loc["positive", "verdict"] == "decisive"
    assert own.loc["positive", ["inserted", "removed", "control"]].tolist() == [1.0, 1.0, 0.0]


def test_neither_is_tried_where_nothing_points_to_it() -> None:
    drawn = np.random.default_rng(1)
    texts = [" ".join(drawn.choice([*NEUTRAL, "good"], 10)) for _ in range(80)]
    table = shortcuts(classifier_of(None, -1.0, 7.0, 0.0), texts)
    assert set(table["kind"]) == {"words"}
