"""The training loop: encoded documents in, the best weights found out."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from seqlrp.batching import batches_by_length, pad_sentences, pad_words
from seqlrp.classifiers import RecurrentClassifier
from seqlrp.errors import NonFiniteError, OptionError
from seqlrp.text.vocabulary import Vocabulary

# Batches that are sorted by length together: more waste less padding, fewer mix better.
_POOLED = 50
_SCORED_TOKENS = 16_384


@dataclass(frozen=True)
class Schedule:
    """How weights are learnt: AdamW on shuffled batches of texts of similar length.

    Attributes:
        epochs: the most passes over the texts.
        patience: epochs without a lower validation loss after which training stops.
        batch_size: texts in a batch.
        max_length: of a longer text, each epoch reads so many words from a random place.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        word_dropout: the share of words that each epoch reads as unknown.
        label_smoothing: the share of a label that goes to all classes alike.
        averaging: the decay of the moving average of the weights, which is what is kept; 0: none.
        clip: the largest norm of a gradient.
        class_weights: of the classes in the loss; "balanced" gives all classes the same say.
        seed: of the first weights, the order, the dropout. On one CPU and number of threads, a seed
            gives the same weights bit for bit.

    Raises:
        OptionError: a value is out of its range.
    """

    epochs: int = 10
    patience: int = 2
    batch_size: int = 64
    max_length: int | None = None
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    word_dropout: float = 0.2
    label_smoothing: float = 0.1
    averaging: float = 0.99
    clip: float = 1.0
    class_weights: Sequence[float] | Literal["balanced"] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "patience", "batch_size", "max_length"):
            value = getattr(self, name)
            if value is None and name == "max_length":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{name} must be a whole number from 1 on, got {value!r}.")
        for name in ("word_dropout", "label_smoothing", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} must be in [0, 1), got {getattr(self, name)!r}.")
        for name in ("learning_rate", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise OptionError(f"{name} must be above 0, got {getattr(self, name)!r}.")
        if not 0 <= self.weight_decay < math.inf:
            raise OptionError(f"weight_decay must be 0 or more, got {self.weight_decay!r}.")
        weights = self.class_weights
        if isinstance(weights, str) or weights is None:
            if weights not in (None, "balanced"):
                raise OptionError(
                    f"class_weights must be 'balanced' or one number a class, got {weights!r}."
                )
        elif not all(0 < weight < math.inf for weight in weights):
            raise OptionError(f"class_weights must all be above 0, got {weights!r}.")

    def loss_weights(self, labels: npt.NDArray[np.int64], classes: int) -> Tensor | None:
        """The weight of each class in the loss, `[C]`, or None where all are alike."""
        if self.class_weights is None:
            return None
        if isinstance(self.class_weights, str):
            counts = np.bincount(labels, minlength=classes)
            present = np.count_nonzero(counts)
            weights = len(labels) / (present * np.maximum(counts, 1))
        else:
            weights = np.asarray(self.class_weights)
            if len(weights) != classes:
                raise OptionError(
                    f"class_weights has {len(weights)} numbers, expected one for each of the "
                    f"{classes} classes."
                )
        return torch.as_tensor(weights, dtype=torch.float32)


@dataclass(frozen=True)
class Epoch:
    """One pass over the texts: mean losses in nats, accuracy as a share, and the time it took."""

    loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Documents:
    """Encoded documents: for each its ids int64 `[T]`, its sentences int32 `[T]` and its label."""

    ids: Sequence[npt.NDArray[np.int64]]
    sentences: Sequence[npt.NDArray[np.int32]]
    labels: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)

    def windows(self, longest: int | None, random: np.random.Generator) -> Documents:
        """The documents with those longer than `longest` cut to a window placed at random."""
        if longest is None:
            return self
        starts = [random.integers(0, max(1, len(ids) - longest + 1)) for ids in self.ids]
        return Documents(
            [ids[start : start + longest] for ids, start in zip(self.ids, starts, strict=True)],
            [
                all_[start : start + longest]
                for all_, start in zip(self.sentences, starts, strict=True)
            ],
            self.labels,
        )

    def batch(self, chosen: Sequence[int], layout: str) -> tuple[Tensor, Tensor, Tensor]:
        """The ids, words and labels of the documents chosen."""
        ids = [self.ids[index] for index in chosen]
        if layout == "words":
            padded = pad_words(ids, Vocabulary.PAD)
        else:
            padded = pad_sentences(ids, [self.sentences[i] for i in chosen], Vocabulary.PAD)
        return *padded, torch.from_numpy(self.labels[chosen])


def optimise(
    model: RecurrentClassifier,
    documents: Documents,
    held_out: Documents | None,
    schedule: Schedule,
    *,
    progress: bool | None = None,
) -> tuple[tuple[Epoch, ...], int]:
    """Train a model where it is; leave it in evaluation mode with the best weights.

    The best are those with the lowest loss on `held_out`, or the last ones without it.

    Returns:
        what happened in each epoch, and which was the best, counted from 1.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
    """
    device = model.embedding.weight.device
    random = np.random.default_rng(schedule.seed)
    weights = schedule.loss_weights(documents.labels, model.arguments["classes"])
    weights = None if weights is None else weights.to(device)
    optimiser = torch.optim.AdamW(
        model.parameters(),
        lr=schedule.learning_rate,
        weight_decay=schedule.weight_decay,
        fused=True,
    )
    average = _Average(model, schedule.averaging)
    epochs: list[Epoch] = []
    best, lowest = 0, math.inf
    kept: list[Tensor] = []
    bar = tqdm(
        total=schedule.epochs * len(documents),
        unit="text",
        desc="Training",
        disable=None if progress is None else not progress,
    )
    with bar:
        for epoch in range(1, schedule.epochs + 1):
            started = time.perf_counter()
            model.train()
            seen = documents.windows(schedule.max_length, random)
            total = 0.0
            for chosen in _shuffled(seen, schedule.batch_size, random):
                ids, words, labels = seen.batch(chosen, model.layout)
                dropped = torch.from_numpy(random.random(ids.shape) < schedule.word_dropout)
                ids = ids.masked_fill(dropped & words, Vocabulary.UNK)
                loss = F.cross_entropy(
                    model(ids.to(device)),
                    labels.to(device),
                    weight=weights,
                    label_smoothing=schedule.label_smoothing,
                )
                _check_finite(loss.item(), epoch)
                optimiser.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
                optimiser.step()
                average.update()
                total += loss.item() * len(chosen)
                bar.update(len(chosen))
            mean = total / len(documents)
            with average.applied():
                if held_out is None:
                    found, accuracy = None, None
                else:
                    found, accuracy = _validate(model, held_out, weights)
                    _check_finite(found, epoch)
                    bar.set_postfix(epoch=epoch, loss=f"{mean:.3f}", accuracy=f"{accuracy:.3f}")
                epochs.append(Epoch(mean, found, accuracy, time.perf_counter() - started))
                if found is None or found < lowest:
                    best, lowest = epoch, math.inf if found is None else found
                    kept = [parameter.detach().clone() for parameter in model.parameters()]
            if epoch - best >= schedule.patience:
                break
    _put(model, kept)
    model.eval()
    return tuple(epochs), best


class _Average:
    """A moving average of a model's weights, which can be put in their place for a while."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model
        self.decay = decay
        self.steps = 0
        self.weights = [parameter.detach().clone() for parameter in model.parameters()]

    def update(self) -> None:
        # The first steps must not be held back by the values that the weights began with.
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        with torch.no_grad():
            for mean, parameter in zip(self.weights, self.model.parameters(), strict=True):
                mean.lerp_(parameter, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        present = [parameter.detach().clone() for parameter in self.model.parameters()]
        _put(self.model, self.weights)
        yield
        _put(self.model, present)


def _put(model: nn.Module, weights: Sequence[Tensor]) -> None:
    # In place, because cuDNN wants the weights of a recurrence to stay in one piece of memory.
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)


