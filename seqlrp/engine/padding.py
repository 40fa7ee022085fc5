"""Finds that the length of the padding changes a model's scores, and reports that padding does.

The report goes to a listener if there is one; else it is a warning.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.nests import map_tensors, tensors_in
from seqlrp.engine.twins import not_twinned, random_state, same_random_state, twin
from seqlrp.errors import PaddingWarning

_LISTENER: ContextVar[Callable[[float], object] | None] = ContextVar("listener", default=None)


@contextlib.contextmanager
def padding_told_to(listener: Callable[[float], object] | None) -> Iterator[None]:
    """Within the block, `listener` gets the share of padding, and there is no warning.

    None keeps the current listener.
    """
    if listener is None:
        yield
        return
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def padding_length_counts(
    model: nn.Module, ids: Tensor, padding: Tensor, additional: Any, select: Callable[[Any], Tensor]
) -> bool:
    """Return whether a model has other scores with one more column of padding.

    So it is if a model masks its padding and then takes the mean over the padded length. Copies of
    the model run, see `twins`; False where they cannot, or do not take the longer batch.

    Args:
        model: the model.
        ids: ids `[B, T]`.
        padding: bool `[B, T]`, True on padding, which stands at one end.
        additional: what the model takes after its ids.
        select: returns the scores from what the model returns.
    """
    shapes = [tensor.shape for tensor in tensors_in((additional,))]
    if ids.ndim != 2 or ids.shape in shapes or not_twinned(model):
        return False
    left, right = (bool(padding[:, end].any()) for end in (0, -1))
    if left == right:
        return False
    column = ids[padding][:1].expand(len(ids), 1)
    longer = torch.cat([column, ids] if left else [ids, column], 1)
    arguments = additional if isinstance(additional, tuple) else (additional,)
    arguments = () if additional is None else arguments
    state = random_state()
    with contextlib.suppress(Exception), torch.no_grad():
        scores = []
        for given in (ids, longer):
            with same_random_state(state):
                output = twin(model)(given.clone(), *map_tensors(arguments, Tensor.clone))
            scores.append(select(output))
        size = scores[0].abs().max().clamp_min(1e-3)
        rounding = (100 * torch.finfo(scores[0].dtype).eps) ** 0.5
        return bool((scores[1] - scores[0]).abs().max() > rounding * size)
    return False


def tell_of_padding(share: float, *, stacklevel: int, by_length: bool = False) -> None:
    """Say that padding takes part in an answer.

    Args:
        share: its share of all absolute relevance.
        stacklevel: of the warning.
        by_length: whether what counts is how long the padding is.
    """
    listener = _LISTENER.get()
    if listener is not None:
        listener(share)
        return
    taken = f"takes {share:.1%} of all absolute relevance"
    why = (
        "its sequences are not packed, or a mask comes too late (a recurrence that reads backwards "
        "starts in the padding), so what it says may depend on how a batch is padded. The "
        "padding's share is an entry of its own in the ledger."
    )
    if not share:
        taken = "takes no relevance itself, its vectors being zero"
    if by_length:
        taken = "takes no relevance itself"
        why = (
            "with one more column of it the scores change (a mean over the padded length, say), so "
            "what the model says depends on how a batch is padded."
        )
    warnings.warn(
        f"Padding takes part in the model's answer and {taken}: {why} "
        f"Pad as the model was trained: if that was to a fixed length, "
        f"TextClassifier(…, pad_to=…, pad_side=…, truncate=…) does the same; if it read each text "
        f"without padding, pack the sequences (pack_padded_sequence) or explain documents one at a "
        f"time (batch_tokens=1).",
        PaddingWarning,
        stacklevel=stacklevel + 1,
    )
