"""What cannot be explained is refused with its own exception and a sentence; nothing vanishes."""


# mypy: disable-error-code="no-any-return, no-untyped-call, operator, arg-type, assignment"
# mypy: disable-error-code="call-overload, call-arg, attr-defined, override"

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples.functional_classifier import IDS, C, Classifier, D, H, V, build, explain
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import seqlrp
from seqlrp.engine.checks import all_finite, select_scores
from seqlrp.engine.modules import modules_of
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
    UnfollowedWordsError,
    VocabularyError,
)
from seqlrp.methods import DeepLIFT, GradientXInput, Occlusion

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
    with pytest.raises(IdsError, match=r"dtype torch.int64"):
        lrp.attribute(IDS, padding=torch.zeros_like(IDS))
    with pytest.raises(IdsError, match="Row 2"):
        lrp.attribute(IDS, padding=(torch.arange(4) == 2).unsqueeze(1).expand(4, 6))
    with pytest.raises(IdsError, match="padding"):
        lrp.attribute(IDS, padding=[[False] * 6] * 4)


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
        ([0.0, 1.0], "of type list"),
        (torch.tensor([0, 1]), r"shape \[2\].*int64 of shape \[4\]"),
        (torch.tensor([[0], [1], [2], [0]]), r"shape \[4, 1\]"),
        (torch.tensor(1.0), r"shape \[\]"),
        (torch.tensor(C), f"target {C}"),
        (np.int64(-1), "target -1"),
        (np.float64(1), "dtype torch.float64"),
        (np.array(["positive"]), "of type ndarray"),
        ([2**70], "of type list"),
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


@pytest.mark.parametrize(
    "target",
    [
        np.int64(1), np.uint8(1), np.array(1), torch.tensor(1), torch.tensor(1, dtype=torch.int32),
        [np.int64(1)] * 4, np.array([1, 1, 1, 1]),
    ],
    ids=repr,
)  # fmt: skip
def test_integers_of_numpy_and_of_single_tensors_are_classes(target: Any) -> None:
    lrp = seqlrp.LRP(build())
    assert lrp.attribute(IDS, target=target).equal(lrp.attribute(IDS, target=1))
    pair = lrp.attribute(IDS, target=(target, np.int64(0)))
    assert pair.equal(lrp.attribute(IDS, target=(1, 0)))


# The options


@pytest.mark.parametrize(
    "epsilon", [-1e-3, float("nan"), float("inf"), "0.1", "-5%", "5%%", "%", "inf%", None, True]
)
def test_epsilon(epsilon: Any) -> None:
    with pytest.raises(OptionError, match="epsilon"):
        seqlrp.LRP(build(), epsilon)


def test_impl() -> None:
    with pytest.raises(OptionError, match="impl='fast'"):
        seqlrp.LRP(build(), impl="fast")


# The model


def test_no_module() -> None:
    for model in (lambda ids: ids, None, Classifier):
        with pytest.raises(ModelError, match=r"expected a torch\.nn\.Module"):
            seqlrp.LRP(model)


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


def test_a_frozen_parameter_may_be_a_mask() -> None:
    masks = torch.full((5, 5), -torch.inf, dtype=torch.float64).triu(1)

    def attend(m: Classifier, ids: Tensor) -> Tensor:
        h = m.out(ids)
        return m.head(((h @ h.transpose(1, 2) + m.mask).softmax(-1) @ h).mean(1))

    found = []
    for kind in ("parameter", "buffer"):
        model = build(attend)
        if kind == "parameter":
            model.mask = nn.Parameter(masks, requires_grad=False)
        else:
            model.register_buffer("mask", masks)
        found.append(seqlrp.LRP(model).attribute(IDS[:, :5], 0))
    torch.testing.assert_close(*found)
    model = build(attend)
    model.mask = nn.Parameter(masks * torch.nan, requires_grad=False)
    with pytest.raises(NonFiniteError, match="'mask'"):
        seqlrp.LRP(model).attribute(IDS[:, :5], 0)


@pytest.mark.parametrize("method", ["lrp", "gradient_x_input"])
def test_a_lazy_module_has_to_run_first(method: str) -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.LazyLinear(2)).eval()
    with pytest.raises(ModelError, match=r"'2\.weight' has no shape yet.*run the model once"):
        seqlrp.METHODS[method](model).attribute(torch.tensor([[1, 2]]), 0)


