"""The file round the content: style, script, and the policy that lets nothing else run or load."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from seqlrp.show.colours import PALETTES, rules
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.options import PageOptions


def whole_page(
    title: str,
    options: PageOptions,
    *body: Html | None,
    more_style: str = "",
    more_script: str = "",
) -> str:
    """A page that needs no network and no other file, and can be read without its script.

    Style and script of the package that come after those of every page are `more_style` and
    `more_script`.
    """
    # The palette asked for comes last: it holds where the page is shown.
    style = Html(f"\n{rules(PALETTES)}{page_style(options.minify)}{more_style}")
    script = Html(f"{source('page.js', options.minify)}{more_script}")
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
    inside = element("body", *body, element("script", script), class_=_classes(options))
    return "<!DOCTYPE html>\n" + element("html", head, inside, lang="en")


def fragment(options: PageOptions, *body: Html | None) -> str:
    """A piece of another page: its style goes with it, and there is no script."""
    style = Html(f"\n{rules([options.palette])}{page_style(options.minify)}")
    return element("div", element("style", style), *body, class_=_classes(options), lang="en")


def _classes(options: PageOptions) -> str:
    return f"seqlrp {options.palette}" + (" by-sentence" if options.by == "sentence" else "")


def page_style(minify: bool) -> Html:
    """The style of texts, and of the page round them."""
    return Html(source("text.css", minify) + source("style.css", minify))


@cache
def source(name: str, minify: bool) -> Html:
    """A file of the package, without indentation and comments if minified."""
    text = files("seqlrp.show.page").joinpath(name).read_text(encoding="utf-8")
    if minify:
        lines = (line.strip() for line in text.splitlines())
        text = "\n".join(line for line in lines if line and not line.startswith(("//", "/*")))
    return Html(text)


def _digest(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
