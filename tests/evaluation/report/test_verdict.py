"""Who is better than chance and who is best: only where the numbers carry it."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from samples.evaluations import labelled, lively_classifier

import seqlrp
from seqlrp import EvaluationReport
from seqlrp.errors import OptionError
from seqlrp.evaluation import Quantity
from seqlrp.evaluation.report.verdict import (
    headline,
    method_sentences,
    plain_verdict,
    size_in_words,
    trust,
    verdicts,
)

MADE = {
    "seed": 0,
    "options": {"removal": "zero", "random_orders": 1},
    "versions": {"seqlrp": "1"},
    "documents": 60,
    "left_out": 0,
    "min_words": 10,
    "figures": {"area": ["area", "other"]},
}


def made_up(
    means: dict[str, float], documents: int = 60, better: str = "higher", other: str = "neither"
):
    """A report in which each method has values around its mean, drawn by itself, and zeros."""
    rows = []
    for method, mean in means.items():
        drawn = np.random.default_rng(len(rows)).normal(mean, 1, documents)
        drawn += mean - drawn.mean()
        for metric, sign in (("area", 1), ("other", 0)):
            rows += [(d, method, 0, metric, "all", np.nan, sign * v) for d, v in enumerate(drawn)]
    columns = ["document", "method", "order", "metric", "direction", "k", "value"]
    quantities = {"area": Quantity("area", better, "It is."), "other": Quantity("o", other, "")}
    return EvaluationReport(
        pd.DataFrame(rows, columns=columns), quantities, dict.fromkeys(means, 0.001), MADE
    )


def test_the_best_is_named_where_it_is_better_than_every_other() -> None:
    report = made_up({"random": 0.0, "weak": 0.05, "lrp": 3.0, "good": 1.5})
    (verdict,) = verdicts(report)  # "other" has no better or worse
    assert verdict.compared == ("weak", "lrp", "good")
    assert verdict.better == ("lrp", "good")
    assert (verdict.best, verdict.second, verdict.level) == ("lrp", "good", ())
    assert verdict.lead[0] == pytest.approx(1.5)
    assert 1 < verdict.lead[1] < 1.5 < verdict.lead[2] < 2
    assert method_sentences(report)[:3] == [
        "weak is not told apart from chance; worse than the best (98\xa0% behind).",
        "lrp is better than chance; best of the 3 compared.",
        "good is better than chance; worse than the best (50\xa0% behind).",
    ]
    assert verdict.sentence().startswith("Best is lrp, by 1.500 over good (95 % interval 1.")
    assert verdict.whole == pytest.approx(3)  # of which differences are shares
    assert verdict.sentence().endswith("50\xa0% of what lrp gains over chance, a large difference.")


def test_methods_that_are_not_told_apart_share_the_place() -> None:
    report = made_up({"random": 0.0, "lrp": 3.0, "good": 2.99, "weak": 1.0, "bad": -2.0})
    (verdict,) = verdicts(report)
    assert (verdict.best, verdict.level, verdict.worse) == ("lrp", ("good",), ("bad",))
    assert verdict.lead[1] < 0 < verdict.lead[2]
    said = verdict.sentence()
    assert said.startswith("lrp has the best mean, by 0.010 over good (95 % interval -0.")
    assert "The interval holds 0: these texts do not show which is better." in said
    assert "< 1\xa0% of what lrp gains over chance, too small to matter in practice; by its" in said
    assert said.endswith("%, a small difference.")
    told = dict(line.split(" is ", 1) for line in method_sentences(report)[:4])
    assert told["lrp"].endswith("chance; ahead in the mean, but not told apart from others.")
    assert told["good"].endswith("chance; not told apart from the best (< 1\xa0% behind).")
    assert told["weak"].endswith("worse than the best (67\xa0% behind).")
    assert told["bad"].startswith("worse than chance")


def test_a_difference_that_the_correction_does_not_carry_says_so() -> None:
    """Its interval leaves out 0, and yet the best was picked among many."""
    found = verdicts(made_up({"random": 0.0, "lrp": 3.0, "a": 2.6, "b": 2.59, "c": 2.58}))[0]
    assert found.lead[1] > 0
    assert found.level
    assert 0.05 < found.p <= 1
    assert f"corrected for that, p = {found.p:.2g}," in found.sentence()
    assert "holds 0" not in found.sentence()
    assert "told apart from lrp." in found.sentence()


def test_where_nothing_is_better_than_chance_no_share_is_told() -> None:
    found = verdicts(made_up({"random": 0.0, "lrp": 0.02, "good": 0.01}))[0]
    assert np.isnan(found.whole)
    assert found.sentence().endswith("Nor is it shown that lrp is better than chance.")
    assert "%" not in found.sentence().replace("95 %", "")


def test_the_verdict_in_one_sentence() -> None:
    assert headline(made_up({"random": 0.0, "lrp": 3.0, "good": 2.7, "bad": -2.0})) == (
        "lrp and good name words that the answers rest on, better than chance; they differ by "
        "10\xa0% at most of what the best gains over chance, a small difference; bad is nowhere "
        "better than chance."
    )
    assert headline(made_up({"random": 0.0, "lrp": 3.0})).endswith("better than chance.")
    assert headline(made_up({"random": 0.0, "lrp": 0.01})).startswith("No method is better")
    assert headline(made_up({"lrp": 3.0, "good": 2.7})) == ""


def test_a_quantity_in_which_these_texts_tell_nothing_is_left_out_of_the_sentence() -> None:
    report = made_up({"random": 0.0, "lrp": 3.0, "good": 2.7}, other="higher")
    assert headline(report) == (
        "lrp and good name words that the answers rest on, better than chance in the 1 of 2 "
        "quantities in which these texts tell any method from chance; they differ by 10\xa0% at "
        "most of what the best gains over chance, a small difference."
    )


def test_a_method_worse_than_chance_in_a_quantity_is_not_recommended() -> None:
    report = made_up({"random": 0.0, "lrp": 3.0, "bad": -3.0})
    assert headline(report).startswith("lrp names words")
    assert headline(made_up({"random": 0.0, "bad": -3.0})).startswith("No method is better")


def still_right(lost: dict[str, int], documents: int = 60) -> EvaluationReport:
    """A report of texts that are right, of which each method loses some by two words."""
    rows = [
        (d, method, 0, "deletion_accuracy", "right", k, float(k == 0 or d >= number * (k == 2)))
        for method, number in lost.items()
        for d in range(documents)
        for k in (0.0, 1.0, 2.0)
    ]
    columns = ["document", "method", "order", "metric", "direction", "k", "value"]
    quantities = {"deletion_accuracy": Quantity("a", "by direction", "It is.")}
    made = {**MADE, "figures": {"deletion_accuracy": ["deletion_accuracy"]}}
    seconds = dict.fromkeys(lost, 0.001)
    return EvaluationReport(pd.DataFrame(rows, columns=columns), quantities, seconds, made)


def test_whether_to_trust_a_method_is_said_without_a_technical_term() -> None:
    report = still_right({"lrp": 24, "better": 54, "weak": 3, "random": 3})
    assert trust(report, "lrp") == (
        "Of 60 texts on which the model was right, it is still right on 60\xa0% where the 2 words "
        "that weigh most for its answer are taken out, and on 95\xa0% where any 2 words are. So "
        "the coloured words matter, but better names words that matter more."
    )
    assert report.trust("better").endswith(
        "So its answers rest on the words of the deepest colour, on the whole, if not in each text."
    )
    assert report.trust("weak").endswith(
        "does not show that the coloured words matter more than others."
    )
    assert report.trust("unknown") == ""
    assert made_up({"random": 0.0, "lrp": 3.0}).trust("lrp") == ""


def test_the_plain_verdict_is_short_and_speaks_of_no_colours() -> None:
    found = plain_verdict(still_right({"lrp": 54, "weak": 3, "random": 3}))
    assert found == [
        "lrp names words that the answers rest on, better than chance; weak is nowhere better than "
        "chance.",
        "Of 60 texts on which the model was right, it is still right on 10\xa0% where the 2 words "
        "that weigh most for its answer are taken out, and on 95\xa0% where any 2 words are. So "
        "its answers rest on the words that lrp names first, on the whole, if not in each text.",
        "Compared were lrp (1 ms a text), weak (1 ms a text) and chance.",
        "No method that asks the model again without words (occlusion, lime, kernel_shap, "
        "shapley) was among them; such methods are slower and often better.",
    ]
    weak = plain_verdict(still_right({"weak": 3, "random": 3}))
    assert weak[1].endswith(
        "That does not show that the words that weak names matter more than others."
    )
    better = plain_verdict(still_right({"lrp": 24, "better": 54, "random": 3}))
    assert better[1].endswith(
        "So the words that lrp names matter, but better names words that matter more."
    )


def test_without_chance_the_plain_verdict_is_that_of_each_method() -> None:
    report = made_up({"lrp": 3.0, "good": 2.7})
    assert plain_verdict(report) == method_sentences(report)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0.0, "too small to matter in practice"),
        (0.044, "too small to matter in practice"),
        (0.05, "a small difference"),
        (-0.3, "a clear difference"),
        (2.0, "a large difference"),
    ],
)
def test_a_share_in_words(share: float, words: str) -> None:
    assert size_in_words(share) == words


def test_where_lower_is_better_the_lowest_is_best() -> None:
    (verdict,) = verdicts(made_up({"lrp": -2.0, "random": 0.0, "good": -1.0}, better="lower"))
    assert (verdict.best, verdict.second, verdict.level) == ("lrp", "good", ())
    assert verdict.lead[0] == pytest.approx(1)  # as much better
    assert verdict.better == ("lrp", "good")


def test_every_pair_counts_for_the_correction() -> None:
    """Six methods of one kind: that the luckiest has p < 0.05 against another says nothing."""
    level = 0
    for seed in range(20):
        drawn = np.random.default_rng(seed).normal(size=(6, 30))
        means = dict(zip("abcdef", drawn.mean(1), strict=True))
        report = made_up(means, documents=30)
        values = {m: drawn[k] for k, m in enumerate(means)}
        table = report.table[report.table["metric"] == "area"].copy()
        table["value"] = np.concatenate([values[m] for m in means])
        report = EvaluationReport(table, {"area": report.quantities["area"]}, report.seconds, MADE)
        (verdict,) = verdicts(report)
        level += len(verdict.level) == 5
    assert level >= 18


def test_chance_and_the_best_are_left_out_where_there_is_none() -> None:
    assert method_sentences(made_up({"lrp": 3.0, "random": 0.0}))[:1] == [
        "lrp is better than chance."
    ]
    told = method_sentences(made_up({"lrp": 3.0, "good": 1.0}))
    assert told[0] == "lrp is best of the 2 compared."
    assert told[1] == "good is worse than the best (67\xa0% behind)."
    assert told[2] == "Percentages are of what the best method reaches in the same quantity."
    assert method_sentences(made_up({"lrp": 3.0})) == []
    assert made_up({"lrp": 3.0}).summary().startswith("Explanations of")


def test_the_summary_begins_with_the_verdict() -> None:
    report = made_up({"random": 0.0, "lrp\x1b[31m": 3.0, "good": 2.99})
    text = report.summary()
    assert "\x1b" not in text + report.verdict()
    assert text.startswith("In short\n  lrp\\x1b[31m and good name words that the answers rest on")
    assert report.verdict().splitlines() == [
        line.replace("\x1b", "\\x1b") for line in (headline(report), *method_sentences(report))
    ]
    assert "[area]" in text
    assert "[area: other]" in text
    assert "these texts do not show which is better" in " ".join(text.split())


def test_the_verdict_names_what_was_compared_and_what_it_costs() -> None:
    weak = method_sentences(made_up({"random": 0.0, "lrp": 3.0, "good": 1.0}))
    assert weak[3:] == [
        "Compared were chance, lrp (1 ms a text) and good (1 ms a text).",
        "No method that asks the model again without words (occlusion, lime, kernel_shap, "
        "shapley) was among them; such methods are slower and often better.",
    ]
    strong = method_sentences(made_up({"lrp": 3.0, "occlusion": 1.0}))
    assert strong[3:] == ["Compared were lrp (1 ms a text) and occlusion (1 ms a text)."]
    report = made_up({"lrp": 3.0, "mine": 1.0})
    made = {**MADE, "methods": {"mine": {"method": "lime"}}}
    named = EvaluationReport(report.table, report.quantities, report.seconds, made)
    assert not any("again without words" in line for line in method_sentences(named))


def test_several_quantities_are_counted() -> None:
    one, two = (made_up({"random": 0.0, "lrp": 3.0, "good": g}) for g in (2.99, 1.0))
    renamed = two.table.replace({"metric": {"area": "second"}})
    table = pd.concat([one.table, renamed[renamed["metric"] == "second"]])
    quantities = dict(one.quantities) | {"second": one.quantities["area"]}
    both = EvaluationReport(table, quantities, one.seconds, {**MADE, "figures": {}})
    assert both.metrics == {name: (name,) for name in quantities}
    assert method_sentences(both)[:2] == [
        "lrp is better than chance in all 2 quantities; best of the 2 compared in 1 of 2; ahead "
        "in the mean in 1 of 2, but not told apart from others.",
        "good is better than chance in all 2 quantities; not told apart from the best in 1 of 2 "
        "(< 1\xa0% behind); worse than the best in 1 of 2 (67\xa0% behind).",
    ]


# Names of metrics and of quantities


def test_a_metric_stands_for_its_quantities_and_a_quantity_for_its_metric() -> None:
    texts, labels = labelled(8)
    ask = {"methods": ["lrp", "random"], "random_orders": 1, "progress": False, "ks": (1, 2)}
    one = seqlrp.evaluate(lively_classifier(), texts, labels, metrics=["aopc"], **ask)
    names = ("morf", "lerf", "aopc_morf", "aopc_lerf", "abpc")
    assert one.metrics == {"aopc": names}
    for chosen in ("aopc", ["aopc"], None):
        assert one.quantity_names(chosen) == names
    other = seqlrp.evaluate(lively_classifier(), texts, labels, metrics=["abpc", "morf"], **ask)
    pd.testing.assert_frame_equal(one.table, other.table)
    assert [len(one.plot(m).axes) for m in (["aopc"], ["lerf"], "aopc")] == [2, 1, 2]
    assert [len(one.plot_results(m).axes) for m in (["aopc"], ["abpc"], None)] == [3, 1, 3]
    assert set(one.advantage(metrics=["abpc"])["metric"]) == {"abpc"}
    whole = one.advantage().set_index("metric").drop(columns="p_holm")
    alone = one.advantage(metrics=["abpc"]).set_index("metric").drop(columns="p_holm")
    pd.testing.assert_frame_equal(whole.loc[["abpc"]], alone)
    with pytest.raises(OptionError, match="'aopc' is a metric of several quantities, name"):
        one.curves("aopc")
    with pytest.raises(OptionError, match="'abpc' has no curve"):
        one.plot(["abpc"])
    with pytest.raises(OptionError, match="'morf' has no mean"):
        one.plot_results(["morf"])
    for refuse in (one.plot, one.plot_results, one.quantity_names):
        with pytest.raises(OptionError, match=r"no metric 'apoc'\. Did you mean 'aopc'"):
            refuse(["apoc"])


def test_a_report_shows_itself_method_sentences() -> None:
    report = made_up(dict(zip("abcdefg", itertools.count(), strict=False)))
    assert repr(report) == (
        "EvaluationReport(texts: 60; methods: 'a', 'b', 'c', 'd', 'e', …; metrics: 'area')"
    )
    hostile = made_up({"<script>": 1.0})
    assert "<td>1.000 [" in hostile._repr_html_()
    assert "<script>" not in hostile._repr_html_()
