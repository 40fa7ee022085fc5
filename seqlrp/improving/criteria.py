"""Scores the units of layers: how much a model would lose without each.

Yeom et al. 2021, "Pruning by explaining" (Pattern Recognition 115), section 3, for relevance;
Molchanov et al. 2017, "Pruning convolutional neural networks for resource efficient inference"
(ICLR), section 2.2, for the others. The contrast is not from a paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import conv
from tqdm import tqdm

from seqlrp.engine.batches import BatchTokens, Budget, in_batches
from seqlrp.engine.checks import select_output
from seqlrp.engine.nests import tensors_in
from seqlrp.errors import check_choice
from seqlrp.improving.instrumentation import Passages, instrumented_copy
from seqlrp.improving.unit_sets import UnitSet, own_slices
from seqlrp.lrp import LRP
from seqlrp.models.classifier import TextClassifier
from seqlrp.text.encoded import EncodedText

Scores: TypeAlias = dict[UnitSet, npt.NDArray[np.float64]]

CRITERIA = (
    "lrp", "lrp_output", "absolute", "signed", "positive", "gradient_x_unit", "gradient",
    "taylor", "weight", "random",
)  # fmt: skip
_CONTRASTS = ("lrp", "lrp_output")
OF_LOSS = ("gradient", "taylor")  # which need the true classes
_OF_RELEVANCE = (*_CONTRASTS, "absolute", "signed", "positive")


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts by which units are scored: their tokens, and the class of each, int64 `[N]`."""

    documents: Sequence[EncodedText]
    classes: npt.NDArray[np.int64]


def unit_scores(
    classifier: TextClassifier,
    texts: Texts,
    sets: Sequence[UnitSet],
    criterion: str = "lrp",
    *,
    seed: int = 0,
    batch_tokens: BatchTokens = 4096,
    progress: bool | None = None,
    **options: Any,
) -> Scores:
    """Score the units of some sets; those with the lowest scores can go first.

    The scores `[U]` of a set are divided by the sum of their absolute values, so that sets can be
    compared (Yeom 2021).

    Args:
        classifier: the classifier, which is not changed.
        texts: the texts by which units are scored.
        sets: the units.
        criterion: what makes a unit matter. R is relevance of h_t, the state of a unit at step t,
            for a class; ∂L the gradient of the cross-entropy.

            - "lrp": the mean over texts and classes of |Σ_t (R - mean of R over classes)|, once for
              the relevance that passes h_t and once for that on its way out of the layer, added.
            - "lrp_output": the second of the two alone.
            - "absolute", "signed", "positive": Σ of |R|, R or max(R, 0) over texts and steps, for
              the class of the text.
            - "gradient_x_unit": as "lrp", with h_t times the gradient of the score in place of R.
            - "gradient": mean over texts of Σ_t |∂L/∂h_t|.
            - "taylor": mean over texts of |Σ_t h_t ∂L/∂h_t|.
            - "weight": the sum of the absolute weights and biases that compute the unit.
            - "random": drawn by the seed.
        seed: of "random".
        batch_tokens: the most tokens in a batch.
        progress: show a bar; None shows one where standard error is a terminal.
        options: of LRP.

    Raises:
        OptionError: no such criterion.
        ModelError: the model cannot be explained as it is.
    """
    check_choice("criterion", criterion, CRITERIA)
    if criterion == "random":
        draw = np.random.default_rng(seed)
        raw = {units: draw.random(units.size) for units in sets}
    elif criterion == "weight":
        raw = {units: _weights(classifier.model, units) for units in sets}
    else:
        watched, places = instrumented_copy(classifier.model, sets)
        hidden = None if progress is None else not progress
        with tqdm(
            total=len(texts.documents), desc="Scoring units", unit="text", disable=hidden
        ) as bar:
            if criterion in _OF_RELEVANCE:
                # Of a copy with passages no other copy can be made, to verify it.
                lrp = LRP(watched, **{"verify": False, **options})
                budget = Budget(batch_tokens, classifier.device)
                given = (classifier, lrp, texts, places)
                if criterion in _CONTRASTS:
                    raw = _contrast_of_relevance(*given, criterion, budget, bar.update)
                else:
                    raw = _sum_of_relevance(*given, criterion, budget, bar.update)
            else:
                raw = _gradients(classifier, watched, texts, places, criterion, bar.update)
    return {units: _shares(values) for units, values in raw.items()}


