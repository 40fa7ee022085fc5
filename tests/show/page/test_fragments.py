"""Pieces of HTML for notebooks and other pages, and saving pages under a name."""

from __future__ import annotations

import re

import pytest
from samples.explanations import EVERY, HOSTILE, explanation

from seqlrp.errors import OptionError
from seqlrp.explanations.collection import Explanations
from seqlrp.show.page import render


def test_a_fragment_has_no_head_no_script_and_anchors_of_its_own():
    first, second = (render([explanation(text, **EVERY)], minify=True) for text in TWO)
    for fragment in (first, second):
        assert fragment.startswith('<div class="seqlrp red-blue" lang="en"><style>')
        assert not re.search(r"<(html|head|body|meta|title|main|script|input|select)\b", fragment)
    anchor = re.compile(r'<article id="(.*?)"')
    assert anchor.search(first)[1] != anchor.search(second)[1]
    assert render(explanation()) == render([explanation()])


TWO = ("one two three four five six seven eight", "two two three four five six seven eight")


def test_two_fragments_do_not_fight_over_colours():
    first, second = (render([explanation()], palette=p) for p in ("red-blue", "pink-green"))
    style = re.search(r"<style>(.*?)</style>", first, re.DOTALL)[1]
    other = re.search(r"<style>(.*?)</style>", second, re.DOTALL)[1]
    # What differs holds for one palette alone.
    differing = set(style.splitlines()) ^ set(other.splitlines())
    assert len(differing) == 4
    assert all(re.match(r"\.seqlrp\.(red-blue|pink-green)\{", line) for line in differing)


def test_every_rule_of_the_style_sheet_stays_inside():
    style = re.search(r"<style>(.*?)</style>", render([explanation()]), re.DOTALL)[1]
    style = re.sub(r"/\*.*?\*/", "", style, flags=re.DOTALL)
    selectors = re.findall(r"(?:^|[{}])\s*([^{}@]+?)\s*\{", style)
    assert len(selectors) > 80
    for selector in selectors:
        for part in re.sub(r"\([^()]*\)", "", selector).split(","):
            assert part.strip().startswith(".seqlrp"), selector


def test_save_html_writes_what_render_gives(tmp_path):
    path = tmp_path / "r.html"
    items = Explanations([explanation(text) for text in HOSTILE])
    items.save_html(path, title="Reviews", scale="corpus")
    expected = render(items, title="Reviews", scale="corpus", page=True)
    assert path.read_bytes().decode() == expected
    with pytest.raises(OptionError, match="scale"):
        items.save_html(tmp_path / "x.html", scale="all")
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(
    ("save", "name", "expected"),
    [
        ("save_html", "r.pdf", ".html or .htm"),
        ("save_html", "r", ".html or .htm"),
        ("save_png", "r.jpg", ".png"),
        ("save_pdf", "r.png", ".pdf"),
        ("save_latex", "r.pdf", ".tex"),
        ("save_latex", "results.v2", ".tex"),
    ],
)
def test_a_name_that_says_something_else_is_refused(tmp_path, save, name, expected):
    for items in (explanation(), Explanations([explanation()])):
        if not hasattr(items, save):
            continue
        with pytest.raises(
            OptionError, match=f"Got '.*{name}'; expected a name that ends in {expected}"
        ):
            getattr(items, save)(tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_the_case_of_a_name_is_no_matter(tmp_path):
    items = Explanations([explanation()])
    items.save_html(tmp_path / "R.HTM")
    items.save_png(tmp_path / "R.PNG", dpi=36)
    assert (tmp_path / "R.PNG").read_bytes()[1:4] == b"PNG"
