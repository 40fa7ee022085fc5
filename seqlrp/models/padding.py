"""Pads the ids of documents of different lengths to one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Ints = npt.NDArray[np.integer]


def pad_words(
    documents: Sequence[Ints], padding: int, *, length: int = 1, left: bool = False
) -> tuple[Tensor, Tensor]:
    """Pad to the longest document: ids int64 `[B, T]`, words bool `[B, T]`, True where a word is.

    Args:
        documents: the ids of each document.
        padding: the id of padding.
        length: the least T.
        left: pad on the left.
    """
    lengths = np.array([len(ids) for ids in documents])
    words = np.arange(max(length, lengths.max(initial=0))) < lengths[:, None]
    return _fill(documents, words[:, ::-1] if left else words, padding)


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
    return torch.from_numpy(ids), torch.from_numpy(np.ascontiguousarray(words))
