from __future__ import annotations

import dataclasses
import pickle
import re

import numpy as np
import pytest
from hypothesis import given
from samples.explanations import EVERY, assert_same, explanation
from samples.explanations import explanations as any_explanation

from seqlrp.errors import (
    InputError,
    LabelError,
    NonFiniteError,
    OptionError,
    TargetError,
    TextError,
)
from seqlrp.explanations.collection import Explanations


def test_fields_are_converted_and_cannot_be_changed():
    relevance = np.arange(8, dtype=np.float64)
    e = explanation(relevance=relevance, scores=[1, 2], target=np.int64(1), labels=["a", "b"])
    assert e.relevance.dtype == e.scores.dtype == np.float32
    assert e.offsets.dtype == np.int32
    assert e.sentences is None
    split = dataclasses.replace(e, sentences=[0] * 5 + [3] * 3)
    assert split.sentences.dtype == np.int32
    assert not split.sentences.flags.writeable
    assert type(e.target) is int
    assert e.labels == ("a", "b")
    relevance[0] = 99
    assert e.relevance[0] == 0
    for array in (e.relevance, e.scores, e.offsets):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        e.target = 0
    with pytest.raises(TypeError):
        e.ledger["bias"] = 0.0
    with pytest.raises(TypeError):
        e.parameters["rules"]["dense"] = 0
    assert e.parameters["rules"]["dense"] == ("epsilon", None, True)


def test_a_token_may_stand_nowhere():
    text = "dull film"
    tokens, offsets = ("[CLS]", "dull", "film", "[SEP]"), [[0, 0], [0, 4], [5, 9], [9, 9]]
    e = explanation(
        text, tokens=tokens, offsets=offsets, relevance=[4.0, 1.0, -2.0, -3.0], ledger={}
    )
    assert e.top(2) == [(0, "[CLS]", 4.0), (1, "dull", 1.0)]
    shown = e._repr_html_()
    assert re.findall(r"<u[^>]*>([^<]*)</u>", shown) == ["dull", "film"]
    account = re.findall(r"<bdi>([^<]*)</bdi></th><td>([^<]*)</td>", shown.split("comes from")[1])
    assert account[:3] == [
        ("the words", "-1.000"),
        ("[CLS], not in the text", "+4.000"),
        ("[SEP], not in the text", "-3.000"),
    ]


