"""Is it true? What a method names is put to the test, with figures that can be compared.

`METRICS` is a plain dict, name to class; add your own. A class takes its options, and those named
`ks` and `score` come from `seqlrp.evaluate`.
"""

from seqlrp.evaluation.erasure import Comprehensiveness, Sufficiency
from seqlrp.evaluation.explained import Explained
from seqlrp.evaluation.metric import Measured, Metric, Quantity
from seqlrp.evaluation.perturbation import Perturbation
from seqlrp.evaluation.word_deletion import WordDeletion

METRICS: dict[str, type[Metric]] = {
    metric.name: metric for metric in (WordDeletion, Perturbation, Comprehensiveness, Sufficiency)
}

__all__ = [
    "METRICS",
    "Comprehensiveness",
    "Explained",
    "Measured",
    "Metric",
    "Perturbation",
    "Quantity",
    "Sufficiency",
    "WordDeletion",
]
