"""Scores and probabilities: in order, in any batches, finite, and refused where they are none."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.bag_of_words import VOCABULARY, BagOfWords, foreign
from samples.classifiers import small_classifier, some_texts, split_words
from samples.examples import examples
from torch import Tensor

from seqlrp.errors import (
    LabelError,
    NonFiniteError,
    OptionError,
    OutputError,
    TrainingModeError,
)
from seqlrp.explaining.check import check
from seqlrp.explaining.explain import explain
from seqlrp.models.classifier import TextClassifier


@pytest.mark.parametrize("hierarchical", [False, True])
@examples(20)
@given(seed=st.integers(0, 100), batch_tokens=st.integers(1, 300))
def test_predict_is_the_same_in_any_batches(
    hierarchical: bool, seed: int, batch_tokens: int
) -> None:
    classifier = small_classifier(hierarchical=hierarchical)
    texts = some_texts(23, seed)
    found = classifier.predict(iter(texts), batch_tokens=batch_tokens)
    one_by_one = torch.cat([classifier.scores([e]) for e in classifier.encode(texts)])
    np.testing.assert_allclose(found.scores, one_by_one.numpy(), rtol=1e-4, atol=1e-6)
    assert found.predicted.tolist() == found.scores.argmax(axis=1).tolist()
    assert found.scores.dtype == np.float32
    assert found.predicted.dtype == np.int64


def test_predict_of_nothing() -> None:
    predicted, scores = foreign().predict([])
    assert predicted.shape == (0,)
    assert scores.shape == (0, 2)


def test_predict_a_stream_longer_than_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = some_texts(11)
    whole = foreign().predict(texts).scores
    monkeypatch.setattr("seqlrp.models.classifier._WINDOW", 4)
    np.testing.assert_array_equal(foreign().predict(iter(texts)).scores, whole)


def test_a_tokenizer_with_a_pipe_is_used_by_it() -> None:
    class Piped:
        def __call__(self, text: str) -> Any:
            raise AssertionError("called for a single text")

        def pipe(self, texts: Any) -> Any:
            return map(split_words, texts)

    classifier = TextClassifier(BagOfWords().eval(), VOCABULARY, ("no", "yes"), Piped())
    assert [e.source.tokens for e in classifier.encode(["a film", "bad"])] == [
        ("a", "film"),
        ("bad",),
    ]


def test_a_string_is_one_text() -> None:
    """Everywhere: a string is no list of characters."""
    classifier = foreign()
    one, listed = classifier.predict("a film"), classifier.predict(["a film"])
    np.testing.assert_array_equal(one.scores, listed.scores)
    assert classifier.predict_proba("a film").shape == (1, 2)
    small = small_classifier()
    for ask in (explain, check):
        assert len(ask(small, "a good film")) == len(ask(small, ["a good film"])) == 1


def test_one_output_speaks_for_the_second_label() -> None:
    classifier = foreign(outputs=1)
    batch = list(classifier.encode(["a good film", "bad"]))
    ids, _ = classifier.collate(batch)
    output = classifier.model(ids).detach()
    torch.testing.assert_close(classifier.scores(batch), torch.cat([-output, output], dim=1))


def test_training_mode_is_refused() -> None:
    classifier = small_classifier()
    classifier.model.get_submodule("dropout").train()
    with pytest.raises(TrainingModeError, match=r"\(dropout\).*call model.eval\(\) first"):
        classifier.predict(["a film"])
    with pytest.raises(TrainingModeError, match=r"\(dropout\)"):
        _ = classifier.single_output


def test_a_model_in_training_mode_is_not_run_to_count_its_outputs() -> None:
    class Counting(BagOfWords):
        def forward(self, ids: Tensor) -> Any:
            raise AssertionError("was run")

    classifier = TextClassifier(Counting().train(), VOCABULARY, ("no", "yes"), split_words)
    with pytest.raises(TrainingModeError, match=r"call model.eval\(\) first"):
        explain(classifier, ["a film"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.argmax(dim=1), "returns a torch.int64 tensor, expected a float tensor"),
        (lambda s: (s, s), "returns a tuple"),
        (lambda s: s[0], r"shape \[2\], expected \[1, 2\]"),
        (lambda s: s.sum(), r"shape \[\], expected \[1, 2\]"),
        (lambda s: s.unsqueeze(2), r"shape \[1, 2, 1\], expected \[1, 2\]"),
    ],
)
def test_outputs_that_are_no_scores(change: Any, message: str) -> None:
    with pytest.raises(OutputError, match=message):
        foreign(change=change).predict(["a film"])


def test_scores_that_are_more_than_labels() -> None:
    wide = foreign(change=lambda s: torch.cat([s, s], dim=1))
    for ask in (wide.predict, partial(explain, wide)):
        with pytest.raises(LabelError, match="gives 4 scores a text, but the classifier names 2"):
            ask(["a film"])


def test_scores_must_be_finite() -> None:
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        foreign(change=lambda s: s / 0).predict(["a film"])


def test_scores_need_no_gradient_and_leave_the_weights_alone() -> None:
    classifier = small_classifier()
    before = {name: value.clone() for name, value in classifier.model.state_dict().items()}
    assert not classifier.scores(list(classifier.encode(["a good film"]))).requires_grad
    for name, value in classifier.model.state_dict().items():
        assert torch.equal(value, before[name])
    assert all(parameter.grad is None for parameter in classifier.model.parameters())


def test_probabilities_are_the_softmax_of_scores() -> None:
    classifier = small_classifier(labels=("a", "b", "c"))
    texts = some_texts(9)
    scores = classifier.predict(texts).scores.astype(np.float64)
    expected = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    found = classifier.predict_proba(texts, batch_tokens="auto")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    each = classifier.predict_proba(texts, multilabel=True)
    np.testing.assert_allclose(each, 1 / (1 + np.exp(-scores)), rtol=1e-6)


def test_a_single_output_gives_the_probability_of_the_second_label() -> None:
    texts = ["a good film", "bad"]
    classifier = foreign(outputs=1)
    output = classifier.predict(texts).scores[:, 1].astype(np.float64)
    yes = 1 / (1 + np.exp(-output))
    np.testing.assert_allclose(classifier.predict_proba(texts), np.stack([1 - yes, yes], 1))
    alone = foreign(outputs=1, labels=("yes",))
    np.testing.assert_allclose(alone.predict_proba(texts)[:, 0], yes)


def test_a_classifier_of_several_labels_a_text_says_so_by_itself() -> None:
    one = small_classifier(labels=("a", "b", "c"))
    several = replace(one, multilabel=True)
    texts = some_texts(9)
    scores = one.predict(texts).scores.astype(np.float64)
    np.testing.assert_allclose(several.predict_proba(texts), 1 / (1 + np.exp(-scores)), rtol=1e-6)
    chances = several.predict_proba(texts, multilabel=False)
    np.testing.assert_array_equal(chances, one.predict_proba(texts))
    assert (one.independent, several.independent) == (False, True)
    assert foreign(outputs=1).independent
    assert not foreign().independent
    with pytest.raises(OptionError, match="multilabel='yes'; expected True or False"):
        replace(one, multilabel="yes")  # type: ignore[arg-type]


def test_probabilities_of_huge_scores_are_no_nan() -> None:
    huge = np.array([[1e30, -1e30], [-1e5, 0.0]])
    assert foreign().probabilities(huge).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert foreign(outputs=1).probabilities(huge).tolist() == [[1.0, 0.0], [0.0, 0.5]]
