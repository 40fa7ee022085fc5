"""A model that is none of the package, and a classifier made of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from samples.classifiers import WORDS, split_words
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary.build([WORDS])


class BagOfWords(nn.Module):
    """Somebody else's model; `change` is done to its scores [B, outputs]."""

    def __init__(self, outputs: int = 2, rows: int = len(VOCABULARY), change: Any = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(rows, outputs, padding_idx=0)
        self.change = change

    def forward(self, ids: Tensor) -> Any:
        scores = self.table(ids).sum(dim=1)
        return self.change(scores) if self.change else scores


def foreign(labels: tuple[str, ...] = ("no", "yes"), **options: Any) -> TextClassifier:
    return TextClassifier(BagOfWords(**options).eval(), VOCABULARY, labels, split_words)
