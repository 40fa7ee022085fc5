"""Models on another device than the CPU: nothing is forgotten there, and the answer is the same.

The device is simulated; see `samples.second_device` for what that shows and what it does not.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from samples.architectures import (
    ARCHITECTURES,
    Architecture,
    arguments,
    attention,
    built,
    habits,
    inputs,
)
from samples.architectures.attribution import EPSILON, check_ledger, close, whole
from samples.second_device import DEVICE, second_device
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils._pytree import tree_map

import seqlrp
from seqlrp.errors import PaddingWarning

# Second runs are the same for all, but for questions about ids, which are asked in these.
VERIFIED = {attention.__name__, habits.__name__}


@pytest.mark.parametrize("entry", ARCHITECTURES, ids=lambda entry: entry.name)
def test_lrp_of_the_architectures(entry: Architecture) -> None:
    model, ids, here = built(entry.make), inputs(entry), whole(entry)
    with second_device():
        model.to(DEVICE)
        there = ids.to(DEVICE)
        more = tree_map(_on_the_device, arguments(entry, ids))
        _run_alone(model, there, more)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PaddingWarning)
            verify = entry.make.__module__ in VERIFIED
            lrp = seqlrp.LRP(model, EPSILON, output=entry.output, verify=verify)
            found = lrp.attribution(there, "all", more)
        assert found.relevance.device == DEVICE
        close(found.relevance.cpu(), here.relevance, 1e-12)
        assert found.ledger is not None
        assert here.ledger is not None
        residual = found.ledger.residual.cpu()
    check_ledger(here, 1e-10)
    assert float(residual.abs().max()) < 1e-9


def _on_the_device(value: Any) -> Any:
    return value.to(DEVICE) if isinstance(value, Tensor) else value


def _run_alone(model: nn.Module, ids: Tensor, more: Any) -> None:
    try:
        model(ids, *(more if isinstance(more, tuple) else () if more is None else (more,)))
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"the model alone does not run on another device: {error}")


class Packing(nn.Module):
    """Sorts by length and packs, as most classifiers of texts do."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 6, padding_idx=0)
        self.recurrence = getattr(nn, kind)(6, 4, batch_first=True, bidirectional=True)
        self.attention, self.head = nn.Linear(8, 1), nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids != 0).sum(1).cpu()
        packed = pack_padded_sequence(self.embedding(ids), lengths, True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.recurrence(packed)[0], True, total_length=ids.shape[1])
        energies = self.attention(states).masked_fill((ids == 0).unsqueeze(2), float("-inf"))
        scores: Tensor = self.head((energies.softmax(1) * states).sum(1))
        return scores


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (method, kind)
        for method in seqlrp.METHODS
        for kind in ("LSTM", "GRU")
        if (method, kind) != ("contextual_decomposition", "GRU")  # it has equations for the LSTM
    ],
)
def test_every_method(method: str, kind: str) -> None:
    torch.manual_seed(0)
    words = ("<pad>", "<unk>", *"abcdefghij")
    classifier = seqlrp.TextClassifier(
        Packing(kind).eval(), seqlrp.Vocabulary(words), ("x", "y", "z"), tokenizer=str.split
    )
    texts = ["a b c d", "e f", "c"]

    def explained() -> list[Any]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            return list(seqlrp.explain(classifier, texts, method, progress=False))

    here = explained()
    with second_device():
        classifier.model.to(DEVICE)
        there = explained()
    for one, other in zip(here, there, strict=True):
        scale = float(abs(one.relevance).max()) or 1.0
        assert abs(one.relevance - other.relevance).max() < 1e-5 * scale