@pytest.mark.parametrize("method", ["gradient_x_input", "integrated_gradients"])
def test_checkpointing_is_refused(method: str) -> None:
    def checkpointed(m: Classifier, ids: Tensor) -> Tensor:
        return m.head(checkpoint(torch.tanh, m.last(ids), use_reentrant=True))

    with pytest.raises(RefusedFunctionError, match="uses checkpointing"):
        seqlrp.METHODS[method](build(checkpointed)).attribute(IDS, 0)


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
def test_nested_ids() -> None:
    ids = torch.nested.nested_tensor([IDS[0], IDS[1, :2]])
    with pytest.raises(IdsError, match="a nested tensor of ids"):
        seqlrp.LRP(build(lambda m, ids: m.head(m.last(ids)))).attribute(ids, 0)


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


@pytest.mark.filterwarnings("ignore")  # torch.compile's own
def test_compiled() -> None:
    model = build()
    expect = seqlrp.LRP(model).attribute(IDS, target=0)
    compiled = torch.compile(model)  # a wrapper: nothing is compiled before it is called
    assert seqlrp.LRP(compiled).attribute(IDS, target=0).equal(expect)
    model.head = torch.compile(model.head)
    with pytest.raises(ScriptedModelError, match="Module 'head' is compiled"):
        seqlrp.LRP(model)


@pytest.mark.filterwarnings("ignore")
def test_compiled_in_place() -> None:
    model = build()
    expect = seqlrp.LRP(model).attribute(IDS, target=0)
    model.compile()
    assert seqlrp.LRP(model).attribute(IDS, target=0).equal(expect)


def test_data_parallel() -> None:
    model = build()
    with pytest.raises(ScriptedModelError, match=r"DataParallel.*module"):
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
        (lambda m, ids: m.head(m.last(ids)).t(), r"shape \[3, 4\].*hands on their transpose"),
        (lambda m, ids: m.head(m.last(ids)).sum(1)[:2], r"shape \[2\]"),
        (lambda m, ids: m.head(m.last(ids))[:, :0], r"shape \[4, 0\]"),
        (lambda m, ids: m.head(m.last(ids[:1])).sum(), r"shape \[\]"),
    ],
)
def test_no_scores(write: Any, sentence: str) -> None:
    with pytest.raises(OutputError, match=sentence):
        explain(write)


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("method", ["lrp", "gradient_x_input", "occlusion"])
def test_scores_of_one_document_may_be_squeezed(classes: int, method: str) -> None:
    def scores(m: Classifier, ids: Tensor) -> Tensor:
        return m.head(m.last(ids))[:, :classes]

    whole, squeezed = (
        seqlrp.METHODS[method](build(write)).attribution(IDS[:1], 0)
        for write in (scores, lambda m, ids: scores(m, ids).squeeze())
    )
    assert squeezed.scores.shape == (1, classes)
    torch.testing.assert_close(squeezed.relevance, whole.relevance)


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
    with pytest.raises(ProbabilityError, match=r"probabilities.*scores"):
        explain(write)


@pytest.mark.parametrize(
    "write",
    [
        lambda m, ids: m.head(torch.ones(len(ids), H, dtype=torch.float64)),
        lambda m, ids: m.head(m.last(torch.tensor(ids.tolist()))),
        lambda m, ids: m.head(ids[:, :H].double()),
        lambda m, ids: m.head(m.w.expand(len(ids), -1)),
    ],
)
def test_no_embedding(write: Any) -> None:
    with pytest.raises(NoEmbeddingError, match="do not depend on any embedding"):
        explain(write)


def test_one_hot_vectors_of_ids_cannot_be_followed() -> None:
    with pytest.raises(ModelError, match=r"write F.embedding\(ids, w\)"):
        explain(lambda m, ids: m.head(m.lstm(F.one_hot(ids, V).double() @ m.emb.weight)[0][:, -1]))
    written, _ = explain(lambda m, ids: m.head(m.lstm(F.embedding(ids, m.emb.weight))[0][:, -1]))
    assert written.abs().max() > 0


def test_counts_of_words_cannot_be_followed() -> None:
    def counted(m: Any, ids: Tensor) -> Tensor:
        counts = torch.zeros(len(ids), V, dtype=torch.float64)
        return m.head(
            m.lin(counts.scatter_add(1, ids, torch.ones(ids.shape).double()) @ m.emb.weight)
        )

    def looked_up(m: Any, ids: Tensor) -> Tensor:
        return m.head(m.lin(F.embedding_bag(ids, m.emb.weight, mode="sum")))

    with pytest.raises(NoEmbeddingError, match=r"F.embedding_bag\(ids, w, mode='sum'\)"):
        explain(counted)
    relevance, _ = explain(looked_up)
    assert relevance.abs().max() > 0


