"""The four ways of repair: by data, by a penalty, by a projection, and by units switched off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import ModelError, OptionError, check_number
from seqlrp.improving.disabled_units import carriers, default_layer, unit_count, with_units_off
from seqlrp.improving.given_shortcuts import Units
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.improving.mended_corpus import mended
from seqlrp.improving.penalty import RelevancePenalty
from seqlrp.improving.probes import Probes, best_repair
from seqlrp.improving.projection import (
    Activations,
    fit_projection,
    folded,
    last_linear,
    projectable_layers,
)
from seqlrp.improving.retrained import copied, schedule_on, train, untrained
from seqlrp.improving.shortcut import Located, Shortcut
from seqlrp.lrp import LRP
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.optimisation import Schedule
from seqlrp.models.training import seeded

_HELD_OUT = 0.1  # of the texts that are trained on, to stop by
_DIRECTIONS = (1, 2, 3)  # that are tried
_MOST = 500  # texts of a kind by which a repair is chosen
_EXPLAINED = 100  # texts by which units are ordered


@dataclass(frozen=True, eq=False)
class RepairTask:
    """The arguments of every way of repair.

    Attributes:
        classifier: which is not changed.
        texts: those that the repair learns from.
        shortcuts: with their classes.
        units: of layers, that are to be switched off.
        options: those of `seqlrp.repair` for the way.
        training: those of the schedule.
        seed: of all that is drawn.
        batch_tokens: the most tokens in a batch.
        progress: whether bars are shown.
    """

    classifier: TextClassifier
    texts: LabelledTexts
    shortcuts: Sequence[Shortcut]
    units: Units
    options: dict[str, Any]
    training: dict[str, Any]
    seed: int
    batch_tokens: BatchTokens
    progress: bool | None

    @property
    def schedule(self) -> dict[str, Any]:
        """The options of training that the user gave."""
        return {"seed": self.seed, **self.training}

    def probes(self) -> list[Probes]:
        """Changed texts for each shortcut, by which a repair is chosen."""
        random = np.random.default_rng(self.seed)
        return [
            Probes.make(s, self.texts, Located(s, self.texts), random, _MOST)
            for s in self.shortcuts
        ]

    def best(self, candidates: Sequence[TextClassifier], probes: Sequence[Probes]) -> int:
        """The number of the candidate that is misled least."""
        return best_repair(self.classifier, candidates, probes, self.batch_tokens)


class Outcome(NamedTuple):
    """A repaired classifier, how it was made, and the texts that it was trained on if mended."""

    classifier: TextClassifier
    made: dict[str, Any]
    mended: LabelledTexts | None = None


def by_data(task: RepairTask) -> Outcome:
    """Train on, or anew, with the mended texts.

    Raises:
        OptionError: `edit="unknown"` for a vocabulary without an unknown word.
        ModelError: the model cannot be trained anew.
    """
    edit, anew = task.options["edit"], task.options["anew"]
    if edit == "unknown" and task.texts.unknown is None:
        raise OptionError(
            option="edit",
            got=edit,
            expected="'swap' or 'delete', as the vocabulary has no unknown word",
        )
    random = np.random.default_rng(task.seed)
    if anew:
        rows = random.permutation(len(task.texts))
        cut = max(1, round(_HELD_OUT * len(rows)))
        held_out = mended(task.texts.part(np.sort(rows[:cut])), task.shortcuts, edit, random=random)
        texts = mended(task.texts.part(np.sort(rows[cut:])), task.shortcuts, edit, random=random)
    else:
        held_out, texts = None, mended(task.texts, task.shortcuts, edit, random=random)
    schedule = Schedule(**task.schedule) if anew else schedule_on(texts, task.schedule)
    with seeded(task.seed, task.classifier.device):
        repaired = untrained(task.classifier) if anew else copied(task.classifier)
        train(repaired, texts, held_out, schedule, progress=task.progress)
    made = {"edit": edit, "anew": anew, "epochs": schedule.epochs}
    return Outcome(repaired, made, texts if held_out is None else texts.joined(held_out))


def by_penalty(task: RepairTask) -> Outcome:
    """Train on with a penalty on the relevance of the shortcuts.

    Raises:
        OptionError: `max_length`, which would cut texts and move what is penalised.
    """
    schedule = schedule_on(task.texts, task.schedule)
    if schedule.max_length is not None:
        raise OptionError(
            option="max_length", got=schedule.max_length, expected="None with how='penalise'"
        )
    repaired = copied(task.classifier)
    located = [Located(s, task.texts) for s in task.shortcuts]
    strength = task.options["strength"]
    penalty = RelevancePenalty(repaired.model, task.texts, located, strength)
    with seeded(task.seed, task.classifier.device), penalty.watching():
        train(repaired, task.texts, None, schedule, penalty=penalty, progress=task.progress)
    made = {"strength": strength, "relevance": "gradient × input", "epochs": schedule.epochs}
    return Outcome(repaired, made)


def by_projection(task: RepairTask) -> Outcome:
    """Remove the directions of the shortcuts, at the layer where that repairs most."""
    probes = task.probes()
    layer, directions = task.options["layer"], task.options["directions"]
    oblique = task.options["oblique"]
    layers = projectable_layers(task.classifier, task.texts) if layer is None else [layer]
    if not layers:
        raise OptionError(
            "The model has neither an nn.Embedding nor an nn.Linear to project at.",
            "Repair it with how='data'.",
            option="how",
            got="project",
        )
    candidates, names = [], []
    for name in layers:
        activations = Activations(task.classifier, name)
        pairs = [_pair(task, s) for s in task.shortcuts]
        clean = [activations.of(without) for without, _ in pairs]
        changes = [activations.of(w) - c for (_, w), c in zip(pairs, clean, strict=True)]
        spread = activations.spread(pairs[0][0], clean[0])
        for count in _DIRECTIONS if directions is None else (directions,):
            found = fit_projection(
                clean[0], changes, directions=count, oblique=oblique, spread=spread
            )
            candidates.append(folded(task.classifier, name, found))
            names.append({"layer": name, "directions": count, "oblique": oblique})
    best = task.best(candidates, probes)
    return Outcome(candidates[best], names[best])


def _pair(task: RepairTask, shortcut: Shortcut) -> tuple[LabelledTexts, LabelledTexts]:
    """Texts without a shortcut, and the same with it."""
    random = np.random.default_rng(task.seed)
    located = Located(shortcut, task.texts)
    clean = np.flatnonzero(~located.held)
    chosen = np.sort(random.choice(clean, min(len(clean), _MOST), replace=False))
    without = task.texts.part(chosen.astype(np.int64))
    return without, without.edited(located.put_in(without.documents, random))


def by_disabling(task: RepairTask) -> Outcome:
    """Switch units off, and train the last linear layer on if that is asked for."""
    units = dict(task.units)
    if not units:
        units = _units_of_shortcuts(task)
    repaired = with_units_off(task.classifier, units)
    train_on = task.options["train_on"]
    if train_on:
        _train_last(task, repaired)
    return Outcome(repaired, {"units": units, "train_on": train_on})


def _units_of_shortcuts(task: RepairTask) -> Units:
    """The units that carry the shortcuts: as many as make the classifier misled least."""
    layer, probes = task.options["layer"] or default_layer(task.classifier), task.probes()
    count, wanted = unit_count(task.classifier, layer), task.options["units"]
    lrp = LRP(task.classifier.model)
    orders = [carriers(task.classifier, layer, p.first(_EXPLAINED), lrp) for p in probes]
    if wanted is not None:
        check_number("units", wanted, least=1, most=count, whole=True)
    sizes = [2**k for k in range(count.bit_length()) if 2**k <= count // 2] or [1]
    chosen = [
        {layer: sorted({int(unit) for order in orders for unit in order[:size]})}
        for size in (sizes if wanted is None else [wanted])
    ]
    candidates = [with_units_off(task.classifier, units) for units in chosen]
    return chosen[task.best(candidates, probes)]


def _train_last(task: RepairTask, repaired: TextClassifier) -> None:
    """Train the last linear layer on, while all others stay, so that units stay off."""
    name = last_linear(repaired, task.texts)
    if name is None:
        raise ModelError("The model has no nn.Linear that could be trained on after its units.")
    if name in task.units:
        raise OptionError(
            f"The units of the last layer {name!r} would be learnt again.",
            "Leave train_on out.",
            option="train_on",
            got=True,
        )
    learnt = set(repaired.model.get_submodule(name).parameters())
    flags = [(parameter, parameter.requires_grad) for parameter in repaired.model.parameters()]
    for parameter, _ in flags:
        parameter.requires_grad_(parameter in learnt)
    try:
        with seeded(task.seed, repaired.device):
            schedule = schedule_on(task.texts, task.schedule)
            train(repaired, task.texts, None, schedule, progress=task.progress)
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


WAYS = {
    "data": by_data,
    "penalise": by_penalty,
    "project": by_projection,
    "disable": by_disabling,
}
