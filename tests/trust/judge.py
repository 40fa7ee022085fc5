"""Models as people write them, a truth for each that shares no code with the package, the verdict.

The truth of a model is gradient × input, in float64 and at ε = 0, of a second form of it, written
by hand from the laws in the documentation: what is a gate or the scale of a normalisation is
detached, an elementwise function is x times the constant f(x) / x, and a product of two signals is
half of each. The vectors that the model looks up are the leaves, and every one of them belongs to
the word whose id it was looked up by.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp import LRP
from seqlrp.errors import SeqlrpError

VOCABULARY, WIDTH, HIDDEN, CLASSES = 12, 5, 4, 3
# Three texts, padded by 0; a word stands twice in the first and in the second.
IDS = torch.tensor([[2, 9, 4, 7, 4, 11], [5, 3, 8, 3, 0, 0], [10, 6, 1, 0, 0, 0]])
LENGTHS = torch.tensor([6, 4, 3])
FULL = torch.tensor([[2, 9, 4, 7, 4, 11], [5, 3, 8, 3, 6, 1], [10, 6, 1, 2, 7, 8]])
TOLERANCE = 1e-8


class Words:
    """The words of a batch, as the truth reads them."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids
        self.number = torch.arange(ids.numel()).view(ids.shape)
        self._leaves: list[tuple[Tensor, Tensor]] = []

    def vectors(
        self, table: nn.Embedding | Tensor, ids: Tensor | None = None, at: Tensor | None = None
    ) -> Tensor:
        """Vectors `[*, D]` of a table, of the words or of other ids.

        `at`, shaped as the ids, says to which word of its row each vector belongs: a place, or -1
        for nobody. Without it, each belongs to the word in its own place.
        """
        weight = table.weight if isinstance(table, nn.Embedding) else table
        ids = self.ids if ids is None else ids
        if at is None:
            owners = self.number
        else:
            first = self.number[:, :1]
            owners = torch.where(at < 0, -1, first + at)
        leaf = weight.detach()[ids].clone().requires_grad_()
        self._leaves.append((leaf, owners))
        return leaf

    def given(self, vectors: Tensor) -> Tensor:
        """Vectors that the model takes as its input."""
        leaf = vectors.detach().clone().requires_grad_()
        self._leaves.append((leaf, self.number))
        return leaf

    def relevance(self, scores: Tensor) -> Tensor:
        """Gradient × input `[B, C, *]` of the scores `[B, C]` to the words."""
        leaves = [leaf for leaf, _ in self._leaves]
        rows = []
        for c in range(scores.shape[1]):
            gradients = torch.autograd.grad(
                scores[:, c].sum(), leaves, retain_graph=True, allow_unused=True
            )
            total = torch.zeros(self.ids.numel() + 1, dtype=torch.float64)
            for (leaf, owners), gradient in zip(self._leaves, gradients, strict=True):
                if gradient is not None:
                    share = (leaf.detach() * gradient).sum(-1)
                    # nobody's share, -1, goes to a last place, which is left out
                    total.index_add_(0, owners.flatten() % total.numel(), share.flatten())
            rows.append(total[:-1].view(self.ids.shape))
        return torch.stack(rows, 1)


