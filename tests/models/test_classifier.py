"""Texts in, scores out: in order, in batches, and refused where parts do not belong together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.bag_of_words import VOCABULARY, BagOfWords, foreign
from samples.classifiers import WORDS, small_classifier, some_texts, split_words
from torch import Tensor, nn

from seqlrp.errors import (
    LabelError,
    ModelError,
    OptionError,
    TargetError,
    TextError,
    VocabularyError,
    VocabularyWarning,
)
from seqlrp.evaluation.removal import scores_without
from seqlrp.explaining.explain import explain
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.text.tokens import TokenizedText, from_doc
from seqlrp.text.vocabulary import Vocabulary

# Batches


def test_collate_words() -> None:
    classifier = foreign()
    ids, words = classifier.collate(list(classifier.encode(["a good film", "", "bad"])))
    assert ids.shape == words.shape == (3, 3)
    assert words.sum(dim=1).tolist() == [3, 0, 1]
    assert ids[words].tolist() == VOCABULARY.encode(["a", "good", "film", "bad"]).tolist()
    assert (ids[~words] == 0).all()


@given(st.lists(st.lists(st.sampled_from(["good", "bad.", "plot", "dull."])), min_size=1))
def test_sentences_hold_the_words_in_their_order(texts: list[list[str]]) -> None:
    classifier = small_classifier(hierarchical=True)
    batch = list(classifier.encode(map(" ".join, texts)))
    ids, words = classifier.collate(batch)
    assert ids.dim() == 3
    for document, row, held in zip(batch, ids, words, strict=True):
        assert row[held].tolist() == document.ids.tolist()
        assert held.any(dim=1).sum() == len(set(document.source.sentences.tolist()))
        assert classifier.length(document) == (held.sum(dim=1) > 0).sum() * held.sum(dim=1).max()


def test_a_sentence_that_is_deleted_takes_no_place() -> None:
    classifier = small_classifier(hierarchical=True)
    whole, short = classifier.encode(
        ["a good film. dull plot. bad story.", "a good film. bad story."]
    )
    torch.testing.assert_close(
        classifier.scores([whole.without([3, 4])]), classifier.scores([short])
    )


def test_sentences_out_of_order_are_refused() -> None:
    classifier = small_classifier(hierarchical=True)
    one = next(classifier.encode(["a film. bad"]))
    one.source.sentences[:] = [0, 1, 0]
    with pytest.raises(TextError, match="must number the sentences of a text in their order"):
        classifier.collate([one])


# Labels


def test_label_index() -> None:
    classifier = foreign()
    assert classifier.label_index("yes") == classifier.label_index(1) == 1
    assert classifier.label_index(np.int64(0)) == 0
    assert type(classifier.label_index(np.int64(0))) is int


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("yse", "Unknown label 'yse'. Did you mean 'yes'"),
        (2, "Got the class 2, expected 0 to 1: 'no', 'yes'"),
        (-1, "Got the class -1, expected 0 to 1"),
        (True, "Got a label of type bool"),
        (1.0, "Got a label of type float"),
        (None, "Got a label of type NoneType"),
    ],
)
def test_label_index_refuses(label: Any, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        foreign().label_index(label)


# What belongs together


@pytest.mark.parametrize("labels", [("a", "a"), ("a", ""), ("a", " "), ("a", 1), (), "ab"])
def test_labels_are_distinct_names(labels: Any) -> None:
    with pytest.raises(LabelError, match="expected"):
        foreign(labels=labels)


def test_labels_fit_the_model() -> None:
    with pytest.raises(LabelError, match="Got 3 labels for a model of 2 classes"):
        small_classifier(labels=("a", "b", "c"), classes=2)
    assert small_classifier(labels=("a", "b"), classes=1).labels == ("a", "b")


def test_vocabulary_fits_the_model() -> None:
    model = small_classifier().model
    other = Vocabulary.build([["one"]])
    with pytest.raises(VocabularyError, match="vocabulary of 3 tokens for a model of 14"):
        TextClassifier(model, other, ("a", "b"), split_words)
    with pytest.raises(VocabularyError, match="vocabulary of 14 tokens for an embedding of 5 rows"):
        foreign(rows=5)
    bag = nn.Sequential(nn.EmbeddingBag(5, 2)).eval()
    with pytest.raises(VocabularyError, match="vocabulary of 14 tokens for an embedding of 5 rows"):
        TextClassifier(bag, VOCABULARY, ("a", "b"), split_words)


def test_a_vocabulary_that_is_much_smaller_than_the_embedding_is_told() -> None:
    told = "The vocabulary has 14 tokens, and the embedding 142 rows: if this is not"
    with pytest.warns(VocabularyWarning, match=told) as caught:
        TextClassifier(BagOfWords(rows=142).eval(), VOCABULARY, ("no", "yes"), split_words)
    assert caught[0].filename == __file__
    foreign(rows=141)  # rounded up, for speed
    model = BagOfWords().eval()
    model.places = nn.Embedding(512, 4)
    TextClassifier(model, VOCABULARY, ("a", "b"), split_words)


def test_layout_fits_the_model() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="RecurrentClassifier reads 'words'"):
        TextClassifier(model, VOCABULARY, ("a", "b"), split_words, "sentences")
    with pytest.raises(OptionError, match=r"Got layout='sentence'\. Did you mean 'sentences'"):
        TextClassifier(model, VOCABULARY, ("a", "b"), split_words, "sentence")  # type: ignore[arg-type]


def test_a_model_is_a_module() -> None:
    with pytest.raises(
        ModelError, match=r"Got a model of type function, expected a torch.nn.Module"
    ):
        TextClassifier(lambda ids: ids, VOCABULARY, ("a", "b"), split_words)  # type: ignore[arg-type]


def test_device_of_a_model_without_weights() -> None:
    class Nothing(nn.Module):
        pass

    assert TextClassifier(Nothing(), VOCABULARY, ("a",), split_words).device.type == "cpu"


def test_a_tokenizer_may_give_plain_tokens() -> None:
    text = "good  bad good\ud800 plot"
    classifier = TextClassifier(BagOfWords().eval(), VOCABULARY, ("no", "yes"), str.split)
    (encoded,) = classifier.encode([text])
    source = encoded.source
    assert source.tokens == ("good", "bad", "good\ufffd", "plot")
    assert [source.text[start:end] for start, end in source.offsets] == list(source.tokens)
    assert encoded.ids.tolist() == VOCABULARY.encode(source.tokens).tolist()

    def encode(tokenizer: Any) -> None:
        list(TextClassifier(BagOfWords().eval(), VOCABULARY, ("a", "b"), tokenizer).encode(["one"]))

    with pytest.raises(TextError, match="'two', which does not stand in the text"):
        encode(lambda text: ["two"])
    with pytest.raises(TextError, match="returned int, expected a list of tokens"):
        encode(lambda text: 3)
    with pytest.raises(VocabularyError, match="of type dict, expected a"):
        TextClassifier(BagOfWords().eval(), {"a": 1}, ("a", "b"))  # type: ignore[arg-type]


# Other tokenizers, other specials, other arguments


def test_a_spacy_pipeline_is_a_tokenizer() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    for tokenizer in (nlp, nlp.tokenizer):
        classifier = TextClassifier(BagOfWords().eval(), VOCABULARY, ("no", "yes"), tokenizer)
        texts = ["Good film.\n\n Bad \ud800plot, isn't it?", "dull"]
        first, second = classifier.encode(texts)
        words = ("Good", "film", ".", "Bad", "\ufffd", "plot", ",", "is", "n't", "it", "?")
        assert first.source.tokens == words
        assert second.source.tokens == ("dull",)
        text, offsets = first.source.text, first.source.offsets
        assert tuple(text[start:end] for start, end in offsets) == words
        sentences = [0] * 3 + [1] * 8 if tokenizer is nlp else [0] * 11
        assert first.source.sentences.tolist() == sentences
        assert first.ids.tolist() == VOCABULARY.encode(words).tolist()
        with pytest.raises(TextError, match="Got a text of type int"):
            list(classifier.encode([1]))  # type: ignore[list-item]


def test_a_sentence_of_white_space_is_none() -> None:
    nlp = spacy.blank("en")
    doc = spacy.tokens.Doc(
        nlp.vocab, ["a", "\n", "\n", "b", "c"], sent_starts=[True, False, True, True, False]
    )
    assert from_doc(doc).sentences.tolist() == [0, 1, 1]


def test_pieces_are_what_is_looked_up() -> None:
    def split(text: str) -> TokenizedText:
        offsets = np.array([[0, 1], [1, 4], [4, 4]], np.int32)
        sentences = np.zeros(3, np.int32)
        return TokenizedText(text, ("g", "ood", "[SEP]"), offsets, sentences, ("good", "bad", "a"))

    classifier = TextClassifier(BagOfWords().eval(), VOCABULARY, ("no", "yes"), split)
    (encoded,) = classifier.encode(["good"])
    assert encoded.ids.tolist() == VOCABULARY.encode(["good", "bad", "a"]).tolist()
    left = encoded.without([1])
    assert left.source.spelled == ("good", "a")
    assert left.source.tokens == ("g", "[SEP]")
    assert VOCABULARY.encode(left.source.spelled).tolist() == left.ids.tolist()


class Sums(nn.Module):
    """Sums the vectors of the words that it is told are words; pads are no zero vector."""

    def __init__(self, kind: str, outputs: int = 2) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.table = nn.Embedding(len(WORDS) + 2, 4)
        self.head = nn.Linear(4, outputs, bias=False)
        self.kind = kind
        self.eval()

    def forward(self, ids: Tensor, given: Tensor) -> Tensor:
        assert given.dtype == (torch.int64 if self.kind == "lengths" else torch.bool)
        if self.kind == "lengths":
            given = torch.arange(ids.shape[1]) < given.unsqueeze(1)
        vectors = self.table(ids).masked_fill(~given.unsqueeze(-1), 0.0)
        scores: Tensor = self.head(vectors.sum(1))
        return scores


OTHER = Vocabulary(("[UNK]", *WORDS, "[PAD]"), pad="[PAD]", unk="[UNK]")
NAMED = pytest.mark.parametrize(
    ("kind", "additional"),
    [
        ("lengths", "lengths"),
        ("mask", "mask"),
        ("mask", lambda ids, words: words),
        ("lengths", lambda ids, words: ((ids != OTHER.pad).sum(1),)),
    ],
)


@NAMED
@pytest.mark.parametrize("outputs", [1, 2])
def test_lengths_and_masks_reach_the_model_everywhere(
    kind: str, additional: Any, outputs: int
) -> None:
    model = Sums(kind, outputs)
    classifier = TextClassifier(model, OTHER, ("no", "yes"), split_words, additional=additional)
    texts = ["good film", "bad", "dull dull plot and nobody"]
    encoded = list(classifier.encode(texts))
    assert encoded[2].ids.tolist()[-1] == 0
    words = (model.table.weight @ model.head.weight.T).detach().numpy()  # [V, outputs]
    each = [words[e.ids] for e in encoded]
    sides = np.array([[-1.0, 1.0]]) if outputs == 1 else np.eye(2)
    expected = np.stack([rows.sum(0) @ sides for rows in each])
    np.testing.assert_allclose(classifier.predict(texts).scores, expected, rtol=1e-5)
    for method in ("lrp", "gradient_x_input", "occlusion"):
        options: dict[str, Any] = {"epsilon": 0.0} if method == "lrp" else {}
        explanations = explain(classifier, texts, method, "yes", **options)
        for e, rows in zip(explanations, each, strict=True):
            np.testing.assert_allclose(e.relevance, (rows @ sides)[:, 1], rtol=1e-4, atol=1e-6)
    everyone = [np.arange(len(e)) for e in encoded]
    unknown = scores_without(classifier, encoded, everyone, "unk")
    lengths = np.array([[len(e)] for e in encoded])
    np.testing.assert_allclose(unknown, lengths * (words[0] @ sides), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores_without(classifier, encoded, everyone), 0, atol=1e-6)
    left = scores_without(classifier, encoded[::2], [everyone[0][:1], everyone[2][:2]], "delete")
    expected = np.stack([each[0][1:].sum(0), each[2][2:].sum(0)]) @ sides
    np.testing.assert_allclose(left, expected, rtol=1e-4, atol=1e-6)


def test_lengths_of_sentences() -> None:
    given = []

    class Pages(nn.Module):
        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            given.append(lengths)
            return torch.zeros(len(ids), 2)

    classifier = TextClassifier(
        Pages().eval(), VOCABULARY, ("no", "yes"), split_words, "sentences", "lengths"
    )
    classifier.predict(["a good film. dull.", "plot"])
    assert given[0].tolist() == [[3, 1], [1, 0]]


def test_additional_arguments_that_are_none_are_refused() -> None:
    with pytest.raises(OptionError, match="Got additional='length'; expected 'lengths', 'mask'"):
        TextClassifier(Sums("mask"), OTHER, ("a", "b"), split_words, additional="length")  # type: ignore[arg-type]
    small = small_classifier()
    with pytest.raises(OptionError, match="RecurrentClassifier takes ids alone"):
        TextClassifier(small.model, small.vocabulary, small.labels, additional="mask")


def test_the_padding_of_vocabulary_and_model_is_one() -> None:
    small = small_classifier()
    moved = Vocabulary(small.vocabulary.tokens, pad=1, unk=0)
    with pytest.raises(VocabularyError, match="is id 1, but RecurrentClassifier has the padding_"):
        TextClassifier(small.model, moved, small.labels)
    with pytest.raises(VocabularyError, match="is id 1, but the model's embedding has the padd"):
        TextClassifier(BagOfWords(), moved, ("a", "b"))
    own = RecurrentClassifier(len(OTHER), 2, padding_idx=OTHER.pad, hidden=3).eval()
    classifier = TextClassifier(own, OTHER, ("a", "b"), split_words)
    apart = [classifier.predict([text]).scores[0] for text in some_texts(5)]
    np.testing.assert_allclose(classifier.predict(some_texts(5)).scores, apart, atol=1e-6)


def test_without_an_unknown_word_none_can_stand_for_others() -> None:
    vocabulary = Vocabulary(("<pad>", *WORDS), pad=0, unk=None)
    classifier = TextClassifier(BagOfWords().eval(), vocabulary, ("a", "b"), split_words)
    documents = list(classifier.encode(["good film"]))
    assert scores_without(classifier, documents, [np.array([0])], "zero").shape == (1, 2)
    with pytest.raises(OptionError, match="no unknown word that could replace others"):
        scores_without(classifier, documents, [np.array([0])], "unk")


def test_one_output_without_a_dimension_of_its_own() -> None:
    texts = ["a good film", "bad"]
    flat = foreign(outputs=1, change=lambda s: s[:, 0])
    np.testing.assert_array_equal(
        flat.predict(texts).scores, foreign(outputs=1).predict(texts).scores
    )
    np.testing.assert_array_equal(flat.predict(["bad"]).scores[0], flat.predict(texts).scores[1])


def test_batches_that_find_their_size() -> None:
    texts = some_texts(40)
    found = foreign().predict(texts, batch_tokens="auto").scores
    np.testing.assert_allclose(found, foreign().predict(texts).scores, rtol=1e-5)
    with pytest.raises(OptionError, match="Got batch_tokens 0"):
        foreign().predict(texts, batch_tokens=0)
