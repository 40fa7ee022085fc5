"""Methods of attribution, one protocol: `attribution(ids, target, …)` gives relevance and scores.

`METHODS` is a plain dict, name to class; add your own. A class takes the model first, and its
options after that.
"""

from seqlrp.lrp import LRP
from seqlrp.methods.contextual_decomposition import ContextualDecomposition
from seqlrp.methods.explainer import Explainer
from seqlrp.methods.gradient import GradientXInput, Sensitivity
from seqlrp.methods.input_reduction import InputReduction
from seqlrp.methods.kernel_shap import KernelSHAP
from seqlrp.methods.lime import LIME
from seqlrp.methods.occlusion import Occlusion
from seqlrp.methods.outside import Outside
from seqlrp.methods.protocol import Method
from seqlrp.methods.random import Random
from seqlrp.methods.shapley import Shapley

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        LRP,
        GradientXInput,
        Sensitivity,
        Occlusion,
        Shapley,
        KernelSHAP,
        LIME,
        ContextualDecomposition,
        InputReduction,
        Random,
    )
}

__all__ = [
    "LIME",
    "METHODS",
    "ContextualDecomposition",
    "Explainer",
    "GradientXInput",
    "InputReduction",
    "KernelSHAP",
    "Method",
    "Occlusion",
    "Outside",
    "Random",
    "Sensitivity",
    "Shapley",
]
