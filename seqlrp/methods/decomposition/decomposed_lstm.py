"""An LSTM with states split into the contribution of a phrase and the rest, h = β + γ.

The equations of contextual decomposition (Murdoch, Liu, Yu 2018, section 3) for one direction of
one layer, many sequences and phrases at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from math import comb
from typing import NamedTuple

import torch
from torch import Tensor

from seqlrp.engine.recurrent_calls import Weights


class Parts(NamedTuple):
    """A value that is the sum of two."""

    inside: Tensor  # β, the contribution of the phrase
    outside: Tensor  # γ, the rest

    @property
    def whole(self) -> Tensor:
        """The sum β + γ."""
        return self.inside + self.outside


class Term(NamedTuple):
    """A term of a pre-activation, and whether it belongs to the phrase: 1 or 0, broadcastable."""

    value: Tensor
    share: Tensor


def linearise(
    f: Callable[[Tensor], Tensor], terms: Sequence[Tensor], bias: Tensor
) -> tuple[list[Tensor], Tensor]:
    """L_f: split f(Σ terms + bias) into contributions of each term and the bias (eq. 8 to 10).

    The contribution of a term is averaged over all orders of the terms, in each of which the bias
    comes first, as in the paper. So the bias contributes f(bias).
    """
    count = len(terms)
    made: dict[tuple[int, ...], Tensor] = {}
    for size in range(count + 1):
        for chosen in combinations(range(count), size):
            made[chosen] = f(sum((terms[k] for k in chosen), bias))
    added = []
    for k in range(count):
        total = torch.zeros_like(made[tuple(range(count))])
        for chosen, value in made.items():
            if k not in chosen:
                after = made[tuple(sorted((*chosen, k)))]
                total = total + (after - value) / (count * comb(count - 1, len(chosen)))
        added.append(total)
    return added, made[()].expand_as(added[0])


def _parts(
    f: Callable[[Tensor], Tensor], terms: Sequence[Term], bias: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return L_f of the terms of the phrase, of the other terms, and of the bias."""
    added, of_bias = linearise(f, [term.value for term in terms], bias)
    inside = sum(a * t.share for a, t in zip(added, terms, strict=True))
    outside = sum(a * (1 - t.share) for a, t in zip(added, terms, strict=True))
    assert isinstance(inside, Tensor)
    assert isinstance(outside, Tensor)
    return inside, outside, of_bias


def _tanh(c: Parts) -> Parts:
    """Return L_tanh of two terms."""
    (inside, outside), _ = linearise(torch.tanh, c, torch.zeros_like(c.inside[:1]))
    return Parts(inside, outside)


def _new_cell(terms: Sequence[Term], bias: Tensor, c: Parts) -> tuple[Parts, Tensor]:
    """Return c_t = f_t ⊙ c_t−1 + i_t ⊙ g_t, and the part of its γ that the bias makes alone.

    Args:
        terms: of the pre-activations of i, f, g and o, `[N, 4H]`.
        bias: of these, `[4H]`.
        c: the state before, `[N, H]`.
    """
    of_i, of_f, of_g = (
        [Term(value.chunk(4, -1)[gate], share) for value, share in terms] for gate in range(3)
    )
    b_i, b_f, b_g, _ = bias.chunk(4)
    i_in, i_out, i_b = _parts(torch.sigmoid, of_i, b_i)
    f_in, f_out, f_b = _parts(torch.sigmoid, of_f, b_f)
    g_in, g_out, g_b = _parts(torch.tanh, of_g, b_g)
    constant = i_b * g_b
    inside = (f_in + f_b) * c.inside + (i_in + i_b) * g_in + i_in * g_b
    outside = f_out * c.inside + (f_in + f_out + f_b) * c.outside
    outside = outside + i_out * (g_in + g_out + g_b) + (i_in + i_b) * g_out + constant
    return Parts(inside, outside), constant


