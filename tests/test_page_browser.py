"""The page in a real browser: read, pointed at, driven by keys and fingers, searched, attacked."""

from __future__ import annotations

import io
import itertools
import json
import re

import numpy as np
import pandas as pd
import pytest
from browser import BROWSER, Browser
from explanation_samples import HOSTILE, explanation
from matplotlib.figure import Figure
from matplotlib.image import imread
from test_page import shown

from seqlrp.explanation import Explanations
from seqlrp.page import render, save_pages
from seqlrp.page.colours import PALETTES, SHADES, levels, shade_class

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]

TEXTS = "[...document.querySelectorAll('.text')].map(t => t.textContent)"
SHOWN = "[...document.querySelectorAll('article')].filter(a => !a.hidden).map(a => a.id)"
TIP = "(t => t.hidden ? null : t.textContent)(document.querySelector('.tip'))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


@pytest.fixture
def visit(browser, tmp_path):
    """Open a page of explanations; at the end nothing was reported and nothing was loaded."""
    opened = []

    def visit(items, *, width=1200, dark=False, script=True, **options):
        path = tmp_path / f"{len(opened)}.html"
        Explanations(items).save_html(path, **options)
        opened.append(path.as_uri())
        browser.open(path, width=width, dark=dark, script=script)
        assert browser.requests() == [path.as_uri()]
        return browser

    yield visit
    assert browser.complaints() == []
    assert set(browser.requests()) <= set(opened)


def classes(count=20, words=30, **changes):
    """Every class of a text explained."""
    rng = np.random.default_rng(count)
    text = "It was said. " + " ".join(f"word{i}" for i in range(words - 5)) + " The end."
    ledger = {"tokens": tuple(rng.normal(size=count)), "bias": tuple(rng.normal(size=count)),
              "gate": tuple([0.0] * (count - 1) + [1.0])}  # fmt: skip
    return explanation(text, **{
        "labels": [f"class {c}" for c in range(count)], "target": "all", "ledger": ledger,
        "relevance": rng.laplace(size=(count, words)) * 10.0 ** rng.integers(-4, 3, (count, 1)),
        "scores": rng.normal(size=count), "predicted": 1, "label": 0,
    } | changes)  # fmt: skip


def marks(browser, place=0):
    """What the marks of a text say: [text, class, value]."""
    return browser.run(
        f"[...document.querySelectorAll('.pane')[{place}].querySelectorAll('.text u, .text .s')]"
        ".map(m => [m.textContent, m.className, m.dataset.v])"
    )


def tables(browser):
    return browser.run(
        "[...document.querySelectorAll('.pane table tr, .pane caption, .legend')]"
        ".map(r => r.textContent)"
    )


# The text is the text


@pytest.mark.parametrize("script", [True, False])
def test_hostile_texts_stay_texts(visit, script):
    items = [
        explanation(f"a {text} film", labels=(text, text), method=text, id=text) for text in HOSTILE
    ]
    browser = visit(items, title="".join(HOSTILE), script=script)
    assert browser.run(TEXTS) == [shown(e.text) for e in items]
    assert browser.run("document.querySelector('h1').textContent") == shown("".join(HOSTILE))
    assert browser.run("document.title") != "owned"
    tags = browser.run("[...new Set([...document.querySelectorAll('*')].map(e => e.tagName))]")
    assert not set(tags) & {"IMG", "IFRAME", "OBJECT", "LINK", "FORM"}
    handlers = "[...document.querySelectorAll('*')].flatMap(e => e.getAttributeNames())"
    assert not [name for name in browser.run(handlers) if name.startswith("on")]


def test_hostile_labels_of_a_choice_stay_texts(visit):
    items = [classes(len(HOSTILE), labels=HOSTILE, id=HOSTILE[0])]
    browser = visit([*items, *items])
    for number in range(len(HOSTILE)):
        browser.choose(".asked select", str(number))
        names = browser.run(
            "[...document.querySelectorAll('.pane .legend bdi')].map(b => b.textContent)"
        )
        assert names[:2] == [shown(HOSTILE[number])] * 2
    browser.choose("#target", f"={shown(HOSTILE[2])}")
    assert browser.run("document.title") != "owned"


def test_a_name_cannot_turn_the_writing_round_it(visit):
    """A name that leaves an override and an isolate open; what follows it still runs rightwards."""
    name = "\u202eoverride never closed \u2067isolate neither"
    browser = visit([explanation(labels=(name, "positive"))])
    left, right = browser.run(
        """(() => {
          const walker = document.createTreeWalker(document.querySelector('.verdict'), 4);
          let node;
          while ((node = walker.nextNode()) && !node.data.includes('above that'));
          const at = i => { const r = document.createRange(); r.setStart(node, i);
            r.setEnd(node, i + 1); return r.getBoundingClientRect().left; };
          const i = node.data.indexOf('above');
          return [at(i), at(i + 4)];
        })()"""
    )
    assert left < right


