"""The page in a real browser: read, pointed at, driven by keys and fingers, searched, attacked."""

from __future__ import annotations

import numpy as np
import pytest
from samples.browser_pages import (
    NEEDS_BROWSER,
    SHOWN,
    TEXTS,
    TIP,
    classes,
    colours,
    colours_of,
    marks,
    tables,
)
from samples.explanations import HOSTILE, explanation
from samples.pages import shown

from seqlrp.show.colours import PALETTES, levels, shade_class

pytestmark = NEEDS_BROWSER

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
        "document.querySelector('.reading').innerText"
    )


def test_no_texts_and_no_words(visit):
    browser = visit([])
    assert "0" in browser.run("document.querySelector('.lead').textContent")
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
    browser = visit([classes(), explanation()] * 2)
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
    assert levels == [1, *[2] * 7]  # two highlights, the list, and four texts


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
