"""Methods of attribution, one protocol: `attribution(ids, target, …)` gives relevance and scores.

`METHODS` is a plain dict, name to class; add your own. A class takes the model first, and its
options after that.
"""

from seqlrp.lrp import LRP
from seqlrp.methods.attention_weights import AttentionWeights
from seqlrp.methods.class_activation import ClassActivation
from seqlrp.methods.contextual_decomposition import ContextualDecomposition
from seqlrp.methods.deeplift import DeepLIFT, DeepSHAP
from seqlrp.methods.explainer import Explainer
from seqlrp.methods.gradient import GradientXInput, Sensitivity
from seqlrp.methods.input_reduction import InputReduction
from seqlrp.methods.kernel_shap import KernelSHAP
from seqlrp.methods.lime import LIME
from seqlrp.methods.occlusion import Occlusion
from seqlrp.methods.outside import Outside
from seqlrp.methods.path import IntegratedGradients
from seqlrp.methods.position import Position
from seqlrp.methods.protocol import Method
from seqlrp.methods.random import Random
from seqlrp.methods.shapley import Shapley
from seqlrp.methods.smooth_gradient import SmoothGrad
from seqlrp.methods.taylor import DeepTaylor, Taylor

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        LRP,
        DeepTaylor,
        GradientXInput,
        Sensitivity,
        SmoothGrad,
        IntegratedGradients,
        Taylor,
        DeepLIFT,
        DeepSHAP,
        ClassActivation,
        Occlusion,
        Shapley,
        KernelSHAP,
        LIME,
        ContextualDecomposition,
        InputReduction,
        AttentionWeights,
        Position,
        Random,
    )
}

__all__ = [
    "LIME",
    "METHODS",
    "AttentionWeights",
    "ClassActivation",
    "ContextualDecomposition",
    "DeepLIFT",
    "DeepSHAP",
    "DeepTaylor",
    "Explainer",
    "GradientXInput",
    "InputReduction",
    "IntegratedGradients",
    "KernelSHAP",
    "Method",
    "Occlusion",
    "Outside",
    "Position",
    "Random",
    "Sensitivity",
    "Shapley",
    "SmoothGrad",
    "Taylor",
]
