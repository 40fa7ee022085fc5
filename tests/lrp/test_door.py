"""What cannot be explained is refused with its own exception and a sentence; nothing vanishes."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import seqlrp
from seqlrp.errors import (
    IdsError,
    ModelError,
    NoEmbeddingError,
    NonFiniteError,
    OptionError,
    OutputError,
    ProbabilityError,
    RefusedFunctionError,
    ScriptedModelError,
    SeqlrpError,
    TargetError,
    TrainingModeError,
    VocabularyError,
)

V, D, H, C = 30, 5, 4, 3
IDS = torch.randint(1, V, (4, 6), generator=torch.Generator().manual_seed(0))
EPSILON = 0.01


class Classifier(nn.Module):
    """States of an LSTM, and a last step written by somebody."""

    def __init__(self, write: Callable[[Classifier, Tensor], Any] | None = None) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.LayerNorm(H)
        self.lin = nn.Linear(D, H)
        self.head = nn.Linear(H, C)
        self.w = nn.Parameter(torch.ones(H))
        self.write = write or (lambda m, ids: m.head(m.drop(m.last(ids))))

    def out(self, ids: Tensor) -> Tensor:
        states: Tensor = self.lstm(self.emb(ids))[0]
        return states

    def last(self, ids: Tensor) -> Tensor:
        return self.out(ids)[:, -1]

    def forward(self, ids: Tensor) -> Any:
        return self.write(self, ids)


def build(write: Callable[[Classifier, Tensor], Any] | None = None) -> Classifier:
    torch.manual_seed(0)
    model = Classifier(write).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7)
    with torch.no_grad():
        model.emb.weight[0] = 0
    return model


def explain(write: Callable[[Classifier, Tensor], Any], ids: Tensor = IDS, **options: Any) -> Any:
    return seqlrp.LRP(build(write), EPSILON).attribute(
        ids, target=1, return_ledger=True, **options
    )


# The ids


@pytest.mark.parametrize(
    ("ids", "error", "sentence"),
    [
        (torch.tensor([[1, 2, V]]), VocabularyError, rf"Id {V} at position \(0, 2\).*0 to {V - 1}"),
        (torch.tensor([[1, -1]]), VocabularyError, "Id -1"),
        (torch.tensor([[1.0, 2.0]]), IdsError, r"vectors of shape \[1, 2\].*int64.*float32"),
        (torch.tensor([[True, False]]), IdsError, "dtype torch.bool; expected torch.int64"),
        (torch.tensor([[1, 2]], dtype=torch.int16), IdsError, "torch.int16"),
        (torch.tensor([[1, 2]], dtype=torch.uint8), IdsError, "torch.uint8"),
        (torch.tensor([[1, 2]], dtype=torch.complex64), IdsError, "torch.complex64"),
        (torch.tensor(3), IdsError, r"shape \[\]"),
        (torch.ones(1, 1, 1, 1, dtype=torch.int64), IdsError, r"shape \[1, 1, 1, 1\]"),
        (torch.empty(0, 5, dtype=torch.int64), IdsError, "nothing to explain"),
        (torch.empty(2, 0, dtype=torch.int64), IdsError, "nothing to explain"),
        (torch.empty(2, 0, 5), IdsError, "nothing to explain"),
        (torch.tensor([[1, 2], [0, 0]]), IdsError, "Row 1 .* nothing but padding"),
        ([[1, 2]], IdsError, "Got list"),
        (None, IdsError, "Got NoneType"),
        ("a text", IdsError, "Got str"),
        (torch.full((1, 2, D), float("nan")), NonFiniteError, "NaN"),
    ],
    ids=str,
)
def test_ids(ids: Any, error: type[SeqlrpError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        seqlrp.LRP(build()).attribute(ids, target=0)


def test_padding_of_a_wrong_shape_or_dtype() -> None:
    lrp = seqlrp.LRP(build())
    with pytest.raises(IdsError, match=r"shape \[4, 5\].*bool of shape \[4, 6\]"):
        lrp.attribute(IDS, padding=torch.zeros(4, 5, dtype=torch.bool))
    with pytest.raises(IdsError, match="dtype torch.int64"):
        lrp.attribute(IDS, padding=torch.zeros_like(IDS))
    with pytest.raises(IdsError, match="Row 2"):
        lrp.attribute(IDS, padding=(torch.arange(4) == 2).unsqueeze(1).expand(4, 6))
    with pytest.raises(IdsError, match="padding"):
        lrp.attribute(IDS, padding=[[False] * 6] * 4)  # type: ignore[call-overload]


# The target


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        (C, f"target {C}; the model has {C} classes, numbered 0 to {C - 1}"),
        (-1, "target -1"),
        (2**40, "the model has 3 classes"),
        (2**70, "target"),
        (True, "True of type bool"),
        (1.0, "1.0 of type float"),
        (None, "NoneType"),
        ("positive", "'positive'.*'predicted' or 'all'"),
        ("", "''"),
        ([0, 1, 2, 0], "of type list"),
        (torch.tensor([0, 1]), r"shape \[2\].*int64 of shape \[4\]"),
        (torch.tensor([[0], [1], [2], [0]]), r"shape \[4, 1\]"),
        (torch.tensor(1), r"shape \[\]"),
        (torch.tensor([0, 1, -1, 0]), "target -1"),
        (torch.tensor([0, 1, C, 0]), f"target {C}"),
        (torch.tensor([0.0, 1.0, 0.0, 0.0]), "dtype torch.float32"),
        (torch.tensor([True, False, True, True]), "dtype torch.bool"),
    ],
    ids=str,
)
def test_target(target: Any, sentence: str) -> None:
    with pytest.raises(TargetError, match=sentence):
        seqlrp.LRP(build()).attribute(IDS, target=target)


def test_targets_of_numpy_are_ints() -> None:
    numpy = pytest.importorskip("numpy")
    lrp = seqlrp.LRP(build())
    expect = lrp.attribute(IDS, target=1)
    try:
        got = lrp.attribute(IDS, target=numpy.int64(1))
    except TargetError:
        return
    assert got.equal(expect)


# The options


@pytest.mark.parametrize("epsilon", [-1e-3, float("nan"), float("inf"), "0.1", None, True])
def test_epsilon(epsilon: Any) -> None:
    with pytest.raises(OptionError, match="epsilon"):
        seqlrp.LRP(build(), epsilon)


def test_impl() -> None:
    with pytest.raises(OptionError, match="impl 'fast'"):
        seqlrp.LRP(build(), impl="fast")  # type: ignore[arg-type]


# The model


def test_no_module() -> None:
    for model in (lambda ids: ids, None, Classifier):
        with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module"):
            seqlrp.LRP(model)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["lstm.weight_hh_l0", "emb.weight", "head.bias"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_named(name: str, value: float) -> None:
    model = build()
    lrp = seqlrp.LRP(model)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[1] = value
    with pytest.raises(NonFiniteError, match=f"'{name}' has 1 NaN or infinite"):
        seqlrp.LRP(model)
    with pytest.raises(NonFiniteError, match=f"'{name}'"):  # it was fine when LRP was made
        lrp.attribute(IDS)


def test_scores_that_overflow() -> None:
    with pytest.raises(NonFiniteError, match="score"):
        explain(lambda m, ids: m.head(m.last(ids) * 1e200) * 1e200)


@pytest.mark.parametrize("name", ["", "drop", "lstm", "head"])
def test_training_mode(name: str) -> None:
    model = build()
    lrp = seqlrp.LRP(model)
    model.get_submodule(name).train()
    sentence = f"Module '{name}'" if name else "The model"
    with pytest.raises(TrainingModeError, match=rf"{sentence} \(.*model\.eval\(\)"):
        seqlrp.LRP(model)
    with pytest.raises(TrainingModeError, match=sentence):
        lrp.attribute(IDS)
    assert model.get_submodule(name).training


def test_dropout_that_is_on_in_evaluation_mode() -> None:
    for write in (
        lambda m, ids: m.head(F.dropout(m.last(ids))),
        lambda m, ids: m.head(F.dropout(m.last(ids), 0.3, True)),
        lambda m, ids: m.head(torch.dropout(m.last(ids), 0.3, True)),
        lambda m, ids: m.head(F.alpha_dropout(m.last(ids), 0.3, training=True)),
        lambda m, ids: m.head(F.dropout(input=m.last(ids), p=0.1, training=True, inplace=True)),
    ):
        with pytest.raises(TrainingModeError, match="Dropout is on"):
            explain(write)
    explain(lambda m, ids: m.head(F.dropout(m.last(ids), 0.0)))


def test_scripted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = nn.Sequential(nn.Linear(H, C))
        scripted, traced = torch.jit.script(plain), torch.jit.trace(plain, torch.ones(1, H))
    for module in (scripted.eval(), traced.eval()):
        with pytest.raises(ScriptedModelError, match="The model is a TorchScript module"):
            seqlrp.LRP(module)
        model = build()
        model.head = module
        with pytest.raises(ScriptedModelError, match="Module 'head' is a TorchScript"):
            seqlrp.LRP(model)


def test_compiled() -> None:
    model = build()
    expect = seqlrp.LRP(model).attribute(IDS, target=0)
    compiled = torch.compile(model)  # a wrapper: nothing is compiled before it is called
    assert seqlrp.LRP(compiled).attribute(IDS, target=0).equal(expect)  # type: ignore[arg-type]
    model.head = torch.compile(model.head)  # type: ignore[assignment]
    with pytest.raises(ScriptedModelError, match="Module 'head' is compiled"):
        seqlrp.LRP(model)


def test_compiled_in_place() -> None:
    model = build()
    expect = seqlrp.LRP(model).attribute(IDS, target=0)
    model.compile()
    assert seqlrp.LRP(model).attribute(IDS, target=0).equal(expect)


def test_data_parallel() -> None:
    model = build()
    with pytest.raises(ScriptedModelError, match="DataParallel.*module"):
        seqlrp.LRP(nn.DataParallel(model).eval())


# The scores


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda m, ids: (m.head(m.last(ids)), 1), "a tuple of 2.*output=0"),
        (lambda m, ids: [m.head(m.last(ids))], "a list of 1"),
        (lambda m, ids: {"logits": m.head(m.last(ids))}, "a dict.*output='logits'"),
        (lambda m, ids: None, "a NoneType"),
        (lambda m, ids: m.head(m.last(ids)).argmax(1), r"shape \[4\] and dtype torch.int64"),
        (lambda m, ids: m.head(m.last(ids)) > 0, "dtype torch.bool"),
        (lambda m, ids: m.head(m.out(ids)), r"shape \[4, 6, 3\].*\[4, C\]"),
        (lambda m, ids: m.head(m.last(ids))[:2], r"shape \[2, 3\].*\[4, C\]"),
        (lambda m, ids: m.head(m.last(ids)).t(), r"shape \[3, 4\]"),
        (lambda m, ids: m.head(m.last(ids)).sum(1)[:2], r"shape \[2\]"),
        (lambda m, ids: m.head(m.last(ids))[:, :0], r"shape \[4, 0\]"),
        (lambda m, ids: m.head(m.last(ids[:1])).sum(), r"shape \[\]"),
    ],
)
def test_no_scores(write: Any, sentence: str) -> None:
    with pytest.raises(OutputError, match=sentence):
        explain(write)


def test_an_output_that_is_not_there() -> None:
    for output, write in (
        (1, lambda m, ids: (m.head(m.last(ids)),)),
        ("logits", lambda m, ids: {"scores": m.head(m.last(ids))}),
        ("logits", lambda m, ids: (m.head(m.last(ids)),)),
        (0, lambda m, ids: {"scores": m.head(m.last(ids))}),
    ):
        with pytest.raises(OutputError, match=f"no part {output!r}"):
            seqlrp.LRP(build(write), output=output).attribute(IDS)


@pytest.mark.parametrize(
    "write",
    [
        lambda m, ids: torch.softmax(m.head(m.last(ids)), 1),
        lambda m, ids: F.softmax(m.head(m.last(ids)), dim=-1),
        lambda m, ids: nn.Softmax(1)(m.head(m.last(ids))),
        lambda m, ids: torch.sigmoid(m.head(m.last(ids))),
        lambda m, ids: m.head(m.last(ids))[:, 0].sigmoid(),
        lambda m, ids: torch.sigmoid(m.head(m.last(ids))[:, :1]).squeeze(1),
        lambda m, ids: F.log_softmax(m.head(m.last(ids)), dim=1),
        lambda m, ids: nn.LogSoftmax(1)(m.head(m.last(ids))),
        lambda m, ids: F.logsigmoid(m.head(m.last(ids))),
        lambda m, ids: torch.log(torch.softmax(m.head(m.last(ids)), 1)),
        lambda m, ids: torch.softmax(m.head(m.last(ids)), 1).float(),
        lambda m, ids: (lambda p: torch.cat([1 - p, p], 1))(m.head(m.last(ids))[:, :1].sigmoid()),
        lambda m, ids: (lambda e: e / e.sum(1, keepdim=True))(m.head(m.last(ids)).exp()),
    ],
)
def test_probabilities(write: Any) -> None:
    with pytest.raises(ProbabilityError, match="probabilities.*scores"):
        explain(write)


@pytest.mark.parametrize(
    "write",
    [
        lambda m, ids: m.head(m.lstm(F.one_hot(ids, V).double() @ m.emb.weight)[0][:, -1]),
        lambda m, ids: m.head(m.lstm(m.emb.weight[ids])[0][:, -1]),
        lambda m, ids: m.head(torch.ones(len(ids), H, dtype=torch.float64)),
        lambda m, ids: m.head(m.last(torch.tensor(ids.tolist()))),
        lambda m, ids: m.head(ids[:, :H].double()),
        lambda m, ids: m.head(m.w.expand(len(ids), -1)),
    ],
)
def test_no_embedding(write: Any) -> None:
    with pytest.raises(NoEmbeddingError, match="do not depend on any embedding"):
        explain(write)


def test_a_part_of_the_ids_that_no_embedding_followed_is_a_constant() -> None:
    # What is not looked up by an embedding has no words to give relevance to.
    def write(m: Classifier, ids: Tensor) -> Tensor:
        return m.head(m.last(ids) + ids.double().mean(1, keepdim=True))

    relevance, ledger = explain(write)
    assert ledger.residual.abs().max() < 1e-12
    assert ledger.total("constant").abs().min() > 0


# Functions without a law


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda m, ids: m.head(torch.cumprod(m.last(ids), 1)), r"torch\.cumprod in the model"),
        (lambda m, ids: m.head(m.last(ids).cumprod(1)), r"torch\.Tensor\.cumprod"),
        (lambda m, ids: m.head(m.norm(m.last(ids))), r"layer_norm in module 'norm'"),
        (lambda m, ids: m.head(F.normalize(m.last(ids))), "normalize"),
        (lambda m, ids: m.head(m.last(ids)[:1] * m.last(ids)[:1].sum().item()), "item"),
        (lambda m, ids: m.head(m.last(ids)[:1] * float(m.last(ids)[0, 0])), "float|item"),
        (lambda m, ids: m.head(torch.tensor(m.last(ids).tolist()).double()), "tolist"),
        (lambda m, ids: m.head(torch.from_numpy(m.last(ids).detach().numpy())), "numpy"),
        (lambda m, ids: m.head(torch.tensor(m.last(ids))), r"torch\.tensor"),
        (lambda m, ids: m.head(m.last(ids).tan()), "tan"),
        (lambda m, ids: m.head(torch.fft.fft(m.last(ids)).real), "fft"),
        (lambda m, ids: m.head(torch.cdist(m.last(ids), m.w.unsqueeze(0)) * m.w), "cdist"),
        (lambda m, ids: m.head(torch.linalg.norm(m.last(ids), dim=1, keepdim=True) * m.w), "norm"),
    ],
)
def test_unknown_functions_are_refused_by_name(write: Any, sentence: str) -> None:
    with pytest.raises(RefusedFunctionError, match=sentence):
        explain(write, IDS[:1])


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda m, ids: m.head(m.w / (3 + m.last(ids))), "division by a signal"),
        (lambda m, ids: m.head(m.last(ids) / (1 + m.last(ids))), "division by a signal"),
        (lambda m, ids: m.head(1 / (3 + m.last(ids))), "division by a signal"),
        (lambda m, ids: m.head(torch.div(m.w, 3 + m.last(ids))), "division by a signal"),
        (lambda m, ids: m.head(m.last(ids).div_(3 + m.last(ids))), "division by a signal"),
        (lambda m, ids: m.head(torch.softmax(m.last(ids), 1)), "linear in module 'head'.*gate"),
        (lambda m, ids: m.head(torch.exp(m.last(ids))), "gate"),
        (lambda m, ids: m.head(m.last(ids) + torch.softmax(m.last(ids), 1)), "gate"),
        (lambda m, ids: m.head(torch.tanh(torch.softmax(m.last(ids), 1))), "gate"),
        (lambda m, ids: m.head(torch.cat([m.last(ids), m.last(ids).exp()], 1)[:, 2:6]), "gate"),
        (lambda m, ids: m.lstm(torch.softmax(m.emb(ids), 2))[0][:, -1], "gate"),
        (lambda m, ids: m.head(torch.div(m.last(ids), 2, rounding_mode="floor")), "rounds"),
        (lambda m, ids: m.head(F.linear(m.last(ids), m.out(ids)[0, :H])), "weights|documents"),
    ],
)
def test_laws_refuse_what_they_do_not_cover(write: Any, sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        explain(write)


@pytest.mark.parametrize(
    "write",
    [
        lambda m, ids: m.head(m.last(ids) + torch.rand(H, dtype=torch.float64)),
        lambda m, ids: m.head(m.last(ids) + torch.randn(H, dtype=torch.float64)),
        lambda m, ids: m.head(m.last(ids) + torch.rand_like(m.last(ids))),
        lambda m, ids: m.head(m.last(ids) * torch.bernoulli(torch.full((H,), 0.5).double())),
        lambda m, ids: m.head(m.last(ids) + torch.empty(H, dtype=torch.float64).normal_()),
        lambda m, ids: m.head(m.last(ids) + torch.zeros(H, dtype=torch.float64).uniform_(-1, 1)),
        lambda m, ids: m.head(m.out(ids)[:, torch.randperm(6)].sum(1)),
        lambda m, ids: m.head(m.last(ids) + nn.init.normal_(torch.empty(H).double())),
        lambda m, ids: m.head(m.last(ids) + torch.normal(0.0, 1.0, (H,)).double()),
        lambda m, ids: m.head(F.rrelu(m.last(ids), training=True)),
        lambda m, ids: m.head(m.last(ids) * F.gumbel_softmax(m.last(ids), dim=1)),
    ],
)
def test_random_functions(write: Any) -> None:
    state = torch.get_rng_state()
    with pytest.raises(ModelError, match="random|no law"):
        explain(write)
    torch.set_rng_state(state)


def test_documents_that_meet() -> None:
    for write in (
        lambda m, ids: m.head(m.last(ids) - m.last(ids).mean(0)),
        lambda m, ids: m.head(m.last(ids) @ m.last(ids).T @ m.last(ids)),
        lambda m, ids: m.head(m.last(ids).sort(0).values),
        lambda m, ids: m.head(m.last(ids) + m.last(ids)[:1]),
        lambda m, ids: m.head(m.last(ids) + m.last(ids).flip([0])),
        lambda m, ids: m.head(m.last(ids).roll(1, 0)),
    ):
        with pytest.raises(ModelError, match="documents"):
            explain(write)


# A signal never vanishes: right, or refused


def canonical(m: Classifier, ids: Tensor) -> Tensor:
    return m.head(torch.tanh(m.last(ids)))


def tanh_of(change: Callable[[Classifier, Tensor], Tensor]) -> Callable[[Classifier, Tensor], Any]:
    return lambda m, ids: m.head(change(m, m.last(ids)))


def in_a_thread(m: Classifier, h: Tensor) -> Tensor:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(torch.tanh(h)))
    thread.start()
    thread.join()
    return found[0]


def unseen(m: Classifier, h: Tensor) -> Tensor:
    with torch._C.DisableTorchFunction():
        return torch.tanh(h)


def in_inference_mode(m: Classifier, h: Tensor) -> Tensor:
    with torch.inference_mode():
        y = torch.tanh(h)
    return y.clone()


def without_gradients(m: Classifier, h: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.tanh(h)


class StraightThrough(torch.autograd.Function):
    """A user's own backward, which is a gradient's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.tanh(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient


VANISHING: dict[str, Callable[[Classifier, Tensor], Tensor]] = {
    "another thread": in_a_thread,
    "torch functions disabled": unseen,
    "inference mode": in_inference_mode,
    "no_grad": without_gradients,
    "a function of the user's own": lambda m, h: StraightThrough.apply(h),  # type: ignore[no-any-return,no-untyped-call]
    "vmap": lambda m, h: torch.vmap(torch.tanh)(h),
    "detach": lambda m, h: h.detach().tanh(),
    "data": lambda m, h: torch.tanh(h.data),
    "a parameter": lambda m, h: nn.Parameter(h).tanh(),
    "checkpoint": lambda m, h: torch.utils.checkpoint.checkpoint(
        torch.tanh, h, use_reentrant=False
    ),
    "aten": lambda m, h: torch.ops.aten.tanh(h),
    "functional_call": lambda m, h: torch.func.functional_call(nn.Tanh(), {}, (h,)),
    "as_subclass": lambda m, h: h.as_subclass(type("Mine", (Tensor,), {})).tanh(),
    "out=": lambda m, h: torch.tanh(h, out=torch.empty_like(h)),
    "set_": lambda m, h: torch.empty(0, dtype=h.dtype).set_(h.detach()).tanh(),
    "a legacy constructor": lambda m, h: torch.Tensor(h.double()).tanh(),
    "copy_": lambda m, h: torch.empty_like(h).copy_(h).tanh(),
    "fill by index": lambda m, h: h.new_zeros(h.shape).index_copy_(0, torch.arange(len(h)), h).tanh(),
    "scatter": lambda m, h: h.new_zeros(h.shape).scatter(
        1, torch.arange(H).expand(len(h), -1), h
    ).tanh(),
    "index_put": lambda m, h: h.new_zeros(h.shape).index_put((torch.arange(len(h)),), h).tanh(),
    "index_put_": lambda m, h: h.new_zeros(h.shape).index_put_((torch.arange(len(h)),), h).tanh(),
    "index_add_": lambda m, h: h.new_zeros(h.shape).index_add_(0, torch.arange(len(h)), h).tanh(),
    "dlpack": lambda m, h: torch.utils.dlpack.from_dlpack(torch.utils.dlpack.to_dlpack(h.detach())),
    "deepcopy": lambda m, h: __import__("copy").deepcopy(h.detach()).tanh(),
}  # fmt: skip


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a signal"])
@pytest.mark.parametrize("account", [False, True], ids=["no ledger", "ledger"])
@pytest.mark.parametrize("name", VANISHING)
@pytest.mark.filterwarnings("ignore")
def test_a_signal_never_vanishes(name: str, account: bool, beside: bool) -> None:
    change = VANISHING[name]
    if name == "dlpack":  # there is no tanh in it
        expected: Any = (lambda m, h: h) if not beside else (lambda m, h: h + h)
    else:
        expected = (lambda m, h: h.tanh()) if not beside else (lambda m, h: h.tanh() + h)
    write: Any = change if not beside else (lambda m, h: change(m, h) + h)
    try:
        found = seqlrp.LRP(build(tanh_of(write)), EPSILON).attribution(IDS, 1, account=account)
    except SeqlrpError:
        return
    expect = seqlrp.LRP(build(tanh_of(expected)), EPSILON).attribution(IDS, 1)
    torch.testing.assert_close(found.relevance, expect.relevance, rtol=0, atol=1e-12)
    if found.ledger is not None:
        assert found.ledger.residual.abs().max() < 1e-12


# A function has many spellings: each equal, or refused


def states(m: Classifier, ids: Tensor) -> Tensor:
    return m.out(ids)


SPELLINGS: dict[str, tuple[Callable[..., Any], list[Callable[..., Any]]]] = {
    "mean": (
        lambda m, i: m.head(m.out(i).mean(1)),
        [
            lambda m, i: m.head(torch.mean(input=m.out(i), dim=1)),
            lambda m, i: m.head(torch.mean(m.out(i), axis=1)),
            lambda m, i: m.head(m.out(i).mean(dim=(-2,))),
            lambda m, i: m.head(m.out(i).mean(1, keepdim=True).squeeze(dim=1)),
            lambda m, i: m.head(m.out(i).sum(dim=1) / i.size(1)),
            lambda m, i: m.head(torch.sum(input=m.out(i), dim=[1]).div(6)),
            lambda m, i: m.head(torch.div(input=m.out(i).sum(1), other=6)),
            lambda m, i: m.head(torch.div(m.out(i).sum(1), other=6)),
            lambda m, i: m.head(1 / 6 * m.out(i).sum(1)),
            lambda m, i: m.head(torch.mul(input=m.out(i).sum(1), other=1 / 6)),
            lambda m, i: m.head(m.out(i).sum(1).true_divide(6)),
            lambda m, i: m.head(torch.stack(tensors=m.out(i).unbind(1), dim=1).mean(1)),
            lambda m, i: m.head(torch.cat(tensors=[m.out(i)[:, :3], m.out(i)[:, 3:]], dim=1).mean(1)),
            lambda m, i: m.head(torch.concat((m.out(i)[:, :3], m.out(i)[:, 3:]), axis=1).mean(1)),
            lambda m, i: m.head(torch.hstack([m.out(i)[:, :3], m.out(i)[:, 3:]]).mean(1)),
            lambda m, i: m.head(nn.Identity()(nn.Flatten(0, 1)(m.out(i))).unflatten(0, (-1, 6)).mean(1)),
            lambda m, i: m.head(m.out(i)[..., None, :].mean(1).squeeze(1)),
            lambda m, i: m.head(m.out(i)[None][0].mean(1)),
            lambda m, i: m.head(m.out(i)[:, torch.arange(6)].mean(1)),
            lambda m, i: m.head(m.out(i)[i >= 0].view(len(i), 6, H).mean(1)),
            lambda m, i: m.head(m.out(i).flip(1).mean(1)),
            lambda m, i: m.head(m.out(i).flip(dims=(1,)).mean(1)),
            lambda m, i: m.head(torch.flip(input=m.out(i), dims=[1]).mean(1)),
            lambda m, i: m.head(m.out(i).roll(2, 1).mean(1)),
            lambda m, i: m.head(torch.reshape(input=m.out(i).mean(1), shape=(len(i), H))),
            lambda m, i: m.head(m.out(i).mean(1).reshape((len(i), -1))),
            lambda m, i: m.head(torch.transpose(input=m.out(i), dim0=0, dim1=1).mean(0)),
            lambda m, i: m.head(m.out(i).permute(dims=(1, 0, 2)).mean(0)),
            lambda m, i: m.head(m.out(i).where((i > 0).unsqueeze(-1), torch.zeros(1).double()).mean(1)),
            lambda m, i: m.head(torch.where((i > 0)[..., None], input=m.out(i), other=0.0).mean(1)),
            lambda m, i: m.head(torch.masked_fill(input=m.out(i), mask=(i < 0)[..., None], value=0).mean(1)),
            lambda m, i: m.head(m.out(i).masked_fill((i < 0)[..., None], torch.tensor(0.0).double()).mean(1)),
            lambda m, i: m.head(F.adaptive_avg_pool1d(m.out(i).mT, 1).squeeze(2)),
            lambda m, i: m.head(torch.index_select(input=m.out(i), dim=1, index=torch.arange(6)).mean(1)),
            lambda m, i: m.head(m.out(i).contiguous().view(m.out(i).shape).clone().mean(1)),
            lambda m, i: m.head(m.out(i).expand_as(m.out(i)).view_as(m.out(i)).reshape_as(m.out(i)).mean(1)),
        ],
    ),
    "linear": (
        lambda m, i: m.head(m.last(i)),
        [
            lambda m, i: F.linear(input=m.last(i), weight=m.head.weight, bias=m.head.bias),
            lambda m, i: F.linear(bias=m.head.bias, weight=m.head.weight, input=m.last(i)),
            lambda m, i: torch.matmul(input=m.last(i), other=m.head.weight.T) + m.head.bias,
            lambda m, i: torch.matmul(other=m.head.weight.T, input=m.last(i)) + m.head.bias,
            lambda m, i: torch.mm(mat2=m.head.weight.T, input=m.last(i)) + m.head.bias,
            lambda m, i: m.head.bias + m.last(i).mm(m.head.weight.T),
            lambda m, i: m.last(i).__matmul__(m.head.weight.T).__radd__(m.head.bias),
            lambda m, i: m.head.weight.T.__rmatmul__(m.last(i)) + m.head.bias,
            lambda m, i: torch.add(input=m.last(i) @ m.head.weight.T, other=m.head.bias),
            lambda m, i: torch.add(other=m.head.bias, input=m.last(i) @ m.head.weight.T),
            lambda m, i: torch.add(m.last(i) @ m.head.weight.T, m.head.bias, alpha=1),
            lambda m, i: torch.add(m.last(i) @ m.head.weight.T, m.head.bias / 2, alpha=2),
            lambda m, i: torch.sub(input=m.last(i) @ m.head.weight.T, other=-m.head.bias),
            lambda m, i: torch.sub(m.last(i) @ m.head.weight.T, -m.head.bias / 2, alpha=2),
            lambda m, i: torch.rsub(-m.head.bias, m.last(i) @ m.head.weight.T),
            lambda m, i: m.head.bias - (-(m.last(i) @ m.head.weight.T)),
            lambda m, i: m.head.bias.__rsub__(-(m.last(i) @ m.head.weight.T)).neg().__neg__() + 2 * m.head.bias,
            lambda m, i: torch.addmm(m.head.bias, m.last(i), m.head.weight.T),
            lambda m, i: torch.addmm(input=m.head.bias, mat1=m.last(i), mat2=m.head.weight.T),
            lambda m, i: torch.addmm(m.head.bias, m.last(i), m.head.weight.T, beta=1, alpha=1),
            lambda m, i: m.head.bias.expand(len(i), -1).addmm(m.last(i), m.head.weight.T),
            lambda m, i: torch.einsum("bh,ch->bc", m.last(i), m.head.weight) + m.head.bias,
            lambda m, i: torch.einsum("bh,ch", [m.last(i), m.head.weight]) + m.head.bias,
            lambda m, i: torch.einsum("...h,ch->...c", m.last(i), m.head.weight) + m.head.bias,
            lambda m, i: torch.bmm(input=m.last(i).unsqueeze(1), mat2=m.head.weight.T.expand(len(i), H, C))[:, 0] + m.head.bias,
            lambda m, i: torch.stack([torch.mv(m.head.weight, h) + m.head.bias for h in m.last(i)]),
            lambda m, i: torch.stack([torch.addmv(m.head.bias, m.head.weight, h) for h in m.last(i)]),
            lambda m, i: torch.baddbmm(m.head.bias.expand(len(i), 1, C), m.last(i).unsqueeze(1), m.head.weight.T.expand(len(i), H, C)).squeeze(1),
            lambda m, i: torch.stack([m.head(h) for h in m.last(i)]),
            lambda m, i: torch.cat([m.head(m.last(i)[:, None])[b] for b in range(len(i))]),
            lambda m, i: torch.inner(m.last(i), m.head.weight) + m.head.bias,
            lambda m, i: torch.tensordot(m.last(i), m.head.weight, dims=([1], [1])) + m.head.bias,
        ],
    ),
    "activation": (
        lambda m, i: m.head(F.relu(m.lin(m.emb(i)).mean(1))),
        [
            lambda m, i: m.head(m.lin(m.emb(i)).mean(1).relu()),
            lambda m, i: m.head(m.lin(m.emb(i)).mean(1).relu_()),
            lambda m, i: m.head(torch.relu_(m.lin(m.emb(i)).mean(1))),
            lambda m, i: m.head(nn.ReLU(inplace=True)(m.lin(m.emb(i)).mean(1))),
            lambda m, i: m.head(F.relu(input=m.lin(m.emb(i)).mean(1), inplace=False)),
            lambda m, i: m.head(F.relu(m.lin(m.emb(i)).mean(1), inplace=True)),
            lambda m, i: m.head(F.leaky_relu(m.lin(m.emb(i)).mean(1), negative_slope=0.0)),
            lambda m, i: m.head(m.lin(m.emb(i)).mean(1).clamp(min=0)),
            lambda m, i: m.head(torch.clamp_min(m.lin(m.emb(i)).mean(1), 0)),
            lambda m, i: m.head(torch.max(m.lin(m.emb(i)).mean(1), torch.zeros(H).double())),
            lambda m, i: m.head(torch.maximum(m.lin(m.emb(i)).mean(1), torch.zeros(H).double())),
            lambda m, i: (lambda h: m.head(torch.where(h > 0, h, 0.0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h.where(h > 0, torch.zeros_like(h))))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h * (h > 0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head((h > 0).double() * h))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h.masked_fill(h < 0, 0.0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: m.head(h.masked_fill_(h < 0, 0.0)))(m.lin(m.emb(i)).mean(1)),
            lambda m, i: (lambda h: (h.__setitem__(h < 0, 0.0), m.head(h))[1])(m.lin(m.emb(i)).mean(1)),
        ],
    ),
    "relu of a view": (
        lambda m, i: m.head(F.relu(m.last(i))),
        [
            lambda m, i: m.head(nn.ReLU(inplace=True)(m.last(i))),
            lambda m, i: m.head(m.last(i).relu_()),
            lambda m, i: m.head(nn.ReLU(inplace=True)(m.lstm(m.emb(i))[1][0][-1])),
        ],
    ),
    "residual": (
        lambda m, i: (lambda x: m.head((x + torch.tanh(x)).mean(1)))(m.lin(m.emb(i))),
        [
            lambda m, i: (lambda x: m.head((torch.tanh(x) + x).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(torch.add(input=x, other=x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(x.add(other=x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(torch.add(x, x.tanh(), alpha=1.0).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head((x - -x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(torch.rsub(-x.tanh(), x).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(x.clone().add_(x.tanh()).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x: m.head(x.tanh().add_(x).mean(1)))(m.lin(m.emb(i))),
            lambda m, i: (lambda x, y: m.head(y.__iadd__(x).mean(1)))(*(lambda x: (x, x.tanh()))(m.lin(m.emb(i)))),
            lambda m, i: (lambda x: m.head((x + 1.0 * x.tanh()).mean(1)))(m.lin(m.emb(i))),
        ],
    ),
    "maximum": (
        lambda m, i: m.head(m.out(i).max(1).values),
        [
            lambda m, i: m.head(m.out(i).max(dim=1)[0]),
            lambda m, i: m.head(torch.max(input=m.out(i), dim=1)[0]),
            lambda m, i: m.head(torch.max(m.out(i), 1, True)[0].squeeze(1)),
            lambda m, i: m.head(torch.amax(input=m.out(i), dim=(1,))),
            lambda m, i: m.head(m.out(i).amax(-2)),
            lambda m, i: m.head(nn.MaxPool1d(6)(m.out(i).mT).squeeze(2)),
            lambda m, i: m.head(F.max_pool1d(m.out(i).mT, kernel_size=6).squeeze(-1)),
            lambda m, i: m.head(nn.AdaptiveMaxPool1d(1)(m.out(i).mT).squeeze(-1)),
            lambda m, i: m.head(m.out(i).topk(k=1, dim=1).values.squeeze(1)),
            lambda m, i: m.head(torch.sort(m.out(i), 1)[0][:, -1]),
            lambda m, i: m.head(m.out(i).sort(dim=1, descending=True).values[:, 0]),
            lambda m, i: m.head(-(-m.out(i)).min(1).values),
            lambda m, i: (lambda o: m.head(o.gather(1, o.argmax(1, keepdim=True))[:, 0]))(m.out(i)),
            lambda m, i: m.head(torch.max(m.out(i)[:, :3], m.out(i)[:, 3:]).max(1).values),
        ],
    ),
    "embedding": (
        lambda m, i: m.head(m.lstm(m.emb(i))[0][:, -1]),
        [
            lambda m, i: m.head(m.lstm(F.embedding(input=i, weight=m.emb.weight))[0][:, -1]),
            lambda m, i: m.head(m.lstm(F.embedding(weight=m.emb.weight, input=i, padding_idx=0))[0][:, -1]),
            lambda m, i: m.head(m.lstm(torch.embedding(m.emb.weight, i))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.t().contiguous()).transpose(0, 1))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.flatten()).view(*i.shape, -1))[0][:, -1]),
            lambda m, i: m.head(m.lstm(torch.stack([m.emb(i[:, t]) for t in range(i.shape[1])], 1))[0][:, -1]),
            lambda m, i: m.head(m.lstm(torch.cat([m.emb(r[None]) for r in i]))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.int().long().clone().clamp(0, V - 1)))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(torch.where(i < V, i, 1)))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.masked_fill(i >= V, 1)))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(F.pad(i, (1, 0)))[:, 1:])[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i.flip(1)).flip([1]))[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(i)[[3, 1, 0, 2]][[2, 1, 3, 0]])[0][:, -1]),
            lambda m, i: m.head(m.lstm(m.emb(torch.unique(i, return_inverse=True)[0])[torch.unique(i, return_inverse=True)[1]])[0][:, -1]),
        ],
    ),
}  # fmt: skip
EACH = [
    pytest.param(first, other, id=f"{name}-{k}")
    for name, (first, others) in SPELLINGS.items()
    for k, other in enumerate(others)
]


@pytest.mark.parametrize(("first", "other"), EACH)
def test_every_spelling_is_equal_or_refused(first: Any, other: Any) -> None:
    same = torch.allclose(build(first)(IDS), build(other)(IDS))
    try:
        relevance, ledger = explain(other)
    except SeqlrpError as error:
        assert len(str(error)) > 40  # a sentence
        return
    assert same or other is SPELLINGS["linear"][1][16]
    expect, account = explain(first)
    if same:
        torch.testing.assert_close(relevance, expect, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            ledger.total("stabiliser"), account.total("stabiliser"), rtol=0, atol=1e-12
        )
    assert ledger.residual.abs().max() < 1e-12
    for ids in (IDS[:1], IDS[2:3]):  # a batch of one
        alone, _ = explain(other, ids)
        if other not in SPELLINGS["embedding"][1]:
            torch.testing.assert_close(alone, explain(first, ids)[0], rtol=0, atol=1e-12)


# These are common enough that a refusal would be wrong.
COMMON = [
    *(SPELLINGS["mean"][1][k] for k in (0, 2, 4, 5, 20, 21)),
    *SPELLINGS["linear"][1][:4], SPELLINGS["linear"][1][17],
    *SPELLINGS["activation"][1][:6], SPELLINGS["activation"][1][7],
    *SPELLINGS["relu of a view"][1],
    *SPELLINGS["residual"][1],
    *SPELLINGS["maximum"][1][:8],
    *SPELLINGS["embedding"][1][:6],
]  # fmt: skip


@pytest.mark.parametrize("write", COMMON)
def test_common_spellings_are_not_refused(write: Any) -> None:
    explain(write)


# Written in place through views


def test_a_base_read_after_a_view_was_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        out = m.out(ids)
        out[:, 0].mul_(2.0)
        return m.head(out.sum(1))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        out = m.out(ids)
        return m.head(torch.cat([out[:, :1] * 2.0, out[:, 1:]], 1).sum(1))

    equal_or_refused(write, plain)


def test_a_view_read_after_its_base_was_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids).clone()
        first = h[:, :]
        h.tanh_()
        return m.head(first)

    equal_or_refused(write, canonical)


