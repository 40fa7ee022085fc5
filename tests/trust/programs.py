"""Random programs of torch functions on ids and signals, with the truth where there is one.

A program is a list of steps on a pool of values: ids `[B, T]`, signals and gates `[B, T, D]`. It is
run twice: by the functions as they are, which is the model, and by their true forms, with an owner
of each id beside it. `PYTHONPATH=tests python -m trust.programs 20000` judges that many of them.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trust.judge import Verdict, Words, gate, product, relu, signal, tanh
from trust.models_recurrence import gru_step

from seqlrp import LRP
from seqlrp.errors import SeqlrpError
from seqlrp.explaining.unread import FloatingArguments

VOCABULARY, D, CLASSES, LONGEST = 12, 4, 3, 12
TOLERANCE = 1e-7


class NoTruthError(Exception):
    """The scores have no right answer by the laws: the program must be refused."""


class UnknownOwnerError(Exception):
    """A value is needed whose owner is unknown."""


@dataclass(frozen=True, eq=False)
class Op:
    """A function on values of some kinds, and its true form; in-place functions return nothing."""

    name: str
    kinds: tuple[str, ...]
    to: str
    plain: Callable[..., Any]
    true: Callable[..., Any] | None


OPS: list[Op] = []
SAME: Any = object()  # the true form of a function that is linear, or moves or selects values


def op(*kinds: str, to: str = "signal", true: Any = SAME) -> Callable[[Callable], Callable]:
    """Register a function of the model and its inputs. `true` of ids is about their owners."""

    def register(plain: Callable) -> Callable:
        OPS.append(Op(plain.__name__, kinds, to, plain, plain if true is SAME else true))
        return plain

    return register


# Ids. The true form says where the owners go, "stay" that they stay.


def stay(m, at):
    return at.clone()


def moved(name: str, f: Callable[[Tensor], Tensor]) -> None:
    """Register a move of ids that acts on their owners in the same way."""

    def plain(m: nn.Module, z: Tensor) -> Tensor:
        return f(z)

    plain.__name__ = f"ids_{name}"
    op("ids", to="ids")(plain)


for name, f in {
    "flip": lambda z: z.flip(1),
    "roll": lambda z: z.roll(1, 1),
    "tail": lambda z: z[:, 1:],
    "head": lambda z: z[:, :-1],
    "every_second": lambda z: z[:, ::2],
    "from_the_end": lambda z: z[:, [*range(z.shape[1])][::-1]],
    "twice": lambda z: torch.cat([z, z.flip(1)], 1),
    "each_twice": lambda z: z.repeat_interleave(2, 1),
    "clone": lambda z: z.clone(),
    "contiguous": lambda z: z.t().contiguous().t(),
    "stacked": lambda z: torch.stack(z.unbind(1), 1),
    "windows": lambda z: z.unfold(1, 2, 1).flatten(1),
    "gathered": lambda z: z.gather(1, torch.arange(z.shape[1]).flip(0).expand_as(z)),
    "into_zeros": lambda z: _written(torch.zeros_like(z), z.flip(1)),
    "scattered": lambda z: torch.zeros_like(z).scatter_(
        1, torch.arange(z.shape[1]).flip(0).expand_as(z), z
    ),
    "detached": lambda z: z.detach(),
    "data": lambda z: z.data,
    "to_float": lambda z: z.double().long(),
    "view": lambda z: z.view(z.shape),
}.items():
    moved(name, f)


def _written(out: Tensor, z: Tensor) -> Tensor:
    for t in range(z.shape[1]):
        out[:, t] = z[:, t]
    return out


@op("ids", to="ids", true=lambda m, at: torch.cat([torch.full_like(at[:, :1], -1), at[:, :-1]], 1))
def ids_started(m, z):
    return torch.cat([torch.full_like(z[:, :1], 3), z[:, :-1]], 1)


@op("ids", to="ids", true=lambda m, at: F.pad(at, (1, 1), value=-1))
def ids_framed(m, z):
    return F.pad(z, (1, 1), value=2)


@op("ids", to="ids", true=lambda m, at: at.masked_fill(torch.arange(at.shape[1]) == 1, -1))
def ids_filled_by_place(m, z):
    return z.masked_fill(torch.arange(z.shape[1]) == 1, 5)


@op("ids", to="ids", true=lambda m, at: at.masked_fill(torch.arange(at.shape[1]) % 2 == 1, -1))
def ids_times_a_mask(m, z):
    return z * (1 - torch.arange(z.shape[1]) % 2)


@op("ids", to="ids", true=stay)
def ids_halved(m, z):
    return z // 2


@op("ids", to="ids", true=stay)
def ids_hashed(m, z):
    return (z * 7 + 3) % 11


@op("ids", to="ids", true=stay)
def ids_from_a_table(m, z):
    return torch.arange(VOCABULARY).flip(0)[z]


@op("ids", to="ids", true=stay)
def ids_rare_to_unknown(m, z):
    return z.masked_fill(z > 8, 1)


@op("ids", to="ids", true=stay)
def ids_rare_by_where(m, z):
    return torch.where(z > 7, torch.ones_like(z), z)


@op("ids", to="ids", true=stay)
def ids_plus_one(m, z):
    return (z + 1).clamp(max=VOCABULARY - 1)


@op("ids", to="ids", true=None)
def ids_summed(m, z):
    return (z + z.roll(1, 1)) % VOCABULARY


@op("ids", to="ids", true=None)
def ids_accumulated(m, z):
    return z.cumsum(1) % VOCABULARY


@op("ids", to="ids", true=None)
def ids_through_a_list(m, z):
    return torch.tensor(z.tolist())


@op("ids", to="", true=lambda m, at: at[:, 1].copy_(at[:, 0]))
def ids_second_from_first(m, z):
    z[:, 1] = z[:, 0]


@op("ids", to="", true=lambda m, at: at[:, 0].fill_(-1))
def ids_first_set(m, z):
    z[:, 0] = 4


@op("ids", to="", true=lambda m, at: at[:, -1].fill_(-1))
def ids_last_filled(m, z):
    z[:, -1].fill_(6)


@op("ids", to="", true=lambda m, at: None)
def ids_hashed_in_place(m, z):
    z.mul_(3).add_(1).remainder_(11)


@op("ids", to="", true=lambda m, at: None)
def ids_rare_set(m, z):
    z[z > 8] = 1


@op("ids", to="", true=lambda m, at: at.copy_(at.flip(1)))
def ids_copied_backwards(m, z):
    z.copy_(z.flip(1))


@op("ids", to="", true=None)
def ids_neighbours_added(m, z):
    z[:, 1:].add_(z[:, :-1].clone()).remainder_(11)


# Looking up: in the truth `vectors` makes leaves


@op("ids", true=lambda m, z: z.vectors(m.embedding.weight))
def look_up(m, z):
    return m.embedding(z)


@op("ids", true=lambda m, z: z.vectors(m.other.weight))
def look_up_elsewhere(m, z):
    return F.embedding(z, m.other.weight)


@op("ids", true=lambda m, z: z.vectors(m.embedding.weight))
def look_up_by_index(m, z):
    return m.embedding.weight[z]


@op("signal", "ids", true=lambda m, x, z: x * m.idf[z.ids][..., None])
def weighed_by_table(m, x, z):
    return x * m.idf[z].unsqueeze(-1)


@op("signal", "ids", true=lambda m, x, z: x * (z.ids > 5)[..., None])
def weighed_by_question(m, x, z):
    return x * (z > 5).unsqueeze(-1).to(x.dtype)


@op("signal", "ids", true=lambda m, x, z: x.masked_fill((z.ids == 0)[..., None], 0))
def masked_where_padded(m, x, z):
    return x.masked_fill((z == 0).unsqueeze(-1), 0.0)


@op("signal", "ids", true=None)
def number_of_ids_added(m, x, z):
    return x + z.unsqueeze(-1).double() / 10


@op("signal", "ids", true=None)
def question_added(m, x, z):
    return x + (z > 5).unsqueeze(-1).double()


# Elementwise

for name, f in {
    "tanh": torch.tanh,
    "relu": F.relu,
    "gelu": F.gelu,
    "silu": F.silu,
    "elu": F.elu,
    "softsign": F.softsign,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "hardtanh": F.hardtanh,
    "sin": torch.sin,
    "atan": torch.arctan,
    "clamp": lambda x: x.clamp(-1, 2),
    "clamp_min": lambda x: x.clamp(min=0),
    "relu_by_mask": lambda x: x * (x > 0),
    "relu_by_where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "softplus": F.softplus,
    "sigmoid": torch.sigmoid,
    "square": lambda x: x.square(),
}.items():

    def elementwise(m: nn.Module, x: Tensor, f: Callable = f) -> Tensor:
        return f(x)

    def true_elementwise(m: nn.Module, x: Tensor, f: Callable = f) -> Tensor:
        return signal(f, x)

    elementwise.__name__ = f"through_{name}"
    # a sigmoid is made for one use only: as a signal here, as a gate below
    op("signal", true=true_elementwise)(elementwise) if name != "sigmoid" else op(
        "signal", true=lambda m, x: signal(torch.sigmoid, x) @ m.A.t()
    )(lambda m, x: F.linear(torch.sigmoid(x), m.A))


# Linear and moving


@op("signal")
def linear(m, x):
    return F.linear(x, m.A, m.b)


@op("signal")
def matmul(m, x):
    return x @ m.B + m.b


@op("signal")
def einsum(m, x):
    return torch.einsum("btd,de->bte", x, m.B)


@op("signal")
def conv(m, x):
    return F.conv1d(x.mT, m.kernel, m.b, padding=1).mT


@op("signal")
def scaled(m, x):
    return x * 1.5 / 2 - 0


@op("signal")
def shifted(m, x):
    return x + 0.3


@op("signal")
def subtracted(m, x):
    return 0.7 - x


@op("signal")
def negated(m, x):
    return -x


@op("signal")
def scaled_by_weights(m, x):
    return x * m.b + m.places[: x.shape[1]]


@op("signal")
def reversed_words(m, x):
    return x.flip(1)


@op("signal")
def rolled_words(m, x):
    return torch.roll(x, 1, 1)


@op("signal")
def rolled_features(m, x):
    return x.roll(1, -1)


@op("signal")
def without_the_last(m, x):
    return x[:, :-1]


@op("signal")
def without_the_first(m, x):
    return x.narrow(1, 1, x.shape[1] - 1)


@op("signal")
def each_second(m, x):
    return x[:, ::2]


@op("signal")
def halves_swapped(m, x):
    a, b = x.chunk(2, -1)
    return torch.cat([b, a], -1)


@op("signal")
def folded(m, x):
    return x.transpose(1, 2).reshape(x.shape[0], -1, D) if x.shape[1] % D == 0 else x + 0


@op("signal")
def permuted(m, x):
    return x.permute(2, 0, 1).contiguous().permute(1, 2, 0)


@op("signal")
def cumulated(m, x):
    return x.cumsum(1)


@op("signal")
def mean_taken_off(m, x):
    return x - x.mean(1, keepdim=True)


@op("signal")
def mean_spread(m, x):
    return x.mean(1, keepdim=True).expand_as(x)


@op("signal")
def windows_averaged(m, x):
    return x.unfold(1, 2, 1).mean(-1)


@op("signal")
def pooled_in_pairs(m, x):
    return F.avg_pool1d(x.mT, 2, 1).mT


@op("signal", true=lambda m, x: x)
def cut_from_the_graph(m, x):
    return x.detach()


@op("signal", true=lambda m, x: x)
def by_data(m, x):
    return x.data


@op("signal", true=lambda m, x: x * 2)
def without_gradients(m, x):
    with torch.no_grad():
        return x * 2


@op("signal")
def seen_as_other_shape(m, x):
    return x.reshape(-1, D).view(x.shape)


@op("signal")
def stacked_of_words(m, x):
    return torch.stack([x[:, t] for t in range(x.shape[1])], 1)


@op("signal")
def written_into_zeros(m, x):
    return _written(torch.zeros_like(x), x)


@op("signal")
def padded_in_front(m, x):
    return F.pad(x, (0, 0, 1, 0))[:, :-1]


def true_running_max(m, x):
    best, out = x[:, 0], []
    for t in range(x.shape[1]):
        best = torch.where(x[:, t] > best, x[:, t], best)
        out.append(best)
    return torch.stack(out, 1)


@op("signal", true=true_running_max)
def running_max(m, x):
    best, out = x[:, 0], []
    for t in range(x.shape[1]):
        best = torch.maximum(best, x[:, t])
        out.append(best)
    return torch.stack(out, 1)


# Two signals


@op("signal", "signal")
def added(m, x, y):
    return x + y


@op("signal", "signal")
def taken_off(m, x, y):
    return torch.sub(x, y, alpha=0.5)


@op("signal", "signal", true=lambda m, x, y: product(x, y))
def multiplied(m, x, y):
    return x * y


@op("signal", "signal")
def averaged(m, x, y):
    return torch.stack([x, y]).mean(0)


@op("signal", "signal")
def interleaved(m, x, y):
    return torch.where((torch.arange(x.shape[1]) % 2 == 0)[:, None], x, y)


@op("signal", "signal")
def joined_features(m, x, y):
    return torch.cat([x, y], -1) @ torch.cat([m.A, m.B])


@op("signal", "signal")
def joined_words(m, x, y):
    return torch.cat([x[:, :2], y[:, 2:]], 1)


@op("signal", "signal", true=lambda m, x, y: torch.where(x >= y, x, y))
def larger(m, x, y):
    return torch.maximum(x, y)


@op("signal", "signal")
def chosen(m, x, y):
    return torch.where(x > 0, x, y)


@op("signal", "signal")
def interpolated(m, x, y):
    return torch.lerp(x, y, 0.3)


# Gates


@op("signal", to="gate", true=lambda m, x: gate(x @ m.A.t()))
def gated(m, x):
    return torch.sigmoid(F.linear(x, m.A))


@op("signal", to="gate", true=lambda m, x: gate(x))
def gated_directly(m, x):
    return x.sigmoid()


@op("signal", to="gate", true=lambda m, x: torch.softmax(x.detach(), 1))
def softmax_over_words(m, x):
    return x.softmax(1)


@op("signal", to="gate", true=lambda m, x: torch.exp(x.detach().clamp(-2, 2)))
def exponential(m, x):
    return torch.exp(x.clamp(-2, 2))


@op("signal", to="gate", true=lambda m, x: (x.detach() > 0).double())
def decision(m, x):
    return (x > 0).double()


@op("gate", to="gate")
def complement(m, g):
    return 1 - g


@op("gate", "gate", to="gate")
def both_gates(m, g, k):
    return g * k


@op("gate", to="gate")
def gate_of_words_before(m, g):
    return g.roll(1, 1)


@op("gate", to="gate")
def gate_squared(m, g):
    return g**2


@op("signal", "gate")
def signal_times_gate(m, x, g):
    return x * g


@op("signal", "gate")
def gate_times_signal(m, x, g):
    return g.mul(x)


@op("signal", "signal", "gate")
def mixed(m, x, y, g):
    return g * x + (1 - g) * y


@op("signal", "signal", "gate")
def mixed_by_lerp(m, x, y, g):
    return torch.lerp(x, y, g)


@op("signal", "gate")
def weighted_sum(m, x, g):
    return (g * x).sum(1, keepdim=True) + x


@op("signal", "gate")
def divided(m, x, g):
    return x / (1 + g)


@op("gate", true=None)
def gate_as_a_signal(m, g):
    return g @ m.A


@op("signal", "gate", true=None)
def gate_added(m, x, g):
    return x + g


# Larger pieces


def true_attention(m, x):
    z = (x @ m.A.t()).detach() @ x.detach().mT
    return torch.softmax(z, -1) @ (x @ m.B)


@op("signal", true=true_attention)
def attention(m, x):
    return torch.softmax(F.linear(x, m.A) @ x.mT, -1) @ (x @ m.B)


def true_layer_norm(m, x):
    scale = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt().detach()
    return (x - x.mean(-1, keepdim=True)) * scale * m.b + 0.1


@op("signal", true=true_layer_norm)
def layer_norm(m, x):
    return F.layer_norm(x, (D,), m.b, torch.full_like(m.b, 0.1))


@op("signal", true=true_layer_norm)
def layer_norm_by_hand(m, x):
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + 1e-5) * m.b + 0.1


@op("signal", true=lambda m, x: x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt().detach())
def rms_norm(m, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


@op("signal", true=lambda m, x: x / (x.norm(dim=-1, keepdim=True).detach().clamp(min=1e-12)))
def unit_length(m, x):
    return F.normalize(x, dim=-1)


def true_gru(m, x):
    h, out = torch.zeros(x.shape[0], D, dtype=torch.float64), []
    for t in range(x.shape[1]):
        h = gru_step(m.gru, x[:, t], h)
        out.append(h)
    return torch.stack(out, 1)


@op("signal", true=true_gru)
def gru(m, x):
    h, out = None, torch.zeros_like(x)
    for t in range(x.shape[1]):
        h = m.gru(x[:, t], h)
        out[:, t] = h
    return out


@op("signal", true=lambda m, x: (x @ m.A.t()) * gate(x @ m.B))
def gated_unit(m, x):
    return F.glu(torch.cat([F.linear(x, m.A), x @ m.B], -1), -1)


# A clone, as autograd keeps the result for the backward pass, and programs write over results.
@op("signal", true=lambda m, x: torch.logsumexp(torch.stack([x, x.flip(1)]), 0).clone())
def log_sum_exp(m, x):
    return torch.logaddexp(x, x.flip(1))


# In place


@op("signal", "signal", to="")
def added_in_place(m, x, y):
    x += y


@op("signal", to="")
def scaled_in_place(m, x):
    x.mul_(0.8)


@op("signal", "gate", to="")
def gated_in_place(m, x, g):
    x *= g


@op("signal", to="", true=lambda m, x: x.copy_(relu(x.clone())))
def rectified_in_place(m, x):
    x.relu_()


@op("signal", to="", true=lambda m, x: x.copy_(tanh(x.clone())))
def squashed_in_place(m, x):
    torch.tanh_(x)


@op("signal", "signal", to="", true=lambda m, x, y: x[:, 0].copy_(y[:, -1].clone()))
def first_word_replaced(m, x, y):
    x[:, 0] = y[:, -1]


@op("signal", to="")
def second_word_cleared(m, x):
    x[:, 1] = 0.0


@op("signal", to="")
def view_shifted(m, x):
    x[:, :2].add_(0.5)


@op("signal", to="", true=lambda m, x: x.copy_(x.clone().clamp(min=0)))
def negatives_cleared(m, x):
    x.masked_fill_(x < 0, 0.0)


# What leaves torch's sight: no right answer


@op("signal", true=None)
def rounded_part_added(m, x):
    return x + (x * 100).int().double() / 100


@op("signal", true=None)
def numpy_part_added(m, x):
    return x + torch.from_numpy(x.detach().numpy() ** 2)


@op("signal", true=None)
def list_part_added(m, x):
    return x * 0.5 + torch.tensor(x.tolist(), dtype=x.dtype)


@op("signal", true=None)
def thread_part_added(m, x):
    with ThreadPoolExecutor(1) as pool:
        return x + pool.submit(lambda: torch.tanh(x.detach())).result()


@op("signal", true=None)
def place_of_maximum_added(m, x):
    return x + x.argmax(1, keepdim=True)


@op("signal", true=None)
def sign_added(m, x):
    return x + (x > 0)


@op("signal", true=None)
def exponential_added(m, x):
    return x + torch.exp(x.clamp(-2, 2))


@dataclass(frozen=True)
class Step:
    """One call: the function, where its inputs stand in the pool, and what it appends."""

    op: Op
    inputs: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.op.name}({', '.join(f'v{k}' for k in self.inputs)})"


POOLS: dict[str, tuple[Callable, Callable]] = {
    "sum": (lambda x: x.sum(1), lambda x: x.sum(1)),
    "mean": (lambda x: x.mean(1), lambda x: x.mean(1)),
    "last": (lambda x: x[:, -1], lambda x: x[:, -1]),
    "max": (
        lambda x: x.max(1).values,
        lambda x: x.gather(1, x.detach().max(1, keepdim=True).indices)[:, 0],
    ),
}


class Program(nn.Module):
    """A random program as a model: ids `[B, T]` to scores `[B, C]`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = nn.Embedding(VOCABULARY, D, padding_idx=0)
        self.other = nn.Embedding(VOCABULARY, D)
        self.gru = nn.GRUCell(D, D)
        self.A, self.B = (nn.Parameter(0.7 * torch.randn(D, D)) for _ in range(2))
        self.kernel = nn.Parameter(0.5 * torch.randn(D, D, 3))
        self.b = nn.Parameter(torch.randn(D))
        self.places = nn.Parameter(torch.randn(4 * LONGEST, D))
        self.idf = nn.Parameter(torch.rand(VOCABULARY))
        self.head = nn.Linear(D, CLASSES)
        self.double().eval().requires_grad_(False)
        chance = random.Random(seed)
        self.ids = torch.tensor([chance.sample(range(1, VOCABULARY), 5) for _ in range(2)])
        if chance.random() < 0.4:
            self.ids[1, 3:] = 0
        self.pool = chance.choice(list(POOLS))
        self.tied = False  # whether the truth found that words tie for a maximum
        self.steps: list[Step] = []
        self.result = self._compose(chance, chance.randint(5, 30))

    def __str__(self) -> str:
        lines, place = ["v0 = ids"], 1
        for step in self.steps:
            lines.append(f"v{place} = {step}" if step.op.to else str(step))
            place += bool(step.op.to)
        return "\n".join([*lines, f"head(v{self.result}.{self.pool}(1))"])

    def _compose(self, chance: random.Random, length: int) -> int:
        """Append steps that can be computed; return the place of the signal that is read."""
        kinds, values = ["ids"], [self.ids.clone()]
        look_ups = [op for op in OPS if op.name.startswith("look_up")]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for k in range(20 * length):
                if len(self.steps) >= length and "signal" in kinds:
                    break
                first = chance.choice(look_ups) if k == 2 else chance.choice(OPS)
                if first.true is None and chance.random() > 0.2:
                    continue  # else most programs would have no right answer
                inputs = self._inputs(chance, first, kinds, values)
                if inputs is None or (not first.to and 0 in values[inputs[0]].stride()):
                    continue
                kept = [v.clone() for v in values] if not first.to else values
                try:
                    out = first.plain(self, *(values[i] for i in inputs))
                except (RuntimeError, IndexError, TypeError):
                    assert first.to or all(map(torch.equal, kept, values)), first.name
                    continue
                if first.to and not (0 < out.shape[1] <= LONGEST):
                    continue
                self.steps.append(Step(first, inputs))
                if first.to:
                    kinds.append(first.to)
                    values.append(out)
        return max(i for i, kind in enumerate(kinds) if kind == "signal")

    @staticmethod
    def _inputs(chance, first: Op, kinds: list[str], values: list[Tensor]) -> tuple | None:
        """Places of inputs of the right kinds and of one length, the latest ones more often."""
        found: list[int] = []
        for kind in first.kinds:
            places = [
                i
                for i, k in enumerate(kinds)
                if k == kind and (not found or values[i].shape[1] == values[found[0]].shape[1])
            ]
            if not places:
                return None
            found.append(places[max(-len(places), -1 - int(chance.expovariate(0.7)))])
        return tuple(found)

    def forward(self, ids: Tensor) -> Tensor:
        values = [ids]
        for step in self.steps:
            out = step.op.plain(self, *(values[i] for i in step.inputs))
            if step.op.to:
                values.append(out)
        return self.head(POOLS[self.pool][0](values[self.result]))

    def truth(self, words: Words) -> Tensor:
        """The same with true forms.

        Raises:
            NoTruthError: there is no right answer.
        """
        start = torch.arange(words.ids.shape[1]).expand(words.ids.shape).clone()
        values: list[Any] = [Moved(words, words.ids.clone(), start)]
        for step in self.steps:
            out = self._true_step(step, [values[i] for i in step.inputs])
            if step.op.to:
                values.append(out)
        read = values[self.result]
        if read is None:
            raise NoTruthError
        self.tied = self.pool == "max" and _tied(read)
        return self.head(POOLS[self.pool][1](read))

    def _true_step(self, step: Step, inputs: list[Any]) -> Any:
        op = step.op
        if op.name.startswith("ids_"):
            return inputs[0].step(self, op)
        if op.true is None or any(v is None for v in inputs):
            if not op.to and inputs[0] is not None:
                raise NoTruthError  # what else stands on that memory is lost as well
            return None
        try:
            return op.true(self, *inputs)
        except UnknownOwnerError:
            return None


