"""Numbers as they are printed: four digits of the largest, shares as percentages."""

from __future__ import annotations

import math


def number_format(largest: float) -> str:
    """How to print numbers up to `largest`: sign, and the decimals that give four digits of it."""
    if largest == 0:
        return "+z.3f"
    decimals = decimals_for(largest)
    return f"+z.{max(decimals, 0)}f" if -3 <= decimals <= 8 else "+z.3e"


def decimals_for(largest: float) -> int:
    """The decimals that give four digits of `largest`; negative where it is 10,000 or more."""
    return 3 - math.floor(math.log10(largest)) if largest else 3


def percent(share: float) -> str:
    """A share of 1 as a whole number of hundredths; what is not quite all is never 100 %."""
    if 0 < share < 0.005:
        return "< 1\u00a0%"
    if 0.995 <= share < 1:
        return "> 99\u00a0%"
    return f"{100 * share:z.0f}\u00a0%"
