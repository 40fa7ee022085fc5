"""Where the scores go: shares by kind and by place, and the warnings that follow from them."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier, some_texts
from samples.planted import PLANTED, planted_classifier, planted_corpus
from torch import Tensor, nn

import seqlrp
from seqlrp.engine.ledger import KINDS, Entry, Ledger
from seqlrp.errors import CorpusError, LabelError, OptionError, TargetError, TextError
from seqlrp.explaining.check import SENTENCES
from seqlrp.explaining.check_report import KINDS as SAID
from seqlrp.explaining.unread import UnreadWord
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus


def report(score: list[float], *entries: tuple[str, str, list[float]], **fields: object):  # type: ignore[no-untyped-def]
    """A report of documents whose entries are (kind, "module: operation", amounts)."""
    made = [
        Entry(kind, operation, module, torch.tensor(amounts, dtype=torch.float64))
        for kind, where, amounts in entries
        for module, _, operation in [where.partition(": ")]
    ]
    ledger = Ledger(torch.tensor(score, dtype=torch.float64), tuple(made))
    return seqlrp.CheckReport(ledger, fields.pop("parameters", {"epsilon": 0.001}), **fields)


def tables(found: seqlrp.CheckReport) -> list[str]:
    """The lines of the summary behind the verdict."""
    lines = found.summary().splitlines()
    return lines[lines.index("") + 1 :]


# What is counted


def test_the_account_is_that_of_the_explanations() -> None:
    for options in ({}, {"hierarchical": True}, {"cell": "gru", "pooling": "max"}):
        classifier = small_classifier(**options)
        texts = some_texts(25)
        found = seqlrp.check(classifier, texts, epsilon=0.01, batch_tokens=60)
        explanations = seqlrp.explain(classifier, texts[:20], epsilon=0.01)
        assert len(found) == 20
        assert found.parameters["epsilon"] == 0.01
        table = found.to_pandas("document")
        assert table.score.tolist() == pytest.approx([e.score for e in explanations], abs=1e-5)
        for kind in KINDS:
            wanted = [e.ledger[kind] for e in explanations]
            assert table[kind].tolist() == pytest.approx(wanted, abs=1e-5), kind
        assert abs(table.residual).max() < 1e-5
        sizes = {kind: abs(table[kind]).sum() for kind in KINDS}
        assert found.words == pytest.approx(sizes["tokens"] / sum(sizes.values()))
        assert sum(found.shares.values()) == pytest.approx(1)
        assert list(found.shares.values()) == sorted(found.shares.values(), reverse=True)


def test_batches_with_other_entries_are_put_together() -> None:
    """A model that goes another way for long texts books other entries there."""
    classifier = small_classifier(pooling="max")

    class TwoWays(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = classifier.model
            self.late = nn.Linear(2, 2)

        def forward(self, ids: Tensor) -> Tensor:
            scores = self.inner(ids)
            return self.late(scores) if ids.shape[1] > 4 else scores

    torch.manual_seed(0)
    both = TextClassifier(
        TwoWays().eval(), classifier.vocabulary, classifier.labels, classifier.tokenizer
    )
    texts = ["a good film", "a very dull and bad plot", "bad"]
    found = seqlrp.check(both, texts, target=0, batch_tokens=1)
    late = [e for e in found.ledger.entries if e.module == "late" and e.kind == "bias"]
    (bias,) = late
    assert (bias.amount != 0).tolist() == [False, True, False]
    assert found.ledger.residual.abs().max() < 1e-5


def test_targets_and_labels() -> None:
    classifier = small_classifier()
    texts = some_texts(6)
    pair = seqlrp.check(classifier, texts, ("positive", "negative"))
    scores = [e.score for e in seqlrp.explain(classifier, texts, target=("positive", "negative"))]
    assert pair.ledger.score.tolist() == pytest.approx(scores, abs=1e-5)
    assert pair.compared
    corpus = Corpus("c", texts, np.array([0, 1] * 3), ("positive", "negative"))
    by_label = seqlrp.check(classifier, corpus, "label", first=3)
    truth = [e.score for e in seqlrp.explain(classifier, corpus, target="label")][:3]
    assert by_label.ledger.score.tolist() == pytest.approx(truth, abs=1e-5)
    assert not by_label.compared
    assert len(seqlrp.check(classifier)) == len(SENTENCES)
    assert len(seqlrp.check(classifier, "a good film")) == 1


def test_what_cannot_be_checked() -> None:
    classifier = small_classifier()
    with pytest.raises(CorpusError, match="no text to check"):
        seqlrp.check(classifier, [])
    with pytest.raises(OptionError, match="Got first=0"):
        seqlrp.check(classifier, first=0)
    with pytest.raises(TargetError, match="expected one class, or a pair of classes"):
        seqlrp.check(classifier, target="all")
    with pytest.raises(TargetError, match="Did you mean 'positive'"):
        seqlrp.check(classifier, target="positiv")
    with pytest.raises(TargetError, match="For text 0 both sides"):
        seqlrp.check(
            classifier,
            ["good"],
            ("predicted", "label"),
            labels=classifier.predict(["good"]).predicted,
        )
    with pytest.raises(LabelError, match="no labels are given"):
        seqlrp.check(classifier, target="label")
    with pytest.raises(TextError, match="Text 1 holds no word"):
        seqlrp.check(classifier, ["good", " "])
    with pytest.raises(OptionError, match="Did you mean 'epsilon'"):
        seqlrp.check(classifier, epsilom=1)
    with pytest.raises(OptionError, match="by='layer'"):
        seqlrp.check(classifier).to_pandas("layer")


# Shares


def test_shares_are_of_absolute_amounts_over_documents() -> None:
    """Kinds that cancel within a document or over documents count in full."""
    found = report(
        [1.0, -1.0],
        ("tokens", ": embedding", [4.0, -2.0]),
        ("bias", "lstm: bias_ih", [-5.0, 1.0]),
        ("bias", "head: linear", [2.0, 0.0]),
        ("constant", "head: add", [0.0, 0.0]),
    )
    assert found.shares == {"tokens": pytest.approx(0.6), "bias": pytest.approx(0.4)}
    kinds = found.to_pandas("kind")
    assert kinds.kind.tolist() == ["tokens", "bias"]
    assert kinds["mean"].tolist() == [1.0, -1.0]
    assert kinds.mean_size.tolist() == [3.0, 2.0]
    places = found.to_pandas()
    assert places.module.tolist() == ["lstm", "head"]
    assert places.operation.tolist() == ["bias_ih", "linear"]
    assert places.mean_size.tolist() == [3.0, 1.0]
    assert places.share.tolist() == pytest.approx([6 / 10, 2 / 10])  # of the same 10
    assert found.warnings == ()
    assert repr(found) == "CheckReport(2 documents, 60% to the words)"


def test_the_share_of_nothing_is_unknown() -> None:
    found = report([0.0], ("tokens", ": embedding", [0.0]))
    assert np.isnan(found.words)
    assert found.warnings == ()
    assert found.to_pandas().empty
    assert tables(found)[4].split() == ["the", "words", "+0", "0", "–"]
    assert "There is nothing to explain." in found.verdict()


def test_summary_in_plain_words() -> None:
    entries = [("bias", f"lstm: bias_{k}", [0.1 + k]) for k in range(15)]
    found = report(
        [1.0], ("tokens", ": embedding", [200.0]), ("stabiliser", ": add", [50.0]), *entries
    )
    lines = tables(found)
    assert lines[0] == "Where the scores of 1 document went (LRP: epsilon 0.001)"
    assert lines[4].split() == ["the", "words", "+200", "200", "56%"]
    assert [line.split(":")[0] for line in lines if ":" in line][1:3] == [
        "the model itself",
        "lstm",
    ]
    assert "… and 4 smaller ones" in lines
    assert "bias_3 " not in "\n".join(lines)
    assert "bias_3 " in found.summary(rows=20)
    assert max(map(len, found.summary().splitlines())) < 100


# The verdict


def test_the_verdict_of_a_whole_account() -> None:
    words, biases = ("tokens", ": embedding", [0.9, 0.8]), ("bias", "lstm: bias", [0.1, 0.2])
    found = report([1.0, 1.0], words, biases)
    answer, takers, step = found.verdict().splitlines()
    assert answer.startswith(
        "Can LRP's explanations of this model be believed, judging by 2 documents? Yes, "
    )
    assert takers == "What takes the score: the words 85%, constants of the model (biases) 15%."
    assert "seqlrp evaluate" in step
    assert "".join(found.summary().split()).startswith("".join(answer.split()))


@pytest.mark.parametrize(
    ("entries", "fields", "answer"),
    [
        ([[1.0]], {}, "Yes, "),
        ([[0.1], [0.9]], {}, "With care: "),
        ([[40.0], [-39.0]], {}, "With care: "),
        ([[1.0]], {"tokens": 4, "unknown": {"x": 3}}, "With care: "),
        ([[0.5]], {}, "No: "),
        ([[1.0]], {"unread": [UnreadWord(0, 0, "x", 1.0)], "read_tried": 1}, "No: "),
    ],
)
def test_the_answer_is_as_bad_as_the_worst_that_was_found(entries, fields, answer) -> None:  # type: ignore[no-untyped-def]
    kinds = ("tokens", ": embedding"), ("bias", "lstm: bias")
    found = report([1.0], *((*k, e) for k, e in zip(kinds, entries, strict=False)), **fields)
    lines = found.verdict().splitlines()
    assert lines[0].split("? ")[1].startswith(answer)
    assert tuple(lines[2:-1]) == found.warnings


def test_the_verdict_stands_on_pages_and_in_notebooks(tmp_path: Path) -> None:
    classifier, texts = small_classifier(), some_texts(3)
    found = seqlrp.check(classifier, texts)
    seqlrp.explain(classifier, texts).save_html(tmp_path / "page.html", report=found)
    page = (tmp_path / "page.html").read_text("utf-8")
    for line in found.verdict().splitlines():
        assert f"<p>{html.escape(line)}</p>" in page
        assert f"<p>{html.escape(line)}</p>" in found._repr_html_()
    shown = found._repr_html_()
    assert "<td>the words</td>" in shown
    assert f"<td>{found.shares['tokens']:.0%}</td>" in shown
    assert shown.count("<tr") <= 2 + len(found.shares) + 5  # of the places the first
    first = html.escape(found.verdict().splitlines()[0])
    assert f"<b>Can these colours be trusted?</b> {first}</p>" in page  # beside how to read them
    hostile = dataclasses.replace(found, tokens=1, unknown={"<b>": 1})
    assert "<b>" not in hostile._repr_html_()


# Warnings


def test_every_kind_has_its_words() -> None:
    assert set(SAID) == set(KINDS) - {"tokens"}
    for kind in SAID:
        found = report(
            [10.0],
            ("tokens", ": embedding", [1.0]),
            (kind, "first: small", [1.0]),
            (kind, "second: large", [8.0]),
        )
        (warning,) = found.warnings
        assert warning.startswith(
            "Only 10% of the relevance reaches the words; most of the rest, 90%"
        )
        assert SAID[kind][0] in warning
        assert "above all at 'second: large'." in warning
        assert ("smaller epsilon; it is 0.001" in warning) == (kind == "stabiliser")


def test_advice_knows_what_was_done_already() -> None:
    entries = ("tokens", ": embedding", [1.0]), ("bias", "lstm: bias", [9.0])
    assert "ask why one class rather than another" in report([10.0], *entries).warnings[0]
    compared = report([10.0], *entries, compared=True).warnings[0]
    assert "ask why" not in compared
    assert compared.endswith("Read gradient_x_input beside it.")
    entries = ("tokens", ": embedding", [1.0]), ("stabiliser", "lstm: map", [9.0])
    exact = report([10.0], *entries, parameters={"epsilon": 0.0}).warnings[0]
    assert "epsilon" not in exact
    assert "another rule" in exact


def test_words_and_biases_that_cancel() -> None:
    entries = ("tokens", ": embedding", [40.0, -40.0]), ("bias", "lstm: bias", [-39.0, 39.0])
    (warning,) = report([1.0, -1.0], *entries).warnings
    assert "The words get 40 times the score, while 39 times the score stays in biases" in warning
    assert "they cancel" in warning
    (warning,) = report([1.0, -1.0], *entries, parameters={"gate_rule": "prop"}).warnings
    assert "The gate rule 'prop' sends relevance through gates" in warning
    little = ("tokens", ": embedding", [4.0]), ("bias", "lstm: bias", [-5.0])
    (warning,) = report([-1.0], *little).warnings  # a share of 44 %, but that is not the point
    assert "they cancel" in warning
    fine = report([10.0], ("tokens", ": embedding", [25.0]), ("bias", "lstm: bias", [-15.0]))
    assert fine.warnings == ()


def test_an_account_that_does_not_close() -> None:
    entries = ("tokens", ": embedding", [1.0, 1.0]), ("bias", "lstm: bias", [0.5, 0.5])
    rounding = report([1.5 + 1e-3, 1.5], *entries)
    assert rounding.warnings == ()
    (warning,) = report([1.5 + 2e-3, 1.5], *entries).warnings
    assert "in 1 of 2 documents" in warning
    assert "up to 0.002 where the score is 1.5." in warning
    (warning,) = dataclasses.replace(rounding, rounding=1e-9).warnings
    assert "does not close" in warning
    nan = report([1.0], ("tokens", ": embedding", [1.0]), ("bias", "lstm: bias", [float("nan")]))
    assert "does not close" in nan.warnings[-1]


def test_rounding_is_that_of_the_model() -> None:
    classifier = small_classifier()
    assert seqlrp.check(classifier).rounding == 1e-3
    classifier.model.double()
    found = seqlrp.check(classifier)
    assert found.rounding == 1e-9
    assert found.ledger.residual.abs().max() < 1e-12
    assert not any("does not close" in warning for warning in found.warnings)


def test_unknown_words_are_counted_and_told() -> None:
    classifier = small_classifier()
    found = seqlrp.check(classifier, ["a good movie", "A  GOOD plot \x1b movie but", "bad"])
    assert found.tokens == 10
    assert found.unknown == {"movie": 2, "\x1b": 1}
    assert found.unknown_share == pytest.approx(0.3)
    (warning,) = [w for w in found.warnings if "unknown" in w]
    assert warning.startswith("30% of the words are unknown to the vocabulary, such as 'movie', '")
    assert "\x1b" not in warning
    assert found.summary().endswith("Words unknown to the vocabulary: 30%.")
    few = seqlrp.check(classifier, ["a good film and a bad movie"])
    assert 0 < few.unknown_share < 0.2
    assert not any("unknown" in warning for warning in few.warnings)
    made = report([1.0], ("tokens", ": embedding", [1.0]))
    assert np.isnan(made.unknown_share)
    assert "unknown" not in made.summary()


def test_a_large_epsilon_is_found_out() -> None:
    found = seqlrp.check(small_classifier(), some_texts(2), epsilon=100.0)
    assert found.words < 0.01
    (warning,) = found.warnings
    assert "is lost to the stabiliser" in warning
    assert "Take a smaller epsilon; it is 100, and 0 absorbs nothing." in warning
    assert next(iter(found.tried)) == 10


def test_a_large_percentage_is_found_out() -> None:
    found = seqlrp.check(small_classifier(), some_texts(2), epsilon="9000%")
    assert found.words < 0.1
    (warning,) = found.warnings
    assert "Take a smaller epsilon; it is 9000%, and 0 absorbs nothing. Tried" in warning
    *_, last = found.tried
    assert f"with epsilon={last}, {100 * found.tried[last]:.0f}% of the relevance" in warning


def test_biases_that_hold_everything_are_found_out() -> None:
    classifier = small_classifier()

    class Biased(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = classifier.model
            self.prior = nn.Linear(2, 2)
            with torch.no_grad():
                self.prior.weight.copy_(torch.eye(2))
                self.prior.bias.copy_(torch.tensor([50.0, 0.0]))

        def forward(self, ids: Tensor) -> Tensor:
            return self.prior(self.inner(ids))

    biased = TextClassifier(
        Biased().eval(), classifier.vocabulary, classifier.labels, classifier.tokenizer
    )
    (warning,) = seqlrp.check(biased, some_texts(2)).warnings
    assert "stays in biases, above all at 'prior: linear'" in warning


def test_a_word_that_dominates_a_class_points_to_the_analysis() -> None:
    found = seqlrp.check(planted_classifier(), planted_corpus(60), first=60)
    assert len(found.strongest) == 60
    assert found.strongest.count(("positive", PLANTED)) == 15  # it stands in 15 of 30 texts
    (warning,) = (w for w in found.warnings if "seqlrp analyse" in w)
    assert f"{PLANTED!r} for 'positive' (the strongest word in 15 of 30 texts)" in warning
    few = dataclasses.replace(found, strongest=found.strongest[:6])
    assert not any("seqlrp analyse" in w for w in few.warnings)


def test_the_strongest_word_is_that_of_the_explanation() -> None:
    for options in ({}, {"hierarchical": True}):
        classifier = small_classifier(**options)
        texts = some_texts(20)
        found = seqlrp.check(classifier, texts, batch_tokens=60)
        explanations = seqlrp.explain(classifier, texts)
        wanted = [(e.target_label, e.tokens[int(e.relevance.argmax())]) for e in explanations]
        assert list(found.strongest) == wanted
