"""Removes the direction of a shortcut from what a layer reads, folded into its weights.

The direction v is the pattern of the shortcut: the mean difference of activations between texts
with and without it, which for a label of 0 and 1 is cov(a, y) / var(y) (Haufe et al. 2014). What
is removed of an activation h with the mean z of clean texts is

    h' = h - v uᵀ (h - z),   uᵀ v = 1.

With u = v / ‖v‖² that is P-ClArC (Anders et al. 2022), an orthogonal projection. It also takes out
what v has in common with the classes. With u = Σ⁻¹ v / (vᵀ Σ⁻¹ v), Σ the covariance of clean
texts, it is the projection that changes clean activations least, measured by Σ (Haufe's filter of
the pattern; LEACE, Belrose et al. 2023). For several directions V, uᵀ is (Vᵀ Σ⁻¹ V)⁻¹ Vᵀ Σ⁻¹.

A projection before a linear map is a change of its weights: W' = W - (W V) Uᵀ and
b' = b + (W V) Uᵀ z; of an embedding, one of its rows. So the model keeps its parts and is saved as
any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from seqlrp.engine.batches import batches_by_length
from seqlrp.errors import ModelError, OptionError
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.retrained import copied
from seqlrp.improving.unit_sets import named_layer
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import RecurrentClassifier

_RIDGE = 1e-3  # added to the covariance, as a share of its mean variance
_TOKENS = 8192


class Projection(NamedTuple):
    """h' = h - V Uᵀ (h - z), with U and V `[D, K]` and z `[D]`."""

    filters: Tensor
    patterns: Tensor
    centre: Tensor

    def apply(self, activations: Tensor) -> Tensor:
        """Project activations `[..., D]`."""
        along = (activations - self.centre) @ self.filters
        projected: Tensor = activations - along @ self.patterns.T
        return projected


def fit_projection(
    clean: Tensor, changes: Sequence[Tensor], *, directions: int, oblique: bool, spread: Tensor
) -> Projection:
    """Find the projection that removes the first directions of changes.

    Args:
        clean: activations of clean texts, `[N, D]`.
        changes: what each shortcut adds to them, `[N, D]` each. The first direction is their mean;
            the others are the principal axes of what is left of them.
        directions: of each shortcut.
        oblique: by the covariance of clean activations; False is P-ClArC's orthogonal projection.
        spread: that covariance, `[D, D]`.
    """
    patterns = torch.linalg.qr(
        torch.cat([_directions(change, directions) for change in changes], dim=1)
    ).Q
    filters = patterns
    if oblique:
        size = len(spread)
        ridge = _RIDGE * spread.trace() / size + torch.finfo(spread.dtype).tiny
        whitened = torch.linalg.solve(spread + ridge * torch.eye(size).to(spread), patterns)
        filters = whitened @ torch.linalg.inv(patterns.T @ whitened)
    return Projection(filters, patterns, clean.mean(dim=0))


def _directions(change: Tensor, count: int) -> Tensor:
    """The mean of rows `[N, D]`, and the principal axes of the rest: `[D, count]`, orthonormal."""
    mean = change.mean(dim=0)
    first: Tensor = mean / mean.norm().clamp(min=torch.finfo(mean.dtype).tiny)
    if count == 1:
        return first.unsqueeze(1)
    rest = change - (change @ first).unsqueeze(1) * first
    axes = torch.linalg.svd(rest, full_matrices=False).Vh[: count - 1]
    return torch.cat([first.unsqueeze(1), axes.T], dim=1)


def projectable_layers(classifier: TextClassifier, texts: LabelledTexts) -> list[str]:
    """The embedding of the words, and the last linear map: what a projection is tried on."""
    enough = [
        name
        for name, module in classifier.model.named_modules()
        if isinstance(module, nn.Embedding) and module.num_embeddings >= len(classifier.vocabulary)
    ]
    last = last_linear(classifier, texts)
    return [*enough[:1], *([] if last is None else [last])]


def last_linear(classifier: TextClassifier, texts: LabelledTexts) -> str | None:
    """The name of the `nn.Linear` that a model calls last."""
    own = copied(classifier)
    called: list[str] = []
    for name, module in own.model.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda *_, name=name: called.append(name))
    own.scores(texts.documents[:1])
    return called[-1] if called else None