def lstm(
    x: Parts,
    h0: Tensor,
    c0: Tensor,
    weights: Weights,
    lengths: Tensor,
    phrase: Tensor,
    *,
    reverse: bool,
    words: bool,
    released: bool = False,
) -> tuple[Parts, Parts, Parts]:
    """Compute outputs `[T, N, P]` and final states `[N, P]`, `[N, H]`, each in two parts.

    With x_t = β^x + γ^x, one of which is 0 if x are words, and L over the terms W β^x, W γ^x,
    V β_t−1, V γ_t−1 and, first, b:

        f_t ⊙ c_t−1   β: (L_f[β] + L_f[b]) ⊙ β^c_t−1
        i_t ⊙ g_t     β: (L_i[β] + L_i[b]) ⊙ L_g[β] + L_i[β] ⊙ L_g[b]
        h_t = o_t ⊙ tanh(c_t), o_t not decomposed, tanh(c_t) = L[β^c] + L[γ^c]

    where L[β] is the sum over the terms with a β, and γ is the rest: all that involves other words,
    and biases alone. Initial states are γ.

    Args:
        x: inputs `[T, N, D]`.
        h0: `[N, P]`.
        c0: `[N, H]`.
        weights: the weights of this direction.
        lengths: the length of each sequence, int64 `[N]`; outputs of later steps are 0.
        phrase: bool `[T, N]`, True where a step is a word of the phrase.
        reverse: whether steps run from the end of each sequence.
        words: whether x are words, each entirely inside or outside of the phrase.
        released: follow the authors' code (that of Singh, Murdoch, Yu 2019), which differs from the
            paper in two points: L has two terms, the sum of all with a β and the sum of all with a
            γ, and at the words of the phrase L_i[b] ⊙ L_g[b] is in β. Their first code of 2018 had
            it in γ at the last word of the phrase, because a bound was off by one.
    """
    steps, hidden = len(phrase), weights.hh.shape[0] // 4
    bias = x.inside.new_zeros(4 * hidden)
    for part in (weights.bias_ih, weights.bias_hh):
        bias = bias if part is None else bias + part
    b_o = bias.chunk(4)[3]
    one, zero = bias.new_ones(()), bias.new_zeros(())
    member = phrase.to(bias).unsqueeze(-1)  # [T, N, 1]
    sources = [(x.whole @ weights.ih.T, member)] if words else [
        (x.inside @ weights.ih.T, one), (x.outside @ weights.ih.T, zero),
    ]  # fmt: skip
    h, c = Parts(torch.zeros_like(h0), h0), Parts(torch.zeros_like(c0), c0)
    outputs: list[Parts] = []
    for t in range(steps - 1, -1, -1) if reverse else range(steps):
        terms = [Term(value[t], s[t] if s.ndim else s) for value, s in sources]
        terms += [Term(h.inside @ weights.hh.T, one), Term(h.outside @ weights.hh.T, zero)]
        whole = torch.stack([term.value for term in terms]).sum(0)
        if released:
            own = torch.stack([term.value * term.share for term in terms]).sum(0)
            terms = [Term(own, one), Term(whole - own, zero)]
        new_c, constant = _new_cell(terms, bias, c)
        if released:
            moved = constant * member[t]
            new_c = Parts(new_c.inside + moved, new_c.outside - moved)
        o = torch.sigmoid(whole.chunk(4, -1)[3] + b_o)
        new_h = Parts(*(o * part for part in _tanh(new_c)))
        if weights.hr is not None:
            new_h = Parts(*(part @ weights.hr.T for part in new_h))
        there = (t < lengths).unsqueeze(-1)
        outputs.append(Parts(*(part * there for part in new_h)))
        h = Parts(*(torch.where(there, n, old) for n, old in zip(new_h, h, strict=True)))
        c = Parts(*(torch.where(there, n, old) for n, old in zip(new_c, c, strict=True)))
    if reverse:
        outputs.reverse()
    made = Parts(*(torch.stack(parts) for parts in zip(*outputs, strict=True)))
    return made, h, c
