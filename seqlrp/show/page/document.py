"""One explained text as HTML: verdict, coloured words, legend, and the tables beside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from seqlrp.explanations.record import Explanation
from seqlrp.show.coloured_text import read_part
from seqlrp.show.colours import SHADES, levels, shade_class
from seqlrp.show.edits import STRUCK
from seqlrp.show.numbers import number_format
from seqlrp.show.page.charts import (
    account,
    class_scores,
    strongest_words,
    where_the_score_comes_from,
)
from seqlrp.show.page.elements import Html, data_block, element, escape, plain
from seqlrp.show.page.options import PageOptions
from seqlrp.show.page.text_view import (
    Scale,
    TextView,
    format_parameters,
    format_probabilities,
    pack_values,
)

Sides = Sequence[tuple[TextView, Scale | None]]  # what stands side by side; None: its own scale


def article(
    number: int,
    sides: Sides,
    anchor: str,
    options: PageOptions,
    *,
    script: bool,
    folded: bool = False,
    brief: bool = False,
) -> Html:
    """One text, explained once or, side by side, more often.

    Args:
        number: of the text on the page, from 1.
        sides: its views, of which the first says what was predicted.
        anchor: its id on the page.
        options: the options of the page.
        script: whether the page has a script, which is told what it needs.
        folded: whether the tables below the text are folded away.
        brief: do not say of a text that its true class is not known.
    """
    first = sides[0][0].shown
    heading = f"{anchor}-heading"
    methods: list[str | None] = [view.shown.method for view, _ in sides]
    settings = {format_parameters(view.shown) for view, _ in sides}
    if options.sides is not None:
        titles = zip(options.sides, methods, strict=False)
        methods = [method if side is None else side for side, method in titles]
    elif len(settings) > 1 and len(set(methods)) == 1:  # what tells one side from the other
        methods = [f"{r.shown.method}, {format_parameters(r.shown)}" for r, _ in sides]
    id_ = (
        None if first.id is None else element("span", " ", element("bdi", first.id), class_="quiet")
    )
    two = len(sides) > 1
    # Two models may answer differently: then each has its own verdict.
    apart = any(view.shown.predicted != first.predicted for view, _ in sides)
    said = [
        element("h2", f"Text {number}", id_, id=heading),
        *([] if apart else [verdict(first, brief=brief)]),
        *(element("p", sentence, class_="verdict") for sentence in sides[0][0].edits.said),
    ]
    own = [[verdict(view.shown, brief=brief)] if apart else [] for view, _ in sides]
    panes = [
        _pane(view, scale, options, beside, script=script, method=method, folded=folded)
        for (view, scale), method, beside in zip(
            sides, methods if two else [None], own if two else [said], strict=True
        )
    ]
    return element(
        "article",
        element("div", *said, class_="said") if two else None,
        element("div", *panes, class_="panes two" if two else "panes"),
        id=anchor,
        aria_labelledby=heading,
    )


def _pane(
    view: TextView,
    scale: Scale | None,
    options: PageOptions,
    said: Sequence[Html],
    *,
    script: bool,
    method: str | None,
    folded: bool,
) -> Html:
    """The text of one side below what is said of it, its legend and its tables."""
    shown = view.shown
    used = scale or view.scale
    largest = used[options.by == "sentence"]
    asked = [question(shown, method)] if _asks_more(view, method, script) else []
    # What tells one side from the other comes first.
    said = [*said, *asked] if method is None else [*asked, *said]
    key = legend(largest, shown.target_label, shown.against_label) if largest else None
    tables = facts(view)
    if folded:
        heading = element("summary", "Words and scores")
        key = element("div", key, element("details", heading, tables), class_="foot")
    return element(
        "section",
        element("div", *said, class_="said") if said else None,
        coloured_text(view, used, options.least),
        key,
        None if folded else tables,
        data_block(_for_script(view)) if script and view.every is not None else None,
        class_="pane",
        # What the deepest colour stands for where all texts share that, rounded as the values are.
        data_w=format(scale[0], number_format(scale[0])) if script and scale else None,
        data_s=format(scale[1], number_format(scale[1])) if script and scale else None,
    )


def facts(view: TextView) -> Html:
    """The tables of a text: its strongest words, the scores, where the score comes from."""
    return element(
        "div",
        strongest_words(view),
        class_scores(view.shown),
        where_the_score_comes_from(view.shown),
        class_="facts",
    )


def verdict(explanation: Explanation, *, brief: bool = False) -> Html:
    """Sentences: the predicted class, whether that is right, how sure the model is.

    Where there is no probability, how far the score is ahead says how sure the model is. A brief
    one does not say that the true class is not known.
    """
    answer, chances = name(explanation.predicted_label), format_probabilities(explanation)
    chance = f" ({chances[explanation.predicted]})" if chances else None
    truth: list[str | None] = [" ", outcome(explanation)]
    if explanation.label_name is None:
        truth = [] if brief else ["; the true class is not known"]
    elif explanation.label != explanation.predicted:
        truth += [" (it is ", _ended(name(explanation.label_name), ")")]
    ahead, runner_up = margin(explanation), _runner_up(explanation)
    lead: list[str] = []
    if chances is None and ahead is not None and runner_up is not None:
        side = "above" if ahead >= 0 else "below"
        far = f" is {_in_words(abs(ahead))} {side} that of "
        lead = [" The score of ", answer, far, _ended(runner_up, ".")]
    part = read_part(explanation)
    cut = None if part is None else f" {part}"
    return element("p", "Predicted ", answer, chance, *truth, ".", *lead, cut, class_="verdict")


def _asks_more(view: TextView, method: str | None, script: bool) -> bool:
    """Whether something else is explained than the answer, or the reader can choose."""
    shown = view.shown
    asks_why = shown.target == shown.predicted and shown.against is None
    return (script and view.every is not None) or method is not None or not asks_why


def question(explanation: Explanation, method: str | None = None) -> Html:
    """What is explained: a class, or one class rather than another, and by which method."""
    asked: list[str] = [element("span", name(explanation.target_label), class_="asked")]
    if explanation.against_label is not None:
        asked = ["why ", *asked, " rather than ", name(explanation.against_label)]
    by = [] if method is None else [element("b", element("bdi", method)), " · "]
    return element("p", *by, "Explained: ", *asked, class_="question")


def outcome(explanation: Explanation) -> str | None:
    """Whether the prediction is right, as a mark and a word; None where that is not known."""
    if explanation.label is None:
        return None
    return "✓ right" if explanation.label == explanation.predicted else "✗ wrong"


def margin(explanation: Explanation) -> float | None:
    """How far the predicted class's score is ahead of the next one; None for a single class."""
    others = explanation.scores.tolist()
    score: float = others.pop(explanation.predicted)
    return score - max(others) if others else None