def _tied(x: Tensor) -> bool:
    """Whether words tie for a maximum, as where a hardtanh is saturated: any of them is right."""
    return bool(((x >= x.amax(1, keepdim=True) - 1e-12).sum(1) > 1).any())


class Moved:
    """Ids in the truth, and the place of the word that each belongs to: -1 nobody, -2 unknown."""

    def __init__(self, words: Words, ids: Tensor, at: Tensor) -> None:
        self.words, self.ids, self.at = words, ids, at

    def step(self, model: Program, op: Op) -> Moved | None:
        """The ids after a step, or None where they were changed in place."""
        ids = op.plain(model, self.ids)
        if op.true is not None:
            at = op.true(model, self.at)
        elif op.to:
            at = torch.full_like(ids, -2)
        else:
            at = self.at.fill_(-2)
        return Moved(self.words, ids, at) if op.to else None

    def vectors(self, table: Tensor) -> Tensor:
        """The vectors of the ids, whose owners are known."""
        if bool((self.at == -2).any()):
            raise UnknownOwnerError
        return self.words.vectors(table, self.ids.clone(), self.at.clone()).clone()


def unread_words(program: Program, scores: Tensor, among: Tensor) -> list[tuple[int, int]]:
    """Words, of those that are True in `[B, T]`, to which nothing in the program reacts.

    That the scores are the same is not enough: a word may tie with others in a maximum.
    """
    unread = among & (program.ids != 0)
    for t in range(program.ids.shape[1]):
        for other in (1, 5, 9, 11):
            ids = program.ids.clone()
            ids[:, t] = other
            unread[:, t] &= (program(ids) == scores).all(1)
    return [(b, t) for b, t in unread.nonzero().tolist() if not _reacts(program, b, t)]


