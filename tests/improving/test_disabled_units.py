"""Units that are switched off are 0, and nothing else changes but by that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from samples.classifiers import small_classifier
from torch import nn

from seqlrp.errors import ModelError, OptionError
from seqlrp.improving.disabled_units import (
    carriers,
    default_layer,
    unit_count,
    with_units_off,
)
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.probes import Probes
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.lrp import LRP
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.corpora import Corpus


def outputs(classifier: TextClassifier, layer: str) -> torch.Tensor:
    """What a layer gives for a text, `[..., U]`."""
    seen: list[Any] = []
    module = classifier.model.get_submodule(layer)
    hook = module.register_forward_hook(lambda *given: seen.append(given[2]))
    classifier.scores(list(classifier.encode(["a good film and a bad plot", "dull"])))
    hook.remove()
    found = seen[0][0] if isinstance(seen[0], tuple) else seen[0]
    return found.data if isinstance(found, nn.utils.rnn.PackedSequence) else found


@pytest.mark.parametrize("options", [
    {"cell": "lstm"}, {"cell": "gru"}, {"cell": "gru", "layers": 2},
    {"cell": "lstm", "layers": 2, "bidirectional": False},
])  # fmt: skip
def test_units_of_a_recurrent_layer(options: dict[str, Any]) -> None:
    classifier = small_classifier(**options)
    layer, count = "encoder.recurrence", unit_count(classifier, "encoder.recurrence")
    off = [1, count - 1]
    before, after = (
        outputs(classifier, layer),
        outputs(with_units_off(classifier, {layer: off}), layer),
    )
    assert (after[:, off] == 0).all()
    assert (before[:, off] != 0).all()
    assert (after[:, [0, 2]] != 0).all()
    assert (outputs(classifier, layer) == before).all()


@pytest.mark.parametrize("layer", ["embedding", "encoder.projection", "head"])
def test_units_of_other_layers(layer: str) -> None:
    classifier = small_classifier()
    before, after = (
        outputs(classifier, layer),
        outputs(with_units_off(classifier, {layer: [1]}), layer),
    )
    kept = [k for k in range(unit_count(classifier, layer)) if k != 1]
    assert (after[..., 1] == 0).all()
    if layer != "head":
        assert torch.equal(after[..., kept], before[..., kept])


def test_the_unit_that_carries_a_word_comes_first() -> None:
    classifier = small_classifier(pooling="mean", layers=1, bidirectional=False)
    corpus = Corpus(
        "some", ["a good film", "a bad plot", "a dull film"], np.array([1, 0, 0]), classifier.labels
    )
    texts = LabelledTexts.read(classifier, corpus, np.arange(3))
    good = Shortcut("good", (("good",),), class_=1)
    probes = Probes.make(good, texts, Located(good, texts), np.random.default_rng(0))
    layer, lrp = default_layer(classifier), LRP(classifier.model)
    assert layer == "encoder.recurrence"
    order = carriers(classifier, layer, probes, lrp)
    gains = np.zeros(len(order))
    for with_it, without in zip(probes.put_in.documents, probes.others.documents, strict=True):
        for sign, document in ((1, with_it), (-1, without)):
            ids = torch.from_numpy(document.ids)[None]
            units = lrp.attribution(ids, 1, account=False, units=[layer]).units
            assert units is not None
            gains += sign * units[layer][0].numpy()
    assert order.tolist() == np.argsort(-gains).tolist()


def test_what_cannot_be_switched_off() -> None:
    classifier = small_classifier()
    with pytest.raises(OptionError, match="no layer 'lstm'"):
        unit_count(classifier, "lstm")
    with pytest.raises(OptionError, match="below 10"):
        with_units_off(classifier, {"encoder.recurrence": [10]})
    with pytest.raises(ModelError, match="cannot be switched off"):
        unit_count(classifier, "dropout")
