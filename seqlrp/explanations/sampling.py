"""A sample of a stream, drawn in one pass: as many of each class, whatever the stream's length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from seqlrp.errors import check_number

if TYPE_CHECKING:
    from seqlrp.explanations.collection import Explanations
    from seqlrp.explanations.record import Explanation


def reservoir(size: int, seed: int, class_: int) -> Iterator[int | None]:
    """Where each next text of a class goes in a sample of it: its place, or None for nowhere.

    Reservoir sampling, algorithm R (Vitter 1985): text n, counted from 1, takes the place of one of
    the sample with probability size / n.
    """
    random = np.random.default_rng([seed, class_])
    yield from range(size)
    seen = size
    while True:
        seen += 1
        place = int(random.integers(seen))
        yield place if place < size else None


def draw_sample(
    explanations: Iterable[Explanation], per_class: int = 1000, seed: int = 0
) -> Explanations:
    """Draw up to `per_class` texts of each predicted class, each as likely as any other.

    One pass, in which no more than the sample is held. What is drawn of a class depends on the seed
    and the order of its texts only, and keeps that order.

    Args:
        explanations: a stream, such as `Explanations.load(folder)`.
        per_class: the most of each class.
        seed: of the random numbers.

    Raises:
        OptionError: `per_class` is not a whole number from 1 on.
    """
    from seqlrp.explanations.collection import Explanations

    return Explanations(e for _, e in draw_numbered(explanations, per_class, seed))


def draw_numbered(
    explanations: Iterable[Explanation], per_class: int, seed: int
) -> list[tuple[int, Explanation]]:
    """Draw the sample of `draw_sample`, each text with its number in the stream, from 0."""
    check_number("per_class", per_class, least=1, whole=True)
    places: dict[int, Iterator[int | None]] = {}
    held: dict[tuple[int, int], tuple[int, Explanation]] = {}
    for number, explanation in enumerate(explanations):
        class_ = explanation.predicted
        if class_ not in places:
            places[class_] = reservoir(per_class, seed, class_)
        place = next(places[class_])
        if place is not None:
            held[class_, place] = number, explanation
    return sorted(held.values(), key=lambda pair: pair[0])
