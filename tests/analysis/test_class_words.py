"""Words of a class: what the model uses comes first, and what is merely frequent does not."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st
from oracles import distinctive_words as oracle
from samples.clusters import explained
from samples.explanations import EVERY, explanation

from seqlrp.analysis.class_words import (
    FREQUENT_BUT_NOT_USED,
    USED_BUT_RARE,
    class_shares,
    class_words,
    distinctiveness,
)
from seqlrp.analysis.terms import count_terms
from seqlrp.errors import InputError, OptionError
from seqlrp.explanations.record import Explanation
from seqlrp.explanations.summaries import summarise

COLUMNS = ["class", "word", "mean", "low", "high", "sum", "documents", "count", "tfidf"]
COLUMNS += ["distinctive", "use"]


def corpus(count: int = 120) -> list[Explanation]:
    """Texts of two classes: "the" everywhere, "film" in class 1 only and unused, "great" used."""
    drawn = np.random.default_rng(0)
    made = []
    for k in range(count):
        words = ["the"] * 6 + (["film"] if k % 2 else ["plot"])
        relevance = [0.02] * 6 + [0.0]
        if k % 2:
            words += ["great"]
            relevance += [1.0 + 0.1 * drawn.normal()]
            if k == 7:
                words += ["superb", "superb"]
                relevance += [1.5, 1.5]
        noise = 1e-3 * drawn.normal(size=len(words))
        made.append(explained(words, np.array(relevance) + noise, target=k % 2, predicted=k % 2))
    return made


def test_used_words_come_first_and_common_ones_do_not() -> None:
    table = class_words(corpus())
    assert list(table.columns) == COLUMNS
    one = table[table["class"] == "positive"].set_index("word")
    assert list(one.index) == ["great", "the", "film"]
    assert one.loc["the", "count"] == 360
    assert one.loc["great", "mean"] == pytest.approx(1, abs=0.05)
    assert one.loc["great", "low"] < one.loc["great", "mean"] < one.loc["great", "high"]
    assert one.loc["film", "use"] == FREQUENT_BUT_NOT_USED
    np.testing.assert_allclose(one["distinctive"], [1, 0, 1])
    assert one.loc[["the", "great"], "use"].tolist() == ["", ""]


def test_rare_words_are_there_where_asked_for() -> None:
    table = class_words(corpus(), min_documents=1).set_index("word")
    assert table.loc["superb", "documents"] == 1
    assert np.isnan(table.loc["superb", "low"])
    assert table.loc["superb", "use"] == ""  # one text is no evidence
    texts = corpus(400)
    for k in range(35):  # more distinctive words, of the same use
        texts += [explained([f"w{k}"], [1.0 + d / 10], target=1, predicted=1) for d in range(3)]
    texts[7] = explained(["superb", "the"], [2.0, 0.0], target=1, predicted=1)
    texts[11] = explained(["superb", "the"], [2.1, 0.0], target=1, predicted=1)
    table = class_words(texts, min_documents=1)
    assert table.set_index("word").loc["superb", "use"] == USED_BUT_RARE


def test_relevance_agrees_with_the_summary_of_words() -> None:
    texts = corpus()
    table = class_words(texts, min_documents=1).sort_values(["class", "word"])
    other = summarise(texts).sort_values(["target_label", "word"])
    assert table["word"].tolist() == other["word"].tolist()
    for name, same in (("mean", "mean"), ("low", "low"), ("high", "high"), ("sum", "sum")):
        np.testing.assert_allclose(table[name], other[same], rtol=1e-5, atol=1e-9)
    assert table["count"].tolist() == other["occurrences"].tolist()


def test_tfidf_is_the_mean_over_documents() -> None:
    texts = [explained(["a", "a", "b"], [0, 0, 0]), explained(["b", "c"], [0, 0])]
    table = class_words(texts, min_documents=1).set_index("word")["tfidf"]
    assert table["a"] == pytest.approx(2 / 3 * np.log(2) / 2)
    assert table["b"] == 0  # in every document
    assert table["c"] == pytest.approx(1 / 2 * np.log(2) / 2)


def test_distinctive_words_by_hand() -> None:
    """Shares of documents .5, .25 and 0 in three classes: t = .5, f = .125 + .125."""
    texts = [[["w"], ["x"]], [["w"], ["x"], ["x"], ["x"]], [["x"]]]
    classes = np.repeat(range(3), [2, 4, 1])
    terms = count_terms([explained(words, [0]) for part in texts for words in part])
    shares = class_shares(terms.counts, classes)
    places = np.array([terms.names.index("w"), terms.names.index("x")])
    first = distinctiveness(shares, 0, places)
    assert first[0] == pytest.approx((0.25 + (2 - 1) / 3) / 2)
    assert first[1] == 0
    third = distinctiveness(shares, 2, places)
    assert third[0] == 0  # never there
    mean, spread = (0.5 + 0.75) / 2, 0.125
    assert third[1] == pytest.approx(((1 - mean - spread) + (1 / (mean + spread) - 1) / 3) / 2)


@given(st.lists(st.tuples(st.integers(0, 3), st.lists(st.sampled_from("abcdef"), max_size=6))))
def test_distinctive_words_agree_with_the_loops_of_the_oracle(
    given_texts: list[tuple[int, list[str]]],
) -> None:
    classes = np.array([class_ for class_, _ in given_texts], np.int64)
    documents = [words for _, words in given_texts]
    if len(set(classes.tolist())) < 2 or not any(documents):
        return
    expected = oracle.distinctive_words(documents, classes.tolist())
    terms = count_terms([explained(words, [0.0] * len(words)) for words in documents])
    shares = class_shares(terms.counts, classes)
    places = np.arange(len(terms.names))
    for row, class_ in enumerate(sorted(expected)):
        score = dict(zip(terms.names, distinctiveness(shares, row, places), strict=True))
        assert score == pytest.approx(expected[class_], abs=1e-6)


def test_ngrams_stay_within_sentences_and_sentences_are_terms() -> None:
    text = explained(
        ["not", "bad", ".", "Not", "good"], [1, 2, 0, 4, -8],
        sentences=np.array([0, 0, 0, 1, 1], np.int32),
    )  # fmt: skip
    pairs = class_words([text], by="ngram").set_index("word")["sum"]
    assert pairs.to_dict() == {"not bad": 3, "bad .": 2, "not good": -4}
    assert class_words([text], by="ngram", length=9).empty
    triples = class_words([text], by="ngram", length=3, fold_case=False)["word"].tolist()
    assert triples == ["not bad ."]
    sentences = class_words([text], by="sentence").set_index("word")["sum"]
    assert sentences.to_dict() == {"not bad .": 3, "not good": -4}


def test_lemmas() -> None:
    pipeline = spacy.blank("en")
    pipeline.add_pipe("attribute_ruler").add([[{"LOWER": "films"}]], {"LEMMA": "film"})
    texts = [explained(["film", "films"], [1, 3])]
    found = class_words(texts, by="lemma", pipeline=pipeline).set_index("word")
    assert found.loc["film", ["sum", "count"]].tolist() == [4, 2]
    with pytest.raises(OptionError, match="pipeline="):
        class_words(texts, by="lemma")


def test_every_class_counts_for_the_predicted_one() -> None:
    every = explanation(**EVERY, predicted=0)
    table = class_words([every, every], fold_case=False)
    assert set(table["class"]) == {"negative"}
    assert table["sum"].sum() == pytest.approx(2 * every.relevance[0].sum())


def test_degenerate_corpora() -> None:
    assert class_words([]).empty
    assert list(class_words([]).columns) == COLUMNS
    one = class_words([explained(["word"], [0.0])])
    assert one["word"].tolist() == ["word"]
    assert one[["low", "high", "distinctive"]].isna().all(axis=None)
    same = class_words([explained(["a", "b"], [1, 2])] * 6)
    assert (same["low"] == same["high"]).all()
    zero = class_words([explained(["a", "b"], [0, 0])] * 6)
    assert (zero["mean"] == 0).all()
    assert class_words([explained([], [])] * 3).empty


def test_thousands_of_classes() -> None:
    labels = tuple(f"class {k}" for k in range(1000))
    scores = np.zeros(1000)
    texts = [
        explained(
            [f"w{k}", "the"], [1, 0], labels=labels, target=k, predicted=k, label=k, scores=scores
        )
        for k in range(1000)
    ]
    table = class_words(texts)
    assert len(table) == 2000
    assert (table.groupby("class")["word"].first() != "the").all()


def test_methods_are_not_mixed() -> None:
    with pytest.raises(InputError, match="gradient"):
        class_words([explained(["a"], [1]), explained(["a"], [1], method="gradient")])
    with pytest.raises(OptionError):
        class_words([], by="letter")  # type: ignore[arg-type]
