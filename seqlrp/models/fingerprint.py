"""A fingerprint of what a long computation depends on, so that it goes on only with the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from hashlib import _Hash

    from seqlrp.models.classifier import TextClassifier


def fingerprint(
    classifier: TextClassifier, made: Mapping[str, Any], texts: Iterable[bytes]
) -> _Hash:
    """Return a SHA-256 hash, to which more can be added.

    Args:
        classifier: its class names, vocabulary and weights count.
        made: the options of the computation, JSON values.
        texts: the texts and what is known of them, as bytes.
    """
    digest = hashlib.sha256()
    for pieces in (_of_classifier(classifier, made), texts):
        for piece in pieces:
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return digest


def model_fingerprint(classifier: TextClassifier) -> str:
    """Return 16 hexadecimal digits by which people recognise a model."""
    return fingerprint(classifier, {}, ()).hexdigest()[:16]


def _of_classifier(classifier: TextClassifier, made: Mapping[str, Any]) -> Iterator[bytes]:
    yield json.dumps(made, sort_keys=True, default=repr).encode()
    yield repr(classifier.model).encode()
    yield classifier.vocabulary.fingerprint.encode()
    for name, tensor in classifier.model.state_dict().items():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield flat.view(torch.uint8).numpy().tobytes()
