"""The findings in words: what a reader is told of each kind of candidate and strategy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.planted import PLANTED, planted_classifier, planted_corpus

import seqlrp
from seqlrp.analysis import sentences

pytest.importorskip("sklearn")


def candidate(kind: str = "words", **more: Any) -> dict[str, Any]:
    row: dict[str, Any] = {"candidate": "zorblax", "kind": kind, "class": "positive"}
    row |= {"source": "strategy 3", "documents": 30, "exclusive": 1.0, "p": 2e-7, "alone": 0.5}
    row |= {"accuracy_with": 0.9, "accuracy_without": 0.7, "likeness": 0.8}
    for name, share in (("inserted", 0.85), ("removed", 0.4)):
        row |= {f"{name}_texts": 60, name: share, f"{name}_control": 0.03}
    return row | more


def test_a_finding_says_what_was_done() -> None:
    said = sentences.finding(candidate()).replace("\u00a0", " ")
    assert said == (
        "“zorblax” for positive: put into 60 other texts, it turns 85 % of them into positive "
        "(control words: 3 %); without it, 40 % of 60 predictions of positive are lost (control "
        "words: 3 %). It stands in 30 texts, 100 % of them of the class."
    )


@pytest.mark.parametrize("kind", ["words", "position", "length"])
def test_every_kind_has_its_words(kind: str) -> None:
    nothing = {"documents": 0, "exclusive": np.nan, "alone": np.nan, "accuracy_with": np.nan}
    nothing |= {"likeness": np.nan}
    for texts in (60, 0):
        row = candidate(kind, inserted_texts=texts, removed_texts=texts, **nothing)
        told = sentences.finding(row) + sentences.evidence(row)
        assert "nan" not in told
        assert "{" not in told
        assert ("no text" in told) == (texts == 0)


def test_words_that_are_tried_together_are_said_to_be() -> None:
    assert sentences.quoted(candidate(candidate="velvet + lantern")) == (
        "“velvet” and “lantern” together"
    )
    assert sentences.quoted(candidate(candidate="at\u202e all")) == "“at[U+202E] all”"
    assert sentences.quoted(candidate("length", candidate="the length")) == "the length"


def test_strategies_are_called_by_their_words() -> None:
    analysis = seqlrp.analyse(
        planted_classifier(), planted_corpus(), strategies={"projection": "none", "clusters": 2},
        shortcuts=False, progress=False,
    )  # fmt: skip
    names = sentences.strategy_names(analysis)
    assert len(names) == len(analysis.strategies)
    assert any(PLANTED in name for (label, _), name in names.items() if label == "positive")
    table = pd.DataFrame(
        {
            "class": ["a", "a", "a", "b"], "strategy": [0, 1, 2, 0],
            "share": [0.5, 0.3, 0.2, 1.0], "words": [["-", "two\nlines"], ["x"], [], ["y"]],
            "stability": [0.9, np.nan, 0.8, np.nan],
        }
    )  # fmt: skip
    some: Any = SimpleNamespace(strategies=table)
    assert list(sentences.strategy_names(some).values()) == [
        "“-”, “two lines”", "the rest", "no word in particular (2)", "all texts",
    ]  # fmt: skip


def test_a_summary_without_a_shortcut_says_what_was_not_looked_at() -> None:
    analysis = seqlrp.analyse(
        planted_classifier(0.0), planted_corpus(), candidates=[PLANTED], progress=False,
        strategies={"projection": "none"},
    )  # fmt: skip
    kept = analysis.shortcuts[analysis.shortcuts["candidate"] == PLANTED]
    one = type(analysis)(
        analysis.class_words, analysis.found, kept, analysis.explanations, analysis.made
    )
    assert "No shortcut was found: none of 1 candidate is decisive" in one.summary()
    assert "texts of the training" in one.summary()
