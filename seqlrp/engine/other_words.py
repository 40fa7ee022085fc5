"""Other words for second runs: chosen so that what depends on the words changes.

A model may ask whether a word stands in a text, how often, or whether words are alike. So every
word is replaced; words that are all different become alike in pairs, and others become all
different; and ids that the model compares words with are put between the words.

Of a question with two answers (is any id above 10? does the first word come before the last?) one
set of other words often has the answer of the text. So there are three sets of words, and of
vectors. No threshold, no range, and no word of the text has the same answer for the lowest ids
alone and for the highest alone; these two sets differ also in which end is the larger, and in
whether their sum is even.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ids = npt.NDArray[np.int64]
Shown = tuple[int, ...]
_TRIES = 8  # of places in the shuffled vocabulary, or in the text, until no word stays in place


class Frame(NamedTuple):
    """Which ids stay as they are in a second run, and which are shown in it.

    Attributes:
        fixed: ids that frame the texts, as padding, or their beginning and end.
        shown: ids that the model asks for, and that are words or stand in no text.
    """

    fixed: frozenset[int]
    shown: tuple[int, ...]


def frame_of(ids: Tensor, padding: Tensor, asked: set[int], padding_ids: set[int]) -> Frame:
    """Return which of the ids that a model asks for frame the texts, and which are words.

    An id frames the texts if it stands at their ends only. 0, and what embeddings declare as the
    padding, does so unless it stands between words.

    Args:
        ids: the ids of a batch.
        padding: bool, shaped as the ids.
        asked: ids that the model compares words with.
        padding_ids: the `padding_idx` of its embeddings.
    """
    asked = asked | padding_ids | {0}
    framing = padding | torch.isin(ids, torch.tensor(sorted(asked)).to(ids))
    words = (~framing).int()
    between = (words.cumsum(-1) > 0) & (words.flip(-1).cumsum(-1).flip(-1) > 0)
    inside = set(ids[framing & between & ~padding].tolist())
    there = asked & set(ids.reshape(-1).tolist())
    fixed = frozenset((there | padding_ids | {0}) - inside)
    return Frame(fixed, tuple(sorted(asked - fixed)))


def other_words(
    ids: Tensor, padding: Tensor, frame: Frame, sizes: list[int], portions: Iterable[Shown] = ()
) -> Iterator[Tensor]:
    """Yield other ids for a batch, of the same lengths; nothing if there are no other words.

    They are words drawn by chance, the most frequent ones, the rarest ones (as vocabularies are
    often sorted by frequency), and for each of `portions` words with these among them.

    Args:
        ids: the ids.
        padding: bool, shaped as the ids; they stay where it is True.
        frame: the ids that stay.
        sizes: the sizes of the tables that the model looks ids up in.
        portions: ids that are put in every second place, for each further set of words.
    """
    top = int(ids.max()) + 1
    limit = min([size for size in sizes if size >= top], default=top)
    fixed = np.array(sorted(frame.fixed), dtype=np.int64)
    free = np.setdiff1d(np.arange(limit), fixed)
    if len(free) < 2:
        return
    order = np.random.default_rng(0).permutation(free)
    old = ids.cpu().long().numpy()
    words = ~padding.cpu().numpy() & (old >= 0) & (old < limit) & ~np.isin(old, fixed)

    def replaced(other: Callable[[Ids, int], Ids]) -> Tensor:
        new, start = old.copy(), 0
        texts = (array.reshape(len(ids) if ids.ndim > 1 else 1, -1) for array in (new, words))
        for row, change in zip(*texts, strict=True):
            row[change] = other(row[change], start)
            start += int(change.sum())
        return torch.from_numpy(new).to(ids)

    def showing(shown: Shown) -> Tensor:
        there = [word for word in shown if 0 <= word < limit]

        def other(text: Ids, start: int) -> Ids:
            new = _other_text(text, order, start)
            if there:
                new[::2] = np.resize(np.roll(there, -start), len(new[::2]))
            return new

        return replaced(other)

    if not words.any():
        return
    yield showing(())
    yield replaced(lambda text, _: _frequent_text(len(text), free))
    yield replaced(lambda text, _: _rare_text(len(text), free))
    yield from map(showing, portions)


def own_words(ids: Tensor, padding: Tensor, frame: Frame) -> Tensor | None:
    """Return the words of a batch in other places of it; None if they are all the same.

    Args:
        ids: the ids.
        padding: bool, shaped as the ids; they stay where it is True.
        frame: the ids that stay.
    """
    free = ~padding & ~torch.isin(ids, torch.tensor(sorted(frame.fixed)).to(ids))
    words = ids[free]
    shifts = (words.roll(shift) for shift in range(1, min(len(words), _TRIES)))
    moved = max(shifts, key=lambda new: int((new != words).sum()), default=words)
    if torch.equal(moved, words):
        return None
    new = ids.clone()
    new[free] = moved
    return new


def _other_text(old: Ids, order: Ids, start: int) -> Ids:
    """Return other words for a text, different at each place; alike in pairs if they were not."""
    count = len(old)
    steps = np.arange(count)
    if count > 1 and len(np.unique(old)) == count:
        steps //= 2
    for first in range(start, start + _TRIES):
        new: Ids = order[(first + steps) % len(order)]
        if not (new == old).any():
            return new
    same = new == old
    places = {int(word): place for place, word in enumerate(order)}
    new[same] = [order[(places[int(word)] + 1) % len(order)] for word in old[same]]
    return new


def _frequent_text(count: int, free: Ids) -> Ids:
    """Return a text of the lowest id and, after that, the second lowest alone."""
    new = np.full(count, free[1])
    new[:1] = free[0]
    return new


def _rare_text(count: int, free: Ids) -> Ids:
    """Return a text of the highest id and, in the end, a lower one, which makes the sum odd or not.

    It is odd where that of the frequent text is even.
    """
    new = np.full(count, free[-1])
    frequent = _frequent_text(count, free).sum()
    for last in free[:-1][-2:]:
        new[-1:] = last
        if (new.sum() - frequent) % 2:
            break
    return new


def other_vectors(vectors: Tensor) -> Iterator[Tensor]:
    """Yield other vectors for a batch, 0 where these are: alike, large and small negatives."""
    generator = torch.Generator().manual_seed(0)
    factors = torch.rand(vectors.shape, generator=generator) + 0.5
    yield vectors * factors.to(vectors)
    yield vectors * -8
    yield vectors / -8
