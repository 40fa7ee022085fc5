"""The page in a real browser: colours, margins, paper, narrow and wide windows."""

from __future__ import annotations

import io
import itertools
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from samples.browser_pages import (
    NEEDS_BROWSER,
    SHOWN,
    classes,
    colours,
    colours_of,
)
from samples.explanations import HOSTILE, explanation

from seqlrp.show.colours import PALETTES, SHADES
from seqlrp.show.page import render

pytestmark = NEEDS_BROWSER


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("palette", PALETTES)
def test_every_shade_is_the_one_that_was_tested(visit, palette, dark):
    relevance = np.concatenate([np.arange(-SHADES, 0), np.arange(1, SHADES + 1)])
    items = [explanation(" ".join("x" * len(relevance)), relevance=relevance, ledger={})]
    browser = visit(items, palette=palette, dark=dark)
    found = browser.run(
        "[...document.querySelectorAll('.text u')].map(u => { const s = getComputedStyle(u);"
        "return [s.backgroundColor, s.color, s.textDecorationLine, s.textDecorationStyle,"
        "s.textDecorationColor]; })"
    )
    expected = PALETTES[palette][dark]
    for level, (background, ink, line, style, under) in zip(relevance.tolist(), found, strict=True):
        wanted = colours_of(expected.shade(level))
        assert np.abs(colours(background) - wanted).max() <= 1, level
        assert (colours(ink) == colours_of(expected.ink)).all()
        assert (line, style) == (("underline", "dotted") if level < 0 else ("none", "solid"))
        if level < 0:
            assert np.abs(colours(under) - colours_of(expected.underline(level))).max() <= 1
    pixels = imread(io.BytesIO(browser.picture()))[..., :3] * 255
    assert (np.median(pixels, axis=(0, 1)).round() == colours_of(expected.paper)).all()


def test_on_paper_both_signs_have_a_line_and_every_text_is_there(visit):
    browser = visit([explanation(relevance=np.linspace(-1, 1, 8)) for _ in range(60)], dark=True)
    assert len(browser.run(SHOWN)) == 50
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint')) && null")
    assert browser.run(SHOWN) == [f"d{n}" for n in range(1, 61)]
    styles = browser.run(
        "[...document.querySelectorAll('article .text u')].slice(0, 8).map(u => {"
        "const s = getComputedStyle(u); return s.textDecorationLine + s.textDecorationStyle; })"
    )
    assert styles[0] == "underlinedotted"
    assert styles[-1] == "underlinesolid"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("dispatchEvent(new Event('afterprint')) && null")
    assert browser.run(SHOWN) == [f"d{n}" for n in range(1, 51)]


