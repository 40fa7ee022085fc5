"""LIME: against weighted least squares written out, and on models that are linear in words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier
from torch import nn

from seqlrp.errors import OptionError
from seqlrp.methods import LIME


class Bag(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(12, 4), nn.Linear(4, 3)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embedding(ids).sum(1))


IDS = torch.tensor([[3, 5, 3, 7, 4, 9]])


def test_a_linear_model_is_found_again() -> None:
    model = Bag().double().eval()
    weights = (model.embedding(IDS) @ model.head.weight.T).detach()[0].T  # [C, T]
    found = LIME(model, ridge=0.0).attribute(IDS, "all")[0]
    torch.testing.assert_close(found, weights, rtol=0, atol=1e-10)
    shrunk = LIME(model).attribute(IDS, "all")[0]
    assert 1e-6 < (shrunk - weights).abs().max() < 0.05 * weights.abs().max()
    pair = LIME(model, ridge=0.0).attribute(IDS, (2, 0))[0]
    torch.testing.assert_close(pair, weights[2] - weights[0], rtol=0, atol=1e-10)


@pytest.mark.parametrize("removal", ["zero", "unk"])
@pytest.mark.parametrize(("width", "ridge"), [(25.0, 1.0), (60.0, 0.1)])
def test_against_weighted_ridge_regression(removal: str, width: float, ridge: float) -> None:
    model = small_classifier(cell="gru").model.double()
    unknown = 1 if removal == "unk" else None
    options = {"kernel_width": width, "ridge": ridge, "unknown": unknown}
    method = LIME(model, 200, 3, removal, **options)
    asked: list[np.ndarray] = []
    draw = method.coalitions
    method.coalitions = lambda n, g: asked.append(draw(n, g)) or asked[-1]  # type: ignore[method-assign]
    found = method.attribute(IDS, 1)[0].numpy()
    (kept,) = asked
    sizes = kept.sum(1)
    assert set(sizes) == set(range(6))  # none is left in some, and never all
    assert abs((sizes == 2).mean() - 1 / 6) < 0.1  # any number is as likely
    rows = [np.ones(6), *kept.astype(float)]
    scores, weights = [], []
    for row in rows:
        mask = torch.tensor(row).view(1, 6, 1)
        text, hook = IDS, None
        if removal == "unk":
            text = torch.where(mask[..., 0] > 0, IDS, 1)
        else:
            hook = model.embedding.register_forward_hook(lambda m, i, o, mask=mask: o * mask)
        with torch.no_grad():
            scores.append(float(model(text)[0, 1]))
        if hook is not None:
            hook.remove()
        cosine = row.sum() / (np.sqrt(6) * np.sqrt(row.sum())) if row.any() else 0.0
        weights.append(np.sqrt(np.exp(-((100 * (1 - cosine)) ** 2) / width**2)))
    x = np.column_stack([np.ones(len(rows)), np.array(rows)])  # the intercept first, not penalised
    w, penalty = np.diag(weights), ridge * np.diag([0.0, *np.ones(6)])
    expected = np.linalg.solve(x.T @ w @ x + penalty, x.T @ w @ np.array(scores))[1:]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    assert abs(expected).max() > 1e-2


def test_batch_padding_and_one_word() -> None:
    model = small_classifier().model.double()
    ids = torch.tensor([[3, 5, 3, 7, 4, 9, 0], [4, 0, 0, 0, 0, 0, 0]])
    method = LIME(model, 60, batch_tokens=100)
    found = method.attribution(ids, "all")
    assert found.ledger is None
    assert found.error is None
    assert (found.relevance.transpose(1, 2)[ids == 0] == 0).all()
    alone = LIME(model, 60).attribute(IDS, "all")
    torch.testing.assert_close(found.relevance[:1, :, :6], alone, rtol=0, atol=1e-12)
    assert found.relevance[1, :, 0].abs().max() > 1e-4


def test_what_is_refused() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="kernel_width=0"):
        LIME(model, kernel_width=0)
    with pytest.raises(OptionError, match="ridge=-1"):
        LIME(model, ridge=-1)
    with pytest.raises(OptionError, match="samples=0"):
        LIME(model, 0)
    with pytest.raises(OptionError, match="'delete' does not leave"):
        LIME(model, removal="delete")
