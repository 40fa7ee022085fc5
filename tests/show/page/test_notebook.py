"""What a notebook shows: the answer, the class, the text and a legend; all else is folded away."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from samples.explanations import EVERY, HOSTILE, explanation, explanations
from samples.pages import ALLOWED, Page

from seqlrp.explanations.collection import Explanations


def inside(html: str) -> Page:
    """What is in the shadow root."""
    return Page(re.search(r"<template.*?>(.*)</template>", html, re.DOTALL)[1])


def unfolded(html: str) -> str:
    """The text that is seen before anything is opened."""
    shown = re.search(r"<template.*?>(.*)</template>", html, re.DOTALL)[1]
    shown = re.sub(r"<style>.*?</style>", "", shown, flags=re.DOTALL)
    shown = re.sub(r"</summary>.*?</details>", "</summary>", shown, flags=re.DOTALL)
    return " ".join(re.sub("<.*?>", " ", shown).split())


def test_one_text_is_its_answer_its_words_and_a_legend():
    one = explanation(probabilities=[0.06, 0.94], label=None, id=None)
    html = one._repr_html_()
    assert unfolded(html) == (
        "Predicted positive (94 %). Explained: positive not a dull film , not at all "
        "against positive -1.500 0 +1.500 for positive Words, scores, method"
    )
    page = inside(html)
    assert not {"h1", "h2", "header", "main"} & {tag for tag, _ in page.tags}
    assert [tag for tag, _ in page.tags].count("details") == 1
    assert ("details", {}) in page.tags  # closed
    assert page.text["caption"] == [
        "Strongest words",
        "Scores and probabilities",
        page.text["caption"][2],
    ]
    assert "Computed by lrp: epsilon = 0.001" in page.text["p"][-1]


def test_what_is_known_of_a_text_is_said():
    assert unfolded(explanation()._repr_html_()).startswith(
        "reviews/1 Predicted positive ✗ wrong (it is negative ) ."
    )
    pair = explanation(against=0)._repr_html_()
    assert "Explained: why positive rather than negative" in unfolded(pair)
    assert "for negative -1.500 0 +1.500 for positive" in unfolded(pair)
    every = explanation(**EVERY)._repr_html_()
    assert "Explained: positive" in unfolded(every)
    assert "Every class is explained: for_target(class) gives another one." in every
    nothing = explanation(relevance=np.zeros(8))._repr_html_()
    assert "legend" not in re.sub("<style>.*?</style>", "", nothing, flags=re.DOTALL)
    assert "No word speaks for or against." in nothing


def test_of_many_texts_the_first_are_shown_and_how_to_see_more():
    assert "To see more" not in explanation()._repr_html_()
    assert "To see more" not in Explanations([explanation()] * 10)._repr_html_()
    many = Explanations([explanation()] * 12)._repr_html_()
    assert "10 of 12 texts. To see more: save_html(path)" in unfolded(many)
    long = Explanations([explanation("word " * 800)] * 5)._repr_html_()
    assert "2 of 5 texts. To see more" in unfolded(long)
    assert "… Shown: the first 200 of 800 words." in unfolded(long)
    whole = explanation("word " * 20_000)._repr_html_()
    assert "… Shown: the first 1,000 of 20,000 words." in unfolded(whole)
    assert "To see more" in unfolded(whole)
    assert len(whole.encode()) < 100_000
    assert unfolded(Explanations()._repr_html_()) == "No texts."


def test_an_output_is_small():
    assert len(explanation()._repr_html_().encode()) < 15_000


def test_sizes_do_not_depend_on_the_notebook():
    style = re.search(r"<style>(.*?)</style>", explanation()._repr_html_(), re.DOTALL)[1]
    assert "font: 18px/1.9" in style
    assert not re.search(r"\drem\b", style)
    assert style.count("{") == style.count("}")
    assert "/*" not in style


@given(found=explanations())
def test_any_explanation_can_be_shown(found):
    html = found._repr_html_()
    assert html.isprintable() or set(re.findall(r"[^ -~]", html)) is not None
    for tag, attributes in Page(html).tags:
        assert tag in ALLOWED
        assert set(attributes) <= ALLOWED[tag], tag


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_stay_texts(text):
    html = explanation(text, labels=(text, f"{text} 2"), method=text, id=text)._repr_html_()
    tags = {tag for tag, _ in Page(html).tags}
    assert tags <= set(ALLOWED)
    assert not {"img", "input"} & tags
