"""One explained text as HTML: verdict, coloured words, legend, and the tables beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seqlrp.explanation import Explanation
from seqlrp.page.colours import SHADES, levels, shade_class
from seqlrp.page.markup import Html, data_block, element, escape, plain
from seqlrp.page.options import Look
from seqlrp.page.reading import (
    Reading,
    Scale,
    number_format,
    packed,
    parameters_of,
    probabilities_of,
)
from seqlrp.page.tables import account, class_scores, strongest_words, where_the_score_comes_from

Sides = Sequence[tuple[Reading, Scale | None]]  # what stands side by side; None: its own scale


def article(
    number: int, sides: Sides, anchor: str, look: Look, *, script: bool, most: int | None = None
) -> Html:
    """One text, explained once or, side by side, more often.

    Args:
        number: of the text on the page, from 1.
        sides: its readings, of which the first says what was predicted.
        anchor: its id on the page.
        look: the options of the page.
        script: whether the page has a script, which is told what it needs.
        most: show at most so many words of the text.
    """
    first = sides[0][0].shown
    heading = f"{anchor}-heading"
    methods: list[str | None] = [reading.shown.method for reading, _ in sides]
    settings = {parameters_of(reading.shown) for reading, _ in sides}
    if len(settings) > 1 and len(set(methods)) == 1:  # what tells one side from the other
        methods = [f"{r.shown.method}, {parameters_of(r.shown)}" for r, _ in sides]
    panes = [
        _pane(reading, scale, look, script=script, method=method, most=most)
        for (reading, scale), method in zip(
            sides, methods if len(sides) > 1 else [None], strict=True
        )
    ]
    return element(
        "article",
        element(
            "h2",
            f"Text {number}",
            None
            if first.id is None
            else element("span", " ", element("bdi", first.id), class_="quiet"),
            id=heading,
        ),
        verdict(first),
        element("div", *panes, class_="panes two" if len(sides) > 1 else "panes"),
        id=anchor,
        aria_labelledby=heading,
    )


def _pane(
    reading: Reading,
    scale: Scale | None,
    look: Look,
    *,
    script: bool,
    method: str | None,
    most: int | None,
) -> Html:
    shown = reading.shown
    used = scale or reading.scale
    largest = used[look.by == "sentence"]
    return element(
        "section",
        question(shown, method),
        coloured_text(reading, used, look.least, most),
        _cut_short(reading, most),
        legend(largest, shown.target_label, shown.against_label) if largest else None,
        element(
            "div",
            strongest_words(reading),
            class_scores(shown),
            where_the_score_comes_from(shown),
            class_="facts",
        ),
        data_block(_for_script(reading)) if script and reading.every is not None else None,
        class_="pane",
        # What the deepest colour stands for where all texts share that, rounded as the values are.
        data_w=format(scale[0], number_format(scale[0])) if script and scale else None,
        data_s=format(scale[1], number_format(scale[1])) if script and scale else None,
    )


def verdict(explanation: Explanation) -> Html:
    """Sentences: the predicted class, whether that is right, how sure the model is."""
    answer, chances = name(explanation.predicted_label), probabilities_of(explanation)
    chance = f" ({chances[explanation.predicted]})" if chances else None
    truth: list[str | None] = [" ", outcome(explanation)]
    if explanation.label_name is None:
        truth = ["; the true class is not known"]
    elif explanation.label != explanation.predicted:
        truth += [" (it is ", _ended(name(explanation.label_name), ")")]
    ahead, runner_up = margin(explanation), _runner_up(explanation)
    lead: list[str] = []
    if ahead is not None and runner_up is not None:
        side = "above" if ahead >= 0 else "below"
        far = f" is {_in_words(abs(ahead))} {side} that of "
        lead = [" The score of ", answer, far, _ended(runner_up, ".")]
    return element("p", "Predicted ", answer, chance, *truth, ".", *lead, class_="verdict")


def question(explanation: Explanation, method: str | None = None) -> Html:
    """What is explained: a class, or one class rather than another, and by which method."""
    asked: list[str] = [element("span", name(explanation.target_label), class_="asked")]
    if explanation.against_label is not None:
        asked = ["why ", *asked, " rather than ", name(explanation.against_label)]
    by = [", by ", element("bdi", method)] if method is not None else []
    return element("p", "Explained: ", *asked, *by, class_="question")


def outcome(explanation: Explanation) -> str | None:
    """Whether the prediction is right, as a mark and a word; None where that is not known."""
    if explanation.label is None:
        return None
    return "✓ right" if explanation.label == explanation.predicted else "✗ wrong"


def margin(explanation: Explanation) -> float | None:
    """How far the predicted class's score is ahead of the next one; None for a single class."""
    others = np.delete(explanation.scores.astype(np.float64), explanation.predicted)
    if not len(others):
        return None
    return float(explanation.scores[explanation.predicted]) - float(others.max())


