"""What a notebook shows, in a real browser, beside the style of JupyterLab and VS Code."""

from __future__ import annotations

import json

import numpy as np
import pytest
from samples.browser_pages import NEEDS_BROWSER, colours, colours_of
from samples.explanations import explanation

from seqlrp.explanations.collection import Explanations
from seqlrp.show.colours import PALETTES

pytestmark = NEEDS_BROWSER

# What notebooks say of tables, words and paragraphs in an output.
STYLE = """
.output { font: 13px/1.3 serif; letter-spacing: 0.3em; text-align: right; color: green; }
.output table { table-layout: fixed; margin-left: auto; border: none; font-size: 12px; }
.output td, .output th { padding: 0.5em; max-width: none; white-space: normal; text-align: right;
  width: 8px; line-height: 1 !important; }
.output tbody tr:nth-child(odd) { background: #f5f5f5; }
.output u { text-decoration: underline !important; background: yellow !important; }
.output h1, .output h2, .output p { font-size: 40px; margin: 3em; }
.output svg { width: 100%; height: auto; }
.output article, .output details, .output div { display: inline-block; float: right; }
html { font-size: 10px; }
.output * { box-sizing: border-box; word-break: break-all; }
"""
IN_SHADOW = "[...document.querySelector('.seqlrp-output').shadowRoot.querySelectorAll({!r})]"
LAYOUT = IN_SHADOW.format("h1, h2, p, th, td, u, svg") + (
    ".map(e => { const b = e.getBoundingClientRect(), s = getComputedStyle(e);"
    "return [e.tagName, b.width, b.height, s.fontSize, s.color, s.backgroundColor,"
    "s.textDecorationLine, s.letterSpacing]; })"
)
OVERPRINTED = IN_SHADOW.format("tr") + (
    ".filter(row => { const boxes = [...row.children].map(c => c.getBoundingClientRect());"
    "return boxes.some((b, i) => i && b.left < boxes[i - 1].right - 1)"
    "|| boxes.some(b => b.height > 40); }).length"
)


def notebook(style, output):
    """A notebook that was exported: its output is part of the file."""
    return (
        "<!DOCTYPE html><meta charset=utf-8><link rel=icon href=data:,>"
        "<meta name=viewport content='width=device-width, initial-scale=1'>"
        f"<style>{style}</style><div class=output style='width: 800px'>{output}</div>"
    )


def open_notebook(style, output):
    """A notebook at work: a string becomes the output, and then its scripts are run."""
    text = json.dumps(output).replace("<", "\\u003c")
    return notebook(style, "") + (
        "<script>const place = document.querySelector('.output');"
        f"place.innerHTML = {text};"
        "for (const old of place.querySelectorAll('script')) {"
        "const made = document.createElement('script'); made.textContent = old.textContent;"
        "old.replaceWith(made); }</script>"
    )


def items():
    return Explanations(
        explanation(probabilities=[0.2, 0.8], labels=("negative", "positive"), id=f"text {n}")
        for n in range(2)
    )


OPEN = IN_SHADOW.format("details") + ".forEach(d => { d.open = true; })"


@pytest.mark.parametrize("made", [notebook, open_notebook])
def test_no_style_of_a_notebook_reaches_an_explanation(browser, tmp_path, made):
    page = tmp_path / "notebook.html"
    found = []
    for style in ("", STYLE):
        page.write_text(made(style, items()._repr_html_()))
        browser.open(page)
        browser.run(OPEN)
        found.append(browser.run(LAYOUT))
        assert browser.run(OVERPRINTED) == 0
        # That a template in a string makes no shadow root is no news: the script makes it.
        complaints = [c for c in browser.complaints() if "shadowrootmode" not in c]
        assert complaints == []
    assert len(found[0]) > 30
    assert found[0] == found[1]
    words = browser.run(
        IN_SHADOW.format(".text u") + ".map(u => getComputedStyle(u).backgroundColor)"
    )
    deepest = colours_of(PALETTES["red-blue"][0].deepest_for)
    assert np.abs(colours(words[7]) - deepest).max() <= 1
    plain = "document.querySelector('.seqlrp-output > div').getClientRects().length"
    assert browser.run(plain) == 0


@pytest.mark.parametrize("made", [notebook, open_notebook])
@pytest.mark.parametrize("width", [800, 400])
def test_one_text_takes_a_few_lines(browser, tmp_path, made, width):
    page = tmp_path / "notebook.html"
    page.write_text(made("", items()[0]._repr_html_()).replace("800px", f"{width - 16}px"))
    browser.open(page, width=width)
    height = "document.querySelector('.seqlrp-output').offsetHeight"
    assert browser.run(height) < (130 if width == 800 else 190)
    wide = (
        IN_SHADOW.format("*") + ".filter(e => e.getBoundingClientRect().right > innerWidth).length"
    )
    for opened in (False, True):
        assert browser.run(wide) == 0
        assert browser.run("document.documentElement.scrollWidth") <= width
        if not opened:
            browser.run(OPEN)
    assert browser.run(height) > 300


# The writing of dark and light themes: JupyterLab, VS Code (whose page has no paper of its own).
THEMES = {
    "dark": ("body { background: #111; } .output { color: rgba(255, 255, 255, 0.87); }",
             "body { color: #cccccc; } html { background: #1f1f1f; }"),
    "light": ("body { background: #fff; } .output { color: rgba(0, 0, 0, 0.87); }",
              "body { color: #3b3b3b; } html { background: #fff; }"),
}  # fmt: skip


@pytest.mark.parametrize("made", [notebook, open_notebook])
@pytest.mark.parametrize("system", ["dark", "light"])
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_theme_is_that_of_the_notebook(browser, tmp_path, made, system, theme):
    page = tmp_path / "notebook.html"
    palette = PALETTES["red-blue"][theme == "dark"]
    for style in THEMES[theme]:
        page.write_text(made(style, items()[0]._repr_html_()))
        browser.open(page, dark=system == "dark")
        [paper, ink] = browser.run(
            IN_SHADOW.format(".seqlrp") + ".map(e => getComputedStyle(e))"
            ".flatMap(s => [s.backgroundColor, s.color])"
        )
        assert paper == "rgba(0, 0, 0, 0)"  # that of the notebook
        assert np.abs(colours(ink) - colours_of(palette.ink)).max() <= 1
        last = browser.run(
            IN_SHADOW.format(".text u") + ".map(u => getComputedStyle(u).backgroundColor)"
        )[-1]
        assert np.abs(colours(last) - colours_of(palette.deepest_for)).max() <= 1


def test_without_script_an_exported_notebook_has_the_paper_of_the_system(browser, tmp_path):
    page = tmp_path / "notebook.html"
    page.write_text(notebook("", items()[0]._repr_html_()))
    for dark in (False, True):
        browser.open(page, dark=dark, script=False)
        paper = browser.run(
            IN_SHADOW.format(".seqlrp") + ".map(e => getComputedStyle(e).backgroundColor)[0]"
        )
        assert np.abs(colours(paper) - colours_of(PALETTES["red-blue"][dark].paper)).max() <= 1


def test_without_a_shadow_root_there_is_plain_text(browser, tmp_path):
    page = tmp_path / "notebook.html"
    output = items()._repr_html_().replace("shadowrootmode", "data-removed")
    page.write_text(notebook(STYLE, output))
    browser.open(page, script=False)
    seen = browser.run("document.body.innerText")
    assert seen.count(explanation().text) == 2
    assert "Predicted positive (80" in seen
