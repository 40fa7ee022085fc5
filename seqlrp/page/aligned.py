"""One text explained twice: each explanation finds its counterpart by its text."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

from seqlrp.errors import OptionError
from seqlrp.explanation import Explanation


def aligned(
    explanations: Iterable[Explanation], compare: Sequence[Explanation] | str | None
) -> Iterator[tuple[Explanation, ...]]:
    """Each explanation, with its counterpart where there is one.

    Args:
        explanations: what is shown first.
        compare: others of the same texts; a text that is there twice meets the second at the
            second time. Or the name of a class, for explanations of every class.

    Raises:
        OptionError: no text has a counterpart.
        TargetError: no such class, or the explanations are not for every class.
    """
    if compare is None:
        yield from ((e,) for e in explanations)
        return
    if isinstance(compare, str):
        yield from ((e, e.for_target(compare)) for e in explanations)
        return
    waiting: dict[str, deque[Explanation]] = defaultdict(deque)
    for other in compare:
        waiting[other.text].append(other)
    shown = met = 0
    for e in explanations:
        others = waiting.get(e.text)
        shown, met = shown + 1, met + bool(others)
        yield (e, others.popleft()) if others else (e,)
    if shown and not met:
        raise OptionError(
            f"None of the {shown:,} texts is among the {len(compare):,} in compare; give "
            "explanations of the same texts."
        )
