"""Evaluation of explanations: metrics, statistical comparisons and sanity checks."""

from seqlrp.evaluation.cascade import Cascade
from seqlrp.evaluation.documents import ExplainedDocuments
from seqlrp.evaluation.hybrid import hybrid_pointing
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.metrics.agreement import Agreement, marked_words, value_agreement
from seqlrp.evaluation.metrics.erasure import Comprehensiveness, Sufficiency
from seqlrp.evaluation.metrics.infidelity import Infidelity
from seqlrp.evaluation.metrics.metric import Measured, Metric, Quantity
from seqlrp.evaluation.metrics.perturbation import Perturbation
from seqlrp.evaluation.metrics.stability import MaxSensitivity
from seqlrp.evaluation.metrics.word_deletion import WordDeletion
from seqlrp.evaluation.report.report import EvaluationReport
from seqlrp.evaluation.run import evaluate
from seqlrp.evaluation.sanity import cascading_randomisation, randomised_labels

__all__ = [
    "METRICS",
    "Agreement",
    "Cascade",
    "Comprehensiveness",
    "EvaluationReport",
    "ExplainedDocuments",
    "Infidelity",
    "MaxSensitivity",
    "Measured",
    "Metric",
    "Perturbation",
    "Quantity",
    "Sufficiency",
    "WordDeletion",
    "cascading_randomisation",
    "evaluate",
    "hybrid_pointing",
    "marked_words",
    "randomised_labels",
    "value_agreement",
]
