"""The live page in a real browser: typed into, struck, undone, driven by keys, attacked."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from samples.browser import Browser
from samples.browser_pages import NEEDS_BROWSER
from samples.classifiers import small_classifier

from seqlrp.serve import serve

pytestmark = NEEDS_BROWSER

TEXT = "a good film. not a dull plot"
HOSTILE = "<img src=x onerror=document.title='owned'>"
NOTES = "document.querySelector('.notes').textContent"
WORDS = "[...document.querySelectorAll('.pane')[%d].querySelectorAll('.text u')]"


@pytest.fixture(scope="module")
def address() -> str:
    """The address of a server with two models, in a thread of this process."""
    told: queue.Queue[str] = queue.Queue()
    models = small_classifier(), small_classifier(labels=("negative", "positive", HOSTILE))
    options: Any = {"names": ("first", "second"), "examples": [TEXT], "ready": told.put}
    threading.Thread(target=serve, args=models, kwargs=options, daemon=True).start()
    return told.get(timeout=60)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


class Page:
    """The live page, and how a person uses it."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, fragment: str = "", **options: Any) -> None:
        self.browser.open("about:blank")
        self.browser.open(self.address + fragment, **options)
        self.until("document.querySelectorAll('.pane').length === 2")

    def until(self, condition: str) -> None:
        for _ in range(200):
            if self.browser.run(condition):
                return
            time.sleep(0.05)
        said = self.browser.run("document.body.innerText")
        raise AssertionError(f"never true: {condition}\n{said}")

    def type(self, text: str) -> None:
        self.browser.run(
            "(field => { field.value = " + json.dumps(text) + "; "
            "field.dispatchEvent(new Event('input')); })(document.getElementById('text'))"
        )
        self.until(f"document.querySelector('.text').textContent === {json.dumps(text)}")
        self.until("!document.querySelector('.stale')")

    def words(self, pane: int = 0) -> Any:
        return self.browser.run(WORDS % pane + ".map(u => [u.textContent, u.className])")

    def struck(self, pane: int = 0) -> Any:
        pressed = ".filter(u => u.getAttribute('aria-pressed') === 'true').map(u => u.textContent)"
        return self.browser.run(WORDS % pane + pressed)

    def status(self) -> str:
        return str(self.browser.run("document.getElementById('status').textContent"))

    def click(self, name: str) -> None:
        self.browser.run(f"document.getElementById('{name}').click()")


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    yield Page(browser, address)
    assert browser.complaints() == []
    assert all(url.startswith((address, "about:", "blob:")) for url in browser.requests())


def test_words_are_coloured_while_one_types(page: Page) -> None:
    page.open()
    page.type(TEXT)
    found = page.words()
    assert [word for word, _ in found] == TEXT.split()
    assert any(colour for _, colour in found)
    page.browser.choose("#target", "positive")
    page.until(f"JSON.stringify({WORDS % 0}.map(u => [u.textContent, u.className])) !== "
               f"{json.dumps(json.dumps(found, separators=(',', ':')))}")  # fmt: skip
    page.browser.choose("#method", "occlusion")
    page.browser.choose("#unit", "sentences")
    assert page.browser.run("document.querySelectorAll('.pane .s').length") == 4
    page.type("")


