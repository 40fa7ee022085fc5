"""Hybrid documents: texts of several classes joined to one document (Poerner et al. 2018).

The evidence for a class is in the texts of that class, whose places in the document are known.
"""

from __future__ import annotations

import numpy as np

from seqlrp.errors import CorpusError, check_number
from seqlrp.text.corpora import Corpus
from seqlrp.truth.annotated import Annotated, Span


def hybrid_documents(corpus: Corpus, sentences: int = 10, seed: int = 0) -> Annotated:
    """Shuffle the texts of a labelled corpus and join them to documents.

    Each text is used at most once. Remaining texts, and documents whose texts have the same class,
    are left out. A document has no class; each of its texts is a span whose kind is the name of
    its class and whose value is the index of its class.

    Args:
        corpus: sentences or short texts with their classes.
        sentences: the number of texts in a document, at least 2.
        seed: the seed of the shuffling.

    Raises:
        CorpusError: the corpus has no labels, or no document can be made.
        OptionError: `sentences` is not a whole number of at least 2.
    """
    check_number("sentences", sentences, least=2, whole=True)
    if corpus.labels is None:
        raise CorpusError(f"The corpus {corpus.name} has no labels; expected one for each text.")
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
            f"The corpus {corpus.name} has {len(corpus)} texts, too few for a document of "
            f"{sentences} with two classes; add texts, or pass fewer sentences."
        )
    return Annotated(Corpus(f"hybrid {corpus.name}", texts, None, corpus.label_names), spans)
