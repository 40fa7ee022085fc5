"""How many examples the default tests try: a part of what the profile `thorough` tries.

`pytest -m "slow or hypothesis" --hypothesis-profile=thorough` tries all, as the nox session `slow`
does, and continuous integration with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence
from typing import Any

import pytest
from hypothesis import settings

THOROUGH = 100  # examples of a property that says no number
PART = 4  # of which the default profile tries one
_LEAST = 2


def examples(number: int, **options: Any) -> settings:
    """Try a property on `number` examples in the profile `thorough`, otherwise on a quarter."""
    part = settings().max_examples / THOROUGH
    return settings(max_examples=max(_LEAST, round(part * number)), **options)


def all_pairs(names: str, *axes: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrise by the product of some axes, by default so that all pairs of values occur.

    The other members of the product are slow tests.
    """
    product = list(itertools.product(*(range(len(axis)) for axis in axes)))
    chosen = covering(product)
    members = []
    for member in product:
        values = [axis[k] for axis, k in zip(axes, member, strict=True)]
        name = "-".join(_name(value) for value in values)
        marks = () if member in chosen else pytest.mark.slow
        members.append(pytest.param(*values, id=name, marks=marks))
    return pytest.mark.parametrize(names.split(","), members)


def _name(value: Any) -> str:
    return str(getattr(value, "name", None) or getattr(value, "__name__", value))


def covering(members: Sequence[tuple[Hashable, ...]]) -> set[tuple[Hashable, ...]]:
    """Choose so many members that each pair of values occurs that occurs in any of them."""
    places = list(itertools.combinations(range(len(members[0])), 2))
    pairs = {m: {(i, j, m[i], m[j]) for i, j in places} for m in members}
    left = set().union(*pairs.values())
    chosen = set()
    while left:
        best = max(members, key=lambda member: len(left & pairs[member]))
        chosen.add(best)
        left -= pairs[best]
    return chosen