def test_a_word_is_struck_and_put_back(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run(WORDS % 0 + "[1].click()")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    assert page.struck(0) == page.struck(1) == ["good"]
    assert "points" in page.status()
    page.click("strongest")
    page.until("document.getElementById('status').textContent.startsWith('2 struck')")
    page.click("undo")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    page.click("restore")
    page.until("document.getElementById('status').textContent === ''")
    assert page.struck() == []
    assert page.browser.run("document.querySelectorAll('#history li').length") >= 2


def test_by_keyboard_alone(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run("document.querySelector('.text').focus()")
    heard = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowLeft", "End"):
        page.browser.press(key)
        heard.append(page.browser.run("document.activeElement.textContent"))
    assert heard == ["a", "good", "film.", "good", "plot"]
    page.browser.press("Delete")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    assert page.struck() == ["plot"]
    assert page.browser.run("document.activeElement.getAttribute('role')") == "button"
    page.browser.press("Delete")
    page.until("document.getElementById('status').textContent === ''")


def test_a_word_is_replaced(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run(WORDS % 0 + "[1].click()")
    page.browser.run(WORDS % 0 + "[1].click()")
    asked = page.browser.requests()
    assert not any(url.endswith("/predict") for url in asked)  # it was never struck
    page.browser.run("document.querySelector('.text input').value = 'bad'")
    page.browser.run(
        "document.querySelector('.text input').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', bubbles: true}))"
    )
    page.until("document.getElementById('text').value === 'a bad film. not a dull plot'")
    page.until("document.querySelectorAll('.text u')[1].textContent === 'bad'")
    page.until(f"{NOTES}.includes('Replaced: “bad” for “good”. Before that the answer was')")


def test_curves_and_what_would_change(page: Page) -> None:
    page.open()
    page.click("example")
    page.until(f"document.querySelector('.text').textContent === {json.dumps(TEXT)}")
    page.click("draw")
    page.until("document.querySelectorAll('#curves polyline').length === 8")
    page.click("change")
    page.until("/answer of first (is|stays)/.test(document.getElementById('status').textContent)")
    assert "“" in page.status()  # the words are named


def test_curves_follow_what_is_asked_and_go_with_their_text(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.click("draw")
    caption = "document.querySelector('#curves figcaption').textContent"
    page.until("!document.getElementById('curves').hidden")
    assert "To a text without any word the model answers" in page.browser.run(caption)
    assert page.browser.run("document.querySelectorAll('#curves circle').length") > 4
    page.browser.choose("#target", "negative")
    page.until(f"{caption}.startsWith('Probability of negative')")
    page.browser.choose("#target", "positive")
    page.until(f"{caption}.startsWith('Probability of positive')")
    page.type(TEXT + " good")
    assert page.browser.run("document.getElementById('curves').hidden")


def test_files_hold_what_was_struck(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run(WORDS % 0 + "[1].click()")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    assert "The colours are of the text as typed" in page.browser.run(NOTES)
    page.browser.run(
        "window.kept = []; (make => { URL.createObjectURL = blob => { kept.push(blob); "
        "return make(blob); }; })(URL.createObjectURL.bind(URL))"
    )
    for number, name in enumerate(("save-json", "save-page", "save-picture")):
        page.click(name)
        page.until(f"kept.length > {number}")
    numbers = json.loads(page.browser.run("kept[0].text()"))
    assert [a["explanations"][0]["edited"]["struck_words"] for a in numbers["answers"]] == [
        ["good"], ["good"]
    ]  # fmt: skip
    assert numbers["settings"]["removal"] == "zero"
    saved = page.browser.run("kept[1].text()")
    assert "Without “good” (set to zero) first answers" in saved
    assert "Without “good” (set to zero) second answers" in saved
    assert ">good</u></s>" in saved
    assert page.browser.run("kept[2].type") == "image/png"


def test_the_rest_is_explained_without_what_is_struck(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run(WORDS % 0 + "[1].click()")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    page.click("rest")
    page.until("document.querySelector('.text').textContent === 'a film. not a dull plot'")
    page.until(f"{NOTES} === '' || !{NOTES}.includes('as typed')")
    assert page.struck() == []


def test_unknown_words_are_marked_and_counted(page: Page) -> None:
    page.open()
    page.type("a good blorf")
    assert "1 word is unknown to the model" in page.browser.run(NOTES)
    assert page.browser.run(WORDS % 0 + ".map(u => 'unknown' in u.dataset)") == [
        False, False, True
    ]  # fmt: skip
    page.type("xqzt blorf wumble")
    assert "does not know any of these 3 words" in page.browser.run(NOTES)
    assert page.browser.run("document.querySelectorAll('.text.strange').length") == 2


def test_an_error_leaves_no_answer(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run(
        "(field => { field.value = 'good '.repeat(5100); "
        "field.dispatchEvent(new Event('input')); })(document.getElementById('text'))"
    )
    page.until("document.getElementById('status').textContent.includes('at most 5,000')")
    assert page.browser.run("document.querySelector('.answer').textContent") == ""
    assert page.words() == []
    page.browser.events.clear()  # the browser reports the refusal, too


def test_history_has_a_row_for_each_text_and_strike(page: Page) -> None:
    page.open()
    page.type(TEXT)
    for pressed in ("1 struck", "", "1 struck", ""):
        page.browser.run(WORDS % 0 + "[1].click()")
        page.until(
            f"document.getElementById('status').textContent.startsWith('{pressed}') && "
            f"!document.getElementById('restore').disabled === {json.dumps(pressed != '')}"
        )
        page.until("!!document.querySelector('#history [aria-current]')")
    page.browser.choose("#method", "occlusion")
    page.until("document.querySelectorAll('#history li').length === 2")
    assert page.browser.run("document.querySelector('#history s').textContent") == "good"
    row = page.browser.run("document.querySelector('#history button').innerText")
    assert " · " in row  # the answers of both models


def test_two_models_with_other_labels_are_told_apart(page: Page) -> None:
    page.open()
    assert not page.browser.run("document.getElementById('differ').hidden")
    assert page.browser.run("document.getElementById('strongest').textContent").endswith("first")
    last = page.browser.run(
        "[...document.querySelectorAll('#method optgroup option')].map(o => o.textContent)"
    )
    assert last == ["position", "random order"]


def test_a_link_holds_text_and_settings(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.choose("#method", "occlusion")
    page.browser.run(WORDS % 0 + "[1].click()")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    page.click("link")
    page.until("location.hash.length > 1")
    fragment = page.browser.run("location.hash")
    page.open(fragment)
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    assert page.struck() == ["good"]
    assert page.browser.run("document.getElementById('method').value") == "occlusion"
    assert not any(TEXT.split()[1] in url.partition("#")[0] for url in page.browser.requests())
    for broken in ("#try=%7B", "#try=[1]", "#try=%7B%22text%22%3A3%7D"):
        page.open(broken)


def test_hostile_text_and_labels_stay_text(page: Page) -> None:
    page.open()
    page.type(f"good {HOSTILE} film")
    assert page.browser.run("document.title") != "owned"
    assert page.browser.run("document.querySelectorAll('img').length") == 0
    page.type("good \U0001d4b3 film")
    assert [word for word, _ in page.words()] == ["good", "\U0001d4b3", "film"]


def test_before_there_is_a_text_nothing_asks_for_one(page: Page) -> None:
    page.open()
    acts = "document.querySelector('.acts').getClientRects().length"
    assert page.browser.run(acts) == 0
    page.type(TEXT)
    assert page.browser.run(acts) == 1
    page.type("")
    assert page.browser.run(acts) == 0


def test_the_last_of_many_quick_keys_is_answered(page: Page) -> None:
    page.open()
    typed = "a good film " * 8
    page.browser.run(
        "(async field => { for (const letter of " + json.dumps(typed) + ") { field.value += letter;"
        "field.dispatchEvent(new Event('input')); await new Promise(r => setTimeout(r, 1)); } })"
        "(document.getElementById('text'))"
    )
    page.until(f"document.querySelector('.text').textContent === {json.dumps(typed)}")
    page.until("!document.querySelector('.stale')")


def test_nothing_is_larger_than_the_coloured_words(page: Page) -> None:
    page.open()
    page.type(TEXT)
    size = "parseFloat(getComputedStyle(document.querySelector('%s')).fontSize)"
    text = page.browser.run(size % ".text")
    others = [page.browser.run(size % other) for other in ("h1", "textarea", "select", ".hint")]
    assert text >= max(others)


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_nothing_is_cut_off(page: Page, dark: bool) -> None:
    page.open(width=400, dark=dark)
    page.type(TEXT + " story" * 40)
    page.click("draw")
    page.until("document.querySelectorAll('#curves polyline').length === 8")
    assert page.browser.run("document.documentElement.scrollWidth") <= 400


def test_before_there_is_a_text_the_page_says_what_it_does(page: Page) -> None:
    page.open()
    page.until("document.querySelectorAll('#examples button').length === 1")
    said = page.browser.run("document.querySelector('.welcome').innerText")
    assert "first: negative and positive." in said
    assert HOSTILE in said
    page.browser.run("document.querySelector('#examples button').click()")
    page.until(f"document.querySelector('.text').textContent === {json.dumps(TEXT)}")
    assert page.browser.run("document.querySelector('.welcome').getClientRects().length") == 0


def test_what_a_screen_reader_meets_has_a_role_and_a_name(page: Page) -> None:
    page.open()
    page.type(TEXT)
    page.browser.run(WORDS % 0 + "[1].click()")
    page.until("document.getElementById('status').textContent.startsWith('1 struck')")
    page.browser.send("Accessibility.enable")
    nodes = page.browser.send("Accessibility.getFullAXTree")["nodes"]
    met = [
        (n["role"]["value"], n.get("name", {}).get("value", ""), n.get("properties", []))
        for n in nodes
        if not n["ignored"]
    ]
    acting = [m for m in met if m[0] in {"button", "combobox", "textbox", "group", "figure"}]
    assert [m for m in acting if not m[1].strip()] == []
    pressed = [
        name
        for _, name, properties in acting
        for p in properties
        if p["name"] == "pressed" and p["value"]["value"] == "true"
    ]
    assert pressed == ["good", "good"]  # in both panes
    names = {name for role, name, _ in met if role == "heading"}
    assert names >= {"Try a text", "first", "second", "Strike words", "Ask the model", "Keep"}
    assert "status" in {role for role, _, _ in met}


CONTRAST = """(() => {
  const parts = c => c.match(/[\\d.]+/g).slice(0, 3).map(Number);
  const light = c => parts(c).map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('body *:not(script, style, option, .text *, i)')]
    .filter(e => e.getClientRects().length && [...e.childNodes].some(
      n => n.nodeType === 3 && n.textContent.trim()) && !e.disabled)
    .map(e => [light(getComputedStyle(e).color), e])
    .map(([l, e]) => [(Math.max(l, paper) + 0.05) / (Math.min(l, paper) + 0.05), e.outerHTML])
    .filter(([ratio]) => ratio < 4.5);
})()"""


@pytest.mark.parametrize("dark", [False, True])
def test_writing_stands_out_and_nothing_moves(page: Page, dark: bool) -> None:
    page.open(dark=dark)
    assert page.browser.run(CONTRAST) == []
    page.type(TEXT)
    page.click("draw")
    page.until("document.querySelectorAll('#curves polyline').length === 8")
    assert page.browser.run(CONTRAST) == []
    assert page.browser.run("document.getAnimations().length") == 0
    moving = "e => getComputedStyle(e).transitionDuration !== '0s'"
    assert page.browser.run(f"[...document.querySelectorAll('*')].filter({moving}).length") == 0


def test_without_colours_the_signs_stay(page: Page) -> None:
    page.open()
    page.type(TEXT)
    features = [{"name": "forced-colors", "value": "active"}]
    page.browser.send("Emulation.setEmulatedMedia", media="", features=features)
    lines = page.browser.run(
        WORDS % 0 + ".filter(u => u.className).map(u => [u.className[0],"
        "getComputedStyle(u).textDecorationStyle, getComputedStyle(u).textDecorationLine])"
    )
    assert {kind for kind, _, _ in lines} == {"f", "a"}
    assert all(line == "underline" for _, _, line in lines)
    assert all(style == {"f": "solid", "a": "dotted"}[kind] for kind, style, _ in lines)
    bar = "getComputedStyle(document.querySelector('.bar i')).forcedColorAdjust"
    assert page.browser.run(bar) == "none"
