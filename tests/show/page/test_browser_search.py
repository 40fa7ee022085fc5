"""The page in a real browser: texts by parts, searched, filtered and ordered."""

from __future__ import annotations

import re

import pytest
from samples.browser_pages import (
    NEEDS_BROWSER,
    SHOWN,
    reviews,
)
from samples.explanations import explanation

from seqlrp.show.page import save_pages

pytestmark = NEEDS_BROWSER


def test_pages_where_nothing_is_known_to_be_right_can_be_searched(visit):
    items = [explanation(f"text {n}", label=None, ledger={}) for n in range(60)]
    browser = visit(items)
    assert browser.run("document.querySelector('#outcome')") is None
    browser.choose("#search", "text 5")
    assert len(browser.run(SHOWN)) == 15  # 5, 15, …, 45 and 50 to 59
    browser.choose("#margin", "1")
    assert browser.run(SHOWN) == []
    browser.run("location.hash = '#d7'")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert "d7" in browser.run(SHOWN)


def test_texts_by_parts(visit):
    browser = visit(reviews())
    count = "document.querySelector('#count').textContent"
    assert browser.run(SHOWN) == [f"d{n}" for n in range(1, 51)]
    assert browser.run(count) == "120 of 120 texts, 1 to 50 shown"
    press = "document.querySelectorAll('.finder .turn button')[{}].click()"
    browser.run(press.format(1))
    assert browser.run(SHOWN) == [f"d{n}" for n in range(51, 101)]
    browser.run(press.format(1))
    assert browser.run(SHOWN) == [f"d{n}" for n in range(101, 121)]
    browser.run(press.format(0))
    assert browser.run(count) == "120 of 120 texts, 51 to 100 shown"
    listed = "[...document.querySelectorAll('nav li')].filter(l => !l.hidden).length"
    assert browser.run(listed) == 50


def test_a_link_leads_to_a_text_that_is_not_shown(visit):
    browser = visit(reviews())
    browser.choose("#search", "dull")
    browser.run("location.hash = '#d70'")
    browser.run("new Promise(done => setTimeout(done, 100))")
    assert "d70" in browser.run(SHOWN)
    top = browser.run("document.getElementById('d70').getBoundingClientRect().top")
    assert 0 <= top < 300


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"#search": "DULL"}, lambda n, e: "dull" in e.text),
        ({"#search": "dull name-1"}, lambda n, e: "dull" in e.text and "name-1" in e.id),
        ({"#search": "nowhere"}, lambda n, e: False),
        ({"#class": "=positive"}, lambda n, e: 1 in (e.predicted, e.label)),
        ({"#outcome": "1"}, lambda n, e: e.predicted == e.label),
        ({"#outcome": "0", "#margin": "9"}, lambda n, e: e.predicted != e.label and n <= 9),
    ],
)
def test_search_and_filter(visit, choices, expected):
    items = reviews(45)
    browser = visit(items)
    for control, value in choices.items():
        browser.choose(control, value)
    wanted = [f"d{n + 1}" for n, e in enumerate(items) if expected(n, e)]
    assert browser.run(SHOWN) == wanted
    assert browser.run("document.querySelector('#count').textContent") == (
        f"{len(wanted)} of 45 texts"
    )
    for control in choices:
        browser.choose(control, "")
    assert len(browser.run(SHOWN)) == 45


@pytest.mark.parametrize(
    ("order", "key"),
    [
        ("least", lambda e, n: n),
        ("most", lambda e, n: -n),
        ("wrong", lambda e, n: e.predicted == e.label),
        ("class", lambda e, n: e.predicted_label),
        ("", lambda e, n: 0),
    ],
)
def test_order(visit, order, key):
    items = reviews(45)
    browser = visit(items)
    browser.choose("#order", "least" if order == "" else "")
    browser.choose("#order", order)
    places = sorted(range(45), key=lambda n: key(items[n], n))
    assert browser.run(SHOWN) == [f"d{n + 1}" for n in places]


def test_a_folder_is_searched_from_its_index(browser, tmp_path, monkeypatch):
    monkeypatch.setattr("seqlrp.show.page.folder.PAGE", 60_000)
    index = save_pages(reviews(250), tmp_path / "out")
    browser.open(index)
    listed = "[...document.querySelectorAll('nav li')].filter(l => !l.hidden).length"
    assert browser.run(listed) == 200
    browser.choose("#search", "name-249")
    assert browser.run(listed) == 1
    link = browser.run(
        "[...document.querySelectorAll('nav li')].find(l => !l.hidden).querySelector('a').href"
    )
    assert browser.complaints() == []
    browser.open(link)
    assert re.search(r"page-1?[2-9]\.html#d250$", link)
    assert "d250" in browser.run(SHOWN)
    top = browser.run("document.getElementById('d250').getBoundingClientRect().top")
    assert 0 <= top < 900
    browser.run("new Promise(done => setTimeout(done, 50))")
    assert browser.complaints() == []
