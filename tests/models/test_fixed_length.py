"""Models whose texts were padded to a fixed length give what they gave where they were trained."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.padding import padding_told_to
from seqlrp.errors import ModelError, OptionError, PaddingWarning
from seqlrp.explanations.collection import Explanations
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier
from seqlrp.models.saving import load, save
from seqlrp.text.vocabulary import Vocabulary

LENGTH = 6
WORDS = ("<pad>", "<unk>", *"abcdefghij")
TEXTS = ["a b c", "c b a d e f", "a b c d e f g h i", "j", "b b b b b b b h c"]
WAYS = [(side, cut) for side in ("pre", "post") for cut in ("pre", "post")]


class Reader(nn.Module):
    """An LSTM that reads padding as it reads words, and answers with its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(WORDS), 4)
        self.recurrence = nn.LSTM(4, 5, batch_first=True)
        self.head = nn.Linear(5, 3)

    def forward(self, ids: Tensor) -> Tensor:
        states, _ = self.recurrence(self.embedding(ids))
        scores: Tensor = self.head(states[:, -1])
        return scores


def reader() -> Reader:
    torch.manual_seed(3)
    return Reader().eval()


def classifier(**options: Any) -> TextClassifier:
    return TextClassifier(reader(), Vocabulary(WORDS), ("x", "y", "z"), str.split, **options)


def pad_sequences(rows: Sequence[Sequence[int]], padding: str, truncating: str) -> Tensor:
    """As the documentation of Keras describes it, with maxlen=LENGTH: "pre" is at the beginning."""
    padded = []
    for row in rows:
        kept = list(row[-LENGTH:] if truncating == "pre" else row[:LENGTH])
        zeros = [0] * (LENGTH - len(kept))
        padded.append(zeros + kept if padding == "pre" else kept + zeros)
    return torch.tensor(padded)


def as_published(padding: str, truncating: str) -> TextClassifier:
    return classifier(
        pad_to=LENGTH,
        pad_side={"pre": "left", "post": "right"}[padding],
        truncate={"pre": "head", "post": "tail"}[truncating],
    )


@pytest.mark.parametrize(("padding", "truncating"), WAYS)
@pytest.mark.parametrize("batch_tokens", [1, 8192])
def test_the_four_ways_of_keras_give_the_original(padding, truncating, batch_tokens):
    wrapped = as_published(padding, truncating)
    ids = pad_sequences([[WORDS.index(w) for w in t.split()] for t in TEXTS], padding, truncating)
    scores = reader()(ids).detach()
    predicted = wrapped.predict(TEXTS, batch_tokens=batch_tokens)
    np.testing.assert_allclose(predicted.scores, scores, atol=1e-6)
    with padding_told_to(list[float]().append):
        relevance = seqlrp.LRP(reader()).attribution(ids, padding=ids == 0)
    found = seqlrp.explain(wrapped, TEXTS, batch_tokens=batch_tokens)
    for row, one in enumerate(found):
        np.testing.assert_allclose(one.scores, scores[row], atol=1e-6)
        expected = relevance.relevance[row][ids[row] != 0]
        np.testing.assert_allclose(one.relevance, expected, atol=1e-6)
        share = relevance.ledger.totals["padding"][row]
        assert one.ledger["padding"] == pytest.approx(float(share), abs=1e-6)
        kept = TEXTS[row].split()
        kept = kept[-LENGTH:] if truncating == "pre" else kept[:LENGTH]
        assert list(one.tokens) == kept
        assert one.unread == max(0, len(TEXTS[row].split()) - LENGTH)
        assert one.text == TEXTS[row]


def test_padding_to_the_longest_text_is_another_answer():
    scores = classifier(pad_side="left").predict(TEXTS).scores
    assert abs(scores - as_published("pre", "pre").predict(TEXTS).scores).max() > 1e-3


def test_a_fixed_length_is_no_reason_to_warn_and_a_free_one_is():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seqlrp.explain(as_published("pre", "post"), TEXTS)
    with pytest.warns(PaddingWarning, match=r"to a fixed length, TextClassifier\(…, pad_to=…"):
        seqlrp.explain(classifier(), TEXTS)


