"""What a page of explanations weighs and how long it takes: 100 made-up reviews of 250 words.

The size is the same on every machine; the time is the machine's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from numpy.random import Generator

from seqlrp.explanations.record import Explanation
from seqlrp.show.page import render

TEXTS, WORDS = 100, 250
ROUNDS = 3
MEGABYTES, SECONDS = 1.5, 1.0  # what a page of so many is meant to keep below
_VOCABULARY = 5000
_LETTERS = list("etaoinshrdlcumwfgypbvk")


@dataclass(frozen=True)
class PageMeasurement:
    """A page that was made.

    Attributes:
        texts: how many it shows.
        words: in each text, marks of punctuation apart.
        size: bytes.
        seconds: one a round.
    """

    texts: int
    words: int
    size: int
    seconds: tuple[float, ...]

    def lines(self) -> list[str]:
        """What it weighs and took beside what it should, to be printed."""
        return [
            f"Goals, a page of {self.texts} reviews of {self.words} words:",
            _line("MB", self.size / 1e6, MEGABYTES),
            _line("seconds to make it, here", median(self.seconds), SECONDS),
        ]

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "texts": self.texts,
            "words": self.words,
            "bytes": self.size,
            "rounds_ms": [1000 * seconds for seconds in self.seconds],
            "goal_mb": MEGABYTES,
            "goal_seconds": SECONDS,
        }


def measure_page(
    clock: Callable[[], float], *, texts: int = TEXTS, words: int = WORDS, seed: int = 0
) -> PageMeasurement:
    """Make a page of so many reviews, as `save_html` does, a few times.

    Args:
        clock: gives seconds.
        texts: how many reviews.
        words: in each of them.
        seed: of the reviews and their relevances.
    """
    reviews = generate_reviews(texts, words, seed)
    seconds = []
    for _ in range(ROUNDS):
        start = clock()
        page = render(reviews, page=True).encode()
        seconds.append(clock() - start)
    return PageMeasurement(texts, words, len(page), tuple(seconds))


def generate_reviews(texts: int, words: int, seed: int) -> list[Explanation]:
    """Explained reviews as long as real ones, words and relevances drawn; no model is needed."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 5, _VOCABULARY) + rng.integers(0, 5, _VOCABULARY)
    vocabulary = ["".join(rng.choice(_LETTERS, n)) for n in lengths.tolist()]
    return [_review(rng, vocabulary, words, number) for number in range(texts)]


def _review(rng: Generator, vocabulary: list[str], words: int, number: int) -> Explanation:
    """As in reviews of films, a word has 4 to 5 letters, and one in seven a mark behind it."""
    pieces, spans, place = [], [], 0
    marks = rng.choice(["", ",", "."], words, p=[12 / 14, 1 / 14, 1 / 14]).tolist()
    for word, mark in zip(rng.choice(vocabulary, words).tolist(), marks, strict=True):
        for piece in (word, mark):
            if piece:
                spans.append((place, place + len(piece)))
                place += len(piece)
        pieces.append(f"{word}{mark} ")
        place += 1
    text = "".join(pieces)
    relevance = rng.laplace(size=len(spans)).astype(np.float32)
    given = float(relevance.sum(dtype=np.float64))
    score, predicted = float(rng.normal()), int(rng.integers(2))
    scores = np.array([-score, -score])
    scores[predicted] = score
    return Explanation(
        text=text,
        tokens=tuple(text[start:end] for start, end in spans),
        offsets=np.array(spans, dtype=np.int32),
        relevance=relevance,
        target=predicted,
        predicted=predicted,
        label=int(rng.integers(2)),
        scores=scores.astype(np.float32),
        labels=("negative", "positive"),
        method="lrp",
        parameters={"epsilon": "5%", "gate_rule": "all"},
        ledger={"tokens": given, "bias": score - given},
        id=f"reviews/{number}",
    )


def _line(name: str, found: float, limit: float) -> str:
    outcome = "reached" if found < limit else "not reached"
    return f"  {name:36}< {limit:<5}{found:>6.2f}  {outcome}"
