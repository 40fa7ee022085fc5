"""Samples for many tests: a small classifier that needs no training, and plain tokens."""

from __future__ import annotations

import re

import numpy as np
import torch

from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import HierarchicalClassifier, RecurrentClassifier
from seqlrp.text.tokens import TokenizedText
from seqlrp.text.vocabulary import Vocabulary

WORDS = ("a", "good", "bad", "film", "plot", "not", "very", "dull", "bright", "story", "and", "but")


def split_words(text: str) -> TokenizedText:
    """Words by white space, a sentence ending at each full stop."""
    found = list(re.finditer(r"\S+", text))
    tokens = tuple(m.group() for m in found)
    offsets = np.array([m.span() for m in found], np.int32).reshape(-1, 2)
    ends = np.array([token.endswith(".") for token in tokens], bool)
    sentences = np.concatenate([[0], np.cumsum(ends)[:-1]]) if tokens else np.zeros(0)
    return TokenizedText(text, tokens, offsets, sentences.astype(np.int32))


def small_classifier(**options: object) -> TextClassifier:
    """A classifier with random but fixed weights over `WORDS`."""
    vocabulary = Vocabulary.build([WORDS])
    hierarchical = bool(options.pop("hierarchical", False))
    labels = options.pop("labels", ("negative", "positive"))
    classes = options.pop("classes", len(labels))  # type: ignore[arg-type]
    torch.manual_seed(7)
    kind = HierarchicalClassifier if hierarchical else RecurrentClassifier
    model = kind(len(vocabulary), classes, embedding=6, hidden=5, **options).eval()
    for parameter in model.parameters():
        parameter.data.mul_(2.0)
    layout = "sentences" if hierarchical else "words"
    return TextClassifier(model, vocabulary, labels, split_words, layout)  # type: ignore[arg-type]


def some_texts(count: int, seed: int = 0, longest: int = 20) -> list[str]:
    """Random sequences of `WORDS`, of 1 to `longest` words."""
    drawn = np.random.default_rng(seed)
    return [
        " ".join(drawn.choice(WORDS, drawn.integers(1, longest + 1))) + ("." if k % 2 else "")
        for k in range(count)
    ]
