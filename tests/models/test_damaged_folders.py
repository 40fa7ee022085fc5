"""A damaged model folder gives a sentence, or the model that was saved."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from samples.classifiers import small_classifier
from samples.damage import damaged

from seqlrp.errors import SeqlrpError
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.saving import CONFIG, VOCABULARY, WEIGHTS, load, save

FILES = [CONFIG, VOCABULARY, WEIGHTS]


def check(folder: Path, name: str, count: int) -> None:
    found = small_classifier()
    before = TextClassifier(found.model, found.vocabulary, found.labels)
    save(before, folder, training={"epochs": 3})
    weights = before.model.state_dict()
    refused = 0
    for content in damaged((folder / name).read_bytes(), count):
        (folder / name).write_bytes(content)
        try:
            after = load(folder)
        except SeqlrpError:
            refused += 1
            continue
        assert (after.labels, after.vocabulary) == (before.labels, before.vocabulary)
        assert all(torch.equal(value, weights[k]) for k, value in after.model.state_dict().items())
    assert refused > count / 2


@pytest.mark.parametrize("name", FILES)
def test_a_hundred_damaged_files(tmp_path: Path, name: str) -> None:
    check(tmp_path / "model", name, 100)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_two_thousand_damaged_files(tmp_path: Path, name: str) -> None:
    check(tmp_path / "model", name, 2000)
