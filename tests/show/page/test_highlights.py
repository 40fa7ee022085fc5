"""The texts that a page shows first."""

from __future__ import annotations

import re

import numpy as np
from samples.explanations import explanation
from samples.pages import Page

from seqlrp.show.page import render


def answered(number, sure, label, words=8, **changes):
    """A text with an answer of some probability."""
    text = " ".join(f"w{number}" for _ in range(words))
    chances = [1 - sure, sure]
    return explanation(text, label=label, probabilities=chances, scores=np.log(chances), **changes)


def shown_first(items, **options):
    """The heading of each text that stands on top, and the number of the text."""
    html = render(items, page=True, **options)
    found = re.search(r'<section class="highlights".*?</section></section>', html, re.DOTALL)
    if found is None:
        return None
    page = Page(found[0])
    page.assert_nothing_unexpected()
    return dict(zip(page.text["h2"], re.findall("#d([0-9]+)", found[0]), strict=True))


ITEMS = [
    answered(1, 0.7, 1), answered(2, 0.9, 1), answered(3, 0.8, 0), answered(4, 0.55, 1),
    answered(5, 0.6, 0),
]  # fmt: skip


def test_the_surest_answers_and_the_least_sure_one_come_first():
    assert shown_first(ITEMS) == {
        "Surest right answer": "2", "Surest wrong answer": "3", "Least sure answer": "4",
    }  # fmt: skip
    unknown = [explanation(label=None, scores=[0, n]) for n in (3, 9, 1, 4)]
    assert shown_first(unknown) == {"Surest answer": "2", "Least sure answer": "3"}


def test_texts_that_can_be_read_at_a_glance_are_preferred():
    assert shown_first([*ITEMS, answered(6, 0.95, 1, words=2), answered(7, 0.99, 0, words=90)]) == {
        "Surest right answer": "2", "Surest wrong answer": "3", "Least sure answer": "4",
    }  # fmt: skip


def test_a_long_text_is_shown_where_its_relevance_is():
    relevance = np.zeros(300)
    relevance[200:230] = 1
    items = [answered(n, 0.9, 1, words=300, relevance=relevance, ledger={}) for n in range(4)]
    html = render(items, page=True)
    text = re.search(r'<div class="(?:since|until| )*"><div class="text".*?</div>', html)[0]
    assert text.startswith('<div class="since until">')
    assert text.count("<u") == 60
    assert text.count("class=f20") == 30


def test_few_texts_and_texts_side_by_side_need_no_choice():
    assert shown_first(ITEMS[:3]) is None
    assert shown_first(ITEMS, compare=ITEMS) is None
    assert "highlights" not in render(ITEMS).split("</style>")[1]
