"""Where text meets method: order, batches, targets, labels and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts
from samples.examples import examples
from torch import nn

import seqlrp
from seqlrp.errors import (
    CorpusError,
    LabelError,
    LeftOutWarning,
    OptionError,
    TargetError,
    TextError,
    WordFeaturesWarning,
)
from seqlrp.explaining.explain import iter_explanations
from seqlrp.lrp import LRP, Attribution
from seqlrp.models.classifier import TextClassifier
from seqlrp.show.page.text_view import TextView
from seqlrp.text.corpora import Corpus

RUNS: list[bool] = []  # of `Counted`, with whether ids went through NumPy


class Counted(nn.Module):
    """Counts its runs, and may compute with its ids in NumPy, where they are not followed."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.head = nn.Embedding(40, 6), nn.Linear(6, 3)
        self.config = {"hidden": [False]}

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        RUNS.append(self.config["hidden"][0])
        vectors = self.embedding(ids)
        if RUNS[-1]:
            vectors = vectors * (1 + torch.from_numpy(ids.numpy() % 3).unsqueeze(-1))
        scores: torch.Tensor = self.head(vectors.mean(1))
        return scores


def test_a_later_call_verifies_a_model_again_only_if_its_settings_changed() -> None:
    classifier = replace(small_classifier(labels=("a", "b", "c")), model=Counted().eval())
    text = some_texts(1)

    def runs(method: str, **options: Any) -> int:
        before = len(RUNS)
        seqlrp.explain(classifier, text, method, **options)
        return len(RUNS) - before

    for method, options in (("lrp", {}), ("lrp", {"epsilon": 0.01}), ("gradient_x_input", {})):
        first = runs(method, **options)
        assert runs(method, **options) == 1 < first
    assert runs("lrp", epsilon=0.01, verify=False) == 1
    classifier.model.config["hidden"][0] = True
    for method in ("lrp", "gradient_x_input"):
        with pytest.raises(seqlrp.errors.UnfollowedWordsError):
            seqlrp.explain(classifier, text, method)
    classifier.model.config["hidden"][0] = False
    assert runs("lrp") > 1
    assert runs("lrp") == 1


@pytest.mark.parametrize("name", sorted(seqlrp.METHODS))
def test_a_method_gives_the_same_answer_again(name: str) -> None:
    classifier = small_classifier(labels=("a", "b", "c"))
    texts = some_texts(3)
    first, again = (seqlrp.explain(classifier, texts, name, "a") for _ in range(2))
    made = seqlrp.explain(small_classifier(labels=("a", "b", "c")), texts, name, "a")
    for one, other, new in zip(first, again, made, strict=True):
        assert one.relevance.tobytes() == other.relevance.tobytes() == new.relevance.tobytes()


@examples(8)
@given(st.integers(1, 300), st.integers(0, 3))
def test_the_same_answer_for_any_batch(batch_tokens: int, seed: int) -> None:
    classifier = small_classifier()
    texts = some_texts(25, seed)
    alone = [seqlrp.explain(classifier, [text], verify=False)[0] for text in texts]
    together = seqlrp.explain(classifier, texts, batch_tokens=batch_tokens)
    assert [e.text for e in together] == texts
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one.relevance, other.relevance, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4, atol=1e-6)
        for kind, amount in one.ledger.items():
            assert other.ledger[kind] == pytest.approx(amount, abs=1e-5)


def test_relevance_and_ledger_account_for_the_score() -> None:
    for options in ({}, {"hierarchical": True}, {"cell": "gru", "pooling": "max"}):
        for e in seqlrp.explain(small_classifier(**options), some_texts(20), epsilon=0.01):
            assert len(e.relevance) == len(e.tokens)
            assert e.relevance.dtype == np.float32
            assert sum(e.ledger.values()) == pytest.approx(e.score, abs=1e-5)
            assert e.ledger["tokens"] == pytest.approx(float(e.relevance.sum()), abs=1e-5)
            assert e.ledger["padding"] == 0
            assert e.parameters["epsilon"] == 0.01
            assert e.predicted == e.target == int(e.scores.argmax())


