"""From ids to the embeddings that read them: a mode that follows ids and finds their vectors.

The user names no layer. Ids may be sliced, transposed, packed, flattened or read one step at a
time; beside them goes the number of the element that each one was, so that what an embedding
returns is known to belong to this word of that document. Anything else than ids passes through.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqlrp.errors import IdsError, ModelError, RefusedFunctionError, VocabularyError
from seqlrp.lrp.documents import NOBODY
from seqlrp.lrp.door import check_input
from seqlrp.lrp.functions import (
    ELEMENTWISE_ON_IDS,
    MOVES,
    is_question,
    spelled,
    values_in,
    values_of,
)
from seqlrp.lrp.marks import Mark, mark_of, put_mark, substituted, tensors_in

_HOOKED = (
    "The model uses checkpointing or other saved-tensor hooks, which compute again where relevance "
    "cannot follow; switch them off for explaining."
)


class Reading(NamedTuple):
    """What one embedding (or the model's vectors) contributed.

    `vectors` `[..., D]` requires grad; `origin` `[...]` numbers the element of the ids that each
    vector belongs to, and is -1 for what was no element of them.
    """

    vectors: Tensor
    origin: Tensor


class Table(NamedTuple):
    """Where vectors are looked up: the rows `[V, D]` as a reading has them, after any `max_norm`.

    `number` counts the tables of a model in the order in which they are first read.
    """

    rows: Tensor
    padding_idx: int | None
    number: int


class InputMode(TorchFunctionMode):
    """Runs a model unchanged, and hands what its embeddings read from the ids to `read`."""

    def __init__(self) -> None:
        super().__init__()
        self.readings: list[Reading] = []
        self.table: Table | None = None  # of the vectors being read; None: they were handed in
        self._tables: dict[int, int] = {}  # the number of each table, by its address
        self.ids_shape: tuple[int, ...] = ()
        self._whole: Tensor | None = None  # the origin of the ids as they were given
        # What embeddings with padding read: which elements of the ids, and is each one padding?
        self._padding_read: list[tuple[Tensor, Tensor]] = []

    def follow(self, ids: Tensor) -> Tensor:
        """A copy of the ids that this mode will know again."""
        self.ids_shape = tuple(ids.shape)
        origin = self._whole = self._places(ids)
        return put_mark(ids.clone(), Mark(self, origin=origin))

    def read(self, vectors: Tensor, origin: Tensor) -> Tensor:
        """Make embedded vectors `[..., D]` a leaf; returns what the model goes on with."""
        leaf = vectors.detach().requires_grad_()
        self.readings.append(Reading(leaf, origin))
        return leaf.clone()  # a clone, because a leaf cannot be changed in place

    def run(self, model: nn.Module, inputs: Tensor, additional: Any) -> Any:
        """The output of the model for ids or vectors, with every reading noted on the way.

        Raises:
            IdsError, NonFiniteError: the input is not what a model is fed with.
        """
        check_input(inputs)
        arguments = additional if isinstance(additional, tuple) else (additional,)
        arguments = () if additional is None else arguments
        # What was made in inference mode cannot take part in a graph; a copy can.
        arguments = substituted(arguments, lambda t: t.clone() if t.is_inference() else t)
        if inputs.dtype.is_floating_point:
            self.ids_shape = tuple(inputs.shape[:2])
            places = self._whole = self._places(inputs)
            if inputs.ndim == 3:
                given = self.read(inputs.clone(), places)
            else:  # features [B, D], each of which is a word of one dimension
                column = self.read(inputs.clone().unsqueeze(-1), places)
                given = self.call(torch.squeeze, (column, -1), {})
        else:
            given = self.follow(inputs)
        # What is recomputed in the backward pass (checkpointing) would be so outside of this mode.
        try:
            with torch.autograd.graph.disable_saved_tensors_hooks(_HOOKED), self:
                return model._call_impl(given, *arguments)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if _HOOKED in str(error):
                raise RefusedFunctionError(_HOOKED) from error
            raise
        except TypeError as error:
            if f"{type(model).forward.__qualname__}()" not in str(error):
                raise
            raise ModelError(
                f"{error}. Say what the model takes after its input: additional_forward_args= of "
                f"an attribution, or in a seqlrp.TextClassifier additional='lengths', 'mask', or a "
                f"function of ids and mask."
            ) from error

    def _places(self, like: Tensor) -> Tensor:
        """The number of each element of the ids."""
        count = torch.Size(self.ids_shape).numel()
        return torch.arange(count, device=like.device).reshape(self.ids_shape)

    def gathered(self, values: list[Tensor | None]) -> Tensor:
        """Values at the readings, summed in float32 or better where they belong: `[*ids, D]`."""
        width = max(reading.vectors.shape[-1] for reading in self.readings)
        first = self.readings[0].vectors
        dtype = torch.promote_types(first.dtype, torch.float32)
        alone = len(self.readings) == 1 and self.readings[0].origin is self._whole
        if alone and values[0] is not None:  # every word was read once, in its place
            return values[0].to(dtype)
        total = first.new_zeros(torch.Size(self.ids_shape).numel(), width, dtype=dtype)
        for (vectors, origin), value in zip(self.readings, values, strict=True):
            if value is not None:
                places = origin.reshape(-1)
                known = places >= 0
                flat = value.to(dtype).reshape(-1, vectors.shape[-1])
                total[:, : flat.shape[-1]].index_add_(0, places[known], flat[known])
        return total.reshape(*self.ids_shape, width)

    def grad_enabled(self, enabled: bool) -> None:
        """Told that the model says `no_grad` or ends it; ignored, for the graph is not its own."""

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Anything that is not about ids; a mode with laws of its own overrides this."""
        return function(*args, **kwargs)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if is_question(function):
            return function(*args, **kwargs)
        if function is torch._C._set_grad_enabled:
            return self.grad_enabled(bool(args[0]))
        followed = [t for t in tensors_in((args, kwargs)) if self.origin_of(t) is not None]
        if not followed:
            return self.call(function, args, kwargs)
        looked_up = _looked_up(function, args, kwargs, followed)
        if looked_up is not None:
            return self._from_table(function, args, kwargs, *looked_up)
        with torch.enable_grad():
            if function in (F.embedding, torch.embedding):
                return self._embedding(*_embedding_arguments(function, args, kwargs))
            if function in (F.embedding_bag, torch.embedding_bag):
                return self._embedding_bag(function, args, kwargs)
        result = self.call(function, args, kwargs)
        self._follow(function, args, kwargs, result, followed)
        return result

    def origin_of(self, tensor: object) -> Tensor | None:
        """Which elements of the ids a tensor holds, or None if it holds none."""
        mark = mark_of(tensor, self)
        return None if mark is None else mark.origin

    def _follow(
        self, function: Any, args: Any, kwargs: Any, result: Any, followed: list[Tensor]
    ) -> None:
        results = [r for r in tensors_in(result) if not r.dtype.is_floating_point]
        if not results or results[0].dtype == torch.bool:
            return
        name = spelled(function)
        same_shape = results[0].shape == followed[0].shape
        if name in ELEMENTWISE_ON_IDS and len(followed) == 1 and same_shape:
            # An unknown word's id stands for the word that it is written over.
            put_mark(results[0], Mark(self, origin=self.origin_of(followed[0])))
        elif name in MOVES:
            if all(self.origin_of(t) is None for t in values_in(name, args, kwargs)):
                return  # ids that only lend their shape
            new_args, new_kwargs = values_of(name, args, kwargs, self.origin_of)
            origins = tensors_in(MOVES[name](*new_args, **new_kwargs))
            for tensor, origin in zip(results, origins, strict=False):
                if tensor.shape == origin.shape:
                    put_mark(tensor, Mark(self, origin=origin))

    def _from_table(
        self, function: Any, args: Any, kwargs: Any, table: Tensor, ids: Tensor
    ) -> Tensor:
        """A row of a table for each id: their vectors, or other ids, such as those of letters."""
        if table.dtype.is_floating_point:
            with torch.enable_grad():
                return self._embedding(ids, table, None, None, 2.0)
        result: Tensor = function(*args, **kwargs)
        origin = self.origin_of(ids)
        assert origin is not None
        extra = result.ndim - origin.ndim
        origin = origin.reshape(*origin.shape, *(1,) * extra).expand(result.shape)
        return put_mark(result, Mark(self, origin=origin))

    def _embedding(
        self,
        ids: Tensor,
        weight: Tensor,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
    ) -> Tensor:
        origin = self.origin_of(ids)
        assert origin is not None
        _check_range(ids, weight)
        number = self._tables.setdefault(weight.data_ptr(), len(self._tables))
        weight = weight.detach()
        if max_norm is not None:  # F.embedding renormalises the weights in place: not the user's
            every = torch.arange(len(weight), device=weight.device)
            weight = F.embedding(every, weight.clone(), max_norm=max_norm, norm_type=norm_type)
        vectors = F.embedding(ids, weight)
        if padding_idx is not None:
            padding_idx %= len(weight)
            self._padding_read.append((origin, ids == padding_idx))
        self.table = Table(weight, padding_idx, number)
        return self.read(vectors, origin)

    def _embedding_bag(self, function: Any, args: Any, kwargs: Any) -> Any:
        bag = _bag_arguments(function, args, kwargs)
        ids, offsets = bag["input"], bag["offsets"]
        vectors = self._embedding(
            ids, bag["weight"], bag["padding_idx"], bag["max_norm"], bag["norm_type"]
        )
        if bag["per_sample_weights"] is not None:
            scale = bag["per_sample_weights"].unsqueeze(-1)
            vectors = self.call(torch.mul, (vectors, scale), {})
        # One bag a row, so that pooling is the same few functions that a padded model calls.
        if offsets is None:
            valid = torch.ones_like(ids, dtype=torch.bool)
        else:
            ends = (
                offsets[1:]
                if bag["include_last_offset"]
                else torch.cat([offsets[1:], offsets.new_tensor([len(ids)])])
            )
            starts = offsets[:-1] if bag["include_last_offset"] else offsets
            steps = torch.arange(max(int((ends - starts).max()), 1), device=ids.device)
            index = starts.unsqueeze(1) + steps
            valid = index < ends.unsqueeze(1)
            index = index.clamp(max=len(ids) - 1)
            ids = ids[index]
            vectors = self.call(torch.Tensor.__getitem__, (vectors, index), {})
            self.own_documents(vectors, index.masked_fill(~valid, -1), len(bag["input"]))
        if bag["padding_idx"] is not None:
            valid = valid & (ids != bag["padding_idx"] % len(bag["weight"]))
        counts = valid.sum(1, keepdim=True)
        outside = ~valid.unsqueeze(-1)
        if bag["mode"] == "max":
            low = self.call(torch.masked_fill, (vectors, outside, float("-inf")), {})
            pooled = self.call(torch.amax, (low, 1), {})
            return self.call(torch.masked_fill, (pooled, counts == 0, 0.0), {})
        pooled = self.call(torch.masked_fill, (vectors, outside, 0.0), {})
        pooled = self.call(torch.sum, (pooled, 1), {})
        if bag["mode"] == "mean":
            pooled = self.call(torch.div, (pooled, counts.clamp(min=1)), {})
        return pooled

    def own_documents(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """Told that each row of `vectors` `[B, T, D]` is a document of its own: a bag of ids.

        `index` `[B, T]` says which of `count` ids each is, -1 for none.
        """

    @property
    def padding(self) -> Tensor | None:
        """Where embeddings read nothing but padding, bool, as the ids; None: nobody names any."""
        if not self._padding_read:
            return None
        if len(self._padding_read) == 1 and self._padding_read[0][0] is self._whole:
            return self._padding_read[0][1]
        padding = torch.zeros(
            self.ids_shape, dtype=torch.bool, device=self._padding_read[0][1].device
        )
        words = padding.clone()
        for origin, is_padding in self._padding_read:
            padding.view(-1)[origin[is_padding & (origin != NOBODY)]] = True
            words.view(-1)[origin[~is_padding & (origin != NOBODY)]] = True
        return padding & ~words


def _looked_up(
    function: Any, args: Any, kwargs: Any, followed: list[Tensor]
) -> tuple[Tensor, Tensor] | None:
    """The table and the ids, where ids choose rows of a table by anything but an embedding.

    Raises:
        RefusedFunctionError: they are turned into vectors in a way that cannot be followed.
    """
    name = spelled(function)
    if getattr(function, "__name__", "") == "one_hot":
        raise RefusedFunctionError(
            "The model makes one-hot vectors of ids, which cannot be followed; look their vectors "
            "up with nn.Embedding, or hand the vectors [B, T, D] in instead of the ids."
        )
    if function in (F.embedding, torch.embedding):
        ids, table, *_ = _embedding_arguments(function, args, kwargs)
        return None if table.dtype.is_floating_point else (table, ids)
    if len(followed) != 1 or not args or args[0] is followed[0] or not isinstance(args[0], Tensor):
        return None
    table, ids = args[0], followed[0]
    index = args[1] if len(args) > 1 else None
    if name == "getitem" and (index is ids or (isinstance(index, tuple) and index == (ids,))):
        return table, ids
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if name == "index_select" and dim == 0:
        return table, ids
    if name == "gather" and not table.dtype.is_floating_point:
        return table, ids
    return None


def _check_range(ids: Tensor, weight: Tensor) -> None:
    if ids.dtype not in (torch.int64, torch.int32):
        raise IdsError(f"The embedding got ids of dtype {ids.dtype}; it needs torch.int64.")
    wrong = (ids < 0) | (ids >= len(weight))
    if bool(wrong.any()):
        where = tuple(wrong.nonzero()[0].tolist())
        raise VocabularyError(
            f"Id {int(ids[where])} at position {where} is outside the embedding's vocabulary of "
            f"{len(weight)} (0 to {len(weight) - 1}); were the ids made with the vocabulary that "
            f"the model was trained with?"
        )


def _embedding_arguments(
    function: Any, args: Any, kwargs: Any
) -> tuple[Tensor, Tensor, int | None, float | None, float]:
    if function is torch.embedding:  # the builtin takes the weight first, and -1 for no padding
        given = dict(zip(("weight", "indices", "padding_idx"), args, strict=False)) | kwargs
        padding = given.get("padding_idx", -1)
        return given["indices"], given["weight"], None if padding < 0 else padding, None, 2.0
    names = ("input", "weight", "padding_idx", "max_norm", "norm_type")
    given = dict(zip(names, args, strict=False)) | kwargs
    return (
        given["input"],
        given["weight"],
        given.get("padding_idx"),
        given.get("max_norm"),
        given.get("norm_type", 2.0),
    )


def _bag_arguments(function: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    if function is torch.embedding_bag:
        raise VocabularyError(
            "torch.embedding_bag is called directly; call torch.nn.functional.embedding_bag or "
            "nn.EmbeddingBag, whose arguments are documented."
        )
    names = (
        "input", "weight", "offsets", "max_norm", "norm_type", "scale_grad_by_freq", "mode",
        "sparse", "per_sample_weights", "include_last_offset", "padding_idx",
    )  # fmt: skip
    defaults = {
        "offsets": None, "max_norm": None, "norm_type": 2.0, "mode": "mean",
        "per_sample_weights": None, "include_last_offset": False, "padding_idx": None,
    }  # fmt: skip
    given: dict[str, Any] = dict(zip(names, args, strict=False)) | kwargs
    return defaults | given