def test_everything_is_there_without_a_script(visit):
    items = [explanation(id=str(i)) for i in range(60)]
    browser = visit([*items, classes()], script=False)
    assert len(browser.run(SHOWN)) == 61
    assert browser.run("[...document.querySelectorAll('.controls')].every(c => c.hidden)")
    x, y = browser.place(".text u")
    browser.mouse("mouseMoved", x, y)
    said = "getComputedStyle(document.querySelector('.text u'), '::after').content"
    assert browser.run(said) == '"-1.000"'
    assert "without a script, the predicted one is shown" in browser.run(
        "document.querySelector('header').innerText"
    )


# Colours and layout


def colours(text):
    """The numbers of a computed colour, 0 to 255."""
    numbers = [
        float(number) for number in re.findall(r"-?[\d.e-]+", text.removeprefix("color(srgb"))
    ]
    return np.array(numbers[:3]) * (255 if text.startswith("color") else 1)


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


def colours_of(code):
    return np.array(list(bytes.fromhex(code[1:])), float)


def test_on_paper_both_signs_have_a_line_and_every_text_is_there(visit):
    browser = visit([explanation(relevance=np.linspace(-1, 1, 8)) for _ in range(60)], dark=True)
    assert len(browser.run(SHOWN)) == 50
    browser.send("Emulation.setEmulatedMedia", media="print")
    browser.run("dispatchEvent(new Event('beforeprint')) && null")
    assert browser.run(SHOWN) == [f"d{n}" for n in range(1, 61)]
    styles = browser.run(
        "[...document.querySelectorAll('.text u')].slice(0, 8).map(u => {"
        "const s = getComputedStyle(u); return s.textDecorationLine + s.textDecorationStyle; })"
    )
    assert styles[0] == "underlinedotted"
    assert styles[-1] == "underlinesolid"
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    browser.run("dispatchEvent(new Event('afterprint')) && null")
    assert browser.run(SHOWN) == [f"d{n}" for n in range(1, 51)]


