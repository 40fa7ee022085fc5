"""Explanations as one HTML page that needs no network, no script and no other file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from seqlrp.errors import OptionError, near
from seqlrp.explanation import ALL, Explanation
from seqlrp.page.colours import DARK, LIGHT, SHADES, rules
from seqlrp.page.document import (
    class_scores,
    coloured_text,
    legend,
    name,
    outcome,
    strongest_words,
    verdict,
    where_the_score_comes_from,
)
from seqlrp.page.markup import Html, element

SCALES = ("document", "corpus")


def render(
    explanations: Sequence[Explanation],
    *,
    title: str = "Which words decided",
    scale: str = "document",
    page: bool = True,
) -> str:
    """The explanations as one HTML page, to be read by anybody and sent to anybody.

    Words for the class that is explained are red, words against it, or for the class with which it
    is compared, blue with a dotted line. The numbers are raw relevance. Where every class is
    explained, the predicted one is shown.

    Args:
        explanations: what is shown, in this order.
        title: the heading of the page.
        scale: the deepest colour is the largest relevance of each "document" or of the "corpus".
        page: False gives a fragment, to be put into another page.

    Raises:
        OptionError: another scale.
    """
    if scale not in SCALES:
        raise OptionError(f"scale={scale!r} is not one of those allowed. {near(scale, SCALES)}")
    shown = [e.for_target(e.predicted) if e.target == ALL else e for e in explanations]
    largest = [float(abs(e.relevance).max(initial=0)) for e in shown]
    shared = max(largest, default=0.0) if scale == "corpus" else None
    anchors = [f"d{number}" for number in range(1, len(shown) + 1)]
    if not page:  # two fragments in one page must not have the same anchors
        digest = _sha256("\0".join([title, *(e.text for e in shown)])).hex()[:8]
        anchors = [f"{anchor}-{digest}" for anchor in anchors]
    articles = [
        _article(number, e, anchor, own if shared is None else shared, shared is None)
        for number, (e, anchor, own) in enumerate(zip(shown, anchors, largest, strict=True), 1)
    ]
    whole = element("main" if page else "div", *articles)
    body = [_header(shown, title, shared), _index(shown, anchors), whole]
    style = _style()
    if not page:
        return element("div", element("style", style), *body, class_="seqlrp", lang="en")
    return "<!DOCTYPE html>\n" + element(
        "html", _head(title, style), element("body", *body, class_="seqlrp"), lang="en"
    )


def _head(title: str, style: Html) -> Html:
    digest = base64.b64encode(_sha256(style)).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="generator", content="seqlrp"),
        element("title", title),
        element("style", style),
    )


@cache
def _style() -> Html:
    # On paper the light colours hold, whatever the reader has chosen for the screen.
    dark = f"@media screen and (prefers-color-scheme: dark) {{\n{rules(DARK)}}}\n"
    sheet = files("seqlrp.page").joinpath("style.css").read_text(encoding="utf-8")
    return Html(f"\n{rules(LIGHT)}{dark}{sheet}")


def _header(shown: Sequence[Explanation], title: str, largest: float | None) -> Html:
    largest_of = "each text" if largest is None else "all texts together"
    compared = any(e.against is not None for e in shown)
    other = ", or for the class with which it is compared" if compared else ""
    return element(
        "header",
        element("h1", element("bdi", title)),
        element(
            "p",
            "Words on ",
            element("mark", "red", class_="f12"),
            " speak for the class that is explained, words on ",
            element("mark", "blue with a dotted line", class_="a12"),
            f" speak against it{other}, and the deeper the colour, the more they weigh.",
        ),
        element(
            "p",
            f"The deepest colour stands for the largest value of {largest_of}; words that have "
            f"less than {100 // SHADES} % of it have no colour. Point at a coloured word to see "
            "its value.",
            class_="quiet",
        ),
        None if largest is None else legend(largest),
        element("dl", *_facts(shown), class_="about"),
    )


def _facts(shown: Sequence[Explanation]) -> list[Html]:
    known = [e for e in shown if e.label is not None]
    right = sum(e.label == e.predicted for e in known)
    methods = Counter((e.method, _parameters(e)) for e in shown)
    facts = [element("dt", "Texts"), element("dd", str(len(shown)))]
    if known:
        facts += [element("dt", "Predicted rightly"), element("dd", f"{right} of {len(known)}")]
    for (method, parameters), count in methods.items():
        only = f" ({count} of {len(shown)} texts)" if len(methods) > 1 else None
        facts += [
            element("dt", "Method"),
            element("dd", element("bdi", method), only),
        ]
        if parameters:
            facts += [element("dt", "Parameters"), element("dd", element("bdi", parameters))]
    return facts


def _parameters(explanation: Explanation) -> str:
    return ", ".join(
        f"{key} = {json.dumps(value, ensure_ascii=False, default=dict)}"
        for key, value in explanation.parameters.items()
    )


def _index(shown: Sequence[Explanation], anchors: Sequence[str]) -> Html | None:
    if len(shown) < 2:
        return None
    entries = [
        element(
            "li",
            element("span", str(number), class_="quiet"),
            element("a", _excerpt(e), href=f"#{anchor}", dir="auto"),
            element("span", name(e.predicted_label), " ", outcome(e)),
        )
        for number, (e, anchor) in enumerate(zip(shown, anchors, strict=True), 1)
    ]
    return element("nav", element("h2", "Texts"), element("ol", *entries), aria_label="Texts")


def _excerpt(explanation: Explanation) -> str:
    words = explanation.text[:400].split()
    return " ".join(words)[:100] or "(no visible character)"


def _article(
    number: int, explanation: Explanation, anchor: str, largest: float, own_scale: bool
) -> Html:
    heading = f"{anchor}-heading"
    known = explanation.id is not None
    return element(
        "article",
        element(
            "h2",
            f"Text {number}",
            element("span", " ", element("bdi", explanation.id), class_="quiet") if known else None,
            id=heading,
        ),
        verdict(explanation),
        coloured_text(explanation, largest),
        legend(largest, explanation.target_label, explanation.against_label)
        if own_scale and largest
        else None,
        element(
            "div",
            strongest_words(explanation),
            class_scores(explanation),
            where_the_score_comes_from(explanation),
            class_="facts",
        ),
        id=anchor,
        aria_labelledby=heading,
    )


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
