"""An HTML page read by a strict parser, for the tests of what a page holds."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np

import seqlrp.show.page

VOID = {"meta", "input", "img"}
ALLOWED = {  # every tag and attribute that a page may hold
    "html": {"lang"}, "head": set(), "title": set(), "style": set(), "body": {"class"},
    "meta": {"charset", "http-equiv", "content", "name"}, "header": set(), "main": {"class"},
    "nav": {"aria-label", "class"}, "ol": set(), "li": {"data-m", "data-p", "data-i"},
    "a": {"href", "dir", "rel"}, "h1": set(), "h2": {"id"}, "p": {"class"}, "b": set(),
    "bdi": set(), "mark": {"class"}, "u": {"class", "data-v"}, "i": {"class"},
    "span": {"class", "aria-hidden", "data-v"}, "dl": {"class"}, "dt": set(), "dd": set(),
    "article": {"id", "aria-labelledby"}, "div": {"class", "dir", "lang", "hidden", "tabindex"},
    "template": {"shadowrootmode"},
    "section": {"class", "data-w", "data-s", "aria-label"}, "script": {"type"},
    "table": set(), "caption": set(), "thead": set(), "tbody": set(), "tfoot": set(),
    "tr": {"class"}, "th": {"scope", "class"}, "td": {"class"}, "svg": {"aria-hidden"},
    "rect": {"x", "width", "class"}, "details": {"open"}, "summary": set(), "label": set(),
    "select": {"id"}, "option": {"value", "selected"}, "output": {"id"}, "noscript": set(),
    "input": {"type", "id", "min", "max", "value", "step"}, "figure": set(), "figcaption": set(),
    "img": {"src", "alt"}, "pre": {"tabindex"},
}  # fmt: skip
SCRIPT = Path(seqlrp.show.page.__file__).with_name("page.js").read_text()
CLASSES = r"(s )?[fa](20|1?\d)|[a-z]+|since until|(seqlrp|controls|panes|about)( [a-z-]+)*"


class Page(HTMLParser):
    """Tags, attributes and texts of a page; a tag that is not closed in its place is an error."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: dict[str, list[str]] = {}  # by tag, or by class of a div
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert len(attributes) == len(attrs)
        self.tags.append((tag, attributes))
        if tag not in VOID:
            key = attributes.get("class") if tag == "div" else tag
            self.text.setdefault(key, []).append("")
            self.open.append(key)

    def handle_endtag(self, tag):
        key = self.open.pop()
        assert tag == "div" or key == tag

    def handle_data(self, data):
        for key in self.open:
            self.text[key][-1] += data

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data):
        raise AssertionError(f"a declaration: {data}")

    def handle_pi(self, data):
        raise AssertionError(f"a processing instruction: {data}")

    def assert_nothing_unexpected(self):
        for tag, attributes in self.tags:
            assert tag in ALLOWED
            assert set(attributes) <= ALLOWED[tag], tag
            for number in (attributes.get("data-v"), attributes.get("data-m")):
                assert number is None or np.isfinite(float(number))
            assert attributes.get("class") is None or re.fullmatch(CLASSES, attributes["class"])
        kinds = [attributes.get("type") for tag, attributes in self.tags if tag == "script"]
        for kind, text in zip(kinds, self.text.get("script", []), strict=True):
            if kind == "application/json":
                json.loads(text)
            else:
                assert (kind, text) == (None, SCRIPT)


def shown(text: str) -> str:
    """The text that a page must show: control characters are replaced, one by one."""
    characters = []
    for character in text.replace("\r\n", "\n").replace("\r", "\n"):
        code = ord(character)
        if code < 32 and character not in "\t\n":
            character = chr(0x2400 + code)
        elif code == 127:
            character = "␡"
        elif 128 <= code < 160 or 0xFDD0 <= code < 0xFDF0 or code & 0xFFFE == 0xFFFE:
            character = "\ufffd"
        characters.append(character)
    return "".join(characters)


def rows(page: Page) -> list[list[str]]:
    """The names and values of the tables of a page."""
    cells = iter(page.text["td"])
    return [[name, next(cells), next(cells)][:2] for name in page.text["th"]]