class Activations:
    """What a layer reads of texts: the vectors of an embedding, or the inputs of a linear map.

    Raises:
        OptionError: there is no such module, or it is neither.
        ModelError: its weights are used elsewhere, too.
    """

    def __init__(self, classifier: TextClassifier, layer: str) -> None:
        self.layer, self._classifier = layer, copied(classifier)
        module = named_layer(self._classifier.model, layer)
        if not isinstance(module, nn.Embedding | nn.Linear):
            raise OptionError(
                option="layer",
                got=layer,
                expected="an nn.Embedding, whose vectors are projected, or an nn.Linear, whose "
                f"inputs are; {layer!r} is a {type(module).__name__}",
            )
        self.module = module
        shared = [p for _, p in self._classifier.model.named_parameters(remove_duplicate=False)]
        if sum(p is module.weight for p in shared) > 1:
            raise ModelError(
                f"The weights of {layer!r} are used by another module, too, and cannot be changed "
                "for one alone; name another layer.",
                module=layer,
            )

    def of(self, texts: LabelledTexts) -> Tensor:
        """The mean over the words of each text, float64 `[N, D]`."""
        if isinstance(self.module, nn.Embedding):
            table = self.module.weight.detach().double().cpu()
            means = [table[torch.from_numpy(d.ids)].mean(dim=0) for d in texts.documents]
            return torch.stack(means)
        found = torch.zeros(len(texts), self.module.in_features, dtype=torch.float64)
        read: list[Tensor] = []
        hook = self.module.register_forward_pre_hook(lambda _, given: read.append(given[0]))
        try:
            for chosen in batches_by_length(texts.lengths, _TOKENS):
                read.clear()
                documents = [texts.documents[k] for k in chosen]
                self._classifier.scores(documents)
                words = self._classifier.batch(documents).words
                found[chosen] = self._by_text(read, words).cpu()
        finally:
            hook.remove()
        return found

    def _by_text(self, read: list[Tensor], words: Tensor) -> Tensor:
        inputs = read[0].detach().double() if len(read) == 1 else None
        if inputs is not None and inputs.shape[:-1] == words.shape:
            weights = words.double().unsqueeze(-1)
            return (inputs * weights).flatten(1, -2).sum(1) / weights.flatten(1, -2).sum(1)
        if inputs is not None and inputs.ndim == 2 and len(inputs) == len(words):
            return inputs
        shapes = [list(tensor.shape) for tensor in read]
        raise OptionError(
            f"The layer {self.layer!r} reads {shapes or 'nothing'} for ids "
            f"{list(words.shape)}; expected a vector a text or a vector a word, once.",
            "Name another layer.",
            option="layer",
            got=self.layer,
        )

    def spread(self, texts: LabelledTexts, clean: Tensor) -> Tensor:
        """The covariance `[D, D]` of single words in an embedding, of texts elsewhere."""
        if isinstance(self.module, nn.Embedding):
            ids = torch.from_numpy(np.concatenate([d.ids for d in texts.documents]))
            return torch.cov(self.module.weight.detach().double().cpu()[ids].T)
        return torch.cov(clean.T)


def folded(classifier: TextClassifier, layer: str, projection: Projection) -> TextClassifier:
    """A classifier whose layer reads what a projection leaves, with the same parts.

    A linear map without a bias gets one. Of seqlrp's own models, only the head can have it; one of
    your own is saved with a factory that makes the layer with a bias.

    Raises:
        ModelError: a linear map within one of seqlrp's models, which has no bias.
    """
    module = classifier.model.get_submodule(layer)
    missing = isinstance(module, nn.Linear) and module.bias is None
    found = _with_bias(classifier, layer) if missing else copied(classifier)
    module = found.model.get_submodule(layer)
    with torch.no_grad():
        if isinstance(module, nn.Embedding):
            table = module.weight.double().cpu()
            changed = projection.apply(table)
            if module.padding_idx is not None:
                changed[module.padding_idx] = table[module.padding_idx]
            module.weight.copy_(changed)
            return found
        assert isinstance(module, nn.Linear)
        weight = module.weight.double().cpu()
        along = weight @ projection.patterns
        module.weight.copy_(weight - along @ projection.filters.T)
        module.bias.add_((along @ (projection.filters.T @ projection.centre)).to(module.bias))
    return found


def _with_bias(classifier: TextClassifier, layer: str) -> TextClassifier:
    model = classifier.model
    if not isinstance(model, RecurrentClassifier):
        found = copied(classifier)
        module: Any = found.model.get_submodule(layer)
        module.bias = nn.Parameter(module.weight.new_zeros(module.out_features))
        return found
    if layer != "head":
        raise ModelError(
            f"The layer {layer!r} has no bias, which the projection needs; name another layer.",
            module=layer,
        )
    with torch.random.fork_rng(devices=[]):  # new weights are drawn, and replaced
        built = type(model)(**{**model.arguments, "head_bias": True}).to(model.head.weight)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    weights["head.bias"] = model.head.weight.new_zeros(len(model.head.weight))
    built.load_state_dict(weights)
    for name, parameter in model.named_parameters():
        built.get_parameter(name).requires_grad_(parameter.requires_grad)
    return replace(classifier, model=built.eval())
