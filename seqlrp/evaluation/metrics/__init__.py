"""The metrics by name, `METRICS`: a dict from name to class, to which you can add your own.

`seqlrp.evaluate` makes metrics from their classes, and passes `ks` and `score` to those that take
them.
"""

from seqlrp.evaluation.metrics.agreement import Agreement
from seqlrp.evaluation.metrics.erasure import Comprehensiveness, Sufficiency
from seqlrp.evaluation.metrics.infidelity import Infidelity
from seqlrp.evaluation.metrics.metric import Metric
from seqlrp.evaluation.metrics.perturbation import Perturbation
from seqlrp.evaluation.metrics.stability import MaxSensitivity
from seqlrp.evaluation.metrics.word_deletion import WordDeletion

METRICS: dict[str, type[Metric]] = {
    metric.name: metric
    for metric in (
        *(WordDeletion, Perturbation, Comprehensiveness, Sufficiency),
        *(Agreement, Infidelity, MaxSensitivity),
    )
}
