"""Checks of which classifier and by which method saved explanations were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seqlrp.errors import InputError, OptionError
from seqlrp.explanations.parts import read_manifest
from seqlrp.models.fingerprint import fingerprint

if TYPE_CHECKING:
    from seqlrp.explanations.collection import Explanations
    from seqlrp.explanations.record import Explanation
    from seqlrp.models.classifier import TextClassifier


def check_explained_by(classifier: TextClassifier, explanations: Explanations) -> None:
    """Check that a classifier has the classes of explanations, and is the one of their folder.

    Raises:
        InputError: there are no explanations, or they have other classes.
        OptionError: the folder was made with another model.
    """
    if not len(explanations):
        raise InputError("There are no explanations.")
    if explanations[0].labels != classifier.labels:
        raise InputError(
            f"The explanations have the classes {explanations[0].labels!r:.80}, expected those of "
            f"the classifier, {classifier.labels!r:.80}."
        )
    if explanations.folder is None:
        return
    model = read_manifest(explanations.folder).get("made", {}).get("model")
    if model != fingerprint(classifier, {}, ()).hexdigest():
        raise OptionError(
            f"The explanations in {explanations.folder} are of another model.",
            "Take the model that explained them, or explain again into another folder.",
            option="classifier",
            code="folder_of_another_run",
        )


def is_by(explanation: Explanation, name: str, parameters: Mapping[str, Any]) -> bool:
    """Whether an explanation was made by a method with these parameters."""
    return explanation.method == name and _json(explanation.parameters) == _json(parameters)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=dict)