def test_paper_has_nothing_to_press_and_nothing_folded_away(visit):
    browser = visit([classes(), classes()])
    browser.send("Emulation.setEmulatedMedia", media="print")
    shown = "[...document.querySelectorAll({!r})].map(e => e.getClientRects().length > 0)"
    for gone in ("nav", ".controls", ".how", ".tip"):
        assert not any(browser.run(shown.format(gone))), gone
    style = "(s => [s.appearance, s.borderTopWidth])(getComputedStyle({}))"
    select = "document.querySelector('.asked select')"
    assert browser.run(style.format(select)) == ["none", "0px"]
    folded = "document.querySelector('header details dl').checkVisibility()"
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
    browser = visit([explanation()], width=500, tables=[(caption, table)])
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
        browser = visit([explanation()], dark=dark, figures=[figure])
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
    items = [explanation(), explanation("another")]
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
        """[...document.querySelectorAll('.verdict')].map(v => {
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
    height = "document.querySelector('header dl + details dl').getClientRects().length"
    seen = "document.querySelector('header details').getBoundingClientRect().height"
    folded = browser.run(seen)
    browser.run("document.querySelector('header summary').click()")
    assert browser.run(seen) > folded + 30
    assert browser.run(height) == 1


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


def test_no_texts_and_no_words(visit):
    browser = visit([])
    assert "0" in browser.run("document.querySelector('dd').textContent")
    browser = visit([explanation("", ledger={}), explanation(relevance=np.zeros(8))])
    browser.choose("#unit", "sentence")
    browser.choose("#threshold", "50")
    assert len(browser.run(SHOWN)) == 2


# Values


def test_the_value_and_the_share_at_the_pointer(visit):
    browser = visit([explanation("a bad film . so good", relevance=[0, -1, 0.5, 0, 0.5, 2])])
    assert browser.run(TIP) is None
    browser.mouse("mouseMoved", *browser.place(".text u", 1))
    assert browser.run(TIP) == "-1.000 · 25.0 % of all words"
    browser.mouse("mouseMoved", *browser.place(".text u", 5))
    assert browser.run(TIP) == "+2.000 · 50.0 % of all words"
    browser.mouse("mouseMoved", 5, 5)
    assert browser.run(TIP) is None
    browser.choose("#unit", "sentence")
    browser.mouse("mouseMoved", *browser.place(".text u", 1))
    assert browser.run(TIP) == "-0.500 · 16.7 % of all sentences"
    edge = browser.run("document.documentElement.scrollWidth")
    assert edge <= 1200


def test_the_value_under_a_finger(visit):
    browser = visit([explanation("a bad film", relevance=[0, -1, 3])], width=360)
    browser.tap(*browser.place(".text u", 2))
    assert browser.run(TIP) == "+3.000 · 75.0 % of all words"


@pytest.mark.parametrize(("text", "forward", "back"), [
    ("a bad film . the end", "ArrowRight", "ArrowLeft"),
    ("هذا الفيلم رائع جدا . ولא", "ArrowLeft", "ArrowRight"),
])  # fmt: skip
def test_values_by_keyboard(visit, text, forward, back):
    browser = visit([explanation(text, relevance=[0, -1, 3, 0, 0, 4])])
    browser.run("document.querySelector('#palette').focus()")
    browser.press("Tab")
    focus = "document.activeElement.className || document.activeElement.textContent"
    assert browser.run("document.activeElement.className") == "text"
    words = text.split()
    heard = []
    for key in (forward, forward, forward, back, "End", forward, "Home", back):
        browser.press(key)
        heard.append(browser.run("document.activeElement.textContent"))
    assert heard == [words[i] for i in (0, 1, 2, 1, 5, 5, 0, 0)]
    browser.press("End")
    assert browser.run("document.querySelector('[role=status]').textContent") == (
        f"{words[5]}: +4.000 · 50.0 % of all words"
    )
    assert browser.run(TIP) == "+4.000 · 50.0 % of all words"
    outline = browser.run("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.press("Escape")
    assert browser.run(TIP) is None
    browser.press("Tab")
    assert browser.run(focus) != words[5]
    browser.choose("#unit", "sentence")
    browser.run("document.querySelector('.text').focus()")
    browser.press(forward)
    assert browser.run("document.activeElement.textContent") == text.partition(" . ")[0] + " ."


def test_every_control_has_a_name(visit):
    browser = visit([classes(), explanation()])
    nodes = browser.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"combobox", "slider", "searchbox", "spinbutton", "group", "navigation", "article"}
    named = [
        (n["role"]["value"], n.get("name", {}).get("value")) for n in nodes if not n["ignored"]
    ]
    found = [(role, name) for role, name in named if role in roles]
    assert {"combobox", "slider", "searchbox", "spinbutton", "group"} <= {role for role, _ in found}
    assert not [role for role, name in found if not name and role != "group"]  # one is details
    assert ("group", "Text; the arrow keys go from word to word") in found
    assert ("article", "Text 1 reviews/1") in found
    headings = [n["properties"] for n in nodes if n.get("role", {}).get("value") == "heading"]
    levels = [p["value"]["value"] for ps in headings for p in ps if p["name"] == "level"]
    assert levels == [1, 2, 2, 2]


# Choices


@pytest.mark.parametrize("scale", ["document", "corpus"])
def test_another_class_looks_as_if_it_had_been_explained_alone(visit, browser, tmp_path, scale):
    """What the script makes of the record is, to the last digit, what Python makes of it."""
    every = classes(6)
    alone = []
    for c in range(6):
        visit([every.for_target(c)])
        alone.append((marks(browser), tables(browser)))
    visit([every, every], scale=scale)
    for c in (2, 5, 0, 1, 3, 4):
        browser.choose(".asked select", str(c))
        found, expected = marks(browser), alone[c][0]
        assert [m[::2] for m in found] == [m[::2] for m in expected]
        if scale == "document":
            assert found == expected
            assert tables(browser)[: len(alone[c][1])] == alone[c][1]
        else:
            shades = levels(every.relevance[c], float(abs(every.relevance).max()), 0.05)
            painted = (
                "[...document.querySelector('.text').querySelectorAll('u')].map(u => u.className)"
            )
            assert browser.run(painted) == [shade_class(level) or "" for level in shades.tolist()]
    assert marks(browser, 1)[0] == [*alone[1][0][0][:1], marks(browser, 1)[0][1], alone[1][0][0][2]]
    browser.mouse("mouseMoved", *browser.place(".text u", 3))
    assert browser.run(TIP).split(" · ")[0] == alone[4][0][4][2]


def test_classes_of_very_different_scales(visit):
    every = classes(5, relevance=np.outer([1e-30, 1e-8, 1.0, 1e6, 1e30], np.linspace(-1, 0.5, 30)))
    browser = visit([every])
    for c in (0, 3, 4, 2, 1):
        browser.choose(".asked select", str(c))
        found = np.array([float(m[2]) for m in marks(browser) if m[0].startswith("word")])
        row = every.relevance[c].astype(float)[3:-2]
        assert np.abs(found - row).max() <= 5.1e-4 * abs(every.relevance[c]).max()
        printed = browser.run("document.querySelector('.legend').children[5].textContent")
        assert printed == ["+1.000e-30", "+1.000e-08", "+1.000", "+1000000", "+1.000e+30"][c]
        assert [m[1] for m in marks(browser)][1] == "a20"


def test_one_class_is_chosen_for_all_texts(visit):
    items = [classes(5), classes(5, predicted=2, label=None), explanation()]
    browser = visit(items)
    asked = "[...document.querySelectorAll('.asked select')].map(s => Number(s.value))"
    assert browser.run(asked) == [1, 2]
    browser.choose("#target", "=class 4")
    assert browser.run(asked) == [4, 4]
    browser.choose("#target", "true")
    assert browser.run(asked) == [0, 2]
    browser.choose("#target", "predicted")
    assert browser.run(asked) == [1, 2]
    options = browser.run("[...document.querySelector('.asked select').options].map(o => o.text)")
    assert options == ["class 0 (true)", "class 1 (predicted)", "class 2", "class 3", "class 4"]


def test_words_or_sentences(visit):
    browser = visit([explanation("a bad film . so good", relevance=[0, -1, 0.5, 0, 0.5, 2])])
    painted = (
        "['.text u', '.text .s'].map(s => [...document.querySelectorAll(s)].map(e =>"
        "getComputedStyle(e).backgroundColor !== 'rgba(0, 0, 0, 0)'))"
    )
    scale = "document.querySelector('.legend').children[5].textContent"
    assert browser.run(painted) == [[False, True, True, False, True, True], [False, False]]
    assert browser.run(scale) == "+2.000"
    browser.choose("#unit", "sentence")
    assert browser.run(painted) == [[False] * 6, [True, True]]
    found = browser.run(
        "[...document.querySelectorAll('.s')].map(e => getComputedStyle(e).backgroundColor)"
    )
    for colour, level in zip(found, (-4, 20), strict=True):
        expected = colours_of(PALETTES["red-blue"][0].shade(level))
        assert np.abs(colours(colour) - expected).max() <= 1
    assert browser.run(scale) == "+2.500"
    lines = "[...document.querySelectorAll('.s')].map(e => getComputedStyle(e).textDecorationStyle)"
    assert browser.run(lines) == ["dotted", "solid"]


def test_the_threshold(visit):
    browser = visit([explanation("a b c d", relevance=[4, 1, -2, 0.1], ledger={})])
    assert [m[1] for m in marks(browser) if m[0] in "abcd"] == ["f20", "f5", "a10", ""]
    browser.choose("#threshold", "30")
    assert [m[1] for m in marks(browser) if m[0] in "abcd"] == ["f20", "", "a10", ""]
    assert browser.run("document.querySelector('#threshold + output').textContent") == "30 %"
    browser.choose("#threshold", "5")
    assert [m[1] for m in marks(browser) if m[0] in "abcd"] == ["f20", "f5", "a10", ""]


def test_the_palette(visit):
    browser = visit([explanation("a", relevance=[1], ledger={})], palette="orange-blue")
    colour = "getComputedStyle(document.querySelector('.text u')).backgroundColor"
    assert browser.run("document.querySelector('#palette').value") == "orange-blue"
    for palette in [*PALETTES, "orange-blue"]:
        browser.choose("#palette", palette)
        expected = colours_of(PALETTES[palette][0].deepest_for)
        assert np.abs(colours(browser.run(colour)) - expected).max() <= 1


def test_twenty_thousand_words(visit):
    rng = np.random.default_rng(0)
    browser = visit([explanation("word " * 20_000, relevance=rng.laplace(size=20_000))])
    milliseconds = browser.run(
        "(() => { const t = performance.now(), c = document.querySelector('#threshold');"
        "c.value = 60; c.dispatchEvent(new Event('input')); return performance.now() - t; })()"
    )
    assert milliseconds < 5000
    painted = browser.run("document.querySelectorAll('.text u[class]').length")
    assert 0 < painted < 100


# Search, filter, order


def reviews(count=120):
    words = ["wonderful", "dull", "long"]
    return [
        explanation(
            f"text {n} is {words[n % 3]}", id=f"name-{n}", label=n % 2, predicted=int(n % 5 == 0),
            scores=[0, n] if n % 5 == 0 else [n, 0], ledger={},
        )
        for n in range(count)
    ]  # fmt: skip


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
    monkeypatch.setattr("seqlrp.page.folder.PAGE", 60_000)
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


# Side by side, and pieces of other pages


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


def test_two_fragments_in_one_notebook(browser, tmp_path):
    first = explanation("a b", relevance=[1, -1], ledger={})._repr_html_()
    second = render([explanation("a b", relevance=[1, -1], ledger={})], palette="pink-green")
    page = tmp_path / "notebook.html"
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
