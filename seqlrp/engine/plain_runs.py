"""Plain runs of copies of a model: what changes its scores beside the words of a text?

The copies are those of `twins.py`, and nothing watches them. What a model does that cannot be
copied, or that raises on the changed batch, cannot be told.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.batches import select_arguments
from seqlrp.engine.modules import is_quantized
from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.engine.twins import not_twinned, same_random_state, twin

Select = Callable[[Any], Tensor]
Run = tuple[Tensor, tuple[Any, ...]]  # a batch, and what the model takes after it
NARROW = frozenset((torch.bfloat16, torch.float16))
_MOST_ROWS = 6  # of a batch in which texts run beside others


class PlainRuns:
    """Runs copies of a model on changed batches.

    Args:
        model: the model.
        select: returns the scores from what the model returns.
    """

    def __init__(self, model: nn.Module, select: Select) -> None:
        self._model, self._select = model, select

    def length_counts(self, ids: Tensor, padding: Tensor, additional: Any) -> bool:
        """Return whether scores change with one more column of padding.

        So they do if a model masks its padding and then takes the mean over the padded length.

        Args:
            ids: ids `[B, T]`.
            padding: bool `[B, T]`, True on padding, which stands at one end.
            additional: what the model takes after its ids.
        """
        if ids.ndim != 2 or ids.shape in [t.shape for t in tensors_in((additional,))]:
            return False
        left, right = (bool(padding[:, end].any()) for end in (0, -1))
        if left == right:
            return False
        column = ids[padding][:1].expand(len(ids), 1)
        longer = torch.cat([column, ids] if left else [ids, column], 1)
        arguments = select_arguments(additional, ids, torch.arange(len(ids), device=ids.device))
        found = self._scores([(ids, arguments), (longer, arguments)])
        return found is not None and scores_differ(found[0], found[1])

    def others_count(self, inputs: Tensor, padding: Tensor, additional: Any) -> bool | None:
        """Return whether a text has other scores with other texts in its batch; None if unknown.

        A text runs beside its words in reverse order, its first or last word in place of all, and
        another text of the batch if there is one as long. Each has the scores that it has beside
        copies of itself, unless one changes those of another. (Reversed words alone would leave a
        mean or a maximum over the batch as it is.) All are as long as the longest text.

        Args:
            inputs: ids `[B, T]` or `[B, S, W]`, or vectors `[B, T, D]`.
            padding: bool `[B, T]` or `[B, S, W]`, True on padding.
            additional: what the model takes after its input.
        """
        if not inputs.dtype.is_floating_point:
            padding = padding | (inputs == 0)  # also where the model does not declare it
        absent = padding.flatten(1)
        longest = absent[absent.sum(1).argmin()]
        given = (absent == longest).all(1).nonzero().flatten()[:2]
        text, words = inputs[given[0]], ~padding[given[0]]
        own, made = text[words], []
        for other in (own.flip(0), own[:1], own[-1:]):
            made.append(text.clone())
            made[-1][words] = other
        if len(given) == 1 and all(torch.equal(other, text) for other in made):
            return None
        texts = torch.stack([text, *made, *inputs[given[1:]]])
        rows = torch.cat([given[:1].expand(1 + len(made)), given[1:]])

        def batch_of(order: Tensor) -> Run:
            return texts[order], select_arguments(additional, inputs, rows[order])

        # A model may keep something for each row, so batches are as large as the given one.
        size = min(len(inputs), _MOST_ROWS) if len(inputs) > 1 else _MOST_ROWS
        numbers = torch.arange(len(texts), device=inputs.device)
        for tried in (numbers, numbers[:2]):  # it may raise on texts of one word
            counts = self._beside_first(batch_of, tried, size)
            if counts is not None:
                return counts
        return False

    def _beside_first(
        self, batch_of: Callable[[Tensor], Run], texts: Tensor, size: int
    ) -> bool | None:
        """Return whether texts have other scores beside the first than beside copies of their own.

        Args:
            batch_of: returns a batch of texts by their numbers.
            texts: the numbers of the texts, 0, 1, …
            size: of the batches.

        Returns:
            None if the model raises.
        """
        alone, mixed = [number.expand(size) for number in texts], []
        for others in torch.split(texts[1:], size - 1):
            mixed.append(torch.zeros_like(alone[0]))
            mixed[-1][1 : 1 + len(others)] = others
        found = self._scores([batch_of(order) for order in (*alone, *mixed)])
        if found is None:
            return None
        beside_copies = torch.stack(found[: len(texts)])  # [texts, size, C]
        # Eight bits are scaled by the largest value of the batch: about as bfloat16.
        dtype = torch.bfloat16 if is_quantized(self._model) else None
        at = torch.arange(size, device=texts.device)
        return any(
            scores_differ(beside_copies[order, at], scores, dtype)
            for order, scores in zip(mixed, found[len(texts) :], strict=True)
        )

    def _scores(self, runs: list[Run]) -> list[Tensor] | None:
        """Return the scores of batches, each by a copy of the model in the same random state.

        None where the model cannot be copied, raises, or has not a score for each text.
        """
        if not_twinned(self._model):
            return None
        found = []
        with suppress(Exception), torch.no_grad():
            for inputs, arguments in runs:
                scores = self._select(plain_output(self._model, inputs, arguments))
                if len(scores) != len(inputs):
                    return None
                found.append(scores)
            return found
        return None


def plain_output(
    model: nn.Module, inputs: Tensor, arguments: tuple[Any, ...], state: Any = None
) -> Any:
    """Return what a copy of a model returns; it begins with a random state, by default as it is."""
    with same_random_state(state):
        return twin(model)(inputs.clone(), *map_tensors(arguments, Tensor.clone))


def scores_differ(one: Tensor, other: Tensor, dtype: torch.dtype | None = None) -> bool:
    """Return whether scores differ by more than rounding in `dtype`, by default their own."""
    size = one.abs().max().clamp_min(1e-3)
    return bool((other - one).abs().max() > rounding(dtype or one.dtype) * size)


def rounding(dtype: torch.dtype) -> float:
    """Return by what share of the largest value a score may be off by rounding.

    The rounding errors of a hundred operations may add up, and where large terms cancel they count
    for more: hence the square root. For dtypes of two or three digits that would allow anything;
    they get eight units of rounding.
    """
    eps = float(torch.finfo(dtype).eps)
    return 8 * eps if dtype in NARROW else (100 * eps) ** 0.5
