"""Agreement with people against its definitions, written as loops over pairs and orders."""

from itertools import combinations, permutations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples.examples import examples

from seqlrp import evaluate, explain
from seqlrp.errors import InputError, LabelError, OptionError
from seqlrp.evaluation.correlation import kendall, midranks, spearman
from seqlrp.evaluation.metrics.agreement import (
    Agreement,
    auroc,
    average_precision,
    marked_words,
    pointing,
    span_relevance,
    token_f1,
    token_iou,
    tokens_inside,
    value_agreement,
)
from seqlrp.explanations.record import Explanation

MEASURES = (auroc, average_precision, pointing, token_f1, token_iou)


def documents(longest):
    """Relevance of few distinct values, so that many are equal, and marks on some words."""
    word = st.tuples(st.sampled_from([-1.5, -0.5, 0.0, 0.25, 2.0]), st.booleans())
    return st.lists(word, min_size=1, max_size=longest).map(
        lambda words: (np.array([r for r, _ in words]), np.array([m for _, m in words], bool))
    )


def undefined(marked):
    return marked.all() or not marked.any()


@given(documents(12))
def test_auroc_counts_pairs(document):
    relevance, marked = document
    won = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for a in relevance[marked]
        for b in relevance[~marked]
    ]
    expected = np.mean(won) if won else np.nan
    assert auroc(relevance, marked) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(documents(12))
def test_average_precision_is_a_mean_over_marked_words(document):
    relevance, marked = document
    precisions = []
    for r in relevance[marked]:
        upto = [m for s, m in zip(relevance, marked, strict=True) if s >= r]
        precisions.append(sum(upto) / len(upto))
    expected = np.nan if undefined(marked) else np.mean(precisions)
    assert average_precision(relevance, marked) == pytest.approx(expected, abs=1e-12, nan_ok=True)


@examples(60)
@given(documents(6))
def test_the_others_are_means_over_all_orders_of_equal_words(document):
    relevance, marked = document
    k = int(marked.sum())
    found = []
    for order in permutations(range(len(relevance))):
        ranked = sorted(order, key=lambda t: -relevance[t])  # stable: equal words as in `order`
        top, gold = set(ranked[:k]), set(np.flatnonzero(marked))
        both = len(top & gold)
        f1 = 2 * both / (len(top) + len(gold)) if k else np.nan
        iou = both / len(top | gold) if k else np.nan
        found.append((float(marked[ranked[0]]), f1, iou))
    expected = [np.nan] * 3 if undefined(marked) else np.mean(found, 0)
    for measure, value in zip((pointing, token_f1, token_iou), expected, strict=True):
        assert measure(relevance, marked) == pytest.approx(value, abs=1e-12, nan_ok=True)


@given(documents(12), st.permutations(range(12)))
def test_the_order_of_the_words_does_not_matter(document, order):
    relevance, marked = document
    order = [k for k in order if k < len(relevance)]
    for measure in MEASURES:
        one, other = measure(relevance, marked), measure(relevance[order], marked[order])
        assert one == pytest.approx(other, abs=1e-12, nan_ok=True)


def test_evidence_against_is_below_nothing():
    """The sign counts: a marked word with much relevance against the class is found last."""
    relevance, marked = np.array([-9.0, 0.0, 1.0]), np.array([True, False, False])
    assert auroc(relevance, marked) == 0
    assert pointing(relevance, marked) == 0
    assert average_precision(relevance, marked) == pytest.approx(1 / 3)
    assert token_f1(relevance, marked) == token_iou(relevance, marked) == 0
    assert all(measure(-relevance, marked) == 1 for measure in MEASURES)


@pytest.mark.parametrize("measure", MEASURES)
def test_what_cannot_be_measured_is_missing_and_what_is_wrong_is_refused(measure):
    assert np.isnan(measure([1.0, 2.0], np.array([False, False])))
    assert np.isnan(measure([1.0, 2.0], np.array([True, True])))
    assert np.isnan(measure([], np.zeros(0, bool)))
    with pytest.raises(InputError, match=r"marks int64 of the shape \[2\]"):
        measure([1.0, 2.0], np.array([1, 0]))
    with pytest.raises(InputError, match=r"shape \[3\]; expected \[T\] and bool \[T\]"):
        measure([1.0, 2.0], np.array([True, False, True]))
    with pytest.raises(InputError, match="NaN or infinite"):
        measure([1.0, np.nan], np.array([True, False]))


