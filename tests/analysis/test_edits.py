"""Edits of tokenised texts."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from samples.classifiers import small_classifier, some_texts

from seqlrp.analysis.edits import arranged, run_of, with_runs

CLASSIFIER = small_classifier()
DOCUMENTS = list(CLASSIFIER.encode(some_texts(20)))
documents = st.sampled_from(DOCUMENTS)


@given(documents, documents, st.integers(0, 30))
def test_what_is_put_in_can_be_taken_out(document, donor, gap) -> None:  # type: ignore[no-untyped-def]
    gap = min(gap, len(document))
    run = run_of(donor, 0, min(2, len(donor)))
    longer = with_runs(document, [gap], [run])
    assert longer.source.tokens[gap : gap + len(run.ids)] == run.tokens
    assert (np.diff(longer.source.sentences) >= 0).all()
    back = longer.without(range(gap, gap + len(run.ids)))
    assert (back.ids == document.ids).all()
    assert back.source.tokens == document.source.tokens


def test_several_runs_go_to_the_gaps_of_the_text_as_it_was() -> None:
    document, donor = CLASSIFIER.encode(["a film", "good bad"])
    runs = [run_of(donor, 0, 1), run_of(donor, 1, 2)]
    assert with_runs(document, [0, 2], runs).source.tokens == ("good", "a", "film", "bad")


@given(documents, st.integers(1, 40))
def test_tokens_said_again_keep_their_ids(document, length) -> None:  # type: ignore[no-untyped-def]
    order = np.arange(length) % len(document)
    longer = arranged(document, order)
    assert (longer.ids == document.ids[order]).all()
    assert (np.diff(longer.source.sentences) >= 0).all()
