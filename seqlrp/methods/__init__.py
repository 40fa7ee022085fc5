"""Methods of attribution, one protocol: `attribution(ids, target, …)` gives relevance and scores.

`METHODS` is a plain dict, name to class; add your own. A class takes the model first, and its
options after that.
"""

from seqlrp.lrp import LRP
from seqlrp.methods.deeplift import DeepLIFT, DeepSHAP
from seqlrp.methods.explainer import Explainer
from seqlrp.methods.gradient import GradientXInput, Sensitivity
from seqlrp.methods.occlusion import Occlusion
from seqlrp.methods.protocol import Method
from seqlrp.methods.random import Random

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (LRP, GradientXInput, Sensitivity, Occlusion, Random, DeepLIFT, DeepSHAP)
}

__all__ = [
    "METHODS",
    "DeepLIFT",
    "DeepSHAP",
    "Explainer",
    "GradientXInput",
    "Method",
    "Occlusion",
    "Random",
    "Sensitivity",
]