@pytest.mark.parametrize("pad_to", [None, LENGTH])
def test_check_mentions_padding_with_the_share_of_its_table(pad_to):
    report = seqlrp.check(classifier(pad_to=pad_to), ["a", "a b", "c d a b e f"])
    share = f"{report.shares['padding']:.0%}"
    assert share != "0%"
    about = [warning for warning in report.warnings if "adding" in warning]
    assert len(about) == 1
    assert share in about[0]
    assert ("batch" in about[0]) == (pad_to is None)
    assert f"padded to {LENGTH}" in about[0] or pad_to is None
    (line,) = (s for s in report.summary().splitlines() if s.split()[:1] == ["padding"])
    assert line.endswith(share)


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl"])
@pytest.mark.parametrize(("truncating", "side"), [("pre", "last"), ("post", "first")])
def test_what_was_not_read_is_shown_and_kept(tmp_path, suffix, truncating, side):
    found = seqlrp.explain(as_published("post", truncating), TEXTS)
    found.save(tmp_path / f"r{suffix}")
    again = Explanations.load(tmp_path / f"r{suffix}")
    assert [e.unread for e in again] == [0, 0, 3, 0, 3]
    said = f"The model read the {side} 6 of 9 words"
    found.save_html(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text("utf-8").count(said) >= 2
    assert said in again[2].to_ansi()
    assert "The model read" not in again[0].to_ansi()
    assert again[2].merged("word").unread == 3


def test_words_are_removed_from_what_was_read():
    (document,) = as_published("pre", "pre").encode(TEXTS[2:3])
    shorter = document.without([0])
    assert shorter.source.tokens == tuple("efghi")
    assert shorter.source.unread == 3


def test_the_fixed_length_is_saved_with_the_model(tmp_path: Path) -> None:
    before = as_published("pre", "pre")

    def build(vocabulary: Vocabulary, labels: tuple[str, ...], **other: Any) -> TextClassifier:
        options = {"pad_to": LENGTH, "pad_side": "left", "truncate": "head"} | other
        return TextClassifier(Reader().eval(), vocabulary, labels, str.split, **options)

    save(before, tmp_path / "model", factory=build)
    after = load(tmp_path / "model", factory=build)
    assert (after.pad_to, after.pad_side, after.truncate) == (LENGTH, "left", "head")
    assert (after.predict(TEXTS).scores == before.predict(TEXTS).scores).all()
    for other in ({"pad_to": None}, {"pad_side": "right"}, {"truncate": "tail"}):
        with pytest.raises(ModelError, match=f"{next(iter(other))}=.*as saved"):
            load(tmp_path / "model", factory=lambda v, n, o=other: build(v, n, **o))


def test_a_model_of_seqlrp_keeps_the_length_at_which_it_cuts(tmp_path: Path) -> None:
    model = RecurrentClassifier(len(WORDS), 2, embedding=3, hidden=2).eval()
    before = TextClassifier(model, Vocabulary(WORDS), ("no", "yes"), pad_to=4, truncate="head")
    save(before, tmp_path / "model")
    after = load(tmp_path / "model")
    assert (after.pad_to, after.pad_side, after.truncate) == (4, "right", "head")
    assert [e.unread for e in seqlrp.explain(after, TEXTS)] == [0, 2, 5, 0, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pad_to": 0}, "pad_to=0"),
        ({"pad_to": 2.5}, "pad_to=2.5"),
        ({"pad_to": True}, "pad_to=True"),
        ({"pad_side": "both"}, "pad_side='both'"),
        ({"truncate": "middle"}, "truncate='middle'"),
        ({"pad_side": "left", "additional": "lengths"}, "'right', as additional='lengths'"),
        ({"pad_to": 3, "layout": "sentences"}, "layout='sentences'"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        classifier(**options)


def test_seqlrps_models_are_not_padded_on_the_left():
    model = RecurrentClassifier(len(WORDS), 2, embedding=3, hidden=2).eval()
    with pytest.raises(OptionError, match="'right', as RecurrentClassifier takes words to be fir"):
        TextClassifier(model, Vocabulary(WORDS), ("no", "yes"), pad_side="left")
