"""The training loop: what a schedule asks for is what happens."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.errors import NonFiniteError, OptionError
from seqlrp.models.networks import HierarchicalClassifier, RecurrentClassifier
from seqlrp.models.optimisation import Documents, Schedule, _moving_average, _shuffled, optimise

FAST = Schedule(epochs=6, patience=6, batch_size=8, learning_rate=0.03)


def documents(count: int = 64, seed: int = 0, layout: Any = "words") -> Documents:
    """The class is which of the ids 2 and 3 is there."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    ids = []
    for label in labels:
        words = random.integers(4, 12, random.integers(2, 9))
        words[random.integers(len(words))] = 2 + label
        ids.append(words)
    sentences = [np.zeros(len(i), dtype=np.int32) for i in ids]
    return Documents(ids, sentences, labels, layout)


def fresh(kind: type[RecurrentClassifier] = RecurrentClassifier, **options: Any) -> Any:
    torch.manual_seed(0)
    return kind(12, 2, embedding=8, hidden=8, **{"dropout": 0.0, **options})


@pytest.mark.parametrize("kind", [RecurrentClassifier, HierarchicalClassifier])
def test_it_learns(kind: type[RecurrentClassifier]) -> None:
    model = fresh(kind)
    texts, held = (documents(n, seed=k, layout=kind.layout) for k, n in enumerate((64, 32)))
    epochs, best = optimise(model, texts, held, FAST)
    accuracy = epochs[best - 1].validation_accuracy
    assert accuracy is not None
    assert accuracy > 0.9
    assert epochs[-1].loss < epochs[0].loss
    assert not model.training
    assert (model.embedding.weight[0] == 0).all()


def test_the_best_epoch_is_kept() -> None:
    held = documents(32, seed=1)
    wrong = replace(held, labels=1 - held.labels)  # the more is learnt, the higher the loss
    model, once = fresh(), fresh()
    epochs, best = optimise(model, documents(), wrong, replace(FAST, patience=2))
    losses = [epoch.validation_loss for epoch in epochs]
    assert losses[best - 1] == min(loss for loss in losses if loss is not None)
    assert len(epochs) == best + 2 < 6
    optimise(once, documents(), None, replace(FAST, epochs=best))
    for kept, last in zip(model.parameters(), once.parameters(), strict=True):
        assert torch.equal(kept, last)


def test_without_held_out_texts_the_last_epoch_is_kept() -> None:
    epochs, best = optimise(fresh(), documents(), None, FAST)
    assert best == len(epochs) == 6
    assert {epoch.validation_loss for epoch in epochs} == {None}


def test_validation_loss_and_accuracy_are_those_of_the_kept_weights() -> None:
    model, held = fresh(), documents(32, seed=1)
    epochs, best = optimise(model, documents(), held, replace(FAST, epochs=1))
    with torch.no_grad():
        scores = torch.cat([model(torch.from_numpy(ids)[None]) for ids in held.ids])
    labels = torch.from_numpy(held.labels)
    chosen = scores.log_softmax(dim=1).gather(1, labels[:, None])
    assert epochs[best - 1].validation_loss == pytest.approx(-chosen.mean().item(), rel=1e-5)
    assert epochs[best - 1].validation_accuracy == (scores.argmax(dim=1) == labels).double().mean()


def test_a_loss_that_is_not_finite_stops_the_training() -> None:
    model = fresh()
    model.head.weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"The loss became nan in epoch 1; use a smaller"):
        optimise(model, documents(), None, FAST)


def test_class_weights() -> None:
    labels = np.array([0, 0, 0, 1, 3])
    assert Schedule().loss_weights(labels, 4) is None
    balanced = Schedule(class_weights="balanced").loss_weights(labels, 4)
    assert balanced is not None
    counts = np.bincount(labels, minlength=4)
    np.testing.assert_allclose((balanced.numpy() * counts), [5 / 3, 5 / 3, 0, 5 / 3], rtol=1e-6)
    given_ = Schedule(class_weights=(1.0, 2.0)).loss_weights(labels, 2)
    assert given_ is not None
    assert given_.tolist() == [1.0, 2.0]
    with pytest.raises(OptionError, match="expected one number for each of the 4 classes"):
        Schedule(class_weights=(1.0, 2.0)).loss_weights(labels, 4)


