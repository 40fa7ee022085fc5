"""Switches off units of a layer that carry a shortcut (FIND, Lertvittayakumjorn et al. 2020).

A unit is off when the weights that compute it are zero, so that nothing has to be added to the
model: the rows of a linear map or a convolution, the column of an embedding, and of a recurrent
layer the rows of what is written into the state (the candidate of an LSTM or GRU), whose state then
stays 0 at every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from seqlrp.engine.batches import batches_by_length
from seqlrp.errors import ModelError, OptionError, check_number
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.probes import Probes
from seqlrp.improving.retrained import copied
from seqlrp.improving.unit_sets import named_layer
from seqlrp.lrp import LRP
from seqlrp.models.classifier import TextClassifier

_CANDIDATE = {nn.LSTM: 2, nn.GRU: 2, nn.RNN: 0}  # which block of rows is written into the state
_TOKENS = 8192


def unit_count(classifier: TextClassifier, layer: str) -> int:
    """The number of units of a layer that can be switched off.

    Raises:
        OptionError: there is no such module.
        ModelError: a module whose units cannot be.
    """
    module = named_layer(classifier.model, layer)
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.Embedding):
        return module.embedding_dim
    if isinstance(module, _ConvNd):
        return module.out_channels
    if isinstance(module, nn.RNNBase) and not module.proj_size:
        return module.hidden_size * (2 if module.bidirectional else 1)
    raise ModelError(
        f"The units of {layer!r}, a {type(module).__name__}, cannot be switched off by weights of "
        "its own; expected a linear, recurrent or convolutional layer, or an embedding.",
        module=layer,
    )


def with_units_off(
    classifier: TextClassifier, units: Mapping[str, Sequence[int]]
) -> TextClassifier:
    """A classifier some units of which are always 0.

    Raises:
        OptionError: no such module or unit.
        ModelError: a module whose units cannot be switched off.
    """
    for layer, chosen in units.items():
        count = unit_count(classifier, layer)
        for unit in chosen:
            check_number("units", unit, least=0, below=count, whole=True)
    found = copied(classifier)
    with torch.no_grad():
        for layer, chosen in units.items():
            _switch_off(found.model.get_submodule(layer), list(chosen))
    return found


def _switch_off(module: nn.Module, units: list[int]) -> None:
    if isinstance(module, nn.Embedding):
        module.weight[:, units] = 0
        return
    if isinstance(module, nn.RNNBase):
        block = next(k for kind, k in _CANDIDATE.items() if isinstance(module, kind))
        for suffix, first in (("", 0), ("_reverse", module.hidden_size)):
            own = [u - first for u in units if 0 <= u - first < module.hidden_size]
            rows = [block * module.hidden_size + u for u in own]
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                weight = getattr(module, f"{name}_l{module.num_layers - 1}{suffix}", None)
                if weight is not None:
                    weight[rows] = 0
        return
    weights: Any = (module.weight, module.bias)
    for weight in weights:
        if weight is not None:
            weight[units] = 0


def default_layer(classifier: TextClassifier) -> str:
    """The last recurrent layer of a model.

    Raises:
        OptionError: there is none.
    """
    found = [name for name, m in classifier.model.named_modules() if isinstance(m, nn.RNNBase)]
    if not found:
        raise OptionError(
            "The model has no recurrent layer to switch units off in.",
            "Name the layer: layer='name'.",
            option="layer",
        )
    return str(found[-1])


def carriers(
    classifier: TextClassifier, layer: str, probes: Probes, lrp: LRP
) -> npt.NDArray[np.int64]:
    """The units of a layer, first that through which the shortcut brings most relevance.

    It is the mean over texts of the relevance of a unit for the class of the shortcut in the text
    with it less that in the text without it.
    """
    count = unit_count(classifier, layer)
    with_it, without = (
        _relevance(classifier, layer, texts, probes.shortcut.class_ or 0, lrp, count)
        for texts in (probes.put_in, probes.others)
    )
    return np.argsort(without - with_it, kind="stable").astype(np.int64)


def _relevance(
    classifier: TextClassifier,
    layer: str,
    texts: LabelledTexts,
    class_: int,
    lrp: LRP,
    count: int,
) -> npt.NDArray[np.float64]:
    """The mean relevance `[U]` of the units for a class."""
    single = len(classifier.labels) == 2 and classifier.single_output
    sign = -1.0 if single and class_ == 0 else 1.0
    total = np.zeros(count)
    for chosen in batches_by_length(texts.lengths, _TOKENS):
        batch = classifier.batch([texts.documents[k] for k in chosen])
        found = lrp.attribution(
            batch.ids,
            0 if single else class_,
            batch.additional or None,
            padding=~batch.words,
            account=False,
            units=[layer],
        )
        assert found.units is not None
        total += sign * found.units[layer].double().sum(dim=0).cpu().numpy()
    return total / max(len(texts), 1)
