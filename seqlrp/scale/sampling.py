"""A sample of a stream, drawn in one pass: as many of each class, whatever the stream's length."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from seqlrp.errors import check_number
from seqlrp.explanations.collection import Explanations
from seqlrp.explanations.record import Explanation


def draw_sample(
    explanations: Iterable[Explanation], per_class: int = 1000, seed: int = 0
) -> Explanations:
    """Draw up to `per_class` texts of each predicted class, each as likely as any other.

    One pass, in which no more than the sample is held: reservoir sampling, algorithm R (Vitter
    1985). What is drawn depends on the seed and the order of the stream only, and keeps that order.

    Args:
        explanations: a stream, such as `Explanations.load(folder)`.
        per_class: the most of each class.
        seed: of the random numbers.

    Raises:
        OptionError: `per_class` is not a whole number from 1 on.
    """
    check_number("per_class", per_class, least=1, whole=True)
    random = np.random.default_rng(seed)
    held: dict[int, list[tuple[int, Explanation]]] = {}
    seen: dict[int, int] = {}
    for number, explanation in enumerate(explanations):
        kind = explanation.predicted
        seen[kind] = seen.get(kind, 0) + 1
        members = held.setdefault(kind, [])
        if len(members) < per_class:
            members.append((number, explanation))
        elif (place := int(random.integers(seen[kind]))) < per_class:
            members[place] = number, explanation
    drawn = sorted((pair for members in held.values() for pair in members), key=lambda p: p[0])
    return Explanations(explanation for _, explanation in drawn)