def certainty(explanation: Explanation) -> tuple[bool, float] | None:
    """How sure the model is: (True, probability of the answer) or, without it, (False, margin)."""
    if explanation.probabilities is not None and len(explanation.labels) > 1:
        return True, float(explanation.probabilities[explanation.predicted])
    ahead = margin(explanation)
    return None if ahead is None else (False, ahead)


def _in_words(number: float) -> str:
    """Three digits, but all those before the point of a number up to a million."""
    return f"{number:,.0f}" if 1000 <= number < 1e6 else f"{number:.3g}"


def _runner_up(explanation: Explanation) -> Html | None:
    order = np.argsort(-explanation.scores, kind="stable").tolist()
    others = [c for c in order if c != explanation.predicted]
    return name(explanation.labels[others[0]]) if others else None


def coloured_text(
    view: TextView, scale: Scale, least: float = 0.0, most: int | None = None, first: int = 0
) -> Html:
    """The text exactly as it is, white space included, with every word and sentence marked.

    A mark holds its level as a class and its value as `data-v`; quotes are left out to keep long
    documents small, as both are made of letters, digits and signs.

    Args:
        view: the words and sentences.
        scale: the values of the deepest colours.
        least: the share of them below which there is no colour.
        most: show so many words alone.
        first: the word to begin with.
    """
    text = view.shown.text
    words = _openings(view.word_values, scale[0], least, "")
    wholes = _openings(view.sentence_values, scale[1], least, "s")
    spans = view.words.spans.tolist()
    last = len(spans) if most is None else min(first + most, len(spans))
    begins = {max(i, first): opening for i, opening in
              zip(view.sentences.first.tolist(), wholes, strict=True)}  # fmt: skip
    edits = view.edits
    pieces = ['<div class="text" dir="auto" lang="">']
    done = spans[first][0] if first else 0
    for i, (start, end) in enumerate(spans[first:last], first):
        gap = escape(_cut(text, done, start)) if start > done else ""
        if i in begins:
            pieces.append(f"{'</span>' if i > first else ''}{gap}<span{begins[i]}>")
            gap = ""
        mark = Html(f"<u{words[i]}>{escape(_cut(text, start, end))}</u>")
        pieces.append(f"{gap}{_edited(mark, edits.of(start, end))}")
        done = end
    if first < last:
        pieces.append("</span>")
    if last == len(spans):
        pieces.append(escape(_cut(text, done, len(text))))
    pieces.append("</div>")
    return Html("".join(pieces))