def test_chance_is_as_stated():
    """Random relevance of many documents gives 0.5, or the share of marked words."""
    random = np.random.default_rng(0)
    marked = np.array([True] * 3 + [False] * 9)
    found = np.array([[f(random.normal(size=12), marked) for f in MEASURES] for _ in range(4000)])
    mean = found.mean(0)
    assert mean[0] == pytest.approx(0.5, abs=0.01)
    assert mean[2] == pytest.approx(0.25, abs=0.02)
    assert mean[3] == pytest.approx(0.25, abs=0.02)
    # Hypergeometric: 3 of 12 drawn, 3 of them marked, j in both.
    iou = [len({0, 1, 2} & set(c)) / len({0, 1, 2} | set(c)) for c in combinations(range(12), 3)]
    assert mean[4] == pytest.approx(np.mean(iou), abs=0.02)


# Spans


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=8),
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=4),
)
def test_a_token_with_a_common_character_is_inside(lengths, spans):
    ends = np.cumsum([n + 1 for n in lengths]) - 1
    offsets = np.stack([ends - lengths, ends], 1)
    covered = {c for start, length in spans for c in range(start, start + length)}
    expected = [bool(covered & set(range(a, b))) for a, b in offsets.tolist()]
    found = tokens_inside(offsets.astype(np.int32), [(s, s + n) for s, n in spans])
    assert found.tolist() == expected


def test_a_span_sums_the_relevance_of_its_tokens():
    offsets = [(0, 3), (4, 8), (8, 9)]
    spans = [(0, 3), (4, 9), (0, 9), (3, 4), (5, 6)]
    found = span_relevance([1.0, 2.0, 4.0], offsets, spans)
    assert np.array_equal(found, [1, 6, 7, np.nan, 2], equal_nan=True)


@pytest.mark.parametrize("span", [(2, 2), (3, 1), (-1, 2)])
def test_a_span_of_nothing_is_refused(span):
    with pytest.raises(InputError, match=f"span from {span[0]} to {span[1]}"):
        tokens_inside([(0, 3)], [span])
    with pytest.raises(InputError, match=f"span from {span[0]} to {span[1]}"):
        span_relevance([1.0], [(0, 3)], [span])


# Correlations


pairs = st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), max_size=12)


@given(pairs)
def test_midranks_are_means_of_places(values):
    values = [a for a, _ in values]
    for value, rank in zip(values, midranks(values), strict=True):
        below = sum(v < value for v in values)
        assert rank == below + (values.count(value) + 1) / 2


@given(pairs)
def test_kendall_counts_pairs_that_agree(values):
    agree = differ = first = second = 0
    for (a, b), (c, d) in combinations(values, 2):
        agree += (a - c) * (b - d) > 0
        differ += (a - c) * (b - d) < 0
        first += a != c
        second += b != d
    expected = (agree - differ) / np.sqrt(first * second) if first * second else np.nan
    found = kendall([a for a, _ in values], [b for _, b in values])
    assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


@given(pairs)
def test_spearman_is_the_correlation_of_ranks(values):
    one, other = [a for a, _ in values], [b for _, b in values]
    if len(set(one)) < 2 or len(set(other)) < 2:
        assert np.isnan(spearman(one, other))
        return
    expected = np.corrcoef(midranks(one), midranks(other))[0, 1]
    assert spearman(one, other) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("correlation", [spearman, kendall])
def test_correlations_by_hand_and_refusals(correlation):
    assert correlation([1, 2, 3], [10, 20, 40]) == 1
    assert correlation([1, 2, 3], [5, 4, -3]) == -1
    with pytest.raises(InputError, match="3 values to correlate with 2"):
        correlation([1, 2, 3], [1, 2])
    with pytest.raises(InputError, match="finite"):
        correlation([1, np.nan], [1, 2])


# Corpora


def explanation(relevance, text="good film indeed", **options):
    tokens = text.split()
    ends = np.cumsum([len(t) + 1 for t in tokens]) - 1
    starts = ends - [len(t) for t in tokens]
    given_ = {
        "text": text,
        "tokens": tuple(tokens),
        "offsets": np.stack([starts, ends], 1).astype(np.int32),
        "relevance": np.array(relevance, np.float32),
        "target": 1,
        "predicted": 1,
        "label": 1,
        "scores": np.zeros(2, np.float32),
        "labels": ("negative", "positive"),
        "method": "made",
    }
    return Explanation(**(given_ | options))