@pytest.mark.parametrize(
    "options",
    [{}, {"labels": ("a", "b", "c")}, {"classes": 1}, {"labels": ("yes",)}],
)
def test_probabilities_are_those_of_the_classifier(options: dict[str, Any]) -> None:
    for classifier in (small_classifier(**options),
                       replace(small_classifier(**options), multilabel=True)):  # fmt: skip
        texts = some_texts(9)
        found = seqlrp.explain(classifier, texts, target="all")
        chances = np.stack([e.probabilities for e in found])
        assert chances.dtype == np.float32
        np.testing.assert_allclose(chances, classifier.predict_proba(texts), rtol=1e-5)
        if not classifier.independent:
            np.testing.assert_allclose(chances.sum(1), 1, rtol=1e-6)


def test_texts_may_come_as_anything(classifier: TextClassifier) -> None:
    texts = some_texts(6)
    expected = [e.relevance.tolist() for e in seqlrp.explain(classifier, texts)]

    def stream() -> Iterator[str]:
        yield from texts

    import datasets

    dataset = datasets.Dataset.from_dict({"review": texts})
    for given_texts, options in (
        (stream(), {}),
        (tuple(texts), {}),
        (dataset, {"column": "review"}),
        (dataset.to_iterable_dataset(), {"column": "review"}),
        (Corpus("c", texts, None, ()), {}),
    ):
        found = seqlrp.explain(classifier, given_texts, **options)
        assert [e.relevance.tolist() for e in found] == expected
    import pandas as pd

    frame = pd.DataFrame({"text": texts, "label": 1})
    assert [e.relevance.tolist() for e in seqlrp.explain(classifier, frame)] == expected
    with pytest.raises(CorpusError, match="no column 'body'"):
        seqlrp.explain(classifier, frame, column="body")
    assert len(seqlrp.explain(classifier, texts[0])) == 1
    with pytest.raises(CorpusError, match=r"no column 'reviews'.*'review'"):
        seqlrp.explain(classifier, dataset, column="reviews")


def test_targets(classifier: TextClassifier) -> None:
    texts = some_texts(6)
    every = seqlrp.explain(classifier, texts, target="all")
    negative = seqlrp.explain(classifier, texts, target="negative")
    by_label = seqlrp.explain(classifier, texts, target="label", labels=["negative", 1] * 3)
    for k in range(6):
        assert every[k].relevance.shape == (2, len(every[k].tokens))
        assert negative[k].target == 0
        np.testing.assert_allclose(every[k].relevance[0], negative[k].relevance, atol=1e-6)
        assert by_label[k].target == by_label[k].label == k % 2
        np.testing.assert_allclose(every[k].relevance[k % 2], by_label[k].relevance, atol=1e-6)
        assert every[k].ledger["bias"][0] == pytest.approx(negative[k].ledger["bias"], abs=1e-6)
    with pytest.raises(TargetError, match="Did you mean 'positive'"):
        seqlrp.explain(classifier, texts, target="positve")
    with pytest.raises(TargetError, match="2"):
        seqlrp.explain(classifier, texts, target=2)
    with pytest.raises(LabelError, match="no labels are given"):
        seqlrp.explain(classifier, texts, target="label")
    with pytest.raises(LabelError, match="never seen"):
        seqlrp.explain(classifier, texts, labels=["good"] * 6)
    with pytest.raises(LabelError, match="2 classes"):
        seqlrp.explain(classifier, texts, labels=[2] * 6)
    with pytest.raises(LabelError, match="Got 5 labels"):
        seqlrp.explain(classifier, texts, labels=[1] * 5)
    with pytest.raises(LabelError, match="more labels"):
        seqlrp.explain(classifier, texts, labels=[1] * 7)


