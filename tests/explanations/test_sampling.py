"""Each text of a class is drawn as often as any other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from samples.classifiers import small_classifier, some_texts

import seqlrp
from seqlrp.scale import draw_sample


def test_a_sample_is_stratified_seeded_and_fair() -> None:
    explained = seqlrp.explain(
        small_classifier(), some_texts(60), ids=range(60), method="random", progress=False
    )
    found = [replace(e, predicted=int(k < 40)) for k, e in enumerate(explained)]
    classes = np.array([e.predicted for e in found])
    drawn = np.zeros(60)
    for seed in range(300):
        sample = draw_sample(iter(found), per_class=5, seed=seed)
        ids = [int(e.id or 0) for e in sample]
        assert ids == sorted(ids)
        counts = [(classes[ids] == k).sum() for k in (0, 1)]
        assert counts == [min(5, (classes == k).sum()) for k in (0, 1)]
        drawn[ids] += 1
    for kind in (0, 1):
        members = drawn[classes == kind]
        expected = 300 * min(5, len(members)) / len(members)
        assert abs(members - expected).max() < 5 * np.sqrt(expected)
    again = [draw_sample(found, 5, seed=1)[k].id for k in range(5)]
    assert again == [draw_sample(iter(found), 5, seed=1)[k].id for k in range(5)]
