"""Is it true? What a method names is put to the test, with figures that can be compared."""

from seqlrp.evaluation.erasure import Comprehensiveness, Sufficiency
from seqlrp.evaluation.explained import Explained
from seqlrp.evaluation.metric import Measured, Metric, Quantity
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.perturbation import Perturbation
from seqlrp.evaluation.report import EvaluationReport
from seqlrp.evaluation.run import evaluate
from seqlrp.evaluation.word_deletion import WordDeletion

__all__ = [
    "METRICS",
    "Comprehensiveness",
    "EvaluationReport",
    "Explained",
    "Measured",
    "Metric",
    "Perturbation",
    "Quantity",
    "Sufficiency",
    "WordDeletion",
    "evaluate",
]
