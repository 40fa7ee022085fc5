"""What a classifier says of texts: classes, scores, and probabilities made of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class Prediction(NamedTuple):
    """What a classifier says of N texts: the class of each, int64 `[N]`; float32 `[N, C]`."""

    predicted: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float32]


def chances(scores: npt.NDArray[np.floating], *, independent: bool) -> npt.NDArray[np.float64]:
    """Probabilities of scores `[..., C]`: their softmax, or the logistic of each by itself."""
    wide = np.asarray(scores, dtype=np.float64)
    if independent:
        logs = -np.logaddexp(0.0, -wide)  # 1 / (1 + exp(-s)), which does not overflow
    else:
        logs = wide - np.logaddexp.reduce(wide, axis=-1, keepdims=True)
    found: npt.NDArray[np.float64] = np.exp(logs)
    return found
