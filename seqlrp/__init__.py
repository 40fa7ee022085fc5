"""Explains LSTM and GRU text classifiers by layer-wise relevance propagation."""

from seqlrp import rules
from seqlrp.check_report import CheckReport
from seqlrp.checking import check
from seqlrp.evaluation import METRICS, EvaluationReport, evaluate
from seqlrp.explain import explain
from seqlrp.explanation import Explanation, Explanations
from seqlrp.lrp import LRP
from seqlrp.methods import METHODS
from seqlrp.saving import load, save
from seqlrp.text import Corpus, SpacyTokenizer, TokenizedText, Vocabulary, load_corpus, load_vectors
from seqlrp.text_classifier import TextClassifier
from seqlrp.training import fit

__all__ = [
    "LRP",
    "METHODS",
    "METRICS",
    "CheckReport",
    "Corpus",
    "EvaluationReport",
    "Explanation",
    "Explanations",
    "SpacyTokenizer",
    "TextClassifier",
    "TokenizedText",
    "Vocabulary",
    "check",
    "evaluate",
    "explain",
    "fit",
    "load",
    "load_corpus",
    "load_vectors",
    "rules",
    "save",
]
