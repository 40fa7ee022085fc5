"""The page of an analysis in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from samples.browser import Browser
from samples.browser_pages import NEEDS_BROWSER
from samples.planted import PLANTED, planted_classifier, planted_corpus

import seqlrp

pytest.importorskip("sklearn")
pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = seqlrp.analyse(
        planted_classifier(),
        planted_corpus(),
        strategies={"projection": "spectral", "clusters": 2},
        progress=False,
    )
    return found.save_html(tmp_path_factory.mktemp("analysis") / "index.html")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    one = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield one
    one.close()


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (400, True)])
def test_it_fits_and_loads_nothing(browser: Browser, page: Path, width: int, dark: bool) -> None:
    browser.open(page, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") == width
    assert browser.requests() == [page.as_uri()]
    assert browser.complaints() == []


def test_it_reads_from_the_verdict_to_the_evidence(browser: Browser, page: Path) -> None:
    browser.open(page, width=400)
    headings = browser.run("[...document.querySelectorAll('h1, h2')].map(h => h.textContent)")
    assert [h.split()[0] for h in headings] == ["What", "The", "The", "The", "Shortcuts,"]
    assert browser.run("document.querySelectorAll('.findings li svg.effect').length") >= 2
    example = "[...document.querySelector('.findings .text').querySelectorAll('u')]"
    strongest = browser.run(f"{example}.filter(u => u.className === 'f20').map(u => u.textContent)")
    assert [word.lower() for word in strongest] == [PLANTED]
    assert PLANTED in browser.run("document.querySelector('.key').innerText")
    cut = (
        "[...document.querySelectorAll('.panel')].filter(p => p.scrollWidth > p.clientWidth).length"
    )
    assert browser.run(cut) == 0
    row = browser.run("document.querySelector('.words tbody tr').innerText")
    assert "texts" in row
    assert "by counting" in row
    assert " to " in row  # the interval
    assert browser.run("document.querySelector('.opened').offsetHeight") == 0


def test_it_is_read_without_script(browser: Browser, page: Path) -> None:
    browser.open(page, script=False)
    assert PLANTED in browser.run("document.querySelector('.findings').innerText")
    shown = "[...document.querySelectorAll('.tabs .panel')].filter(p => p.offsetHeight).length"
    assert browser.run(shown) == 2  # one of the words, one of the strategies
    before = browser.run("document.querySelector('.panel').offsetHeight")
    x, y = browser.place(".tabs > label", 1)
    browser.mouse("mousePressed", x, y)
    browser.mouse("mouseReleased", x, y)
    assert before
    assert browser.run("document.querySelector('.panel').offsetHeight") == 0
    assert browser.run(shown) == 2


def test_effects_are_seen(browser: Browser, page: Path) -> None:
    browser.open(page)
    bars = browser.run(
        "[...document.querySelectorAll('svg.effect rect:not(.control)')].map(r => {"
        "const b = r.getBoundingClientRect(); return [b.width, b.height]; })"
    )
    assert max(width for width, _ in bars) > 50
    assert all(height > 4 for width, height in bars if width)
    x, y = browser.place(".findings a")
    browser.mouse("mousePressed", x, y)
    browser.mouse("mouseReleased", x, y)
    assert browser.run("location.hash") == "#shortcut-0"


def test_the_map_opens_a_text(browser: Browser, page: Path) -> None:
    browser.open(page)
    x, y = browser.place("svg.map path", 0)
    browser.mouse("mousePressed", x, y)
    browser.mouse("mouseReleased", x, y)
    opened = "document.querySelector('.opened').innerText"
    first = browser.run(opened)
    assert first.startswith("Predicted ")
    assert "; strategy " in first
    assert browser.run("document.querySelectorAll('.opened mark').length") > 0
    browser.run("document.querySelector('svg.map').focus()")
    others = []
    for key in ("ArrowRight", "ArrowLeft"):  # one of them is the last
        browser.press(key)
        others.append(browser.run(opened))
    assert set(others) != {first}
    browser.choose("#map-class", "0")
    assert browser.run("document.querySelectorAll('svg.map path.faint').length") > 0
    assert browser.complaints() == []