def test_a_view_of_a_gate_that_is_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        gates = torch.sigmoid(m.w * h)
        gates[:, :2] *= 0.5
        return m.head(gates * h)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        gates = torch.sigmoid(m.w * h)
        return m.head(torch.cat([gates[:, :2] * 0.5, gates[:, 2:]], 1) * h)

    equal_or_refused(write, plain)


def test_a_view_of_a_pre_activation_that_is_written() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        z[:, :2].tanh_()
        return m.head(z)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        return m.head(torch.cat([z[:, :2].tanh(), z[:, 2:]], 1))

    equal_or_refused(write, plain)


def test_a_buffer_of_constants_filled_step_by_step() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        out = torch.zeros(len(ids), ids.shape[1], H, dtype=torch.float64)
        for t, h in enumerate(m.lin(m.emb(ids)).unbind(1)):
            out[:, t] = h
        return m.head(out.tanh().mean(1))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        return m.head(m.lin(m.emb(ids)).tanh().mean(1))

    relevance, ledger = explain(write)
    torch.testing.assert_close(relevance, explain(plain)[0], rtol=0, atol=1e-12)
    assert ledger.residual.abs().max() < 1e-12


def test_a_pre_activation_that_is_read_before_it_is_written_over() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        y = torch.tanh(z)
        z.mul_(0.0)
        return m.head(y + z)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        z = m.lin(m.emb(ids)).mean(1)
        return m.head(torch.tanh(z) + z * 0.0)

    equal_or_refused(write, plain)


def test_a_gate_that_is_written_over_after_it_was_used() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        gate = torch.sigmoid(m.w * h)
        y = gate * h
        gate.zero_()
        return m.head(y)

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids)
        return m.head(torch.sigmoid(m.w * h) * h)

    equal_or_refused(write, plain)


def test_a_signal_that_is_squared_in_place() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids).tanh()
        return m.head(h.mul_(h))

    def plain(m: Classifier, ids: Tensor) -> Tensor:
        h = m.last(ids).tanh()
        return m.head(h * h)

    equal_or_refused(write, plain)


def equal_or_refused(write: Any, plain: Any) -> None:
    assert torch.allclose(build(write)(IDS), build(plain)(IDS))
    for account in (True, False):
        try:
            found = seqlrp.LRP(build(write), EPSILON).attribution(IDS, 1, account=account)
        except SeqlrpError as error:
            assert len(str(error)) > 40
            continue
        expect = seqlrp.LRP(build(plain), EPSILON).attribute(IDS, 1)
        torch.testing.assert_close(found.relevance, expect, rtol=0, atol=1e-12)
        if found.ledger is not None:
            assert found.ledger.residual.abs().max() < 1e-12