def _shuffled(
    documents: Documents, batch_size: int, random: np.random.Generator
) -> Iterator[list[int]]:
    """Batches in a random order, each of documents of similar length."""
    order = random.permutation(len(documents))
    lengths = np.array([len(ids) for ids in documents.ids])
    batches = []
    for start in range(0, len(order), batch_size * _POOLED):
        pool = order[start : start + batch_size * _POOLED]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + batch_size].tolist() for at in range(0, len(pool), batch_size)]
    for index in random.permutation(len(batches)):
        yield batches[index]


@torch.no_grad()
def _validate(
    model: RecurrentClassifier, documents: Documents, weights: Tensor | None
) -> tuple[float, float]:
    """The mean loss and the accuracy."""
    model.eval()
    device = model.embedding.weight.device
    loss, right, mass = 0.0, 0, 0.0
    lengths = [len(ids) for ids in documents.ids]
    for chosen in batches_by_length(lengths, _SCORED_TOKENS):
        ids, _, labels = documents.batch(chosen, model.layout)
        labels = labels.to(device)
        scores = model(ids.to(device))
        loss += F.cross_entropy(scores, labels, weight=weights, reduction="sum").item()
        mass += len(chosen) if weights is None else weights[labels].sum().item()
        right += int((scores.argmax(dim=1) == labels).sum())
    return loss / mass, right / len(documents)


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"The loss became {loss} in epoch {epoch}; use a smaller learning_rate or clip."
        )
