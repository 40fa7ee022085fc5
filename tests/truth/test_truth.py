"""Texts of which the truth is known: the roles decide the label, the spans are where they say."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seqlrp.errors import CorpusError, LabelError, OptionError
from seqlrp.text import Corpus, SpacyTokenizer, load_corpus
from seqlrp.truth import Annotated, Span, hybrid_documents, planted, sentiment_language


def corpus(labels, texts=None, names=("a", "b", "c")):
    texts = [f"word{k} other{k}" for k in range(len(labels))] if texts is None else texts
    labels = None if labels is None else np.array(labels, np.int64)
    return Corpus("made", texts, labels, names)


def parts(annotated, row):
    text = annotated.corpus.texts[row]
    return [(text[s.start : s.end], s.kind, s.value) for s in annotated.spans[row]]


# The sentiment language


@pytest.fixture(scope="module")
def language():
    return sentiment_language(2000, seed=5, reported=0.5)


def test_by_default_it_is_the_corpus_generated():
    made, known = sentiment_language(), load_corpus("generated")
    assert made.corpus.texts == known.texts
    assert (made.corpus.labels == known.labels).all()
    assert made.corpus.label_names == known.label_names


def test_the_roles_decide_the_label(language):
    """Each opinion that counts, turned round by a negation before it, is the label."""
    for row, label in enumerate(language.corpus.labels):
        negated, opinions = False, []
        for _, kind, value in parts(language, row):
            if kind == "negation":
                negated = True
            elif kind == "sentiment":
                opinions.append(-value if negated else value)
                negated = False
        assert opinions
        assert set(opinions) == {1.0 if label else -1.0}


def test_without_the_roles_the_words_do_not_decide_it(language):
    """What distracts has either sign, so a count of good and bad words is often wrong."""
    sums = [sum(value for _, _, value in parts(language, row)) for row in range(len(language))]
    right = np.sign(sums) == 2 * language.corpus.labels - 1
    assert 0.3 < right.mean() < 0.7


def test_every_token_is_one_span(language):
    tokenizer = SpacyTokenizer()
    for row, text in enumerate(language.corpus.texts):
        found = [(span.start, span.end) for span in language.spans[row]]
        assert tokenizer(text).offsets.tolist() == [list(span) for span in found]


def test_a_word_means_the_same_wherever_it_stands(language):
    values = {}
    for row in range(len(language)):
        for word, kind, value in parts(language, row):
            if kind in ("sentiment", "distractor"):
                values.setdefault(word, set()).add(value)
            else:
                assert value == 0
    assert all(len(v) == 1 for v in values.values())


def test_reported_opinions_say_nothing_about_the_label():
    plain, reported = sentiment_language(3000, 2), sentiment_language(3000, 2, reported=1.0)
    assert reported.kinds == (
        *("contrast", "distractor", "filler", "intensifier", "negation", "sentiment"),
    )
    agree = []
    for row, label in enumerate(reported.corpus.labels):
        kinds = [kind for _, kind, _ in parts(reported, row)]
        assert "distractor" in kinds
        if "contrast" not in kinds:
            agree += [
                (value > 0) == label
                for _, kind, value in parts(reported, row)
                if kind == "distractor"
            ]
    assert 0.46 < np.mean(agree) < 0.54
    assert any("distractor" not in [k for _, k, _ in parts(plain, r)] for r in range(50))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": 0}, "size=0; expected a whole number, at least 1"),
        ({"size": True}, "size=True"),
        ({"reported": 1.5}, "reported=1.5; expected a finite number, at least 0"),
        ({"reported": float("nan")}, "reported=nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, reason):
    with pytest.raises(OptionError, match=reason):
        sentiment_language(**options)


# Annotated texts


def test_rationales_and_values_are_by_kind():
    made = Annotated(
        corpus([0, 1], ["good film", "bad"]),
        [(Span(0, 4, "sentiment", 1.0), Span(5, 9, "filler")), (Span(0, 3, "sentiment", -1.0),)],
    )
    assert made.kinds == ("filler", "sentiment")
    assert made.rationales("sentiment") == [[(0, 4)], [(0, 3)]]
    assert made.rationales() == [[(0, 4), (5, 9)], [(0, 3)]]
    assert made.values("sentiment") == [[(0, 4, 1.0)], [(0, 3, -1.0)]]
    assert parts(made.part([1]), 0) == [("bad", "sentiment", -1.0)]
    assert made.part([1]).corpus.labels.tolist() == [1]
    with pytest.raises(OptionError, match="Did you mean 'sentiment'"):
        made.rationales("sentiments")
    with pytest.raises(OptionError, match="Did you mean 'filler'"):
        made.values("fillers")


def test_spans_stand_in_their_text():
    with pytest.raises(CorpusError, match="spans of 1 texts for 2"):
        Annotated(corpus([0, 1]), [()])
    for span in (Span(0, 5, "x"), Span(2, 2, "x"), Span(-1, 2, "x")):
        with pytest.raises(CorpusError, match="Text 0 has 4 characters"):
            Annotated(corpus([0], ["word"]), [(span,)])


def test_a_split_keeps_spans_with_their_texts(language):
    left, held_out = language.split(0.25, seed=3)
    expected = language.corpus.split(0.25, seed=3)
    for part, same in zip((left, held_out), expected, strict=True):
        assert part.corpus.texts == same.texts
        assert (part.corpus.labels == same.labels).all()
    spans = dict(zip(language.corpus.texts, language.spans, strict=True))
    assert all(spans[t] == s for t, s in zip(held_out.corpus.texts, held_out.spans, strict=True))


# Hybrid documents


@given(
    labels=st.lists(st.integers(0, 2), min_size=4, max_size=40),
    sentences=st.integers(2, 6),
    seed=st.integers(0, 5),
)
def test_hybrid_documents_are_made_of_the_texts(labels, sentences, seed):
    whole = corpus(labels)
    classes = dict(zip(whole.texts, labels, strict=True))
    try:
        made = hybrid_documents(whole, sentences, seed)
    except CorpusError:
        return
    used = []
    for row, text in enumerate(made.corpus.texts):
        pieces = parts(made, row)
        assert " ".join(piece for piece, _, _ in pieces) == text
        assert len(pieces) == sentences
        assert len({kind for _, kind, _ in pieces}) > 1
        for piece, kind, value in pieces:
            assert (kind, value) == ("abc"[classes[piece]], classes[piece])
        used += [piece for piece, _, _ in pieces]
    assert len(set(used)) == len(used)
    again = hybrid_documents(whole, sentences, seed)
    assert again.corpus.texts == made.corpus.texts
    assert made.corpus.labels is None


def test_no_text_is_left_out_but_the_rest():
    made = hybrid_documents(corpus([0, 1] * 10), 20)
    assert len(made) == 1
    assert sorted(p for p, _, _ in parts(made, 0)) == sorted(corpus([0, 1] * 10).texts)


def test_another_seed_gives_other_hybrids():
    whole = corpus([0, 1] * 20)
    first, second = (hybrid_documents(whole, 4, seed).corpus.texts for seed in (0, 1))
    assert first != second


def test_hybrids_that_cannot_be_made_are_refused():
    with pytest.raises(OptionError, match="sentences=1"):
        hybrid_documents(corpus([0, 1]), 1)
    with pytest.raises(CorpusError, match="no labels"):
        hybrid_documents(corpus(None, ["x"]), 2)
    with pytest.raises(CorpusError, match="too few for a document of 2 with two classes"):
        hybrid_documents(corpus([0, 0, 0]), 2)


# Planted artefacts


@given(share=st.floats(0.01, 1), seed=st.integers(0, 20), label=st.sampled_from(["a", 1, None]))
def test_the_artefact_stands_where_the_span_says(share, seed, label):
    texts = ["one", "two words", " three  of us ", "now four of them", "x\ny"] * 4
    whole = corpus([k % 3 for k in range(20)], texts)
    made = planted(whole, "@web", label, share, seed)
    members = [k for k in range(20) if label is None or k % 3 == (0 if label == "a" else 1)]
    touched = [row for row, spans in enumerate(made.spans) if spans]
    assert len(touched) == max(1, round(share * len(members)))
    assert set(touched) <= set(members)
    for row, text in enumerate(made.corpus.texts):
        if row not in touched:
            assert text == texts[row]
            continue
        assert parts(made, row) == [("@web", "artefact", 1.0)]
        assert [w for w in text.split() if w != "@web"] == texts[row].split()
        assert text.split().count("@web") == 1
    assert (made.corpus.labels == whole.labels).all()


def test_places_of_the_artefact_are_all_over_the_text():
    whole = corpus([0] * 300, ["a b c"] * 300)
    made = planted(whole, "@web", 0, 1.0)
    places = np.bincount([text.split().index("@web") for text in made.corpus.texts], minlength=4)
    assert (places > 45).all()


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        (("", 0), OptionError, "without spaces"),
        ((" x", 0), OptionError, "without spaces"),
        (("x", 0, 0.0), OptionError, "share=0.0"),
        (("x", 0, 1.1), OptionError, "share=1.1"),
        (("x", "d"), LabelError, "no class 'd'"),
        (("x", 2), LabelError, "no text of the class 2"),
        (("WORD1", 0), CorpusError, "Text 1 of the corpus made has 'WORD1' in it already"),
    ],
)
def test_artefacts_that_cannot_be_planted_are_refused(arguments, error, reason):
    with pytest.raises(error, match=reason):
        planted(corpus([0, 1]), *arguments)


def test_a_corpus_without_labels_is_planted_as_a_whole():
    unlabelled = corpus(None, ["one", "two"])
    assert len(planted(unlabelled, "@web", None, 1.0).rationales("artefact")) == 2
    with pytest.raises(CorpusError, match="no labels"):
        planted(unlabelled, "@web", 0)
