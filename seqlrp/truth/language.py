"""A generated corpus of opinions in which the role of every word is known."""

from __future__ import annotations

import numpy as np

from seqlrp.errors import check_number
from seqlrp.text.corpora import Corpus
from seqlrp.truth.annotated import Annotated, Span
from seqlrp.truth.grammar import MOST, generate

LABELS = ("negative", "positive")
_SIGNS = {"negative": -1.0, "positive": 1.0}


def sentiment_language(size: int = 3000, seed: int = 1, *, reported: float = 0.0) -> Annotated:
    """Generate sentences with an opinion, their label, and the role of every token.

    Tokens are separated by single spaces, as the English tokeniser would split them. Each token is
    a span whose kind is its role and whose value is the meaning of the word by itself: +1 good,
    -1 bad, 0 neither. The roles are

    - `sentiment`: an opinion that decides the label;
    - `negation`: inverts the next opinion of its clause;
    - `intensifier`: *very*, *really*; does not change the label;
    - `contrast`: *but*; the clause before it does not decide the label;
    - `distractor`: an opinion that does not decide the label, with its negation and intensifier: in
      the clause before *but*, or reported of another person;
    - `filler`: everything else.

    The label is therefore the value of any `sentiment` word, inverted where a `negation` precedes
    it in its clause.

    Args:
        size: the number of sentences, all different, at most 1,000,000.
        seed: the seed of the generator. The defaults give the corpus "generated".
        reported: the share of sentences that report the opinion of another person, which agrees
            with the label in half of them.

    Raises:
        OptionError: `size` or `reported` is out of range.
    """
    check_number("size", size, least=1, most=MOST, whole=True)
    check_number("reported", reported, least=0, most=1)
    texts, labels, spans = [], [], []
    for text, label, roles in generate(seed, size, reported):
        texts.append(text)
        labels.append(LABELS.index(label))
        spans.append(_spans(text, roles))
    corpus = Corpus("sentiment language", texts, np.array(labels, dtype=np.int64), LABELS)
    return Annotated(corpus, spans)


def _spans(text: str, roles: str) -> tuple[Span, ...]:
    found, start = [], 0
    for token, role in zip(text.split(" "), roles.split(" "), strict=True):
        found.append(Span(start, start + len(token), *_kind(role)))
        start += len(token) + 1
    return tuple(found)


def _kind(role: str) -> tuple[str, float]:
    """Return the kind and the value of a role of the grammar."""
    prefix, _, role = role.rpartition("-")
    value = _SIGNS.get(role, 0.0)
    if prefix:  # "overruled" or "reported"
        return "distractor", value
    if value:
        return "sentiment", value
    return ("filler" if role == "neutral" else role), 0.0
