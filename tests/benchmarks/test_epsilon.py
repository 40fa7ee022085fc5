"""The comparison of stabilisers runs on a small language, and its tables say what they should."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import seqlrp
from benchmarks.classifiers import KerasClassifier, Sizes, labelled_lines, news
from benchmarks.epsilon import (
    ABSOLUTE,
    METHODS,
    RELATIVE,
    best_relative,
    main,
    mean_difference,
    replaces,
    shortfall,
)
from seqlrp.lrp.options import DEFAULT_EPSILON


@pytest.mark.slow
def test_the_whole_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--train", "60", "--texts", "4", "--epochs", "1", "--only", "language, GRU"]
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 0
    first = capsys.readouterr().out
    assert "language, GRU: " in first
    for measure in ("area", "comprehensiveness", "sufficiency", "agreement"):
        assert f"\n{measure}" in first
    assert "5% minus 0.005" in first
    assert "2% minus 5%" in first
    assert "over 1 classifiers." in first
    assert main([str(tmp_path), "--out", str(tmp_path / "out"), *options]) == 0
    assert capsys.readouterr().out in first  # from the folder, without training again


def test_shortfall_is_of_the_best_absolute_value() -> None:
    found = dict.fromkeys(METHODS, 0.5) | {f"{ABSOLUTE[1]:g}": 0.8, "5%": 0.9, "occlusion": 0.4}
    missing = shortfall(found, "area")
    assert missing["occlusion"] == pytest.approx(50)
    assert missing["5%"] == pytest.approx(-12.5)
    assert shortfall(found, "sufficiency")["5%"] == pytest.approx(40)


def test_lines_are_split_and_drawn(tmp_path: Path) -> None:
    path = tmp_path / "few.all"
    path.write_text("".join(f"{k % 2} text {k} é\n" for k in range(50)), encoding="latin-1")
    train, test = labelled_lines(path, ("no", "yes"), Sizes(20, 5, 0))
    assert (len(train), len(test)) == (20, 5)
    assert not set(train.texts) & set(test.texts)
    labels = [int(text.split()[1]) % 2 for text in train.texts]
    assert train.labels is not None
    assert np.array_equal(train.labels, labels)


def test_news_are_read_by_title_and_text(tmp_path: Path) -> None:
    path = tmp_path / "test.csv"
    path.write_text("".join(f'"{k % 4 + 1}","Title {k}","Text, {k}"\n' for k in range(40)))
    case = news(path, Sizes(20, 5, 0))
    assert (len(case.train), len(case.test)) == (20, 5)
    assert case.test.labels is not None
    for text, label in zip(case.test.texts, case.test.labels, strict=True):
        number = int(text.split()[-1])
        assert text == f"Title {number}. Text, {number}"
        assert label == number % 4


def test_padding_changes_nothing_in_the_layer_of_keras() -> None:
    torch.manual_seed(0)
    model = KerasClassifier(9, 3, 4, 5).eval()
    ids = torch.tensor([[3, 8, 2]])
    padded = torch.tensor([[3, 8, 2, 0, 0], [1, 2, 3, 4, 5]])
    torch.testing.assert_close(model(padded)[:1], model(ids))
    relevance = seqlrp.LRP(model).attribute(padded, target=1)
    assert relevance[0, 3:].abs().max() == 0
    torch.testing.assert_close(relevance[:1, :3], seqlrp.LRP(model).attribute(ids, target=1))


def test_the_rule_takes_the_best_worst_case_of_those_near_the_best_mean() -> None:
    names = [f"{value:g}%" for value in RELATIVE]
    one = dict(zip(names, [0.0, 0.1, 0.2, 0.3, 0.4, 2.0], strict=True))
    other = dict(zip(names, [3.0, 2.9, 2.6, 2.5, 2.8, 2.0], strict=True))
    assert best_relative([one, other]) == "3%"  # 10% has the best worst case, but not the mean


def test_the_default_is_replaced_only_by_what_is_better() -> None:
    drawn = np.random.default_rng(0)
    area = {name: drawn.normal(0.5, 0.01, 50) for name in METHODS}
    good = {**area, "2%": area[DEFAULT_EPSILON] + 0.02}
    results = {"one": (0.9, {"area": good, "comprehensiveness": good})}
    assert all(replaces("2%", results).values())
    mixed = {"one": (0.9, {"area": good, "comprehensiveness": {**area, "2%": area["2%"] - 0.1}})}
    assert list(replaces("2%", mixed).values()) == [True, True, False]
    assert not any(
        list(
            replaces(
                "0.5%",
                {
                    "one": (
                        0.9,
                        {
                            "area": {**area, "0.5%": area[DEFAULT_EPSILON] - 0.01},
                            "comprehensiveness": area,
                        },
                    )
                },
            ).values()
        )[:2]
    )


def test_the_mean_difference_counts_classifiers_alike() -> None:
    many, few = np.zeros(1000), np.zeros(10)
    mean, low, high = mean_difference([(many, many), (few + 1, few)])
    assert (mean, low, high) == (0.5, 0.5, 0.5)