def _edited(mark: Html, edit: str | None) -> Html:
    """The mark of a word as one that was struck, or put in for another."""
    return mark if edit is None else element("s" if edit == STRUCK else "ins", mark)


def _openings(
    values: npt.NDArray[np.float64], largest: float, least: float, kind: str
) -> list[str]:
    """The attributes of marks: ` class=f3 data-v=+0.120`, four digits of the text's largest."""
    number = number_format(float(np.abs(values).max(initial=0.0)))
    attributes = _shade_attributes(kind)
    return [
        f"{attributes[level]} data-v={value:{number}}"
        for level, value in zip(
            levels(values, largest, least).tolist(), values.tolist(), strict=True
        )
    ]


@cache
def _shade_attributes(kind: str) -> list[str]:
    """The class of a mark as an attribute, by level; negative levels count from the end."""
    levels_ = [*range(SHADES + 1), *range(-SHADES, 0)]
    classes = [" ".join(filter(None, (kind, shade_class(level)))) for level in levels_]
    return [f' class="{c}"' if " " in c else f" class={c}" if c else "" for c in classes]


def _cut(text: str, start: int, end: int) -> str:
    # A CR whose LF comes with the next piece would be shown as an end of line of its own.
    return text[start : end - 1 if text[end - 1 : end + 1] == "\r\n" else end]


def legend(largest: float, target: str, against: str | None = None) -> Html:
    """The scale of colours with its numbers: the deepest colours stand for ±largest.

    Words against the target speak for the class `against`, if it is compared with one.
    """
    number = number_format(largest)
    opposite = ("against ", name(target)) if against is None else ("for ", name(against))
    return element(
        "p",
        element("span", *opposite),
        element("span", format(-largest, number)),
        _strip(-1),
        element("span", "0"),
        _strip(+1),
        element("span", format(largest, number)),
        element("span", "for ", name(target)),
        class_="legend",
    )


@cache
def _strip(sign: int) -> Html:
    """The shades on one side, the deepest ones outside."""
    steps = range(2, SHADES + 1, 2)
    shades = [element("i", class_=shade_class(sign * step)) for step in steps[::sign]]
    return element("span", *shades, class_="strip", aria_hidden="true")


def _ended(said: Html, mark: str) -> Html:
    """A name and the mark behind it, which no end of line parts."""
    return element("span", said, mark, class_="whole")


def name(label: str) -> Html:
    """The name of a class, kept apart from the direction of the writing round it."""
    return element("b", element("bdi", label))


def _for_script(view: TextView) -> dict[str, object]:
    """What the script needs to show another class of a text whose every class is explained."""
    every = view.every
    assert every is not None
    singles = [every.for_target(c) for c in range(len(every.labels))]
    rows: dict[str, list[float]] = {}
    for c, single in enumerate(singles):
        for label, value in account(single):
            rows.setdefault(label, [0.0] * len(singles))[c] = float(f"{value:.7g}")
    return {
        "labels": [plain(label) for label in every.labels],
        "predicted": every.predicted,
        "true": every.label,
        "words": pack_values(view.words),
        "sentences": pack_values(view.sentences),
        "account": [[plain(label), values] for label, values in rows.items()],
        "start": [float(f"{single.start:.7g}") for single in singles],
    }
