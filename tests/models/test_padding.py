"""Documents of different lengths are padded where they end."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.models.padding import pad_sentences, pad_words

PAD = 9


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
