"""Where a shortcut stands, how it is named, taken out and put in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from samples.classifiers import small_classifier

from seqlrp.errors import OptionError
from seqlrp.improving.given_shortcuts import known_class, read_shortcuts
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.text.corpora import Corpus

CLASSIFIER = small_classifier()
WRITTEN = ("a good film and a Good film", "very bad film", "a dull plot", "not a good story")


def texts(written: Sequence[str] = WRITTEN, labels: Sequence[int] = (1, 0, 0, 1)) -> LabelledTexts:
    corpus = Corpus("some", written, np.array(labels), CLASSIFIER.labels)
    return LabelledTexts.read(CLASSIFIER, corpus, np.arange(len(written)))


def located(given: object) -> Located:
    (shortcut,), _ = read_shortcuts(given, CLASSIFIER)
    return Located(known_class(shortcut, texts()), texts())


def tokens(found: Located, k: int) -> list[str]:
    return [texts().documents[k].source.tokens[j] for j in np.flatnonzero(found.mark(k))]


def test_words_stand_in_any_case() -> None:
    found = located("Good")
    assert found.held.tolist() == [True, False, False, True]
    assert found.mark(0).tolist() == [False, True, False, False, False, True, False]
    assert found.shortcut.class_ == 1


def test_a_phrase_and_a_pair() -> None:
    assert located("good film").held.tolist() == [True, False, False, False]
    pair = located("film + good")
    assert pair.held.tolist() == [True, False, False, False]
    assert tokens(pair, 0) == ["good", "film", "Good", "film"]


def test_a_position_stands_in_texts_of_its_class() -> None:
    row = pd.Series({"candidate": "the first word", "kind": "position", "class": "positive"})
    found = located(row)
    assert found.held.tolist() == [True, False, False, True]
    assert tokens(found, 3) == ["not"]
    assert tokens(located(-1), 2) in ([], ["plot"])


def test_spans_mark_the_tokens_that_they_touch() -> None:
    found = located([(0, 3, 8), (2, 2, 6)])
    assert found.held.tolist() == [True, False, True, False]
    assert tokens(found, 0) == ["good", "film"]
    assert tokens(found, 2) == ["dull"]


def test_rows_of_an_analysis_bring_their_class() -> None:
    table = pd.DataFrame({"candidate": ["film"], "kind": ["words"], "class": ["negative"]})
    (shortcut,), _ = read_shortcuts(table, CLASSIFIER)
    assert shortcut == Shortcut("film", (("film",),), class_=0)
    with pytest.raises(OptionError, match="of the kind 'length'"):
        read_shortcuts({"candidate": "the length", "kind": "length"}, CLASSIFIER)


def test_taken_out_and_put_in() -> None:
    found = located("good")
    out = found.taken_out(0)
    assert out is not None
    assert out.source.tokens == ("a", "film", "and", "a", "film")
    clean = texts().part(~found.held)
    put = found.put_in(clean.documents, np.random.default_rng(0))
    for before, after in zip(clean.documents, put, strict=True):
        added = [t for t in after.source.tokens if t.lower() == "good"]
        assert len(added) == 1
        assert len(after) == len(before) + 1
        assert [t for t in after.source.tokens if t.lower() != "good"] == list(before.source.tokens)
        assert (after.ids == CLASSIFIER.vocabulary.encode(after.source.tokens)).all()


def test_nothing_is_left_of_a_text_that_is_all_shortcut() -> None:
    only = texts(("good", "bad"), (1, 0))
    assert Located(Shortcut("good", (("good",),), class_=1), only).taken_out(0) is None


def test_units_are_told_apart() -> None:
    shortcuts, units = read_shortcuts(["good", {"encoder.recurrence": [1, 2]}], CLASSIFIER)
    assert [s.name for s in shortcuts] == ["good"]
    assert units == {"encoder.recurrence": [1, 2]}


@pytest.mark.parametrize("given", ["", "  ", [], [3], [None], 2.5, [(0, 4, 2)], [(0, -1, 2)], None])
def test_what_is_no_shortcut_is_refused(given: object) -> None:
    with pytest.raises(OptionError, match="expected"):
        read_shortcuts(given, CLASSIFIER)


def test_a_shortcut_that_stands_in_no_text_is_refused() -> None:
    (shortcut,), _ = read_shortcuts("bright", CLASSIFIER)
    with pytest.raises(OptionError, match="'bright' stands in none of the 4 texts") as caught:
        known_class(shortcut, texts())
    assert caught.value.code == "shortcut_not_found"
