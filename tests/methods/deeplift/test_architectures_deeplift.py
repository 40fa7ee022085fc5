"""DeepLIFT through every architecture of the registry: exact, or refused by name."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from samples.architectures import ARCHITECTURES, WORDS, Architecture, V, arguments, built, inputs
from samples.architectures.attribution import shared
from samples.examples import all_pairs, examples
from samples.unchanged import nothing_changes
from torch import Tensor, nn

from seqlrp.engine.checks import select_output
from seqlrp.errors import RefusedFunctionError
from seqlrp.lrp import Attribution
from seqlrp.methods import DeepLIFT
from seqlrp.methods.baselines import Baseline, Blend

# The k largest values at the places where they are: a choice, and the baseline chooses otherwise.
REFUSED = {"KMaxPooling"}
RULED = [e for e in ARCHITECTURES if e.name not in REFUSED]
each = pytest.mark.parametrize("entry", RULED, ids=lambda entry: entry.name)
BASELINES: list[Any] = ["zero", "mean", 5]


@lru_cache(maxsize=256)
def _method(model: nn.Module, output: Any, **options: Any) -> DeepLIFT:
    """One object for all calls about a model: its second run on other words is made once."""
    return DeepLIFT(model, output=output, **options)


def explained(
    entry: Architecture,
    model: nn.Module,
    ids: Tensor,
    target: Any = "all",
    *,
    verify: bool = False,
    **options: Any,
) -> Attribution:
    """An attribution; that no architecture is refused is verified in `test_verify.py`."""
    method = _method(model, entry.output, verify=verify, **options)
    return method.attribution(ids, target, arguments(entry, ids))


@cache
def whole(entry: Architecture, target: Any = "all") -> Tensor:
    """The relevance of the whole batch, for all tests that compare with it."""
    return explained(entry, shared(entry), inputs(entry), target).relevance


def scores_at_baseline(entry: Architecture, model: nn.Module, ids: Tensor, baseline: Any) -> Tensor:
    """What the model itself says where every word is the baseline, and padding is padding."""
    weights = (ids == 0).double()
    mode = Blend(Baseline(baseline), weights, torch.arange(len(ids)), len(ids))
    with torch.no_grad():
        output = select_output(mode.run(model, ids, arguments(entry, ids)), entry.output)
    return output if output.ndim == 2 else output.unsqueeze(1)  # type: ignore[no-any-return]


def check_sum(
    entry: Architecture, model: nn.Module, ids: Tensor, found: Attribution, baseline: Any
) -> None:
    """Σ words = score(text) − score(baseline), both from the model alone, to 1e-10."""
    ledger = found.ledger
    assert ledger is not None
    if entry.fed != "bag":
        assert torch.equal(ledger.total("tokens"), found.relevance.flatten(2).sum(2))
        assert not found.relevance.movedim(1, -1)[ids == 0].any()
    expect = scores_at_baseline(entry, model, ids, baseline)
    size = torch.maximum(found.scores.abs(), expect.abs()).amax(1, keepdim=True)
    off = (found.scores - expect - ledger.total("tokens")).abs()
    assert (off <= 1e-10 * size).all()


@all_pairs("entry,rule,baseline", RULED, ["rescale", "reveal_cancel"], ["zero", "mean"])
def test_words_add_up_to_the_difference_of_the_models_own_scores(
    entry: Architecture, rule: Any, baseline: Any
) -> None:
    model, ids = built(entry.make), inputs(entry)
    with nothing_changes(model, ids):
        found = explained(entry, model, ids, rule=rule, baseline=baseline)
    check_sum(entry, model, ids, found, baseline)
    more = arguments(entry, ids)
    with torch.no_grad():
        output = select_output(model(ids) if more is None else model(ids, more), entry.output)
    torch.testing.assert_close(found.scores, output.reshape(found.scores.shape), rtol=0, atol=1e-12)
    # No class of any document leaves its words without relevance.
    assert (found.relevance.reshape(len(ids), found.scores.shape[1], -1).abs().amax(-1) > 0).all()


@examples(60)
@given(
    st.sampled_from([e for e in RULED if e.fed == "words"]),
    st.integers(0, 10**6),
    st.integers(1, 6),
    st.sampled_from(BASELINES),
    st.sampled_from(["rescale", "reveal_cancel"]),
)
def test_words_add_up_for_any_weights_and_words(
    entry: Architecture, seed: int, longest: int, baseline: Any, rule: Any
) -> None:
    model = built(entry.make, seed)
    g = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, V, (3, longest + 3), generator=g)
    lengths = torch.randint(1, longest + 1, (3,), generator=g)
    lengths[0] = longest + 3
    ids = ids.masked_fill(torch.arange(longest + 3) >= lengths[:, None], 0)
    found = explained(entry, model, ids, rule=rule, baseline=baseline, verify=True)
    check_sum(entry, model, ids, found, baseline)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_the_others_are_refused_by_name(name: str) -> None:
    (entry,) = (e for e in ARCHITECTURES if e.name == name)
    with pytest.raises(RefusedFunctionError, match=r"Tensor\.gather in .* uses a choice"):
        explained(entry, built(entry.make), inputs(entry))


@each
def test_one_target_and_a_contrast_are_those_of_all(entry: Architecture) -> None:
    model, ids, every = shared(entry), inputs(entry), whole(entry)
    last = every.shape[1] - 1
    close(explained(entry, model, ids, last).relevance, every[:, last])
    if last:
        close(explained(entry, model, ids, (last, 0)).relevance, every[:, last] - every[:, 0])


def close(a: Tensor, b: Tensor) -> None:
    """Equal to a part of the largest value."""
    scale = max(1.0, b.abs().max().item())
    torch.testing.assert_close(a, b, rtol=0, atol=1e-11 * scale)


by_documents = pytest.mark.parametrize(
    "entry", [e for e in RULED if e.fed != "bag"], ids=lambda entry: entry.name
)


@by_documents
def test_each_document_is_explained_as_if_it_were_alone(entry: Architecture) -> None:
    model, ids, together = shared(entry), inputs(entry), whole(entry, 0)
    order = torch.arange(len(ids)).roll(1).flip(0)
    close(explained(entry, model, ids[order], 0).relevance, together[order])
    for b, document in enumerate(ids):
        kept = document if entry.reads_padding or entry.fed != "words" else document[document != 0]
        one = explained(entry, model, kept.unsqueeze(0), 0).relevance
        close(one, together[b : b + 1][..., : one.shape[-1]])


@pytest.mark.parametrize(
    "entry",
    [e for e in RULED if e.fed == "words" and not e.reads_padding],
    ids=lambda entry: entry.name,
)
def test_more_padding_changes_nothing(entry: Architecture) -> None:
    wider = nn.functional.pad(WORDS, (0, 2))
    found = explained(entry, shared(entry), wider, 0).relevance
    assert not found[wider == 0].any()
    close(found[:, :-2], whole(entry, 0))


@each
@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")  # torch's own
def test_single_precision_is_close_to_double(entry: Architecture) -> None:
    model, ids = built(entry.make).float(), inputs(entry)
    single = explained(entry, model, ids)
    double = explained(entry, model.double(), ids)
    assert single.relevance.dtype == torch.float32
    # The smallest number that a norm adds to a length of 0 is not the same in both.
    scale = max(1.0, double.relevance.abs().max().item())
    torch.testing.assert_close(
        single.relevance.double(), double.relevance, rtol=0, atol=2e-3 * scale
    )