def _in_words(number: float) -> str:
    """Three figures, but all those before the point of a number up to a million."""
    return f"{number:,.0f}" if 1000 <= number < 1e6 else f"{number:.3g}"


def _runner_up(explanation: Explanation) -> Html | None:
    order = np.argsort(-explanation.scores, kind="stable").tolist()
    others = [c for c in order if c != explanation.predicted]
    return name(explanation.labels[others[0]]) if others else None


def coloured_text(
    reading: Reading, scale: Scale, least: float = 0.0, most: int | None = None
) -> Html:
    """The text exactly as it is, white space included, with every word and sentence marked.

    A mark holds its level as a class and its value as `data-v`; quotes are left out to keep long
    documents small, as both are made of letters, digits and signs.

    Args:
        reading: the words and sentences.
        scale: the values of the deepest colours.
        least: the share of them below which there is no colour.
        most: show the first so many words alone.
    """
    text = reading.shown.text
    words = _openings(reading.word_values, scale[0], least, "")
    wholes = _openings(reading.sentence_values, scale[1], least, "s")
    spans = reading.words.spans.tolist()
    spans = spans if most is None else spans[:most]
    begins = dict(zip(reading.sentences.first.tolist(), wholes, strict=True))
    pieces = ['<div class="text" dir="auto" lang="">']
    done = 0
    for i, (start, end) in enumerate(spans):
        gap = escape(_cut(text, done, start)) if start > done else ""
        if i in begins:
            pieces.append(f"{'</span>' if i else ''}{gap}<span{begins[i]}>")
            gap = ""
        pieces.append(f"{gap}<u{words[i]}>{escape(_cut(text, start, end))}</u>")
        done = end
    if spans:
        pieces.append("</span>")
    if len(spans) == len(reading.words):
        pieces.append(escape(_cut(text, done, len(text))))
    pieces.append("</div>")
    return Html("".join(pieces))


def _openings(
    values: npt.NDArray[np.float64], largest: float, least: float, kind: str
) -> list[str]:
    """The attributes of marks: ` class=f3 data-v=+0.120`, four figures of the text's largest."""
    number = number_format(float(np.abs(values).max(initial=0.0)))
    classes = [""] + [shade_class(level) or "" for level in range(1, SHADES + 1)]
    classes += [shade_class(level) or "" for level in range(-SHADES, 0)]  # indices from the end
    if kind:
        attributes = [f' class="{kind} {c}"' if c else f" class={kind}" for c in classes]
    else:
        attributes = [f" class={c}" if c else "" for c in classes]
    return [
        f"{attributes[level]} data-v={value:{number}}"
        for level, value in zip(
            levels(values, largest, least).tolist(), values.tolist(), strict=True
        )
    ]


def _cut(text: str, start: int, end: int) -> str:
    # A CR whose LF comes with the next piece would be shown as an end of line of its own.
    return text[start : end - 1 if text[end - 1 : end + 1] == "\r\n" else end]


def _cut_short(reading: Reading, most: int | None) -> Html | None:
    if most is None or most >= len(reading.words):
        return None
    left = f"… Shown: the first {most:,} of {len(reading.words):,} words."
    return element("p", left, class_="quiet")


def legend(largest: float, target: str, against: str | None = None) -> Html:
    """The scale of colours with its numbers: the deepest colours stand for ±largest.

    Words against the target speak for the class `against`, if it is compared with one.
    """
    number = number_format(largest)
    steps = range(2, SHADES + 1, 2)
    left = [element("i", class_=shade_class(-step)) for step in reversed(steps)]
    right = [element("i", class_=shade_class(step)) for step in steps]
    opposite = ("against ", name(target)) if against is None else ("for ", name(against))
    return element(
        "p",
        element("span", *opposite),
        element("span", format(-largest, number)),
        element("span", *left, class_="strip", aria_hidden="true"),
        element("span", "0"),
        element("span", *right, class_="strip", aria_hidden="true"),
        element("span", format(largest, number)),
        element("span", "for ", name(target)),
        class_="legend",
    )


def _ended(said: Html, mark: str) -> Html:
    """A name and the mark behind it, which no end of line parts."""
    return element("span", said, mark, class_="whole")


def name(label: str) -> Html:
    """The name of a class, kept apart from the direction of the writing round it."""
    return element("b", element("bdi", label))


def _for_script(reading: Reading) -> dict[str, object]:
    """What the script needs to show another class of a text whose every class is explained."""
    every = reading.every
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
        "words": packed(reading.words),
        "sentences": packed(reading.sentences),
        "account": [[plain(label), values] for label, values in rows.items()],
        "start": [float(f"{single.start:.7g}") for single in singles],
    }
