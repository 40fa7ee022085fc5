"""Attribution methods with one interface: `attribution(ids, target, …)` returns an `Attribution`.

`METHODS` is a plain dict, name to class; add your own. A class derives from `Explainer`, whose
`attribution` checks the call; it defines `compute`, and takes the model first and its options after
that.
"""

from seqlrp.engine.explainer import Explainer, Method
from seqlrp.lrp import LRP
from seqlrp.methods.controls.attention_weights import AttentionWeights
from seqlrp.methods.controls.position import Position
from seqlrp.methods.controls.random import Random
from seqlrp.methods.decomposition.contextual_decomposition import ContextualDecomposition
from seqlrp.methods.deeplift import DeepLIFT, DeepSHAP
from seqlrp.methods.gradients.class_activation import ClassActivation
from seqlrp.methods.gradients.gradient import GradientXInput, Sensitivity
from seqlrp.methods.gradients.integrated_gradients import IntegratedGradients
from seqlrp.methods.gradients.smooth_gradient import SmoothGrad
from seqlrp.methods.gradients.taylor import DeepTaylor, Taylor
from seqlrp.methods.outside import Outside
from seqlrp.methods.removal.input_reduction import InputReduction
from seqlrp.methods.removal.kernel_shap import KernelSHAP
from seqlrp.methods.removal.lime import LIME
from seqlrp.methods.removal.occlusion import Occlusion
from seqlrp.methods.removal.shapley import Shapley

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
