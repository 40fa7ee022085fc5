"""The vector that a model looks up for each word of the vocabulary."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlrp.engine.checks import refuse_no_embedding
from seqlrp.engine.gradient_mode import GradientMode
from seqlrp.engine.inputs import Reading

if TYPE_CHECKING:
    from seqlrp.models.classifier import TextClassifier

_ROW, _ROWS = 32, 64  # ids in a row, and rows in a run


def word_vectors(classifier: TextClassifier) -> npt.NDArray[np.float32]:
    """The vectors that the model looks up for the words of its vocabulary: `[V, D]`.

    The model reads the whole vocabulary once, as it reads texts, so that this holds for any
    embedding, wherever it stands in the model. The vectors of a model with several embeddings stand
    side by side. Where an embedding reads parts of a word, such as its letters, their vectors are
    added up. The vector of the padding is zero.

    Raises:
        ModelError: the model looks up no vectors.
    """
    size, pad = len(classifier.vocabulary), classifier.vocabulary.pad
    ids = torch.tensor([id_ for id_ in range(size) if id_ != pad], device=classifier.device)
    found = [_looked_up(classifier, part) for part in torch.split(ids, _ROW * _ROWS)]
    vectors = np.zeros((size, found[0].shape[1]), np.float32)
    vectors[ids.cpu().numpy()] = torch.cat(found).cpu().numpy()
    return vectors


def _looked_up(classifier: TextClassifier, ids: Tensor) -> Tensor:
    """The vectors `[N, D]` of ids `[N]`; the last row is filled up with the last id."""
    count = len(ids)
    rows = -(-count // _ROW)
    filled = torch.cat([ids, ids[-1:].expand(rows * _ROW - count)]).reshape(rows, _ROW)
    shaped = filled if classifier.layout == "words" else filled.unsqueeze(1)
    words = torch.ones_like(shaped, dtype=torch.bool)
    with torch.inference_mode(False):
        mode = GradientMode()
        mode.run(classifier.model, shaped, classifier.arguments(shaped, words) or None)
    if not mode.readings:
        refuse_no_embedding()
    tables: dict[int, list[Reading]] = {}
    for reading in mode.readings:
        tables.setdefault(reading.table.number if reading.table else -1, []).append(reading)
    parts = []
    for number in sorted(tables):
        mode.readings = tables[number]
        values: list[Tensor | None] = [reading.vectors.detach() for reading in mode.readings]
        parts.append(mode.gather(values).flatten(0, -2)[:count])
    return torch.cat(parts, dim=1).float()
