"""Gives the layers of a model weights of other sizes, and the numbers that go with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules import batchnorm, conv

from seqlrp.engine.recurrent_calls import GATES

_RESIZED = "_seqlrp_resized"


def was_resized(model: nn.Module) -> bool:
    """Whether layers of a model have other sizes than its constructor gave them."""
    return hasattr(model, _RESIZED)


def replace_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Replace parameters and buffers in place, and the sizes that their layers state.

    A parameter keeps its `requires_grad`. Where a layer has no bias, it gets one that is named.

    Args:
        model: the model that is changed.
        weights: the new tensor of each parameter or buffer, by its name in the model.
    """
    changed = {}
    for name, value in weights.items():
        owner, _, own = name.rpartition(".")
        module = model.get_submodule(owner)
        changed[id(module)] = module
        if own in module._buffers:
            module._buffers[own] = value
            continue
        old = module._parameters[own]
        if old is None or old.shape != value.shape:
            setattr(model, _RESIZED, True)
        trained = value.is_floating_point() and (old is None or old.requires_grad)
        setattr(module, own, nn.Parameter(value, requires_grad=trained))
    for module in changed.values():
        _state_sizes(module)
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.flatten_parameters()


def _state_sizes(module: nn.Module) -> None:
    """Set the sizes that a layer states to those of its weights."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, nn.Embedding | nn.EmbeddingBag):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, nn.RNNBase):
        gates = GATES[module.mode.lower()]
        module.input_size = module.get_parameter("weight_ih_l0").shape[1]
        module.hidden_size = len(module.get_parameter("weight_hh_l0")) // gates
        if module.proj_size:
            module.proj_size = len(module.get_parameter("weight_hr_l0"))
    elif isinstance(module, nn.RNNCellBase):
        module.input_size, module.hidden_size = module.weight_ih.shape[1], module.weight_hh.shape[1]
    elif isinstance(module, conv._ConvNd) and module.groups == 1:
        first, second = module.weight.shape[:2]
        if module.transposed:
            first, second = second, first
        module.out_channels, module.in_channels = first, second
    elif isinstance(module, batchnorm._NormBase) and module.weight is not None:
        module.num_features = len(module.weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm) and module.weight is not None:
        module.normalized_shape = tuple(module.weight.shape)


def resize(model: nn.Module, shapes: Mapping[str, Iterable[int]]) -> None:
    """Give a model that is not trained weights of these shapes, where they are others.

    The new weights hold no values yet.
    """
    state = model.state_dict()
    replaced = {}
    for name, shape in shapes.items():
        old = state.get(name)
        if old is None:
            owner = next(iter(model.parameters()))
            replaced[name] = torch.empty(tuple(shape), device=owner.device, dtype=owner.dtype)
        elif tuple(old.shape) != tuple(shape):
            replaced[name] = old.new_empty(tuple(shape))
    replace_weights(model, replaced)