def test_a_table_that_is_indexed_is_an_embedding() -> None:
    by_index, _ = explain(lambda m, ids: m.head(m.lstm(m.emb.weight[ids])[0][:, -1]))
    by_embedding, _ = explain(lambda m, ids: m.head(m.lstm(m.emb(ids))[0][:, -1]))
    assert torch.equal(by_index, by_embedding)


def test_ids_that_no_embedding_looked_up_are_refused_as_a_term() -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        return m.head(m.last(ids) + ids.double().mean(1, keepdim=True))

    with pytest.raises(UnfollowedWordsError, match="add in the model's own forward"):
        explain(write)


@pytest.mark.parametrize(
    "begin",
    [
        lambda ids: torch.cat([torch.full((len(ids), 1), 2), ids], 1),
        lambda ids: F.pad(ids, (1, 0), value=2),
        lambda ids: F.pad(ids, (1, 0)),
    ],
)
def test_an_id_that_the_model_adds_is_a_constant(begin: Callable[[Tensor], Tensor]) -> None:
    def write(m: Classifier, ids: Tensor) -> Tensor:
        m.emb.padding_idx = None
        return m.head(m.lstm(m.emb(begin(ids)))[0][:, -1])

    def whole(m: Classifier, ids: Tensor) -> Tensor:
        m.emb.padding_idx = None
        return m.head(m.last(ids))

    relevance, ledger = explain(write)
    expect, _ = explain(whole, begin(IDS))
    torch.testing.assert_close(relevance, expect[:, 1:], rtol=0, atol=1e-12)
    torch.testing.assert_close(
        ledger.total("constant") + ledger.total("padding"), expect[:, 0], rtol=0, atol=1e-12
    )
    assert ledger.residual.abs().max() < 1e-12


# Functions without a law


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda m, ids: m.head(torch.cumprod(m.last(ids), 1)), r"torch\.cumprod in the model"),
        (lambda m, ids: m.head(m.last(ids).cumprod(1)), r"torch\.Tensor\.cumprod"),
        (lambda m, ids: m.head(m.part(m.last(ids))), r"cumprod in module 'part'"),
        (lambda m, ids: m.head(torch.fft.fft(m.last(ids)).real), "fft"),
        (lambda m, ids: m.head(m.last(ids)[:1] * m.last(ids)[:1].sum().item()), "item"),
        (lambda m, ids: m.head(m.last(ids)[:1] * float(m.last(ids)[0, 0])), "float|item"),
        (lambda m, ids: m.head(m.last(ids)[:1] * int(9 * m.last(ids)[0, 0])), "int"),
        (lambda m, ids: m.head(torch.tensor(m.last(ids).tolist()).double()), "tolist"),
        (lambda m, ids: m.head(torch.from_numpy(m.last(ids).detach().numpy())), "numpy"),
        (lambda m, ids: m.head(torch.tensor(m.last(ids))), r"torch\.tensor"),
        (lambda m, ids: m.head(m.last(ids).tan()), "tan"),
        (lambda m, ids: m.head(torch.cdist(m.last(ids), m.w.unsqueeze(0)) * m.w), "cdist"),
        (lambda m, ids: m.head(torch.linalg.norm(m.last(ids), dim=1, keepdim=True) * m.w), "gate"),
    ],
)
def test_unknown_functions_are_refused_by_name(write: Any, sentence: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, at float(x)
        with pytest.raises(RefusedFunctionError, match=sentence):
            explain(write, IDS[:1])


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda m, ids: m.head(m.w / (3 + m.last(ids))), "gate"),
        (lambda m, ids: m.head(1 / (3 + m.last(ids))), "gate"),
        (lambda m, ids: m.head(torch.div(m.w, 3 + m.last(ids))), "gate"),
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
        lambda m, ids: m.head(m.last(ids) * F.dropout(torch.ones(H, dtype=torch.float64))),
        lambda m, ids: m.head(m.last(ids) * F.gumbel_softmax(m.w, dim=0)),
        lambda m, ids: m.head(F.rrelu(m.last(ids), training=True)),
        lambda m, ids: m.head(m.last(ids) * F.gumbel_softmax(m.last(ids), dim=1)),
    ],
)
def test_random_functions(write: Any) -> None:
    state = torch.get_rng_state()
    with pytest.raises(ModelError, match=r"random|no law"):
        explain(write)
    torch.set_rng_state(state)


