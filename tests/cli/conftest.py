"""A model and a corpus for the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from samples.classifiers import WORDS

import seqlrp
from seqlrp.models.networks import RecurrentClassifier


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    vocabulary = seqlrp.Vocabulary.build([WORDS])
    torch.manual_seed(0)
    network = RecurrentClassifier(len(vocabulary), 2, embedding=6, hidden=5).eval()
    folder = tmp_path_factory.mktemp("saved") / "model"
    seqlrp.save(seqlrp.TextClassifier(network, vocabulary, ("negative", "positive")), folder)
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.csv"
    drawn = np.random.default_rng(0)
    rows = [
        f'"{" ".join(drawn.choice(WORDS, 12))}",{"negative" if k % 2 else "positive"}'
        for k in range(20)
    ]
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path
