"""A classifier as an estimator: scikit-learn's own functions take it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from samples.classifiers import small_classifier, some_texts

import seqlrp
from seqlrp.errors import LabelError, NotTrainedWarning
from seqlrp.models.classifier import TextClassifier

sklearn: Any = pytest.importorskip("sklearn")

from sklearn.base import clone, is_classifier  # noqa: E402
from sklearn.calibration import CalibratedClassifierCV  # noqa: E402
from sklearn.frozen import FrozenEstimator  # noqa: E402
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score  # noqa: E402
from sklearn.model_selection import cross_val_score  # noqa: E402
from sklearn.utils.validation import check_is_fitted  # noqa: E402

from seqlrp.integrations.sklearn import TextEstimator  # noqa: E402

TEXTS = some_texts(40)
LABELS = ("positive", "negative", "mixed")  # not sorted


def truths(classifier: TextClassifier, wrong: int = 5) -> list[str]:
    """What the classifier says, but for every so many, which are spread over the others."""
    found, classes = classifier.predict(TEXTS).predicted.tolist(), len(classifier.labels)
    shifts = [0 if n % wrong else 1 + n // wrong % (classes - 1) for n in range(len(TEXTS))]
    shifted = [(k + shift) % classes for k, shift in zip(found, shifts, strict=True)]
    return [classifier.labels[k] for k in shifted]


def test_labels_probabilities_and_classes_belong_together() -> None:
    classifier = small_classifier(labels=LABELS)
    estimator = TextEstimator(classifier)
    assert estimator.classes_.tolist() == ["mixed", "negative", "positive"]
    predicted = [LABELS[k] for k in classifier.predict(TEXTS).predicted]
    assert estimator.predict(TEXTS).tolist() == predicted
    chances = estimator.predict_proba(TEXTS)
    np.testing.assert_array_equal(chances, classifier.predict_proba(TEXTS)[:, [2, 1, 0]])
    assert estimator.classes_[chances.argmax(1)].tolist() == predicted
    np.testing.assert_allclose(np.exp(estimator.predict_log_proba(TEXTS)), chances)
    scores = estimator.decision_function(TEXTS)
    np.testing.assert_array_equal(scores, classifier.predict(TEXTS).scores[:, [2, 1, 0]])


def test_metrics_say_what_their_definitions_say() -> None:
    classifier = small_classifier(labels=LABELS)
    estimator, y = TextEstimator(classifier), truths(classifier)
    right = np.mean([a == b for a, b in zip(estimator.predict(TEXTS), y, strict=True)])
    assert right == 0.8
    assert estimator.score(TEXTS, y) == accuracy_score(y, estimator.predict(TEXTS)) == right
    columns = [LABELS.index(label) for label in y]
    chances = classifier.predict_proba(TEXTS)[np.arange(len(y)), columns]
    assert log_loss(y, estimator.predict_proba(TEXTS)) == pytest.approx(-np.log(chances).mean())
    frozen = FrozenEstimator(estimator)
    assert cross_val_score(frozen, TEXTS, y, cv=4).mean() == pytest.approx(right)
    with pytest.warns(NotTrainedWarning, match="the same classifier"):
        cross_val_score(estimator, TEXTS, y, cv=4)


def test_classes_may_be_numbers() -> None:
    classifier = small_classifier(labels=LABELS)
    estimator = TextEstimator(classifier, indices=True)
    assert estimator.classes_.tolist() == [0, 1, 2]
    assert estimator.predict(TEXTS).tolist() == classifier.predict(TEXTS).predicted.tolist()
    np.testing.assert_array_equal(estimator.predict_proba(TEXTS), classifier.predict_proba(TEXTS))


@pytest.mark.parametrize("classes", [1, 2])
@pytest.mark.parametrize("labels", [("no", "yes"), ("yes", "no")])
def test_two_classes(labels: tuple[str, str], classes: int) -> None:
    classifier = small_classifier(labels=labels, classes=classes)
    estimator = TextEstimator(classifier)
    decision = estimator.decision_function(TEXTS)
    assert decision.shape == (len(TEXTS),)
    chances = estimator.predict_proba(TEXTS)
    np.testing.assert_allclose(1 / (1 + np.exp(-decision)), chances[:, 1], rtol=1e-6)
    assert estimator.classes_[(decision > 0).astype(int)].tolist() == (
        estimator.predict(TEXTS).tolist()
    )
    y = estimator.classes_[(decision > np.median(decision)).astype(int)]
    assert roc_auc_score(y, decision) == 1.0


def test_calibration_and_clones() -> None:
    classifier = small_classifier()
    estimator, y = TextEstimator(classifier), truths(classifier, wrong=3)
    assert is_classifier(estimator)
    check_is_fitted(estimator)
    calibrated = CalibratedClassifierCV(FrozenEstimator(estimator)).fit(TEXTS, y)
    chances = calibrated.predict_proba(TEXTS)
    assert log_loss(y, chances) <= log_loss(y, estimator.predict_proba(TEXTS))
    copy = clone(estimator)
    assert copy.get_params().keys() == {"classifier", "indices", "batch_tokens"}
    np.testing.assert_allclose(copy.predict_proba(TEXTS), estimator.predict_proba(TEXTS))


@pytest.mark.filterwarnings("ignore::seqlrp.errors.NotTrainedWarning")
def test_fit_leaves_the_model_alone_and_refuses_other_classes() -> None:
    classifier = small_classifier()
    before = {k: v.clone() for k, v in classifier.model.state_dict().items()}
    estimator = TextEstimator(classifier)
    assert estimator.fit(TEXTS, truths(classifier)) is estimator
    assert estimator.fit(TEXTS) is estimator
    assert all((v == before[k]).all() for k, v in classifier.model.state_dict().items())
    with pytest.raises(LabelError, match="'neutral', which the classifier has never seen"):
        estimator.fit(TEXTS, ["neutral"] * len(TEXTS))
    with pytest.raises(LabelError, match=r"Got the class 0.*Classes are names here; see indices="):
        estimator.fit(TEXTS, [0, 1])


def test_without_scikit_learn_it_says_what_to_install() -> None:
    project = str(Path(seqlrp.__file__).parents[1])
    code = (
        f"import sys; sys.path.insert(0, {project!r}); sys.modules['sklearn'] = None\n"
        "import seqlrp.integrations.sklearn"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "MissingPackageError: This module needs scikit-learn" in done.stderr
    assert 'pip install "seqlrp[sklearn]"' in done.stderr
