"""The training loop: learns the weights of a model from encoded documents."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from seqlrp.engine.batches import batches_by_length
from seqlrp.errors import NonFiniteError, OptionError, check_choice, check_number
from seqlrp.models.networks import Layout
from seqlrp.models.padding import pad_sentences, pad_words
from seqlrp.text.vocabulary import Vocabulary

# Batches that are sorted by length together: more of them waste less padding, fewer mix better.
_SORTED_BATCHES = 50
_VALIDATION_TOKENS = 16_384  # of a batch


@dataclass(frozen=True)
class Schedule:
    """The options of training: AdamW on shuffled batches of texts of similar length.

    Attributes:
        epochs: the most passes over the texts.
        patience: epochs without a lower validation loss after which training stops.
        batch_size: texts in a batch.
        max_length: of a longer text, each epoch reads so many words from a random place.
        learning_rate: of AdamW.
        weight_decay: of AdamW.
        word_dropout: the share of words that each epoch reads as unknown.
        label_smoothing: the share of a label that goes to all classes alike.
        averaging: the decay of the moving average of the weights, which is kept; 0 keeps the
            weights themselves.
        clip: the largest norm of a gradient.
        class_weights: of the classes in the loss, one number a class; "balanced" weights each
            class by the inverse of its frequency.
        seed: of the first weights, the order and the dropout. On the same CPU with the same number
            of threads, a seed gives the same weights bit for bit.

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
            check_number(name, value, least=1, whole=True)
            object.__setattr__(self, name, int(value))
        for name in ("word_dropout", "label_smoothing", "averaging"):
            check_number(name, getattr(self, name), least=0, below=1)
        for name in ("learning_rate", "clip"):
            check_number(name, getattr(self, name), above=0)
        check_number("weight_decay", self.weight_decay, least=0)
        if self.class_weights is None or isinstance(self.class_weights, str):
            check_choice("class_weights", self.class_weights, (None, "balanced"))
        else:
            for weight in self.class_weights:
                check_number("class_weights", weight, above=0)

    def loss_weights(self, labels: npt.NDArray[np.int64], classes: int) -> Tensor | None:
        """The weight of each class in the loss, float32 `[C]`, or None where all are equal."""
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
                    option="class_weights",
                    got=tuple(weights.tolist()),
                    expected=f"one number for each of the {classes} classes",
                )
        return torch.as_tensor(weights, dtype=torch.float32)


@dataclass(frozen=True)
class Epoch:
    """One pass over the texts: mean losses in nats, accuracy as a share, and the time it took."""

    loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float

    def sentence(self) -> str:
        """A summary for people."""
        found = f"loss {self.loss:.3f}"
        if self.validation_accuracy is not None:
            found += f", accuracy {self.validation_accuracy:.3f} on the part held out"
        return f"{found}, {self.seconds:.0f} s"


OnEpoch = Callable[[int, Epoch], object]  # is told the number, from 1, and what happened


class LabelledBatch(NamedTuple):
    """Texts as a model reads them.

    Attributes:
        ids: int64 `[B, T]`, or `[B, S, W]` by sentences.
        words: bool, as the ids, True where a word is and not padding.
        additional: what the model takes after the ids.
        labels: int64 `[B]`.
    """

    ids: Tensor
    words: Tensor
    additional: tuple[Any, ...]
    labels: Tensor


class TrainingTexts(Protocol):
    """Labelled texts that `optimise` can train on.

    Attributes:
        labels: int64 `[N]`.
        lengths: the number of tokens of each text.
        unknown: the id of the unknown word, None where there is none and no word is dropped.
    """

    @property
    def labels(self) -> npt.NDArray[np.int64]: ...  # noqa: D102

    @property
    def lengths(self) -> Sequence[int]: ...  # noqa: D102

    @property
    def unknown(self) -> int | None: ...  # noqa: D102

    def __len__(self) -> int: ...

    def windows(self, longest: int | None, random: np.random.Generator) -> TrainingTexts:
        """Cut texts of more than `longest` tokens to a window at a random place."""

    def batch(self, chosen: Sequence[int]) -> LabelledBatch:
        """The texts of these numbers."""