def test_labels_of_a_corpus_go_by_name(classifier: TextClassifier) -> None:
    corpus = Corpus("c", some_texts(2), np.array([0, 1]), ("positive", "negative"))
    assert [e.label for e in seqlrp.explain(classifier, corpus)] == [1, 0]


def test_one_output_speaks_for_the_second_label() -> None:
    classifier = small_classifier(classes=1)
    texts = some_texts(8)
    every = seqlrp.explain(classifier, texts, target="all")
    predicted = seqlrp.explain(classifier, texts)
    (output,) = (seqlrp.explain(classifier, texts, target="positive"),)
    ids, _ = classifier.collate(list(classifier.encode(texts)))
    raw = classifier.model(ids).detach()[:, 0].numpy()
    for k in range(8):
        np.testing.assert_allclose(every[k].scores, [-raw[k], raw[k]], atol=1e-5)
        np.testing.assert_allclose(every[k].relevance[0], -every[k].relevance[1], atol=1e-7)
        np.testing.assert_allclose(output[k].relevance, every[k].relevance[1], atol=1e-7)
        assert predicted[k].predicted == int(raw[k] > 0)
        assert sum(predicted[k].ledger.values()) == pytest.approx(abs(raw[k]), abs=1e-5)


@pytest.mark.parametrize("target", ["predicted", ("positive", "negative")])
def test_a_model_is_asked_once_whether_it_has_one_output(
    monkeypatch: pytest.MonkeyPatch, target: Any
) -> None:
    asked = []
    single = TextClassifier.single_output.fget
    assert single is not None

    def counted(self: TextClassifier) -> bool:
        asked.append(self)
        return single(self)

    monkeypatch.setattr(TextClassifier, "single_output", property(counted))
    classifier = small_classifier(classes=1)
    seqlrp.explain(classifier, some_texts(30), target=target, batch_tokens=40)
    assert len(asked) == 1


THREE = ("bad", "fair", "good")


@pytest.mark.parametrize("method", ["lrp", "gradient_x_input"])
def test_why_one_class_rather_than_another_is_the_difference_of_both(method: str) -> None:
    classifier = small_classifier(labels=THREE)
    texts = some_texts(20)
    every = seqlrp.explain(classifier, texts, method, "all")
    for target in (("good", "bad"), (2, 0), ("good", 0)):
        found = seqlrp.explain(classifier, texts, method, target, batch_tokens=60)
        for one, all_of_it in zip(found, every, strict=True):
            assert (one.target, one.against) == (2, 0)
            assert (one.target_label, one.against_label) == ("good", "bad")
            assert one.score == pytest.approx(all_of_it.scores[2] - all_of_it.scores[0], abs=1e-6)
            difference = all_of_it.relevance[2] - all_of_it.relevance[0]
            np.testing.assert_allclose(one.relevance, difference, rtol=1e-4, atol=1e-5)
            for kind, amounts in all_of_it.ledger.items():
                assert one.ledger[kind] == pytest.approx(amounts[2] - amounts[0], abs=1e-5)
            if method == "lrp":
                assert sum(one.ledger.values()) == pytest.approx(one.score, abs=1e-5)
    other_way = seqlrp.explain(classifier, texts, method, ("bad", "good"))
    for one, other in zip(found, other_way, strict=True):
        assert one.score == pytest.approx(-other.score, abs=1e-6)
        np.testing.assert_allclose(one.relevance, -other.relevance, rtol=1e-4, atol=1e-5)


