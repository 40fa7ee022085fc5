"""Ways of deriving, moving and overwriting ids before an embedding looks them up.

Each way is a function of the ids; what it means is said apart from it, by the place of the word
that each new id belongs to.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from trust.judge import CASES, CLASSES, FULL, IDS, VOCABULARY, WIDTH, Case, Words, tanh

Move = Callable[[Tensor], Tensor]
Places = Callable[[Tensor], Tensor]


class Mover(nn.Module):
    """Moves ids, looks them up, and weighs each place otherwise."""

    def __init__(self, move: Move) -> None:
        super().__init__()
        self.move = move
        self.embedding = nn.Embedding(40, WIDTH)
        self.places = nn.Parameter(torch.randn(16, 1))
        self.head = nn.Linear(WIDTH, CLASSES)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(self.move(ids))
        return self.head(torch.tanh((x * self.places[: x.shape[1]]).sum(1)))


def way(places: Places | None, ids: Tensor = IDS) -> Callable[[Move], Move]:
    """Register a way of moving ids. Without places, its ids belong to no single word."""

    def register(move: Move) -> Move:
        def truth(model: Mover, words: Words) -> Tensor:
            new = move(words.ids.clone())
            x = words.vectors(model.embedding, new, places(words.ids))
            return model.head(tanh((x * model.places[: x.shape[1]]).sum(1)))

        CASES.append(
            Case("ids", move.__name__, lambda: Mover(move), truth if places else None, ids=ids)
        )
        return move

    return register


def same(ids: Tensor) -> Tensor:
    return torch.arange(ids.shape[1]).expand(ids.shape)


def length(ids: Tensor) -> Tensor:
    return (ids != 0).sum(1)


# Reversed, padding included


def backwards(ids: Tensor) -> Tensor:
    return torch.tensor([list(range(ids.shape[1]))[::-1]] * len(ids))


@way(backwards)
def flip(ids):
    return ids.flip(1)


@way(backwards)
def flip_of_dims(ids):
    return torch.flip(ids, dims=(-1,))


@way(backwards)
def fliplr(ids):
    return torch.fliplr(ids)


@way(backwards)
def reversed_by_index(ids):
    return ids[:, torch.arange(ids.shape[1] - 1, -1, -1)]


@way(backwards)
def reversed_by_list_index(ids):
    return ids[:, list(range(ids.shape[1]))[::-1]]


@way(backwards)
def reversed_by_index_select(ids):
    return ids.index_select(1, torch.arange(ids.shape[1]).flip(0))


@way(backwards)
def reversed_by_gather(ids):
    return ids.gather(1, torch.arange(ids.shape[1]).flip(0).expand_as(ids))


@way(backwards)
def reversed_by_stack(ids):
    return torch.stack([ids[:, t] for t in reversed(range(ids.shape[1]))], dim=1)


@way(backwards)
def reversed_by_unbind(ids):
    return torch.stack(ids.unbind(1)[::-1], 1)


@way(backwards)
def reversed_by_split(ids):
    return torch.cat(ids.split(1, dim=1)[::-1], 1)


@way(backwards)
def reversed_into_zeros(ids):
    z = torch.zeros_like(ids)
    for t in range(ids.shape[1]):
        z[:, ids.shape[1] - 1 - t] = ids[:, t]
    return z


@way(backwards)
def reversed_into_empty(ids):
    z = torch.empty_like(ids)
    z[:] = ids.flip(1)
    return z


@way(backwards)
def reversed_by_copy(ids):
    z = torch.zeros(ids.shape, dtype=ids.dtype)
    z.copy_(ids.flip(1))
    return z


@way(backwards)
def reversed_by_swaps(ids):
    z = ids.clone()
    for t in range(ids.shape[1] // 2):
        kept = z[:, t].clone()
        z[:, t] = z[:, -1 - t]
        z[:, -1 - t] = kept
    return z


@way(backwards)
def reversed_by_numpy(ids):
    return torch.from_numpy(ids.numpy()[:, ::-1].copy())


@way(backwards)
def reversed_by_list(ids):
    return torch.tensor([row[::-1] for row in ids.tolist()])


@way(backwards)
def reversed_by_new_tensor(ids):
    return ids.new_tensor(ids.flip(1).tolist())


@way(backwards)
def reversed_by_scatter(ids):
    at = torch.arange(ids.shape[1]).flip(0).expand_as(ids)
    return torch.zeros_like(ids).scatter_(1, at, ids)


@way(backwards)
def reversed_by_data(ids):
    return ids.data.flip(1)


@way(backwards)
def reversed_by_detach(ids):
    return ids.detach().clone().flip([1])


@way(backwards)
def reversed_by_transpose(ids):
    return ids.t().flip(0).t()


@way(backwards)
def reversed_by_roll_and_flip(ids):
    return ids.roll(2, 1).flip(1).roll(2, 1)


@way(backwards)
def reversed_by_matmul(ids):
    turn = torch.eye(ids.shape[1], dtype=torch.float64).flip(0)
    return (ids.double() @ turn).round().long()


@way(backwards)
def reversed_by_argsort(ids):
    order = (-torch.arange(ids.shape[1])).argsort()
    return ids[:, order]


# Reversed within its length, padding stays


def backwards_in_length(ids: Tensor) -> Tensor:
    n, T = length(ids), ids.shape[1]
    return torch.tensor([[k - 1 - t if t < k else t for t in range(T)] for k in n.tolist()])


@way(lambda ids: backwards_to_nobody(ids))
def each_text_flipped_into_zeros(ids):
    out = torch.zeros_like(ids)
    for b, n in enumerate(length(ids)):
        out[b, :n] = ids[b, :n].flip(0)
    return out


@way(backwards_in_length)
def each_text_flipped_in_place(ids):
    z = ids.clone()
    for b, n in enumerate(length(ids).tolist()):
        z[b, :n] = z[b, :n].flip(0)
    return z


@way(lambda ids: backwards_to_nobody(ids))
def each_text_flipped_and_padded(ids):
    rows = [row[row != 0].flip(0) for row in ids]
    return nn.utils.rnn.pad_sequence(rows, batch_first=True)


@way(backwards_in_length)
def each_text_flipped_and_concatenated(ids):
    rows = []
    for row, n in zip(ids, length(ids).tolist(), strict=True):
        rows.append(torch.cat([row[:n].flip(0), row[n:]]))
    return torch.stack(rows)


def backwards_to_nobody(ids: Tensor) -> Tensor:
    n, T = length(ids), ids.shape[1]
    return torch.tensor([[k - 1 - t if t < k else -1 for t in range(T)] for k in n.tolist()])


@way(backwards_to_nobody)
def gathered_backwards_and_filled(ids):
    at = length(ids)[:, None] - 1 - torch.arange(ids.shape[1])
    return ids.gather(1, at.clamp(min=0)).masked_fill(at < 0, 0)


@way(backwards_to_nobody)
def gathered_backwards_and_multiplied(ids):
    at = length(ids)[:, None] - 1 - torch.arange(ids.shape[1])
    return ids.gather(1, at.clamp(min=0)) * (at >= 0)


@way(backwards_to_nobody)
def gathered_backwards_by_where(ids):
    at = length(ids)[:, None] - 1 - torch.arange(ids.shape[1])
    return torch.where(at >= 0, ids.gather(1, at.relu()), torch.zeros_like(ids))


@way(backwards_in_length)
def gathered_backwards_by_remainder(ids):
    n, T = length(ids)[:, None], ids.shape[1]
    t = torch.arange(T)
    return ids.gather(1, torch.where(t < n, n - 1 - t, t))


@way(backwards_in_length)
def reversed_in_length_by_numpy(ids):
    rows = ids.numpy().copy()
    for row, n in zip(rows, length(ids).numpy(), strict=True):
        row[:n] = row[:n][::-1].copy()
    return torch.as_tensor(rows)


@way(lambda ids: torch.tensor([[5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0], [5, 4, 3, 2, 1, 0]]))
def packed_ids_turned(ids):
    return torch.rot90(ids, 2).flip(0)


# Shifted, with a start or an end


def shifted(ids: Tensor) -> Tensor:
    return torch.tensor([[t - 1 for t in range(ids.shape[1])]] * len(ids))


@way(shifted)
def shifted_by_cat(ids):
    return torch.cat([torch.full((len(ids), 1), 12), ids[:, :-1]], 1)


@way(shifted)
def shifted_by_pad(ids):
    return F.pad(ids, (1, 0), value=13)[:, :-1]


@way(shifted)
def shifted_by_roll(ids):
    z = ids.roll(1, dims=1)
    z[:, 0] = 12
    return z


@way(shifted)
def shifted_by_slices(ids):
    z = ids.new_zeros(ids.shape)
    z[:, 1:] = ids[:, :-1]
    return z


@way(shifted)
def shifted_by_narrow(ids):
    z = ids.new_full(ids.shape, 14)
    z.narrow(1, 1, ids.shape[1] - 1).copy_(ids.narrow(1, 0, ids.shape[1] - 1))
    return z


@way(shifted)
def shifted_in_place(ids):
    z = ids.clone()
    z[:, 1:] = ids[:, :-1]
    z[:, 0].fill_(12)
    return z


def with_ends(ids: Tensor) -> Tensor:
    return torch.tensor([[-1, *range(ids.shape[1]), -1]] * len(ids))


@way(with_ends)
def framed_by_pad(ids):
    return F.pad(ids, (1, 1), value=15)


@way(with_ends)
def framed_by_cat(ids):
    return torch.cat([ids.new_full((len(ids), 1), 12), ids, ids.new_full((len(ids), 1), 13)], -1)


@way(with_ends)
def framed_by_hstack(ids):
    edge = torch.full_like(ids[:, :1], 14)
    return torch.hstack([edge, ids, edge])


@way(with_ends)
def framed_by_lists(ids):
    return torch.tensor([[12, *row, 13] for row in ids.tolist()])


@way(with_ends)
def framed_by_setitem(ids):
    z = torch.full((ids.shape[0], ids.shape[1] + 2), 16)
    z[:, 1:-1] = ids
    return z


# Parts and several copies


@way(lambda ids: same(ids)[:, 1:])
def without_the_first(ids):
    return ids[:, 1:]


@way(lambda ids: same(ids)[:, :-2])
def truncated(ids):
    return ids[:, : ids.shape[1] - 2].contiguous()


@way(lambda ids: same(ids)[:, ::2])
def every_second(ids):
    return ids[:, ::2]


@way(lambda ids: torch.cat([same(ids)[:, ::2], same(ids)[:, 1::2]], 1))
def even_then_odd(ids):
    return torch.cat([ids[:, 0::2], ids[:, 1::2]], dim=1)


@way(lambda ids: torch.cat([same(ids), same(ids).flip(1)], 1))
def both_directions(ids):
    return torch.cat((ids, ids.flip(1)), dim=1)


@way(lambda ids: torch.cat([same(ids), same(ids)], 1))
def twice_by_repeat(ids):
    return ids.repeat(1, 2)


@way(lambda ids: torch.cat([same(ids), same(ids)], 1))
def twice_by_tile(ids):
    return ids.tile((2,))


@way(lambda ids: torch.tensor([[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]] * 3))
def each_twice(ids):
    return ids.repeat_interleave(2, dim=1)


@way(lambda ids: torch.tensor([[0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]] * 3))
def each_twice_by_stack(ids):
    return torch.stack([ids, ids], -1).flatten(1)


@way(lambda ids: torch.tensor([[0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5]] * 3))
def windows_by_unfold(ids):
    return ids.unfold(1, 3, 1).reshape(len(ids), -1)


@way(lambda ids: torch.tensor([[0, 1, 2, 1, 2, 3, 2, 3, 4, 3, 4, 5]] * 3))
def windows_by_index(ids):
    at = torch.arange(4)[:, None] + torch.arange(3)
    return ids[:, at].flatten(1)


@way(lambda ids: torch.tensor([[0, 2, 4, 1, 3, 5]] * 3))
def folded_and_transposed(ids):
    return ids.view(len(ids), 3, 2).transpose(1, 2).reshape(len(ids), 6)


@way(lambda ids: torch.tensor([[0, 0, 2, 3, 4, 5]] * 3))
def second_read_from_first(ids):
    z = ids.clone()
    z[:, 1] = z[:, 0]
    return z


@way(lambda ids: torch.tensor([[2, 3, 4, 0, 1, 5]] * 3))
def permuted_by_list(ids):
    return ids[:, [2, 3, 4, 0, 1, 5]]


@way(lambda ids: torch.tensor([[2, 3, 4, 0, 1, 5]] * 3))
def permuted_by_one_hot(ids):
    choice = F.one_hot(torch.tensor([2, 3, 4, 0, 1, 5]), 6)
    return (ids[:, None] * choice).sum(-1)


@way(lambda ids: torch.tensor([[0, 1, 5]] * 3))
def head_and_tail(ids):
    return torch.cat([ids[:, :2], ids[:, -1:]], 1)


@way(lambda ids: torch.stack([same(ids)[0, : len(ids)]] * 3)[:, :1] * 0 + length(ids)[:, None] - 1)
def last_word_by_gather(ids):
    return ids.gather(1, length(ids)[:, None] - 1)


@way(lambda ids: length(ids)[:, None] - 1)
def last_word_by_index(ids):
    return ids[torch.arange(len(ids)), length(ids) - 1].unsqueeze(1)


@way(lambda ids: length(ids)[:, None] - 1)
def last_word_by_take_along(ids):
    return torch.take_along_dim(ids, length(ids)[:, None] - 1, 1)


# Sorted


@way(lambda ids: torch.tensor(np.argsort(ids.numpy(), 1, kind="stable")), ids=FULL)
def sorted_by_sort(ids):
    return ids.sort(1).values


@way(lambda ids: torch.tensor(np.argsort(ids.numpy(), 1, kind="stable")), ids=FULL)
def sorted_by_argsort(ids):
    return ids.gather(1, ids.argsort(1))


@way(lambda ids: torch.tensor(np.argsort(ids.numpy(), 1, kind="stable")), ids=FULL)
def sorted_by_list(ids):
    return torch.LongTensor([sorted(row) for row in ids.tolist()])


@way(lambda ids: torch.tensor(np.argsort(-ids.numpy(), 1, kind="stable"))[:, :2], ids=FULL)
def rarest_by_topk(ids):
    return ids.topk(2, 1).values


@way(lambda ids: torch.tensor(np.argmin(ids.numpy(), 1))[:, None], ids=FULL)
def commonest_by_amin(ids):
    return ids.amin(1, keepdim=True)


@way(lambda ids: torch.tensor(np.argmin(ids.numpy(), 1))[:, None], ids=FULL)
def commonest_by_min(ids):
    return ids.min(1).values[:, None]


# Numbers computed from one id


@way(same)
def halved(ids):
    return ids // 2


@way(same)
def halved_by_div(ids):
    return torch.div(ids, 2, rounding_mode="floor")


@way(same)
def hashed(ids):
    return (ids * 7 + 3) % 11


@way(same)
def hashed_in_place(ids):
    z = ids.clone()
    z.mul_(7).add_(3).remainder_(11)
    return z


@way(same)
def shifted_vocabulary(ids):
    return ids + 2


@way(same)
def clamped(ids):
    return ids.clamp(max=8)


@way(same)
def table_of_classes(ids):
    return torch.tensor([0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6])[ids]


@way(same)
def table_by_take(ids):
    return torch.arange(VOCABULARY).flip(0).take(ids)


@way(same)
def table_by_index_select(ids):
    return torch.arange(VOCABULARY).flip(0).index_select(0, ids.flatten()).view_as(ids)


@way(same)
def table_by_embedding(ids):
    table = torch.arange(VOCABULARY)[:, None].flip(0)
    return F.embedding(ids, table).squeeze(-1)


@way(same)
def to_float_and_back(ids):
    return ids.float().long()


@way(same)
def to_double_by_to(ids):
    return ids.to(torch.float64).to(torch.long)


@way(same)
def to_int_and_back(ids):
    return ids.int().to(torch.int64)


@way(same)
def by_type(ids):
    return ids.type(torch.FloatTensor).type(torch.LongTensor)


@way(same)
def with_bits(ids):
    return (ids << 1) & 15


@way(same)
def with_xor(ids):
    return ids ^ 5


@way(same)
def through_numpy(ids):
    return torch.from_numpy(np.asarray(ids))


@way(same)
def through_lists(ids):
    return torch.tensor(ids.tolist())


@way(same)
def through_items(ids):
    return torch.stack([torch.tensor([int(i) for i in row]) for row in ids])


@way(same)
def by_bucketize(ids):
    return torch.bucketize(ids, torch.arange(0, 12, 3))


@way(same)
def by_searchsorted(ids):
    return torch.searchsorted(torch.arange(0, 12, 2), ids.contiguous())


# Words that are replaced by a question about themselves


@way(same)
def rare_to_unknown_by_fill(ids):
    return ids.masked_fill(ids > 8, 1)


@way(same)
def rare_to_unknown_by_where(ids):
    return torch.where(ids > 8, torch.ones_like(ids), ids)


@way(same)
def rare_to_unknown_by_index(ids):
    z = ids.clone()
    z[z > 8] = 1
    return z


@way(same)
def rare_to_unknown_by_put(ids):
    return ids.masked_scatter(ids > 8, torch.ones_like(ids))


@way(same)
def rare_to_unknown_by_arithmetic(ids):
    rare = (ids > 8).long()
    return ids * (1 - rare) + rare


@way(same)
def stop_words_to_zero(ids):
    return ids * (ids != 4)


# Words that are overwritten


def third_is_nobody(ids: Tensor) -> Tensor:
    return torch.tensor([[0, 1, -1, 3, 4, 5]] * 3)


@way(third_is_nobody)
def overwritten_by_setitem(ids):
    z = ids.clone()
    z[:, 2] = 7
    return z


@way(third_is_nobody)
def overwritten_by_fill(ids):
    z = ids.clone()
    z[:, 2].fill_(7)
    return z


@way(third_is_nobody)
def overwritten_by_zero(ids):
    z = ids.clone()
    z[:, 2].zero_()
    return z


@way(third_is_nobody)
def overwritten_by_mask(ids):
    return ids.masked_fill(torch.arange(6) == 2, 9)


@way(third_is_nobody)
def overwritten_by_where(ids):
    return torch.where(torch.arange(6) == 2, 9, ids)


@way(third_is_nobody)
def overwritten_by_product(ids):
    return ids * torch.tensor([1, 1, 0, 1, 1, 1])


@way(third_is_nobody)
def overwritten_by_index_fill(ids):
    return ids.index_fill(1, torch.tensor([2]), 9)


@way(third_is_nobody)
def overwritten_by_index_copy(ids):
    return ids.index_copy(1, torch.tensor([2]), torch.full((3, 1), 9))


@way(third_is_nobody)
def overwritten_by_cat(ids):
    return torch.cat([ids[:, :2], torch.full((3, 1), 9), ids[:, 3:]], 1)


@way(third_is_nobody)
def overwritten_by_select_scatter(ids):
    return torch.select_scatter(ids, torch.full((3,), 9), 1, 2)


@way(third_is_nobody)
def overwritten_by_scatter(ids):
    return ids.scatter(1, torch.full((3, 1), 2), 9)


@way(third_is_nobody)
def overwritten_by_put(ids):
    return ids.index_put((torch.arange(3), torch.tensor(2)), torch.tensor(9))


@way(third_is_nobody)
def overwritten_by_view(ids):
    z = ids.clone()
    column = z.t()[2]
    column += 100
    column.copy_(torch.tensor([3, 4, 5]))
    return z


@way(third_is_nobody)
def overwritten_by_data(ids):
    z = ids.clone()
    z.data[:, 2] = 5
    return z


@way(third_is_nobody)
def overwritten_by_numpy(ids):
    z = ids.clone()
    z.numpy()[:, 2] = 5
    return z


@way(third_is_nobody)
def overwritten_by_clamp(ids):
    z = ids.clone()
    z[:, 2].clamp_(5, 5)
    return z


@way(lambda ids: torch.tensor([[0, 1, 2, 3, -1, -1]] * 3))
def tail_cut_by_mask(ids):
    keep = torch.arange(ids.shape[1]) < 4
    return ids.masked_fill(~keep, 0)


@way(lambda ids: torch.tensor([[0, 1, 2, 3, -1, -1]] * 3))
def tail_cut_by_tril(ids):
    return ids * torch.ones(1, 6, dtype=torch.long).tril(3)


@way(lambda ids: torch.tensor([[-1, 1, 2, 3, 4, 5]] * 3))
def first_replaced_by_class_token(ids):
    ids = ids.clone()
    ids[..., 0] = VOCABULARY
    return ids


# Ids of several words: there is no one word to whom a vector belongs


@way(None)
def bigrams(ids):
    return (ids[:, 1:] + ids[:, :-1] * 3) % 20


@way(None)
def bigrams_in_place(ids):
    z = ids.clone()
    z[:, 1:].add_(ids[:, :-1])
    return z


@way(None)
def bigrams_by_roll(ids):
    return (ids * 5 + ids.roll(1, 1)) % 30


@way(None)
def bigrams_by_numpy(ids):
    z = ids.numpy()
    return torch.from_numpy((z[:, 1:] * 3 + z[:, :-1]) % 30)


@way(None)
def bigrams_by_list(ids):
    return torch.tensor(
        [[(a + 3 * b) % 30 for a, b in itertools.pairwise(r)] for r in ids.tolist()]
    )


@way(None)
def cumulated(ids):
    return ids.cumsum(1) % 30


@way(None)
def summed(ids):
    return ids.sum(1, keepdim=True) % 30


@way(None)
def averaged(ids):
    return ids.float().mean(1, keepdim=True).long()


@way(None)
def multiplied(ids):
    return (ids * ids.flip(1)) % 30


@way(None)
def differences(ids):
    return ids.diff(dim=1).abs()


@way(None)
def counted(ids):
    return (ids[:, :, None] == ids[:, None]).sum(-1)


@way(None)
def counted_by_bincount(ids):
    return torch.stack([row.bincount(minlength=16)[:16] for row in ids])


@way(None)
def dotted(ids):
    return (ids.double() @ torch.ones(6, 2, dtype=torch.float64)).long() % 30


@way(None)
def trigrams_by_unfold(ids):
    return (ids.unfold(1, 3, 1) * torch.tensor([1, 3, 5])).sum(-1) % 40