# A further term of the loss: a function of the scores `[B, C]` of a batch, the batch, and the
# numbers of its texts.
Penalty: TypeAlias = Callable[[Tensor, LabelledBatch, Sequence[int]], Tensor]


@dataclass(frozen=True)
class Documents:
    """Encoded documents: the ids int64 `[T]`, the sentences int32 `[T]` and the label of each."""

    ids: Sequence[npt.NDArray[np.int64]]
    sentences: Sequence[npt.NDArray[np.int32]]
    labels: npt.NDArray[np.int64]
    layout: Layout = "words"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> list[int]:
        """The number of tokens of each document."""
        return [len(ids) for ids in self.ids]

    @property
    def unknown(self) -> int:
        """The id of the unknown word."""
        return Vocabulary.UNK

    def windows(self, longest: int | None, random: np.random.Generator) -> Documents:
        """Cut documents of more than `longest` tokens to a window at a random place."""
        if longest is None:
            return self
        starts = [random.integers(0, max(1, len(ids) - longest + 1)) for ids in self.ids]
        return Documents(
            [ids[start : start + longest] for ids, start in zip(self.ids, starts, strict=True)],
            [
                places[start : start + longest]
                for places, start in zip(self.sentences, starts, strict=True)
            ],
            self.labels,
            self.layout,
        )

    def batch(self, chosen: Sequence[int]) -> LabelledBatch:
        """The documents of these numbers, padded."""
        ids = [self.ids[index] for index in chosen]
        if self.layout == "words":
            padded = pad_words(ids, Vocabulary.PAD)
        else:
            padded = pad_sentences(ids, [self.sentences[i] for i in chosen], Vocabulary.PAD)
        return LabelledBatch(*padded, (), torch.from_numpy(self.labels[chosen]))


def optimise(
    model: nn.Module,
    documents: TrainingTexts,
    held_out: TrainingTexts | None,
    schedule: Schedule,
    *,
    penalty: Penalty | None = None,
    progress: bool | None = None,
    on_epoch: OnEpoch = lambda number, epoch: None,
) -> tuple[tuple[Epoch, ...], int]:
    """Train a model in place; leave it in evaluation mode with the best weights.

    The best weights are those with the lowest loss on `held_out`, or the last ones without it.

    Args:
        model: maps ids, and what else a batch has for it, to scores `[B, C]`.
        documents: the texts that are learnt.
        held_out: those that say when to stop.
        schedule: the options.
        penalty: a further term of the loss while it learns; not of that on `held_out`.
        progress: show a bar; None shows one where standard error is a terminal.

    Returns:
        what happened in each epoch, and which was the best, counted from 1.

    Raises:
        NonFiniteError: the loss became NaN or infinite.
    """
    training = _Training(model, documents, schedule, penalty)
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
            mean = training.run_epoch(epoch, bar)
            found, accuracy = None, None
            if held_out is not None:
                found, accuracy = training.validate(held_out)
                _check_finite(found, epoch)
                bar.set_postfix(epoch=epoch, loss=f"{mean:.3f}", accuracy=f"{accuracy:.3f}")
            epochs.append(Epoch(mean, found, accuracy, time.perf_counter() - started))
            on_epoch(epoch, epochs[-1])
            if found is None or found < lowest:
                best, lowest = epoch, math.inf if found is None else found
                kept = [weight.detach().clone() for weight in training.average.parameters()]
            if epoch - best >= schedule.patience:
                break
    # In place, because cuDNN wants the weights of a recurrence to stay in one piece of memory.
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), kept, strict=True):
            parameter.copy_(weight)
    model.eval()
    return tuple(epochs), best


