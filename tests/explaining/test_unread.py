"""A word with relevance that the model does not read is found; what is read is left alone."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import torch
from samples.architectures import ARCHITECTURES, V, built
from samples.classifiers import small_classifier, some_texts
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.inputs import InputMode
from seqlrp.errors import RefusedFunctionError
from seqlrp.explaining.attribute import attribute_batch
from seqlrp.explaining.unread import find_unread, words_to_try

TEXTS = ["good film bad plot", "dull bad good"]
WORDS = ["<pad>", "<unk>", "good", "bad", "film", "dull", "plot", "long"]


class Model(nn.Module):
    def __init__(self, path: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.emb, self.map, self.fc = nn.Embedding(8, 3), nn.Linear(3, 4), nn.Linear(4, 2)
        self.path = path
        self.eval()

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.path(self, ids).sum(1))


def classifier(path: Callable[[Any, Tensor], Tensor]) -> seqlrp.TextClassifier:
    return seqlrp.TextClassifier(Model(path), seqlrp.Vocabulary(WORDS), ("no", "yes"))


def overwritten_unseen(m: Model, ids: Tensor) -> Tensor:
    """Writes the first id over the second where no torch function sees it."""
    ids = ids.clone().contiguous()
    for row in range(len(ids)):
        at = ids.data_ptr() + row * ids.stride(0) * 8
        ctypes.memmove(at + 8, at, 8)
    return torch.tanh(m.map(m.emb(ids)))


def plain(m: Model, ids: Tensor) -> Tensor:
    return torch.tanh(m.map(m.emb(ids)))


def overwritten(m: Model, ids: Tensor) -> Tensor:
    ids = ids.clone()
    ids[:, 1] = ids[:, 0]
    return plain(m, ids)


def overwritten_vectors(m: Model, ids: Tensor) -> Tensor:
    x = m.emb(ids)
    x[:, 1] = x[:, 0]
    return torch.tanh(m.map(x))


def dead(m: Model, ids: Tensor) -> Tensor:
    return torch.relu(m.map(m.emb(ids)) - 0.5)


def saturated(m: Model, ids: Tensor) -> Tensor:
    return torch.tanh(1e4 * m.map(m.emb(ids)))


def maximum(m: Model, ids: Tensor) -> Tensor:
    return m.map(m.emb(ids)).amax(1, keepdim=True)


def test_a_word_that_is_overwritten_unseen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedFunctionError, match="changes ids where it cannot be followed"):
        seqlrp.check(classifier(overwritten_unseen), TEXTS)
    monkeypatch.setattr(InputMode, "_check_content", lambda self, ids: None)
    found = seqlrp.check(classifier(overwritten_unseen), TEXTS)
    assert {(w.document, w.place, w.word) for w in found.unread} == {(0, 1, "film"), (1, 1, "bad")}
    assert all(w.relevance for w in found.unread)
    (warning,) = [w for w in found.warnings if "does not read" in w]
    assert "'film' in text 0" in warning
    assert f"{found.read_tried} words were tried; 2 of them have relevance" in found.summary()


@pytest.mark.parametrize(
    "path",
    [plain, overwritten, overwritten_vectors, dead, saturated, maximum],
    ids=lambda p: p.__name__,
)
def test_right_models_are_left_alone(path: Callable[[Any, Tensor], Tensor]) -> None:
    found = seqlrp.check(classifier(path), TEXTS)
    assert found.unread == ()
    assert found.read_tried > 0
    assert not any("does not read" in warning for warning in found.warnings)


@pytest.mark.parametrize("path", [overwritten, overwritten_vectors], ids=lambda p: p.__name__)
def test_relevance_in_a_wrong_place_is_found(path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a method that takes the places of words for others."""

    def moved(*args: Any) -> Any:
        found, words = attribute_batch(*args)
        return found._replace(relevance=found.relevance.roll(1, -1)), words

    monkeypatch.setattr("seqlrp.explaining.check.attribute_batch", moved)
    found = seqlrp.check(classifier(path), TEXTS)
    assert {(w.document, w.place) for w in found.unread} == {(0, 1), (1, 1)}


@pytest.mark.parametrize(
    "options", [{}, {"cell": "gru", "pooling": "max"}, {"hierarchical": True}],
    ids=str,
)  # fmt: skip
def test_classifiers_of_the_package_are_left_alone(options: dict[str, Any]) -> None:
    found = seqlrp.check(small_classifier(**options), some_texts(10))
    assert found.unread == ()
    assert found.read_tried >= 20


