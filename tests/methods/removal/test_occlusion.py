"""Occlusion: each number against a pass of its own, for any removal, layout, batch and target."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts
from samples.examples import examples
from torch import nn

import seqlrp
from seqlrp.errors import IdsError, NonFiniteError, OptionError
from seqlrp.methods import Occlusion

UNKNOWN = 1


def some_ids(lengths: list[int], width: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(len(lengths))
    ids = torch.zeros(len(lengths), max([*lengths, width]), dtype=torch.int64)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = torch.randint(2, 12, (length,), generator=drawn)
    return ids


def by_hand(model: nn.Module, ids: torch.Tensor, removal: str) -> torch.Tensor:
    """`[B, C, T]`, one document without one word at a time, the embedding zeroed by a hook."""
    relevance = torch.zeros(len(ids), 3, ids.shape[1], dtype=torch.float64)
    for b, row in enumerate(ids):
        document = row[row != 0].unsqueeze(0)
        for t in range(document.shape[1]):
            left, hook = document.clone(), None
            if removal == "delete":
                left = torch.cat([document[:, :t], document[:, t + 1 :]], 1)
            elif removal == "unk":
                left[0, t] = UNKNOWN
            else:
                mask = torch.ones(1, document.shape[1], 1, dtype=torch.float64)
                mask[0, t] = 0
                hook = model.embedding.register_forward_hook(lambda m, i, o, mask=mask: o * mask)
            with torch.no_grad():
                without = model(left)[0]
            if hook is not None:
                hook.remove()
            with torch.no_grad():
                relevance[b, :, t] = model(document)[0] - without
    return relevance


@pytest.mark.parametrize("removal", ["zero", "delete", "unk"])
@pytest.mark.parametrize(("cell", "pooling"), [("lstm", "attention"), ("gru", "max")])
@examples(8)
@given(
    lengths=st.lists(st.integers(2, 9), min_size=1, max_size=4),
    batch_tokens=st.integers(1, 60),
    width=st.integers(0, 12),
)
def test_each_word_has_a_pass_of_its_own(
    removal: str, cell: str, pooling: str, lengths: list[int], batch_tokens: int, width: int
) -> None:
    model = small_classifier(labels=("a", "b", "c"), cell=cell, pooling=pooling).model.double()
    ids = some_ids(lengths, width)
    unknown = UNKNOWN if removal == "unk" else None
    method = Occlusion(model, removal, unknown=unknown, batch_tokens=batch_tokens)
    expected = by_hand(model, ids, removal)
    found = method.attribution(ids, "all")
    torch.testing.assert_close(found.relevance, expected, rtol=0, atol=1e-12)
    assert (found.relevance.transpose(1, 2)[ids == 0] == 0).all()
    one = method.attribute(ids, torch.full((len(ids),), 2))
    torch.testing.assert_close(one, expected[:, 2], rtol=0, atol=1e-12)
    pair = method.attribute(ids, (2, 0))
    torch.testing.assert_close(pair, expected[:, 2] - expected[:, 0], rtol=0, atol=1e-12)
    assert expected.abs().max() > 1e-4


@pytest.mark.parametrize("removal", ["zero", "delete", "unk"])
@pytest.mark.parametrize("ngram", [2, 3, 5])
def test_windows_one_by_one(removal: str, ngram: int) -> None:
    model = small_classifier().model.double()
    lengths = [7, 6, 9] if removal == "delete" else [7, 1, 4, 9]
    ids = some_ids(lengths, 11)
    unknown = UNKNOWN if removal == "unk" else None
    found = Occlusion(model, removal, ngram=ngram, unknown=unknown).attribute(ids, "all")
    for b, length in enumerate(lengths):
        falls: list[list[torch.Tensor]] = [[] for _ in range(length)]
        for first in range(max(length - ngram, 0) + 1):
            window = range(first, min(first + ngram, length))
            fall = fall_without(model, ids[b : b + 1, :length], window, removal)
            for t in window:
                falls[t].append(fall)
        expected = torch.stack([sum(f) / len(f) for f in falls], 1)
        torch.testing.assert_close(found[b, :, :length], expected, rtol=0, atol=1e-12)
        assert (found[b, :, length:] == 0).all()
    assert Occlusion(model, ngram=ngram).parameters == {"removal": "zero", "ngram": ngram}


def fall_without(model: nn.Module, text: torch.Tensor, window: range, removal: str) -> torch.Tensor:
    left, hook = text.clone(), None
    if removal == "delete":
        left = torch.cat([text[:, : window.start], text[:, window.stop :]], 1)
    elif removal == "unk":
        left[0, list(window)] = UNKNOWN
    else:
        mask = torch.ones(1, text.shape[1], 1, dtype=torch.float64)
        mask[0, list(window)] = 0
        hook = model.embedding.register_forward_hook(lambda m, i, o: o * mask)
    with torch.no_grad():
        without = model(left)[0]
    if hook is not None:
        hook.remove()
    with torch.no_grad():
        return model(text)[0] - without


def test_windows_run_on_from_sentence_to_sentence() -> None:
    model = small_classifier(hierarchical=True).model.double()
    ids = torch.tensor([[[3, 4, 0], [5, 0, 0], [6, 7, 8]]])
    found = Occlusion(model, ngram=2).attribute(ids, 1)
    places = (ids[0] != 0).nonzero().tolist()
    falls = []
    for pair in pairwise(places):
        mask = torch.ones(3, 3, 1, dtype=torch.float64)
        for s, w in pair:
            mask[s, w] = 0
        hook = model.embedding.register_forward_hook(lambda m, i, o, mask=mask: o * mask)
        with torch.no_grad():
            without = model(ids)[0, 1]
        hook.remove()
        with torch.no_grad():
            falls.append(model(ids)[0, 1] - without)
    expected = [falls[0], *((a + b) / 2 for a, b in pairwise(falls)), falls[-1]]
    torch.testing.assert_close(found[ids != 0], torch.stack(expected), rtol=0, atol=1e-12)
    assert (found[ids == 0] == 0).all()


class Reader(nn.Module):
    """Reads vectors `[B, T, D]`, or their first `lengths`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.lstm = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 2)

    def forward(self, vectors: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        states, _ = self.lstm(vectors)
        if lengths is None:
            return self.head(states[:, -1])
        return self.head(states[torch.arange(len(states)), lengths - 1])


@pytest.mark.parametrize("removal", ["zero", "delete"])
def test_vectors(removal: str) -> None:
    model = Reader().double().eval()
    vectors = torch.randn(3, 6, 4, dtype=torch.float64)
    found = Occlusion(model, removal, batch_tokens=11).attribute(vectors, 1)
    for t in range(6):
        left = vectors.clone()
        left[:, t] = 0
        if removal == "delete":
            left = torch.cat([vectors[:, :t], vectors[:, t + 1 :]], 1)
        expected = (model(vectors) - model(left))[:, 1].detach()
        torch.testing.assert_close(found[:, t], expected, rtol=0, atol=1e-13)


def test_captum_agrees() -> None:
    attr = pytest.importorskip("captum.attr")
    model, vectors = Reader().double().eval(), torch.randn(2, 6, 4, dtype=torch.float64)
    mask = torch.arange(6).view(1, 6, 1).expand(1, 6, 4).contiguous()
    theirs = attr.FeatureAblation(model).attribute(vectors, target=1, feature_mask=mask)
    found = Occlusion(model).attribute(vectors, 1)
    torch.testing.assert_close(found, theirs[..., 0], rtol=0, atol=1e-6, check_dtype=False)
    assert found.abs().max() > 1e-3


def test_what_belongs_to_a_document_goes_along_with_it() -> None:
    model = Reader().double().eval()
    vectors, lengths = torch.randn(4, 5, 4, dtype=torch.float64), torch.tensor([5, 1, 3, 2])
    padding = torch.arange(5) >= lengths.unsqueeze(1)
    method = Occlusion(model, batch_tokens=15)
    found = method.attribute(vectors, 0, lengths, padding=padding)
    assert (found[padding] == 0).all()
    for b in range(4):
        alone = method.attribute(vectors[b : b + 1, : lengths[b]], 0)
        torch.testing.assert_close(found[b, : lengths[b]], alone[0], rtol=0, atol=1e-13)
    with pytest.raises(OptionError, match="no additional_forward_args"):
        Occlusion(model, "delete").attribute(vectors, 0, lengths)


def test_a_vector_that_is_no_word_of_the_text_stays() -> None:
    class Begun(nn.Module):
        """Puts a vector of its own before the words."""

        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embedding, self.head = nn.Embedding(12, 4), nn.Linear(4, 2)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            begin = torch.full_like(ids[:, :1], 3)
            return self.head(self.embedding(torch.cat([begin, ids], 1)).sum(1))

    model = Begun().double().eval()
    ids = some_ids([4, 4])
    found = Occlusion(model).attribute(ids, 0)  # of a sum, what each word adds to it
    expected = model.embedding(ids) @ model.head.weight[0]
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("hierarchical", [False, True])
def test_texts_are_explained_the_same_in_any_batch(hierarchical: bool) -> None:
    classifier = small_classifier(hierarchical=hierarchical)
    texts = some_texts(12)
    alone = [seqlrp.explain(classifier, [text], "occlusion", "all")[0] for text in texts]
    for options in ({"batch_tokens": 50}, {"batch_tokens": "auto"}):
        together = seqlrp.explain(classifier, texts, Occlusion(classifier.model), "all", **options)
        for one, other in zip(alone, together, strict=True):
            assert abs(one.relevance - other.relevance).max() < 1e-5
            assert other.parameters == {"removal": "zero"}


def test_the_model_is_as_it_was_and_memory_that_runs_out_halves_the_batch() -> None:
    class Small(Reader):
        calls: list[int]

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            self.calls.append(len(vectors))
            if len(vectors) > 3:
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            return super().forward(vectors)

    model = Small().double().eval()
    model.calls = []
    vectors = torch.randn(1, 10, 4, dtype=torch.float64)
    found = Occlusion(model).attribute(vectors, 0)
    assert model.calls == [1, 10, 5, 2, 2, 2, 2, 2]
    model.__class__ = Reader
    torch.testing.assert_close(found, Occlusion(model).attribute(vectors, 0), rtol=0, atol=1e-13)
    assert not any(p.grad is not None for p in model.parameters())


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="Did you mean 'zero'"):
        Occlusion(model, "zeros")
    with pytest.raises(OptionError, match="unknown word goes with removal='unk'"):
        Occlusion(model, "unk")
    with pytest.raises(OptionError, match="unknown word goes with removal='unk'"):
        Occlusion(model, unknown=1)
    with pytest.raises(OptionError, match="ngram=0"):
        Occlusion(model, ngram=0)
    with pytest.raises(IdsError, match="Row 0 holds 3 words, without which nothing is left"):
        Occlusion(model, "delete", ngram=3).attribute(some_ids([3, 4]), 0)
    with pytest.raises(OptionError, match="batch_tokens 0"):
        Occlusion(model, batch_tokens=0)
    with pytest.raises(IdsError, match="Row 1 holds a single word"):
        Occlusion(model, "delete").attribute(some_ids([3, 1]), 0)
    with pytest.raises(OptionError, match="no unknown word"):
        Occlusion(Reader().eval(), "unk", unknown=1).attribute(torch.randn(1, 3, 4), 0)
    sentences = small_classifier(hierarchical=True).model
    with pytest.raises(OptionError, match=r"needs ids \[B, T\]"):
        Occlusion(sentences, "delete").attribute(some_ids([3, 2]).unsqueeze(1), 0)

    class Normed(Reader):
        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return super().forward(vectors / vectors.norm(dim=-1, keepdim=True))

    with pytest.raises(NonFiniteError, match="when a word is left out"):
        Occlusion(Normed().eval()).attribute(torch.randn(1, 3, 4), 0)