def test_paper_has_nothing_to_press_and_nothing_folded_away(visit):
    browser = visit([classes()] * 4)
    browser.send("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll({!r})].map(e => e.getClientRects().length > 0)"
    for gone in ("nav", ".controls", ".how", ".tip"):
        assert not any(browser.run(shown.format(gone))), gone
    style = "(s => [s.appearance, s.borderTopWidth])(getComputedStyle({}))"
    select = "document.querySelector('.asked select')"
    assert browser.run(style.format(select)) == ["none", "0px"]
    folded = "document.querySelector('.behind details dl').checkVisibility()"
    assert browser.run(folded) is True
    browser.send("Emulation.setEmulatedMedia", media="screen")
    assert browser.run(shown.format(".how")) == [True]
    assert browser.run(folded) is False


@pytest.mark.parametrize("width", [360, 1200])
def test_words_are_broken_only_where_they_cannot_fit(visit, width):
    rng = np.random.default_rng(0)
    letters = ["".join(rng.choice(list("abcdefgh"), size=n)) for n in rng.integers(1, 22, size=300)]
    text = " ".join([*letters, "x" * 400])
    labels = [f"comp.os.{'windows' * (c % 3)}.misc{c}" for c in range(20)]
    items = [
        explanation(
            text, relevance=rng.laplace(size=301), labels=labels, scores=rng.normal(size=20)
        )
    ]
    browser = visit(items, width=width)
    lines = browser.run(
        "[...document.querySelectorAll('.text u')].map(u => u.getClientRects().length)"
    )
    assert set(lines[:300]) == {1}
    assert lines[300] > 1
    assert browser.run("document.documentElement.scrollWidth") <= width
    heights = browser.run(  # a word of the tables that could fit is on one line, too
        "[...document.querySelectorAll('.facts bdi')].filter(b => b.textContent.length < 22)"
        ".map(b => b.getClientRects()[0].height)"
    )
    assert max(heights) < 30


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_wider_than_the_window(visit, width):
    arabic = explanation("هذا الفيلم رائع جدا ولא משעמם", labels=("سلبي", "إيجابي"))
    items = [*(explanation(f"{text} x", labels=(text, "b"), id=text) for text in HOSTILE), arabic]
    for options in ({}, {"compare": items}, {"scale": "corpus", "by": "sentence"}):
        browser = visit(items, width=width, **options)
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert (
        browser.run("getComputedStyle([...document.querySelectorAll('.text')].at(-1)).direction")
        == "rtl"
    )


OUTSIDE = """(() => {
  const pad = parseFloat(getComputedStyle(document.body).paddingRight), width = innerWidth - pad;
  // What is cut off with "…" is cut off by what holds it.
  const cut = e => { for (; e; e = e.parentElement) if (getComputedStyle(e).textOverflow ===
    'ellipsis' && e.tagName !== 'SELECT') return e; };
  return [...document.querySelectorAll('body *')].filter(e => !e.closest('.text, svg, .front'))
    .filter(e => e.getBoundingClientRect().width && !cut(e.parentElement))
    .filter(e => e.getBoundingClientRect().right > width + 1
      || e.getBoundingClientRect().left < pad - 1)
    .map(e => `${e.tagName} ${e.className}: ${e.textContent.slice(0, 30)}`);
})()"""


@pytest.mark.parametrize("width", [280, 360, 700, 1000])
def test_nothing_leaves_the_margins(visit, width):
    """The list of texts, too, whose entries all stand below each other or in columns beside."""
    labels = ("a_label_without_any_space_in_it_" * 3, "a label of several words " * 3)
    changes = {"labels": labels, "id": "reviews/" + "x" * 90}
    items = [explanation(f"{n} " + "word" * 60, **changes) for n in range(30)]
    others = [
        explanation(e.text, method="a_method_with_a_long_name_" * 4, **changes) for e in items
    ]
    for options in ({}, {"compare": others}):
        browser = visit(items, width=width, **options)
        assert browser.run(OUTSIDE) == []
        assert browser.run("document.documentElement.scrollWidth") <= width
        reached = browser.run(
            "(o => o.scrollWidth <= o.clientWidth)(document.querySelector('nav ol'))"
        )
        assert reached


def test_a_caption_is_as_wide_as_what_is_seen_of_its_table(visit):
    caption = "Means over 1,545 texts, with intervals; a removed word's embedding is zero. " * 3
    table = pd.DataFrame({f"method {n}": ["0.610 [0.570, 0.648]"] for n in range(8)})
    browser = visit([explanation()], width=500, tables=[(caption, table)], front=True)
    seen = "(r => [r.left, r.right, r.height])(document.querySelector('caption bdi')"
    seen += ".getBoundingClientRect())"
    left, right, height = browser.run(seen)
    assert right <= 500
    assert height > 50
    box = "document.querySelector('.front .table')"
    assert browser.run(f"{box}.scrollWidth > {box}.clientWidth + 300")
    browser.run(f"{box}.scrollLeft = 200")
    assert browser.run(seen)[:2] == [left, right]


def test_the_legend_has_the_dotted_line_of_words_against(visit):
    for dark in (False, True):
        browser = visit([explanation()], dark=dark)
        lines = browser.run(
            "[...document.querySelectorAll('.legend i')].map(i => [i.className[0],"
            "getComputedStyle(i).borderBottomStyle, i.getBoundingClientRect().height])"
        )
        assert {tuple(line) for line in lines} == {("a", "dotted", 12), ("f", "none", 12)}


def test_figures_are_dark_on_a_dark_page(visit, tmp_path):
    """What is drawn in blue stays blue."""
    figure = Figure(figsize=(3, 2))
    figure.add_axes((0, 0, 0.5, 1), facecolor="#0072b2", xticks=[], yticks=[])
    corner, middle = {}, {}
    for dark in (False, True):
        browser = visit([explanation()], dark=dark, figures=[figure], front=True)
        x, y, width, height = browser.run(
            "(r => [r.x, r.y, r.width, r.height])"
            "(document.querySelector('.front img').getBoundingClientRect())"
        )
        picture = imread(io.BytesIO(browser.picture(whole=True)))[..., :3]
        corner[dark] = picture[int(y + height * 0.5), int(x + width * 0.9)]
        middle[dark] = picture[int(y + height * 0.5), int(x + width * 0.3)]
    assert corner[False].min() == 1
    assert corner[True].max() < 0.2
    for colour in middle.values():
        assert colour.argmax() == 2
        assert colour[2] > colour[0] + 0.3


def test_side_by_side_has_one_margin(visit):
    items = [explanation(str(n)) for n in range(4)]
    browser = visit(items, compare=items, width=1400)
    lefts = browser.run(
        "['h1', 'nav li', '.controls', 'article h2', '.text'].map(s =>"
        "document.querySelector(s).getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1


def test_no_line_begins_with_the_full_stop_of_the_line_before(visit):
    """Names of many lengths, so that some of them end where the line does."""
    lengths = range(1, 60)
    items = [explanation(labels=("x" * n, "y"), label=None) for n in lengths]
    browser = visit([*items, explanation(labels=("x" * 200, "y z " * 60))], width=360)
    browser.run("dispatchEvent(new Event('beforeprint')) && null")  # all texts at once
    alone = browser.run(
        """[...document.querySelectorAll('article .verdict')].map(v => {
          const ends = document.createTreeWalker(v, 4);
          let dot;
          while (ends.nextNode()) if (ends.currentNode.data === '.') dot = ends.currentNode;
          const range = document.createRange(), names = v.querySelectorAll('bdi');
          range.selectNode(dot);
          const line = [...names[names.length - 1].getClientRects()].at(-1);
          return range.getBoundingClientRect().top >= line.bottom - 2; })"""
    )
    assert alone == [False] * 60
    assert browser.run("document.documentElement.scrollWidth") <= 360


def test_settings_are_unfolded_by_whoever_wants_them(visit):
    browser = visit([explanation()])
    height = "document.querySelector('.behind dl').getClientRects().length"
    seen = "document.querySelector('.behind details').getBoundingClientRect().height"
    folded = browser.run(seen)
    browser.run("document.querySelector('.behind summary').click()")
    assert browser.run(seen) > folded + 30
    assert browser.run(height) == 1


def test_side_by_side_on_a_desk_and_below_each_other_on_a_telephone(visit):
    items = [explanation(), classes()]
    places = (
        "[...document.querySelectorAll('.pane')].map(p => p.getBoundingClientRect())"
        ".map(b => [b.left, b.top])"
    )
    for width in (1200, 360):
        browser = visit(items, compare=items, width=width)
        (left, top), (right, other), *_ = browser.run(places)
        assert (left < right and top == other) if width == 1200 else (left == right and top < other)
    browser.choose(".asked select", "3")
    assert browser.run("[...document.querySelectorAll('.asked select')].map(s => s.value)") == [
        "3",
        "1",
    ]


def test_two_fragments_in_one_page(browser, tmp_path):
    first = render([explanation("a b", relevance=[1, -1], ledger={})])
    second = render([explanation("a b", relevance=[1, -1], ledger={})], palette="pink-green")
    page = tmp_path / "fragments.html"
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><p><u>old</u></p>{first}{second}")
    browser.open(page)
    found = browser.run(
        "[...document.querySelectorAll('.text u')].map(u => getComputedStyle(u).backgroundColor)"
    )
    expected = [
        colours_of(colour)
        for palette in ("red-blue", "pink-green")
        for colour in (
            PALETTES[palette][0].deepest_for,
            PALETTES[palette][0].deepest_against,
        )
    ]
    for one, other in itertools.zip_longest(map(colours, found), expected):
        assert np.abs(one - other).max() <= 1
    outside = "getComputedStyle(document.querySelector('p > u')).textDecorationLine"
    assert browser.run(outside) == "underline"
    ids = browser.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert browser.complaints() == []


def test_figures_are_seen_and_need_no_network(visit):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3, 2))
    figure.add_subplot().plot([1, 2])
    browser = visit([explanation()], figures=[("<A curve>", figure)])
    assert browser.run("document.querySelector('img').naturalWidth") == 390
    assert (
        json.loads(browser.run("JSON.stringify(document.querySelector('img').alt)")) == "<A curve>"
    )


def test_three_sentences_are_seen_at_once(visit):
    """With their colours and legends, in the first 700 pixels of a window on a desk."""
    sentence = "the jokes are as tired as the plot , but the acting is superb ."
    items = [explanation(f"{n} {sentence}", probabilities=[0.25, 0.75]) for n in range(3)]
    for target in (items, [classes(2, words=14, probabilities=[0.2, 0.8])] * 3):
        browser = visit(target)
        bottom = "[...document.querySelectorAll('.legend')].at(-1).getBoundingClientRect().bottom"
        assert browser.run(bottom) < 700
        assert browser.run("getComputedStyle(document.querySelector('.text')).fontSize") == "22px"


def test_on_a_telephone_the_names_stand_below_the_scale(visit):
    browser = visit([explanation(labels=("negative", "positive"))], width=390)
    boxes = browser.run(
        "[...document.querySelector('.legend').children].map(e => e.getBoundingClientRect())"
        ".map(b => [b.left, b.right, b.top])"
    )
    (left, _, below), (low, _, top), *_, (_, high, other), (_, right, same) = boxes
    assert (left, right, top, below) == (low, high, other, same)
    assert below > top
