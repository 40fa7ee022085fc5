"""Groups documents into batches, and finds how large a batch may be."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlrp.errors import OptionError

Ints = npt.NDArray[np.integer]
BatchTokens = int | Literal["auto"]
Found = TypeVar("Found")

# Where "auto" starts and ends, in tokens. A CPU is at its best as long as a batch stays in its
# caches; CUDA wants many documents at a time.
_RANGES = {"cpu": (4096, 32_768), "cuda": (65_536, 1_048_576)}
# How much cheaper a token must become for a larger batch to be worth its memory.
_WORTH = 1.1


class Budget:
    """The most tokens in a batch, padding included; `"auto"` finds them while batches run.

    `"auto"` begins with what suits the device, doubles as long as that raises tokens per second by
    a tenth, and is halved, and no longer raised, when memory runs out.

    Args:
        batch_tokens: a number, which stays, or `"auto"`.
        device: where the model is.
        halves: whether a number halves too when memory runs out.

    Raises:
        OptionError: `batch_tokens` is neither `"auto"` nor a whole number from 1 on.
    """

    def __init__(
        self, batch_tokens: BatchTokens, device: torch.device, *, halves: bool = False
    ) -> None:
        automatic = batch_tokens == "auto"
        wrong = isinstance(batch_tokens, bool) or not isinstance(batch_tokens, int | np.integer)
        if not automatic and (wrong or int(batch_tokens) < 1):
            raise OptionError(
                f"Got batch_tokens {batch_tokens!r}; expected at least 1, a whole number, or "
                f"'auto'."
            )
        start, self._most = _RANGES.get(device.type, _RANGES["cpu"])
        self.tokens = start if automatic else int(batch_tokens)
        self.halves = halves or automatic
        self._grows = automatic
        self._rate = 0.0

    def record_batch(self, tokens: int, seconds: float) -> None:
        """Adapt to a batch of `tokens` tokens that ran for `seconds` seconds."""
        if not self._grows or 2 * tokens < self.tokens:
            return  # a half-empty batch does not show how fast a full one runs
        rate = tokens / max(seconds, 1e-9)
        if rate < _WORTH * self._rate:
            self._grows = False
            self.tokens //= 2  # the size before was as good
        else:
            self._rate = rate
            self.tokens = min(2 * self.tokens, self._most)
            self._grows = self.tokens < self._most

    def shrink(self, tokens: int) -> None:
        """Lower the budget after memory ran out in a batch of `tokens` tokens."""
        self._grows = False
        self.tokens = max(1, min(self.tokens, tokens) // 2)


def in_batches(
    lengths: Sequence[int] | Ints,
    budget: Budget,
    run: Callable[[list[int]], Found],
    *,
    up_to_failure: bool = False,
) -> Iterator[tuple[list[int], Found]]:
    """Run documents of similar length together, longest first; yield their indices and results.

    A batch of B documents, the longest of T tokens, has `B · T <= budget.tokens` or B = 1. Results
    come one batch late, so that they can be copied from the device while the next batch runs.
    Where memory runs out and the budget may halve, the documents of the batch run again in smaller
    batches; each document finishes exactly once.

    Args:
        lengths: the number of tokens of each document.
        budget: the most tokens in a batch.
        run: a function of the indices of a batch.
        up_to_failure: where a batch fails, first run everything that comes before its documents.

    Raises:
        Exception: what `run` raised for the first document that failed.
    """
    # A document without tokens still takes a row of one padding.
    sizes = np.maximum(np.asarray(lengths, dtype=np.int64), 1)
    todo: list[int] = np.argsort(-sizes, kind="stable").tolist()
    failure: Exception | None = None
    waiting: tuple[list[int], Found] | None = None
    begun = 0
    while begun < len(todo):
        longest = int(sizes[todo[begun]])
        batch = todo[begun : begun + max(1, budget.tokens // longest)]
        started = time.perf_counter()
        try:
            found = run(batch)
        except Exception as error:
            if ran_out_of_memory(error):
                traceback.clear_frames(
                    error.__traceback__
                )  # its frames hold the tensors that filled the memory
                if budget.halves and len(batch) > 1:
                    budget.shrink(len(batch) * longest)
                    continue
                error.add_note(_advice(batch, longest, budget))
            if not up_to_failure:
                raise
            failure = error
            todo = [k for k in todo[begun + len(batch) :] if k < min(batch)]
            begun = 0
            continue
        budget.record_batch(len(batch) * longest, time.perf_counter() - started)
        begun += len(batch)
        if waiting is not None:
            yield waiting
        waiting = batch, found
        del found
    if waiting is not None:
        yield waiting
    if failure is not None:
        raise failure


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device, or the CPU, has run out of memory."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    signs = ("DefaultCPUAllocator", "not enough memory", "_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)


def _advice(batch: list[int], longest: int, budget: Budget) -> str:
    held = f"Memory ran out in a batch of {len(batch)} documents of up to {longest} tokens"
    if budget.halves:
        return f"{held}, which cannot be made smaller; cut the longest documents."
    return f"{held}; pass a smaller batch_tokens, or batch_tokens='auto'."


def batches_by_length(lengths: Sequence[int] | Ints, batch_tokens: int) -> list[list[int]]:
    """Group documents of similar length, longest first; return the indices of each batch.

    A batch of B documents, the longest of T tokens, has `B · T <= batch_tokens` or B = 1. Each
    document is in one batch; those of one length keep their order.

    Raises:
        OptionError: `batch_tokens` is below 1.
    """
    if batch_tokens < 1:
        raise OptionError(f"batch_tokens must be 1 or more, got {batch_tokens}.")
    # A document without tokens still takes a row of one padding.
    sizes = np.maximum(np.asarray(lengths, dtype=np.int64), 1)
    order = np.argsort(-sizes, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        end = start + max(1, batch_tokens // int(sizes[order[start]]))
        batches.append(order[start:end].tolist())
        start = end
    return batches


def select_arguments(additional: Any, inputs: Tensor, rows: Tensor) -> tuple[Any, ...]:
    """Return the model's further arguments; select `rows` of tensors with a row per document."""
    arguments = additional if isinstance(additional, tuple) else (additional,)
    return tuple(
        a[rows] if isinstance(a, Tensor) and a.shape[:1] == inputs.shape[:1] else a
        for a in (() if additional is None else arguments)
    )
