"""The oracles of projection and pruning against values by hand, closed forms and torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.oracles import projection
from tests.oracles import pruning_criteria as criteria


def test_pattern_of_a_binary_label_is_the_mean_difference() -> None:
    a = np.random.default_rng(0).normal(size=(9, 4))
    y = np.array([1.0, 0, 0, 1, 1, 0, 0, 0, 1])
    np.testing.assert_allclose(projection.pattern(a, y), projection.mean_difference(a, y))


def test_projection_replaces_only_the_part_along_the_vector() -> None:
    v, z = np.array([0.6, 0.8]), np.array([1.0, 2.0])
    moved = projection.project(np.array([5.0, 0.0]), v, z)
    np.testing.assert_allclose(moved, [5 - 0.6 * 0.8, -0.8 * 0.8])  # v·a = 3, v·z = 2.2
    np.testing.assert_allclose(projection.project(moved, v, z), moved)


def test_criteria_by_hand() -> None:
    r = np.array([[[1.0, -3.0], [-2.0, 1.0]]])
    np.testing.assert_allclose(criteria.relevance(r), [3 / 7, 4 / 7])
    np.testing.assert_allclose(criteria.relevance(r, "signed"), [-1 / 3, -2 / 3])
    np.testing.assert_allclose(criteria.relevance(r, "positive"), [1 / 2, 1 / 2])
    np.testing.assert_allclose(criteria.taylor(r, np.ones_like(r)), [1, 2])
    np.testing.assert_allclose(criteria.taylor(r, np.ones_like(r), inside=True), [3, 4])
    np.testing.assert_allclose(criteria.contrast(np.stack([r, 3 * r])), [1, 2])


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_forward_is_torch_and_masking_equals_shrinking(kind: str) -> None:
    blocks = 4 if kind == "LSTM" else 3
    rng = np.random.default_rng(0)
    shapes = [(blocks * 4, 3), (blocks * 4, 4), (blocks * 4,), (blocks * 4,)]
    w_ih, w_hh, b_ih, b_hh = (rng.normal(size=shape) for shape in shapes)
    weights, x = (w_ih, w_hh, b_ih, b_hh), rng.normal(size=(5, 3))
    forward, shrink = (
        (criteria.lstm, criteria.shrink_lstm)
        if kind == "LSTM"
        else (criteria.gru, criteria.shrink_gru)
    )
    layer = getattr(torch.nn, kind)(3, 4, batch_first=True).double()
    with torch.no_grad():
        for parameter, value in zip(layer.parameters(), weights, strict=True):
            parameter.copy_(torch.from_numpy(value))
        known = layer(torch.from_numpy(x)[None])[0][0].numpy()
    np.testing.assert_allclose(forward(x, weights), known, atol=1e-12)
    masked, small = forward(x, weights, {1}), forward(x, shrink(*weights, [0, 2, 3]))
    np.testing.assert_allclose(masked[:, [0, 2, 3]], small, atol=1e-14)
    assert not masked[:, 1].any()
    assert np.abs(known[:, [0, 2, 3]] - small).max() > 1e-3


def test_magnitude_by_hand() -> None:
    weights = (
        np.array([[1.0], [-2.0], [2.0], [0.0]]),
        np.array([[1.0], [0.0], [0.0], [1.0]]),
        np.array([0.0, 3.0, 0.0, 0.0]),
        np.array([0.0, 0.0, 0.0, -4.0]),
    )
    np.testing.assert_allclose(criteria.magnitude(weights, 1), [14])
    np.testing.assert_allclose(criteria.magnitude(weights, 2), [6])


def test_refit_finds_the_scale_and_offsets() -> None:
    p = np.random.default_rng(0).normal(size=(7, 3))
    scale, offsets = criteria.refit(p, 1.5 * p + [1.0, -2.0, 0.5])
    assert scale == pytest.approx(1.5)
    np.testing.assert_allclose(offsets, [1, -2, 0.5])
    f = np.random.default_rng(1).normal(size=(7, 3))
    scale, offsets = criteria.refit(p, f)
    residual = scale * p + offsets - f
    np.testing.assert_allclose(residual.sum(0), 0, atol=1e-12)
    assert (residual * p).sum() == pytest.approx(0, abs=1e-12)
