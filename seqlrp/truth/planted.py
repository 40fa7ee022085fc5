"""Planted artefacts: a word put into texts of one class, which a classifier will learn to trust.

Such a classifier is right for a wrong reason ("Clever Hans", Lapuschkin et al. 2019), and since the
artefact was put there, it is known what an explanation has to point at.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from seqlrp.errors import CorpusError, LabelError, OptionError, near
from seqlrp.text.corpora import Corpus
from seqlrp.truth.annotated import Annotated, Span

ARTEFACT = "artefact"


def planted(
    corpus: Corpus,
    artefact: str,
    label: int | str | None,
    share: float = 0.5,
    seed: int = 0,
) -> Annotated:
    """Put an artefact between two words of a share of the texts of one class.

    Where it stands is a span of the kind "artefact", of value 1; other texts are as they were, and
    have no span. Labels stay.

    Args:
        corpus: labelled texts.
        artefact: the word, or words, without spaces around them.
        label: the class, by name or index; None takes texts of any class, e.g. to see whether a
            classifier falls for the artefact alone.
        share: of the texts of that class that get it, above 0 and up to 1; at least one does.
        seed: of which texts and which place in them.

    Raises:
        CorpusError: the corpus has no labels, or the artefact is in one of its texts already.
        LabelError: no such class, or one without a text.
        OptionError: an artefact of nothing, or a share out of its range.
    """
    if not isinstance(artefact, str) or not artefact or artefact != artefact.strip():
        raise OptionError(f"Got the artefact {artefact!r}, expected a word without spaces around.")
    if not 0 < share <= 1:
        raise OptionError(f"Got share={share!r}, expected above 0 and up to 1.")
    there = re.compile(rf"(?<!\w){re.escape(artefact)}(?!\w)", re.IGNORECASE)
    for row, text in enumerate(corpus.texts):
        if there.search(text):
            raise CorpusError(
                f"Text {row} of the corpus {corpus.name} has {artefact!r} in it already; plant a "
                "word that no text has, so that it is known where it stands."
            )
    members = _members(corpus, label)
    random = np.random.default_rng(seed)
    count = max(round(share * len(members)), 1)
    texts = list(corpus.texts)
    found: list[tuple[Span, ...]] = [()] * len(corpus)
    for row in sorted(random.permutation(members)[:count].tolist()):
        text = texts[row].strip()
        gaps = [0, *(gap.end() for gap in re.finditer(r"\s+", text)), len(text)]
        at = gaps[int(random.integers(len(gaps)))]
        before = " " if at == len(text) and text else ""
        after = " " if at < len(text) else ""
        texts[row] = f"{text[:at]}{before}{artefact}{after}{text[at:]}"
        start = at + len(before)
        found[row] = (Span(start, start + len(artefact), ARTEFACT, 1.0),)
    return Annotated(replace(corpus, texts=texts), found)


def _members(corpus: Corpus, label: int | str | None) -> list[int]:
    if label is None:
        return list(range(len(corpus)))
    if corpus.labels is None:
        raise CorpusError(f"The corpus {corpus.name} has no labels, expected one a text.")
    names = corpus.label_names
    if isinstance(label, str):
        if label not in names:
            raise LabelError(f"There is no class {label!r}. {near(label, names)}")
        label = names.index(label)
    members: list[int] = np.flatnonzero(corpus.labels == label).tolist()
    if not members:
        raise LabelError(f"The corpus {corpus.name} has no text of the class {label!r}.")
    return members
