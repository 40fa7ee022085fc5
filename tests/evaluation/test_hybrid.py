"""The pointing game on hybrid documents, and what chance gets in it."""

import numpy as np
import pytest

from seqlrp import explain
from seqlrp.errors import InputError, LabelError, TargetError
from seqlrp.evaluation.hybrid import hybrid_pointing
from seqlrp.text import Corpus
from seqlrp.truth import hybrid_documents

GOOD, BAD = "a good bright story", "bad and dull plot but not very"


def hybrids(count=40, sentences=4, names=("negative", "positive")):
    texts = [(BAD, GOOD)[k % 2] for k in range(count)]
    labels = np.arange(count) % 2
    return hybrid_documents(Corpus("made", texts, labels, names), sentences, seed=1)


def test_hits_and_chance_are_those_of_the_definition(classifier):
    documents = hybrids()
    explanations = explain(classifier, documents.corpus.texts, target="all", progress=False)
    table = hybrid_pointing(explanations, documents).set_index(["document", "target"])
    assert len(table) == 2 * len(documents)
    for row, e in enumerate(explanations):
        for label, name in enumerate(e.labels):
            best = int(e.relevance[label].argmax())
            start = e.offsets[best, 0]
            piece = next(s for s in documents.spans[row] if s.start <= start < s.end)
            assert table.loc[(row, name), "value"] == float(piece.kind == name)
            here = sum(
                len(e.text[s.start : s.end].split()) for s in documents.spans[row] if s.kind == name
            )
            assert table.loc[(row, name), "chance"] == pytest.approx(here / len(e.tokens))


def test_a_random_order_hits_as_often_as_chance_says(classifier):
    documents = hybrids(200)
    tables = [
        hybrid_pointing(
            explain(
                classifier, documents.corpus.texts, "random", target="all", seed=s, progress=False
            ),
            documents,
        )
        for s in range(20)
    ]
    hits = np.mean([table["value"].mean() for table in tables])
    by_class = tables[0].groupby("target")["chance"].mean()
    found = np.mean([t.groupby("target")["value"].mean() for t in tables], axis=0)
    assert hits == pytest.approx(tables[0]["chance"].mean(), abs=0.03)
    assert found == pytest.approx(by_class.to_numpy(), abs=0.04)


def test_what_does_not_fit_is_refused(classifier):
    documents = hybrids(8)
    texts = documents.corpus.texts
    with pytest.raises(TargetError, match="explain with target='all'"):
        hybrid_pointing(explain(classifier, texts, target=1, progress=False), documents)
    every = explain(classifier, texts, target="all", progress=False)
    with pytest.raises(InputError, match="other texts"):
        hybrid_pointing(every[:1], documents)
    with pytest.raises(LabelError, match="'good', which the classifier does not have"):
        hybrid_pointing(every, hybrids(8, names=("negative", "good")))
