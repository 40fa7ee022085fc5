"""Planted artefacts: a word inserted into texts of one class, which classifiers learn to rely on.

Such a classifier is right for the wrong reason ("Clever Hans", Lapuschkin et al. 2019), and its
explanations should point at the artefact, whose place is known.
"""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from seqlrp.errors import CorpusError, LabelError, OptionError, check_number, near
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
    """Insert an artefact between words of a share of the texts of one class.

    Its place is a span of the kind "artefact" and the value 1. Other texts are unchanged and have
    no span. Labels are unchanged.

    Args:
        corpus: labelled texts.
        artefact: a word, or several, without spaces around them.
        label: the class, by name or index; None takes texts of any class, e.g. to test whether the
            artefact alone changes predictions.
        share: the share of the texts of that class, above 0 and at most 1; at least one text.
        seed: the seed that draws the texts and the places.

    Raises:
        CorpusError: the corpus has no labels, or one of its texts holds the artefact already.
        LabelError: there is no such class, or it has no text.
        OptionError: `artefact` is empty or has spaces around it, or `share` is out of range.
    """
    if not isinstance(artefact, str) or not artefact or artefact != artefact.strip():
        raise OptionError(
            f"Got artefact={artefact!r}; expected a word without spaces around it.",
            option="artefact",
            got=artefact,
        )
    check_number("share", share, above=0, most=1)
    pattern = re.compile(rf"(?<!\w){re.escape(artefact)}(?!\w)", re.IGNORECASE)
    for row, text in enumerate(corpus.texts):
        if pattern.search(text):
            raise CorpusError(
                f"Text {row} of the corpus {corpus.name} has {artefact!r} in it already; choose a "
                "word that is in no text.",
                option="artefact",
                got=artefact,
                text=row,
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
        raise CorpusError(f"The corpus {corpus.name} has no labels; expected one for each text.")
    names = corpus.label_names
    if isinstance(label, str):
        if label not in names:
            raise LabelError(
                f"There is no class {label!r}. {near(label, names)}",
                option="label",
                got=label,
                known=names,
            )
        label = names.index(label)
    members: list[int] = np.flatnonzero(corpus.labels == label).tolist()
    if not members:
        raise LabelError(
            f"The corpus {corpus.name} has no text of the class {label!r}.",
            option="label",
            got=label,
        )
    return members
