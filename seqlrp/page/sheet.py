"""The file round the content: style, script, and the policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from seqlrp.page.colours import PALETTES, rules
from seqlrp.page.markup import Html, element
from seqlrp.page.options import Look


def page_of(title: str, look: Look, *body: Html | None, minify: bool = False) -> str:
    """A whole page that needs no network and no other file, and can be read without its script."""
    # The palette asked for comes last: it holds where the page is shown.
    style, script = _source("style.css", minify), _source("page.js", minify)
    style = Html(f"\n{rules(PALETTES)}{style}")
    policy = (
        f"default-src 'none'; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="generator", content="seqlrp"),
        element("title", title),
        element("style", style),
    )
    inside = element("body", *body, element("script", script), class_=_classes(look))
    return "<!DOCTYPE html>\n" + element("html", head, inside, lang="en")


def fragment_of(look: Look, *body: Html | None, minify: bool = False) -> str:
    """A piece of another page: its style goes with it, and there is no script."""
    style = Html(f"\n{rules([look.palette])}{_source('style.css', minify)}")
    return element("div", element("style", style), *body, class_=_classes(look), lang="en")


def _classes(look: Look) -> str:
    return f"seqlrp {look.palette}" + (" by-sentence" if look.by == "sentence" else "")


@cache
def _source(name: str, minify: bool) -> Html:
    source = files("seqlrp.page").joinpath(name).read_text(encoding="utf-8")
    if minify:
        lines = (line.strip() for line in source.splitlines())
        source = "\n".join(line for line in lines if line and not line.startswith("//"))
    return Html(source)


def _digest(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
