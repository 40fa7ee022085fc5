"""Explains LSTM and GRU text classifiers by layer-wise relevance propagation."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from seqlrp import errors as errors
    from seqlrp import rules as rules
    from seqlrp import scale as scale
    from seqlrp import truth as truth
    from seqlrp.analysis.analyse import analyse
    from seqlrp.analysis.choice import Choice
    from seqlrp.analysis.choose import choose
    from seqlrp.analysis.compare import compare
    from seqlrp.analysis.corpus_analysis import CorpusAnalysis
    from seqlrp.analysis.vectors import document_vectors
    from seqlrp.evaluation import METRICS, EvaluationReport, evaluate
    from seqlrp.explaining.check import check
    from seqlrp.explaining.check_report import CheckReport
    from seqlrp.explaining.explain import explain, iter_explanations
    from seqlrp.explanations.collection import Explanations
    from seqlrp.explanations.record import Explanation
    from seqlrp.improving.prune import prune
    from seqlrp.improving.prune_report import PruneReport
    from seqlrp.improving.repair import repair
    from seqlrp.improving.repair_report import RepairReport
    from seqlrp.lrp import LRP
    from seqlrp.methods import METHODS
    from seqlrp.models.classifier import TextClassifier
    from seqlrp.models.saving import load, save
    from seqlrp.models.training import fit
    from seqlrp.show import plots as plots
    from seqlrp.text.corpora import Corpus, load_corpus
    from seqlrp.text.tokens import SpacyTokenizer, TokenizedText
    from seqlrp.text.vectors import load_vectors
    from seqlrp.text.vocabulary import Vocabulary

# Where each public name stands. A name is imported when it is first asked for, so that what needs
# neither torch nor spaCy, such as `seqlrp --help`, does not wait for them.
_HOMES = {
    "seqlrp.analysis.analyse": ("analyse",),
    "seqlrp.analysis.choice": ("Choice",),
    "seqlrp.analysis.choose": ("choose",),
    "seqlrp.analysis.compare": ("compare",),
    "seqlrp.analysis.corpus_analysis": ("CorpusAnalysis",),
    "seqlrp.analysis.vectors": ("document_vectors",),
    "seqlrp.evaluation": ("METRICS", "EvaluationReport", "evaluate"),
    "seqlrp.explaining.check": ("check",),
    "seqlrp.explaining.check_report": ("CheckReport",),
    "seqlrp.explaining.explain": ("explain", "iter_explanations"),
    "seqlrp.explanations.collection": ("Explanations",),
    "seqlrp.explanations.record": ("Explanation",),
    "seqlrp.improving.prune": ("prune",),
    "seqlrp.improving.prune_report": ("PruneReport",),
    "seqlrp.improving.repair": ("repair",),
    "seqlrp.improving.repair_report": ("RepairReport",),
    "seqlrp.lrp": ("LRP",),
    "seqlrp.methods": ("METHODS",),
    "seqlrp.models.classifier": ("TextClassifier",),
    "seqlrp.models.saving": ("load", "save"),
    "seqlrp.models.training": ("fit",),
    "seqlrp.text.corpora": ("Corpus", "load_corpus"),
    "seqlrp.text.tokens": ("SpacyTokenizer", "TokenizedText"),
    "seqlrp.text.vectors": ("load_vectors",),
    "seqlrp.text.vocabulary": ("Vocabulary",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MODULES = {
    "errors": "seqlrp.errors",
    "plots": "seqlrp.show.plots",
    "rules": "seqlrp.rules",
    "scale": "seqlrp.scale",
    "truth": "seqlrp.truth",
}

__all__ = [
    "LRP",
    "METHODS",
    "METRICS",
    "CheckReport",
    "Choice",
    "Corpus",
    "CorpusAnalysis",
    "EvaluationReport",
    "Explanation",
    "Explanations",
    "PruneReport",
    "RepairReport",
    "SpacyTokenizer",
    "TextClassifier",
    "TokenizedText",
    "Vocabulary",
    "analyse",
    "check",
    "choose",
    "compare",
    "document_vectors",
    "evaluate",
    "explain",
    "fit",
    "iter_explanations",
    "load",
    "load_corpus",
    "load_vectors",
    "prune",
    "repair",
    "rules",
    "save",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    found: Any
    if name in _HOME:
        found = getattr(import_module(_HOME[name]), name)
    elif name in _MODULES:
        found = import_module(_MODULES[name])
    elif name == "__version__":
        found = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("seqlrp")
    except metadata.PackageNotFoundError:  # a copy of the source that is not installed
        return "unknown"


def __dir__() -> list[str]:
    """The public names."""
    return sorted({*__all__, *_MODULES, "__version__"})
