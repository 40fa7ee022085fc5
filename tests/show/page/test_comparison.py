"""One text explained twice, side by side."""

from __future__ import annotations

import re

import pytest
from samples.explanations import EVERY, explanation
from samples.pages import Page

from seqlrp.errors import TargetError
from seqlrp.show.page import render


def test_texts_are_compared_with_themselves():
    lrp = [explanation("one film"), explanation("two films"), explanation("one film")]
    other = [
        explanation(text, method="gradient", parameters={}, relevance=[i, -1])
        for i, text in enumerate(["two films", "one film", "one film", "three films"], 1)
    ]
    html = render(lrp, compare=other)
    page = Page(html)
    page.assert_nothing_unexpected()
    assert page.text["text"] == [e.text for e in lrp for _ in range(2)]
    assert html.count('class="panes two"') == 3
    assert re.findall(r"<u \S+ data-v=\+(\d).000>(?:one|two)", html) == ["2", "1", "3"]
    assert "gradient · Explained: positive" in page.text["p"]
    assert page.text["dd"][1:3] == ["lrp", "gradient"]
    assert len(page.text["dd"]) == 4  # and the settings of one
    named = Page(render(lrp, compare=other, sides=("old", "new")))
    assert named.text["p"][0].startswith("old was right on 0 of 3 texts")
    missing = render(lrp, compare=other[:2])  # the second "one film" has none
    assert missing.count('class="panes two"') == 2
    assert missing.count('class="panes"') == 1


def test_each_side_has_its_own_scale():
    lrp = [explanation("a b", relevance=[1, 0]), explanation("c d", relevance=[2, 0])]
    other = [explanation(e.text, relevance=100 * e.relevance, method="x") for e in lrp]
    html = render(lrp, compare=other, scale="corpus")
    assert re.findall(r"<u class=(f\d+) ", html) == ["f10", "f10", "f20", "f20"]


def test_a_class_is_compared_with_another_by_name():
    every = explanation(**EVERY)
    assert render([every], compare="negative") == render([every], compare=[every.for_target(0)])
    with pytest.raises(TargetError, match="No single class is called 'bad'"):
        render([every], compare="bad")
    with pytest.raises(TargetError, match="explain with target='all'"):
        render([explanation()], compare="negative")


def test_each_model_says_its_own_answer_where_they_differ():
    old = [explanation("one film", label=1), explanation("two films", label=1)]
    new = [explanation("one film", label=1), explanation("two films", label=1, predicted=0)]
    said = Page(render(old, compare={"new": new})).text["said"]
    assert [text.count("Predicted") for text in said] == [1, 0, 0, 0, 1, 1]
    assert said[5].startswith("new · Explained: ")
    assert "Predicted negative ✗ wrong (it is positive)." in said[5]
