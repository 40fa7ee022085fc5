"""The parts of the whole path are parts of it, and the classifier is as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import seqlrp
from benchmarks.whole_path import main, measured
from seqlrp.models.networks import RecurrentClassifier


def classifier() -> seqlrp.TextClassifier:
    vocabulary = seqlrp.Vocabulary(("<pad>", "<unk>", "good", "bad"))
    torch.manual_seed(0)
    model = RecurrentClassifier(len(vocabulary), 2, embedding=3, hidden=4).eval()
    return seqlrp.TextClassifier(
        model, vocabulary, ("no", "yes"), tokenizer=seqlrp.SpacyTokenizer("en")
    )


def test_the_parts_are_parts_of_the_whole() -> None:
    own = classifier()
    texts = ["good", "bad good", "so bad"] * 30
    found = measured(own, texts, ["yes", "no", "no"] * 30)
    assert found.texts == 90
    assert 0 < found.model < found.total
    assert 0 < found.tokens < found.total
    assert found.model + found.tokens < found.total
    assert seqlrp.TextClassifier.encode.__name__ == "encode"


@pytest.mark.slow
def test_the_shares_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seqlrp.save(classifier(), tmp_path / "model")
    (tmp_path / "texts.csv").write_text("text,label\ngood,yes\nbad,no\nso good,yes\n")
    found = main([str(tmp_path / "model"), str(tmp_path / "texts.csv"), "2"])
    assert found.texts == 2
    shown = capsys.readouterr().out
    assert shown.startswith("2 texts in ")
    assert sum(int(line.split("%")[0]) for line in shown.splitlines()[1:]) in range(99, 102)
