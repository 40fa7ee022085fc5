"""A trained classifier as an estimator of scikit-learn, for its metrics, checks and calibration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.batching import BatchTokens
from seqlrp.errors import LabelError, MissingPackageError, near
from seqlrp.text_classifier import TextClassifier

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
except ImportError as error:
    raise MissingPackageError(
        'This module needs scikit-learn, which is not installed: pip install "seqlrp[sklearn]"'
    ) from error


class TextEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A `TextClassifier` with the methods of scikit-learn's classifiers; texts are its samples.

    Columns are in the order of `classes_`, which is sorted, as scikit-learn's metrics take it to
    be; a `TextClassifier` has them in the order of its labels.

    Args:
        classifier: already trained; `fit` leaves it as it is.
        indices: classes are whole numbers, as the classifier's scores are numbered, rather than
            names.
        batch_tokens: the most tokens that the model reads at a time, or "auto".
    """

    def __init__(
        self,
        classifier: TextClassifier,
        *,
        indices: bool = False,
        batch_tokens: BatchTokens = 16_384,
    ) -> None:
        self.classifier = classifier
        self.indices = indices
        self.batch_tokens = batch_tokens

    @property
    def classes_(self) -> npt.NDArray[Any]:
        """Names or numbers of the classes, sorted: `[C]`."""
        return self._named()[self._order()]

    def fit(self, texts: Iterable[str], y: Iterable[Any] | None = None) -> TextEstimator:
        """Train nothing: the model is what it is. Look whether it knows the classes.

        Raises:
            LabelError: a class that the classifier has never seen.
        """
        known = set(self._named().tolist())
        for label in [] if y is None else np.unique(np.asarray(list(y))).tolist():
            if label not in known:
                raise LabelError(
                    f"Got the class {label!r}, which the classifier has never seen. "
                    f"{near(str(label), map(str, self._named()))} Classes are "
                    f"{'numbers' if self.indices else 'names'} here; see indices=."
                )
        return self

    def predict(self, texts: Iterable[str]) -> npt.NDArray[Any]:
        """Give the class of each text: `[N]`, names or numbers."""
        found = self.classifier.predict(texts, batch_tokens=self.batch_tokens, progress=False)
        return self._named()[found.predicted]

    def predict_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Give the probability of each class, `[N, C]`, as `TextClassifier.predict_proba` does."""
        found = self.classifier.predict_proba(texts, batch_tokens=self.batch_tokens, progress=False)
        return found[:, self._order()]

    def predict_log_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Give the logarithm of each probability: `[N, C]`."""
        with np.errstate(divide="ignore"):
            logs: npt.NDArray[np.float64] = np.log(self.predict_proba(texts))
        return logs

    def decision_function(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Give the scores `[N, C]`; for two classes the log odds `[N]` of the second."""
        found = self.classifier.predict(texts, batch_tokens=self.batch_tokens, progress=False)
        scores = found.scores.astype(np.float64)[:, self._order()]
        if scores.shape[1] != 2:
            return scores
        if self.classifier.single_output:  # [-s, s]
            return scores[:, 1]
        difference: npt.NDArray[np.float64] = scores[:, 1] - scores[:, 0]
        return difference

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags

    def _named(self) -> npt.NDArray[Any]:
        labels = self.classifier.labels
        return np.arange(len(labels)) if self.indices else np.array(labels)

    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(self._named(), kind="stable")
