"""`seqlrp.prune`: what it gives, what it leaves alone, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier, some_texts, split_words
from samples.unchanged import nothing_changes
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import LabelError, ModelError, OptionError, TextError, VocabularyError
from seqlrp.improving.selection import choose
from seqlrp.improving.unit_sets import UnitSet
from seqlrp.improving.words import without_words
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.vocabulary import Vocabulary

TEXTS = some_texts(30, longest=6)
LABELS = [k % 2 for k in range(30)]
QUICK: dict[str, Any] = {"references": 3, "shares": (), "compare": (), "progress": False}


def english(**options: object) -> TextClassifier:
    return replace(small_classifier(**options), tokenizer=seqlrp.SpacyTokenizer())


def test_a_smaller_classifier_and_its_report(tmp_path: Path) -> None:
    classifier = english()
    batch = classifier.batch(list(classifier.encode(TEXTS[:3])))
    with nothing_changes(classifier.model, batch.ids):
        smaller, report = seqlrp.prune(
            classifier, TEXTS, LABELS, share=0.4, references=4, shares=(0.8,), progress=False
        )
    assert report.layers["left"].tolist() == [3, 3]
    assert smaller.model.get_submodule("encoder.recurrence").hidden_size == 3
    assert smaller.model.get_parameter("encoder.projection.weight").shape == (5, 6)
    assert report.sizes["parameters"].tolist() == [
        sum(p.numel() for p in c.model.parameters()) for c in (classifier, smaller)
    ]
    curve = report.curve.set_index(["criterion", "share"])
    assert curve.index.tolist() == [
        ("all units", 0), ("lrp", 0.4), ("lrp", 0.8), ("random", 0.4), ("random", 0.8)
    ]  # fmt: skip
    # What the curve measures on silent units is what the smaller model does.
    measured = report.sizes.iloc[1]
    assert measured["agreement"] == pytest.approx(curve.loc[("lrp", 0.4), "agreement"])
    assert measured["accuracy"] == pytest.approx(curve.loc[("lrp", 0.4), "accuracy"])
    seqlrp.save(smaller, tmp_path / "model", training={"pruned": report.to_json()})
    again = seqlrp.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(TEXTS).scores, smaller.predict(TEXTS).scores)
    report.save(tmp_path / "report")
    assert "4 of 10 units are gone" in (tmp_path / "report" / "summary.txt").read_text()
    assert "data:image/png" in (tmp_path / "report" / "page.html").read_text("utf-8")


def test_steps_layers_and_words() -> None:
    classifier = english(cell="gru", layers=2, pooling="last")
    layers = ["embedding", "encoder.recurrence"]
    smaller, report = seqlrp.prune(
        classifier, TEXTS[:12], layers=layers, share=0.5, scope="layer", steps=2, words="seen",
        criterion="weight", refit=False, **QUICK,
    )  # fmt: skip
    assert report.layers["layer"].tolist()[:2] == ["embedding", "encoder.recurrence.l0"]
    assert report.layers["left"].tolist() == [3, 3, 3, 3, 3]
    assert report.sizes["accuracy"].isna().all()
    known = {token for text in TEXTS[:12] for token in text.replace(".", "").split()}
    assert set(smaller.vocabulary.tokens[2:]) <= known
    assert smaller.model.get_parameter("embedding.weight").shape == (len(smaller.vocabulary), 3)


def test_words_that_go_change_no_score_of_texts_without_them() -> None:
    classifier = english()
    texts = ["a good film", "a bad plot"]
    smaller = without_words(classifier, classifier.encode(texts))
    assert smaller.vocabulary.tokens == ("<pad>", "<unk>", "a", "bad", "film", "good", "plot")
    np.testing.assert_allclose(smaller.predict(texts).scores, classifier.predict(texts).scores)
    unknown = classifier.predict(["a zorblax film"]).scores
    np.testing.assert_allclose(smaller.predict(["a dull film"]).scores, unknown, rtol=1e-6)


class Own(nn.Module):
    """A model of one's own, whose last layer has no bias; a residual GRU keeps its size."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(words, 4, padding_idx=0)
        self.residual = nn.GRU(4, 4, batch_first=True)
        self.lstm = nn.LSTM(4, 6, batch_first=True)
        self.out = nn.Linear(6, 2, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        x = x + self.residual(x)[0]
        return self.out(self.lstm(x)[0].sum(1))  # type: ignore[no-any-return]


def own(vocabulary: Vocabulary, labels: tuple[str, ...]) -> TextClassifier:
    torch.manual_seed(1)
    return TextClassifier(Own(len(vocabulary)).eval(), vocabulary, labels, split_words)


def test_a_model_of_ones_own_is_saved_with_its_factory(tmp_path: Path) -> None:
    classifier = own(small_classifier().vocabulary, ("n", "y"))
    with pytest.warns(seqlrp.errors.PaddingWarning):
        smaller, report = seqlrp.prune(classifier, TEXTS, LABELS, scope="layer", **QUICK)
    left = dict(zip(report.layers["layer"], report.layers["left"], strict=True))
    assert left == {"residual.l0": 4, "lstm.l0": 3}
    assert "must match the size" in report.layers["masked"][0]
    assert "residual.l0 kept its size, and the units are silent" in report.summary()
    assert smaller.model.get_parameter("out.bias").shape == (2,)
    seqlrp.save(smaller, tmp_path / "model", factory=own)
    again = seqlrp.load(tmp_path / "model", factory=own)
    np.testing.assert_array_equal(again.predict(TEXTS).scores, smaller.predict(TEXTS).scores)


@pytest.mark.parametrize("criterion", ["lrp", "taylor"])
def test_a_single_output(criterion: str) -> None:
    classifier = english(labels=("n", "y"), classes=1)
    smaller, _ = seqlrp.prune(classifier, TEXTS, LABELS, criterion=criterion, **QUICK)
    scores = smaller.predict(TEXTS).scores
    np.testing.assert_array_equal(scores[:, 0], -scores[:, 1])
    assert smaller.model.get_submodule("encoder.recurrence").hidden_size == 3


def test_sentences_are_read_by_two_layers() -> None:
    smaller, report = seqlrp.prune(english(hierarchical=True), TEXTS, LABELS, **QUICK)
    assert (report.layers["masked"] == "").all()
    assert len(smaller.predict(TEXTS).scores) == len(TEXTS)


def test_what_was_taken_away_stays_away_while_it_trains_on() -> None:
    classifier = own(small_classifier().vocabulary, ("n", "y"))
    smaller, report = seqlrp.prune(
        classifier, TEXTS, LABELS, criterion="weight", steps=2, epochs=1, scope="layer", **QUICK
    )
    assert report.layers["left"].tolist() == [4, 3]
    states, _ = smaller.model.residual(torch.randn(2, 5, 4))  # type: ignore[operator]
    assert ((states == 0).all(dim=(0, 1))).sum() == 2
    weight = "lstm.weight_hh_l0"
    for row in smaller.model.get_parameter(weight).detach():
        assert not any(torch.equal(row, old[:3]) for old in classifier.model.get_parameter(weight))


def test_the_lowest_scores_go_and_one_unit_of_each_set_stays() -> None:
    a, b = (UnitSet("lstm", suffix, "units", 4) for suffix in ("_l0", "_l0_reverse"))
    c = UnitSet("fc", "", "units", 2)
    scores = {
        a: np.array([0.1, 0.4, 0.2, 0.3]),
        b: np.array([0.4, 0.3, 0.1, 0.2]),
        c: np.array([0.9, 0.8]),
    }
    chosen = choose(scores, 0.4, "global")
    assert [chosen[s].tolist() for s in (a, b, c)] == [[0, 2], [2, 3], []]
    chosen = choose(scores, 0.5, "layer")
    assert [chosen[s].tolist() for s in (a, b, c)] == [[0, 2], [2, 3], [1]]
    chosen = choose(scores, 0.99, "global")
    assert [len(chosen[s]) for s in (a, b, c)] == [3, 3, 1]
    silent = {a: torch.tensor([1]), b: torch.tensor([0])}
    chosen = choose(scores, 0.5, "layer", silent)
    assert [chosen[s].tolist() for s in (a, b)] == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"share": 1}, OptionError, r"Got share=1; expected a finite number, above 0, below 1"),
        ({"share": 0.0}, OptionError, "Got share=0.0"),
        ({"layers": ["lstm"]}, OptionError, r"no layer 'lstm'. .*encoder.recurrence"),
        ({"layers": "encoder.recurrence"}, OptionError, r"a list of names"),
        ({"layers": ["dropout"]}, ModelError, "'dropout' is a Dropout; units can be removed from"),
        ({"criterion": "tailor"}, OptionError, "Did you mean 'taylor'"),
        ({"compare": "taylor"}, OptionError, r"expected a list: \['taylor'\]"),
        ({"criterion": "taylor", "labels": None}, OptionError, "'taylor' needs the true classes"),
        ({"epochs": 1, "labels": None}, OptionError, "Training on needs the true classes"),
        ({"epochs": -1}, OptionError, "Got epochs=-1"),
        ({"labels": LABELS[:4]}, LabelError, "Got 4 labels for 30 texts"),
        ({"labels": ["no"] * 30}, ValueError, "Unknown label 'no'"),
        ({"texts": ["", " "], "labels": None}, TextError, "Got no text with a token"),
        ({"scope": "all"}, OptionError, "Got scope='all'"),
        ({"steps": 0}, OptionError, "Got steps=0"),
        ({"words": "none"}, OptionError, "Got words='none'"),
        ({"references": 0}, OptionError, "Got references=0"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    given: dict[str, Any] = {"texts": TEXTS, "labels": LABELS} | QUICK | options
    with pytest.raises(error, match=message):
        seqlrp.prune(english(), **given)


def test_a_vocabulary_without_an_unknown_word_keeps_its_words() -> None:
    classifier = small_classifier()
    tokens = ("[PAD]", "[x]", *classifier.vocabulary.tokens[2:])
    known = Vocabulary(tokens, pad="[PAD]", unk=None)
    with pytest.raises(VocabularyError, match="without an unknown word"):
        seqlrp.prune(
            replace(classifier, vocabulary=known), ["a good film"], criterion="weight",
            words="seen", **QUICK,
        )  # fmt: skip
