"""Finds the text at which a shard fails, by halving what may hold it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

CONFIRMED = 2  # how often a single text must fail, so that an accident is not blamed on it

Search = Generator[Sequence[int], str | None, tuple[int, str] | None]


def halve(numbers: Sequence[int]) -> Search:
    """Yield trials of ever fewer texts; send why each failed, or None where it did not.

    Returns:
        The text that fails by itself, and why; None where no trial of one text failed.
    """
    if not numbers:
        return None
    while len(numbers) > 1:
        half = numbers[: len(numbers) // 2]
        reason = yield half
        numbers = numbers[len(numbers) // 2 :] if reason is None else half
    for _ in range(CONFIRMED):
        reason = yield numbers
        if reason is None:
            return None
    return numbers[0], str(reason)


def find_failing(
    numbers: Sequence[int], trial: Callable[[Sequence[int]], str | None]
) -> tuple[int, str] | None:
    """Find the text that fails by itself; `trial` says why some texts fail, if they do."""
    search = halve(numbers)
    try:
        asked = next(search)
        while True:
            asked = search.send(trial(asked))
    except StopIteration as end:
        found: tuple[int, str] | None = end.value
        return found
