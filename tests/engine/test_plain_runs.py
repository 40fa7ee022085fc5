"""Scores that depend on the other texts of a batch are refused by every method."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlrp.errors import MixedDocumentsError, ModelError
from seqlrp.methods import METHODS

IDS = torch.tensor([[7, 5, 10, 2, 3, 9], [3, 1, 7, 4, 5, 8]])


class Coupled(nn.Module):
    """A classifier whose `step` computes a state of each text `[B, H]` from all words."""

    def __init__(self, step: Callable[[Coupled, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.step = step
        self.emb, self.fc = nn.Embedding(12, 6, padding_idx=0), nn.Linear(5, 3)
        self.lstm = nn.LSTM(6, 5, batch_first=True)
        self.both = nn.LSTM(6, 5, batch_first=True, bidirectional=True)
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.step(self, self.emb(ids)))


def _states(model: Coupled, x: Tensor) -> Tensor:
    return model.lstm(x)[0].mean(1)


def _softmax(model: Coupled, x: Tensor) -> Tensor:
    h = _states(model, x)
    return h * h.softmax(0)


def _scaled(model: Coupled, x: Tensor) -> Tensor:
    h = _states(model, x)
    return h / h.abs().amax(0, keepdim=True).detach()


def _centred(model: Coupled, x: Tensor) -> Tensor:
    h = _states(model, x)
    return h - h.mean(0)


def _normalised(model: Coupled, x: Tensor) -> Tensor:
    return F.batch_norm(_states(model, x), None, None, training=True)


def _centred_words(model: Coupled, x: Tensor) -> Tensor:
    return torch.tanh(x - x.mean((0, 1)))[..., :5].sum(1)


def _scaled_words(model: Coupled, x: Tensor) -> Tensor:
    return torch.tanh(x / x.abs().max().detach())[..., :5].sum(1)


def _normalised_words(model: Coupled, x: Tensor) -> Tensor:
    normal = F.batch_norm(x.transpose(1, 2), None, None, training=True)
    return torch.tanh(normal)[:, :5].sum(2)


def _early_exit(model: Coupled, x: Tensor) -> Tensor:
    h = _states(model, x)
    return h if bool((h[:, 0] > h[:, 1]).all()) else torch.relu(h)


def _attention(model: Coupled, x: Tensor) -> Tensor:
    h = _states(model, x)
    return h + F.softmax(h @ h.T, -1) @ h


def _steps_for_texts(model: Coupled, x: Tensor) -> Tensor:
    return model.lstm(x.transpose(0, 1))[0].transpose(0, 1).mean(1)


def _rows_for_directions(model: Coupled, x: Tensor) -> Tensor:
    return model.both(x)[1][0].view(len(x), -1)[:, :5]


COUPLED = (
    _softmax, _scaled, _centred, _normalised, _attention, _steps_for_texts, _rows_for_directions,
    _centred_words, _scaled_words, _normalised_words, _early_exit,
)  # fmt: skip
SOME = (
    "lrp", "gradient_x_input", "integrated_gradients", "deeplift", "occlusion", "shapley",
    "contextual_decomposition",
)  # fmt: skip


@pytest.mark.parametrize("method", SOME)
@pytest.mark.parametrize("step", COUPLED, ids=lambda step: step.__name__)
def test_texts_that_change_each_others_scores_are_refused(
    step: Callable[[Coupled, Tensor], Tensor], method: str
) -> None:
    explainer = METHODS[method](Coupled(step))
    for _ in range(2):  # also the second time
        with pytest.raises(ModelError):
            explainer.attribute(IDS, 1)


# By itself, batch normalisation takes no single text.
@pytest.mark.parametrize(
    "step", [s for s in COUPLED if s is not _normalised], ids=lambda step: step.__name__
)
def test_copies_of_one_text_are_not_run_beside_each_other(
    step: Callable[[Coupled, Tensor], Tensor],
) -> None:
    with pytest.raises(MixedDocumentsError):
        METHODS["occlusion"](Coupled(step)).attribute(IDS[:1], 1)


def test_one_text_at_a_time_is_explained() -> None:
    model = Coupled(_centred)
    with pytest.raises(MixedDocumentsError):
        METHODS["gradient_x_input"](model).attribute(IDS, 1)
    METHODS["gradient_x_input"](model).attribute(IDS[:1], 1)
    alone = METHODS["occlusion"](Coupled(_softmax), batch_tokens=1).attribute(IDS[:1], 1)
    model = Coupled(_softmax)
    with torch.no_grad():
        score = model(IDS[:1])[0, 1]
        lost = []
        for place in range(IDS.shape[1]):
            x = model.emb(IDS[:1])
            x[0, place] = 0
            lost.append(float(score - model.fc(_softmax(model, x))[0, 1]))
    torch.testing.assert_close(alone[0], torch.tensor(lost, dtype=torch.float64))


@pytest.mark.parametrize("method", SOME)
def test_other_texts_that_change_nothing_are_let_pass(method: str) -> None:
    relevance = METHODS[method](Coupled(_states)).attribute(IDS, 1)
    alone = METHODS[method](Coupled(_states)).attribute(IDS[:1], 1)
    torch.testing.assert_close(relevance[:1], alone)


class OneText(nn.Module):
    """Has an initial state for one text only."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.lstm = nn.Embedding(12, 6), nn.LSTM(6, 5, batch_first=True)
        self.fc, self.start = nn.Linear(5, 2), torch.zeros(1, 1, 5)
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.lstm(self.emb(ids), (self.start, self.start))[0][:, -1])


@pytest.mark.parametrize("method", ["occlusion", "integrated_gradients"])
def test_a_model_for_one_text_is_told_how_to_be_explained(method: str) -> None:
    with pytest.raises(ModelError, match="pass batch_tokens=1"):
        METHODS[method](OneText()).attribute(IDS[:1], 1)
    METHODS[method](OneText(), batch_tokens=1).attribute(IDS[:1], 1)
