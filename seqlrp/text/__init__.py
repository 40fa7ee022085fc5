"""Tokenisation, vocabularies, corpora and word vectors: from texts to the ids a model reads."""

from __future__ import annotations

from seqlrp.text.corpora import Corpus, load_corpus
from seqlrp.text.tokens import SpacyTokenizer, TokenizedText, located
from seqlrp.text.vectors import load_vectors
from seqlrp.text.vocabulary import Vocabulary

__all__ = [
    "Corpus",
    "SpacyTokenizer",
    "TokenizedText",
    "Vocabulary",
    "load_corpus",
    "load_vectors",
    "located",
]
