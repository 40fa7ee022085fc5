"""Document vectors: each kind against sums written out, and what is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from oracles import explanatory_power as oracle
from samples.classifiers import WORDS, small_classifier, some_texts, split_words
from scipy import sparse
from torch import Tensor, nn

import seqlrp
from seqlrp.analysis.vectors import document_vectors
from seqlrp.analysis.word_vectors import word_vectors
from seqlrp.errors import InputError, ModelError, OptionError
from seqlrp.models.classifier import TextClassifier

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "words": {},
    "sentences": {"hierarchical": True},
    "one output": {"classes": 1},
}
KINDS = ("relevance", "elementwise", "uniform", "tfidf", "sensitivity", "words")


def table(classifier: TextClassifier) -> np.ndarray:
    embedding = classifier.model.get_submodule("embedding")
    return embedding.weight.detach().numpy()  # type: ignore[union-attr, operator]


@pytest.fixture(params=CLASSIFIERS)
def each(request: pytest.FixtureRequest) -> TextClassifier:
    return small_classifier(**CLASSIFIERS[request.param])


def test_every_kind_is_the_sum_it_says(each: TextClassifier) -> None:
    texts = some_texts(12)
    found = seqlrp.explain(each, texts, progress=False)
    x = table(each)
    ids = [each.vocabulary.encode(e.tokens) for e in found]
    held = np.array([[word in own for own in ids] for word in range(len(x))])
    idf = np.log(len(texts) / np.maximum(held.sum(1), 1))
    slopes = seqlrp.explain(each, texts, "sensitivity", progress=False)
    vectors = {k: document_vectors(found, each, k, progress=False) for k in KINDS}
    for k, (own, e, slope) in enumerate(zip(ids, found, slopes, strict=True)):
        expected = {
            "relevance": sum(r * x[i] for r, i in zip(e.relevance, own, strict=True)),
            "uniform": sum(x[i] for i in own),
            "tfidf": sum(idf[i] * x[i] for i in own),
            "sensitivity": sum(s * x[i] for s, i in zip(slope.relevance, own, strict=True)),
        }
        for kind, value in expected.items():
            np.testing.assert_allclose(vectors[kind][k], value, rtol=1e-4, atol=1e-6)
        words = np.zeros(len(x))
        np.add.at(words, own, e.relevance)
        np.testing.assert_allclose(vectors["words"][[k]].toarray()[0], words, atol=1e-6)
    for kind, matrix in vectors.items():
        assert matrix.dtype == np.float32
        assert matrix.shape == (12, len(x) if kind == "words" else x.shape[1])
        assert sparse.issparse(matrix) == (kind == "words")


def test_elementwise_vectors_use_relevance_of_single_dimensions() -> None:
    classifier = small_classifier()
    found = seqlrp.explain(classifier, some_texts(5), target=0, epsilon=0.05, progress=False)
    vectors = document_vectors(found, classifier, "elementwise", progress=False)
    lrp = seqlrp.LRP(classifier.model, 0.05)
    for k, e in enumerate(found):
        ids = torch.tensor(classifier.vocabulary.encode(e.tokens)).unsqueeze(0)
        relevance = lrp.attribute(ids, 0, reduce=False)[0].numpy()
        x = table(classifier)[ids[0]]
        np.testing.assert_allclose(vectors[k], (relevance * x).sum(0), rtol=1e-4, atol=1e-7)


def test_vectors_agree_with_the_loops_of_the_oracle() -> None:
    classifier = small_classifier()
    found = seqlrp.explain(classifier, some_texts(8), progress=False)
    corpus = [e.tokens for e in found]
    words = dict(zip(classifier.vocabulary.tokens, table(classifier), strict=True))
    unknown = classifier.vocabulary.tokens[classifier.vocabulary.unk]
    known = [[word if word in words else unknown for word in own] for own in corpus]
    lrp = seqlrp.LRP(classifier.model)
    kinds = ("relevance", "uniform", "tfidf", "elementwise")
    vectors = {k: document_vectors(found, classifier, k, progress=False) for k in kinds}
    for k, (e, own) in enumerate(zip(found, known, strict=True)):
        x = np.stack([words[word] for word in own])
        ids = torch.tensor(classifier.vocabulary.encode(e.tokens)).unsqueeze(0)
        single = lrp.attribute(ids, reduce=False)[0].numpy()
        expected = {
            "relevance": oracle.weighted_vector(e.relevance, x),
            "uniform": oracle.uniform_vector(x),
            "tfidf": oracle.tfidf_vector(own, known, words),
            "elementwise": oracle.element_wise_vector(single, x),
        }
        for kind, value in expected.items():
            np.testing.assert_allclose(vectors[kind][k], value, rtol=1e-4, atol=1e-6)


def test_a_label_that_one_output_speaks_against_has_the_other_sign() -> None:
    classifier = small_classifier(classes=1)
    texts = some_texts(4)
    for kind in ("relevance", "elementwise", "layer:encoder.recurrence"):
        one, other = (
            document_vectors(
                seqlrp.explain(classifier, texts, target=target, progress=False),
                classifier,
                kind,
                progress=False,
            )
            for target in (0, 1)
        )
        np.testing.assert_allclose(one, -other, rtol=1e-5, atol=1e-9)
        assert np.abs(one).max() > 0


def test_units_of_a_layer(each: TextClassifier) -> None:
    found = seqlrp.explain(each, some_texts(6), progress=False)
    one = document_vectors(found, each, "layer:encoder.recurrence", progress=False)
    assert one.shape == (6, 10)
    each_alone = [
        document_vectors(found[k : k + 1], each, "layer:encoder.recurrence", progress=False)
        for k in range(6)
    ]
    np.testing.assert_allclose(one, np.concatenate(each_alone), rtol=1e-4, atol=1e-7)


def test_all_classes_count_for_the_predicted_one() -> None:
    classifier = small_classifier()
    texts = some_texts(5)
    every = seqlrp.explain(classifier, texts, target="all", progress=False)
    one = seqlrp.explain(classifier, texts, progress=False)
    for kind in KINDS:
        a, b = (document_vectors(e, classifier, kind, progress=False) for e in (every, one))
        np.testing.assert_allclose(_dense(a), _dense(b), rtol=1e-4, atol=1e-6)


def test_a_contrast_keeps_its_other_side() -> None:
    classifier = small_classifier(labels=("a", "b", "c"))
    texts = some_texts(4)
    found = seqlrp.explain(classifier, texts, target=(0, 2), progress=False)
    vectors = document_vectors(found, classifier, "elementwise", progress=False)
    sides = [
        document_vectors(
            seqlrp.explain(classifier, texts, target=target, progress=False),
            classifier,
            "elementwise",
            progress=False,
        )
        for target in (0, 2)
    ]
    np.testing.assert_allclose(vectors, sides[0] - sides[1], rtol=1e-3, atol=1e-6)


def test_explanations_of_any_method_and_none_at_all() -> None:
    classifier = small_classifier()
    found = seqlrp.explain(classifier, some_texts(3), "gradient_x_input", progress=False)
    assert document_vectors(found, classifier).shape == (3, 6)
    for kind in ("elementwise", "layer:head"):
        with pytest.raises(OptionError, match="gradient_x_input"):
            document_vectors(found, classifier, kind)
    lrp = seqlrp.LRP(classifier.model, 0.1)
    assert document_vectors(found, classifier, "layer:head", method=lrp).shape == (3, 2)
    for kind in KINDS:
        assert document_vectors([], classifier, kind).shape[0] == 0


def test_refusals() -> None:
    classifier = small_classifier()
    found = seqlrp.explain(classifier, ["a good film . bad", "dull"], progress=False)
    with pytest.raises(OptionError, match="relevance"):
        document_vectors(found, classifier, "relevanze")
    with pytest.raises(OptionError):
        document_vectors(found, classifier, "layer:nowhere", progress=False)
    with pytest.raises(OptionError, match="encoder"):  # a name that is near
        document_vectors(found, classifier, "layer:encode", progress=False)
    with pytest.raises(InputError, match="Got str as explanation 0"):
        document_vectors(["a text"], classifier, progress=False)  # type: ignore[list-item]
    for kind in ("relevance", "elementwise"):
        with pytest.raises(InputError, match=r"merged\(\)") as caught:
            document_vectors(found.merged("sentence"), classifier, kind, progress=False)
        assert caught.value.text == 0


def test_merged_texts_are_refused_where_they_are_not_split_again() -> None:
    vocabulary = seqlrp.Vocabulary.build([WORDS])
    spacy = TextClassifier(small_classifier().model, vocabulary, ("negative", "positive"))
    found = seqlrp.explain(spacy, ["a good film. Not bad.", "dull"], progress=False)
    assert document_vectors(found, spacy).shape == (2, 6)
    with pytest.raises(InputError, match="are merged"):
        document_vectors(found.merged("word"), spacy)


def test_explanations_of_another_tokenizer_are_refused() -> None:
    classifier = small_classifier()
    found = seqlrp.explain(classifier, ["a good film"], progress=False)
    other = dataclasses.replace(classifier, tokenizer=lambda text: [text])
    with pytest.raises(InputError, match="are not those"):
        document_vectors(found, other)


class Twice(nn.Module):
    """Reads each word from two embeddings, in parts: a fixed one, and one of hashed ids."""

    def __init__(self, words: int) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fixed, self.hashed = nn.Embedding(words, 3), nn.Embedding(4, 2)
        self.lstm, self.head = nn.LSTM(5, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, ids: Tensor) -> Tensor:
        vectors = torch.cat([self.fixed(ids), self.hashed(ids % 4)], dim=-1)
        scores: Tensor = self.head(self.lstm(vectors)[0].mean(1))
        return scores


def test_vectors_of_several_embeddings_stand_side_by_side() -> None:
    vocabulary = seqlrp.Vocabulary.build([WORDS])
    model = Twice(len(vocabulary)).eval()
    classifier = TextClassifier(model, vocabulary, ("no", "yes"), split_words)
    found = word_vectors(classifier)
    ids = torch.arange(len(vocabulary))
    expected = torch.cat([model.fixed(ids), model.hashed(ids % 4)], 1).detach().numpy()
    expected[vocabulary.pad] = 0
    np.testing.assert_array_equal(found, expected)
    explained = seqlrp.explain(classifier, ["a good film", "a dull plot"], progress=False)
    assert document_vectors(explained, classifier).shape == (2, 5)
    with pytest.raises(OptionError, match="several"):
        document_vectors(explained, classifier, "elementwise", progress=False)


def test_a_large_vocabulary_is_read_in_parts() -> None:
    vocabulary = seqlrp.Vocabulary.build([[f"w{k}" for k in range(5000)]])
    model = small_classifier().model.__class__(len(vocabulary), 2, embedding=3, hidden=2).eval()
    classifier = TextClassifier(model, vocabulary, ("no", "yes"), split_words)
    np.testing.assert_array_equal(word_vectors(classifier), table(classifier))


def test_models_without_vectors_are_refused() -> None:
    class Counts(nn.Module):
        def forward(self, ids: Tensor) -> Tensor:
            return torch.stack([(ids == k).sum(1) for k in (2, 3)], 1).float()

    vocabulary = seqlrp.Vocabulary.build([WORDS])
    classifier = TextClassifier(Counts(), vocabulary, ("no", "yes"), split_words)
    with pytest.raises(ModelError):
        word_vectors(classifier.__class__(Counts().eval(), vocabulary, ("no", "yes"), split_words))


def _dense(matrix: Any) -> np.ndarray:
    dense: np.ndarray = matrix.toarray() if sparse.issparse(matrix) else matrix
    return dense
