"""What becomes of a corpus when its shortcuts are taken out, made unknown or spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import WORDS, small_classifier
from samples.examples import examples

from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.mended_corpus import mended, written, written_text
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.text.corpora import Corpus

CLASSIFIER = small_classifier()
GOOD = Shortcut("good", (("good",),), class_=1)
SOME = Corpus(
    "some",
    ["a  good film,  good", "very bad\tfilm", "good", "a dull plot"] * 5,
    np.array([1, 0, 1, 0] * 5),
    CLASSIFIER.labels,
)


def read(corpus: Corpus = SOME) -> LabelledTexts:
    return LabelledTexts.read(CLASSIFIER, corpus, np.arange(len(corpus)))


def mend(edit: str, shortcuts: Sequence[Shortcut] = (GOOD,)) -> Corpus:
    random = np.random.default_rng(0)
    return written(SOME, mended(read(), shortcuts, edit, random=random))


def test_deleted() -> None:
    found = mend("delete")
    assert found.texts[:3] == ["a  film,", "very bad\tfilm", "a dull plot"]
    assert len(found) == 15  # texts of which nothing was left are gone
    assert found.labels is not None
    assert found.labels.tolist() == [1, 0, 0] * 5


def test_unknown() -> None:
    found = mend("unknown")
    assert found.texts[0] == "a  <unk> film,  <unk>"
    assert len(found) == len(SOME)
    texts = mended(read(), [GOOD], "unknown", random=np.random.default_rng(0))
    assert texts.documents[0].ids[[1, 3]].tolist() == [CLASSIFIER.vocabulary.unk] * 2


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_a_swap_makes_the_shortcut_say_nothing(share: float) -> None:
    corpus = Corpus(
        "many",
        [f"a {'good ' if k % 10 == 1 else ''}film" for k in range(200)],
        np.arange(200) % 2,
        CLASSIFIER.labels,
    )
    texts = mended(read(corpus), [GOOD], "swap", share=share, random=np.random.default_rng(0))
    held = Located(GOOD, texts).held
    counts = [int((held & (texts.labels == label)).sum()) for label in (0, 1)]
    assert counts == [round(100 * share)] * 2
    assert len(texts) == 200 + 20 + sum(counts) - 20


def test_a_swap_keeps_the_texts_and_adds_copies_of_the_same_class() -> None:
    found = mend("swap")
    assert found.labels is not None
    assert list(found.texts[: len(SOME)]) == list(SOME.texts)
    for text, label in zip(found.texts, found.labels.tolist(), strict=True):
        assert label == (0 if "bad" in text or "dull" in text else 1)


@examples(25)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), st.data())
def test_a_written_text_is_read_as_it_was_edited(words: list[str], data: st.DataObject) -> None:
    document = next(iter(CLASSIFIER.encode(["  ".join(words)])))
    places = st.lists(st.integers(0, len(words) - 1), max_size=len(words) - 1, unique=True)
    gone = data.draw(places)
    edited = document.without(gone)
    donor = Corpus("donor", ["a good film"], np.array([1]), CLASSIFIER.labels)
    (put,) = Located(GOOD, read(donor)).put_in([edited], np.random.default_rng(0))
    for changed in (edited, put):
        again = next(iter(CLASSIFIER.encode([written_text(document, changed)])))
        assert again.source.tokens == changed.source.tokens
    assert written_text(document, document) == "  ".join(words)
