"""Texts in, scores out: in order, in batches, and refused where parts do not belong together."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import spacy
import torch
from classifier_samples import WORDS, small_classifier, some_texts, split_words
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from seqlrp.classifiers import RecurrentClassifier
from seqlrp.deletion import scores_without
from seqlrp.errors import (
    IdsError,
    LabelError,
    ModelError,
    NonFiniteError,
    OptionError,
    OutputError,
    TargetError,
    TextError,
    TrainingModeError,
    VocabularyError,
    VocabularyWarning,
)
from seqlrp.explain import explain
from seqlrp.text.encoded import EncodedText
from seqlrp.text.tokens import TokenizedText, from_doc
from seqlrp.text.vocabulary import Vocabulary
from seqlrp.text_classifier import TextClassifier

VOCABULARY = Vocabulary.build([WORDS])


class BagOfWords(nn.Module):
    """Somebody else's model; `change` is done to its scores [B, outputs]."""

    def __init__(self, outputs: int = 2, rows: int = len(VOCABULARY), change: Any = None) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(rows, outputs, padding_idx=0)
        self.change = change

    def forward(self, ids: Tensor) -> Any:
        scores = self.table(ids).sum(dim=1)
        return self.change(scores) if self.change else scores


def foreign(labels: tuple[str, ...] = ("no", "yes"), **options: Any) -> TextClassifier:
    return TextClassifier(BagOfWords(**options).eval(), VOCABULARY, labels, split_words)


def encoded_one(text: str) -> EncodedText:
    return next(foreign().encode([text]))


# Encoded texts


@given(st.lists(st.sampled_from(["good", "bad", "plot.", "dull"]), min_size=1), st.data())
def test_without_deletes_positions(words: list[str], data: st.DataObject) -> None:
    gone = data.draw(st.lists(st.integers(0, len(words) - 1)))
    whole = encoded_one(" ".join(words))
    left = whole.without(gone)
    kept = [k for k in range(len(words)) if k not in gone]
    assert left.source.tokens == tuple(words[k] for k in kept)
    assert left.ids.tolist() == [whole.ids[k] for k in kept]
    assert left.source.sentences.tolist() == [whole.source.sentences[k] for k in kept]
    text = left.source.text
    assert [text[a:b] for a, b in left.source.offsets] == list(left.source.tokens)
    assert len(whole) == len(words)  # the first one is as it was


@pytest.mark.parametrize("position", [-1, 3])
def test_without_refuses_positions_outside(position: int) -> None:
    with pytest.raises(IdsError, match=f"Got the position {position}, expected 0 to 2"):
        encoded_one("a good film").without([0, position])


def test_one_id_a_token() -> None:
    with pytest.raises(IdsError, match="for 2 tokens, expected one id a token"):
        EncodedText(np.array([1, 2, 3]), split_words("a film"))


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


# Scores


@pytest.mark.parametrize("hierarchical", [False, True])
@settings(deadline=None, max_examples=20)
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
    monkeypatch.setattr("seqlrp.text_classifier._HELD", 4)
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


def test_a_single_str_is_no_list_of_texts() -> None:
    with pytest.raises(TextError, match="Got a single str"):
        foreign().predict("a film")


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
        foreign(rows=142)
    assert caught[0].filename == __file__
    foreign(rows=141)  # rounded up, for speed
    model = BagOfWords().eval()
    model.places = nn.Embedding(512, 4)
    TextClassifier(model, VOCABULARY, ("a", "b"), split_words)


def test_layout_fits_the_model() -> None:
    model = small_classifier().model
    with pytest.raises(OptionError, match="RecurrentClassifier reads 'words'"):
        TextClassifier(model, VOCABULARY, ("a", "b"), split_words, "sentences")
    with pytest.raises(OptionError, match=r"Unknown layout 'sentence'\. Did you mean 'sentences'"):
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
    with pytest.raises(OptionError, match="Got additional='length', expected 'lengths', 'mask'"):
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
    with pytest.raises(OptionError, match="no unknown word to put in the place of others"):
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


# Probabilities


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
    with pytest.raises(OptionError, match="multilabel='yes', expected True or False"):
        replace(one, multilabel="yes")  # type: ignore[arg-type]


def test_probabilities_of_huge_scores_are_no_nan() -> None:
    huge = np.array([[1e30, -1e30], [-1e5, 0.0]])
    assert foreign().probabilities(huge).tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert foreign(outputs=1).probabilities(huge).tolist() == [[1.0, 0.0], [0.0, 0.5]]
