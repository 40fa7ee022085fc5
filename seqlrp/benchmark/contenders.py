"""What is timed: a classifier, and LRP and other ways of explaining it, ready to be called."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlrp.benchmark.cells import LONGER, Cell
from seqlrp.lrp import LRP
from seqlrp.methods.gradients.gradient import GradientXInput

VOCABULARY = 1000
EMBEDDING = 50
STEPS = 50  # of integrated gradients
PASS_TOKENS = 2**15  # integrated gradients take so many tokens through the model at once


class Classifier(nn.Module):
    """An embedding, an LSTM or GRU, pooling and a linear layer: ids `[B, T]` to scores `[B, C]`."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.pooling, self.packed = cell.pooling, cell.packed
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING, padding_idx=0)
        recurrence = nn.LSTM if cell.kind == "lstm" else nn.GRU
        self.recurrence = recurrence(
            EMBEDDING, cell.hidden, batch_first=True, bidirectional=cell.directions == 2
        )
        self.head = nn.Linear(cell.directions * cell.hidden, cell.classes)

    def forward(self, ids: Tensor) -> Tensor:
        """Score ids `[B, T]` int64 as `[B, C]`."""
        return self.read(self.embedding(ids), *self.lengths(ids))

    def lengths(self, ids: Tensor) -> tuple[Tensor, ...]:
        """What `read` takes besides vectors: the lengths `[B]` where sequences are packed."""
        return ((ids != 0).sum(1),) if self.packed else ()

    def read(self, vectors: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Score vectors `[B, T, D]` as `[B, C]`."""
        if lengths is None:
            states, final = self.recurrence(vectors)
        else:
            states, final = self.recurrence(
                pack_padded_sequence(vectors, lengths.cpu(), batch_first=True, enforce_sorted=False)
            )
        if self.pooling == "last":
            hidden = final[0] if isinstance(self.recurrence, nn.LSTM) else final
            pooled = hidden.transpose(0, 1).flatten(1)
        else:
            if lengths is not None:
                states, _ = pad_packed_sequence(
                    states, batch_first=True, padding_value=float("-inf")
                )
            pooled = states.max(dim=1).values
        scores: Tensor = self.head(pooled)
        return scores


@dataclass(frozen=True)
class Contender:
    """Something to be timed.

    Attributes:
        run: computes it, and is done when it returns.
        expected: how many times as long as the first contender of its cell it takes, roughly.
        iterated: whether one call is many passes through the model, which need no warming up.
    """

    run: Callable[[], Tensor]
    expected: float
    iterated: bool = False


def has_captum() -> bool:
    """Whether Captum is installed."""
    return find_spec("captum") is not None


def classifier(cell: Cell) -> Classifier:
    """A classifier with random weights, the same for the same cell."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(cell).eval().to(cell.device)


def random_ids(cell: Cell, length: int) -> Tensor:
    """Random ids `[B, T]`; if packed, with padding from a length of T/2 to T on."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(1, VOCABULARY, (cell.batch, length), generator=generator)
    if cell.packed:
        lengths = torch.randint((length + 1) // 2, length + 1, (cell.batch, 1), generator=generator)
        lengths[0] = length
        ids = ids.masked_fill(torch.arange(length) >= lengths, 0)
    return ids.to(cell.device)


def contenders(cell: Cell, *, captum: bool) -> dict[str, Contender]:
    """What is compared in a cell, by name; what the others are measured by comes first.

    Args:
        cell: the model, the input, and the question.
        captum: whether gradient × input, integrated gradients and occlusion are Captum's.
    """
    model = classifier(cell)
    ids = random_ids(cell, cell.length)
    lrp = LRP(model)

    def explained(ids: Tensor, target: Any = 0) -> Callable[[], Tensor]:
        return synced(lambda: lrp.attribute(ids, target=target), cell)

    if cell.question == "classes":
        return {
            "lrp": Contender(explained(ids), 1),
            "all_classes": Contender(explained(ids, "all"), cell.classes / 4),
        }
    if cell.question == "growth":
        longer = random_ids(cell, LONGER * cell.length)
        return {
            "lrp": Contender(explained(ids), 1),
            "longer": Contender(explained(longer), LONGER),
        }
    others = _by_captum(model, ids) if captum else _by_seqlrp(model, ids)
    forward = Contender(synced(lambda: _without_graph(model, ids), cell), 1)
    found = {"forward": forward, "lrp": Contender(explained(ids), 2)}
    for name, expected in (
        ("gradient_x_input", 3),
        ("integrated_gradients", 3 * STEPS),
        ("occlusion", cell.length),
    ):
        iterated = name != "gradient_x_input"
        found[name] = Contender(synced(others[name], cell), expected, iterated)
    return found


def _without_graph(model: Classifier, ids: Tensor) -> Tensor:
    with torch.no_grad():
        scores: Tensor = model(ids)
    return scores


def synced(run: Callable[[], Tensor], cell: Cell) -> Callable[[], Tensor]:
    """Call `run`, and wait until the device has finished all of its work."""
    if cell.device == "cpu":
        return run

    def run_and_wait() -> Tensor:
        found = run()
        torch.cuda.synchronize(cell.device)
        return found

    return run_and_wait


def _by_captum(model: Classifier, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    """Captum's methods, which are fed with the vectors of the words; one relevance a word."""
    attr: Any = importlib.import_module("captum.attr")
    length = ids.shape[1]
    more = model.lengths(ids) or None
    # Steps share a pass as far as memory is no matter, but Captum wants at least a whole batch.
    rows = max(len(ids), PASS_TOKENS // length)
    gradient = attr.InputXGradient(model.read)
    integrated = attr.IntegratedGradients(model.read)

    def vectors() -> Tensor:
        found: Tensor = model.embedding(ids)
        return found.detach()

    def summed(found: Tensor) -> Tensor:
        return found.detach().sum(-1)

    return {
        "gradient_x_input": lambda: summed(gradient.attribute(vectors().requires_grad_(), 0, more)),
        "integrated_gradients": lambda: summed(
            integrated.attribute(
                vectors(),
                target=0,
                additional_forward_args=more,
                n_steps=STEPS,
                internal_batch_size=rows,
            )
        ),
        "occlusion": lambda: occlusion_by_captum(model, ids),
    }


def occlusion_by_captum(model: Classifier, ids: Tensor) -> Tensor:
    """Occlude each word by Captum's `FeatureAblation`."""
    attr: Any = importlib.import_module("captum.attr")
    words = torch.arange(ids.shape[1], device=ids.device).view(1, -1, 1)
    found: Tensor = attr.FeatureAblation(model.read).attribute(
        model.embedding(ids).detach(),
        target=0,
        additional_forward_args=model.lengths(ids) or None,
        feature_mask=words,
    )
    return found.detach().mean(-1)  # every dimension of a word has the whole of it


def _by_seqlrp(model: Classifier, ids: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The same without Captum: seqlrp's gradient × input, and the others as they are defined."""
    gradient = GradientXInput(model)
    return {
        "gradient_x_input": lambda: gradient.attribute(ids, target=0),
        "integrated_gradients": lambda: integrated_gradients(model, ids),
        "occlusion": lambda: occlusion_by_hand(model, ids),
    }


def integrated_gradients(model: Classifier, ids: Tensor) -> Tensor:
    """Integrated gradients `[B, T]` of score 0 from zero vectors, midpoint rule (Sundararajan)."""
    vectors: Tensor = model.embedding(ids).detach()
    more = model.lengths(ids)
    at_once = max(1, PASS_TOKENS // ids.numel())
    total = torch.zeros_like(vectors)
    for places in torch.split(((torch.arange(STEPS) + 0.5) / STEPS).to(vectors), at_once):
        points = (places.view(-1, 1, 1, 1) * vectors).flatten(0, 1).requires_grad_()
        scores = model.read(points, *(lengths.repeat(len(places)) for lengths in more))
        (gradient,) = torch.autograd.grad(scores[:, 0].sum(), points)
        total += gradient.view(len(places), *vectors.shape).sum(0)
    return (vectors * total / STEPS).sum(-1)


def occlusion_by_hand(model: Classifier, ids: Tensor) -> Tensor:
    """How score 0 falls where a word's vector is zero, `[B, T]`: one forward pass a word."""
    vectors, more = model.embedding(ids).detach(), model.lengths(ids)
    with torch.no_grad():
        before = model.read(vectors, *more)[:, 0]
        fall = []
        for position in range(ids.shape[1]):
            without = vectors.clone()
            without[:, position] = 0
            fall.append(before - model.read(without, *more)[:, 0])
    return torch.stack(fall, 1)