@pytest.mark.parametrize(
    "entry", [e for e in ARCHITECTURES if e.fed == "words"], ids=lambda entry: entry.name
)
def test_architectures_are_left_alone(entry: Any) -> None:
    vocabulary = seqlrp.Vocabulary(["<pad>", "<unk>", *(f"w{k}" for k in range(2, V))])
    made = seqlrp.TextClassifier(
        built(entry.make), vocabulary, ("a", "b", "c"),
        additional="lengths" if entry.lengths else None,
    )  # fmt: skip
    lrp = seqlrp.LRP(made.model, output=entry.output, verify=False)
    texts = ["w3 w5 w3 w9 w2 w7 w4 w6 w8", "w8 w4 w12 w7 w3 w9 w2 w3 w5"]
    documents = list(made.encode(texts))
    try:
        amounts = [
            lrp.attribution(b.ids, 0, b.additional or None).relevance.reshape(-1)[: len(d)].tolist()
            for d in documents
            for b in [made.batch([d])]
        ]
    except seqlrp.errors.SeqlrpError as error:
        pytest.skip(str(error))
    questions: Any = [type("Asked", (), {"document": d}) for d in documents]
    unread, tried = find_unread(made, questions, words_to_try(amounts, 20), 60)
    assert unread == []
    assert tried


def test_the_number_of_texts_that_are_read_is_bounded() -> None:
    made, calls = classifier(plain), []
    made.model.register_forward_pre_hook(lambda *_: calls.append(1))
    counts = {}
    for variants in (0, 9, 200):
        calls.clear()
        found = seqlrp.check(made, TEXTS * 5, variants=variants, verify=False)
        counts[variants] = len(calls)
        assert found.read_tried <= variants
    assert counts[9] - counts[0] <= 9 + 10  # and each text as it is
    assert seqlrp.check(made, TEXTS, variants=0, verify=False).read_tried == 0
    with pytest.raises(seqlrp.errors.OptionError):
        seqlrp.check(made, TEXTS, variants=-1)


def test_a_model_that_raises_on_other_words_reads_them() -> None:
    known = set(classifier(plain).vocabulary.encode(" ".join(TEXTS).split()))

    def strict(m: Model, ids: Tensor) -> Tensor:
        if not set(ids.reshape(-1).tolist()) <= known | {0, 1}:
            raise KeyError("a word")
        return plain(m, ids)

    found = seqlrp.check(classifier(strict), TEXTS)
    assert found.read_tried
    assert not found.unread


def test_words_without_relevance_are_not_tried() -> None:
    words = words_to_try([[0.0, 1.0, 1e-9], [0.0, 0.0]], 10)
    assert [(w.number, w.place) for w in words] == [(0, 1)]
    many = words_to_try([[1.0] * 50] * 4, 20)
    assert len(many) == 20
    assert many == words_to_try([[1.0] * 50] * 4, 20)
    assert len({w.number for w in many}) > 1


def asked_for(m: Model, ids: Tensor) -> Tensor:
    """The word "good" has a vector of 0, and adds a number in Python where nothing sees it."""
    with torch.no_grad():
        m.emb.weight[2] = 0
    bonus = [[5.0 * (2 in row)] * 4 for row in ids.tolist()]
    return m.map(m.emb(ids)) + torch.tensor(bonus).unsqueeze(1)


@pytest.mark.filterwarnings("ignore::seqlrp.errors.UnverifiedWarning")
def test_a_word_without_relevance_with_which_the_score_changes_is_named() -> None:
    made = classifier(asked_for)
    found = seqlrp.check(made, TEXTS[:1], epsilon=0, verify=False)
    assert [(w.document, w.place, w.word) for w in found.uncredited] == [(0, 0, "good")]
    assert any("'good' in text 0" in warning for warning in found.warnings)
    assert found.unverified == "verify=False"
    assert "Verified by runs on other words: no (verify=False)." in found.summary()
    assert "not the text's" not in found.summary().split("Biases")[0]
    assert any("was not tested" in warning for warning in found.warnings)


def test_a_later_batch_with_a_word_that_is_asked_for_in_python_is_refused_by_check() -> None:
    def bonus(m: Model, ids: Tensor) -> Tensor:
        there = [[1.0 * (7 in row)] * 4 for row in ids.tolist()]
        return m.map(m.emb(ids)) + torch.tensor(there).unsqueeze(1)

    texts = ["good film bad plot good", "dull long"]
    with pytest.raises(seqlrp.errors.UnfollowedWordsError):
        seqlrp.check(classifier(bonus), texts, batch_tokens=5)


def test_constants_that_were_tested_are_the_models() -> None:
    found = seqlrp.check(classifier(lambda m, ids: m.map(m.emb(ids)) + 9), TEXTS)
    assert found.unverified == ""
    assert "Verified by runs on other words: yes." in found.summary()
    assert any("On other words they had the same values" in w for w in found.warnings)
