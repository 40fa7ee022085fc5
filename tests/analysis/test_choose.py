"""A method is chosen on one half, confirmed on the other, stored with the model, and used."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from samples.evaluations import labelled, lively_classifier
from samples.planted import planted_classifier, planted_corpus

import seqlrp
from seqlrp.analysis.choice import is_better
from seqlrp.analysis.choose import CANDIDATES, _decide, _halves, _with_reference
from seqlrp.errors import CorpusError, InputError, LabelError, OptionError, SavedFileError
from seqlrp.lrp.options import DEFAULT_EPSILON

TEXTS, LABELS = labelled(110)


@pytest.fixture(scope="module")
def classifier() -> seqlrp.TextClassifier:
    """One for which occlusion is better than LRP."""
    return replace(lively_classifier(), tokenizer=seqlrp.SpacyTokenizer("en"))


@pytest.fixture(scope="module")
def choice(classifier: seqlrp.TextClassifier) -> seqlrp.Choice:
    return seqlrp.choose(classifier, TEXTS, LABELS, ["occlusion"], progress=False)


def test_the_better_is_chosen_and_said_to_be(choice: seqlrp.Choice) -> None:
    found = choice
    assert found.name == found.best == "occlusion"
    assert found.method == {"method": "occlusion"}
    summary = found.summary()
    assert summary.startswith("Chosen: occlusion.\n3 candidates were compared by abpc (area betw")
    assert "on 55 texts; occlusion was the best. On 55 others:" in summary
    assert "- occlusion is better than lrp (the default): +0." in summary
    assert "% of the value of lrp (the default), " in summary
    assert "Nothing" not in summary


def test_the_numbers_are_those_of_two_evaluations(
    choice: seqlrp.Choice, classifier: seqlrp.TextClassifier
) -> None:
    found, methods = choice, ["lrp", "gradient_x_input", "occlusion"]
    reports = [
        seqlrp.evaluate(classifier, [TEXTS[k] for k in half], None, methods, ["aopc"],
                        progress=False)
        for half in _halves(classifier, TEXTS, 10, 0)
    ]  # fmt: skip
    means = reports[0].results.set_index(["metric", "method"])["value"]
    for row in found.candidates.to_dict("records"):
        assert row["value"] == pytest.approx(means["abpc", row["candidate"]])
        assert row["milliseconds"] > 0
    for over in ("lrp", "gradient_x_input"):
        wanted = reports[1].advantage(over, ["abpc"]).set_index(["metric", "method"])
        wanted = wanted.loc["abpc", "occlusion"]
        row = found.differences.set_index(["candidate", "over"]).loc["occlusion", over]
        for column in ("difference", "low", "high", "p", "documents"):
            assert row[column] == pytest.approx(wanted[column])


def test_the_frame_has_both_halves(choice: seqlrp.Choice) -> None:
    frame = choice.to_frame().set_index("candidate")
    assert list(frame.index[frame["chosen"]]) == ["occlusion"]
    assert frame["over_default"].notna().tolist() == [n != "lrp" for n in frame.index]
    low, high = frame.loc["occlusion", ["over_cheapest_low", "over_cheapest_high"]]
    assert low < frame.loc["occlusion", "over_cheapest"] < high


def test_the_halves_share_no_text(classifier: seqlrp.TextClassifier) -> None:
    first, second = _halves(classifier, TEXTS, 10, 0)
    assert sorted(first + second) == list(range(len(TEXTS)))
    assert (first, second) != _halves(classifier, TEXTS, 10, 1)


def test_where_nothing_is_better_it_is_the_default() -> None:
    corpus = planted_corpus(100)  # of a sum, all these are the same
    found = seqlrp.choose(
        planted_classifier(), corpus, candidates={"zero": {"method": "lrp", "epsilon": 0}},
        metric="deletion_accuracy", min_words=5, progress=False,
    )  # fmt: skip
    assert found.name == "lrp"
    assert found.method == {"method": "lrp"}
    assert "Chosen: lrp (the default)." in found.summary()
    assert "Nothing is shown to be better than the default or gradient × input." in found.summary()
    assert "negated where lower is better" in found.summary()
    pairs = [line for line in found.summary().splitlines() if line.startswith("- ")]
    mirrored = found.differences[["candidate", "over"]].apply(frozenset, axis=1)
    assert len(pairs) == len(set(mirrored))
    assert seqlrp.explain(planted_classifier(), corpus.texts[:1], **found.method)


@pytest.mark.parametrize(
    ("rows", "chosen"),
    [
        ([("best", "lrp", 0.01, 0.001), ("best", "gradient_x_input", 0.01, 0.01)], "best"),
        ([("best", "lrp", -0.01, 0.001), ("best", "gradient_x_input", 0.01, 0.01)], "lrp"),
        ([("best", "lrp", 0.01, 0.06), ("best", "gradient_x_input", 0.01, 0.01)], "lrp"),
        (
            [("best", "lrp", 0.01, 0.001), ("best", "gradient_x_input", -0.05, 0.001)],
            "gradient_x_input",  # its interval is below 0
        ),
        (
            [("best", "lrp", -0.01, 0.5), ("gradient_x_input", "lrp", 0.01, 0.001)],
            "gradient_x_input",
        ),
    ],
)  # fmt: skip
def test_the_rule(rows: list[tuple[str, str, float, float]], chosen: str) -> None:
    table = pd.DataFrame(
        [(one, other, low + 0.02, low, low + 0.04, p) for one, other, low, p in rows],
        columns=["candidate", "over", "difference", "low", "high", "p"],
    )
    assert _decide(table, "best") == chosen
    assert not is_better(table, "lrp", "best")


def test_values_of_documents_have_a_sign(classifier: seqlrp.TextClassifier) -> None:
    report = seqlrp.evaluate(
        classifier, TEXTS[:20], LABELS[:20], ["lrp"], ["word_deletion"], progress=False
    )
    rows = report.table[(report.table["metric"] == "deletion_accuracy") & (report.table["k"] > 0)]
    signs = {"right": -1.0, "wrong": 1.0}
    wanted = [
        signs[direction] * part["value"].mean()
        for (_, direction), part in rows.groupby(["document", "direction"])
    ]
    found = report.document_values("deletion_accuracy")["lrp"]
    assert set(rows["direction"]) == set(signs)
    assert np.allclose(found[:, 0], wanted)
    report = seqlrp.evaluate(classifier, TEXTS[:2], None, ["lrp"], ["aopc"], progress=False)
    with pytest.raises(OptionError, match="ranked"):
        report.document_values("morf")


def test_the_default_stands_among_the_candidates_once() -> None:
    epsilons = [c["epsilon"] for c in CANDIDATES.values() if "epsilon" in c]
    assert DEFAULT_EPSILON not in epsilons
    assert len(set(epsilons)) == len(epsilons) == 9


def test_a_stored_choice_is_used(
    choice: seqlrp.Choice, classifier: seqlrp.TextClassifier, tmp_path: Path
) -> None:
    seqlrp.save(classifier, tmp_path / "model")
    choice.save(tmp_path / "model")
    loaded = seqlrp.load(tmp_path / "model")
    assert loaded.chosen == {"method": "occlusion"}
    for e, other in zip(
        seqlrp.explain(loaded, TEXTS[:3], "chosen", progress=False),
        seqlrp.explain(classifier, TEXTS[:3], "occlusion", progress=False),
        strict=True,
    ):
        assert e.method == "occlusion"
        assert np.array_equal(e.relevance, other.relevance)
    report = seqlrp.evaluate(loaded, TEXTS[:3], None, ["chosen"], ["aopc"], progress=False)
    assert report.made["methods"]["chosen"]["method"] == "occlusion"
    assert _with_reference(loaded, {"before": "chosen"})["before"] == {"method": "occlusion"}
    with pytest.raises(OptionError, match="by LRP, and got the method 'occlusion'"):
        seqlrp.check(loaded, TEXTS[:2], method="chosen")
    with pytest.raises(OptionError, match="has its options; leave epsilon out"):
        seqlrp.explain(loaded, TEXTS[:1], "chosen", epsilon=0)


def test_check_follows_a_chosen_epsilon(classifier: seqlrp.TextClassifier) -> None:
    loose = classifier.with_chosen({"method": "lrp", "epsilon": "10%"})
    assert classifier.chosen is None
    report = seqlrp.check(loose, TEXTS[:2], method="chosen", progress=False)
    assert report.parameters["epsilon"] == "10%"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"texts": TEXTS[:99], "labels": None}, "Got 99 texts of at least 10 words.*needs 100"),
        ({"texts": TEXTS[:99], "labels": None}, "Give more texts; 99 have any word at all"),
        ({"min_words": 19}, "words; a choice needs 100, 50 to choose on"),
        ({"min_words": 19}, "Give more texts, or pass min_words=11 or less"),
        ({"metric": "aopc"}, "one of 'aopc_morf', 'aopc_lerf', 'abpc'"),
        ({"metric": "morf"}, "one quantity by which methods are ranked"),
        ({"metric": "abcp"}, "no metric 'abcp'"),
        ({"metric": "abcp"}, "Did you mean 'abpc'"),
        ({"metric": "nonsense"}, "Known: 'deletion_accuracy', .*'abpc'"),
        ({"candidates": []}, "Got no candidate"),
        ({"candidates": ["lrp_"]}, "lrp_"),
        ({"candidates": ["chosen"]}, "No method was chosen"),
        ({"candidates": {"mine": [np.ones(3)] * 110}}, "attributions from outside, 'mine'"),
        ({"candidates": {"lrp": {"epsilon": 0.1}}}, "Two candidates are called 'lrp'"),
        ({"labels": [0]}, "Got 1 labels for 110 texts"),
        ({"rationales": [[1]]}, "Got 1 rationales for 110 texts"),
        ({"labels": None, "metric": "deletion_accuracy"}, "true class of each text"),
    ],
)
def test_bad_input_is_a_sentence(
    classifier: seqlrp.TextClassifier, change: dict[str, Any], message: str
) -> None:
    given = {"texts": TEXTS, "labels": LABELS, "candidates": ["lrp"], **change}
    with pytest.raises(InputError, match=message) as raised:
        seqlrp.choose(classifier, progress=False, **given)
    assert isinstance(raised.value, CorpusError | LabelError | OptionError | InputError)


def test_an_object_is_compared_but_not_stored(
    choice: seqlrp.Choice, classifier: seqlrp.TextClassifier, tmp_path: Path
) -> None:
    found = choice
    method = seqlrp.METHODS["occlusion"](classifier.model)
    object_chosen = replace(found, methods={**found.methods, "occlusion": method})
    assert object_chosen.method is method
    with pytest.raises(OptionError, match="'occlusion' cannot be stored"):
        object_chosen.save(tmp_path)
    with pytest.raises(SavedFileError):
        found.save(tmp_path)  # there is no model
