"""Explanations as columns of a dataset."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from datasets.fingerprint import Hasher
from samples.classifiers import small_classifier, some_texts

import seqlrp
from seqlrp.errors import CorpusError, LabelError, OptionError, TargetError, TextError
from seqlrp.integrations.datasets import COLUMNS, ExplainColumns
from seqlrp.models.classifier import TextClassifier

TEXTS = some_texts(12)
TRUTHS = [k % 2 for k in range(len(TEXTS))]


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def rows() -> Any:
    return datasets.Dataset.from_dict({"text": TEXTS, "label": TRUTHS})


def same(row: dict[str, Any], e: Any, prefix: str = "") -> None:
    assert tuple(row[prefix + "tokens"]) == e.tokens
    np.testing.assert_array_equal(row[prefix + "start"], e.offsets[:, 0])
    np.testing.assert_array_equal(row[prefix + "end"], e.offsets[:, 1])
    np.testing.assert_allclose(row[prefix + "relevance"], e.relevance, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(row[prefix + "scores"], e.scores, rtol=1e-4, atol=1e-6)
    assert row[prefix + "score"] == pytest.approx(e.score, rel=1e-4, abs=1e-6)
    assert row[prefix + "target"] == e.target_label
    assert row[prefix + "predicted"] == e.predicted_label


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("target", ["predicted", "label", "all", ("positive", "negative")])
def test_columns_are_those_of_explain(target: Any, streamed: bool) -> None:
    classifier = small_classifier()
    add = ExplainColumns(classifier, target=target, label_column="label", epsilon=0.01)
    source = rows().to_iterable_dataset() if streamed else rows()
    found = list(source.map(add, batched=True, batch_size=5))
    labels = TRUTHS
    made = seqlrp.explain(classifier, TEXTS, target=target, labels=labels, epsilon=0.01)
    assert len(found) == len(TEXTS)
    for row, e in zip(found, made, strict=True):
        same(row, e)
        assert row["text"] == e.text


@pytest.mark.parametrize("target", ["predicted", "all"])
def test_numbers_keep_their_size(target: str) -> None:
    add = ExplainColumns(small_classifier(), prefix="lrp_", target=target)
    found = rows().map(add, batched=True)
    assert set(found.features) == {"text", "label", *(f"lrp_{name}" for name in COLUMNS)}
    assert found.features["lrp_score"].dtype == "float32"
    assert found.features["lrp_start"].feature.dtype == "int32"
    assert found.features == add.features(rows().features)


def test_two_processes(tmp_path: Path) -> None:
    classifier = small_classifier()
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads of OpenMP do not live on in a forked process
    try:
        found = rows().map(ExplainColumns(classifier), batched=True, batch_size=3, num_proc=2)
    finally:
        torch.set_num_threads(before)
    for row, e in zip(found, seqlrp.explain(classifier, TEXTS), strict=True):
        same(row, e)


def english(**options: Any) -> TextClassifier:
    return dataclasses.replace(small_classifier(**options), tokenizer=seqlrp.SpacyTokenizer("en"))


def test_fingerprints_are_of_what_matters(tmp_path: Path) -> None:
    seqlrp.save(english(), tmp_path / "model")
    first = ExplainColumns(seqlrp.load(tmp_path / "model"))
    again = ExplainColumns(seqlrp.load(tmp_path / "model"))
    whole = Hasher.hash(first)
    first({"text": TEXTS})  # what was used is what it was
    assert Hasher.hash(first) == Hasher.hash(again) == whole
    assert Hasher.hash(pickle.loads(pickle.dumps(first))) == whole
    code = (
        "import seqlrp; from datasets.fingerprint import Hasher\n"
        "from seqlrp.integrations.datasets import ExplainColumns\n"
        f"print(Hasher.hash(ExplainColumns(seqlrp.load({str(tmp_path / 'model')!r}))))"
    )
    project = str(Path(seqlrp.__file__).parents[1])
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {project!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [whole]

    others = [
        ExplainColumns(seqlrp.load(tmp_path / "model"), epsilon=0.5),
        ExplainColumns(seqlrp.load(tmp_path / "model"), target="positive"),
        ExplainColumns(dataclasses.replace(english(), labels=("a", "b"))),
    ]
    with torch.no_grad():
        again.classifier.model.get_parameter("head.weight")[0, 0] += 1
    assert len({whole, *(Hasher.hash(other) for other in [*others, again])}) == 5


def test_blank_rows_may_be_skipped() -> None:
    classifier = small_classifier()
    source = datasets.Dataset.from_dict({"text": ["good film", None, " \n", "dull"]})
    with pytest.raises(TextError, match="Text 1 is NoneType"):
        source.map(ExplainColumns(classifier), batched=True)
    add = ExplainColumns(classifier, on_unanswerable="skip")
    found = source.map(add, batched=True)
    made = seqlrp.explain(classifier, ["good film", "dull"])
    for k, e in zip((0, 3), made, strict=True):
        same(found[k], e)
    for k in (1, 2):
        assert found[k]["tokens"] == found[k]["relevance"] == found[k]["scores"] == []
        assert found[k]["predicted"] is found[k]["score"] is None
    found = source.map(
        ExplainColumns(classifier, on_unanswerable="skip", target="all"), batched=True
    )
    assert found[1]["relevance"] == [[], []]
    assert len(found[0]["relevance"][1]) == 2
    backwards = source.select([1, 2, 0, 3])
    kinds = add.features(backwards.features)
    found = backwards.map(add, batched=True, batch_size=2, features=kinds)
    same(found[3], made[1])


def test_what_is_wrong_is_said_before_work_begins() -> None:
    classifier = small_classifier()
    with pytest.raises(OptionError, match="method='lpr'"):
        ExplainColumns(classifier, method="lpr")
    with pytest.raises(OptionError, match="takes no option 'eps'"):
        ExplainColumns(classifier, eps=1)
    with pytest.raises(OptionError, match="Got a method of type LRP, expected a name"):
        ExplainColumns(classifier, method=seqlrp.LRP(classifier.model))  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="Unknown label 'neutral'"):
        ExplainColumns(classifier, target="neutral")
    with pytest.raises(LabelError, match="no labels are given"):
        ExplainColumns(classifier, target="label")
    add = ExplainColumns(classifier, text_column="txet")
    with pytest.raises(CorpusError, match=r"no column 'txet'\. Did you mean 'text'"):
        add({"text": TEXTS})
    with pytest.raises(CorpusError, match="pass batched=True"):
        ExplainColumns(classifier)({"text": "good"})
