"""Texts of which nothing can be asked: refused by name, or left out and told."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from samples.classifiers import small_classifier, some_texts

import seqlrp
from seqlrp.errors import (
    CorpusError,
    InputError,
    LabelError,
    LeftOutWarning,
    OptionError,
    TargetError,
    TextError,
)
from seqlrp.models.classifier import TextClassifier

HOLES = ["", None, "  \n", float("nan")]


@pytest.fixture(scope="module")
def classifier() -> TextClassifier:
    return small_classifier()


def with_holes(texts: list[str], places: list[int]) -> list[Any]:
    found: list[Any] = list(texts)
    for k, place in enumerate(places):
        found[place] = HOLES[k % len(HOLES)]
    return found


@pytest.mark.parametrize("window", [4096, 5])
def test_texts_without_a_word_are_left_out_and_told(
    classifier: TextClassifier, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_module("seqlrp.explaining.explain"), "WINDOW", window)
    texts, holes = some_texts(30), [0, 4, 5, 6, 7, 8, 9, 29]
    labels = [k % 2 for k in range(30)]
    told = r"Left out 8 of 30 texts: 8 without a word \(number 0, 4, 5, 6, 7, …\)\. The id"
    with pytest.warns(LeftOutWarning, match=told):
        found = seqlrp.explain(
            classifier, iter(with_holes(texts, holes)), target="label", labels=labels,
            on_unanswerable="skip", batch_tokens=50,
        )  # fmt: skip
    kept = [k for k in range(30) if k not in holes]
    assert [e.id for e in found] == [str(k) for k in kept]
    assert [e.label for e in found] == [e.target for e in found] == [labels[k] for k in kept]
    alone = seqlrp.explain(classifier, [texts[k] for k in kept], target="all")
    for e, every in zip(found, alone, strict=True):
        np.testing.assert_allclose(e.relevance, every.relevance[e.target], atol=1e-6)
        assert e.text == every.text


def test_nothing_is_told_where_nothing_is_left_out(classifier: TextClassifier) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = seqlrp.explain(classifier, some_texts(3), on_unanswerable="skip")
    assert [e.id for e in found] == ["0", "1", "2"]
    with pytest.warns(LeftOutWarning, match="Left out 2 of 2 texts"):
        assert len(seqlrp.explain(classifier, ["", None], on_unanswerable="skip")) == 0


def test_names_of_texts_are_kept(classifier: TextClassifier) -> None:
    frame = pd.DataFrame({"text": ["good", pd.NA, None, "dull"]}, index=[7, 8, 9, 10])
    with pytest.warns(LeftOutWarning, match=r"Left out 2 of 4"):
        found = seqlrp.explain(classifier, frame, ids=frame.index, on_unanswerable="skip")
    assert [e.id for e in found] == ["7", "10"]
    assert [e.id for e in seqlrp.explain(classifier, ["good"], ids=["mine"])] == ["mine"]
    assert seqlrp.explain(classifier, ["good"])[0].id is None
    with pytest.raises(InputError, match="Got 1 ids for more texts"):
        seqlrp.explain(classifier, ["good", "dull"], ids=["a"])
    with pytest.raises(InputError, match="Got more ids than the 1 texts"):
        seqlrp.explain(classifier, ["good"], ids=["a", "b"])


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("target", [("label", "predicted"), ("predicted", "label"), ("label", 1)])
def test_texts_with_one_class_on_both_sides_are_left_out(classes: int, target: Any) -> None:
    classifier = small_classifier(classes=classes)
    texts = [*some_texts(20), ""]
    predicted = classifier.predict(texts[:-1]).predicted
    labels = [*np.random.default_rng(0).integers(0, 2, 20).tolist(), 2]  # the last is left out
    sides = {"label": labels, "predicted": predicted.tolist(), 1: [1] * 21}
    wanted = [k for k in range(20) if sides[target[0]][k] != sides[target[1]][k]]
    assert 0 < len(wanted) < 20
    told = rf"Left out {21 - len(wanted)} of 21 texts: 1 without a word \(number 20\); .* with one"
    with pytest.warns(LeftOutWarning, match=told):
        found = seqlrp.explain(
            classifier, texts, target=target, labels=labels, on_unanswerable="skip",
            batch_tokens=40,
        )  # fmt: skip
    assert [e.id for e in found] == [str(k) for k in wanted]
    for e, k in zip(found, wanted, strict=True):
        assert (e.target, e.against) == (sides[target[0]][k], sides[target[1]][k])
        assert e.predicted == predicted[k]
        (alone,) = seqlrp.explain(classifier, [texts[k]], target=(e.target, e.against))
        np.testing.assert_allclose(e.relevance, alone.relevance, atol=1e-6)


def test_a_model_that_returns_several_things_is_asked_for_its_classes() -> None:
    inner = small_classifier()

    class Several(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = inner.model

        def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"noise": ids, "logits": self.inner(ids)}

    classifier = TextClassifier(Several().eval(), inner.vocabulary, inner.labels, inner.tokenizer)
    texts = some_texts(9)
    options: dict[str, Any] = {"target": ("label", "predicted"), "labels": [0, 1, 0] * 3}
    with pytest.warns(LeftOutWarning):
        found = seqlrp.explain(
            classifier, texts, output="logits", on_unanswerable="skip", **options
        )
    with pytest.warns(LeftOutWarning):
        expected = seqlrp.explain(inner, texts, on_unanswerable="skip", **options)
    assert [e.id for e in found] == [e.id for e in expected] != []
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.relevance, other.relevance, atol=1e-6)


def test_what_is_refused_all_the_same(classifier: TextClassifier) -> None:
    with pytest.raises(TextError, match=r"Text 1 is NoneType.*on_unanswerable='skip'"):
        seqlrp.explain(classifier, ["good", None])
    with pytest.raises(TextError, match="Text 1 is int, expected a string"):
        seqlrp.explain(classifier, ["good", 3], on_unanswerable="skip")
    with pytest.raises(OptionError, match=r"on_unanswerable='skp'. Did you mean 'skip'"):
        seqlrp.explain(classifier, ["good"], on_unanswerable="skp")  # type: ignore[arg-type]


def test_a_check_leaves_them_out_too(classifier: TextClassifier) -> None:
    texts = ["", *some_texts(9), None]
    predicted = [0, *classifier.predict(texts[1:-1]).predicted.tolist(), 0]
    labels = [1 - p if k % 2 else p for k, p in enumerate(predicted)]
    options: dict[str, Any] = {"target": ("label", "predicted"), "labels": labels}
    told = r"Left out 6 of 11 texts: 2 without a word \(number 0, 10\); 4 with one class"
    with pytest.warns(LeftOutWarning, match=told):
        found = seqlrp.check(classifier, texts, on_unanswerable="skip", batch_tokens=20, **options)
    assert found.compared
    with pytest.warns(LeftOutWarning):
        explained = seqlrp.explain(classifier, texts, on_unanswerable="skip", **options)
    np.testing.assert_allclose(found.ledger.score, [e.score for e in explained], atol=1e-5)
    with pytest.raises(TextError, match=r"Text 10 is NoneType.*on_unanswerable='skip'"):
        seqlrp.check(classifier, texts, **options)
    with pytest.warns(LeftOutWarning), pytest.raises(CorpusError, match="no text to check"):
        seqlrp.check(classifier, ["", None], on_unanswerable="skip")


# A class for each text


def test_a_class_for_each_text(classifier: TextClassifier) -> None:
    texts = some_texts(12)
    names = [classifier.labels[k % 3 % 2] for k in range(12)]
    indices = [k % 3 % 2 for k in range(12)]
    every = seqlrp.explain(classifier, texts, target="all")
    for target in (names, indices, np.array(indices), torch.tensor(indices), pd.Series(names)):
        found = seqlrp.explain(classifier, texts, target=target, batch_tokens=40)
        assert [e.target for e in found] == indices
        for e, all_ in zip(found, every, strict=True):
            np.testing.assert_allclose(e.relevance, all_.relevance[e.target], atol=1e-6)
    other = [1 - k for k in indices]
    pairs = seqlrp.explain(classifier, texts, target=(indices, other))
    assert [(e.target, e.against) for e in pairs] == list(zip(indices, other, strict=True))


def test_classes_that_do_not_fit_their_texts(classifier: TextClassifier) -> None:
    texts = some_texts(3)
    with pytest.raises(TargetError, match="Got 2 targets for more texts"):
        seqlrp.explain(classifier, texts, target=[0, 1])
    with pytest.raises(TargetError, match=r"Got more targets than the 3 texts"):
        seqlrp.explain(classifier, texts, target=[0, 1, 0, 1])
    with pytest.raises(TargetError, match=r"Text 2 has the target 'positiv'.*Did you mean"):
        seqlrp.explain(classifier, texts, target=[0, 1, "positiv"])
    with pytest.raises(TargetError, match="Text 1 has the target 2, but the classifier has 2"):
        seqlrp.explain(classifier, texts, target=[0, 2, 1])
    with pytest.raises(LabelError, match="Text 1 has the label nan, expected the name"):
        seqlrp.explain(classifier, texts, labels=[0, float("nan"), 1])
    with pytest.raises(TargetError, match="For text 1 both sides of the target are 'positive'"):
        seqlrp.explain(classifier, texts, target=([0, 1, 0], [1, 1, 1]))


def test_texts_with_too_many_words_are_refused_or_left_out(classifier: TextClassifier) -> None:
    texts = ["a good film", "a bad film " * 5, "good"]
    with pytest.raises(TextError, match=r"Text 1 has 15 words, and max_words is 14: .* Raise max"):
        seqlrp.explain(classifier, texts, max_words=14)
    with pytest.raises(TextError, match="Text 1 has 15 words"):
        seqlrp.check(classifier, texts, max_words=14)
    with pytest.warns(LeftOutWarning, match=r"1 with too many words \(number 1\)"):
        found = seqlrp.explain(classifier, texts, max_words=14, on_unanswerable="skip")
    assert [e.id for e in found] == ["0", "2"]
    assert len(seqlrp.explain(classifier, texts, max_words=15)) == 3
    assert len(seqlrp.explain(classifier, texts, max_words=None)) == 3
    with pytest.raises(OptionError, match="max_words=0"):
        seqlrp.explain(classifier, texts, max_words=0)


def test_a_million_words_are_refused_by_default(classifier: TextClassifier) -> None:
    split = TextClassifier(classifier.model, classifier.vocabulary, classifier.labels, str.split)
    with pytest.raises(TextError, match="has 1,000,000 words, and max_words is 200,000"):
        seqlrp.explain(split, ["good " * 1_000_000])