def _shares(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    whole = float(np.abs(values).sum())
    return values / whole if whole else values


def _weights(model: nn.Module, units: UnitSet) -> npt.NDArray[np.float64]:
    """The L1 norm of the weights that compute each unit, the rows of all gates together."""
    slices = own_slices(model, units, torch.arange(units.size))
    rows = [s for s in slices if s.dim == 0] or slices
    weights = dict(model.named_parameters())
    total = torch.zeros(units.size, dtype=torch.float64)
    for weight, dim, places in rows:
        value = weights[weight].detach().cpu().double().abs().index_select(dim, places)
        blocks = value.movedim(dim, 0).reshape(-1, units.size, value.numel() // len(places))
        total += blocks.sum(dim=(0, 2))
    return total.numpy()


# Relevance


def _contrast_of_relevance(
    classifier: TextClassifier,
    lrp: LRP,
    texts: Texts,
    places: Mapping[UnitSet, Passages],
    criterion: str,
    budget: Budget,
    done: Callable[[int], object],
) -> Scores:
    """The mean over texts and classes of |Σ_t (R - mean over classes)|, of one or both kinds."""
    read = {}
    for units, (total, output) in places.items():
        both = (total, output) if criterion == "lrp" else (output or total,)
        read[units] = [name for name in both if name is not None]
    names = list(dict.fromkeys(name for own in read.values() for name in own))
    sums: dict[str, Any] = dict.fromkeys(names, 0.0)

    def run(chosen: list[int]) -> dict[str, Tensor]:
        batch = classifier.batch([texts.documents[k] for k in chosen])
        found = lrp.attribution(
            batch.ids, "all", batch.additional or None, padding=~batch.words, account=False,
            units=names,
        )  # fmt: skip
        assert found.units is not None
        return {name: contrast(r).sum(0) for name, r in found.units.items()}

    for chosen, found in in_batches(_lengths(classifier, texts), budget, run):
        for name, value in found.items():
            sums[name] = sums[name] + value.cpu().numpy()
        done(len(chosen))
    return {
        units: sum(sums[name] for name in own) / len(texts.documents) for units, own in read.items()
    }


def contrast(values: Tensor) -> Tensor:
    """|v - mean over classes|, averaged over classes: `[N, C, U]` to `[N, U]`; |v| if C is 1."""
    if values.shape[1] > 1:
        values = values - values.mean(dim=1, keepdim=True)
    return values.abs().mean(dim=1)


def _sum_of_relevance(
    classifier: TextClassifier,
    lrp: LRP,
    texts: Texts,
    places: Mapping[UnitSet, Passages],
    criterion: str,
    budget: Budget,
    done: Callable[[int], object],
) -> Scores:
    """Σ over texts and steps of |R|, R or max(R, 0), for the class of each text."""
    sums = {units: np.zeros(units.size) for units in places}
    single = classifier.single_output and len(classifier.labels) == 2
    for class_ in np.unique(texts.classes).tolist():
        own = np.flatnonzero(texts.classes == class_)
        # A single score speaks for the second class, and its negative for the first.
        target, sign = (0, 2 * class_ - 1) if single else (class_, 1)

        def run(chosen: list[int], own: Any = own, target: int = target) -> Any:
            batch = classifier.batch([texts.documents[k] for k in own[chosen]])
            return lrp.attribution(
                batch.ids, target, batch.additional or None, padding=~batch.words, account=False,
                layers=[w.total for w in places.values()],
            ).layers  # fmt: skip

        lengths = _lengths(classifier, texts)[own]
        for chosen, found in in_batches(lengths, budget, run):
            for units, watched in places.items():
                for relevance in tensors_in(found[watched.total]):
                    signed = sign * relevance.double()
                    kept = {"absolute": signed.abs(), "positive": signed.clamp(min=0)}
                    by_unit = _units_last(lrp.model, units, kept.get(criterion, signed))
                    sums[units] += by_unit.reshape(-1, units.size).sum(0).cpu().numpy()
            done(len(chosen))
    return sums


def _lengths(classifier: TextClassifier, texts: Texts) -> npt.NDArray[np.int64]:
    return np.array([classifier.length(document) for document in texts.documents], np.int64)


def _units_last(model: nn.Module, units: UnitSet, values: Tensor) -> Tensor:
    """Move the dimension of the units of a layer's output to the end."""
    module = model.get_submodule(units.module)
    if isinstance(module, conv._ConvNd):
        return values.movedim(-1 - len(module.kernel_size), -1)
    return values


# Gradients


def _gradients(
    classifier: TextClassifier,
    model: nn.Module,
    texts: Texts,
    places: Mapping[UnitSet, Passages],
    criterion: str,
    done: Callable[[int], object],
) -> Scores:
    """The criteria of gradients, from one text at a time."""
    for parameter in model.parameters():
        parameter.requires_grad_()  # so that there is a graph from a frozen embedding on, too
    seen: dict[str, list[Tensor]] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda module, args, output: seen[name].append(output)

    for name in {w.total for w in places.values()}:
        model.get_submodule(name).register_forward_hook(keep(name))
    sums = {units: np.zeros(units.size) for units in places}
    for document, class_ in zip(texts.documents, texts.classes.tolist(), strict=True):
        seen.update({w.total: [] for w in places.values()})
        batch = classifier.batch([document])
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            scores = classifier.by_label(select_output(model(batch.ids, *batch.additional), None))
            starts = list(scores[0])
            if criterion in OF_LOSS:
                starts = [_loss(classifier, scores, class_)]
        values = [t for states in seen.values() for t in states]
        rows = []
        for start in starts:
            found = torch.autograd.grad(start, values, retain_graph=True, allow_unused=True)
            rows.append(iter(found))
        for name, states in seen.items():
            by_start = [[(h, next(row)) for h in states] for row in rows]
            for units in (u for u, w in places.items() if w.total == name):
                sums[units] += _of_text(model, units, by_start, criterion)
        done(1)
    return {units: values / len(texts.documents) for units, values in sums.items()}


def _of_text(
    model: nn.Module, units: UnitSet, by_start: list[list[tuple[Tensor, Any]]], criterion: str
) -> npt.NDArray[np.float64]:
    """The criterion for one text, from states and their gradients by each start."""
    sums = torch.zeros(len(by_start), units.size, dtype=torch.float64)
    for row, pairs in enumerate(by_start):
        for h, gradient in pairs:
            if gradient is not None:
                value = gradient.abs() if criterion == "gradient" else h * gradient
                last = _units_last(model, units, value.detach().double())
                sums[row] += last.reshape(-1, units.size).sum(0).cpu()
    if criterion == "gradient_x_unit":
        return contrast(sums.unsqueeze(0))[0].numpy()
    return sums[0].abs().numpy()


def _loss(classifier: TextClassifier, scores: Tensor, class_: int) -> Tensor:
    """The cross-entropy of the true class, by the softmax, or by the sigmoid of its own score."""
    if classifier.multilabel:
        return -F.logsigmoid(scores[0, class_])
    return F.cross_entropy(scores, torch.tensor([class_], device=scores.device))
