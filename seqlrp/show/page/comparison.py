"""One text explained twice: each explanation finds its counterpart by its text."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from seqlrp.errors import OptionError
from seqlrp.explanations.record import Explanation
from seqlrp.show.page.options import PageOptions

Compare = Mapping[str, Sequence[Explanation]] | Sequence[Explanation] | str | None


def named_side(
    compare: Compare, options: PageOptions
) -> tuple[Sequence[Explanation] | str | None, PageOptions]:
    """Take the name out of `{"name": explanations}`, and put it into the options of the page.

    Raises:
        OptionError: there are more than one, or the name is no string.
    """
    if not isinstance(compare, Mapping):
        return compare, options
    if len(compare) != 1 or not all(isinstance(name, str) for name in compare):
        raise OptionError(
            option="compare", got=list(compare), expected="one name: {'name': explanations}"
        )
    ((name, explanations),) = compare.items()
    return explanations, replace(options, sides=options.sides or (None, name))


def iter_rows(
    explanations: Iterable[Explanation], compare: Sequence[Explanation] | str | None
) -> Iterator[tuple[Explanation, ...]]:
    """Each explanation, with its counterpart where there is one.

    Args:
        explanations: what is shown first.
        compare: others of the same texts; a text that is there twice meets the second at the
            second time. Or the name of a class, for explanations of every class.

    Raises:
        OptionError: no text has a counterpart, or `compare` holds something else.
        TargetError: no such class, or the explanations are not for every class.
    """
    if compare is None:
        yield from ((e,) for e in explanations)
        return
    if isinstance(compare, str):
        yield from ((e, e.for_target(compare)) for e in explanations)
        return
    if not isinstance(compare, Iterable):
        raise OptionError(
            option="compare",
            got=compare,
            expected="explanations of the same texts, {'name': explanations}, or a class",
        )
    waiting: dict[str, deque[Explanation]] = defaultdict(deque)
    for other in compare:
        if not isinstance(other, Explanation):
            raise OptionError(
                f"compare must hold explanations of the same texts, got {other!r:.60}.",
                option="compare",
                got=other,
            )
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
