from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from samples.explanations import EVERY, HOSTILE, explanation

from seqlrp.explanations.collection import Explanations


def test_one_row_a_word():
    items = Explanations([explanation("so so good"), explanation("bad", label=None, id=None)])
    frame = items.to_pandas()
    assert list(frame.columns) == [
        "document", "id", "position", "token", "start", "end", "relevance", "target",
        "target_label", "against", "against_label", "predicted", "predicted_label", "label",
        "label_name", "method",
    ]  # fmt: skip
    assert frame.document.tolist() == [0, 0, 0, 1]
    assert frame.position.tolist() == [0, 1, 2, 0]
    assert frame.token.tolist() == ["so", "so", "good", "bad"]
    assert frame.start.tolist() == [0, 3, 6, 0]
    assert frame.end.tolist() == [2, 5, 10, 3]
    assert frame.relevance.dtype == np.float32
    assert frame.relevance.tolist() == [*items[0].relevance.tolist(), *items[1].relevance.tolist()]
    assert frame.label.tolist()[:3] == [0, 0, 0]
    assert frame.label.isna().tolist() == frame.label_name.isna().tolist() == [False] * 3 + [True]
    assert frame.id.isna().tolist() == [False] * 3 + [True]
    assert set(frame.target_label) == {"positive"}


def test_a_row_for_each_class_where_every_class_is_explained():
    every = explanation(**EVERY)
    frame = Explanations([explanation("good"), every]).to_pandas()
    assert frame.document.tolist() == [0] + [1] * 16
    assert frame.target.tolist() == [1] + [0] * 8 + [1] * 8
    assert frame.relevance[1:].tolist() == every.relevance.ravel().tolist()
    assert frame.token[1:].tolist() == list(every.tokens) * 2


def test_one_row_a_document():
    every = explanation(**EVERY)
    frame = Explanations([explanation("so good"), every]).to_pandas(by="document")
    assert frame.document.tolist() == [0, 1, 1]
    assert frame.text.tolist() == ["so good", every.text, every.text]
    assert frame.tokens.tolist() == [2, 8, 8]
    assert frame.target.tolist() == [1, 0, 1]
    assert frame.score.tolist() == [2.25, -0.5, 2.25]
    assert frame.relevance.tolist() == [0.5, -28.0, 36.0]
    assert frame["ledger: tokens"].tolist() == [0.5, -28.0, 36.0]
    assert frame["ledger: bias"].tolist() == [1.75, 0.5, 0.5]


def test_the_probability_of_the_target_of_each_row():
    known = {"probabilities": [0.25, 0.75]}
    items = [explanation(**known), explanation(**known, target=0), explanation(**EVERY | known)]
    frame = Explanations([*items, explanation()]).to_pandas(by="document")
    assert frame.probability.tolist()[:4] == [0.75, 0.25, 0.25, 0.75]
    assert frame.probability.isna().tolist() == [False] * 4 + [True]
    assert [e.probability for e in items] == [0.75, 0.25, 0.75]
    assert explanation().probability is None


def test_what_a_class_is_compared_with():
    items = Explanations([explanation("so good", against=0), explanation("bad")])
    words, documents = items.to_pandas(), items.to_pandas(by="document")
    assert words.against.tolist()[:2] == [0, 0]
    assert words.against_label.tolist()[:2] == ["negative", "negative"]
    for frame in (words, documents):
        assert frame.against.isna().tolist()[-1]
        assert frame.against_label.isna().tolist()[-1]
    assert documents.against.tolist()[0] == 0
    assert documents.score.tolist() == [2.75, 2.25]
    assert documents.relevance.tolist()[0] == pytest.approx(0.5)


def test_an_entry_that_a_ledger_lacks_is_missing_not_zero():
    items = [explanation(ledger={"bias": 1.0}), explanation(ledger={})]
    frame = Explanations(items).to_pandas(by="document")
    assert frame["ledger: bias"].isna().tolist() == [False, True]


@pytest.mark.parametrize("by", ["word", "document"])
def test_nothing_gives_an_empty_table_of_the_same_columns(by):
    some = Explanations([explanation(ledger={})]).to_pandas(by=by)
    none = Explanations().to_pandas(by=by)
    assert len(none) == 0
    assert list(none.columns) == list(some.columns)
    assert len(Explanations([explanation("")]).to_pandas()) == 0


def test_hostile_text_is_kept():
    items = Explanations(explanation(text, id=text) for text in HOSTILE)
    frame = items.to_pandas()
    assert frame.token.tolist() == [token for e in items for token in e.tokens]
    assert items.to_pandas("document").text.tolist() == list(HOSTILE)
    assert isinstance(frame, pd.DataFrame)
