"""The chosen method stays with its classifier, and with no other."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from samples.classifiers import small_classifier

import seqlrp
from seqlrp.errors import OptionError, SavedFileError
from seqlrp.models.chosen import CHOICE
from seqlrp.models.saving import save_choice

METHOD = {"method": "lrp", "epsilon": "2%"}
REPORT = {"metric": "abpc"}


@pytest.fixture
def classifier() -> seqlrp.TextClassifier:
    return replace(small_classifier(), tokenizer=seqlrp.SpacyTokenizer("en"))


@pytest.fixture
def folder(classifier: seqlrp.TextClassifier, tmp_path: Path) -> Path:
    seqlrp.save(classifier, tmp_path / "model")
    save_choice(tmp_path / "model", classifier, METHOD, REPORT)
    return tmp_path / "model"


def other(classifier: seqlrp.TextClassifier) -> seqlrp.TextClassifier:
    model = copy.deepcopy(classifier.model)
    with torch.no_grad():
        next(iter(model.parameters()))[-1] += 1
    return replace(classifier, model=model)


def test_it_is_loaded_and_saved_elsewhere(folder: Path, tmp_path: Path) -> None:
    loaded = seqlrp.load(folder)
    assert loaded.chosen == METHOD
    seqlrp.save(loaded, tmp_path / "copy")
    assert seqlrp.load(tmp_path / "copy").chosen == METHOD


def test_the_same_classifier_keeps_it_with_its_report(
    classifier: seqlrp.TextClassifier, folder: Path
) -> None:
    seqlrp.save(classifier, folder, training={"epochs": 3})
    assert seqlrp.load(folder).chosen == METHOD
    assert json.loads((folder / CHOICE).read_text())["report"] == REPORT


def test_another_classifier_drops_it(classifier: seqlrp.TextClassifier, folder: Path) -> None:
    assert replace(seqlrp.load(folder), model=classifier.model).chosen is None
    seqlrp.save(other(classifier), folder)
    assert not (folder / CHOICE).exists()
    assert seqlrp.load(folder).chosen is None


def test_a_file_of_another_classifier_is_not_used(
    classifier: seqlrp.TextClassifier, folder: Path, tmp_path: Path
) -> None:
    seqlrp.save(other(classifier), tmp_path / "other")
    (tmp_path / "other" / CHOICE).write_bytes((folder / CHOICE).read_bytes())
    loaded = seqlrp.load(tmp_path / "other")
    with pytest.raises(OptionError, match="No method was chosen") as raised:
        seqlrp.explain(loaded, ["a good film"], "chosen")
    assert raised.value.code == "none_chosen"
    with pytest.raises(SavedFileError, match="another classifier"):
        save_choice(tmp_path / "other", classifier, METHOD, REPORT)


@pytest.mark.parametrize(
    "written", ["[" * 100_000, "[]", '{"format": "seqlrp choice", "version": 9}',
                '{"format": "seqlrp choice", "version": 1, "method": {"method": 3}}']
)  # fmt: skip
def test_damage_is_a_sentence(
    folder: Path, classifier: seqlrp.TextClassifier, written: str
) -> None:
    (folder / CHOICE).write_text(written)
    with pytest.raises(SavedFileError, match=r"choice\.json.*run `seqlrp choose` again"):
        seqlrp.load(folder)
    seqlrp.save(classifier, folder)  # the folder is replaced, and is whole again
    assert seqlrp.load(folder).chosen is None


def test_an_unknown_method_is_refused_where_it_is_used(
    classifier: seqlrp.TextClassifier,
) -> None:
    with pytest.raises(OptionError, match="lrpp"):
        seqlrp.explain(classifier.with_chosen({"method": "lrpp"}), ["a good film"], "chosen")
