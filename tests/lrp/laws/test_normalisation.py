"""A scale and a shift that depend on the words are a factor and a term of their own."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seqlrp import LRP
from seqlrp.errors import RefusedFunctionError

H, EPS = 4, 1e-5
IDS = torch.tensor([[7, 5, 10, 2, 3]])


def _centred(x: Tensor) -> Tensor:
    return x - x.mean(-1, keepdim=True)


def _layer(x: Tensor) -> Tensor:
    return _centred(x) / (x.var(-1, unbiased=False, keepdim=True) + EPS).sqrt()


# By name: the fused call, and the normalisation alone, without scale and shift.
FORMS = {
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (H,), w, b, EPS), _layer),
    "torch.layer_norm": (lambda x, w, b: torch.layer_norm(x, (H,), w, b, EPS), _layer),
    "rms_norm": (
        lambda x, w, b: F.rms_norm(x, (H,), w, EPS),
        lambda x: x / (x.square().mean(-1, keepdim=True) + EPS).sqrt(),
    ),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, torch.zeros(H).to(x), torch.ones(H).to(x), w, b, eps=EPS),
        lambda x: x / (1 + EPS) ** 0.5,
    ),
    "group_norm": (lambda x, w, b: F.group_norm(x, 1, w, b, EPS), _layer),
    "group_norm of steps": (
        lambda x, w, b: F.group_norm(x.unsqueeze(-1), 1, w, b, EPS).squeeze(-1),
        _layer,
    ),
}


class Conditional(nn.Module):
    """Normalises the last state, scaled and shifted by the first two words."""

    def __init__(self, name: str, fused: bool, parts: str) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.name, self.fused, self.parts = name, fused, parts
        self.emb, self.rnn = nn.Embedding(12, 6), nn.GRU(6, H, batch_first=True)
        self.scale, self.shift, self.fc = nn.Linear(6, H), nn.Linear(6, H), nn.Linear(H, 3)
        self.double().eval()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        h = 10 * self.rnn(x)[0][:, -1]
        w = self.scale(x[:, 0]) if "w" in self.parts else None
        b = self.shift(x[:, 1]) if "b" in self.parts and self.name != "rms_norm" else None
        fused, plain = FORMS[self.name]
        if self.fused:
            y = fused(h, *(None if t is None else t.squeeze(0) for t in (w, b)))
        else:
            y = plain(h)
            y = y if w is None else y * w
            y = y if b is None else y + b
        return self.fc(y)


@pytest.mark.parametrize("parts", ["w", "b", "wb"])
@pytest.mark.parametrize("name", FORMS)
def test_parameters_that_depend_on_words(name: str, parts: str) -> None:
    one, other = (Conditional(name, fused, parts) for fused in (True, False))
    torch.testing.assert_close(one(IDS), other(IDS))
    relevance, ledger = LRP(one, 0).attribute(IDS, 1, return_ledger=True)
    expected = LRP(other, 0).attribute(IDS, 1)
    torch.testing.assert_close(relevance, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(LRP(one, 0).attribute(IDS, 1), expected, rtol=0, atol=1e-6)
    assert ledger.residual.abs().max() < 1e-9


class OfTwoWords(nn.Module):
    """Scores of what `step` makes of the first word `[B, H]` and the second of the first text."""

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.emb, self.fc, self.step = nn.Embedding(12, H), nn.Linear(H, 3), step
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        x = self.emb(ids)
        return self.fc(self.step(x[:, 0], x[0, 1]))


def _mean_of_words(x: Tensor, word: Tensor) -> Tensor:
    return F.batch_norm(x, word, torch.ones(H))


@pytest.mark.parametrize("step", [_mean_of_words, F.prelu])
def test_other_constants_that_depend_on_words_are_refused(
    step: Callable[[Tensor, Tensor], Tensor],
) -> None:
    with pytest.raises(RefusedFunctionError, match="depends on the words"):
        LRP(OfTwoWords(step)).attribute(IDS, 1)
