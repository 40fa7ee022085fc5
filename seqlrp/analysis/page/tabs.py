"""Tabs that need no script: a radio button, its label and its panel, for each of them."""

from __future__ import annotations

from collections.abc import Sequence

from seqlrp.show.page.elements import Html, element


def tabs(name: str, panels: Sequence[tuple[str, Html]]) -> Html:
    """A tab for each pair of a heading and its content; on paper all are shown."""
    pieces: list[Html] = []
    for number, (heading, content) in enumerate(panels):
        anchor = f"{name}-{number}"
        pieces += [
            element(
                "input", type="radio", name=name, id=anchor, checked="" if number == 0 else None
            ),
            element("label", element("bdi", heading), for_=anchor),
            element(
                "div",
                element("h3", element("bdi", heading), class_="only-print"),
                content,
                class_="panel",
            ),
        ]
    return element("div", *pieces, class_="tabs")
