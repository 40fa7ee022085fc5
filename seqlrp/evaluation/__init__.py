"""Is it true? What a method names is put to the test, with figures that can be compared."""

from seqlrp.evaluation.agreement import Agreement, marked_words, value_agreement
from seqlrp.evaluation.cascade import Cascade
from seqlrp.evaluation.erasure import Comprehensiveness, Sufficiency
from seqlrp.evaluation.explained import Explained
from seqlrp.evaluation.hybrid import hybrid_pointing
from seqlrp.evaluation.infidelity import Infidelity
from seqlrp.evaluation.metric import Measured, Metric, Quantity
from seqlrp.evaluation.metrics import METRICS
from seqlrp.evaluation.perturbation import Perturbation
from seqlrp.evaluation.report import EvaluationReport
from seqlrp.evaluation.run import evaluate
from seqlrp.evaluation.sanity import cascading_randomisation, randomised_labels
from seqlrp.evaluation.stability import MaxSensitivity
from seqlrp.evaluation.word_deletion import WordDeletion

__all__ = [
    "METRICS",
    "Agreement",
    "Cascade",
    "Comprehensiveness",
    "EvaluationReport",
    "Explained",
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
