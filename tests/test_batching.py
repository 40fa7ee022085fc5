"""Every document in one batch, within the budget, and padded where it ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.batching import batches_by_length, pad_sentences, pad_words
from seqlrp.errors import OptionError

PAD = 9


@given(st.lists(st.integers(0, 40)), st.integers(1, 100))
def test_batches_keep_every_document_within_the_budget(
    lengths: list[int], batch_tokens: int
) -> None:
    batches = batches_by_length(lengths, batch_tokens)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    longest_first = [max(1, lengths[index]) for batch in batches for index in batch]
    assert longest_first == sorted(longest_first, reverse=True)
    for batch in batches:
        assert batch
        assert len(batch) * max(1, *(lengths[i] for i in batch)) <= batch_tokens or len(batch) == 1


@given(st.lists(st.integers(0, 40), min_size=1), st.integers(40, 100))
def test_batches_are_as_large_as_the_budget_allows(lengths: list[int], batch_tokens: int) -> None:
    for batch in batches_by_length(lengths, batch_tokens)[:-1]:
        assert (len(batch) + 1) * max(1, lengths[batch[0]]) > batch_tokens


def test_batches_of_equal_lengths_keep_their_order() -> None:
    assert batches_by_length([3, 5, 3, 5, 3], 6) == [[1], [3], [0, 2], [4]]
    assert batches_by_length([], 6) == []


def test_batches_need_room_for_a_token() -> None:
    with pytest.raises(OptionError, match="batch_tokens must be 1 or more, got 0"):
        batches_by_length([1], 0)


@given(st.lists(st.lists(st.integers(0, 8), max_size=7), max_size=5))
def test_words_are_padded_on_the_right(documents: list[list[int]]) -> None:
    ids, words = pad_words([np.array(d, dtype=np.int64) for d in documents], PAD)
    assert ids.shape == words.shape == (len(documents), max(1, *map(len, documents), 0))
    for document, row, held in zip(documents, ids.tolist(), words.tolist(), strict=True):
        rest = len(row) - len(document)
        assert row == document + [PAD] * rest
        assert held == [True] * len(document) + [False] * rest


@given(st.lists(st.lists(st.lists(st.integers(0, 8), max_size=4), max_size=4), max_size=4))
def test_sentences_are_padded_at_the_end(documents: list[list[list[int]]]) -> None:
    flat = [np.array([i for s in d for i in s], dtype=np.int64) for d in documents]
    places = [np.array([n for n, s in enumerate(d) for _ in s], dtype=np.int32) for d in documents]
    ids, words = pad_sentences(flat, places, PAD)
    kept = [[sentence for sentence in d if sentence] for d in documents]
    width = max([1, *(len(sentence) for d in kept for sentence in d)])
    assert ids.shape == words.shape == (len(documents), max([1, *map(len, kept)]), width)
    for document, rows, held in zip(kept, ids.tolist(), words.tolist(), strict=True):
        for sentence, row, mask in zip(
            document + [[]] * (len(rows) - len(document)), rows, held, strict=True
        ):
            rest = width - len(sentence)
            assert row == sentence + [PAD] * rest
            assert mask == [True] * len(sentence) + [False] * rest
