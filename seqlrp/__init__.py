"""Explains LSTM and GRU text classifiers by layer-wise relevance propagation."""

from typing import Any

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


def __getattr__(name: str) -> Any:
    """`seqlrp.plots`, which is loaded where it is asked for: Matplotlib takes its time."""
    if name == "plots":
        import seqlrp.plots

        return seqlrp.plots
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
