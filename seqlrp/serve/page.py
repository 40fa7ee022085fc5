"""The live page: one file with its style and script, which talks to its own server alone."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from seqlrp.show.colours import rules
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.template import page_style

PALETTE = "red-blue"
_WELCOME = (
    "Words are coloured while you type: one colour for what speaks for the answer, another for "
    "what speaks against it. Then strike words out, and see what the model makes of the rest."
)
_BY_KEYS = (
    "Click a word to strike it, or go to it with the arrow keys and press Delete; press R, or "
    "click twice, to replace it."
)
_BY_FINGER = "Tap a word to strike it, tap it twice to replace it."


def _option(value: str, text: str) -> Html:
    return element("option", text, value=value)


def _labelled(text: str, control: Html) -> Html:
    return element("label", text, " ", control)


def _button(name: str, text: str) -> Html:
    return element("button", text, id=name, type="button")


def _form() -> Html:
    """The text, and what is asked of it; the script fills in labels and methods."""
    units = _option("words", "words"), _option("sentences", "sentences")
    text = element(
        "textarea", id="text", rows=3, placeholder="Type or paste a text.", spellcheck="false",
        autocomplete="off", dir="auto",
    )  # fmt: skip
    controls = element(
        "div",
        _labelled("Why", element("select", id="target")),
        _labelled("rather than", element("select", id="against")),
        _labelled("by", element("select", id="method")),
        _labelled("Colour", element("select", *units, id="unit")),
        _button("example", "Take a text of the corpus"),
        class_="controls",
    )
    return element("form", element("label", "Text", for_="text", class_="spoken"), text, controls)


def _welcome() -> Html:
    """What stands there before there is a text; the script fills in classes and examples."""
    return element(
        "section",
        element("p", id="chooses", class_="lead"),
        element("p", _WELCOME, class_="quiet"),
        element("h2", "Or take one of these", id="offer", hidden=""),
        element("ul", id="examples"),
        class_="welcome",
        aria_label="What this page does",
    )


def _act(heading: str, *content: Html) -> Html:
    return element("div", element("h2", heading), element("div", *content), class_="act")


def _strikes() -> Html:
    return element(
        "div",
        _button("strongest", "Strike the strongest word"),
        _button("undo", "Undo"),
        _button("restore", "Put all back"),
        _button("rest", "Explain the rest"),
        _labelled("A struck word is", element("select", id="removal")),
        class_="controls",
    )


def _questions() -> Html:
    return element(
        "div",
        _button("change", "What would change the answer?"),
        _button("draw", "Draw the deletion curve"),
        class_="controls",
    )


def _keep() -> Html:
    return element(
        "div",
        _button("link", "Copy a link"),
        _button("save-page", "Save as page"),
        _button("save-picture", "Save as picture"),
        _button("save-json", "Save as JSON"),
        class_="controls",
    )


@cache
def _parts() -> tuple[Html, Html]:
    """Style and script."""
    own = files("seqlrp.serve")
    style = own.joinpath("live.css").read_text(encoding="utf-8")
    script = "".join(own.joinpath(f).read_text(encoding="utf-8") for f in ("curve.js", "live.js"))
    return Html(f"\n{rules([PALETTE])}{page_style(minify=True)}{style}"), Html(script)


@cache
def live_page() -> str:
    """The page; nothing of the model is in it."""
    style, script = _parts()
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", "seqlrp: try a text"),
        element("style", style),
    )
    header = element(
        "header", element("h1", "Try a text"), element("p", id="about", class_="quiet")
    )
    hint = element(
        "p", element("span", _BY_KEYS, class_="keys"), element("span", _BY_FINGER, class_="finger"),
        " ", element("span", id="taken"), class_="quiet hint",
    )  # fmt: skip
    main = element(
        "main",
        element("noscript", element("p", "This page needs its script: it asks the server.")),
        _form(),
        element("p", role="status", id="status"),
        element("p", id="differ", class_="quiet", hidden=""),
        _welcome(),
        element("div", id="panes", class_="panes"),
        element(
            "section",
            _act("Strike words", _strikes(), hint),
            _act("Ask the model", _questions(), element("figure", id="curves", hidden="")),
            _act("Keep", _keep()),
            class_="acts",
            aria_label="What can be done with this text",
        ),
        element(
            "section", element("h2", "History"), element("ol", id="history"), id="tried", hidden=""
        ),
    )
    footer = element("footer", element("p", id="made"), class_="quiet")
    body = element(
        "body", header, main, footer, element("script", script),
        class_=f"seqlrp live empty {PALETTE}",
    )  # fmt: skip
    return "<!DOCTYPE html>\n" + element("html", head, body, lang="en")


def _digest(part: str) -> str:
    return base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()


def _policy() -> str:
    style, script = (_digest(part) for part in _parts())
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        "connect-src 'self'; img-src data: blob:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


CONTENT_POLICY = _policy()
