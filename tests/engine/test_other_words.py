"""Other words differ everywhere, keep what frames texts, and show what a model asks for."""

from __future__ import annotations

import pytest
import torch

from seqlrp.engine.other_words import Frame, frame_of, other_vectors, other_words

IDS = torch.tensor([[3, 7, 2, 9], [8, 6, 1, 1]])


def test_other_words_keep_padding_and_what_frames_texts() -> None:
    padding = torch.zeros_like(IDS, dtype=torch.bool)
    padding[1, 3] = True
    frame = frame_of(IDS, padding, {9}, {5})
    assert frame == Frame(frozenset({0, 5, 9}), ())
    others = list(other_words(IDS, padding, frame, [12, 50]))
    assert len(others) == 3
    changed = ~padding & (IDS != 9)
    assert (others[0][changed] != IDS[changed]).all()
    for other in others:
        assert torch.equal(other[~changed], IDS[~changed])
        assert other.max() < 12
        assert not torch.isin(other[changed], torch.tensor([0, 5, 9])).any()
    assert not list(other_words(IDS, padding, Frame(frozenset(range(12)), ()), [12]))
    assert not list(other_words(IDS, ~padding | padding, frame, [12]))


@pytest.mark.parametrize("length", range(2, 6))
@pytest.mark.parametrize("size", [10, 11])
def test_two_sets_of_other_words_are_opposites(size: int, length: int) -> None:
    ids = torch.tensor([[3, 7, 2, 9, 5], [8, 6, 1, 2, 4]])[:, :length]
    padding = torch.zeros_like(ids, dtype=torch.bool)
    _, frequent, rare = other_words(ids, padding, Frame(frozenset({0}), ()), [size])
    assert (frequent <= 2).all()
    assert (rare >= size - 3).all()
    assert (frequent[:, 0] < frequent[:, -1]).all()
    assert (rare[:, 0] > rare[:, -1]).all()
    assert ((frequent + rare).sum(1) % 2 == 1).all()


def test_what_a_model_asks_for_is_shown_unless_it_frames_the_texts() -> None:
    padding = torch.zeros_like(IDS, dtype=torch.bool)
    frame = frame_of(IDS, padding, {0, 4, 7, 9}, set())
    assert frame == Frame(frozenset({0, 9}), (4, 7))  # 7 stands between words, 4 nowhere
    *_, other = other_words(IDS, padding, frame, [12], [frame.shown])
    assert {4, 7} <= set(other[0].tolist())
    assert {4, 7} <= set(other[1].tolist())


def test_words_that_are_alike_become_different_and_others_alike() -> None:
    ids = torch.tensor([[4, 4, 4, 4, 4, 4], [3, 7, 2, 9, 8, 6]])
    padding = torch.zeros_like(ids, dtype=torch.bool)
    other = next(other_words(ids, padding, Frame(frozenset({0}), ()), [12]))
    assert len(set(other[0].tolist())) == 6
    assert len(set(other[1].tolist())) == 3
    assert (other != ids).all()


def test_other_vectors_keep_zeros() -> None:
    vectors = torch.randn(2, 3, 4)
    vectors[1, 2] = 0
    for other in other_vectors(vectors):
        assert (other[1, 2] == 0).all()
        assert (other != vectors)[0].all()
