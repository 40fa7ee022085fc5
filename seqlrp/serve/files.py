"""What is on the live page as files: a page that needs no server, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import seqlrp
from seqlrp.serve.live_model import LiveModel
from seqlrp.serve.tried import REMOVALS, Tried, title_of
from seqlrp.show.edits import Edits
from seqlrp.show.method_titles import method_title
from seqlrp.show.page import render
from seqlrp.show.pictures.pictures import write_png

TITLE = "Which words decided"  # of several texts


class Side(NamedTuple):
    """A model, and what was tried on each text with it."""

    model: LiveModel
    tried: Sequence[Tried]

    def edits(self, *, named: bool) -> list[Edits]:
        """What the file shows of it; `named` says whose answers they are."""
        return [each.edits(self.model, self.model.name if named else None) for each in self.tried]


def page(sides: Sequence[Side], by: str, title: str | None) -> str:
    """A page of what was tried with one model, or with two beside each other."""
    first, *others = sides
    edits = first.edits(named=bool(others))
    for other in others:
        edits = [
            replace(one, said=(*one.said, *two.said))
            for one, two in zip(edits, other.edits(named=True), strict=True)
        ]
    docs = [each.answer.explanation for each in first.tried]
    only = docs[0] if len(docs) == 1 else None
    return render(
        docs,
        page=True,
        compare={
            other.model.name: [each.answer.explanation for each in other.tried] for other in others
        }
        or None,
        sides=tuple(side.model.name for side in sides) if others else None,
        title=title or (TITLE if only is None else title_of(only)),
        model=first.model.name,
        about=_about(sides),
        by=by,
        edits=tuple(edits),
    )


def _about(sides: Sequence[Side]) -> dict[str, str]:
    """The models, the settings, and when the page was saved."""
    tried = sides[0].tried
    first, names = tried[0], " and ".join(side.model.name for side in sides)
    facts = {
        "Models" if len(sides) > 1 else "Model": names,
        "Method": method_title(first.answer.explanation.method),
    }
    if any(each.edited.struck for each in tried):
        facts["Struck words"] = REMOVALS[first.removal]
    now = datetime.now(UTC).astimezone()
    facts["Saved"] = f"{now.day} {now:%B %Y, %H:%M}, seqlrp {seqlrp.__version__}"
    return facts


def picture(sides: Sequence[Side], by: str) -> bytes:
    """A PNG file of what was tried; the texts of a second model stand below those of the first."""
    explanations, edits = [], []
    for side in sides:
        edits += side.edits(named=False)
        for each in side.tried:
            merged = each.answer.explanation.merged("sentence" if by == "sentence" else "word")
            explanations.append(replace(merged, id=side.model.name) if len(sides) > 1 else merged)
    with TemporaryDirectory() as folder:
        path = Path(folder, "explanation.png")
        write_png(explanations, path, edits=edits)
        return path.read_bytes()
