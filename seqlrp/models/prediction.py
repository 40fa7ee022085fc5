"""Predictions: classes, scores, and the probabilities that scores stand for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Prediction(NamedTuple):
    """The predicted class int64 `[N]` and the scores float32 `[N, C]` of N texts."""

    predicted: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def probabilities_from_scores(
    scores: npt.NDArray[np.floating], *, independent: bool
) -> npt.NDArray[np.float64]:
    """The softmax of scores `[..., C]`, or where they are independent the sigmoid of each."""
    wide = np.asarray(scores, dtype=np.float64)
    if independent:
        logs = -np.logaddexp(0.0, -wide)  # 1 / (1 + exp(-s)), which does not overflow
    else:
        logs = wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)
    found: npt.NDArray[np.float64] = np.exp(logs)
    return found
