"""Every architecture of the registry: explained as it is, exactly, and each document by itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from samples.architectures import (
    ARCHITECTURES,
    FAMILIES,
    SENTENCES,
    Architecture,
    arguments,
    built,
    inputs,
    recurrent,
)
from samples.architectures.attribution import (
    EPSILON,
    attribute,
    check_ledger,
    close,
    shared,
    whole,
)
from samples.unchanged import nothing_changes
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import PaddingWarning

each = pytest.mark.parametrize("entry", ARCHITECTURES, ids=lambda entry: entry.name)
by_documents = pytest.mark.parametrize(
    "entry", [e for e in ARCHITECTURES if e.fed != "bag"], ids=lambda entry: entry.name
)


def plain_scores(entry: Architecture, model: nn.Module, ids: Tensor) -> Tensor:
    more = arguments(entry, ids)
    with torch.no_grad():
        output: Any = model(ids) if more is None else model(ids, more)
    if entry.output is not None:
        output = output[entry.output]
    return output if output.ndim == 2 else output.unsqueeze(1)  # type: ignore[no-any-return]


def test_there_are_many_with_names_of_their_own() -> None:
    names = {entry.name for entry in ARCHITECTURES}
    assert len(names) == len(ARCHITECTURES) >= 60
    homes = {entry.make.__module__ for entry in ARCHITECTURES}
    assert homes == {family.__name__ for family in FAMILIES}


@each
def test_scores_are_the_models_own_and_all_of_them_is_accounted_for(entry: Architecture) -> None:
    model, ids = built(entry.make), inputs(entry)
    with nothing_changes(model, ids):
        expect = plain_scores(entry, model, ids)
        found = attribute(entry, model, ids, verify=True)
    close(found.scores, expect, 1e-13)
    check_ledger(found, 1e-10)
    classes = expect.shape[1]
    if entry.fed == "bag":
        assert found.relevance.shape == (len(ids), classes)
    else:
        assert found.relevance.shape == (len(ids), classes, *ids.shape[1:])
    # No class of any document leaves its words without relevance.
    assert (found.relevance.reshape(len(ids), classes, -1).abs().amax(-1) > 1e-4).all()


@each
def test_one_target_is_its_row_of_all_targets(entry: Architecture) -> None:
    every = whole(entry)
    last = every.scores.shape[1] - 1
    found = attribute(entry, shared(entry), inputs(entry), last)
    close(found.relevance, every.relevance[:, last])


@each
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # torch's own
def test_single_precision_is_close_to_double(entry: Architecture) -> None:
    model, ids = built(entry.make).float(), inputs(entry)
    single = attribute(entry, model, ids)
    double = attribute(entry, model.double(), ids)
    assert single.relevance.dtype == torch.float32
    close(single.relevance.double(), double.relevance, 2e-4)
    check_ledger(single, 2e-5)


@pytest.mark.parametrize(
    "entry", [e for e in ARCHITECTURES if e.warned], ids=lambda entry: entry.name
)
def test_padding_that_is_read_is_said(entry: Architecture) -> None:
    lrp = seqlrp.LRP(built(entry.make), EPSILON, output=entry.output)
    with pytest.warns(PaddingWarning, match="Padding takes part"):
        lrp.attribute(inputs(entry), 0)


def alone(entry: Architecture, document: Tensor) -> Tensor:
    """A document as a batch of one, without padding unless the model reads it."""
    if entry.reads_padding or entry.fed != "words":
        return document.unsqueeze(0)
    return document[document != 0].unsqueeze(0)


@by_documents
def test_each_document_is_explained_as_if_it_were_alone(entry: Architecture) -> None:
    model, ids = shared(entry), inputs(entry)
    together = whole(entry, 0)
    assert together.ledger is not None
    if not entry.reads_padding:
        assert not together.relevance[ids == 0].any()
        assert not together.ledger.total("padding").any()
    for b, document in enumerate(ids):
        one = alone(entry, document)
        single = attribute(entry, model, one, 0)
        assert single.ledger is not None
        close(single.scores, together.scores[b : b + 1])
        close(single.relevance, together.relevance[b : b + 1][..., : one.shape[-1]])
        for kind, amount in single.ledger.totals.items():
            close(amount, together.ledger.total(kind)[b : b + 1])


@by_documents
def test_the_order_of_the_batch_does_not_matter(entry: Architecture) -> None:
    ids = inputs(entry)
    order = torch.arange(len(ids)).roll(1).flip(0)
    found = attribute(entry, shared(entry), ids[order])
    close(found.relevance, whole(entry).relevance[order])


@pytest.mark.parametrize(
    "entry",
    [e for e in ARCHITECTURES if e.fed == "words" and not e.reads_padding],
    ids=lambda entry: entry.name,
)
def test_more_padding_changes_nothing(entry: Architecture) -> None:
    wider = nn.functional.pad(inputs(entry), (0, 2))
    found = attribute(entry, shared(entry), wider, 0)
    assert not found.relevance[wider == 0].any()
    close(found.relevance[:, :-2], whole(entry, 0).relevance)


def test_padding_within_a_sentence_gets_nothing() -> None:
    found = seqlrp.LRP(built(recurrent.HierarchicalAttention), EPSILON).attribution(SENTENCES, 1)
    assert found.relevance.shape == SENTENCES.shape
    assert not found.relevance[SENTENCES == 0].any()
    assert found.relevance[SENTENCES != 0].all()
