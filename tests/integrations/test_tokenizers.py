"""Fast tokenizers of Hugging Face: tokens in their places, ids as they are."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import WORDS
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import OptionError, TextError, VocabularyError
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus

tokenizers: Any = pytest.importorskip("tokenizers")

from tokenizers import (  # noqa: E402
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from seqlrp.integrations.tokenizers import FastTokenizer  # noqa: E402


def word_pieces(**specials: str) -> Any:
    names = ["[UNK]", "[CLS]", "film", "##s", "good", "##est", "[SEP]", "a", ".", "[PAD]", "bad"]
    vocab = {name: k for k, name in enumerate(names)}
    vocab["dull"] = 13  # with a hole before it
    made = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 6)]
    )
    return made


def bytes_of_text() -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {letter: k for k, letter in enumerate([*alphabet, "Ġf", "il", "<|endoftext|>"])}
    made = Tokenizer(models.BPE(vocab, [("Ġ", "f"), ("i", "l")]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return made


def unigrams() -> Any:
    pieces = [("<pad>", 0.0), ("▁a", -1.0), ("▁film", -2.0), ("▁", -3.0), ("<unk>", 0.0)]
    made = Tokenizer(models.Unigram(pieces, unk_id=4))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return made


MADE = {f.__name__: f for f in (word_pieces, bytes_of_text, unigrams)}


def test_sub_words_stand_where_they_are_and_have_their_ids() -> None:
    fast = FastTokenizer(word_pieces())
    text = "Goodest  films, a\ud800 Dull film."  # U+FFFD is taken out by the normaliser
    found = fast(text)
    assert found.text == text.replace("\ud800", "\ufffd")
    assert found.tokens == (
        "[CLS]", "Good", "est", "film", "s", ",", "a", "Dull", "film", ".",
        "[SEP]",
    )  # fmt: skip
    assert found.spelled[:4] == ("[CLS]", "good", "##est", "film")
    vocabulary = fast.vocabulary()
    assert (vocabulary.pad, vocabulary.unk, len(vocabulary)) == (9, 0, 14)
    encoded = fast.tokenizer.encode(found.text)
    assert vocabulary.encode(found.spelled).tolist() == encoded.ids
    assert found.offsets[0].tolist() == [0, 0]
    assert found.offsets[-1].tolist() == [len(text)] * 2


def test_without_special_tokens() -> None:
    assert FastTokenizer(word_pieces(), special_tokens=False)("film").tokens == ("film",)


def test_bytes_share_a_character() -> None:
    fast = FastTokenizer(bytes_of_text())
    text = "x film 😀é\n"
    found = fast(text)
    standing = [t for t, (a, b) in zip(found.tokens, found.offsets, strict=True) if b > a]
    assert "".join(standing).replace(" ", "") == text.replace(" ", "")
    assert [t for t in standing if t.strip()] == ["x", "f", "il", "m", "😀", "é"]
    vocabulary = fast.vocabulary()
    assert vocabulary.unk is None
    assert vocabulary.tokens[vocabulary.pad] == "<|endoftext|>"
    assert vocabulary.encode(found.spelled).tolist() == fast.tokenizer.encode(text).ids


def test_unigrams_name_their_unknown_by_its_id() -> None:
    fast = FastTokenizer(unigrams())
    vocabulary = fast.vocabulary()
    assert (vocabulary.pad, vocabulary.unk) == (0, 4)
    text = "a film xx film"
    found = fast(text)
    assert vocabulary.encode(found.spelled).tolist() == fast.tokenizer.encode(text).ids
    assert found.tokens[:2] == ("a", "film")


@pytest.mark.parametrize("name", MADE)
@given(text=st.text() | st.text("a film😀é [SEP]<unk>\n", max_size=30))
def test_any_text_can_be_explained(name: str, text: str) -> None:
    fast = FastTokenizer(MADE[name]())
    found = fast(text)
    vocabulary = fast.vocabulary()
    ids = fast.tokenizer.encode(found.text).ids
    pads = [id_ == vocabulary.pad for id_ in ids]
    if not any(pads):  # spelled in the text
        assert vocabulary.encode(found.spelled).tolist() == ids
    places = found.offsets.ravel()
    assert (np.diff(places) >= 0).all()
    assert places.max(initial=0) <= len(text)
    for token, (start, end) in zip(found.tokens, found.offsets, strict=True):
        assert token
        assert start == end or token == found.text[start:end]


class Sums(nn.Module):
    def __init__(self, rows: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(rows, 2)
        self.eval()

    def forward(self, ids: Tensor, words: Tensor) -> Tensor:
        scores: Tensor = self.table(ids).masked_fill(~words.unsqueeze(-1), 0.0).sum(1)
        return scores


def test_explained_saved_and_shown(tmp_path: Any) -> None:
    fast = FastTokenizer(word_pieces())
    vocabulary = fast.vocabulary()
    model = Sums(len(vocabulary))
    classifier = TextClassifier(model, vocabulary, ("no", "yes"), fast, additional="mask")
    texts = ["a goodest film", "bad"]
    made = seqlrp.explain(classifier, texts, target="yes")
    for e, text in zip(made, texts, strict=True):
        ids = fast.tokenizer.encode(text).ids
        expected = model.table.weight[ids, 1].detach()
        np.testing.assert_allclose(e.relevance, expected, rtol=1e-5)
        assert e.relevance.sum() == pytest.approx(e.score, rel=1e-4)
    made.save(tmp_path / "r.parquet")
    again = seqlrp.Explanations.load(tmp_path / "r.parquet")
    assert again[0].tokens == made[0].tokens
    shown = re.sub("<[^>]*>", "", made[0]._repr_html_())
    assert "a goodest film" in shown
    assert "[CLS]" in shown  # among the strongest words
    report = seqlrp.evaluate(classifier, texts, ["yes", "no"], ["lrp"], min_words=2, removal="unk")
    assert len(report.table)
    with pytest.raises(TextError, match="Text 1 holds no word"):
        seqlrp.explain(classifier, ["a", "  "])


def test_what_a_tokenizer_fills_up_is_left_out() -> None:
    filling = word_pieces()
    filling.enable_padding(length=8, pad_id=9, pad_token="[PAD]")
    filling.enable_truncation(4)
    assert FastTokenizer(filling)("a film").tokens == ("[CLS]", "a", "film", "[SEP]")
    assert FastTokenizer(filling)("a film a film").tokens == ("[CLS]", "a", "film", "[SEP]")


def test_a_tokenizer_of_transformers_is_asked_for_its_specials() -> None:
    class OfTransformers:
        backend_tokenizer = word_pieces()
        pad_token = "[SEP]"
        unk_token = "a"

    vocabulary = FastTokenizer(OfTransformers()).vocabulary()
    assert (vocabulary.pad, vocabulary.unk) == (6, 7)
    vocabulary = FastTokenizer(OfTransformers()).vocabulary(pad="[PAD]", unk=0)
    assert (vocabulary.pad, vocabulary.unk) == (9, 0)


def test_it_may_be_pickled() -> None:
    fast = pickle.loads(pickle.dumps(FastTokenizer(word_pieces(), special_tokens=False)))
    assert fast("a film").tokens == ("a", "film")
    assert repr(fast) == "FastTokenizer(Tokenizer)"


def test_one_of_our_own_models_may_be_trained_with_it() -> None:
    fast = FastTokenizer(word_pieces())
    texts = [f"a {'good' if k % 2 else 'bad'}est film." for k in range(20)]
    labels = np.array([k % 2 for k in range(20)])
    corpus = Corpus("toy", tuple(texts), labels, ("bad", "good"))
    trained = seqlrp.fit(
        corpus, tokenizer=fast, epochs=1, hidden=2, embedding=2, validation_fraction=0.0,
        progress=False, lowercase=False,
    )  # fmt: skip
    classifier = trained.classifier
    assert "##est" in classifier.vocabulary
    (encoded,) = classifier.encode(["goodest"])
    spelled = [classifier.vocabulary.tokens[id_] for id_ in encoded.ids]
    assert spelled == ["[CLS]", "good", "##est", "[SEP]"]


def test_what_is_none_is_refused() -> None:
    with pytest.raises(OptionError, match="gives no offsets of its tokens"):
        FastTokenizer(str.split)
    with pytest.raises(TextError, match="Got a text of type int"):
        FastTokenizer(word_pieces())(3)  # type: ignore[arg-type]
    nothing = Tokenizer(models.WordLevel({word: k for k, word in enumerate(WORDS)}, "a"))
    with pytest.raises(VocabularyError, match="has no padding token"):
        FastTokenizer(nothing).vocabulary()
    assert FastTokenizer(nothing).vocabulary(pad="but").pad == len(WORDS) - 1


def test_a_tokenizer_that_is_not_wrapped_says_how_to() -> None:
    class Encoding(dict):  # type: ignore[type-arg]
        """What a fast tokenizer of `transformers` returns."""

        input_ids = (1, 2)

    vocabulary = seqlrp.Vocabulary.build([WORDS])
    model = nn.Embedding(len(vocabulary), 2).eval()
    with pytest.raises(OptionError, match=r"SpacyTokenizer\('en'\)\. A fast .*FastTokenizer\("):
        TextClassifier(model, vocabulary, ("no", "yes"), word_pieces())
    classifier = TextClassifier(model, vocabulary, ("no", "yes"), lambda text: Encoding())
    with pytest.raises(TextError, match=r"returned Encoding, .* wrapped: .*FastTokenizer\("):
        classifier.predict(["a film"], progress=False)
