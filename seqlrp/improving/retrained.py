"""A copy of a classifier that is trained on, or anew, on labelled texts."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from seqlrp.engine.checks import select_output
from seqlrp.errors import ModelError
from seqlrp.improving.labelled_texts import LabelledTexts
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.networks import HierarchicalClassifier, RecurrentClassifier
from seqlrp.models.optimisation import Penalty, Schedule, optimise

# Few passes that are taken to their end: the model knows the texts already and has one thing to
# forget, and the loss on held-out texts would stop it before it has.
TRAINING_ON = {"learning_rate": 5e-3, "averaging": 0.9}
_EPOCHS, _STEPS = 6, 270  # at least so many passes and batches


def copied(classifier: TextClassifier) -> TextClassifier:
    """The same classifier with a model of its own."""
    return replace(classifier, model=copy.deepcopy(classifier.model))


def untrained(classifier: TextClassifier) -> TextClassifier:
    """A classifier whose model has the same parts, and weights to begin with.

    Raises:
        ModelError: the model is not one of seqlrp's, so that nobody knows how it is made.
    """
    model = classifier.model
    if type(model) not in (RecurrentClassifier, HierarchicalClassifier):
        raise ModelError(
            f"A {type(model).__name__} cannot be trained anew, for its first weights are not "
            "known; expected a model that seqlrp.fit made.",
            "Train it on (anew=False), or train it yourself on report.mended.",
        )
    assert isinstance(model, RecurrentClassifier)
    return replace(classifier, model=type(model)(**model.arguments).to(classifier.device))


class _Scores(nn.Module):
    """A model whose output is one score a label."""

    def __init__(self, classifier: TextClassifier) -> None:
        super().__init__()
        self.model = classifier.model
        self._by_label = classifier.by_label

    def forward(self, ids: Tensor, *additional: Any) -> Tensor:
        """Scores `[B, C]`."""
        return self._by_label(select_output(self.model(ids, *additional), None))


def schedule_on(texts: LabelledTexts, given: Mapping[str, Any]) -> Schedule:
    """The options of further training: those that the user gives, and defaults for the rest.

    Args:
        texts: those that are trained on; of few there are more epochs.
        given: fields of the schedule.
    """
    schedule = Schedule(**{**TRAINING_ON, **given})
    if "epochs" in given:
        return schedule
    batches = math.ceil(len(texts) / schedule.batch_size)
    return replace(schedule, epochs=max(_EPOCHS, math.ceil(_STEPS / batches)))


def train(
    classifier: TextClassifier,
    texts: LabelledTexts,
    held_out: LabelledTexts | None,
    schedule: Schedule,
    *,
    penalty: Penalty | None = None,
    progress: bool | None = None,
) -> None:
    """Train the model of a classifier in place, and leave it in evaluation mode.

    Weights that the user had frozen stay so.
    """
    optimise(_Scores(classifier), texts, held_out, schedule, penalty=penalty, progress=progress)
