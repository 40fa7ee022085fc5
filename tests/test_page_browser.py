"""The page in a real browser: nothing runs, nothing is reported, the text is the text."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from explanation_samples import HOSTILE, explanation
from test_page import Page, shown

from seqlrp.explanation import Explanations

BROWSER = next(
    filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine"),
]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """What the browser makes of a page of hostile texts: (explanations, its DOM, its console)."""
    folder = tmp_path_factory.mktemp("browser")
    items = Explanations(
        explanation(f"a {text} film", labels=(text, text), method=text, id=text) for text in HOSTILE
    )
    items.save_html(folder / "page.html", title="".join(HOSTILE))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr", "--dump-dom",
        (folder / "page.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return items, done.stdout.decode(), done.stderr.decode(errors="replace")


def test_the_text_in_the_browser_is_the_text(opened):
    items, dom, _ = opened
    page = Page(dom)
    assert page.text["text"] == [shown(e.text) for e in items]
    assert page.text["h1"] == [shown("".join(HOSTILE))]


def test_nothing_ran_and_nothing_was_added(opened):
    _, dom, console = opened
    page = Page(dom)
    page.assert_nothing_unexpected()
    assert page.text["title"] == [shown("".join(HOSTILE))]
    # A style sheet that its own policy forbids would be reported here.
    assert "CONSOLE" not in console