def test_numpy_numbers_become_pythons():
    e = explanation(
        parameters={"epsilon": np.float64(0.5), "steps": np.int64(3), "order": np.arange(2)},
        ledger={"tokens": np.float32(0.5)},
    )
    values = [*e.parameters.values(), e.ledger["tokens"]]
    assert values == [0.5, 3, (0, 1), 0.5]
    assert [type(value) for value in values] == [float, int, tuple, float]


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"text": 5}, TextError, "text must be a string, got 5"),
        ({"text": "not a dull film , not \ud800 at all"}, TextError, "text holds a lone surrogate"),
        ({"tokens": ["a"] * 7 + ["\udfff"]}, TextError, r"tokens\[7\] holds a lone surrogate"),
        ({"tokens": "abcdefgh"}, TextError, "tokens must be a sequence of strings"),
        ({"labels": ["a", 3]}, TextError, r"labels\[1\] must be a string"),
        ({"method": "\ud83d"}, TextError, "method holds a lone surrogate"),
        ({"id": 7}, TextError, "id must be a string"),
        ({"offsets": np.zeros((7, 2), int)}, InputError, r"offsets must be whole numbers of shape"),
        ({"offsets": np.ones((8, 2))}, InputError, "offsets must be whole numbers"),
        ({"offsets": [[i, i] for i in range(8)]}, TextError, "offsets must run forward"),
        ({"offsets": [[i, i + 2] for i in range(8)]}, TextError, "offsets must run forward"),
        ({"offsets": [[i - 1, i] for i in range(8)]}, TextError, "offsets must run forward"),
        ({"offsets": [[i + 21, i + 22] for i in range(8)]}, TextError, "text of 28 characters"),
        ({"offsets": [[8 - i, 9 - i] for i in range(8)]}, TextError, "offsets must run forward"),
        ({"sentences": [0] * 7}, InputError, r"sentences must be whole numbers of shape \[8\]"),
        ({"sentences": [0.0] * 8}, InputError, "sentences must be whole numbers"),
        ({"sentences": [0, 1, 0, 1, 1, 1, 1, 1]}, TextError, "sentences must number"),
        ({"relevance": np.zeros(7)}, InputError, r"relevance must be numbers of shape \[8\]"),
        ({"relevance": np.zeros((1, 8))}, InputError, r"relevance must be numbers of shape \[8\]"),
        ({"relevance": ["1"] * 8}, InputError, "relevance must be numbers"),
        ({"relevance": [True] * 8}, InputError, "relevance must be numbers"),
        ({"relevance": [[1], [1, 2]]}, InputError, "relevance is no array of numbers"),
        ({"relevance": [0] * 7 + [np.nan]}, NonFiniteError, r"relevance\[7\] is nan"),
        ({"relevance": [0, 1e39] + [0] * 6}, NonFiniteError, r"relevance\[1\] is 1e\+39"),
        ({"scores": [0, -np.inf]}, NonFiniteError, r"scores\[1\] is -inf"),
        ({"probabilities": [0.5, 1.5]}, InputError, r"from 0 to 1, got \[0.5, 1.5\]"),
        ({"probabilities": [0.5, np.nan]}, NonFiniteError, r"probabilities\[1\] is nan"),
        ({"probabilities": [1.0]}, InputError, r"probabilities must be numbers of shape \[2\]"),
        ({"scores": [0, 1, 2]}, InputError, r"scores must be numbers of shape \[2\]"),
        ({"target": 2}, TargetError, r"target must be .* 2 classes \(0 to 1\), got 2"),
        ({"target": -1}, TargetError, "target must be .* got -1"),
        ({"target": True}, TargetError, "target must be .* got True"),
        ({"target": "positive"}, TargetError, "target must be .* got 'positive'"),
        ({"target": "all"}, InputError, r"relevance must be numbers of shape \[2, 8\]"),
        ({"against": 2}, TargetError, r"against must be .* 2 classes \(0 to 1\), got 2"),
        ({"against": True}, TargetError, "against must be .* got True"),
        ({"against": "negative"}, TargetError, "against must be .* got 'negative'"),
        ({"against": 1}, TargetError, "another class than target, got 1 for both"),
        (EVERY | {"against": 0}, TargetError, "a single class as target, got target='all'"),
        ({"predicted": 1.0}, TargetError, "predicted must be"),
        ({"label": 2}, LabelError, "label must be"),
        ({"parameters": {"x": float("nan")}}, OptionError, r"parameters\['x'\] is nan, which JSON"),
        ({"parameters": {"x": [{"y": {1}}]}}, OptionError, r"parameters\['x'\]\[0\]\['y'\] is {1}"),
        ({"parameters": {3: 1}}, TextError, "a name in parameters must be a string, got 3"),
        ({"parameters": [1]}, OptionError, "parameters must be a mapping"),
        ({"ledger": {"bias": np.inf}}, NonFiniteError, r"ledger\['bias'\] is inf"),
        ({"ledger": {"bias": 1e300}}, NonFiniteError, "which is not finite in float32"),
        ({"ledger": {"bias": (1.0, 2.0)}}, InputError, r"ledger\['bias'\] must be numbers of sh"),
        ({"ledger": [0.5]}, InputError, "ledger must be a mapping"),
        (EVERY | {"ledger": {"bias": [(), 1.0]}}, InputError, r"ledger\['bias'\] is no array"),
        (EVERY | {"ledger": {"bias": (1.0,)}}, InputError, r"shape \[2\], got float64 of shape"),
    ],
)
def test_what_does_not_fit_is_refused(changes, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(explanation(), **changes)


def test_names_of_classes_and_the_score():
    e = explanation()
    assert (e.target_label, e.predicted_label, e.label_name) == ("positive", "positive", "negative")
    assert e.score == 2.25
    assert explanation(target=0).score == -0.5
    assert explanation(label=None).label_name is None
    every = explanation(**EVERY)
    assert every.target_label == "all"
    assert every.score == 2.25


def test_one_class_rather_than_another():
    e = explanation(against=np.int64(0))
    assert (e.against, e.against_label) == (0, "negative")
    assert type(e.against) is int
    assert e.score == 2.75
    assert explanation(target=0, against=1).score == -2.75
    assert explanation().against_label is None
    assert "target='positive', against='negative', predicted" in repr(e)
    with pytest.raises(TargetError, match="for 'positive' rather than 'negative', not for one"):
        e.for_target(1)


def test_what_relevance_starts_from():
    one = explanation(against=0, parameters={"start": "one"})
    assert (one.score, one.start) == (2.75, 1.0)
    assert explanation(against=0, parameters={"start": "score"}).start == 2.75
    assert explanation().start == 2.25


def test_top_goes_by_position_and_leaves_out_the_other_sign():
    e = explanation("so so , no no no yes", relevance=[2, 2, 0, -1, -3, -1, 0.5])
    assert e.top(2) == [(0, "so", 2.0), (1, "so", 2.0)]
    assert e.top(10) == [(0, "so", 2.0), (1, "so", 2.0), (6, "yes", 0.5)]
    assert e.top(2, -1) == [(4, "no", -3.0), (3, "no", -1.0)]
    assert e.top(0) == e.top(-3) == []
    with pytest.raises(OptionError, match=r"sign must be \+1 \(for\) or -1 \(against\), got 0"):
        e.top(3, sign=0)


def test_top_is_for_the_predicted_class_where_every_class_is_explained():
    every = explanation(**EVERY, predicted=0)
    assert every.top(1, -1) == every.for_target(0).top(1, -1) == [(0, "not", -7.0)]


def test_one_class_of_all():
    every = explanation(**EVERY)
    one = every.for_target("negative")
    assert one.target == 0
    assert one.relevance.tolist() == every.relevance[0].tolist()
    assert dict(one.ledger) == {"tokens": -28.0, "bias": 0.5}
    assert one.for_target(0) is one
    with pytest.raises(TargetError, match=r"is for class 0 \('negative'\), not for 1"):
        one.for_target(1)
    with pytest.raises(TargetError, match=r"called 'negativ'.*Did you mean 'negative'"):
        every.for_target("negativ")
    with pytest.raises(TargetError, match="got 2"):
        every.for_target(2)
    with pytest.raises(TargetError, match="No single class is called 'a'"):
        explanation(**EVERY, labels=("a", "a")).for_target("a")


def test_repr_is_short():
    e = explanation("word " * 1000)
    assert len(repr(e)) < 150
    assert "1000 tokens, target='positive', predicted='positive', method='lrp'" in repr(e)
    assert repr(Explanations([e, e])) == "Explanations(2 documents, method 'lrp')"
    assert repr(Explanations()) == "Explanations(0 documents)"


@given(any_explanation())
def test_an_explanation_can_be_sent_to_another_process(e):
    assert_same(pickle.loads(pickle.dumps(e)), e)


def test_slices_filters_and_sums_are_explanations():
    items = [explanation(id=str(i), label=i % 2) for i in range(5)]
    whole = Explanations(iter(items))
    assert len(whole) == 5
    assert whole[-1] is items[4]
    assert isinstance(whole[1:3], Explanations)
    assert list(whole[1:3]) == items[1:3]
    wrong = whole.filter(lambda e: e.predicted != e.label)
    assert isinstance(wrong, Explanations)
    assert list(wrong) == items[::2]
    assert list(whole + wrong) == items + items[::2]
    assert items[2] in whole
    with pytest.raises(TypeError):
        whole + items
    with pytest.raises(InputError, match="holds Explanation records, got 'text'"):
        Explanations(["text"])


def test_table_of_what_is_refused():
    with pytest.raises(OptionError, match=r"by='words'\. Did you mean 'word'"):
        Explanations([explanation()]).to_pandas(by="words")