@pytest.mark.parametrize(
    "write",
    [
        lambda m, ids: m.head(m.last(ids) - m.last(ids).mean(0)),
        lambda m, ids: m.head(m.last(ids) @ m.last(ids).T @ m.last(ids)),
        lambda m, ids: m.head(m.last(ids).sort(0).values),
        lambda m, ids: m.head(m.last(ids) + m.last(ids)[:1]),
        lambda m, ids: m.head(m.last(ids) + m.last(ids).flip([0])),
        lambda m, ids: m.head(m.last(ids).roll(1, 0)),
        lambda m, ids: m.head(m.last(ids).index_select(0, torch.tensor([0, 0, 1, 2]))),
    ],
)
def test_documents_that_meet(write: Any) -> None:
    with pytest.raises(ModelError, match="documents"):
        explain(write)


def test_a_number_of_the_whole_batch_that_no_score_needs_is_no_harm() -> None:
    def beside(m: Classifier, ids: Tensor) -> Any:
        return m.head(m.last(ids)), m.last(ids).pow(2).mean()

    found = seqlrp.LRP(build(beside), output=0).attribute(IDS, 0)
    expected = seqlrp.LRP(build(lambda m, ids: m.head(m.last(ids)))).attribute(IDS, 0)
    torch.testing.assert_close(found, expected)


def test_vectors_of_another_dtype_than_the_models() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).eval()
    with pytest.raises(IdsError, match=r"float64 for a model whose parameters are torch.float32"):
        seqlrp.LRP(model).attribute(torch.rand(2, 3, 2, dtype=torch.float64))


def test_what_a_model_takes_besides_ids_has_to_be_said() -> None:
    class Lengths(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 3)

        def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
            return self.embedding(ids).sum(1) / lengths.unsqueeze(1)

    lrp, ids = seqlrp.LRP(Lengths().eval()), torch.tensor([[1, 2]])
    with pytest.raises(ModelError, match=r"'lengths'. Say what the model takes after its input"):
        lrp.attribute(ids)
    lrp.attribute(ids, 0, torch.tensor([2.0]))
    with pytest.raises(AttributeError, match="unsqueeze"):  # its own mistakes stay its own
        lrp.attribute(ids, 0, "two")


@pytest.mark.parametrize(
    "model",
    [nn.Linear(3, 2), nn.Sequential(nn.Linear(3, 2)), nn.Conv1d(3, 2, 1), nn.LSTMCell(3, 2)],
    ids=lambda model: type(model).__name__,
)
@pytest.mark.parametrize("method", [seqlrp.LRP, GradientXInput, DeepLIFT, Occlusion])
def test_a_model_without_an_embedding_takes_no_ids(model: nn.Module, method: Any) -> None:
    with pytest.raises(NoEmbeddingError, match=r"shape \[1, 3\].*has no nn\.Embedding"):
        method(model.eval()).attribute(torch.tensor([[1, 2, 3]]))


def test_an_error_of_a_model_with_an_embedding_is_its_own() -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = nn.Embedding(5, 2)

        def forward(self, ids: Tensor) -> Tensor:
            raise ValueError("three")

    with pytest.raises(ValueError, match=r"^three$"):
        seqlrp.LRP(Failing().eval()).attribute(torch.tensor([[1, 2, 3]]))


# Pieces of the checks


@pytest.mark.parametrize("odd", [None, torch.inf, -torch.inf, torch.nan])
def test_finite_values_are_told_from_others(odd: float | None) -> None:
    values = torch.full((2, 3), 3e38)  # whose sum is infinite
    if odd is not None:
        values[1, 0] = odd
        values[0, 2] = -odd
    assert all_finite(values.requires_grad_()) == (odd is None)


@pytest.mark.parametrize("documents", [1, 3])
def test_the_score_of_a_class_is_that_of_each_document(documents: int) -> None:
    scores = torch.randn(documents, 4, requires_grad=True)
    target, against = torch.randint(4, (2, documents))
    (found,) = select_scores(scores, target, against)
    rows = torch.arange(documents)
    assert torch.equal(found, scores[rows, target] - scores[rows, against])
    assert select_scores(scores, target, None)[0].shape == (documents,)


def test_each_module_is_found_once_and_outer_ones_first() -> None:
    shared = nn.Linear(2, 2)
    inner = nn.Sequential(nn.Linear(2, 2), shared, nn.ModuleList([nn.Tanh(), shared]))
    model = nn.Sequential(shared, inner, nn.LSTM(2, 2))
    found = modules_of(model)
    assert len(found) == len(set(found))
    assert set(found) == {module for _, module in model.named_modules()}
    assert found[0] is model
    assert found.index(inner) < found.index(inner[2])