def explained(of_label, rationales, labels=None):
    return SimpleNamespace(
        documents=of_label,
        numbers=range(3, 3 + len(of_label)),
        of_label=of_label,
        labels=[1] * len(of_label) if labels is None else labels,
        rationales=rationales,
        method="made",
        order=0,
        explainer=None,
    )


def test_the_metric_gives_each_measure_of_each_document():
    made = explained(
        [explanation([3, 1, 2]), None, explanation([1, 1, 1])],
        [np.array([0.5, 0.4, 0.0]), np.array([1.0, 0, 0]), np.array([1.0, 1.0, 1.0])],
    )
    metric = Agreement()
    metric.update(made)
    table = metric.compute().set_index(["metric", "document"])["value"]
    assert set(table.index.get_level_values(0)) == set(metric.quantities)
    for name in metric.measures:
        assert table[name, 3] == 1
        assert np.isnan(table[name, 4])
        assert np.isnan(table[name, 5])
    assert table["marked"].tolist() == pytest.approx([1 / 3, 1 / 3, 1])
    whole = Agreement()
    whole.merge(metric)
    assert whole.compute().equals(metric.compute())


def test_the_metric_asks_for_what_it_needs():
    with pytest.raises(OptionError, match="'agreement' compares with the words that people"):
        Agreement().update(explained([explanation([3, 1, 2])], None))
    with pytest.raises(LabelError, match="needs the true class"):
        Agreement().update(explained([explanation([3, 1, 2])], [np.zeros(3)], [None]))


def test_evaluate_takes_the_words_that_people_marked(classifier):
    texts = ["a good film", "not bad at all", "very dull"]
    spans = [[(2, 6)], [(0, 7)], []]
    rationales = marked_words(classifier, texts, spans)
    assert [r.tolist() for r in rationales] == [
        [False, True, False],
        [True, True, False, False],
        [False, False],
    ]
    report = evaluate(
        classifier,
        texts,
        [1, 0, 0],
        methods=["lrp"],
        metrics=["agreement", "infidelity", "max_sensitivity"],
        rationales=rationales,
        min_words=1,
        progress=False,
    )
    explanations = explain(classifier, texts, target="label", labels=[1, 0, 0], progress=False)
    table = report.table.set_index(["metric", "document"])["value"]
    for number, (e, inside) in enumerate(zip(explanations, rationales, strict=True)):
        expected = auroc(e.relevance, inside)
        assert table["auroc", number] == pytest.approx(expected, nan_ok=True)
    assert np.isnan(table["auroc", 2])
    assert table["infidelity"].notna().all()
    assert table["max_sensitivity"].notna().all()
    assert "token f1" in report.summary().lower()
    with pytest.raises(InputError, match="rationales of 1 texts for 3"):
        marked_words(classifier, texts, spans[:1])
    with pytest.raises(InputError, match=r"Text 1 of 3 has 14 characters, .* at 15") as raised:
        marked_words(classifier, iter(texts), [[], iter([(0, 7), (9, 15)]), []])
    assert raised.value.text == 1


def test_values_of_phrases_are_compared_with_sums():
    text = "good film indeed"
    spans = [(0, 4, 1.0), (5, 9, 0.0), (0, 9, 2.0), (4, 5, 7.0)]  # the last one holds no word
    table = value_agreement([explanation([3, -1, 0], text)], [spans])
    assert table["metric"].tolist() == ["spearman", "kendall"]
    assert table["spans"].tolist() == [3, 3]
    assert table["value"].tolist() == pytest.approx(
        [spearman([3, -1, 2], [1, 0, 2]), kendall([3, -1, 2], [1, 0, 2])]
    )
    flat = value_agreement([explanation([0, 0, 0], text)], [spans])
    assert flat["value"].isna().all()


def test_values_that_do_not_fit_are_refused(classifier):
    with pytest.raises(InputError, match="values of 0 texts for 1"):
        value_agreement([explanation([1, 2, 3])], [])
    every = explain(classifier, ["a good film"], target="all", progress=False)
    with pytest.raises(OptionError, match="all classes"):
        value_agreement(every, [[(0, 1, 1.0)]])
