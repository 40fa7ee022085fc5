"""Repair: each way on a model that rests on a planted word, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from samples.classifiers import small_classifier
from samples.unchanged import nothing_changes

import seqlrp
from seqlrp.errors import CorpusError, LabelError, ModelError, OptionError
from seqlrp.improving.measures import AS_THEY_ARE, CLEAN, HOLDING, OTHERS, PUT_IN, TAKEN_OUT
from seqlrp.text.corpora import Corpus

slow = pytest.mark.slow
# How much of the loss is recovered at least, where a way is known to recover it here.
WAYS: list[Any] = [
    ("data", {"epochs": 2}, None),
    pytest.param("data", {}, 0.8, marks=slow),
    ("project", {}, 0.6),
    ("disable", {}, None),
    pytest.param(
        "data", {"edit": "delete", "anew": True, "epochs": 6, "learning_rate": 0.02}, 0.8,
        marks=slow,
    ),
    pytest.param("data", {"edit": "unknown", "epochs": 1}, None, marks=slow),
    pytest.param("penalise", {"strength": 100.0}, None, marks=slow),
    pytest.param(
        "project", {"oblique": False, "layer": "embedding", "directions": 1}, None, marks=slow
    ),
    pytest.param(
        "disable", {"train_on": True, "layer": "embedding", "units": 2, "epochs": 1}, None,
        marks=slow,
    ),
]  # fmt: skip


def repair(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus, how: Any, **options: Any
) -> Any:
    return seqlrp.repair(
        classifier, corpus, options.pop("shortcuts", "zorblax"), how, test=held_out, explained=15,
        method="gradient_x_input", progress=False, **options,
    )  # fmt: skip


@pytest.mark.parametrize(("how", "options", "least"), WAYS)
def test_ways(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus, tmp_path: Path,
    how: str, options: dict[str, Any], least: float | None,
) -> None:  # fmt: skip
    ids = torch.from_numpy(next(iter(classifier.encode(["a good film"]))).ids)[None]
    with nothing_changes(classifier.model, ids):
        repaired, report = repair(classifier, corpus, held_out, how, **options)
    assert report.value(OTHERS)["before"] - report.value(PUT_IN)["before"] > 0.3
    assert least is None or report.recovered["recovered"][0] >= least
    if how == "penalise":  # by the measure that it penalises
        assert report.value(HOLDING, "relevance")["change"] < -0.1
    assert not repaired.model.training
    seqlrp.save(repaired, tmp_path / "model")
    loaded = seqlrp.load(tmp_path / "model")
    found, kept = (c.predict(held_out.texts, progress=False).scores for c in (repaired, loaded))
    assert np.array_equal(found, kept)
    row = report.value(AS_THEY_ARE)
    assert row["after"] == float((found.argmax(axis=1) == held_out.labels).mean())
    explained = seqlrp.explain(loaded, held_out.texts[:3], progress=False)
    np.testing.assert_allclose([e.scores for e in explained], found[:3], atol=1e-5)
    assert (report.mended is None) == (how != "data")


def test_the_report_measures_what_it_says(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus
) -> None:
    _, report = repair(classifier, corpus, held_out, "project")
    held = np.array(["zorblax" in text for text in held_out.texts])
    assert held_out.labels is not None
    predicted = classifier.predict(held_out.texts, progress=False).predicted
    right = predicted == held_out.labels
    assert report.value(CLEAN)["before"] == float(right[~held].mean())
    assert report.value(CLEAN)["documents"] == int((~held).sum())
    assert report.value(OTHERS)["before"] == float(right[held_out.labels == 0].mean())
    out = [" ".join(text.replace("zorblax", "").split()) for text in held_out.texts]
    without = classifier.predict(out, progress=False).predicted == held_out.labels
    assert report.value(TAKEN_OUT)["before"] == float(without[held].mean())
    flips, put_in, others = (
        report.value(texts, measure)["before"]
        for texts, measure in ((PUT_IN, "flips"), (PUT_IN, "accuracy"), (OTHERS, "accuracy"))
    )
    assert flips == pytest.approx(others - put_in)  # two classes, and it turns none the other way
    frame = report.to_frame()
    known = frame[frame["documents"] > 0]
    for side in ("before", "after"):
        assert (known[f"{side}_low"] <= known[side] + 1e-12).all()
        assert (known[side] <= known[f"{side}_high"] + 1e-12).all()


def test_a_model_that_is_better_may_be_right_less_often(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus, tmp_path: Path
) -> None:
    _, report = repair(classifier, corpus, held_out, "project")
    assert report.value(AS_THEY_ARE)["change"] < 0 < report.value(PUT_IN)["change"]
    said = report.summary()
    assert "does not say that the classifier got worse" in said
    assert "'zorblax' misleads" in said
    before, after = (f"{100 * report.value(OTHERS)[side]:.1f} %" for side in ("before", "after"))
    assert f"without it {before} were, and {after} are." in said
    words = report.comparison.words
    moved = words[(words["low"] > 0) | (words["high"] < 0)].iloc[0]
    assert f"“{moved['word']}” ({moved['change']:+.2f}, {moved['low']:.2f} to" in said
    report.save(tmp_path / "report")
    assert {p.name for p in (tmp_path / "report").iterdir()} == {
        "summary.txt", "repair.json", "measures.parquet", "words.parquet", "page.html",
    }  # fmt: skip
    page = (tmp_path / "report" / "page.html").read_text("utf-8")
    assert "zorblax" in page
    assert "does not say that the classifier got worse" in page
    saved = pd.read_parquet(tmp_path / "report" / "measures.parquet")
    pd.testing.assert_frame_equal(saved, report.to_frame())


@pytest.mark.slow
def test_the_same_seed_gives_the_same(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus
) -> None:
    for how, options in (("data", {"epochs": 1}), ("project", {})):
        state = torch.get_rng_state()
        one, other = (repair(classifier, corpus, held_out, how, **options) for _ in range(2))
        assert torch.equal(state, torch.get_rng_state())
        for name, weight in one.classifier.model.state_dict().items():
            assert torch.equal(weight, other.classifier.model.state_dict()[name])


def test_units_that_are_named(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus
) -> None:
    units = {"encoder.recurrence": [0, 13]}
    repaired, report = repair(classifier, corpus, held_out, "disable", shortcuts=units)
    assert report.made["units"] == units
    assert report.summary().startswith("Repaired units by switching off 2 units;")
    fell = replace(report, measures=report.measures.assign(change=-0.1))
    assert "does not say that the classifier got worse" not in fell.summary()  # no word is named
    assert (repaired.model.encoder.recurrence.weight_ih_l0[20] == 0).all()
    with pytest.raises(OptionError, match="how='disable'"):
        repair(classifier, corpus, held_out, "data", shortcuts=units)


def test_a_part_of_the_corpus_is_held_out(
    classifier: seqlrp.TextClassifier, corpus: Corpus
) -> None:
    _, report = seqlrp.repair(
        classifier, corpus, ["zorblax", "the last word"], "disable", units=1, explained=5,
        progress=False,
    )  # fmt: skip
    assert report.value(AS_THEY_ARE)["documents"] == len(corpus) / 4
    assert "by switching off 2 units;" in report.summary()  # one for each
    assert list(report.shortcuts) == ["zorblax", "the last word"]


def test_what_is_handed_in_wrongly(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus
) -> None:
    def refused(error: type[Exception], match: str, how: str = "data", **options: Any) -> None:
        given = options.pop("corpus", corpus)
        with pytest.raises(error, match=match):
            repair(classifier, given, held_out, how, **options)

    refused(OptionError, "'nowhere' stands in none of the 240 texts", shortcuts="nowhere")
    refused(OptionError, "no layer 'lstm'", "project", layer="lstm")
    refused(OptionError, "no layer 'lstm'", "disable", layer="lstm")
    refused(OptionError, "how='clean'", "clean")
    refused(OptionError, "edit='drop'", edit="drop")
    refused(OptionError, "Unknown option 'epoch'", epoch=3)
    refused(OptionError, "strength=0", "penalise", strength=0)
    refused(OptionError, "max_length=5", "penalise", max_length=5)
    refused(OptionError, "units=40; expected", "disable", units=40)
    unlabelled = replace(corpus, labels=None)
    refused(CorpusError, "has no labels, expected one a text", corpus=unlabelled)
    others = replace(corpus, label_names=("negative", "glad"))
    refused(LabelError, "the class 'glad'", corpus=others)
    refused(OptionError, r"a seqlrp\.Corpus with labels", corpus=["a film"])


@pytest.mark.slow
def test_a_model_of_another_class(corpus: Corpus, held_out: Corpus) -> None:
    from samples.planted import planted_classifier

    known = planted_classifier()
    repaired, report = repair(known, corpus, held_out, "data", learning_rate=0.05)
    assert report.value(PUT_IN)["change"] > 0
    assert type(repaired.model) is type(known.model)
    with pytest.raises(ModelError, match="A Bag cannot be trained anew"):
        repair(known, corpus, held_out, "data", anew=True)


def test_a_report_on_a_part_of_the_corpus_says_what_that_means(
    classifier: seqlrp.TextClassifier, corpus: Corpus, held_out: Corpus
) -> None:
    said = "If the classifier was trained on them, it was right more often before"
    for test, expected in ((None, True), (held_out, False)):
        report = repair(classifier, corpus, test, "disable", units=1)[1]  # type: ignore[arg-type]
        assert (said in report.verdict()) == expected


def test_several_labels_are_refused(corpus: Corpus, held_out: Corpus) -> None:
    several = replace(small_classifier(), multilabel=True)
    with pytest.raises(OptionError, match="several labels"):
        repair(several, corpus, held_out, "data")
