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
    style, script = source("style.css", options.minify), source("page.js", options.minify)
    style = Html(f"\n{rules(PALETTES)}{style}{more_style}")
    script = Html(f"{script}{more_script}")
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


# Inherited properties of the page round it, such as the distance of letters, end at the host; a
# rule of that page for every element holds for the host, too, unless this one is important.
_HOST = Html(":host { all: initial !important; display: block !important; }\n")
# A parser makes the shadow root; where a page takes a string for its HTML, as notebooks do while
# they are open, this does.
_ATTACH = Html(
    "document.querySelectorAll('.seqlrp-output > template[shadowrootmode]').forEach(t => {"
    "t.parentNode.attachShadow({mode: 'open'}).append(t.content); t.remove(); })"
)


def isolated(options: PageOptions, *body: Html | None, instead: Html) -> str:
    """A piece of another page whose style cannot reach it: what a notebook shows.

    Args:
        options: the options of the page.
        body: what is shown, in a shadow root.
        instead: what is shown where there can be none, as notebooks that are not trusted run no
            script.
    """
    inside = element("style", _HOST), Html(fragment(options, *body))
    return element(
        "div",
        element("template", *inside, shadowrootmode="open"),
        instead,
        element("script", _ATTACH),
        class_="seqlrp-output",
    )


def fragment(options: PageOptions, *body: Html | None) -> str:
    """A piece of another page: its style goes with it, and there is no script."""
    style = Html(f"\n{rules([options.palette])}{source('style.css', options.minify)}")
    return element("div", element("style", style), *body, class_=_classes(options), lang="en")


def _classes(options: PageOptions) -> str:
    return f"seqlrp {options.palette}" + (" by-sentence" if options.by == "sentence" else "")


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
