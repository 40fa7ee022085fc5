"""Deleting words: what is removed, what is measured, and what the statistics say."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from classifier_samples import small_classifier, some_texts
from hypothesis import given, settings
from hypothesis import strategies as st

import seqlrp
from seqlrp.deletion import scores_without
from seqlrp.deletion_report import DeletionReport
from seqlrp.errors import CorpusError, LabelError, OptionError
from seqlrp.text_classifier import EncodedText, TextClassifier


def labelled(count: int = 40) -> tuple[list[str], list[int]]:
    texts = [t for t in some_texts(4 * count, seed=5) if len(t.split()) >= 10][:count]
    return texts, [k % 2 for k in range(len(texts))]


@pytest.mark.parametrize("hierarchical", [False, True])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 200))
def test_removal_does_what_it_says(hierarchical: bool, seed: int, batch_tokens: int) -> None:
    classifier = small_classifier(hierarchical=hierarchical)
    drawn = np.random.default_rng(seed)
    documents = list(classifier.encode([t for t in some_texts(12, seed) if len(t.split()) > 2]))
    removed = [drawn.choice(len(d), drawn.integers(0, len(d)), replace=False) for d in documents]
    found = {
        removal: scores_without(classifier, documents, removed, removal, batch_tokens=batch_tokens)
        for removal in ("zero", "delete", "unk")
    }
    model = classifier.model
    for k, (document, gone) in enumerate(zip(documents, removed, strict=True)):
        shorter = classifier.scores([document.without(gone)]).numpy()
        np.testing.assert_allclose(found["delete"][k], shorter[0], atol=1e-5)
        ids, words = classifier.collate([document])
        flat = ids[words]
        flat[gone] = 1
        unknown = ids.masked_scatter(words, flat)
        np.testing.assert_allclose(found["unk"][k], model(unknown).detach()[0], atol=1e-5)
        # a hook on the embedding, where the package runs a mode
        kept = torch.ones(int(words.sum()), 1)
        kept[gone] = 0
        mask = torch.zeros(*ids.shape, 1)
        mask[words] = kept

        def zero(module, inputs, output, mask=mask):  # type: ignore[no-untyped-def]
            flat_mask = mask.flatten(0, -3) if mask.ndim == 4 else mask
            return output * flat_mask[: len(output)] if len(output) <= len(flat_mask) else output

        if not hierarchical:
            with model.embedding.register_forward_hook(zero):
                zeroed = model(ids).detach()[0]
            np.testing.assert_allclose(found["zero"][k], zeroed, atol=1e-5)


def test_a_corpus_is_split_into_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = small_classifier()
    texts, labels = labelled(6)
    encoded: list[str] = []
    encode = TextClassifier.encode

    def counted(self: TextClassifier, given: list[str]) -> Iterator[EncodedText]:
        encoded.extend(given)
        return encode(self, given)

    monkeypatch.setattr(TextClassifier, "encode", counted)
    tables = [
        seqlrp.evaluate(classifier, texts, labels, batch_tokens=size).table
        for size in (8192, 100, "auto")
    ]
    assert encoded == texts * 3
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], atol=1e-5)


def test_nothing_removed_is_the_text_itself(classifier: TextClassifier) -> None:
    texts = some_texts(9)
    documents = list(classifier.encode(texts))
    nothing = [np.zeros(0, np.int64)] * len(documents)
    for removal in ("zero", "delete", "unk"):
        scores = scores_without(classifier, documents, nothing, removal)
        np.testing.assert_allclose(scores, classifier.predict(texts).scores, atol=1e-6)
    with pytest.raises(OptionError, match="Did you mean 'zero'"):
        scores_without(classifier, documents, nothing, "zeros")


@pytest.mark.parametrize("removal", ["zero", "delete", "unk"])
def test_the_protocol_of_the_experiment(classifier: TextClassifier, removal: str) -> None:
    texts, labels = labelled()
    report = seqlrp.evaluate(
        classifier, [*texts, "too short"], [*labels, 0], ks=(1, 3), removal=removal
    )
    assert report.left_out == 1
    assert report.ks == (0, 1, 3)
    assert report.methods == ("lrp", "gradient_x_input", "sensitivity", "random")
    table = report.table
    predicted = classifier.predict(texts).predicted
    start = table[table["k"] == 0]
    right = start.set_index("document")["direction"].groupby(level=0).first() == "right"
    assert right.tolist() == (predicted == labels).tolist()
    assert (start["correct"] == (start["direction"] == "right")).all()
    assert table["seed"].max() == 4
    # one document by hand
    explanation = seqlrp.explain(classifier, [texts[0]], target="label", labels=[labels[0]])[0]
    order = np.argsort(explanation.relevance * (-1 if right[0] else 1), kind="stable")
    (document,) = classifier.encode([texts[0]])
    score = scores_without(classifier, [document], [order[:3]], removal)[0]
    row = table.query("document == 0 and method == 'lrp' and k == 3").iloc[0]
    assert row["score"] == pytest.approx(score[labels[0]], abs=1e-5)
    probability = np.exp(score[labels[0]]) / np.exp(score).sum()
    assert row["probability"] == pytest.approx(probability, abs=1e-5)


def test_the_probability_of_a_single_output_is_its_sigmoid() -> None:
    classifier = small_classifier(classes=1)
    texts, labels = labelled(6)
    table = seqlrp.evaluate(classifier, texts, labels, ["lrp"], ks=(1,)).table
    score = classifier.predict(texts).scores[np.arange(len(texts)), labels].astype(np.float64)
    start = table[table["k"] == 0]
    np.testing.assert_allclose(start["probability"], 1 / (1 + np.exp(-score)), rtol=1e-4)
    assert table["probability"].between(0, 1).all()


def test_more_words_than_there_are_is_missing_and_not_a_number(classifier: TextClassifier) -> None:
    text = "good film but very dull"
    for removal, most in (("zero", 5), ("unk", 5), ("delete", 4)):
        report = seqlrp.evaluate(
            classifier, [text] * 2, [0, 1], ["lrp"], ks=(4, 5, 6), removal=removal, min_words=1
        )
        known = report.table.groupby("k")["correct"].count()
        assert (known > 0).tolist() == [k <= most for k in (0, 4, 5, 6)]
        curves = report.curves()
        beyond = curves[curves["k"] > most]
        assert beyond["correct"].isna().all()
        assert (beyond["documents"] == 0).all()
        report.summary()


def made_up(steeper: float, documents: int = 200) -> DeletionReport:
    drawn = np.random.default_rng(1)
    rows = [
        {
            "document": d,
            "method": method,
            "seed": seed,
            "direction": "right",
            "k": k,
            "score": 0.0,
            "probability": 0.5,
            "correct": float(k == 0 or drawn.random() < 0.9 - drop),
        }
        for method, drop, seeds in (("lrp", steeper, 1), ("random", 0.0, 3))
        for seed in range(seeds)
        for d in range(documents)
        for k in range(4)
    ]
    return DeletionReport(pd.DataFrame(rows), "zero", 10, 0, 0)


def test_the_interval_finds_a_difference_and_does_not_invent_one() -> None:
    (steep,) = made_up(0.3).advantage().itertuples()
    assert steep.advantage == pytest.approx(0.3, abs=0.06)
    assert steep.low > 0.2
    assert steep.low < steep.advantage < steep.high
    (none,) = made_up(0.0).advantage().itertuples()
    assert none.low < 0 < none.high
    curves = made_up(0.3).curves().set_index(["method", "k"])
    at_two = curves.loc[("lrp", 2)]
    # the textbook interval of a proportion
    half = 1.96 * np.sqrt(at_two["correct"] * (1 - at_two["correct"]) / 200)
    assert at_two["high"] - at_two["low"] == pytest.approx(2 * half, rel=0.15)


def test_what_is_refused(classifier: TextClassifier) -> None:
    texts, labels = labelled(4)
    with pytest.raises(LabelError, match="pass labels="):
        seqlrp.evaluate(classifier, texts)
    with pytest.raises(LabelError, match="Got 3 labels for 4 texts"):
        seqlrp.evaluate(classifier, texts, labels[:3])
    with pytest.raises(CorpusError, match="None of the 4 texts has 100 words"):
        seqlrp.evaluate(classifier, texts, labels, min_words=100)
    report = seqlrp.evaluate(classifier, texts, labels, ["lrp", "sensitivity"], ks=(1,))
    with pytest.raises(OptionError, match="no method 'random'"):
        report.advantage()


def test_table_and_figure_are_written(classifier: TextClassifier, tmp_path) -> None:  # type: ignore[no-untyped-def]
    texts, labels = labelled(12)
    report = seqlrp.evaluate(classifier, texts, labels, ks=(1, 2))
    paths = report.save(tmp_path / "new")
    assert [p.name for p in paths] == ["deletion.parquet", "deletion.csv", "deletion.png"]
    pd.testing.assert_frame_equal(pd.read_parquet(paths[0]), report.table)
    assert list(pd.read_csv(paths[1])["method"].unique()) == list(report.methods)
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    assert "Better than a random order" in report.summary()
    assert len(report.plot().axes) == 2
