"""Metrics by name: a plain dict, name to class; add your own.

A class takes its options; those named `ks` and `score` come from `seqlrp.evaluate`.
"""

from seqlrp.evaluation.agreement import Agreement
from seqlrp.evaluation.erasure import Comprehensiveness, Sufficiency
from seqlrp.evaluation.infidelity import Infidelity
from seqlrp.evaluation.metric import Metric
from seqlrp.evaluation.perturbation import Perturbation
from seqlrp.evaluation.stability import MaxSensitivity
from seqlrp.evaluation.word_deletion import WordDeletion

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        *(WordDeletion, Perturbation, Comprehensiveness, Sufficiency),
        *(Agreement, Infidelity, MaxSensitivity),
    )
}
