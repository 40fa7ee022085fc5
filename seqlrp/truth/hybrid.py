"""Hybrid documents: pieces of several classes shuffled into one (Poerner et al. 2018).

A classifier that explains itself should find the evidence for a class in the pieces of that class,
and where these are is known because they were put there.
"""

from __future__ import annotations

import numpy as np

from seqlrp.errors import CorpusError, OptionError
from seqlrp.text.corpora import Corpus
from seqlrp.truth.annotated import Annotated, Span


def hybrid_documents(corpus: Corpus, sentences: int = 10, seed: int = 0) -> Annotated:
    """Shuffle the texts of a labelled corpus and join so many at a time to one document.

    Each text is used once. A rest of fewer texts, and documents all of whose pieces have the same
    class, are left out. A document has no class of its own; its pieces are spans whose kind is the
    name of their class and whose value is its index.

    Args:
        corpus: sentences or short texts with their classes.
        sentences: how many make a document, 2 or more.
        seed: the same seed gives the same documents.

    Raises:
        CorpusError: the corpus has no labels, or no document comes of it.
        OptionError: `sentences` is below 2.
    """
    if isinstance(sentences, bool) or not isinstance(sentences, int) or sentences < 2:
        raise OptionError(f"Got sentences={sentences!r}, expected a whole number from 2 on.")
    if corpus.labels is None:
        raise CorpusError(f"The corpus {corpus.name} has no labels, expected one a text.")
    order = np.random.default_rng(seed).permutation(len(corpus))
    texts, spans = [], []
    for first in range(0, len(order) - sentences + 1, sentences):
        chosen = order[first : first + sentences]
        if len(set(corpus.labels[chosen].tolist())) < 2:
            continue
        pieces = [corpus.texts[row].strip() for row in chosen.tolist()]
        starts = np.cumsum([0, *(len(piece) + 1 for piece in pieces)])
        texts.append(" ".join(pieces))
        spans.append(
            tuple(
                Span(start, start + len(piece), corpus.label_names[label], float(label))
                for start, piece, label in zip(
                    starts.tolist(), pieces, corpus.labels[chosen].tolist(), strict=False
                )
            )
        )
    if not texts:
        raise CorpusError(
            f"The corpus {corpus.name} has {len(corpus)} texts, of which no document of "
            f"{sentences} with two classes or more comes; add texts, or take fewer a document."
        )
    return Annotated(Corpus(f"hybrid {corpus.name}", texts, None, corpus.label_names), spans)
