"""Reports that padding changes a model's scores: to a listener if there is one, or a warning."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar

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
