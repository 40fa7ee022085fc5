"""The modules against a reading of the text word by word, in NumPy; padding never counts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from seqlrp.errors import IdsError, OptionError
from seqlrp.models.networks import HierarchicalClassifier, RecurrentClassifier, RecurrentEncoder

Array = npt.NDArray[np.float64]

KINDS = list(itertools.product(("lstm", "gru"), ("last", "mean", "max", "attention")))


def made(kind: type[RecurrentClassifier], **options: Any) -> RecurrentClassifier:
    torch.manual_seed(3)
    model = kind(12, 3, embedding=5, hidden=4, **options).double().eval()
    for parameter in model.parameters():  # far from linear, so that a wrong gate shows
        parameter.data.mul_(3.0)
    model.embedding.weight.data.mul_(20.0)
    return model


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def read_words(recurrence: nn.RNNBase, vectors: Array) -> tuple[Array, Array]:
    """All states [T, H · directions] of the last layer, and the final state of its directions."""
    weights = {name: value.detach().numpy() for name, value in recurrence.named_parameters()}
    finals = []
    for layer in range(recurrence.num_layers):
        read, finals = [], []
        for suffix in ("", "_reverse")[: 2 if recurrence.bidirectional else 1]:
            wi, wh, bi, bh = (
                weights[f"{name}_l{layer}{suffix}"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            h = c = np.zeros(recurrence.hidden_size)
            states = []
            for x in vectors[::-1] if suffix else vectors:
                if isinstance(recurrence, nn.LSTM):
                    i, f, g, o = np.split(wi @ x + bi + wh @ h + bh, 4)
                    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
                    h = sigmoid(o) * np.tanh(c)
                else:
                    (ri, zi, ni), (rh, zh, nh) = np.split(wi @ x + bi, 3), np.split(wh @ h + bh, 3)
                    z = sigmoid(zi + zh)
                    h = (1 - z) * np.tanh(ni + sigmoid(ri + rh) * nh) + z * h
                states.append(h)
            read.append(np.array(states[::-1] if suffix else states))
            finals.append(h)
        vectors = np.concatenate(read, axis=1)
    return vectors, np.concatenate(finals)


def encoded(encoder: RecurrentEncoder, vectors: Array) -> Array:
    states, final = read_words(encoder.recurrence, vectors)
    if encoder.pooling == "last":
        return final
    if encoder.pooling == "mean":
        return states.mean(axis=0)
    if encoder.pooling == "max":
        return states.max(axis=0)
    weight, bias, context = (
        value.detach().numpy()
        for value in (
            encoder.projection.weight,
            encoder.projection.bias,
            encoder.attention.weight[0],
        )
    )
    energies = np.array([context @ np.tanh(weight @ state + bias) for state in states])
    shares = np.exp(energies) / np.exp(energies).sum()
    return shares @ states


def close(found: Tensor, expected: Array) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("cell", "pooling"), KINDS)
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, True), (1, False), (2, True)])
def test_recurrent_reads_word_by_word(
    cell: str, pooling: str, layers: int, bidirectional: bool
) -> None:
    model = made(
        RecurrentClassifier,
        cell=cell,
        pooling=pooling,
        layers=layers,
        bidirectional=bidirectional,
        head_bias=True,
    )
    documents = [[3, 4, 5, 6, 3], [7], [8, 1, 2]]
    ids = torch.tensor([d + [0] * (6 - len(d)) for d in documents])
    table, head = model.embedding.weight.detach().numpy(), model.head.weight.detach().numpy()
    expected = [
        head @ encoded(model.encoder, table[d]) + model.head.bias.detach().numpy()
        for d in documents
    ]
    close(model(ids), np.array(expected))


@pytest.mark.parametrize(("cell", "pooling"), KINDS)
def test_hierarchical_reads_sentence_by_sentence(cell: str, pooling: str) -> None:
    model = made(HierarchicalClassifier, cell=cell, pooling=pooling)
    assert isinstance(model, HierarchicalClassifier)
    documents = [[[3, 4, 5], [6, 3], [2]], [[7]], [[8, 1, 2, 9], [10]]]
    ids = torch.zeros(3, 4, 5, dtype=torch.int64)
    for b, document in enumerate(documents):
        for s, sentence in enumerate(document):
            ids[b, s, : len(sentence)] = torch.tensor(sentence)
    table, head = model.embedding.weight.detach().numpy(), model.head.weight.detach().numpy()
    expected = []
    for document in documents:
        read = np.array([encoded(model.encoder, table[sentence]) for sentence in document])
        expected.append(head @ encoded(model.sentences, read))
    close(model(ids), np.array(expected))


@pytest.mark.parametrize("kind", [RecurrentClassifier, HierarchicalClassifier])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
def test_padding_inside_is_a_word_and_nothing_but_padding_is_one_word(
    kind: type[RecurrentClassifier], pooling: str
) -> None:
    model = made(kind, pooling=pooling)
    shape = (1, 1, -1) if kind is HierarchicalClassifier else (1, -1)
    with_gap, shorter = (torch.tensor(ids).view(shape) for ids in ([3, 0, 4], [3, 4]))
    assert not torch.allclose(model(with_gap), model(shorter))
    empty, wider = (torch.zeros(n, dtype=torch.int64).view(shape) for n in (1, 4))
    assert model(empty).isfinite().all()
    torch.testing.assert_close(model(empty), model(wider))


def test_a_document_without_words_is_alone_in_that() -> None:
    model = made(HierarchicalClassifier)
    ids = torch.zeros(2, 2, 3, dtype=torch.int64)
    ids[1] = torch.tensor([[3, 4, 5], [6, 0, 0]])
    torch.testing.assert_close(model(ids)[1:], model(ids[1:]))
    torch.testing.assert_close(model(ids)[:1], model(ids[:1, :1, :1]))


def test_another_padding_id() -> None:
    model = made(RecurrentClassifier, padding_idx=11)
    other = made(RecurrentClassifier)
    other.load_state_dict(model.state_dict())
    other.embedding.weight.data[11] = 7.0
    torch.testing.assert_close(
        model(torch.tensor([[3, 4, 11, 11]])), other(torch.tensor([[3, 4, 0, 0]]))
    )
    assert (model.embedding.weight[11] == 0).all()


def test_padding_is_zero_and_stays_it() -> None:
    model = RecurrentClassifier(12, 2, embedding=5, hidden=4)
    assert (model.embedding.weight[0] == 0).all()
    model(torch.tensor([[3, 4, 0, 0]])).sum().backward()
    gradient = model.embedding.weight.grad
    assert gradient is not None
    assert (gradient[0] == 0).all()
    assert (gradient[3] != 0).any()


def test_dropout_only_in_training() -> None:
    model = made(RecurrentClassifier, dropout=0.5)
    ids = torch.tensor([[3, 4, 5]])
    assert torch.equal(model(ids), model(ids))
    model.train()
    assert not torch.equal(model(ids), model(ids))


def test_no_head_bias_unless_asked_for() -> None:
    assert made(RecurrentClassifier).head.bias is None
    assert made(RecurrentClassifier, head_bias=True).head.bias is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "lsmt"}, r"Got cell='lsmt'\. Did you mean 'lstm'"),
        ({"pooling": "sum"}, "Got pooling='sum'"),
        ({"hidden": 0}, "hidden=0; expected a whole number, at least 1"),
        ({"embedding": 2.5}, r"embedding=2\.5; expected a whole number, at least 1"),
        ({"layers": True}, "layers=True; expected a whole number"),
        ({"dropout": 1.0}, r"dropout=1\.0; expected a finite number, at least 0, below 1"),
        ({"dropout": float("nan")}, "dropout=nan; expected a finite number"),
        ({"padding_idx": 12}, "padding_idx=12; expected a whole number, at least 0, below 12"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    for kind in (RecurrentClassifier, HierarchicalClassifier):
        with pytest.raises(OptionError, match=message):
            kind(12, 2, **options)


def test_shapes_of_ids() -> None:
    with pytest.raises(IdsError, match=r"shape \[B, T\], got \[3\]"):
        made(RecurrentClassifier)(torch.tensor([1, 2, 3]))
    with pytest.raises(IdsError, match=r"shape \[B, S, W\], got \[1, 3\]"):
        made(HierarchicalClassifier)(torch.tensor([[1, 2, 3]]))
