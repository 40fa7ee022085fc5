"""Texts that cannot be explained: an error that names the text, or one warning that counts them."""

from __future__ import annotations

import sys
import warnings
from typing import Literal, get_args

from seqlrp.errors import InputError, LeftOutWarning, check_choice

OnUnanswerable = Literal["raise", "skip"]

# Why a text is left out.
NO_WORD = "without a word"
TOO_LONG = "with too many words"
SAME_CLASS = "with one class on both sides of the target"

MAX_WORDS = 200_000  # a longer text is more often a mistake than a book; see `explain`
_SHOWN = 5  # numbers of texts in a warning


class SkippedTexts:
    """Texts that are left out: no word, too many words, or one class on both sides of a pair.

    Attributes:
        allowed: whether such texts are left out; otherwise they are errors.
        advice: what an error says to do about them.

    Args:
        on_unanswerable: "raise" or "skip"; None for "raise" where the caller has no such option.

    Raises:
        OptionError: neither "raise" nor "skip".
    """

    def __init__(self, on_unanswerable: OnUnanswerable | None = None) -> None:
        self.advice = "Leave such texts out."
        if on_unanswerable is not None:
            check_choice("on_unanswerable", on_unanswerable, get_args(OnUnanswerable))
            self.advice = "Leave such texts out (on_unanswerable='skip')."
        self.allowed = on_unanswerable == "skip"
        self._numbers: dict[str, list[int]] = {}

    def add(self, number: int, reason: str) -> None:
        """Note that text `number` is left out."""
        self._numbers.setdefault(reason, []).append(number)

    def add_or_raise(self, number: int, reason: str, error: InputError) -> None:
        """Note that text `number` is left out, or raise the error where none may be."""
        if not self.allowed:
            raise error
        self.add(number, reason)

    @property
    def reasons(self) -> dict[int, str]:
        """Why each text that is left out is, by its number."""
        return {n: reason for reason, numbers in self._numbers.items() for n in numbers}

    def warn(self, total: int) -> None:
        """Warn once, after all `total` texts, of those that were left out, and why."""
        if not self._numbers:
            return
        found = []
        for reason, numbers in self._numbers.items():
            shown = ", ".join(map(str, sorted(numbers)[:_SHOWN]))
            more = ", …" if len(numbers) > _SHOWN else ""
            found.append(f"{len(numbers):,} {reason} (number {shown}{more})")
        count = sum(map(len, self._numbers.values()))
        warnings.warn(
            f"Left out {count:,} of {total:,} texts: {'; '.join(found)}. The id of an "
            "explanation says which text it is of.",
            LeftOutWarning,
            stacklevel=caller_level(),
        )


def caller_level() -> int:
    """The `stacklevel` with which a function of this package warns at the line that called it.

    That is the first line outside the package: a stream of explanations warns where it is used up,
    which may be in `seqlrp.explain` or in the user's own loop.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == "seqlrp":
        if frame.f_back is None:
            break
        level, frame = level + 1, frame.f_back
    return level
