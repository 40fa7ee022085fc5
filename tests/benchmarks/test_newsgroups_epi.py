"""The comparison runs on made-up newsgroups, and asks within topics what it says."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.newsgroups_epi import ConvolutionalClassifier, by_topic, main, power_within
from seqlrp.text.corpora import Corpus

GROUPS = ("comp.graphics", "comp.windows", "rec.autos", "rec.hockey")


def write(path: Path, texts: int) -> None:
    drawn = np.random.default_rng(texts)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for k in range(texts):
            group = GROUPS[k % len(GROUPS)]
            words = [*group.split("."), *drawn.choice(["a", "b", "c", "d"], 6)]
            rows.writerow([" ".join(drawn.permutation(words)), group])


@pytest.mark.slow
def test_the_whole_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Enough training that no network answers one class everywhere, which has no power to ask for.
    write(tmp_path / "train.csv", 800)
    write(tmp_path / "test.csv", 60)
    assert main([str(tmp_path), "--texts", "48", "--epochs", "8", "--embedding", "16"]) == 0
    printed = capsys.readouterr().out
    right = [float(share) for share in re.findall(r"([\d.]+)% of 48 test texts right", printed)]
    assert len(right) == 4
    assert min(right) > 80
    for line in ("CNN, 4 groups", "bi-LSTM, 2 topics", "elementwise", "within a predicted topic"):
        assert line in printed
    assert printed.count("[") == 3 * 5 * 2


def test_a_wrong_path_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_topics_of_groups() -> None:
    corpus = Corpus("made up", ("a", "b", "c"), np.array([3, 0, 1]), GROUPS)
    topics = by_topic(corpus)
    assert topics.label_names == ("comp", "rec")
    assert topics.labels is not None
    assert topics.labels.tolist() == [1, 0, 0]


def test_power_within_topics_needs_groups_that_lie_apart() -> None:
    topics, groups = np.repeat([0, 1], 40), np.tile([0, 1], 40)
    apart = np.eye(2, dtype=np.float32)[groups]
    assert power_within(apart, topics, groups)[0] == 1
    mixed = np.random.default_rng(0).normal(size=(80, 4)).astype(np.float32)
    value, low, high = power_within(mixed, topics, groups)
    assert low < value < high < 0.9


def test_padding_makes_no_difference_to_the_network() -> None:
    torch.manual_seed(0)
    model = ConvolutionalClassifier(9, 3, 4, 5).eval()
    alone = model(torch.tensor([[3, 4, 5]]))
    padded = model(torch.tensor([[3, 4, 5, 0, 0], [1, 2, 3, 4, 5]]))
    torch.testing.assert_close(padded[:1], alone)
