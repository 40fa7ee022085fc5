"""Models as people write them: each closes its ledger, alone, in a batch and for all targets."""

# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type"
# mypy: disable-error-code="list-item, call-overload, index"

from __future__ import annotations

import pytest
import torch
from samples.model_functions.classifiers import ALL, chosen_at_will, dead_units
from samples.model_functions.layers import C, Forward, attribute, build, close, explainer
from torch import Tensor

each_model = pytest.mark.parametrize(
    ("write", "ids"), ALL, ids=lambda v: v.__name__ if callable(v) else ""
)


@each_model
def test_the_ledger_closes_for_each_document(write: Forward, ids: Tensor) -> None:
    scores = build(write)(ids).detach()
    for epsilon in (0.0, 1e-3, 0.1):
        relevance, ledger = attribute(write, ids, epsilon)
        assert relevance.shape == ids.shape
        close(ledger.score, scores[:, 1], 1e-14)
        assert (ledger.residual.abs() <= 1e-10 * scores[:, 1].abs().clamp_min(1)).all()
        assert not relevance[ids == 0].any()
        close(ledger.total("tokens"), relevance.sum(1))
        if epsilon == 0:
            close(ledger.total("stabiliser"), torch.zeros(len(ids), dtype=torch.float64), 1e-14)


@each_model
def test_a_documents_ledger_is_the_same_alone(write: Forward, ids: Tensor) -> None:
    if write in (dead_units, chosen_at_will):
        pytest.skip("what is masked is chosen by the place in the batch")
    relevance, ledger = attribute(write, ids)
    for b in range(len(ids)):
        alone, account = attribute(write, ids[b : b + 1])
        close(alone[0], relevance[b])
        for kind, total in account.totals.items():
            close(total[0], ledger.total(kind)[b])
        # operation by operation
        for entry in account.entries:
            (same,) = (
                e for e in ledger.entries
                if (e.kind, e.operation, e.module) == (entry.kind, entry.operation, entry.module)
            )  # fmt: skip
            close(entry.amount[0], same.amount[b])


@each_model
def test_all_targets_are_the_single_ones(write: Forward, ids: Tensor) -> None:
    lrp = explainer(write)
    relevance, ledger = lrp.attribute(ids, target="all", return_ledger=True)
    assert relevance.shape == (len(ids), C, ids.shape[1])
    assert ledger.score.shape == (len(ids), C)
    for target in range(C):
        alone, account = lrp.attribute(ids, target=target, return_ledger=True)
        close(relevance[:, target], alone)
        for kind, total in account.totals.items():
            close(ledger.total(kind)[:, target], total)
    close(lrp.attribute(ids, target="all"), relevance)  # without a ledger


@each_model
def test_the_scores_are_the_models_own(write: Forward, ids: Tensor) -> None:
    lrp = explainer(write)
    found = lrp.attribution(ids)
    close(found.scores, lrp.model(ids).detach(), 1e-14)
    assert not found.scores.requires_grad
    assert found.target is not None
    assert found.target.equal(found.scores.argmax(1))
