"""The map of the texts: a point each, by strategy; the script opens the highlighted text."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from seqlrp.analysis.sentences import largest_classes, strategy_names
from seqlrp.show.colours import levels
from seqlrp.show.numbers import percent
from seqlrp.show.page.document import outcome
from seqlrp.show.page.elements import Html, data_block, element, plain
from seqlrp.show.page.text_view import TextView

if TYPE_CHECKING:
    from seqlrp.analysis.results import AnalysisResults
    from seqlrp.explanations.record import Explanation

_POINTS = 1000  # those that are placed by themselves, not between others
_WORDS, _FEWEST, _MOST = 110_000, 20, 300  # of all texts together, and of each
_EXCERPT = 60  # characters at the pointer
_WIDTH, _HEIGHT, _EDGE = 1000, 600, 20
_COLOURS = 8
_CLASSES = 10  # that the key names, each with its largest strategies
_SHAPES = (  # of radius 5 around a point; class after class
    "a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
    "m0 -5h10v10h-10z",
    "m5 -6l6 10h-12z",
    "m5 -7l6 7l-6 7l-6 -7z",
    "m5 6l6 -10h-12z",
)


def map_section(analysis: AnalysisResults) -> Html | None:
    """The map, its legend and its texts; None where the texts have no places."""
    documents = analysis.documents
    rows = np.flatnonzero(np.isfinite(documents[["x", "y"]].to_numpy(np.float64)).all(axis=1))
    if not len(rows):
        return None
    drawn = ""
    if len(rows) > _POINTS:
        drawn = f" Shown: {_POINTS:,} of {len(rows):,} texts, drawn at random."
        rows = np.sort(np.random.default_rng(0).permutation(rows)[:_POINTS])
    names = strategy_names(analysis)
    points, texts = _points(analysis, rows, names)
    present = set(documents["class"].to_numpy()[rows])
    return element(
        "section",
        element("h2", "The map"),
        element(
            "p",
            "Each point is a text; texts that the model decides by the same words are neighbours, "
            "and distances beyond that mean nothing. The form says the predicted class, the colour "
            "the strategy within it; a hollow point is far from all strategies. "
            f"Point at a text to see how it begins.{drawn}",
            element(
                "span",
                " Click it, or use the arrow keys on the map, to read it with its words coloured.",
                class_="by-script",
                hidden="",
            ),
            class_="quiet",
        ),
        _choice(analysis, present),
        element(
            "svg",
            *points,
            class_="map",
            viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
            role="group",
            aria_label="Map of the texts; the arrow keys go from text to text",
        ),
        element("div", class_="opened", role="status"),
        _key(analysis, present, names),
        element("div", data_block(texts), class_="points", hidden=""),
        class_="part",
    )


def _points(
    analysis: AnalysisResults,
    rows: np.ndarray[Any, np.dtype[np.int64]],
    titles: dict[tuple[str, int], str],
) -> tuple[list[Html], list[list[Any]]]:
    """The point of each text, and what the script shows of the text."""
    documents = analysis.documents
    places = _places(documents[["x", "y"]].to_numpy(np.float64)[rows])
    most = min(max(_WORDS // len(rows), _FEWEST), _MOST)
    classes = {label: c for c, label in enumerate(analysis.labels)}
    strategies, names = documents["strategy"].to_numpy(), documents["class"].to_numpy()
    outliers = documents["outlier"].to_numpy(bool)
    points, texts = [], []
    for n, (row, (x, y)) in enumerate(zip(rows.tolist(), places.tolist(), strict=True)):
        explanation, label = analysis.explanations[row], str(names[row])
        shape = _SHAPES[classes[label] % len(_SHAPES)]
        colour = f"c{int(strategies[row]) % _COLOURS}" + (" out" if outliers[row] else "")
        title = titles[label, int(strategies[row])]
        begin = " ".join(explanation.text[: 2 * _EXCERPT].split())[:_EXCERPT]
        points.append(
            element(
                "path",
                element("title", f"{label}, {title}: {begin}"),
                d=f"M{x - 5:.0f} {y:.0f}{shape}",
                class_=colour,
                data_n=n,
                data_c=classes[label],
            )
        )
        texts.append(_text(explanation, title, most))
    return points, texts


def _places(found: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    low, size = found.min(axis=0), np.ptp(found, axis=0)
    inside = np.array([_WIDTH, _HEIGHT]) - 2 * _EDGE
    scaled: np.ndarray[Any, np.dtype[np.float64]] = (found - low) / np.where(size > 0, size, 1)
    scaled *= inside
    return scaled + _EDGE


def _text(explanation: Explanation, strategy: str, most: int) -> list[Any]:
    """A text for the script: about it, gaps and words in turn, the colour of each word."""
    view = TextView.of(explanation, "word")
    shown, text = view.words.spans.tolist()[:most], view.shown.text
    pieces, done = [], 0
    for start, end in shown:
        pieces += [text[done:start], text[start:end]]
        done = max(done, end)
    level = levels(view.word_values, view.scale[0], 0.05)[:most].tolist()
    codes = "".join(chr(65 + (value if value >= 0 else 20 - value)) for value in level)
    said = f"Predicted {explanation.predicted_label}"
    if explanation.probabilities is not None:
        said += f" ({percent(float(explanation.probabilities[explanation.predicted]))})"
    if (found := outcome(explanation)) is not None:
        wrong = explanation.label != explanation.predicted
        said += f" {found}" + (f" (it is {explanation.label_name})" if wrong else "")
    said += f"; strategy {strategy}"
    if explanation.id is not None:
        said += f"; text {explanation.id}"
    joined = "\t".join(plain(piece.replace("\t", " ")) for piece in pieces)
    return [plain(said), joined, codes, int(len(view.words) > most)]


def _choice(analysis: AnalysisResults, present: set[str]) -> Html:
    options = [
        element("option", label, value=c)
        for c, label in enumerate(analysis.labels)
        if label in present
    ]
    return element(
        "label",
        "Class ",
        element("select", element("option", "all", value=""), *options, id="map-class"),
        class_="quiet by-script",
        hidden="",
    )


def _key(analysis: AnalysisResults, present: set[str], titles: dict[tuple[str, int], str]) -> Html:
    """A line for each of the largest classes: its form, and its strategies by colour."""
    shapes = dict(zip(analysis.labels, itertools.cycle(_SHAPES), strict=False))
    shown = [label for label in largest_classes(analysis) if label in present]
    lines = [
        element(
            "li",
            element("b", _sign(shapes[label], "c7"), element("bdi", label)),
            *(
                element("span", _sign(shapes[label], f"c{number}"), element("bdi", title))
                for (class_, number), title in titles.items()
                if class_ == label and number < _COLOURS
            ),
        )
        for label in shown[:_CLASSES]
    ]
    if len(shown) > _CLASSES:
        lines.append(element("li", f"And {len(shown) - _CLASSES} more classes."))
    return element("ul", *lines, class_="key")


def _sign(shape: str, colour: str) -> Html:
    path = element("path", d=f"M3 8{shape}", class_=colour)
    return element("svg", path, viewBox="0 0 16 16", aria_hidden="true")
