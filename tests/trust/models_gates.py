"""Ways of writing gates, activations, normalisations, residuals and biases.

A way is a function of the words' hidden vectors `[B, T, H]` and a map `[H, 2 H]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trust.judge import (
    CASES,
    HIDDEN,
    Case,
    DenseClassifier,
    Words,
    gate,
    product,
    relu,
    signal,
    tanh,
)

Step = Callable[[Tensor, nn.Linear], Tensor]


class Stepper(DenseClassifier):
    def __init__(self, step: Step) -> None:
        super().__init__()
        self.map = nn.Linear(HIDDEN, 2 * HIDDEN)
        self.step = step

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.step(self.dense(self.embedding(ids)), self.map).sum(1))


def way(truth: Step | None) -> Callable[[Step], Step]:
    """Register a step, with its truth as another function. Without one it must be refused."""

    def register(step: Step) -> Step:
        def scores(model: Stepper, words: Words) -> Tensor:
            h = model.dense(words.vectors(model.embedding))
            return model.head(truth(h, model.map).sum(1))

        build = lambda: Stepper(step)  # noqa: E731
        CASES.append(Case("gates", step.__name__, build, scores if truth else None))
        return step

    return register


def parts(h: Tensor, m: nn.Linear) -> tuple[Tensor, Tensor]:
    z = m(h)
    return z[..., :HIDDEN], z[..., HIDDEN:]


# A gate times a signal


def true_gated(h, m):
    a, b = parts(h, m)
    return gate(a) * b


@way(true_gated)
def gate_times_signal(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.sigmoid(a) * b


@way(true_gated)
def signal_times_gate(h, m):
    a, b = m(h).split(HIDDEN, dim=-1)
    return b * a.sigmoid()


@way(true_gated)
def by_torch_mul(h, m):
    a, b = m(h)[..., :HIDDEN], m(h)[..., HIDDEN:]
    return torch.mul(torch.sigmoid(a), b)


@way(true_gated)
def by_mul_in_place(h, m):
    a, b = m(h).chunk(2, -1)
    return b.clone().mul_(a.sigmoid())


@way(true_gated)
def by_operator_in_place(h, m):
    a, b = m(h).chunk(2, -1)
    out = torch.sigmoid(a)
    out = out * 1.0
    out *= b
    return out


@way(lambda h, m: parts(h, m)[0] * gate(parts(h, m)[1]))
def by_glu(h, m):
    return F.glu(m(h), dim=-1)


@way(lambda h, m: parts(h, m)[0] * gate(parts(h, m)[1]))
def by_glu_module(h, m):
    return nn.GLU()(m(h))


@way(true_gated)
def by_functional_sigmoid(h, m):
    a, b = m(h).unflatten(-1, (2, HIDDEN)).unbind(-2)
    return F.sigmoid(a) * b


@way(true_gated)
def by_expit(h, m):
    a, b = m(h).tensor_split(2, -1)
    return torch.special.expit(a).multiply(b)


@way(true_gated)
def by_sigmoid_module(h, m):
    a, b = torch.chunk(m(h), 2, dim=2)
    return nn.Sigmoid()(a) * b


@way(true_gated)
def by_exponential(h, m):
    a, b = m(h).chunk(2, -1)
    return b / (1 + torch.exp(-a))


@way(true_gated)
def by_reciprocal(h, m):
    a, b = m(h).chunk(2, -1)
    return b * torch.reciprocal(1 + (-a).exp())


@way(true_gated)
def by_power(h, m):
    a, b = m(h).chunk(2, -1)
    return b * (1 + torch.exp(-a)) ** -1


@way(true_gated)
def by_log_sigmoid(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.exp(F.logsigmoid(a)) * b


@way(true_gated)
def by_softmax_of_two(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.softmax(torch.stack([a, torch.zeros_like(a)]), 0)[0] * b


@way(true_gated)
def by_complement(h, m):
    a, b = m(h).chunk(2, -1)
    return b - torch.sigmoid(-a) * b


@way(true_gated)
def by_diagonal(h, m):
    a, b = m(h).chunk(2, -1)
    return (torch.diag_embed(a.sigmoid()) @ b.unsqueeze(-1)).squeeze(-1)


@way(true_gated)
def by_einsum(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.einsum("bth,bth->bth", a.sigmoid(), b)


@way(true_gated)
def by_addcmul(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.addcmul(torch.zeros_like(b), a.sigmoid(), b)


@way(true_gated)
def by_rows(h, m):
    return torch.stack([m(x)[..., :HIDDEN].sigmoid() * m(x)[..., HIDDEN:] for x in h.unbind(1)], 1)


@way(true_gated)
def gates_written_into_zeros(h, m):
    a, b = m(h).chunk(2, -1)
    g = torch.zeros_like(b)
    for t in range(h.shape[1]):
        g[:, t] = torch.sigmoid(a[:, t])
    return g * b


@way(true_gated)
def gates_stacked(h, m):
    a, b = m(h).chunk(2, -1)
    g = torch.stack([x.sigmoid() for x in a.unbind(1)], 1)
    return g * b


@way(true_gated)
def gates_and_signals_in_one(h, m):
    a, b = m(h).chunk(2, -1)
    both = torch.cat([a.sigmoid(), b], -1)
    g, s = both.chunk(2, -1)
    return g * s


@way(true_gated)
def gates_and_signals_written(h, m):
    z = m(h)
    z = z.clone()
    z[..., :HIDDEN] = z[..., :HIDDEN].sigmoid()
    return z[..., :HIDDEN] * z[..., HIDDEN:]


@way(true_gated)
def gates_over_their_pre_activations(h, m):
    z = m(h)
    z[..., :HIDDEN].sigmoid_()
    return z[..., :HIDDEN] * z[..., HIDDEN:]


@way(true_gated)
def gates_by_list_of_functions(h, m):
    a, b = (f(x) for f, x in zip((torch.sigmoid, lambda x: x), m(h).chunk(2, -1), strict=True))
    return a * b


@way(true_gated)
def gates_by_out(h, m):
    a, b = m(h).detach().chunk(2, -1)
    _, b = m(h).chunk(2, -1)
    return torch.sigmoid(a) * b


@way(lambda h, m: gate(parts(h, m)[0]) * tanh(parts(h, m)[1]))
def gate_times_tanh(h, m):
    a, b = m(h).chunk(2, -1)
    return a.sigmoid() * b.tanh()


@way(lambda h, m: gate(parts(h, m)[0]) ** 2 * parts(h, m)[1])
def gate_squared(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.sigmoid(a).square() * b


@way(lambda h, m: gate(parts(h, m)[0]).sqrt() * parts(h, m)[1])
def root_of_a_gate(h, m):
    a, b = m(h).chunk(2, -1)
    return a.sigmoid() ** 0.5 * b


@way(lambda h, m: gate(parts(h, m)[0]) * gate(parts(h, m)[1]) * h)
def two_gates(h, m):
    a, b = torch.sigmoid(m(h)).chunk(2, -1)
    return a * b * h


@way(lambda h, m: (gate(parts(h, m)[0]) / gate(parts(h, m)[1])) * h)
def quotient_of_gates(h, m):
    a, b = torch.sigmoid(m(h)).chunk(2, -1)
    return a / b * h


@way(lambda h, m: (gate(parts(h, m)[0]) > 0.5).double() * h)
def hard_decision(h, m):
    a, _ = m(h).chunk(2, -1)
    return (torch.sigmoid(a) > 0.5).double() * h


@way(lambda h, m: (gate(parts(h, m)[0]) * h) * (1 - gate(parts(h, m)[0])) + h)
def gate_and_its_complement(h, m):
    g = m(h)[..., :HIDDEN].sigmoid()
    return torch.rsub(g, 1) * (g * h) + h


@way(lambda h, m: gate(parts(h, m)[0]).mean(1, keepdim=True) * h)
def squeeze_and_excite(h, m):
    g = m(h)[..., :HIDDEN].sigmoid().mean(1, keepdim=True)
    return h * g.expand_as(h)


@way(lambda h, m: gate(parts(h, m)[0].mean(1, keepdim=True)) * h)
def excite_from_the_mean(h, m):
    return h * torch.sigmoid(m(h.mean(1))[:, :HIDDEN]).unsqueeze(1)


def true_highway(h, m):
    a, b = parts(h, m)
    return gate(a) * relu(b) + (1 - gate(a)) * h


@way(true_highway)
def highway(h, m):
    a, b = m(h).chunk(2, -1)
    t = a.sigmoid()
    return t * F.relu(b) + (1 - t) * h


@way(true_highway)
def highway_by_lerp(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.lerp(h, b.relu(), a.sigmoid())


@way(true_highway)
def highway_by_difference(h, m):
    a, b = m(h).chunk(2, -1)
    return h + torch.sigmoid(a) * (torch.relu(b) - h)


@way(true_highway)
def highway_of_stacks(h, m):
    a, b = m(h).chunk(2, -1)
    g = a.sigmoid()
    return (torch.stack([g, 1 - g]) * torch.stack([b.relu(), h])).sum(0)


@way(true_highway)
def highway_by_addcmul(h, m):
    a, b = m(h).chunk(2, -1)
    g = a.sigmoid()
    return torch.addcmul(h - g * h, g, b.clamp(min=0))


@way(lambda h, m: product(*parts(h, m)))
def two_signals(h, m):
    a, b = m(h).chunk(2, -1)
    return a * b


@way(lambda h, m: product(tanh(parts(h, m)[0]), parts(h, m)[1]))
def tanh_times_signal(h, m):
    a, b = m(h).chunk(2, -1)
    return torch.tanh(a) * b


@way(lambda h, m: product(signal(F.silu, parts(h, m)[0]), parts(h, m)[1]))
def swiglu(h, m):
    a, b = m(h).chunk(2, -1)
    return F.silu(a) * b


@way(lambda h, m: product(signal(F.gelu, parts(h, m)[0]), parts(h, m)[1]))
def geglu(h, m):
    a, b = m(h).chunk(2, -1)
    return F.gelu(a) * b


# A sigmoid that is a signal


@way(lambda h, m: signal(torch.sigmoid, parts(h, m)[0]))
def sigmoid_as_activation(h, m):
    return torch.sigmoid(m(h)[..., :HIDDEN])


@way(lambda h, m: signal(F.softplus, parts(h, m)[0]))
def softplus(h, m):
    return F.softplus(m(h)[..., :HIDDEN])


@way(lambda h, m: gate(h) * h)
def silu_spelt_out(h, m):
    return h * torch.sigmoid(h)


@way(lambda h, m: gate(1.702 * h) * h)
def gelu_by_sigmoid(h, m):
    return h * torch.sigmoid(1.702 * h)


def true_activation(f: Callable[[Tensor], Tensor]) -> Step:
    return lambda h, m: signal(f, parts(h, m)[0])


def activation(name: str, f: Callable[[Tensor], Tensor]) -> None:
    """Register `f` after the map, as an activation with f(0) = 0."""

    def step(h: Tensor, m: nn.Linear) -> Tensor:
        return f(m(h)[..., :HIDDEN])

    step.__name__ = f"activation_{name}"
    way(true_activation(f))(step)


for name, f in {
    "tanh": torch.tanh,
    "tanh_in_place": lambda x: x.clone().tanh_(),
    "tanh_by_exponentials": lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1),
    "relu_by_clamp": lambda x: x.clamp(min=0),
    "relu_by_mask": lambda x: x * (x > 0),
    "relu_by_where": lambda x: torch.where(x > 0, x, torch.zeros_like(x)),
    "relu_by_maximum": lambda x: torch.maximum(x, torch.zeros_like(x)),
    "relu_by_abs": lambda x: (x + x.abs()) / 2,
    "relu_by_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "relu_by_setitem": lambda x: _rectified(x),
    "relu_functional_in_place": lambda x: F.relu(x.clone(), inplace=True),
    "leaky_relu": lambda x: F.leaky_relu(x, 0.2),
    "leaky_relu_by_where": lambda x: torch.where(x > 0, x, 0.2 * x),
    "leaky_relu_by_max": lambda x: torch.max(x, 0.2 * x),
    "elu": F.elu,
    "selu": torch.selu,
    "celu": F.celu,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "mish": F.mish,
    "mish_spelt_out": lambda x: x * torch.tanh(F.softplus(x)),
    "hardswish": F.hardswish,
    "hardtanh": F.hardtanh,
    "relu6": F.relu6,
    "softsign": F.softsign,
    "softsign_spelt_out": lambda x: x / (1 + x.abs()),
    "softshrink": F.softshrink,
    "hardshrink": F.hardshrink,
    "tanhshrink": F.tanhshrink,
    "threshold": lambda x: F.threshold(x, 0.1, 0.0),
    "sine": torch.sin,
    "cube": lambda x: x**3,
    "signed_root": lambda x: x.sign() * x.abs().sqrt(),
    "signed_log": lambda x: x.sign() * x.abs().log1p(),
    "sinh": torch.sinh,
    "atan": torch.atan,
    "nan_to_num": torch.nan_to_num,
    "positive": lambda x: +x,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3], dtype=x.dtype)),
    "log_cosh": lambda x: torch.log(torch.cosh(x)),
    "identity_module": nn.Identity(),
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
}.items():
    activation(name, f)


def _rectified(x: Tensor) -> Tensor:
    x = x.clone()
    x[x < 0] = 0
    return x


# Activations that are spelt as sums, products and choices with numbers, and are those to every law


@way(lambda h, m: 2 * signal(torch.sigmoid, 2 * h) - 1)
def tanh_by_sigmoid(h, m):
    return 2 * torch.sigmoid(2 * h) - 1


@way(lambda h, m: h * (0.5 * (1 + torch.erf(h / math.sqrt(2)))).detach())
def gelu_spelt_out(h, m):
    return 0.5 * h * (1 + torch.erf(h / math.sqrt(2)))


@way(lambda h, m: h * torch.sigmoid(h).detach())
def silu_by_tanh(h, m):
    return h * (0.5 * (torch.tanh(h / 2) + 1))


@way(lambda h, m: torch.where(h < 0.7, h, 0.7))
def clamped_by_minimum(h, m):
    return torch.min(h, torch.full_like(h, 0.7))


# Normalisations, by hand


def normalised(h: Tensor, power: float = 0.5, *, eps: float = 1e-5, unbiased=False) -> Tensor:
    scale = (h.var(-1, unbiased=unbiased, keepdim=True) + eps).pow(-power).detach()
    return (h - h.mean(-1, keepdim=True)) * scale


@way(lambda h, m: normalised(h))
def layer_norm(h, m):
    return F.layer_norm(h, (HIDDEN,))


@way(lambda h, m: normalised(h))
def layer_norm_by_var(h, m):
    mean = h.mean(-1, keepdim=True)
    return (h - mean) / torch.sqrt(h.var(-1, unbiased=False, keepdim=True) + 1e-5)


@way(lambda h, m: normalised(h))
def layer_norm_by_squares(h, m):
    centred = h - h.mean(-1, keepdim=True)
    return centred * (centred.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt()


@way(lambda h, m: normalised(h))
def layer_norm_by_moments(h, m):
    mean = h.mean(-1, keepdim=True)
    variance = (h * h).mean(-1, keepdim=True) - mean**2
    return (h - mean) * torch.rsqrt(variance + 1e-5)


@way(lambda h, m: normalised(h))
def layer_norm_by_var_mean(h, m):
    variance, mean = torch.var_mean(h, -1, unbiased=False, keepdim=True)
    return (h - mean) / (variance + 1e-5).sqrt()


def _true_by_std(h, m):
    scale = 1 / (h.std(-1, keepdim=True) + 1e-6).detach()
    return (h - h.mean(-1, keepdim=True)) * scale


@way(_true_by_std)
def layer_norm_by_std(h, m):
    return (h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-6)


@way(_true_by_std)
def layer_norm_in_place(h, m):
    std = h.std(-1, keepdim=True).add(1e-6)
    return h.clone().sub_(h.mean(-1, keepdim=True)).div_(std)


def true_rms(h, m):
    return h * (h.pow(2).mean(-1, keepdim=True) + 1e-6).rsqrt().detach()


@way(true_rms)
def rms_norm(h, m):
    return F.rms_norm(h, (HIDDEN,), eps=1e-6)


@way(true_rms)
def rms_norm_by_hand(h, m):
    return h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + 1e-6)


@way(true_rms)
def rms_norm_by_root(h, m):
    return h / torch.sqrt(torch.mean(h * h, dim=-1, keepdim=True) + 1e-6)


def true_unit(h, m):
    return h / h.norm(dim=-1, keepdim=True).detach()


@way(true_unit)
def unit_length(h, m):
    return F.normalize(h, dim=-1)


@way(true_unit)
def unit_length_by_norm(h, m):
    return h / h.norm(dim=-1, keepdim=True)


@way(true_unit)
def unit_length_by_linalg(h, m):
    return h / torch.linalg.norm(h, dim=-1, keepdim=True).clamp_min(1e-12)


@way(true_unit)
def unit_length_by_vector_norm(h, m):
    return h.div(torch.linalg.vector_norm(h, ord=2, dim=2, keepdim=True))


@way(true_unit)
def unit_length_by_squares(h, m):
    return h * (h**2).sum(-1, keepdim=True) ** -0.5


@way(lambda h, m: h / h.abs().sum(-1, keepdim=True).detach())
def unit_sum(h, m):
    return h / h.abs().sum(-1, keepdim=True)


@way(lambda h, m: h / h.abs().amax(-1, keepdim=True).detach())
def unit_maximum(h, m):
    return h / h.abs().amax(-1, keepdim=True)


def true_groups(h, m):
    B, T, H = h.shape
    return normalised(h.view(B, T, 2, H // 2)).view(B, T, H)


@way(true_groups)
def groups(h, m):
    B, T, H = h.shape
    return F.group_norm(h.reshape(B * T, H), 2).view(B, T, H)


@way(lambda h, m: normalised(h.transpose(1, 2)).transpose(1, 2))
def instance_norm(h, m):
    return F.instance_norm(h.transpose(1, 2)).transpose(1, 2)


@way(lambda h, m: h + parts(h, m)[0] + tanh(normalised(parts(h, m)[1])))
def residual_of_norms(h, m):
    a, b = m(h).chunk(2, -1)
    return h + a + torch.tanh(F.layer_norm(b, (HIDDEN,)))


@way(lambda h, m: normalised(h + relu(parts(h, m)[0])))
def post_norm(h, m):
    h = h + F.relu(m(h)[..., :HIDDEN])
    return F.layer_norm(h, [HIDDEN])


@way(lambda h, m: h + tanh(parts(normalised(h), m)[0]))
def pre_norm(h, m):
    return h + torch.tanh(m(F.layer_norm(h, [HIDDEN]))[..., :HIDDEN])


@way(lambda h, m: (h + tanh(parts(h, m)[0])) * math.sqrt(0.5))
def scaled_residual(h, m):
    h = h.clone()
    h += m(h)[..., :HIDDEN].tanh()
    return h * math.sqrt(0.5)


@way(lambda h, m: torch.cat([h[..., :2] + h[..., 2:], tanh(h[..., :2])], -1))
def concatenated_halves(h, m):
    a, b = h.chunk(2, -1)
    return torch.cat([a + b, a.tanh()], dim=-1)


# Biases


def positions(h: Tensor) -> Tensor:
    return torch.linspace(0, 1, h.shape[1], dtype=h.dtype)[:, None]


@way(lambda h, m: relu(h + positions(h)))
def positions_added(h, m):
    return torch.relu(h + torch.linspace(0, 1, h.shape[1], dtype=h.dtype)[:, None])


@way(lambda h, m: relu(h + 2 * positions(h)))
def positions_added_by_alpha(h, m):
    return torch.relu(torch.add(h, positions(h), alpha=2))


@way(lambda h, m: relu(1 - h))
def taken_from_one(h, m):
    return torch.relu(1 - h)


@way(lambda h, m: relu(h - 0.3))
def number_taken_in_place(h, m):
    h = h.clone()
    h -= 0.3
    return h.relu_()


@way(lambda h, m: tanh(h @ m.weight[:HIDDEN].t() + m.bias[:HIDDEN]))
def by_addmm(h, m):
    flat = torch.addmm(m.bias[:HIDDEN], h.flatten(0, 1), m.weight[:HIDDEN].t())
    return flat.tanh().view_as(h)


@way(lambda h, m: tanh(h @ m.weight[:HIDDEN].t() + m.bias[:HIDDEN]))
def by_tensordot(h, m):
    return torch.tanh(torch.tensordot(h, m.weight[:HIDDEN], ([2], [1])) + m.bias[:HIDDEN])


@way(lambda h, m: tanh(h @ m.weight[:HIDDEN].t() + m.bias[:HIDDEN]))
def by_inner(h, m):
    return torch.tanh(torch.inner(h, m.weight[:HIDDEN]) + m.bias[:HIDDEN])


@way(lambda h, m: tanh(h @ m.weight[:HIDDEN].t() + m.bias[:HIDDEN]))
def by_sum_of_products(h, m):
    return torch.tanh((h.unsqueeze(-2) * m.weight[:HIDDEN]).sum(-1) + m.bias[:HIDDEN])


@way(lambda h, m: tanh(h @ m.weight[:HIDDEN].t() + m.bias[:HIDDEN]))
def by_convolution(h, m):
    return F.conv1d(h.mT, m.weight[:HIDDEN, :, None], m.bias[:HIDDEN]).mT.tanh()


@way(lambda h, m: tanh(h @ m.weight[:HIDDEN].t() + m.bias[:HIDDEN]))
def by_python_matmul(h, m):
    return torch.stack([(m.weight[:HIDDEN] @ x.t()).t() + m.bias[:HIDDEN] for x in h]).tanh()


# No right answer: what is cast away, or a signal that is known as a weight only


@way(None)
def through_integers(h, m):
    return h + (h * 100).int().double() / 100


@way(None)
def rounded(h, m):
    return torch.round(h * 100) / 100


@way(None)
def sign_as_a_term(h, m):
    return h + (h > 0).double()


@way(None)
def through_items(h, m):
    return h + h.sum().item()


@way(None)
def largest_place_as_a_term(h, m):
    return h + h.argmax(1, keepdim=True)
