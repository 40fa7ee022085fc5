"""What a notebook shows of explanations: small, and out of reach of the notebook's style."""

from __future__ import annotations

import re
from collections.abc import Sequence

from seqlrp.explanations.record import Explanation
from seqlrp.show.colours import host_rules, rules
from seqlrp.show.numbers import percent
from seqlrp.show.page.document import coloured_text, facts, legend, question, verdict
from seqlrp.show.page.elements import Html, element
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.template import source
from seqlrp.show.page.text_view import TextView, format_parameters

_FIRST_TEXTS = 10  # of many
_FIRST_WORDS = 1_000  # of them all together
_PLAIN_CHARACTERS = 300  # of a text that is shown without colours

# A parser makes the shadow root; where a page takes a string for its HTML, as notebooks do while
# they are open, this does. A theme of the notebook, which need not be that of the system, is known
# by the colour of its writing: light writing stands on dark paper.
_ATTACH = Html(
    "document.querySelectorAll('.seqlrp-output').forEach(o => {"
    "const t = o.querySelector(':scope > template[shadowrootmode]');"
    "if (t) { o.attachShadow({mode: 'open'}).append(t.content); t.remove(); }"
    "const c = /^rgba?\\((\\d+), (\\d+), (\\d+)/.exec(getComputedStyle(o.parentNode).color);"
    "if (c) o.dataset.scheme = +c[1] + +c[2] + +c[3] > 382 ? 'dark' : 'light'; })"
)


def notebook_output(explanations: Sequence[Explanation]) -> str:
    """Each text in colour, with its answer, the class that is explained and a legend.

    All else is folded away. Of many texts the first are shown, and how to see more.
    """
    options = PageOptions()
    views: list[TextView] = []
    parts: list[Html] = []
    left = _FIRST_WORDS
    for explanation in explanations[:_FIRST_TEXTS]:
        if left <= 0:
            break
        views.append(TextView.of(explanation, options.by))
        parts.append(_text(views[-1], options, left))
        left -= len(views[-1].words)
    more = _how_to_see_more(len(views), len(explanations), cut=left < 0)
    inside = element("div", *parts, more, class_=f"seqlrp {options.palette}", lang="en")
    return element(
        "div",
        element("template", element("style", _style(options)), inside, shadowrootmode="open"),
        # Where there is no shadow root: notebooks that are not trusted run no script.
        element("div", *(_plain_text(view.shown) for view in views)),
        element("script", _ATTACH),
        class_="seqlrp-output",
    )


def _text(view: TextView, options: PageOptions, most: int) -> Html:
    """One text, of which at most `most` words are shown."""
    shown, words = view.shown, len(view.words)
    largest = view.scale[0]
    cut = f"… Shown: the first {most:,} of {words:,} words." if words > most else None
    return element(
        "article",
        element(
            "div",
            element("p", element("bdi", shown.id), class_="quiet") if shown.id else None,
            verdict(shown, brief=True),
            question(shown),
            class_="said",
        ),
        coloured_text(view, view.scale, options.least, most),
        element("p", cut, class_="quiet") if cut else None,
        element(
            "div",
            legend(largest, shown.target_label, shown.against_label) if largest else None,
            element(
                "details",
                element("summary", "Words, scores, method"),
                facts(view),
                element("p", *_how_computed(view, options), class_="quiet"),
            ),
            class_="foot",
        ),
    )


def _how_computed(view: TextView, options: PageOptions) -> list[str]:
    """How to read the colours, and by which method they were computed."""
    settings = format_parameters(view.shown)
    parts = [
        "Point at a word to see its relevance. The strongest word has the deepest colour; words "
        f"with less than {percent(options.least)} of its weight have none. Computed by ",
        element("bdi", view.shown.method),
        *([": ", element("bdi", settings)] if settings else []),
        ".",
    ]
    if view.every is not None:
        parts.append(" Every class is explained: for_target(class) gives another one.")
    return parts


def _how_to_see_more(shown: int, total: int, *, cut: bool) -> Html | None:
    if shown == total and not cut:
        return None if total else element("p", "No texts.", class_="quiet")
    return element(
        "p",
        f"{shown:,} of {total:,} texts. " if shown < total else None,
        "To see more: save_html(path) of an Explanations list writes one page, "
        "save_pages(folder) a folder of pages with an index.",
        class_="quiet more",
    )


def _plain_text(explanation: Explanation) -> Html:
    """The answer and the beginning of the text, for where there are no colours."""
    cut = explanation.text[:_PLAIN_CHARACTERS]
    rest = " …" if len(cut) < len(explanation.text) else None
    return element("div", verdict(explanation, brief=True), element("p", cut, rest))


def _style(options: PageOptions) -> Html:
    """The style of texts, in pixels: what a rem is, the notebook says."""
    rests = source("text.css", minify=True) + source("notebook.css", minify=True)
    pixels = re.sub(r"\b([\d.]+)rem\b", lambda size: f"{16 * float(size[1]):g}px", rests)
    return Html(f"{rules([options.palette])}{host_rules(options.palette)}{pixels}")
