"""Contenders that take words out: curves of deletion, and every word in turn.

A curve is that of word deletion: none of a text's words, then 1, 2, …, 10 of them left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from seqlrp.benchmark.cells import Cell
from seqlrp.benchmark.contenders import (
    VOCABULARY,
    Classifier,
    Contender,
    classifier,
    occlusion_by_captum,
    occlusion_by_hand,
    random_ids,
    synced,
)
from seqlrp.evaluation.removal import Remover
from seqlrp.methods.removal.occlusion import Occlusion
from seqlrp.models.classifier import TextClassifier
from seqlrp.text import Vocabulary

DELETED = 10  # words


def curve_contenders(cell: Cell) -> dict[str, Contender]:
    """Scores of all texts at every point of their curves, `[B, k, C]`: a pass each, and at once."""
    model, ids = classifier(cell), random_ids(cell, cell.length)
    removed = _removed(ids)
    tokens = ("<pad>", "<unk>", *(f"w{number}" for number in range(2, VOCABULARY)))
    texts = TextClassifier(
        model, Vocabulary(tokens), tuple(map(str, range(cell.classes))), tokenizer=str.split
    )
    written = [" ".join(tokens[i] for i in row if i) for row in ids.tolist()]
    documents = [document for document in texts.encode(written) for _ in range(DELETED + 1)]

    def at_once() -> Tensor:
        places = [place for of_text in removed for place in of_text]
        scores = Remover(texts).scores(documents, places)
        return torch.from_numpy(scores).reshape(len(ids), DELETED + 1, -1)

    # One of 11 passes of one text each takes longer than its share of a batch of all.
    passes = Contender(synced(lambda: _one_by_one(model, ids, removed), cell), 10, iterated=True)
    return {"curves": Contender(at_once, 1), "passes": passes}


def _removed(ids: Tensor) -> list[list[npt.NDArray[np.int64]]]:
    """For each text the positions that are gone at each point of its curve."""
    rng = np.random.default_rng(0)
    found = []
    for count in (ids != 0).sum(1).tolist():
        order = rng.permutation(count)[:DELETED]
        found.append([order[:k] for k in range(DELETED + 1)])
    return found


def _one_by_one(model: Classifier, ids: Tensor, removed: Any) -> Tensor:
    curves = []
    with torch.no_grad():
        for row, points in zip(ids, removed, strict=True):
            text = row[row != 0].unsqueeze(0)
            vectors, more = model.embedding(text), model.lengths(text)
            curve = []
            for places in points:
                left = vectors.clone()
                left[:, places] = 0
                curve.append(model.read(left, *more))
            curves.append(torch.cat(curve))
    return torch.stack(curves)


def occlusion_contenders(cell: Cell, *, captum: bool) -> dict[str, Contender]:
    """How score 0 falls without each word, `[B, T]`: by `Occlusion`, and a pass a word."""
    model, ids = classifier(cell), random_ids(cell, cell.length)
    occlusion = Occlusion(model)
    other = occlusion_by_captum if captum else occlusion_by_hand
    return {
        "every_word": Contender(synced(lambda: occlusion.attribution(ids, 0).relevance, cell), 1),
        "occlusion": Contender(synced(lambda: other(model, ids), cell), 5, iterated=True),
    }
