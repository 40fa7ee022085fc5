"""Writes explanations as one HTML page, or as a folder of pages."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier

SHOWN = 100  # texts on a single page, by default


def is_page(path: Path | None) -> bool:
    """Whether a path names a single HTML file."""
    return path is not None and path.suffix in (".html", ".htm")


def model_facts(
    folder: Path, classifier: TextClassifier, corpus: str | None = None
) -> dict[str, Any]:
    """The options of a page that say which model is explained and on which corpus.

    Names alone, and no path: a page is sent to others. The fingerprint is that of the live page.
    """
    from seqlrp.models.fingerprint import model_fingerprint
    from seqlrp.models.saving import CONFIG

    day = datetime.fromtimestamp((folder / CONFIG).stat().st_mtime)
    about = {
        "Model saved on": f"{day.day} {day:%B %Y}",
        "Model's fingerprint": model_fingerprint(classifier),
    }
    source = None if corpus in (None, "-") else Path(corpus).name
    return {"model": folder.resolve().name, "corpus": source, "about": about}


def save_html(
    explanations: Iterable[Explanation], path: Path, first: int | None, **options: Any
) -> None:
    """Write a page of the first texts, or a folder of pages of all of them."""
    from seqlrp.explanations.collection import Explanations
    from seqlrp.show.page import save_pages

    if not is_page(path):
        save_pages(explanations, path, **options)
        return
    number = SHOWN if first is None else first
    shown = list(islice(explanations, number + 1))  # one more says whether there are more
    Explanations(shown[:number]).save_html(path, **options)
    if len(shown) > number:
        print(
            f"{path} shows the first {number:,} texts; --first takes another number, and a folder "
            "instead of a file holds them all.",
            file=sys.stderr,
        )
