"""Units of a layer: the texts and words with the most relevance through them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier, some_texts

import seqlrp
from seqlrp.analysis.units import units
from seqlrp.analysis.vectors import document_vectors
from seqlrp.errors import OptionError

LAYER = "encoder.recurrence"


@pytest.mark.parametrize("hierarchical", [False, True])
def test_texts_and_words_of_units(hierarchical: bool) -> None:
    classifier = small_classifier(hierarchical=hierarchical)
    found = seqlrp.explain(classifier, some_texts(20), progress=False)
    one = units(found, classifier, LAYER, texts=3, words=4, progress=False)
    relevance = document_vectors(found, classifier, f"layer:{LAYER}", progress=False)
    for unit, rows in one.texts.groupby("unit"):
        top = np.argsort(-relevance[:, int(str(unit))], kind="stable")[: len(rows)]
        assert rows["document"].tolist() == top.tolist()
        np.testing.assert_allclose(rows["relevance"], relevance[top, int(str(unit))], rtol=1e-5)
    lrp = seqlrp.LRP(classifier.model)
    unit = int(one.texts["unit"].iloc[0])
    sums: dict[str, float] = {}
    for k in one.texts.loc[one.texts["unit"] == unit, "document"]:
        encoded = list(classifier.encode([found[k].text]))
        batch = classifier.batch(encoded)
        passed = lrp.attribute(batch.ids, found[k].target, through={LAYER: [unit]})
        for token, value in zip(found[k].tokens, passed[batch.words].tolist(), strict=True):
            sums[token] = sums.get(token, 0) + value
    words = one.words[one.words["unit"] == unit]
    best = sorted((value for value in sums.values() if value > 0), reverse=True)[:4]
    np.testing.assert_allclose(words["relevance"], best, rtol=1e-4, atol=1e-7)
    shares = one.classes.groupby("class")["share"].sum()
    np.testing.assert_allclose(shares, 1)


def test_chosen_units_and_refusals() -> None:
    classifier = small_classifier()
    found = seqlrp.explain(classifier, some_texts(6), progress=False)
    some = units(found, classifier, LAYER, chosen=[4, 1], progress=False)
    assert set(some.classes["unit"]) == {1, 4}
    assert set(some.texts["unit"]) <= {1, 4}
    with pytest.raises(OptionError):
        units(found, classifier, LAYER, chosen=[99], progress=False)
    with pytest.raises(OptionError):
        units(found, classifier, "nowhere", progress=False)
    other = seqlrp.explain(classifier, some_texts(3), "gradient_x_input", progress=False)
    with pytest.raises(OptionError, match="gradient_x_input"):
        units(other, classifier, LAYER, progress=False)
    assert units([], classifier, LAYER, progress=False).texts.empty


def test_a_layer_without_relevance() -> None:
    classifier = small_classifier()
    torch.nn.init.zeros_(classifier.model.get_submodule("head").weight)  # type: ignore[arg-type]
    found = seqlrp.explain(classifier, some_texts(4), progress=False)
    none = units(found, classifier, LAYER, progress=False)
    assert none.texts.empty
    assert (none.classes["share"] == 0).all()