def _reacts(program: Program, b: int, t: int) -> bool:
    """Whether an argument of a function that computes changes with a word."""

    def record(ids: Tensor) -> list[bytes]:
        with FloatingArguments(program) as recorder:
            program(ids)
        return recorder.seen

    as_it_is = record(program.ids.clone())
    for other in (1, 5, 9, 11):
        ids = program.ids.clone()
        ids[b, t] = other
        if record(ids) != as_it_is:
            return True
    return False


def judge_program(seed: int) -> tuple[Verdict, Program]:
    """Explain all scores of a program, and compare with the truth or with what must hold."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = Program(seed)
        return _verdict(program), program


def _verdict(program: Program) -> Verdict:
    scores = program(program.ids.clone())
    if not scores.isfinite().all() or scores.abs().max() > 1e5:
        return Verdict("too large")
    right = _truth(program, scores)
    try:
        got, ledger = LRP(program, epsilon=0.0).attribute(
            program.ids.clone(), target="all", return_ledger=True
        )
    except SeqlrpError as error:
        return Verdict("refused", f"{type(error).__name__}: {error}")
    except Exception as error:  # the plain program ran
        return Verdict("raw", f"{type(error).__name__}: {error}")
    size = max(1.0, float(scores.abs().max()), float(got.abs().max()))
    if right is not None:
        distance = float((got - right).abs().max())
        if distance <= TOLERANCE * max(size, float(right.abs().max())):
            return Verdict("right")
        if not program.tied:  # else any of the tied words may have it
            return Verdict("wrong", f"{distance:.2g} away from {float(right.abs().max()):.2g}")
    if float(ledger.residual.abs().max()) > 1e-6 * size:
        return Verdict("wrong", "the ledger does not close")
    reached = got.abs().amax(1) > 1e-9 * size
    if unread_words(program, scores, reached):
        return Verdict("wrong", "relevance of a word that is not read")
    return Verdict("answered", "there is no truth; ledger and words are as they must be")


def _truth(program: Program, scores: Tensor) -> Tensor | None:
    """Relevance `[B, C, T]` by the true forms; None where there is no right answer."""
    words = Words(program.ids)
    with torch.autograd.graph.allow_mutation_on_saved_tensors():
        try:
            true_scores = program.truth(words)
        except NoTruthError:
            return None
        torch.testing.assert_close(true_scores, scores, rtol=1e-8, atol=1e-8)
        return words.relevance(true_scores) if true_scores.requires_grad else None


def main() -> None:
    """Judge programs from a seed on, and print what is wrong."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    counts: Counter[str] = Counter()
    for seed in range(first, first + number):
        verdict, program = judge_program(seed)
        counts[verdict.kind] += 1
        if verdict.kind in ("wrong", "raw", "answered"):
            print(f"{verdict.kind} {seed}: {verdict.message}\n{program}\n", flush=True)
        if (seed - first + 1) % 1000 == 0:
            print(dict(counts), "of", seed - first + 1, flush=True)
    print(dict(counts), "of", number, flush=True)


if __name__ == "__main__":
    main()
