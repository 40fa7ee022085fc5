"""What readers call the methods of explanation."""

from __future__ import annotations

_TITLES = {
    "chosen": "the chosen method",
    "class_activation": "class activation",
    "contextual_decomposition": "contextual decomposition",
    "input_reduction": "input reduction",
    "integrated_gradients": "integrated gradients",
    "lrp": "LRP",
    "deep_taylor": "deep Taylor",
    "deeplift": "DeepLIFT",
    "deepshap": "DeepSHAP",
    "gradient_x_input": "gradient × input",
    "kernel_shap": "Kernel SHAP",
    "lime": "LIME",
    "random": "random order",
    "shapley": "Shapley values",
    "smoothgrad": "SmoothGrad",
    "taylor": "Taylor",
}


def method_title(method: str) -> str:
    """The name of a method for readers; one that is not known is returned as it is written."""
    return _TITLES.get(method, method)