def test_either_side_of_a_contrast_may_differ_by_text() -> None:
    classifier = small_classifier(labels=THREE)
    texts = some_texts(20)
    predicted = classifier.predict(texts).predicted
    truth = (predicted + 1 + np.arange(20) % 2) % 3
    found = seqlrp.explain(classifier, texts, target=("label", "predicted"), labels=truth)
    assert [e.target for e in found] == truth.tolist()
    assert [e.against for e in found] == predicted.tolist()
    assert all(e.score <= 0 for e in found)
    for e in found:
        (alone,) = seqlrp.explain(classifier, [e.text], target=(e.target, e.against))
        np.testing.assert_allclose(e.relevance, alone.relevance, rtol=1e-4, atol=1e-5)
    random = seqlrp.explain(classifier, texts, "random", ("label", "predicted"), labels=truth)
    assert [(e.target, e.against) for e in random] == [(e.target, e.against) for e in found]
    assert {e.against for e in seqlrp.explain(classifier, texts)} == {None}


def test_a_contrast_of_one_output_is_twice_the_output() -> None:
    classifier = small_classifier(classes=1)
    texts = some_texts(8)
    positive = seqlrp.explain(classifier, texts, target="positive")
    for sign, target in ((2, ("positive", "negative")), (-2, ("negative", "positive"))):
        found = seqlrp.explain(classifier, texts, target=target)
        for one, output in zip(found, positive, strict=True):
            assert one.score == pytest.approx(sign * output.score, abs=1e-6)
            np.testing.assert_allclose(one.relevance, sign * output.relevance, atol=1e-6)
            assert sum(one.ledger.values()) == pytest.approx(one.score, abs=1e-5)
    mixed = seqlrp.explain(
        classifier,
        texts,
        target=("predicted", "label"),
        labels=[int(e.score < 0) for e in positive],
    )
    for one, output in zip(mixed, positive, strict=True):
        assert one.score == pytest.approx(2 * abs(output.score), abs=1e-6)
        assert sum(one.ledger.values()) == pytest.approx(one.score, abs=1e-5)


def test_one_output_where_relevance_does_not_grow_with_the_score() -> None:
    classifier = small_classifier(classes=1)
    texts = some_texts(8)
    targets = ("positive", "negative", ("positive", "negative"), ("negative", "positive"), "all")
    for target in targets:  # from one, relevance adds up to 1 for any class
        for e in seqlrp.explain(classifier, texts, target=target, start="one"):
            sums = np.sum(list(e.ledger.values()), axis=0)  # one for each class, or one
            np.testing.assert_allclose(sums, 1.0, atol=1e-4)
            assert e.start == 1.0
            assert e.relevance.sum() == pytest.approx(np.sum(e.ledger["tokens"]), abs=1e-4)
    squares = [seqlrp.explain(classifier, texts, "sensitivity", target) for target in targets]
    for positive, negative, one, other, every in zip(*squares, strict=True):
        assert (positive.relevance >= 0).all()  # a squared gradient has no sign
        for found, factor in ((negative, 1), (one, 4), (other, 4), (every, 1)):
            wanted = np.broadcast_to(factor * positive.relevance, found.relevance.shape)
            np.testing.assert_allclose(found.relevance, wanted, rtol=1e-5)


