"""An encoded text: one id a token, and the same text without some of its words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.bag_of_words import foreign
from samples.classifiers import split_words

from seqlrp.errors import (
    IdsError,
)
from seqlrp.text.encoded import EncodedText


def encoded_one(text: str) -> EncodedText:
    return next(foreign().encode([text]))


@given(st.lists(st.sampled_from(["good", "bad", "plot.", "dull"]), min_size=1), st.data())
def test_without_deletes_positions(words: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.integers(0, len(words) - 1)))
    whole = encoded_one(" ".join(words))
    left = whole.without(gone)
    kept = [k for k in range(len(words)) if k not in gone]
    assert left.source.tokens == tuple(words[k] for k in kept)
    assert left.ids.tolist() == [whole.ids[k] for k in kept]
    assert left.source.sentences.tolist() == [whole.source.sentences[k] for k in kept]
    text = left.source.text
    assert [text[a:b] for a, b in left.source.offsets] == list(left.source.tokens)
    assert len(whole) == len(words)  # the first one is as it was


@pytest.mark.parametrize("position", [-1, 3])
def test_without_refuses_positions_outside(position: int) -> None:
    with pytest.raises(IdsError, match=f"Got the position {position}, expected 0 to 2"):
        encoded_one("a good film").without([0, position])


def test_one_id_a_token() -> None:
    with pytest.raises(IdsError, match="for 2 tokens, expected one id a token"):
        EncodedText(np.array([1, 2, 3]), split_words("a film"))
