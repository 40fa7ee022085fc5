"""From encoded documents to batches: which go together, and how they are padded."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlrp.errors import OptionError

Ints = npt.NDArray[np.integer]


def batches_by_length(lengths: Sequence[int] | Ints, batch_tokens: int) -> list[list[int]]:
    """Group documents of similar length, the longest first; give their indices.

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


def pad_words(documents: Sequence[Ints], padding: int) -> tuple[Tensor, Tensor]:
    """Pad ids on the right: ids int64 `[B, T]` and words bool `[B, T]`, True where a word is."""
    lengths = np.array([len(ids) for ids in documents])
    words = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    return _fill(documents, words, padding)


def pad_sentences(
    documents: Sequence[Ints], sentences: Sequence[Ints], padding: int
) -> tuple[Tensor, Tensor]:
    """Pad words on the right and sentences at the end: ids and words `[B, S, W]`.

    `sentences` holds for each document the index of each word's sentence, which never falls. A
    sentence without words takes no place.
    """
    lengths = [np.unique(places, return_counts=True)[1] for places in sentences]
    counts = np.zeros((len(documents), max([1, *map(len, lengths)])), dtype=np.int64)
    for row, values in zip(counts, lengths, strict=True):
        row[: len(values)] = values
    words = np.arange(max(1, counts.max(initial=0))) < counts[:, :, None]
    return _fill(documents, words, padding)


def _fill(
    documents: Sequence[Ints], words: npt.NDArray[np.bool_], padding: int
) -> tuple[Tensor, Tensor]:
    ids = np.full(words.shape, padding, dtype=np.int64)
    ids[words] = np.concatenate([*documents, np.zeros(0, dtype=np.int64)])
    return torch.from_numpy(ids), torch.from_numpy(words)
