"""A trained classifier as a scikit-learn estimator, e.g. for scikit-learn's metrics."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from seqlrp.engine.batches import BatchTokens
from seqlrp.errors import LabelError, MissingPackageError, NotTrainedWarning, near
from seqlrp.models.classifier import TextClassifier

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
except ImportError as error:
    raise MissingPackageError(
        'This module needs scikit-learn, which is not installed: pip install "seqlrp[sklearn]"'
    ) from error


class TextEstimator(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A `TextClassifier` with the methods of scikit-learn's classifiers; texts are its samples.

    Columns are in the order of `classes_`, which is sorted, as scikit-learn's metrics expect. The
    columns of a `TextClassifier` are in the order of its labels.

    Args:
        classifier: a trained classifier; `fit` does not change it.
        indices: whether classes are the indices of the classifier's labels instead of their names.
        batch_tokens: the largest number of tokens in a batch, padding included, or "auto".
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
        """The names or indices of the classes, sorted: `[C]`."""
        return self._class_names()[self._order()]

    def fit(self, texts: Iterable[str], y: Iterable[Any] | None = None) -> TextEstimator:
        """Check that the classifier knows the classes `y`; nothing is trained.

        Raises:
            LabelError: the classifier does not know a class.

        Warns:
            NotTrainedWarning: always, as cross-validation would measure the same classifier on
                texts that it may have been trained on. `sklearn.frozen.FrozenEstimator` says that
                this is meant.
        """
        warnings.warn(
            NotTrainedWarning(
                "fit trains nothing: each fold of a cross-validation would measure the same "
                "classifier.",
                "Train with seqlrp.fit on each fold; or wrap the estimator in "
                "sklearn.frozen.FrozenEstimator, if it is to stay as it is.",
            ),
            stacklevel=2,
        )
        known = set(self._class_names().tolist())
        for label in [] if y is None else np.unique(np.asarray(list(y))).tolist():
            if label not in known:
                raise LabelError(
                    f"Got the class {label!r}, which the classifier has never seen. "
                    f"{near(str(label), map(str, self._class_names()))} Classes are "
                    f"{'indices' if self.indices else 'names'} here; see indices=.",
                    option="y",
                    got=label,
                    known=tuple(self._class_names()),
                )
        return self

    def predict(self, texts: Iterable[str]) -> npt.NDArray[Any]:
        """Predict the class of each text: names or indices `[N]`."""
        found = self.classifier.predict(texts, batch_tokens=self.batch_tokens, progress=False)
        return self._class_names()[found.predicted]

    def predict_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Predict the probability of each class, `[N, C]`, as `TextClassifier.predict_proba`."""
        found = self.classifier.predict_proba(texts, batch_tokens=self.batch_tokens, progress=False)
        return found[:, self._order()]

    def predict_log_proba(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Predict the logarithm of each probability: `[N, C]`."""
        with np.errstate(divide="ignore"):
            logs: npt.NDArray[np.float64] = np.log(self.predict_proba(texts))
        return logs

    def decision_function(self, texts: Iterable[str]) -> npt.NDArray[np.float64]:
        """Compute the scores `[N, C]`; for two classes the log odds `[N]` of the second."""
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

    def _class_names(self) -> npt.NDArray[Any]:
        labels = self.classifier.labels
        return np.arange(len(labels)) if self.indices else np.array(labels)

    def _order(self) -> npt.NDArray[np.intp]:
        return np.argsort(self._class_names(), kind="stable")