def test_class_weights_move_the_scores() -> None:
    def mean_margin(weights: tuple[float, float]) -> float:
        model = fresh(head_bias=True)
        optimise(model, documents(), None, replace(FAST, epochs=1, class_weights=weights))
        with torch.no_grad():
            scores = torch.cat([model(torch.from_numpy(ids)[None]) for ids in documents().ids])
        return (scores[:, 1] - scores[:, 0]).mean().item()

    assert mean_margin((1.0, 50.0)) > mean_margin((50.0, 1.0)) + 0.1


@given(st.lists(st.integers(1, 30), min_size=1), st.integers(1, 30), st.integers(0, 9))
def test_windows(lengths: list[int], longest: int, seed: int) -> None:
    ids = [np.arange(n) for n in lengths]
    whole = Documents(ids, [i.astype(np.int32) for i in ids], np.zeros(len(ids), dtype=np.int64))
    cut = whole.windows(longest, np.random.default_rng(seed))
    for n, window, sentences in zip(lengths, cut.ids, cut.sentences, strict=True):
        assert len(window) == min(n, longest)
        assert (np.diff(window) == 1).all()
        assert window.tolist() == sentences.tolist()
    assert whole.windows(None, np.random.default_rng(seed)) is whole


def test_windows_reach_both_ends() -> None:
    ids = [np.arange(5)]
    whole = Documents(ids, [np.zeros(5, dtype=np.int32)], np.zeros(1, dtype=np.int64))
    random = np.random.default_rng(0)
    assert {int(whole.windows(3, random).ids[0][0]) for _ in range(50)} == {0, 1, 2}


@given(st.integers(1, 200), st.integers(1, 20), st.integers(0, 9))
def test_batches_are_shuffled_and_complete(count: int, batch_size: int, seed: int) -> None:
    batches = list(_shuffled(documents(count), batch_size, np.random.default_rng(seed)))
    assert sorted(i for batch in batches for i in batch) == list(range(count))
    assert max(map(len, batches)) <= batch_size


def test_the_average_follows_the_weights() -> None:
    model = fresh()
    average = _moving_average(model, 0.9)
    weight = model.head.weight
    expected = weight.detach().clone().numpy().astype(np.float64)
    for step in range(1, 200):
        weight.data.add_(0.1)
        average.update_parameters(model)
        decay = min(0.9, step / (step + 9))
        expected = decay * expected + (1 - decay) * weight.detach().numpy()
    mean = average.module.head.weight.detach()
    np.testing.assert_allclose(mean.numpy(), expected, rtol=1e-4)
    assert (weight - mean > 0.5).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "Got epochs=0; expected a whole number, at least 1"),
        ({"batch_size": 2.0}, r"Got batch_size=2\.0; expected a whole number, at least 1"),
        ({"patience": True}, "Got patience=True; expected a whole number"),
        ({"max_length": 0}, "Got max_length=0; expected a whole number"),
        ({"learning_rate": 0.0}, r"learning_rate=0\.0; expected a finite number, above 0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan; expected a finite number, above 0"),
        ({"clip": -1.0}, r"clip=-1\.0; expected a finite number, above 0"),
        ({"weight_decay": -0.1}, r"weight_decay=-0\.1; expected a finite number, at least 0"),
        (
            {"word_dropout": 1.0},
            r"word_dropout=1\.0; expected .*at least 0, below 1",
        ),
        ({"averaging": -0.1}, r"averaging=-0\.1; expected a finite number, at least 0, below 1"),
        ({"class_weights": "blanced"}, "Got class_weights='blanced'. Did you mean 'balanced'"),
        (
            {"class_weights": (1.0, 0.0)},
            r"class_weights=0\.0; expected a finite number, above 0",
        ),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Schedule(**options)