@pytest.mark.parametrize("classes", [1, 2])
def test_the_text_whose_class_is_compared_with_itself_is_named(
    classes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = small_classifier(classes=classes)
    texts = some_texts(12)
    predicted = classifier.predict(texts).predicted
    target = ("predicted", "label")
    for window in (4096, 5):
        monkeypatch.setattr(import_module("seqlrp.explaining.explain"), "WINDOW", window)
        for at in (0, 4, 5, 11):  # wherever it stands, whatever the batches
            truth = 1 - predicted
            truth[at] = predicted[at]
            name = classifier.labels[predicted[at]]
            message = rf"For text {at} both sides of the target are '{name}'"
            with pytest.raises(TargetError, match=message):
                seqlrp.explain(classifier, texts, "lrp", target, labels=truth, batch_tokens=60)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (("positive", "positive"), TargetError, "compares a class with itself"),
        (("positive", 1), TargetError, "compares a class with itself"),
        (("predicted", "predicted"), TargetError, "compares a class with itself"),
        (("positive", "all"), TargetError, "a pair names two classes"),
        (("positive",), TargetError, "a pair names two classes"),
        (("positive", "negative", "positive"), TargetError, "a pair names two classes"),
        (("positive", "negativ"), TargetError, "Did you mean 'negative'"),
        (("positive", 2), TargetError, "expected 0 to 1"),
        (("positive", None), TargetError, "NoneType"),
        (["positive", "negative"], TargetError, "a pair is a tuple"),
        (("positive", "label"), LabelError, "no labels are given"),
    ],
)
def test_pairs_that_are_none(
    classifier: TextClassifier, target: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        seqlrp.explain(classifier, ["good"], target=target)


@pytest.mark.parametrize("word", ["predicted", "label", "all"])
def test_a_class_that_is_called_like_a_target_is_named_by_its_index(
    word: str,
) -> None:
    named = small_classifier(labels=("negative", word))
    for target in (word, *([] if word == "all" else [(word, 0)])):
        with pytest.raises(TargetError, match=r"target=1.*another name") as caught:
            seqlrp.explain(named, ["good"], target=target, labels=[0])
        assert caught.value.code == "target_ambiguous"
    (by_index,) = seqlrp.explain(named, ["good"], target=1)
    assert by_index.target_label == word


def gate_takes_half(gate: torch.Tensor, signal: torch.Tensor) -> tuple[float, float]:
    return 0.5, 0.5


@pytest.mark.parametrize(
    ("options", "recorded"),
    [
        ({"start": "one"}, "one"),
        ({"gate_rule": "half"}, "half"),
        ({"gate_rule": gate_takes_half}, "gate_takes_half"),
        ({"rules": "deep_taylor"}, "deep_taylor"),
        ({"rules": {nn.Linear: seqlrp.rules.Gamma(0.25)}}, {"Linear": "Gamma(gamma=0.25)"}),
        ({"bias_factor": 1}, 1),
        ({"attention": "attnlrp"}, "attnlrp"),
        ({"on_unknown": "absorb"}, "absorb"),
    ],
)
def test_options_are_recorded_as_json(
    options: dict[str, object], recorded: object, tmp_path: Path
) -> None:
    classifier = small_classifier(pooling="max")
    found = seqlrp.explain(classifier, some_texts(3), **options)
    (name,) = options
    for suffix in ("jsonl", "parquet"):
        found.save(tmp_path / f"r.{suffix}")
        for e in seqlrp.Explanations.load(tmp_path / f"r.{suffix}"):
            assert e.parameters[name] == recorded
            assert sum(e.ledger.values()) == pytest.approx(e.start, rel=1e-4)
            assert e.start == (1.0 if name == "start" else e.score)


@pytest.mark.parametrize("method", ["occlusion", "kernel_shap", "input_reduction"])
def test_the_vocabulary_knows_the_unknown_word(classifier: TextClassifier, method: str) -> None:
    unknown = classifier.vocabulary.unk
    texts = some_texts(3)
    found = seqlrp.explain(classifier, texts, method=method, removal="unk")
    given = seqlrp.explain(classifier, texts, method=method, removal="unk", unknown=unknown)
    for one, other in zip(found, given, strict=True):
        assert one.parameters["unknown"] == unknown
        assert np.array_equal(one.relevance, other.relevance)
    vocabulary = seqlrp.Vocabulary(classifier.vocabulary.tokens, pad=0, unk=None)
    without = replace(classifier, vocabulary=vocabulary)
    with pytest.raises(OptionError, match="unknown word goes with removal='unk'"):
        seqlrp.explain(without, texts, method=method, removal="unk")


def test_texts_that_cannot_be_explained(classifier: TextClassifier) -> None:
    with pytest.raises(TextError, match="Text 1 holds no word"):
        seqlrp.explain(classifier, ["good", "  \n"])
    with pytest.raises(TextError, match="Text 1 is int"):
        seqlrp.explain(classifier, ["good", 3])
    with pytest.raises(CorpusError, match=r"Got a dict of 'a'; expected texts, .* values\(\)"):
        seqlrp.explain(classifier, {"a": "good"})
    with pytest.raises(CorpusError, match="Got texts of type int; expected strings"):
        seqlrp.explain(classifier, 5)
    with pytest.raises(OptionError, match="batch_tokens"):
        seqlrp.explain(classifier, ["good"], batch_tokens=0)
    unknown = seqlrp.explain(classifier, ["zzz qqq", "word"])
    assert [len(e.tokens) for e in unknown] == [2, 1]
    assert len(seqlrp.explain(classifier, [])) == 0


def test_a_long_text() -> None:
    text = " ".join(some_texts(2500, longest=16))
    (e,) = seqlrp.explain(small_classifier(), [text])
    assert len(e.tokens) > 15_000
    assert sum(e.ledger.values()) == pytest.approx(e.score, rel=1e-3)


def test_the_number_of_labels_must_fit() -> None:
    classifier = small_classifier()

    class Three(nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return classifier.model(ids).repeat(1, 2)[:, :3]

        def __init__(self) -> None:
            super().__init__()
            self.inner = classifier.model

    wrong = TextClassifier(
        Three().eval(), classifier.vocabulary, ("negative", "positive"), classifier.tokenizer
    )
    with pytest.raises(LabelError, match="3 scores a text"):
        seqlrp.explain(wrong, ["good"])


class Short(LRP):
    """LRP where memory runs out for more than `most` ids, and a document may be past explaining."""

    def __init__(self, model: nn.Module, most: int, bad: int | None = None) -> None:
        super().__init__(model)
        self.most, self.bad = most, bad
        self.failures = 0
        self.documents = 0

    def attribution(self, inputs: torch.Tensor, *args: Any, **options: Any) -> Attribution:
        if inputs.numel() > self.most:
            self.failures += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        if self.bad is not None and bool((inputs == self.bad).any()):
            raise ValueError("past explaining")
        self.documents += len(inputs)
        return super().attribution(inputs, *args, **options)


@examples(15)
@given(st.integers(20, 500), st.integers(0, 3))
def test_no_document_is_lost_or_repeated_where_memory_runs_out(most: int, seed: int) -> None:
    classifier = small_classifier()
    texts = some_texts(40, seed)
    method = Short(classifier.model, most)
    found = seqlrp.explain(classifier, texts, method, batch_tokens="auto")
    assert [e.text for e in found] == texts
    assert method.documents == 40
    assert method.failures <= 6
    for one, other in zip(found, seqlrp.explain(classifier, texts), strict=True):
        np.testing.assert_allclose(one.relevance, other.relevance, rtol=1e-4, atol=1e-6)


def test_memory_that_runs_out_under_a_number_is_passed_on_with_advice() -> None:
    classifier = small_classifier()
    with pytest.raises(torch.OutOfMemoryError) as caught:
        seqlrp.explain(classifier, some_texts(40), Short(classifier.model, 50))
    assert "batch_tokens='auto'" in caught.value.__notes__[0]
    with pytest.raises(torch.OutOfMemoryError) as caught:
        seqlrp.explain(classifier, some_texts(9), Short(classifier.model, 3), batch_tokens="auto")
    assert "cut the longest" in caught.value.__notes__[0]


@pytest.mark.parametrize("window", [4096, 7])
@pytest.mark.parametrize("batch_tokens", [1, 60, 8192])
def test_a_stream_gives_everything_before_what_fails(
    window: int, batch_tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("seqlrp.explaining.explain"), "WINDOW", window)
    classifier = small_classifier()
    texts = [t.replace("dull", "good") for t in some_texts(40)]
    texts[25] = "a dull film"
    (bad,) = classifier.vocabulary.encode(["dull"]).tolist()
    method = Short(classifier.model, 10_000, bad)
    stream = iter_explanations(classifier, iter(texts), method, batch_tokens=batch_tokens)
    given: list[str] = []
    with pytest.raises(ValueError, match="past explaining"):
        given.extend(explanation.text for explanation in stream)
    assert given == texts[: len(given)]
    if batch_tokens == 1:
        assert len(given) == 25
    elif window == 7:
        assert 21 <= len(given) <= 25


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_answer_is_the_same_under_auto(device: str) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    classifier = small_classifier()
    texts = some_texts(60)
    expected = seqlrp.explain(classifier, texts, target="all")
    classifier.model.to(device)
    for batch_tokens in ("auto", 50):  # many batches: results leave while the next one runs
        found = seqlrp.explain(classifier, texts, target="all", batch_tokens=batch_tokens)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one.relevance, other.relevance, rtol=1e-3, atol=1e-5)
            assert one.ledger["bias"] == pytest.approx(other.ledger["bias"], abs=1e-4)


def two_sentences(layout: str) -> TextClassifier:
    """A classifier whose tokenizer finds two sentences where the punctuation has one."""
    classifier = small_classifier(hierarchical=layout == "sentences")
    return replace(classifier, tokenizer=seqlrp.SpacyTokenizer())


@pytest.mark.parametrize("layout", ["sentences", "words"])
@pytest.mark.parametrize("target", ["predicted", "all"])
def test_sentences_are_those_that_the_model_read(layout: str, target: str) -> None:
    text = "It works! not bad at all."
    (e,) = seqlrp.explain(two_sentences(layout), [text], target=target)
    assert e.sentences is not None
    assert e.sentences.tolist() == [0, 0, 0, 1, 1, 1, 1, 1]
    merged = e.merged("sentence")
    assert merged.tokens == ("It works!", "not bad at all.")
    sums = np.stack([e.relevance[..., :3].sum(-1), e.relevance[..., 3:].sum(-1)], axis=-1)
    np.testing.assert_allclose(merged.relevance, sums, rtol=1e-5, atol=1e-7)
    again = e.merged("word").merged("sentence")
    assert again.tokens == merged.tokens
    assert merged.merged("sentence").tokens == merged.tokens
    rows = seqlrp.Explanations([e]).merged("sentence").to_pandas()
    assert len(rows) == 2 * (len(e.labels) if target == "all" else 1)
    for by in ("word", "token"):
        view = TextView.of(e, by)
        places = [text[start:end] for start, end in view.sentences.spans.tolist()]
        assert places == ["It works!", "not bad at all."]


def test_sentences_are_those_of_the_text_where_neither_model_nor_tokenizer_has_any() -> None:
    text = "It works! Not bad at all."
    classifier = replace(small_classifier(), tokenizer=str.split)
    (e,) = seqlrp.explain(classifier, [text])
    assert e.sentences is None
    assert e.merged("sentence").tokens == ("It works!", "Not bad at all.")
    nested = replace(small_classifier(hierarchical=True), tokenizer=str.split)
    (e,) = seqlrp.explain(nested, [text])  # read as one sentence
    assert e.sentences is not None
    assert e.sentences.tolist() == [0] * 6
    assert e.merged("sentence").tokens == (text,)


def test_the_stream_warns_at_the_line_that_uses_it_up() -> None:
    with pytest.warns(LeftOutWarning) as caught:
        seqlrp.explain(small_classifier(), ["good", ""], on_unanswerable="skip")
    assert caught[0].filename == __file__
    stream = seqlrp.iter_explanations(small_classifier(), ["good", ""], on_unanswerable="skip")
    with pytest.warns(LeftOutWarning) as caught:
        assert [e.id for e in stream] == ["0"]
    assert caught[0].filename == __file__


class WithFeature(nn.Module):
    """Reads a number for each text beside its words."""

    def __init__(self) -> None:
        super().__init__()
        self.emb, self.fc = nn.Embedding(5, 3, padding_idx=0), nn.Linear(4, 2)
        self.eval()

    def forward(self, ids: torch.Tensor, feature: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.fc(torch.cat([self.emb(ids).sum(1), feature], 1))
        return scores


@pytest.mark.parametrize("of_words", [False, True])
def test_features_computed_from_words_are_said(of_words: bool) -> None:
    vocabulary = seqlrp.Vocabulary(["<pad>", "<unk>", "good", "bad", "!"])

    def feature(ids: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return ((ids == 4) if of_words else words).sum(1, keepdim=True).float()

    classifier = TextClassifier(
        WithFeature(), vocabulary, ("no", "yes"), str.split, additional=feature
    )
    if of_words:
        with pytest.warns(WordFeaturesWarning, match="depends on the words"):
            seqlrp.explain(classifier, ["good ! !"])
    else:
        seqlrp.explain(classifier, ["good ! !"])  # no warning


def test_the_length_of_a_text_is_no_feature_of_its_words() -> None:
    vocabulary = seqlrp.Vocabulary(["<pad>", "<unk>", "good", "bad", "!"])

    def length(ids: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        return (ids != 0).sum(1, keepdim=True).float()

    classifier = TextClassifier(
        WithFeature(), vocabulary, ("no", "yes"), str.split, additional=length
    )
    seqlrp.explain(classifier, ["good ! !"])  # no warning


def test_a_feature_with_two_answers_is_said() -> None:
    vocabulary = seqlrp.Vocabulary(["<pad>", "<unk>", "good", "bad", "!"])
    answers = (lambda ids: ids.amin(1) > 1, lambda ids: ids[:, 0] < ids[:, -1])
    for answer in answers:

        def feature(ids: torch.Tensor, words: torch.Tensor, answer: Any = answer) -> torch.Tensor:
            answered: torch.Tensor = answer(ids).unsqueeze(1).float()
            return answered

        classifier = TextClassifier(
            WithFeature(), vocabulary, ("no", "yes"), str.split, additional=feature
        )
        with pytest.warns(WordFeaturesWarning, match="depends on the words"):
            seqlrp.explain(classifier, ["good bad"])


@pytest.mark.parametrize("name", ["explain", "check", "evaluate", "analyse", "choose"])
def test_the_class_of_a_method_is_no_method(classifier: TextClassifier, name: str) -> None:
    texts = ["good film", "bad film"] * 60
    option = {"evaluate": "methods", "choose": "candidates"}.get(name, "method")
    several = option != "method"
    for method in (seqlrp.LRP, *([[seqlrp.LRP], {"LRP": seqlrp.LRP}] if several else [])):
        with pytest.raises(OptionError, match="class LRP for the method") as found:
            getattr(seqlrp, name)(classifier, texts, **{option: method})
        assert found.value.option == "method"
        assert "Pass LRP(classifier.model), or 'lrp'." in str(found.value)
    with pytest.raises(OptionError, match="class dict for the method"):
        getattr(seqlrp, name)(classifier, texts, **{option: dict})


def test_a_method_is_evaluated_by_itself_and_one_without_a_name_is_refused(
    classifier: TextClassifier,
) -> None:
    texts = ["good film", "bad film"]
    asked: dict[str, Any] = {"metrics": ["aopc"], "min_words": 1, "progress": False}
    methods: Any = seqlrp.LRP(classifier.model)
    found = seqlrp.evaluate(classifier, texts, methods=methods, **asked)
    assert list(found.made["methods"]) == ["lrp"]
    methods = ["lrp", [1.0, 2.0]]
    with pytest.raises(OptionError, match="Got a list among the methods, which has no name"):
        seqlrp.evaluate(classifier, texts, methods=methods, **asked)
