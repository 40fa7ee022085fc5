"""A small language of sentiment in which every word's role is known."""

from __future__ import annotations

import numpy as np

from seqlrp.errors import OptionError
from seqlrp.text.corpora import Corpus
from seqlrp.truth.annotated import Annotated, Span
from seqlrp.truth.grammar import MOST, generate

LABELS = ("negative", "positive")
_SIGNS = {"negative": -1.0, "positive": 1.0}


def sentiment_language(size: int = 3000, seed: int = 1, *, reported: float = 0.0) -> Annotated:
    """Draw sentences with an opinion, their label, and the role of every token.

    Tokens are separated by single spaces, just as the English tokeniser would split them. Each is a
    span whose kind is its role and whose value is what the word means by itself: +1 good, -1 bad,
    0 neither.

    - `sentiment`: states an opinion that counts;
    - `negation`: turns the next opinion of its clause round;
    - `intensifier`: *very*, *really*: changes nothing;
    - `contrast`: *but*: what stands before it does not count;
    - `distractor`: an opinion that does not count, with its negation and intensifier: in the clause
      before *but*, or reported of somebody else;
    - `filler`: everything else.

    So the label is the value of any `sentiment` word, turned round where a `negation` stands before
    it in its clause.

    Args:
        size: how many sentences; none is there twice.
        seed: the same seed gives the same sentences. With the defaults these are the corpus
            "generated".
        reported: the share of sentences that report somebody else's opinion, which agrees with the
            label in one half of them.

    Raises:
        OptionError: a size or share out of its range.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST:
        raise OptionError(f"Got size={size!r}, expected a whole number from 1 to {MOST:,}.")
    if not 0 <= reported <= 1:
        raise OptionError(f"Got reported={reported!r}, expected a share from 0 to 1.")
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
    """The kind and the value of a role of the grammar."""
    whose, _, role = role.rpartition("-")
    value = _SIGNS.get(role, 0.0)
    if whose:  # overruled or reported
        return "distractor", value
    if value:
        return "sentiment", value
    return ("filler" if role == "neutral" else role), 0.0
