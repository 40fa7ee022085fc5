"""The experiment: what takes part, what is compared, where it fails, and where it goes on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from samples.evaluations import labelled, lively_classifier

import seqlrp
from seqlrp.errors import (
    CorpusError,
    InputError,
    LabelError,
    NonFiniteError,
    OptionError,
    TextError,
)
from seqlrp.evaluation import ExplainedDocuments, Measured, Metric, Quantity, WordDeletion
from seqlrp.evaluation.removal import scores_without
from seqlrp.lrp import Attribution
from seqlrp.lrp.options import DEFAULT_EPSILON
from seqlrp.methods import Random
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.text.encoded import EncodedText
from seqlrp.text.vocabulary import Vocabulary

QUICK: dict[str, Any] = {"metrics": ["word_deletion", "aopc"], "ks": (1, 3), "progress": False}
FEW: dict[str, Any] = {"methods": ["lrp", "occlusion", "random"], "random_orders": 1, **QUICK}


def test_a_corpus_is_split_into_words_once(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier = lively_classifier()
    texts, labels = labelled(6)
    encoded: list[str] = []
    encode = TextClassifier.encode

    def counted(self: TextClassifier, given: Iterable[str]) -> Iterator[EncodedText]:
        given = list(given)
        encoded.extend(given)
        return encode(self, given)

    monkeypatch.setattr(TextClassifier, "encode", counted)
    tables = [
        seqlrp.evaluate(classifier, texts, labels, batch_tokens=size, **FEW).table
        for size in (8192, 100, "auto")
    ]
    assert encoded == texts * 3
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0], atol=1e-5)


@pytest.mark.parametrize("removal", ["zero", "delete", "unk", "mask"])
def test_the_protocol_of_the_experiment(removal: str) -> None:
    classifier = lively_classifier()
    texts, labels = labelled()
    report = seqlrp.evaluate(
        classifier, ["too short", *texts], [0, *labels], ks=(1, 3), removal=removal
    )
    assert report.made["left_out"] == 1
    assert report.made["documents"] == len(texts)
    assert report.ks("deletion_accuracy") == (0, 1, 3)
    assert report.ks("comprehensiveness") == (1, 5, 10, 20, 50)
    assert report.ks("abpc") == ()
    assert report.methods == ("lrp", "gradient_x_input", "occlusion", "sensitivity", "random")
    table = report.table
    assert list(table.columns) == [
        "document", "method", "order", "metric", "direction", "k", "value",
    ]  # fmt: skip
    assert sorted(table["document"].unique()) == list(range(1, len(texts) + 1))
    predicted = classifier.predict(texts).predicted
    accuracy = table[table["metric"] == "deletion_accuracy"]
    start = accuracy[accuracy["k"] == 0]
    right = start.groupby("document")["direction"].first() == "right"
    assert right.tolist() == (predicted == labels).tolist()
    assert 5 < right.sum() < len(texts) - 5
    assert (start["value"] == (start["direction"] == "right")).all()
    assert table.groupby("method")["order"].max().to_dict() == {
        "lrp": 0, "gradient_x_input": 0, "occlusion": 0, "sensitivity": 0, "random": 4,
    }  # fmt: skip
    # one document by hand
    explanation = seqlrp.explain(classifier, [texts[0]], target="label", labels=[labels[0]])[0]
    order = np.argsort(explanation.relevance * (-1 if right[1] else 1), kind="stable")
    (document,) = classifier.encode([texts[0]])
    score = scores_without(classifier, [document], [order[:3]], removal)[0]
    probability = np.exp(score[labels[0]]) / np.exp(score).sum()
    row = table.query(
        "document == 1 and method == 'lrp' and k == 3 and metric == 'deletion_probability'"
    )
    assert row["value"].item() == pytest.approx(probability, abs=1e-5)


def test_random_orders_are_those_of_their_seeds() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(8)
    report = seqlrp.evaluate(classifier, texts, labels, ["random"], seed=3, **QUICK)
    mine = {"a": Random(classifier.model, seed=5), "random": {"seed": 5}}
    again = seqlrp.evaluate(classifier, texts, labels, mine, random_orders=1, **QUICK)
    columns = ["document", "metric", "direction", "k", "value"]
    expected = report.table[report.table["order"] == 2][columns].reset_index(drop=True)
    for name in ("a", "random"):
        found = again.table[again.table["method"] == name][columns].reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected)
    other = report.table[report.table["order"] == 0]["value"].to_numpy()
    assert not np.array_equal(other, expected["value"].to_numpy(), equal_nan=True)


@pytest.mark.parametrize("hierarchical", [False, True])
def test_attributions_from_outside_are_taken_as_if_computed_here(hierarchical: bool) -> None:
    classifier = lively_classifier(hierarchical=hierarchical)
    texts, labels = labelled(12)
    texts, labels = ["too short", *texts], [1, *labels]
    every = seqlrp.explain(classifier, texts, target="all")
    predicted = seqlrp.explain(classifier, texts)
    methods = {
        "inside": "lrp",
        "arrays": [e.relevance for e in every],
        "records": every,
        "one class": [e.relevance.astype(np.float64) for e in predicted],
        "one class, records": predicted,
        "with options": {"method": "lrp", "epsilon": DEFAULT_EPSILON},
        "object": seqlrp.LRP(classifier.model),
    }
    report = seqlrp.evaluate(classifier, texts, labels, methods, **QUICK)
    columns = ["document", "metric", "direction", "k", "value"]
    tables = {
        name: report.table[report.table["method"] == name][columns].reset_index(drop=True)
        for name in methods
    }
    wrong = tables["inside"]["direction"] == "wrong"
    assert wrong.any()
    for name, table in tables.items():
        if name.startswith("one class"):  # nothing is known of the true class
            assert table.loc[wrong, "value"].isna().all()
            table = table[~wrong]
        pd.testing.assert_frame_equal(table, tables["inside"].loc[table.index], atol=1e-5)
    lost = report.results.query("method == 'one class' and direction == 'wrong'")
    count = report.table.loc[report.table["direction"] == "wrong", "document"].nunique()
    assert lost["missing"].tolist() == [count] * 2
    assert lost["documents"].tolist() == [0] * 2
    assert np.isnan(report.seconds["arrays"])
    assert report.seconds["inside"] > 0
    assert report.made["methods"]["with options"]["parameters"]["epsilon"] == DEFAULT_EPSILON
    assert "–" in report.summary()


def test_attributions_from_outside_need_no_unknown_word() -> None:
    torch.manual_seed(0)
    words = ("[PAD]", *"abcdef")
    model = RecurrentClassifier(len(words), 2, embedding=3, hidden=2).eval()
    vocabulary = Vocabulary(words, pad=0, unk=None)
    classifier = TextClassifier(model, vocabulary, ("no", "yes"), str.split)
    texts = ["a b c d e f", "f e d c b a"]
    given = [e.relevance for e in seqlrp.explain(classifier, texts, target="all")]
    methods = {"given": given, "inside": "lrp"}
    report = seqlrp.evaluate(classifier, texts, [0, 1], methods, min_words=1)
    values = [report.table[report.table["method"] == name]["value"].to_numpy()
              for name in ("given", "inside")]  # fmt: skip
    np.testing.assert_allclose(*values, atol=1e-5)


def test_attributions_that_do_not_fit_are_refused() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(3)
    good = [np.ones(len(t.split())) for t in texts]

    def refused(given: Any, match: str, error: type[Exception] = InputError) -> None:
        with pytest.raises(error, match=match):
            seqlrp.evaluate(classifier, texts, labels, {"mine": given}, **QUICK)

    refused(good[:2], "Got 2 attributions called 'mine' for 3 texts")
    refused([*good[:2], np.ones(3)], r"for text 2 in 'mine' have the shape \[3\]; expected \[")
    refused([*good[:2], np.ones((5, len(good[2])))], r"or \[2, \d+\] for all classes")
    refused([*good[:2], good[2] * np.nan], "for text 2 in 'mine': .*finite", NonFiniteError)
    refused(7, "Got a int for the method 'mine'", OptionError)
    other = seqlrp.explain(classifier, ["bad", *texts[1:]])
    refused(other, "for text 0 in 'mine' is of other words")
    scores = classifier.predict(texts).scores.argmax(1)
    unlike = seqlrp.explain(classifier, texts, target="label", labels=1 - scores)
    refused(unlike, "for text 0 in 'mine' is not of the class that is predicted")
    pair = seqlrp.explain(classifier, texts, target=(0, 1))
    refused(pair, "is of a contrast of two classes")


def test_what_is_refused() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(4)

    def refused(match: str, error: type[Exception] = OptionError, **options: Any) -> None:
        with pytest.raises(error, match=match):
            seqlrp.evaluate(classifier, **{"texts": texts, "labels": labels, **QUICK, **options})

    refused("Pass labels=", LabelError, labels=None)
    refused("Got 3 labels for 4 texts", LabelError, labels=labels[:3])
    refused("Text 2 has the label 'good'", LabelError, labels=["negative"] * 2 + ["good"] * 2)
    refused("None of the 4 texts has 100 words", CorpusError, min_words=100)
    refused("Did you mean 'lrp'", methods=["lpr"])
    refused("takes no option 'eps'", methods={"lrp": {"eps": 1}})
    refused("Two methods are called 'lrp'", methods=["lrp", seqlrp.LRP(classifier.model)])
    refused("Got no method", methods=[])
    refused("Text 4 is int", TextError, texts=[*texts, 7], labels=[*labels, 0])
    refused("Got no metric", metrics=[])
    refused("Did you mean 'aopc'", metrics=["aopcs"])
    refused("Two metrics compute 'deletion_accuracy'", metrics=["word_deletion", WordDeletion()])
    refused("Did you mean 'zero'", removal="zeros")
    refused("random_orders=0", random_orders=0)
    refused("ks=-1; expected a whole number, at least 0", ks=[-1])
    refused("Got 1 rationales for 4 texts", InputError, rationales=[[1.0]])
    refused(r"text 0 has the shape \[1\]", InputError, rationales=[[1.0]] * 4)
    report = seqlrp.evaluate(classifier, texts, labels, ["lrp", "sensitivity"], **QUICK)
    with pytest.raises(OptionError, match="no method 'random'"):
        report.advantage()
    with pytest.raises(OptionError, match="Did you mean 'morf'"):
        report.curves("mor")
    assert set(report.advantage("sensitivity")["method"]) == {"lrp"}


class Fails:
    """As LRP, but not for texts that begin with a certain word."""

    name = "fails"

    def __init__(self, model: torch.nn.Module, word: int, error: Exception) -> None:
        self.inner, self.word, self.error = seqlrp.LRP(model), word, error
        self.parameters: dict[str, Any] = {}

    def attribution(self, inputs: torch.Tensor, *arguments: Any, **options: Any) -> Attribution:
        if (inputs[:, 0] == self.word).any():
            raise self.error
        return self.inner.attribution(inputs, *arguments, **options)


def test_an_error_names_the_text() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(12)
    firsts = [t.split()[0] for t in texts]
    word = firsts[5]
    number = firsts.index(word)
    (token,) = classifier.vocabulary.encode([word])
    known = Fails(classifier.model, int(token), NonFiniteError("It is infinite."))
    with pytest.raises(NonFiniteError, match=f"'fails' fails at text {number} .*It is infinite"):
        seqlrp.evaluate(classifier, texts, labels, [known], **QUICK)
    unknown = Fails(classifier.model, int(token), ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError, match="by zero") as caught:
        seqlrp.evaluate(classifier, texts, labels, [unknown], **QUICK)
    assert f"fails at text {number}" in caught.value.__notes__[0]


class Counted(Random):
    """As random; counts how often it explained, and may be interrupted."""

    name = "counted"
    calls = 0
    interrupted = False

    def attribution(self, *arguments: Any, **options: Any) -> Attribution:
        if Counted.interrupted:
            raise KeyboardInterrupt
        Counted.calls += 1
        return super().attribution(*arguments, **options)


@pytest.mark.usefixtures("without_pictures")
def test_what_was_finished_is_kept(tmp_path: Path) -> None:
    classifier = lively_classifier()
    texts, labels = labelled(5)
    options: dict[str, Any] = {**QUICK, "out": tmp_path / "e"}
    methods = {
        "one": Counted(classifier.model, 1),
        "mine": [np.arange(len(t.split())) for t in texts],
        "two": Counted(classifier.model, 2),
    }

    def interrupted(classifier: TextClassifier, **changed: Any) -> int:
        """How often "one" was run; "two" is what was interrupted."""
        Counted.calls, Counted.interrupted = 0, False
        attribution = Counted.attribution

        def only_one(self: Counted, *arguments: Any, **options: Any) -> Attribution:
            if self.seed == 2:
                raise KeyboardInterrupt
            return attribution(self, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Counted, "attribution", only_one)
            with pytest.raises(KeyboardInterrupt):
                seqlrp.evaluate(
                    classifier, texts, labels, **{"methods": methods, **options, **changed}
                )
        return Counted.calls

    unfinished = tmp_path / "e" / "unfinished"
    assert interrupted(classifier) > 0
    assert len(list(unfinished.iterdir())) == 2
    assert interrupted(classifier) == 0
    # anything that values depend on: seed, removal, places, metrics, the text, the weights
    for changed in ({"seed": 1}, {"removal": "unk"}, {"ks": (1, 2)}, {"metrics": ["aopc"]}):
        assert interrupted(classifier, **changed) > 0, changed
    other = lively_classifier(seed=4)
    assert interrupted(other, methods={**methods, "one": Counted(other.model, 1)}) > 0
    next(unfinished.iterdir()).write_bytes(b"damaged")
    (unfinished / "mine.txt").write_text("not theirs")
    whole = seqlrp.evaluate(classifier, texts, labels, methods, **options)
    straight = seqlrp.evaluate(classifier, texts, labels, methods, **QUICK)
    pd.testing.assert_frame_equal(whole.table, straight.table)
    loaded = seqlrp.EvaluationReport.load(tmp_path / "e")
    pd.testing.assert_frame_equal(loaded.table, whole.table)
    assert (unfinished / "mine.txt").exists()
    Counted.calls = 0
    seqlrp.evaluate(classifier, texts, labels, {"one": methods["one"]}, **options)
    assert Counted.calls > 0  # what is finished as a whole is not kept


class Length(Metric):
    """How many words, and whether rationales and explainers came along."""

    name = "length"
    needs = frozenset({"rationales", "explainer"})

    def __init__(self) -> None:
        super().__init__()
        self.quantities = {"length": Quantity("length in words", "neither", "How long texts are.")}

    def measure(self, explained: ExplainedDocuments) -> list[Measured]:
        assert explained.rationales is not None
        assert explained.explainer is not None
        marks = [float(marks.sum()) for marks in explained.rationales]
        assert marks == [float(n) for n in explained.numbers]
        return [Measured("length", np.array([len(d) for d in explained.documents]))]


def test_a_metric_of_ones_own_without_labels() -> None:
    classifier = lively_classifier()
    texts, _ = labelled(5)
    texts = ["short", *texts]
    marks = [[k < n for k in range(len(t.split()))] for n, t in enumerate(texts)]
    report = seqlrp.evaluate(
        classifier, texts, methods=["lrp", "random"], metrics=[Length()], rationales=marks
    )
    results = report.results
    assert results["better"].unique().tolist() == ["neither"]
    assert results["value"].tolist() == [np.mean([len(t.split()) for t in texts[1:]])] * 2
    assert report.advantage().empty
    assert "length in words" in report.summary().lower()
    report.plot()
    with pytest.raises(OptionError, match="pass rationales="):
        seqlrp.evaluate(classifier, texts, metrics=[Length()])
    given = {"mine": [np.ones(len(t.split())) for t in texts]}
    with pytest.raises(OptionError, match="'mine' are attributions from outside"):
        seqlrp.evaluate(classifier, texts, None, given, [Length()], rationales=marks)
    marks[1][0] = 2  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"text 1 holds numbers that are not in 0 to 1"):
        seqlrp.evaluate(classifier, texts, metrics=[Length()], rationales=marks)


def test_the_model_and_the_state_of_chance_stay_as_they_are() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(6)
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    state, numpys = torch.get_rng_state(), np.random.get_state()[1].copy()
    for removal in ("zero", "delete", "unk", "mask"):
        seqlrp.evaluate(classifier, texts, labels, removal=removal, **FEW)
    seqlrp.evaluate(classifier, texts, labels, ["gradient_x_input", "sensitivity"], **QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpys)
    for name, value in classifier.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert not classifier.model.training
    assert all(p.grad is None and p.requires_grad for p in classifier.model.parameters())
    assert not any(m._forward_hooks for m in classifier.model.modules())


def test_texts_come_as_a_corpus_or_a_data_frame() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(5)
    names = ("positive", "negative")  # the other way round than the classifier's
    corpus = seqlrp.Corpus("mine", texts, 1 - np.array(labels), names)
    frame = pd.DataFrame({"body": texts})
    tables = [
        seqlrp.evaluate(classifier, corpus, **FEW).table,
        seqlrp.evaluate(classifier, frame, pd.Series(labels), column="body", **FEW).table,
        seqlrp.evaluate(classifier, iter(texts), np.array(labels), **FEW).table,
    ]
    for table in tables[1:]:
        pd.testing.assert_frame_equal(table, tables[0])
    with pytest.raises(CorpusError, match="no column 'text'"):
        seqlrp.evaluate(classifier, frame, labels, **QUICK)


class SlowAtFirst(Random):
    """Takes a while the first time, as what compiles does."""

    name = "slow at first"
    calls = 0

    def attribution(self, *arguments: Any, **options: Any) -> Attribution:
        self.calls += 1
        time.sleep(0.5 if self.calls == 1 else 0)
        return super().attribution(*arguments, **options)


def test_what_compiles_once_is_not_the_methods_time() -> None:
    classifier = lively_classifier()
    texts, labels = labelled(4)
    report = seqlrp.evaluate(classifier, texts, labels, [SlowAtFirst(classifier.model)], **QUICK)
    assert 0 < report.seconds["slow at first"] < 0.5 / 4
