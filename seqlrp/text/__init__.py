"""Text, words and corpora: what stands between a document and the ids that a model reads."""

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