def signal(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """y = f(x) of an elementwise function: x times the constant f(x) / x, and f(0) where x is 0."""
    with torch.no_grad():
        zero, y = x == 0, f(x)
        ratio = torch.where(zero, 0.0, y / torch.where(zero, 1.0, x))
    scaled = x * ratio
    return scaled + (y - scaled).detach()  # exactly f(x), so that equal values stay equal


def product(a: Tensor, b: Tensor) -> Tensor:
    """The product of two signals, which get half each."""
    return (a * b.detach().clone() + a.detach().clone() * b) / 2


def tanh(x: Tensor) -> Tensor:
    return signal(torch.tanh, x)


def relu(x: Tensor) -> Tensor:
    return signal(torch.relu, x)


def gate(z: Tensor) -> Tensor:
    """A sigmoid that is a factor: a constant."""
    return torch.sigmoid(z).detach()


Truth = Callable[..., Tensor]


@dataclass(frozen=True, eq=False)
class Case:
    """A model, what it is called with, and the truth: scores `[B, C]` from `(model, words, *args)`.

    Without a truth there is no right answer, and the model must be refused.
    """

    family: str
    name: str
    build: Callable[[], nn.Module]
    truth: Truth | None
    ids: Tensor = field(default_factory=lambda: IDS)
    args: tuple[Any, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    vectors: bool = False

    def __str__(self) -> str:
        return f"{self.family}-{self.name}"


@dataclass(frozen=True)
class Verdict:
    """`right`, `refused` (a sentence), `wrong` (and nothing said) or `raw` (another exception)."""

    kind: str
    message: str = ""


def random_model(case: Case) -> nn.Module:
    """The model in float64, with weights and biases that are all different from 0."""
    torch.manual_seed(zlib.crc32(str(case).encode()))
    model = case.build().double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6)
        for module in model.modules():
            padding = getattr(module, "padding_idx", None)
            if padding is not None:
                module.weight[padding] = 0
    return model


def true_relevance(case: Case, model: nn.Module, plain: Tensor) -> Tensor:
    """Relevance `[B, C, *]` by the truth, after a check that it is a form of the same model."""
    words = Words(case.ids[..., 0].long() if case.vectors else case.ids)
    scores = case.truth(model, words, *case.args)
    assert scores.dtype == torch.float64
    torch.testing.assert_close(scores, plain, rtol=1e-9, atol=1e-9, msg=f"{case}: another model")
    return words.relevance(scores)


def judge(case: Case) -> Verdict:
    """Explain all classes of a model, and compare."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _judge(case)


def _judge(case: Case) -> Verdict:
    model = random_model(case)
    with torch.no_grad():
        plain = model(case.ids.clone(), *case.args)
    plain = plain[case.options["output"]] if "output" in case.options else plain
    plain = plain.detach().clone()
    plain = plain[:, None] if plain.dim() == 1 else plain
    right = true_relevance(case, model, plain) if case.truth else None
    try:
        got = LRP(model, epsilon=0.0, **case.options).attribute(
            case.ids.clone(), target="all", additional_forward_args=case.args or None
        )
    except SeqlrpError as error:
        return Verdict("refused", f"{type(error).__name__}: {error}")
    except Exception as error:
        kind = "raw" if _runs_with_gradients(model, case) else "refused"
        return Verdict(kind, f"{type(error).__name__}: {error}")
    if right is None:
        return Verdict("wrong", "answered, where there is no right answer")
    if got.shape != right.shape:
        return Verdict("wrong", f"shape {tuple(got.shape)} instead of {tuple(right.shape)}")
    distance, size = float((got - right).abs().max()), float(right.abs().max())
    if distance <= TOLERANCE * size + 1e-14:
        return Verdict("right")
    return Verdict("wrong", f"{distance:.2g} away from a relevance of up to {size:.2g}")


def _runs_with_gradients(model: nn.Module, case: Case) -> bool:
    """Whether a model runs by itself where gradients are recorded.

    TorchScript optimises a function after some calls, and one that was called with gradients then
    raises in inference mode.
    """
    try:
        with torch.enable_grad():
            model(case.ids.clone(), *case.args)
    except RuntimeError:
        return False
    return True


class Classifier(nn.Module):
    """Word vectors and a head, for what stands between them."""

    def __init__(self, features: int = HIDDEN) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.head = nn.Linear(features, CLASSES)


class DenseClassifier(Classifier):
    """A map of word vectors to hidden ones, besides."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.Linear(WIDTH, HIDDEN)


CASES: list[Case] = []


def model(cls: type | None = None, **settings: Any) -> Any:
    """Register a class with a method `truth(self, words, *args)`, or `truth = None`."""

    def register(cls: type) -> type:
        CASES.append(
            Case(
                family=cls.__module__.rpartition("models_")[2],
                name=cls.__name__,
                build=cls,
                truth=cls.truth,
                **settings,
            )
        )
        return cls

    return register(cls) if cls is not None else register
