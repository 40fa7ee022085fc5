"""The Triton kernels against the reference, on a GPU or, where TRITON_INTERPRET=1, on the CPU.

Collected by `test_triton.py` in a process of its own: Triton decides when it is imported.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from samples.recurrent_layers import Case, Layer, build, check_as_good, direction, fields, outputs
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import OptionError
from seqlrp.lrp.recurrent.kernels import gpu
from seqlrp.lrp.recurrent.reference import Gammas

DEVICE = "cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda"
KINDS = ["lstm", "gru"]
# One sequence, a padded batch, packed ones of one block of sequences and of two.
SIZES = [(1,), (1,) * 7, (3,) * 4, (3, 2, 2, 1, 1, 1, 1), (17, 16, 9, 1)]
CASES = [
    Case(kind, hidden, sizes, reverse, bias, epsilon)
    for kind in KINDS
    for number, sizes in enumerate(SIZES)
    for hidden, reverse, epsilon in [
        (5, False, 0.0),
        (16, True, 1e-3),
        (33, number % 2 == 0, 1e-3),
        (33, number % 2 == 1, 0.0),
    ]
    for bias in [hidden != 16]
] + [
    Case(kind, hidden, sizes, reverse, reverse, epsilon, 0.05)
    for kind in KINDS
    for sizes in SIZES[1:]
    for hidden, reverse, epsilon in [(5, True, 0.0), (33, False, 0.0), (16, False, 1e-3)]
]


def run(case: Case, layer: Layer, account: bool, h: Tensor | None = None) -> Gammas:
    h = outputs(case, layer)[0] if h is None else h
    function: Any = getattr(gpu, case.kind)
    found: Gammas = function(direction(case, layer.to(DEVICE)), h=h.to(DEVICE), account=account)
    back: Any = (None if t is None else t.cpu() for t in found)
    return Gammas(*back)


@pytest.fixture
def launched(monkeypatch: Any) -> list[str]:
    """The names of the kernels that have been launched, once Triton is known to run."""
    assert gpu.failure(torch.device(DEVICE)) is None
    names: list[str] = []
    launch = gpu._launch

    def noted(name: str, *arguments: Any, **options: Any) -> None:
        names.append(name)
        launch(name, *arguments, **options)

    monkeypatch.setattr(gpu, "_launch", noted)
    return names


@pytest.mark.parametrize("case", CASES, ids=str)
def test_as_good_as_the_reference(case: Case) -> None:
    layer = build(case)
    found = run(case, layer, account=True)
    check_as_good(found, case, layer)
    if not case.stabiliser:
        assert found.stabiliser is not None
        assert not found.stabiliser.any()


@pytest.mark.parametrize(("epsilon", "relative"), [(1e-3, 0.0), (0.0, 0.05)])
@pytest.mark.parametrize("kind", KINDS)
def test_units_in_several_blocks(
    kind: str, epsilon: float, relative: float, monkeypatch: Any
) -> None:
    case = Case(kind, 33, (17, 16, 9, 1), False, True, epsilon, relative)
    monkeypatch.setattr(gpu, "UNITS", 16)
    check_as_good(run(case, build(case), account=True), case, build(case))


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_exact_where_the_library_s_are_not(kind: str, monkeypatch: Any) -> None:
    case = Case(kind, 33, (17, 16, 9, 1), True, True, 1e-3, 0.05)
    layer = build(case)
    h, _ = outputs(case, layer)
    monkeypatch.setattr(gpu, "_library_is_exact", lambda: False)
    check_as_good(run(case, layer, account=True, h=h), case, layer)


def test_whether_the_library_s_products_are_exact() -> None:
    assert gpu._library_is_exact()
    try:
        torch.backends.cuda.matmul.allow_tf32 = True
        assert not gpu._library_is_exact()
    finally:
        torch.backends.cuda.matmul.allow_tf32 = False
    assert gpu._library_is_exact()


@pytest.mark.parametrize("kind", KINDS)
def test_the_account_is_no_part_of_the_answer(kind: str) -> None:
    case = Case(kind, 16, (3, 2, 1), False, True, 1e-3)
    layer = build(case)
    with_account, alone = (fields(run(case, layer, account=a)) for a in (True, False))
    assert len(alone) < len(with_account)
    assert all(value.equal(with_account[name]) for name, value in alone.items())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("narrow", [torch.bfloat16, torch.float16])
def test_narrow_outputs_are_widened(kind: str, narrow: torch.dtype) -> None:
    case = Case(kind, 16, (3, 2, 1), False, True, 1e-3)
    layer = build(case)
    h = outputs(case, layer)[0].to(narrow)
    with torch.autocast(DEVICE, torch.bfloat16):
        found = run(case, layer, account=True, h=h)
    wide = run(case, layer, account=True, h=h.float())
    for name, value in fields(found).items():
        assert value.dtype == torch.float32
        assert value.equal(fields(wide)[name])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_visible(kind: str) -> None:
    case = Case(kind, 16, (3,) * 3, False, True, 1e-3)
    layer = build(case)
    layer.x[0, 0] = torch.nan
    own = torch.arange(9) % 3 == 0
    found = run(case, layer, account=False)
    assert found.x[own].isnan().all()
    assert found.x[~own].isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_huge_values_saturate(kind: str) -> None:
    case = Case(kind, 16, (3,) * 3, False, True, 1e-3)
    layer = build(case)
    layer.x.mul_(1e4)
    assert all(v.isfinite().all() for v in fields(run(case, layer, account=True)).values())


@pytest.mark.parametrize("kind", KINDS)
def test_relevance_that_vanishes_is_zero_not_denormal(kind: str) -> None:
    case = Case(kind, 5, (2,) * 50, False, False, 1e-3)
    layer = build(case)
    layer.weights.ih.mul_(0.2)
    layer.weights.hh.mul_(0.2)
    layer.gamma_h[:-2] = 0
    for gamma in (layer.gamma_h, *layer.gamma_states):
        gamma.mul_(1e-20)
    found = run(case, layer, account=False)
    assert found.x[-2:].any()
    assert not found.x[:2].any()


class Tagger(nn.Module):
    def __init__(self, kind: Any, **options: Any) -> None:
        super().__init__()
        self.embedding = nn.Embedding(30, 6)
        self.recurrent = kind(6, 9, num_layers=2, bidirectional=True, batch_first=True, **options)
        self.head = nn.Linear(2 * self.recurrent.hidden_size, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.recurrent(self.embedding(ids))[0].mean(1))  # type: ignore[no-any-return]


def tagger(kind: Any = nn.LSTM, **options: Any) -> Tagger:
    torch.manual_seed(0)
    return Tagger(kind, **options).eval().to(DEVICE)


IDS = torch.arange(12).reshape(2, 6).to(DEVICE)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_a_whole_model(kind: Any, launched: list[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model = tagger(kind)
    expected = seqlrp.LRP(model, impl="reference").attribute(IDS, target=1)
    lrp = seqlrp.LRP(model, impl="triton")
    found, ledger = lrp.attribute(IDS, target=1, return_ledger=True)
    assert launched.count(f"{kind.__name__.lower()}_backward") == 4
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)
    assert ledger.residual.abs().max() < 1e-4


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: tagger(nn.RNN), "plain RNN"),
        (lambda: tagger(nn.LSTM).double(), "float64"),
    ],
)
def test_what_cannot_be_had_is_refused(model: Any, reason: str) -> None:
    lrp = seqlrp.LRP(model(), impl="triton")
    with pytest.raises(OptionError, match=rf"Got impl 'triton'.*{reason}.*impl='auto'"):
        lrp.attribute(IDS, target=1)


def test_a_projection_is_refused() -> None:
    model = tagger(nn.LSTM, proj_size=4)
    model.head = nn.Linear(8, 3).eval().to(DEVICE)
    with pytest.raises(OptionError, match="proj_size"):
        seqlrp.LRP(model, impl="triton").attribute(IDS, target=1)


def test_auto_takes_it_on_a_gpu_alone(launched: list[str]) -> None:
    seqlrp.LRP(tagger()).attribute(IDS, target=1)
    assert bool(launched) == (DEVICE == "cuda")
