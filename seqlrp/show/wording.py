"""Words that agree with a number."""

from __future__ import annotations

from collections.abc import Sequence


def counted(number: int, noun: str, several: str = "") -> str:
    """A number with its noun: "1 text", "1,234 texts"."""
    return f"{number:,} {noun if number == 1 else several or noun + 's'}"


def agreeing(number: float, one: str = "is", several: str = "are") -> str:
    """The form of a word for one thing or for several."""
    return one if number == 1 else several


def join_names(names: Sequence[str]) -> str:
    """Join names as in a sentence: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
