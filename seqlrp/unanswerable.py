"""Texts of which nothing can be asked: refused by name, or left out, counted and told."""

from __future__ import annotations

import warnings
from typing import Literal, get_args

from seqlrp.errors import InputError, LeftOutWarning, OptionError, near

OnUnanswerable = Literal["raise", "skip"]

# Why a text is left out.
WORDLESS = "without a word"
SAME = "with one class on both sides of the target"

_SHOWN = 5  # numbers of texts in a warning


class Unanswerable:
    """What becomes of texts without a word, and of those with one class on both sides of a pair.

    Attributes:
        skip: whether they are left out, rather than an error.
        cure: what an error advises.

    Args:
        wanted: "raise" or "skip".
        offered: whether the caller could have said "skip".

    Raises:
        OptionError: neither "raise" nor "skip".
    """

    def __init__(self, wanted: OnUnanswerable = "raise", *, offered: bool = True) -> None:
        known = get_args(OnUnanswerable)
        if wanted not in known:
            raise OptionError(f"There is no on_unanswerable {wanted!r}. {near(str(wanted), known)}")
        self.skip = wanted == "skip"
        self.cure = "leave such texts out" + (" (on_unanswerable='skip')" if offered else "")
        self._met: dict[str, list[int]] = {}

    def meet(self, number: int, reason: str, error: InputError) -> None:
        """Leave text `number` out, or raise the error."""
        if not self.skip:
            raise error
        self.leave_out(number, reason)

    def leave_out(self, number: int, reason: str) -> None:
        """Note that text `number` is left out."""
        self._met.setdefault(reason, []).append(number)

    def warn(self, total: int) -> None:
        """Say once, when all `total` texts were seen, which were left out and why."""
        if not self._met:
            return
        found = []
        for reason, numbers in self._met.items():
            shown = ", ".join(map(str, sorted(numbers)[:_SHOWN]))
            more = ", …" if len(numbers) > _SHOWN else ""
            found.append(f"{len(numbers):,} {reason} (number {shown}{more})")
        left_out = sum(map(len, self._met.values()))
        warnings.warn(
            f"Left out {left_out:,} of {total:,} texts: {'; '.join(found)}. The id of an "
            "explanation says which text it is of.",
            LeftOutWarning,
            stacklevel=5,  # who called explain
        )
