"""A mode that follows the ids through a model and finds the vectors that embeddings look up.

The user names no layer. Ids may be sliced, transposed, packed, flattened or read one step at a
time; the mode tracks the position of each id in the input, so that each vector that an embedding
returns can be assigned to its word and document. All other values pass through unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from seqlrp.engine.documents import NOBODY
from seqlrp.engine.failures import HOOKED, failure_of
from seqlrp.engine.functions import (
    Call,
    Function,
    Kind,
    arrange,
    full_name,
    function_name,
    identify,
    writes_over_first,
)
from seqlrp.engine.marks import Mark, mark_of, place_of, put_mark, release_marked
from seqlrp.engine.moves import only_reshapes
from seqlrp.engine.nests import map_tensors, out_of_inference_mode, tensors_among, tensors_in
from seqlrp.engine.provenance import FRESH, SEVERAL, Provenance, derive
from seqlrp.errors import (
    IdsError,
    RefusedFunctionError,
    VocabularyError,
)

Tensors = Sequence[Tensor] | None  # the tensors among some arguments; None: nobody has looked
_PROBABILITY_NODES = ("SoftmaxBackward0", "LogSoftmaxBackward0", "SigmoidBackward0")


class EmbeddingTable(NamedTuple):
    """A table of vectors that an embedding reads.

    Attributes:
        rows: `[V, D]`, after any `max_norm`.
        padding_idx: the row of the padding, if any.
        number: the number of the table in the order in which the model first reads its tables.
    """

    rows: Tensor
    padding_idx: int | None
    number: int


class Reading(NamedTuple):
    """The vectors that one embedding looked up, or that were the input of the model.

    Attributes:
        vectors: `[..., D]`.
        origin: int64 `[...]`: the element of the ids that each vector belongs to, -1 for none.
        table: the embedding table; None if the vectors were the input.
    """

    vectors: Tensor
    origin: Tensor
    table: EmbeddingTable | None = None


class InputMode(TorchFunctionMode):
    """Runs a model unchanged, and calls `read` with the vectors that its embeddings look up."""

    overwrites = False  # whether the model has written over a signal or a part of one

    def __init__(self) -> None:
        super().__init__()
        self.readings: list[Reading] = []
        self._tables: dict[int, int] = {}  # the number of each embedding table, by its address
        self.ids_shape: tuple[int, ...] = ()
        self.probabilities: Any = (
            None  # the last result of a softmax or sigmoid that the mode itself computed
        )
        self._whole: Tensor | None = None  # the origin of the ids as they were given
        # For each reading with padding: the elements of the ids, and whether each one is padding.
        self._padding_read: list[tuple[Tensor, Tensor]] = []
        self.table_sizes: list[int] = []  # of every table that ids were looked up in
        self.renormalises = False  # whether an embedding writes into its table (max_norm)
        # All memory that holds ids, by its address, and a copy of what stands there.
        self._contents: dict[int, tuple[Tensor, Tensor]] = {}

    def follow(self, ids: Tensor) -> Tensor:
        """Return a copy of the ids that this mode follows."""
        self.ids_shape = tuple(ids.shape)
        origin = self._whole = self._places(ids)
        followed = put_mark(ids.clone(), Mark(run=self, origin=origin))
        self._note_content(followed)
        return followed

    def read(self, reading: Reading) -> Tensor:
        """Make the vectors of a reading a leaf; return those that the model uses, `[..., D]`."""
        leaf = reading.vectors.detach().requires_grad_()
        self.readings.append(Reading(leaf, reading.origin, reading.table))
        return leaf.clone()  # a clone, because a leaf cannot be changed in place

    def run(self, model: nn.Module, inputs: Tensor, additional: Any) -> Any:
        """Run the model on ids or vectors, recording every reading; return its output.

        Raises:
            ModelError: the model cannot be called with these arguments.
            RefusedFunctionError: the model computes in a way that cannot be followed.
        """
        arguments = additional if isinstance(additional, tuple) else (additional,)
        arguments = () if additional is None else arguments
        arguments = map_tensors(arguments, out_of_inference_mode)
        if inputs.dtype.is_floating_point:
            self.ids_shape = tuple(inputs.shape[:2])
            places = self._whole = self._places(inputs)
            if inputs.ndim == 3:
                given = self.read(Reading(inputs.clone(), places))
            else:  # features [B, D], each of which is a word of one dimension
                column = self.read(Reading(inputs.clone().unsqueeze(-1), places))
                given = self.call(torch.squeeze, (column, -1), {})
        else:
            given = self.follow(inputs)
        # Checkpointing would recompute values in the backward pass, outside of this mode.
        try:
            with torch.autograd.graph.disable_saved_tensors_hooks(HOOKED), self:
                return model._call_impl(given, *arguments)  # type: ignore[no-untyped-call]
        except Exception as error:
            failure = failure_of(model, inputs, arguments, error)
            if failure is error:
                raise
            raise failure from error
        finally:
            release_marked(model)

    def gives_probabilities(self, output: Any) -> bool:
        """Return whether the last step of a model was a softmax, log-softmax or sigmoid.

        No single check detects this, because a mode may compute that step itself: torch's own
        functions leave a node in the graph (also when scripted code calls them), DeepLIFT's mode
        stores the result in `probabilities`, and LRP's mode marks it as a gate.
        """
        node = type(getattr(output, "grad_fn", None)).__name__
        return output is self.probabilities or node in _PROBABILITY_NODES

    def connect_scores(self, output: Tensor, scores: Tensor) -> Tensor:
        """Return scores `[B, C]`, taken from `output`, from which a backward pass can start."""
        return scores

    def _places(self, like: Tensor) -> Tensor:
        """Number the elements of the ids."""
        return torch.arange(prod(self.ids_shape), device=like.device).view(self.ids_shape)

    def gather(self, values: list[Tensor | None]) -> Tensor:
        """Sum values at the readings for each word, in float32 or wider: `[*ids, D]`."""
        first = self.readings[0].vectors
        dtype = torch.promote_types(first.dtype, torch.float32)
        alone = len(self.readings) == 1 and self.readings[0].origin is self._whole
        if alone and values[0] is not None:  # every word was read once, in order
            return values[0].to(dtype)
        width = max(reading.vectors.shape[-1] for reading in self.readings)
        total = first.new_zeros(prod(self.ids_shape), width, dtype=dtype)
        for reading, value in zip(self.readings, values, strict=True):
            if value is not None:
                places = reading.origin.reshape(-1)
                known = places >= 0
                flat = value.to(dtype).reshape(-1, reading.vectors.shape[-1])
                total[:, : flat.shape[-1]].index_add_(0, places[known], flat[known])
        return total.reshape(*self.ids_shape, width)

    def grad_enabled(self, enabled: bool) -> None:
        """Handle that the model enters or leaves `no_grad`; ignored, because a graph is needed."""

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Call a function that does not act on ids; a mode with laws overrides this.

        `found` are the tensors among its arguments, if somebody has already looked.
        """
        return function(*args, **kwargs)

    def __torch_function__(
        self, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        entry = identify(function)
        if entry is not None and entry.kind is Kind.QUESTION:
            return function(*args, **kwargs)
        if torch.is_inference_mode_enabled():  # the model's own, in which there is no graph
            with torch.inference_mode(False):
                return self.__torch_function__(function, types, args, kwargs)
        if function is torch._C._set_grad_enabled:
            return self.grad_enabled(bool(args[0]))
        if kwargs.get("out") is not None and self._meets_words((args, kwargs)):
            return self._write_out(function, types, args, kwargs)
        marked, followed = False, []
        found = tensors_among(args, kwargs)
        for tensor in found:
            mark = mark_of(tensor, self)
            if mark is None and tensor._base is not None:
                mark = mark_of(tensor._base, self)
            if mark is not None and mark.origin is not None:
                marked = True
                if not mark.answer:
                    followed.append(tensor)
        if not marked:
            return self.call(function, args, kwargs, found)
        if followed:
            for tensor in followed:
                self._check_content(tensor)
            looked_up = self._find_lookup(function, args, kwargs, followed)
            if looked_up is not None:
                return self._from_table(function, args, kwargs, *looked_up)
            with torch.enable_grad():
                if function in (F.embedding, torch.embedding):
                    return self._embedding(*embedding_arguments(function, args, kwargs))
                if function in (F.embedding_bag, torch.embedding_bag):
                    return self._embedding_bag(function, args, kwargs)
        if writes_over_first(function, entry) and not self.is_signal(args[0]):
            return self._overwrite(function, entry, args, kwargs)
        result = self.call(function, args, kwargs, found)
        if not isinstance(result, Tensor) or mark_of(result, self) is None:  # no signal
            self._follow(arrange(function, entry, args, kwargs), entry, result)
        return result

    def _overwrite(
        self, function: Callable[..., Any], entry: Function | None, args: Any, kwargs: Any
    ) -> Any:
        """Call a function that writes into its first argument, in which no signal is."""
        call = arrange(function, entry, args, kwargs)
        if not isinstance(call.args[0], Tensor):
            self._refuse_ids(full_name(function))
        own = self._derive(call, entry, call.args[0])[0]  # before values are overwritten
        result = self.call(function, args, kwargs)
        if own is not None and only_reshapes(call):
            self.note(call.args[0], own)
        elif not self.is_signal(call.args[0]):  # nor has it become one: z[ids > 5] = x[ids > 5]
            self._note_write(call.args[0], own)
        return result

    def _meets_words(self, nest: Any) -> bool:
        """Return whether any tensor among the arguments depends on the words."""
        return any(
            t.grad_fn is not None or mark_of(t, self) is not None or mark_of(t._base, self)
            for t in tensors_in(nest)
        )

    def _write_out(
        self, function: Callable[..., Any], types: Any, args: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Call a function without `out`, and copy its result there, which can be followed.

        Raises:
            RefusedFunctionError: `out` has another shape or dtype than the result.
        """
        targets = tensors_in(kwargs["out"])
        memory = {target.untyped_storage().data_ptr() for target in targets}

        def keep(operand: Tensor) -> Tensor:  # the backward pass needs its old values
            if operand.untyped_storage().data_ptr() not in memory:
                return operand
            copied: Tensor = self.__torch_function__(torch.clone, types, (operand,))
            return copied

        function = getattr(function, "overloadpacket", function)  # of torch.ops.aten.add.out
        rest = {name: value for name, value in kwargs.items() if name != "out"}
        result = self.__torch_function__(function, types, *map_tensors((args, rest), keep))
        for target, value in zip(targets, tensors_in(result), strict=True):
            new = target.numel() == 0 and not self._meets_words(target)
            if new and target.dtype == value.dtype:
                target.resize_(value.shape)
            if target.dtype != value.dtype or target.shape != value.shape:
                raise RefusedFunctionError(
                    f"{full_name(function)} in {self.describe_place()} writes a result of shape "
                    f"{list(value.shape)} and dtype {value.dtype} to out= of shape "
                    f"{list(target.shape)} and dtype {target.dtype}, which cannot be followed. "
                    f"Give out= the shape and dtype of the result, or call it without out=.",
                    function=full_name(function),
                )
            self.__torch_function__(Tensor.copy_, types, (target, value))
        written = iter(targets)
        return map_tensors(result, lambda _: next(written))

    # What was computed from ids

    def is_signal(self, tensor: object) -> bool:
        """Return whether a tensor is marked as computed from the vectors of words."""
        mark = mark_of(tensor, self)
        return mark is not None and mark.origin is None

    def provenance_of(self, tensor: object) -> Provenance | None:
        """Return where the elements of a tensor come from, or None if it does not hold ids."""
        mark = mark_of(tensor, self)
        if mark is not None:
            if mark.origin is None:
                return None
            return _provenance(mark, mark.origin)
        base = tensor._base if isinstance(tensor, Tensor) else None
        mark = None if base is None else mark_of(base, self)
        if mark is None or mark.origin is None or not isinstance(tensor, Tensor) or base is None:
            return None
        return _provenance(mark, _view_of(mark.origin, tensor, base))

    def origin_of(self, tensor: object) -> Tensor | None:
        """Return which elements of the ids a tensor holds, or None if it holds none."""
        own = self.provenance_of(tensor)
        return None if own is None or own.answer else own.origin

    def _derive(self, call: Call, entry: Function | None, result: Any) -> list[Provenance | None]:
        """Return where the elements of each tensor of a result come from."""
        kind = None if entry is None else entry.kind
        return derive(call, kind, result, self.provenance_of)

    def _follow(self, call: Call, entry: Function | None, result: Any) -> None:
        """Mark results that were computed from ids with where they come from."""
        results = tensors_in(result)
        if not results or any(mark_of(r, self) is not None for r in results):
            return  # signals, or an argument as it was
        for tensor, own in zip(results, self._derive(call, entry, result), strict=True):
            if own is not None:
                self.note(tensor, own)

    def note(self, tensor: Tensor, own: Provenance) -> None:
        """Mark a tensor with where its elements come from."""
        origin = own.origin
        if not own.answer and (origin.ndim == 0 or 0 in origin.stride()):
            # One number stands for several elements, each of which may be written to.
            own = own._replace(origin=origin.expand(tensor.shape).clone())
        put_mark(tensor, Mark(run=self, **own._asdict()))
        if not own.answer:
            self._note_content(tensor)

    def note_answer(self, entry: Function, result: Any) -> None:
        """Note that a result, if it has values at all, answers a question about signals."""
        if entry.name not in FRESH:
            for tensor in tensors_in(result):
                if mark_of(tensor, self) is None:
                    own = Provenance(torch.tensor(SEVERAL), answer=True, of_signals=True)
                    self.note(tensor, own)

    def _note_write(self, target: Tensor, own: Provenance | None) -> None:
        """Note where the elements of a tensor come from that was written to in place."""
        if own is None:
            return
        before = self.provenance_of(target)
        base = target if target._base is None else target._base
        if own.answer and (before is None or before.answer):
            self.note(target, own)
            if base is not target:
                self.note(base, own._replace(origin=own.origin.new_tensor(SEVERAL)))
            return
        if before is None:
            if base.untyped_storage().data_ptr() in self._contents:
                self._refuse_ids("a second tensor on their memory")
            origin = torch.full_like(base, NOBODY, dtype=torch.int64)
            self.note(base, Provenance(origin, False, own.made_by))
            before = Provenance(_view_of(origin, target, base))
            self.note(target, before._replace(made_by=own.made_by))
        self._keep_readings(before.origin)
        before.origin.copy_(own.origin)
        if not own.single:
            for tensor in (target, base):
                mark = mark_of(tensor, self)
                if mark is not None:
                    mark.made_by = own.made_by
        self._note_content(target)

    def _keep_readings(self, origin: Tensor) -> None:
        """Give readings a copy of an origin that is about to be overwritten."""
        storage = origin.untyped_storage().data_ptr()
        copies: dict[int, Tensor] = {}

        def kept(other: Tensor) -> Tensor:
            if other.untyped_storage().data_ptr() != storage:
                return other
            return copies.setdefault(id(other), other.clone())

        self.readings = [r._replace(origin=kept(r.origin)) for r in self.readings]
        self._padding_read = [(kept(o), is_padding) for o, is_padding in self._padding_read]
        if self._whole is not None:
            self._whole = kept(self._whole)

    def describe_place(self) -> str:
        """Describe the running module in words, for an error message."""
        return "the model"

    def _note_content(self, ids: Tensor) -> None:
        """Note what stands in the memory of ids, so that a hidden write to it is found."""
        if ids.layout is not torch.strided:
            return
        storage = ids.untyped_storage()
        if ids.is_contiguous() and ids.nbytes == storage.nbytes():
            whole = ids.detach()
        else:
            with torch.inference_mode(ids.is_inference()):
                whole = torch.empty(0, dtype=ids.dtype, device=ids.device).set_(storage)
        self._contents[storage.data_ptr()] = whole, whole.clone()

    def _check_content(self, ids: Tensor) -> None:
        """Refuse ids that were changed where it cannot be seen.

        Raises:
            RefusedFunctionError: they have other memory than when they were marked, or other
                values than when they were last written to.
        """
        if ids.layout is not torch.strided:
            return
        mark = mark_of(ids, self)
        noted = self._contents.get(ids.untyped_storage().data_ptr())
        moved = noted is None or (mark is not None and mark.place != place_of(ids, mark))
        if moved or (noted is not None and not torch.equal(*noted)):
            self._refuse_ids("set_, resize_, .data = or memory that NumPy shares, for example")

    def _refuse_ids(self, how: str) -> NoReturn:
        """Refuse ids that are changed in a way that is not followed."""
        raise RefusedFunctionError(
            f"{self.describe_place().capitalize()} changes ids where it cannot be followed: by "
            f"{how}. Change them with copy_ or another torch function, or before the model runs."
        )

    def _check_single(self, own: Provenance | None) -> None:
        """Refuse to look up ids that are not known to come from one word each.

        Raises:
            RefusedFunctionError: an id comes from several words, or from unknown ones.
        """
        if own is None or own.origin is self._whole or own.single:
            return
        raise RefusedFunctionError(
            f"{self.describe_place().capitalize()} looks up ids that {own.made_by or 'a function'} "
            f"computed from the words in a way that cannot be followed, so that no vector belongs "
            f"to one word. Hand in the vectors [B, T, D] instead of the ids, or take a method that "
            f"asks the model alone, such as 'occlusion'. (Ids of several words that are handed in "
            f"as another argument would be a constant.)",
            function=own.made_by or None,
        )

    def _find_lookup(
        self, function: Any, args: Any, kwargs: Any, followed: list[Tensor]
    ) -> tuple[Tensor, Tensor] | None:
        """Return the table and the ids if a function but an embedding looks up rows by ids."""
        found = _find_lookup(function, args, kwargs, followed)
        if found is None or self.is_signal(found[0]):  # or ids choose among signals
            return None
        return found

    def _from_table(
        self, function: Any, args: Any, kwargs: Any, table: Tensor, ids: Tensor
    ) -> Tensor:
        """Look up a row of a table for each id: a vector, a weight, or ids, as those of letters."""
        single = table.dtype.is_floating_point and (
            table.ndim == 1 or function_name(function) in ("gather", "take")
        )
        if table.dtype.is_floating_point and not single:
            with torch.enable_grad():
                return self._embedding(ids, table, None, None, 2.0)
        result: Tensor = function(*args, **kwargs)
        result = result.detach() if single else result
        own = self.provenance_of(ids)
        assert own is not None
        self.table_sizes.append(table.shape[0] if table.ndim == 1 else max(table.shape))
        extra = result.ndim - own.origin.ndim
        origin = own.origin.reshape(*own.origin.shape, *(1,) * extra).expand(result.shape)
        self.note(result, own._replace(origin=origin.clone(), answer=single))
        return result

    def _embedding(
        self,
        ids: Tensor,
        weight: Tensor,
        padding_idx: int | None,
        max_norm: float | None,
        norm_type: float,
    ) -> Tensor:
        own = self.provenance_of(ids)
        assert own is not None
        self._check_single(own)
        origin = own.origin
        _check_range(ids, weight)
        self.table_sizes.append(weight.shape[0])
        number = self._tables.setdefault(weight.data_ptr(), len(self._tables))
        weight = weight.detach()
        if max_norm is not None:  # F.embedding renormalises the weights in place: use a copy
            self.renormalises = True
            every = torch.arange(len(weight), device=weight.device)
            weight = F.embedding(every, weight.clone(), max_norm=max_norm, norm_type=norm_type)
        vectors = torch.embedding(weight, ids)
        if padding_idx is not None:
            padding_idx %= weight.shape[0]
            self._padding_read.append((origin, ids == padding_idx))
        table = EmbeddingTable(weight, padding_idx, number)
        return self.read(Reading(vectors, origin, table))

    def _embedding_bag(self, function: Any, args: Any, kwargs: Any) -> Any:
        bag = _bag_arguments(function, args, kwargs)
        ids, offsets = bag["input"], bag["offsets"]
        vectors = self._embedding(
            ids, bag["weight"], bag["padding_idx"], bag["max_norm"], bag["norm_type"]
        )
        if bag["per_sample_weights"] is not None:
            scale = bag["per_sample_weights"].unsqueeze(-1)
            vectors = self.call(torch.mul, (vectors, scale), {})
        # One row per bag, so that pooling calls the same few functions as a padded model does.
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
            self.note_bags(vectors, index.masked_fill(~valid, -1), len(bag["input"]))
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

    def note_bags(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """Handle a reading in which each row of `vectors` `[B, T, D]` is a bag of ids: a document.

        `index` `[B, T]` is the number of each vector's id among `count` ids, -1 for none.
        """

    @property
    def padding(self) -> Tensor | None:
        """Return where embeddings read only padding: bool, as ids; None without `padding_idx`."""
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


def _provenance(mark: Mark, origin: Tensor) -> Provenance:
    """Return what a mark says about where the elements with this origin come from."""
    return Provenance(origin, mark.answer, mark.made_by, mark.random, mark.of_signals)


def _view_of(origin: Tensor, view: Tensor, base: Tensor) -> Tensor:
    """Return the part of the origin of `base` that belongs to its view."""
    if origin.ndim == 0 or view is base:
        return origin
    place = view.storage_offset() - base.storage_offset()
    if origin.stride() != base.stride() or origin.shape != base.shape:
        origin = torch.empty_strided(
            base.shape, base.stride(), dtype=torch.int64, device=base.device
        ).copy_(origin)
    return origin.as_strided(view.shape, view.stride(), place + origin.storage_offset())


def _find_lookup(
    function: Any, args: Any, kwargs: Any, followed: list[Tensor]
) -> tuple[Tensor, Tensor] | None:
    """Return the table and the ids if a function other than an embedding looks up rows by ids.

    Raises:
        RefusedFunctionError: the ids are turned into vectors in a way that cannot be followed.
    """
    if function in (F.embedding, torch.embedding):
        ids, table, *_ = embedding_arguments(function, args, kwargs)
        return None if table.dtype.is_floating_point else (table, ids)
    name = function_name(function)
    if getattr(function, "__name__", "") == "one_hot":
        raise RefusedFunctionError(
            "The model makes one-hot vectors of ids, which cannot be followed; write "
            "F.embedding(ids, w) for one_hot(ids, V) @ w, and F.embedding_bag(ids, w, mode='sum') "
            "for its sum over the words, or hand the vectors [B, T, D] in instead of the ids."
        )
    if len(followed) != 1 or not args or args[0] is followed[0] or not isinstance(args[0], Tensor):
        return None
    table, ids = args[0], followed[0]
    index = args[1] if len(args) > 1 else None
    if (
        len(followed) == 1
        and name == "getitem"
        and (index is ids or (isinstance(index, tuple) and index == (ids,)))
    ):
        return table, ids
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    if name == "index_select" and dim == 0:
        return table, ids
    if name in ("gather", "take"):
        return table, ids
    return None


def _check_range(ids: Tensor, weight: Tensor) -> None:
    if ids.dtype not in (torch.int64, torch.int32):
        raise IdsError(f"The embedding got ids of dtype {ids.dtype}; it needs torch.int64.")
    if not ids.numel():
        return
    lowest, highest = ids.aminmax()
    if int(lowest) < 0 or int(highest) >= weight.shape[0]:
        wrong = (ids < 0) | (ids >= len(weight))
        where = tuple(wrong.nonzero()[0].tolist())
        raise VocabularyError(
            f"Id {int(ids[where])} at position {where} is outside the embedding's vocabulary of "
            f"{len(weight)} (0 to {len(weight) - 1}); were the ids made with the vocabulary that "
            f"the model was trained with?"
        )


def embedding_arguments(
    function: Any, args: Any, kwargs: Any
) -> tuple[Tensor, Tensor, int | None, float | None, float]:
    """Return ids, table, `padding_idx`, `max_norm` and `norm_type` of an embedding's call."""
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
