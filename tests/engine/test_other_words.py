"""Other words differ everywhere, keep what frames texts, and show what a model asks for."""

from __future__ import annotations

import torch

from seqlrp.engine.other_words import Frame, frame_of, other_vectors, other_words

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 1, 1]])


def test_other_words_keep_padding_and_what_frames_texts() -> None:
    padding = torch.zeros_like(IDS, dtype=torch.bool)
    padding[1, 3] = True
    frame = frame_of(IDS, padding, {9}, {5})
    assert frame == Frame(frozenset({0, 5, 9}), ())
    other = other_words(IDS, padding, frame, [12, 50])
    assert other is not None
    assert other[0, 3] == 9
    assert other[1, 3] == IDS[1, 3]
    changed = ~padding & (IDS != 9)
    assert (other[changed] != IDS[changed]).all()
    assert other.max() < 12
    assert other_words(IDS, padding, Frame(frozenset(range(12)), ()), [12]) is None


def test_what_a_model_asks_for_is_shown_unless_it_frames_the_texts() -> None:
    padding = torch.zeros_like(IDS, dtype=torch.bool)
    frame = frame_of(IDS, padding, {0, 4, 7, 9}, set())
    assert frame == Frame(frozenset({0, 9}), (4, 7))  # 7 stands between words, 4 nowhere
    other = other_words(IDS, padding, frame, [12], frame.shown)
    assert other is not None
    assert {4, 7} <= set(other[0].tolist())
    assert {4, 7} <= set(other[1].tolist())


def test_words_that_are_alike_become_different_and_others_alike() -> None:
    ids = torch.tensor([[4, 4, 4, 4, 4, 4], [3, 7, 2, 9, 8, 6]])
    padding = torch.zeros_like(ids, dtype=torch.bool)
    other = other_words(ids, padding, Frame(frozenset({0}), ()), [12])
    assert other is not None
    assert len(set(other[0].tolist())) == 6
    assert len(set(other[1].tolist())) == 3
    assert (other != ids).all()


def test_other_vectors_keep_zeros() -> None:
    vectors = torch.randn(2, 3, 4)
    vectors[1, 2] = 0
    other = other_vectors(vectors)
    assert (other[1, 2] == 0).all()
    assert (other != vectors)[0].all()
