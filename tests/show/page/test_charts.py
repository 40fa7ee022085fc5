"""The tables beside a text: words, scores, probabilities, and where the score comes from."""

from __future__ import annotations

import numpy as np
import pytest
from samples.explanations import explanation
from samples.pages import Page, rows

from seqlrp.show.page import render


def test_one_class_rather_than_another_is_said():
    labels = ("<bad>", "fair & so", "good")
    e = explanation(
        "dull good", relevance=[-1, 3], labels=labels, target=2, against=0, predicted=2, label=1,
        scores=[-0.5, 1, 2], ledger={"tokens": 2.0, "bias": 0.5},
    )  # fmt: skip
    page = Page(render([e]))
    assert (
        "Predicted good ✗ wrong (it is fair & so). The score of good is 1 above that of fair & so."
        in page.text["p"]
    )
    assert "Explained: why good rather than <bad>" in page.text["p"]
    assert "or for the class with which it is compared" in page.text["header"][0]
    assert "for <bad>-3.0000+3.000for good" in page.text["p"]
    assert page.text["caption"][-1] == "Where the difference comes from"
    assert rows(page)[-3:] == [
        ["the words", "+2.000"], ["constants of the model (biases)", "+0.500"],
        ["the difference of the scores", "+2.500"],
    ]  # fmt: skip
    classes = [attributes.get("class") for tag, attributes in page.tags if tag == "tr"]
    noted = [text for text, kind in zip(page.text["tr"], classes, strict=True) if kind]
    assert noted == ["good predicted+2.000", "fair & so true+1.000"]
    alone = Page(render([explanation()]))
    assert "compared" not in alone.text["header"][0]
    assert any(p.startswith("against positive-") for p in alone.text["p"])


def test_relevance_that_starts_from_one():
    e = explanation(
        "good", relevance=[0.75], ledger={"tokens": 0.75, "bias": 0.25}, parameters={"start": "one"}
    )
    assert rows(Page(render([e])))[-3:] == [
        ["the words", "+0.750"],
        ["constants of the model (biases)", "+0.250"],
        ["what relevance starts from", "+1.000"],
    ]


def test_tables_of_words_scores_and_ledger():
    e = explanation(
        "bad bad good so-so",
        relevance=[-1, -2, 4, 0.01],
        scores=[-3, 2],
        ledger={"tokens": 1.0, "bias": 0.25, "stabiliser": 0.5, "moss": 0.25, "padding": 0.0,
                "gate": 1e-5},
    )  # fmt: skip
    assert rows(Page(render([e]))) == [
        ["good", "+4.000"], ["bad", "-1.000"], ["bad", "-2.000"],
        ["positive predicted", "+2.000"], ["negative true", "-3.000"],
        ["the words", "+1.000"], ["constants of the model (biases)", "+0.250"],
        ["lost to the stabiliser ε", "+0.500"], ["moss", "+0.250"], ["the score", "+2.000"],
    ]  # fmt: skip
    nothing = explanation("so", relevance=[0], scores=[0, 2], ledger={"bias": 2.0})
    assert ["the words", "+0.000"] in rows(Page(render([nothing])))


@pytest.mark.parametrize(
    ("ledger", "missing"),
    [
        ({"tokens": 6.4, "bias": -5.8}, None),  # opposite signs, ten times the score
        ({"tokens": 6.4, "bias": -5.8 + 1e-4}, None),
        ({"tokens": 6.4, "bias": -5.7}, "-0.100"),
        ({"tokens": -6.4, "bias": 7.1}, "-0.100"),
        ({"tokens": 6.4, "bias": -5.802}, "+0.002"),
    ],
)
def test_the_account_adds_up_as_it_is_printed(ledger, missing):
    """Amounts, not shares of the score: of a score of 0.6, words that bring 6.4 have no share."""
    e = explanation("good", relevance=[1.5], scores=[0, 0.6], ledger=ledger)
    page = Page(render([e]))
    *told, total = rows(page)[-len(ledger) - 1 - (missing is not None) :]
    assert told[0] == ["the words", f"{ledger['tokens']:+.3f}"]
    assert total == ["the score", "+0.600"]
    left = ["not accounted for by this method", missing] if missing else None
    assert (left in told) == (missing is not None)
    assert ("not accounted" in "".join(page.text["th"])) == (missing is not None)
    assert sum(float(value) for _, value in told) == pytest.approx(0.6, abs=0.0011)
    assert "%" not in "".join(page.text["table"])


def test_what_no_ledger_accounts_for_is_said():
    e = explanation("good", relevance=[1.5], scores=[0, 2], ledger={})
    assert rows(Page(render([e])))[-3:] == [
        ["the words", "+1.500"],
        ["not accounted for by this method", "+0.500"],
        ["the score", "+2.000"],
    ]


def test_blanks_are_not_among_the_strongest_words():
    e = explanation(
        "good \n bad", tokens=["good", "\n", "bad"], offsets=[[0, 4], [5, 6], [7, 10]],
        relevance=[1, 5, -1], ledger={},
    )  # fmt: skip
    for by in ("word", "token"):
        assert Page(render([e], by=by)).text["th"][:2] == ["good", "bad"]


def test_many_classes_are_folded_away():
    labels = tuple(f"class {i}" for i in range(30))
    some = explanation(labels=labels, scores=np.arange(30), predicted=29, label=29, ledger={})
    page = Page(render([some]))
    assert page.text["summary"] == [
        "22 further classes",
        "How the colours were computed: method and settings",
    ]
    names = [name.split(" pred")[0] for name in page.text["th"] if name.startswith("class")]
    assert names == [*reversed(labels)]
    assert ("details", {}) in page.tags
    # Unfolded where the true class is among them.
    wrong = explanation(labels=labels, scores=np.arange(30), predicted=29, label=0, ledger={})
    assert ("details", {"open": ""}) in Page(render([wrong])).tags


def with_probabilities(*shares, **changes):
    """An explanation that knows them, whether its record has a field for them or not."""
    e = explanation(**changes)
    object.__setattr__(e, "probabilities", np.array(shares, dtype=np.float32))
    return e


def test_probabilities_stand_beside_the_scores_where_they_are_known():
    page = Page(render([with_probabilities(0.078, 0.922)]))
    page.assert_nothing_unexpected()
    assert "Predicted positive (92\u00a0%) ✗ wrong (it is negative)." in page.text["p"]
    assert "Scores and probabilities" in page.text["caption"]
    scores = [row for row in page.text["tr"] if row.startswith(("positive", "negative"))]
    assert scores == ["positive predicted+2.25092\u00a0%", "negative true-0.5008\u00a0%"]
    assert "Scores" in Page(render([explanation()])).text["caption"]
    many = np.full(30, 1 / 30)
    labels = tuple(f"class {i}" for i in range(30))
    some = with_probabilities(*many, labels=labels, scores=np.arange(30), predicted=29, label=29)
    assert render([some]).count("<td>3\u00a0%</td>") == 30
