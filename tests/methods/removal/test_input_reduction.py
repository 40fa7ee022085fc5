"""Input reduction: word by word, each step asked of the model by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import WORDS, small_classifier, split_words
from samples.examples import examples
from torch import nn

import seqlrp
from seqlrp.errors import IdsError, NonFiniteError, OptionError
from seqlrp.methods import InputReduction

CLASSES = ("a", "b", "c")


def some_ids(lengths: list[int], width: int = 0) -> torch.Tensor:
    drawn = torch.Generator().manual_seed(len(lengths))
    ids = torch.zeros(len(lengths), max([*lengths, width]), dtype=torch.int64)
    for row, length in zip(ids, lengths, strict=True):
        # Each word once: without either of two equal neighbours a text is the same.
        row[:length] = torch.randperm(10, generator=drawn)[:length] + 2
    return ids


def left_of(model: nn.Module, ids: torch.Tensor, kept: list[int], removal: str):
    """Vectors `[1, n, D]` of one document of which the words `kept` are left, and their places."""
    vectors = model.embedding(ids).detach()
    if removal == "delete":
        return vectors[:, kept], kept
    gone = torch.ones(ids.shape[1], dtype=torch.bool)
    gone[kept] = False
    other = model.embedding(torch.ones_like(ids)).detach() if removal == "unk" else 0 * vectors
    return torch.where(gone.view(1, -1, 1), other, vectors), list(range(ids.shape[1]))


def scored(model: nn.Module, vectors: torch.Tensor) -> torch.Tensor:
    return model.head(model.encoder(vectors, torch.tensor([vectors.shape[1]])))[0]


def by_hand(
    model: nn.Module, ids: torch.Tensor, target: int, removal: str, ranking: str
) -> list[float]:
    """The values of one document, one pass after the other."""
    kept = list(range(ids.shape[1]))
    prediction = int(scored(model, model.embedding(ids)).argmax())
    gone: list[int] = []
    while True:
        vectors, places = left_of(model, ids, kept, removal)
        if ranking == "occlusion":
            with torch.no_grad():
                whole = scored(model, vectors)[target]
                importance = {}
                for word in kept if len(kept) > 1 else []:
                    rest = [k for k in kept if k != word]
                    fewer, _ = left_of(model, ids, rest, removal)
                    importance[word] = float(whole - scored(model, fewer)[target])
                importance = importance or {kept[0]: 0.0}
        else:
            vectors = vectors.requires_grad_()
            (gradient,) = torch.autograd.grad(scored(model, vectors)[target], vectors)
            products = (gradient * vectors.detach()).sum(-1)[0]
            importance = {word: float(products[places.index(word)]) for word in kept}
        order = sorted(kept, key=lambda word: importance[word])
        if len(kept) > 1:
            rest = [k for k in kept if k != order[0]]
            vectors, _ = left_of(model, ids, rest, removal)
            with torch.no_grad():
                if int(scored(model, vectors).argmax()) == prediction:
                    gone.append(order[0])
                    kept = rest
                    continue
        values = [0.0] * ids.shape[1]
        for k, word in enumerate(gone + order):
            values[word] = (k + 1 - len(gone)) / ids.shape[1]
        return values


@pytest.mark.parametrize("ranking", ["gradient_x_input", "occlusion"])
@pytest.mark.parametrize("removal", ["zero", "delete", "unk"])
@examples(4)
@given(
    lengths=st.lists(st.integers(1, 7), min_size=1, max_size=3),
    target=st.integers(0, 2),
    extra=st.integers(0, 3),
    batch_tokens=st.integers(1, 80),
)
def test_step_by_step(
    removal: str, ranking: str, lengths: list[int], target: int, extra: int, batch_tokens: int
) -> None:
    model = small_classifier(labels=CLASSES).model.double()
    ids = some_ids(lengths, max(lengths) + extra)
    unknown = 1 if removal == "unk" else None
    method = InputReduction(model, ranking, removal, unknown=unknown, batch_tokens=batch_tokens)
    found = method.attribution(ids, "all").relevance
    for b, length in enumerate(lengths):
        expected = by_hand(model, ids[b : b + 1, :length], target, removal, ranking)
        np.testing.assert_allclose(found[b, target, :length].numpy(), expected, atol=1e-15)
        assert (found[b, :, length:] == 0).all()
    predicted = method.attribution(ids)
    rows = torch.arange(len(ids))
    assert torch.equal(predicted.relevance, found[rows, predicted.target])


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("ranking", ["gradient_x_input", "occlusion"])
@pytest.mark.parametrize("removal", [pytest.param("zero", marks=pytest.mark.slow), "delete"])
def test_equal_words_have_an_order_of_their_own(removal: str, ranking: str, double: bool) -> None:
    """Of two equal neighbours the first goes first, however a batch rounds them."""
    model = small_classifier().model
    model = model.double() if double else model
    drawn = torch.Generator().manual_seed(3)
    ids = torch.zeros(5, 9, dtype=torch.int64)
    for row, length in zip(ids, (8, 7, 8, 5, 4), strict=True):
        row[:length] = torch.randint(2, 4, (length,), generator=drawn)
    whole = InputReduction(model, ranking, removal).attribute(ids, "all")
    for batch_tokens in (1, 12, 25, 60):
        method = InputReduction(model, ranking, removal, batch_tokens=batch_tokens)
        assert torch.equal(method.attribute(ids, "all"), whole)
    for row, found in zip(ids, whole, strict=True):
        length = int((row != 0).sum())
        alone = InputReduction(model, ranking, removal).attribute(row[None, :length], "all")[0]
        assert torch.equal(alone, found[:, :length])
        if removal == "delete" and ranking == "occlusion":
            pairs = [k for k in range(length - 1) if row[k] == row[k + 1]]
            assert all((found[:, k] < found[:, k + 1]).all() for k in pairs)


def test_what_is_left_keeps_the_prediction_and_one_word_fewer_does_not() -> None:
    model = small_classifier(labels=CLASSES).model.double()
    ids = some_ids([9, 7, 8, 9, 5])
    found = InputReduction(model).attribution(ids)
    reduced = []
    for b, row in enumerate(found.relevance):
        kept = (row > 0).nonzero().squeeze(1).tolist()
        length = int((ids[b] != 0).sum())
        assert sorted((row[:length] * length).round().int().tolist()) == list(
            range(len(kept) - length + 1, len(kept) + 1)
        )
        vectors, _ = left_of(model, ids[b : b + 1, :length], kept, "zero")
        assert int(scored(model, vectors).argmax()) == int(found.target[b])
        if len(kept) > 1:
            least = int(row.masked_fill(row <= 0, 2).argmin())
            rest = [k for k in kept if k != least]
            vectors, _ = left_of(model, ids[b : b + 1, :length], rest, "zero")
            assert int(scored(model, vectors).argmax()) != int(found.target[b])
        reduced.append(len(kept) / length)
    assert min(reduced) < 0.5


def test_a_single_output_is_reduced_on_its_side() -> None:
    one = small_classifier(classes=1, labels=("negative", "positive"))
    two = small_classifier(classes=1, labels=("negative", "positive"))
    texts = ["good bad film plot", "not very dull and", "a a bright story but", "bad bad film"]
    scores = [e.scores[1] for e in seqlrp.explain(one, texts)]
    assert min(scores) > 0  # and so those of the other are below 0
    two.model.head.weight.data.neg_()  # the same network with the labels exchanged
    for target, other in (("positive", "negative"), ("negative", "positive")):
        found = seqlrp.explain(one, texts, InputReduction(one.model), target)
        mirrored = seqlrp.explain(two, texts, InputReduction(two.model), other)
        for mine, theirs in zip(found, mirrored, strict=True):
            assert np.array_equal(mine.relevance, theirs.relevance)
    for classifier in (one, two):
        for found in seqlrp.explain(classifier, texts, InputReduction(classifier.model)):
            assert found.relevance.max() > 0  # of the predicted class
            assert abs(found.relevance).max() <= 1


def test_texts_and_sentences() -> None:
    classifier = small_classifier(hierarchical=True)
    text = "good film. bad plot but bright story."
    (found,) = seqlrp.explain(classifier, [text], "input_reduction", ranking="occlusion")
    assert found.parameters == {"ranking": "occlusion", "removal": "zero"}
    kept = [token for token, value in zip(found.tokens, found.relevance, strict=True) if value > 0]
    assert 0 < len(kept) < len(split_words(text).tokens)
    assert len(WORDS) > 7


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="Did you mean 'occlusion'"):
        InputReduction(model, "occlude")
    with pytest.raises(IdsError, match="nothing but padding"):
        InputReduction(model).attribute(torch.tensor([[2, 3], [0, 0]]), 0)

    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, vectors: torch.Tensor) -> torch.Tensor:
            return self.head((vectors / vectors.norm(dim=-1, keepdim=True)).sum(1))

    with pytest.raises(NonFiniteError, match="when words are left out"):
        InputReduction(Normed().eval()).attribute(torch.randn(1, 3, 4), 0)