class _Training:
    """The state of a training: the model, its optimiser, and the average of its weights."""

    def __init__(
        self,
        model: nn.Module,
        documents: TrainingTexts,
        schedule: Schedule,
        penalty: Penalty | None,
    ) -> None:
        self.model = model
        self.documents = documents
        self.schedule = schedule
        self.penalty = penalty
        self.device = next(model.parameters()).device
        self.random = np.random.default_rng(schedule.seed)
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=schedule.learning_rate,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
        self.average = _moving_average(model, schedule.averaging)

    def run_epoch(self, epoch: int, bar: tqdm[Any]) -> float:
        """Pass over all documents once; give the mean loss."""
        self.model.train()
        windows = self.documents.windows(self.schedule.max_length, self.random)
        total = 0.0
        for chosen in _shuffled(windows, self.schedule.batch_size, self.random):
            batch = windows.batch(chosen)
            labels = batch.labels.to(self.device)
            scores = self.model(self._ids(batch).to(self.device), *batch.additional)
            loss = F.cross_entropy(
                scores,
                labels,
                weight=self._class_weights(scores),
                label_smoothing=self.schedule.label_smoothing,
            )
            if self.penalty is not None:
                loss = loss + self.penalty(scores, batch, chosen)
            _check_finite(loss.item(), epoch)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.schedule.clip)
            self.optimiser.step()
            self.average.update_parameters(self.model)
            total += loss.item() * len(chosen)
            bar.update(len(chosen))
        return total / len(self.documents)

    def _ids(self, batch: LabelledBatch) -> Tensor:
        """The ids of a batch, some words of which are unknown."""
        dropped = torch.from_numpy(self.random.random(batch.ids.shape) < self.schedule.word_dropout)
        if self.documents.unknown is None:
            return batch.ids
        return batch.ids.masked_fill(
            dropped.to(batch.ids.device) & batch.words, self.documents.unknown
        )

    def _class_weights(self, scores: Tensor) -> Tensor | None:
        weights = self.schedule.loss_weights(self.documents.labels, scores.shape[1])
        return None if weights is None else weights.to(scores)

    @torch.no_grad()
    def validate(self, documents: TrainingTexts) -> tuple[float, float]:
        """The mean loss and the accuracy of the averaged weights."""
        self.average.eval()
        loss, right, mass = 0.0, 0, 0.0
        for chosen in batches_by_length(documents.lengths, _VALIDATION_TOKENS):
            batch = documents.batch(chosen)
            labels = batch.labels.to(self.device)
            scores = self.average(batch.ids.to(self.device), *batch.additional)
            weights = self._class_weights(scores)
            loss += F.cross_entropy(scores, labels, weight=weights, reduction="sum").item()
            mass += len(chosen) if weights is None else weights[labels].sum().item()
            right += int((scores.argmax(dim=1) == labels).sum())
        return loss / mass, right / len(documents)


def _moving_average(model: nn.Module, decay: float) -> AveragedModel:
    """A copy of a model that holds the exponential moving average of the model's weights."""

    def averaged(mean: Tensor, weight: Tensor, step: Tensor | int) -> Tensor:
        # The first steps must not be held back by the values that the weights began with.
        return torch.lerp(mean, weight, 1 - min(decay, int(step) / (int(step) + 9)))

    average = AveragedModel(model, avg_fn=averaged)
    for module in average.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()  # cuDNN wants one piece of memory, which a copy is not
    average.update_parameters(model)  # the average begins with the first weights
    return average


def _shuffled(
    documents: TrainingTexts, batch_size: int, random: np.random.Generator
) -> Iterator[list[int]]:
    """The indices of batches of documents of similar length, in a random order."""
    order = random.permutation(len(documents))
    lengths = np.array(documents.lengths)
    batches = []
    for start in range(0, len(order), batch_size * _SORTED_BATCHES):
        pool = order[start : start + batch_size * _SORTED_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[at : at + batch_size].tolist() for at in range(0, len(pool), batch_size)]
    for index in random.permutation(len(batches)):
        yield batches[index]


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise NonFiniteError(
            f"The loss became {loss} in epoch {epoch}; use a smaller learning_rate or clip."
        )
