"""Follows the values that depend on the input, and their documents, through a run of a model.

What is known about a tensor (is it a signal, whose document is it) is stored on the tensor itself
as an attribute, its mark (`marks.py`). This module sets and reads marks, and refuses values that
were changed where the run could not see it.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from types import FrameType
from typing import Any, Generic, NoReturn, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from seqlrp.engine import documents as docs
from seqlrp.engine.functions import Function, Kind, arrange, full_name, writes_over_first
from seqlrp.engine.inputs import InputMode, Reading
from seqlrp.engine.marks import Mark, mark_of, place_of, put_mark, writes_to
from seqlrp.engine.modules import tensors_of
from seqlrp.engine.nests import map_tensors, tensors_among, tensors_in
from seqlrp.engine.second_run import ConstantRecorder
from seqlrp.errors import ModelError, RefusedFunctionError

M = TypeVar("M", bound=Mark)
_BRANCHES = (Tensor.__bool__, Tensor.item)
_WATCHING = ("seqlrp.engine.", "seqlrp.lrp.", "seqlrp.methods.")  # which hold no modules
_LOOKUPS = (F.embedding, torch.embedding, F.embedding_bag)


class FollowingMode(InputMode, Generic[M]):
    """Runs one model, marks values that depend on the input, and tracks documents.

    Marks are of type `M`.

    Args:
        model: the model; errors and ledger name its modules.
        count: the number of documents, or None where the ids alone do not tell.
        account: whether a ledger is kept.
    """

    refusal = "no rule is known for it"  # why a function without a law is refused
    advice = "Write the step with other functions."  # what the user can do then
    constants: ConstantRecorder | None = None  # records the constants beside signals

    def __init__(self, model: nn.Module, count: int | None, account: bool) -> None:
        super().__init__()
        self._model = model
        self._model_tensors = tensors_of(model)
        self._model_ids = {id(t) for t in self._model_tensors}
        self.count = count
        self.account = account
        self._memory: dict[int, StorageWeakRef] = {}  # the storages of marked values, by address
        # Functions of signals, each with whether it met a constant; see `Explainer.run_verified`.
        self.steps: set[tuple[Any, bool]] = set()
        self.bag_owner: Tensor | None = None  # for ids [N] in bags: the bag of each id

    def again(self, model: nn.Module) -> Self:
        """Return a new mode with the same settings, for a model like this one."""
        raise NotImplementedError

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """The model's modules by name."""
        return dict(self._model.named_modules())

    @cached_property
    def names(self) -> dict[int, str]:
        """The name of each module, by its id."""
        return {id(module): name for name, module in self.modules.items()}

    def read(self, reading: Reading) -> Tensor:
        """Make the vectors of a reading a leaf, and record those that belong to no word."""
        if self.constants is not None:
            self.constants.note_reading(self, reading.vectors, reading.origin)
        return super().read(reading)

    # Marks

    @abstractmethod
    def mark(self, tensor: Tensor, *, documents: Tensor | None = None) -> Tensor:
        """Mark a tensor as dependent on the input, and return it."""

    def put(self, tensor: Tensor, mark: M) -> Tensor:
        """Mark a tensor that the run has just made, and return it."""
        self._check_not_batched(tensor)
        storage = tensor.untyped_storage()
        base, known = tensor._base, self._memory.get(storage.data_ptr())
        if known is None or known.expired():  # type: ignore[no-untyped-call]
            if base is not None and mark_of(base, self) is None:
                self.mark_hidden_base(base)
            self._memory[storage.data_ptr()] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        return put_mark(tensor, mark)

    def known(self, value: Any) -> M | None:
        """Return the mark of a value that depends on the input; None for all others, ids included.

        A law may rely on it: what a model hands to a function has been checked before.
        """
        mark: M | None = mark_of(value, self)  # type: ignore[assignment]
        return None if mark is None or mark.origin is not None else mark

    def checked(self, value: Any) -> M | None:
        """Return the mark of a value as `known` does, if it is still right.

        Raises:
            RefusedFunctionError: the value was changed where this mode cannot see it, or through
                another view, so that its mark is wrong.
        """
        mark: M | None = mark_of(value, self)  # type: ignore[assignment]
        if mark is None or mark.origin is not None:
            return None
        if mark.place != place_of(value, mark):
            self._refuse_hidden(value)
        node = value.grad_fn
        if node is None and mark.needs_graph and not value.requires_grad:
            self._refuse_hidden(value)
        made_by = getattr(type(node), "_forward_cls", None)
        if made_by is not None and not made_by.__module__.startswith("seqlrp."):
            raise RefusedFunctionError(
                f"{made_by.__name__}, an autograd function of its own, in "
                f"{self.describe_place()}: its backward pass is a gradient's and not one of "
                f"relevance. Write its forward pass with torch functions instead."
            )
        writes = writes_to(value, self) if self.overwrites else None
        if writes is not None and writes.spoil(value, mark):
            self.refuse_views()
        return mark

    def check_constant(self, value: Tensor) -> None:
        """Refuse a tensor that depends on the input but was computed where this mode cannot see it.

        Another thread, a disabled torch function, a custom autograd function or a second tensor on
        the same memory hide the computation; the result would be a plain gradient, or none.
        """
        if id(value) in self._model_ids or not value.dtype.is_floating_point:
            return
        self._check_not_batched(value)
        address = value.untyped_storage().data_ptr()
        other = self._memory.get(address) if address else None
        shared = other is not None and not other.expired()  # type: ignore[no-untyped-call]
        if value.grad_fn is not None or shared:
            self._refuse_hidden(value)

    def _refuse_hidden(self, value: Tensor) -> NoReturn:
        if value.is_inference():
            raise RefusedFunctionError(
                f"{self.describe_place().capitalize()} uses a tensor of shape {list(value.shape)} "
                f"that was computed in torch.inference_mode(), in which nothing can be followed. "
                f"Take torch.no_grad() in the forward pass instead, which gives the same values."
            )
        raise RefusedFunctionError(
            f"{self.describe_place().capitalize()} uses a tensor of shape {list(value.shape)} "
            f"that was computed where it cannot be followed: in another thread, in inference mode, "
            f"in an autograd function of its own, in scripted code, before this call, by set_ or "
            f".data =, or through a second tensor on the same memory. Compute it in the forward "
            f"pass with torch functions."
        )

    def _check_not_batched(self, value: Tensor) -> None:
        if value.layout is not torch.strided:
            self.refuse(torch.sparse.mm, f"a tensor of layout {value.layout} cannot be followed")
        if value.is_nested:
            self.refuse(torch.nested.nested_tensor, "a nested tensor cannot be followed")
        if torch._C._functorch.is_batchedtensor(value):
            self.refuse(torch.vmap, "what runs inside cannot be followed")

    def raw(self, value: Any) -> Any:
        """Return an operand for autograd: itself if it has a mark, else detached."""
        if not isinstance(value, Tensor) or self.known(value) is not None:
            return value
        return constant(value)

    def detach_constants(self, args: Any, kwargs: Any) -> tuple[Any, Any]:
        """Return the arguments of a call with every tensor without a mark detached."""
        for tensor in tensors_among(args, kwargs):
            if (tensor.requires_grad or tensor.is_inference()) and self.known(tensor) is None:
                return map_tensors((args, kwargs), self.raw)  # type: ignore[no-any-return]
        return args, kwargs

    def is_parameter(self, value: Tensor) -> bool:
        """Return whether a tensor is a parameter or buffer of the model, or a view of one."""
        return value.untyped_storage().data_ptr() in self._model_memory

    @cached_property
    def _model_memory(self) -> set[int]:
        return {t.untyped_storage().data_ptr() for t in self._model_tensors}

    def record_question(
        self, function: Callable[..., Any], entry: Function | None, args: Any, kwargs: Any
    ) -> None:
        """Record a question about ids, and check a write to a tensor."""
        if self.constants is None or not args or not isinstance(args[0], Tensor):
            return
        call = arrange(function, entry, args, kwargs)
        if writes_over_first(function, entry):
            self.constants.check_write(call.args[0])
        if function in _LOOKUPS and self.constants.second_text is None:
            self.constants.note_lookup(_looked_up(function, args, kwargs))
        if function in _BRANCHES:
            self.constants.note_branch(self, function, args[0])
        asks = entry is not None and entry.kind in (Kind.ANSWER, Kind.INTEGER)
        if asks and any(self._holds_ids(t) for t in tensors_among(args, kwargs)):
            self.constants.note_question(call, self._holds_ids)

    def _holds_ids(self, tensor: Tensor) -> bool:
        return self.origin_of(tensor) is not None

    # Values that share memory

    def mark_base(self, view: Tensor, mark: Mark) -> None:
        """Mark the base of a view that is about to be overwritten by the value with this `mark`."""
        base = view._base
        assert base is not None
        known = mark_of(base, self)
        if known is not None and not self.follows_documents:
            return
        if known is None and bool((base != 0).any()) and self.account:
            self.before_writing(base)
        documents = None
        if self.follows_documents:
            documents = torch.full_like(base, docs.NOBODY, dtype=torch.int64)
            if known is not None and known.written is not None:
                documents.copy_(known.written)
            if mark.written is not None:
                place = view.storage_offset() - base.storage_offset()
                documents.as_strided(view.shape, view.stride(), place).copy_(mark.written)
        if known is None:
            self.mark(base)
            known = mark_of(base, self)
            assert known is not None
        self.note_written(known, documents)

    def note_written(self, mark: Mark, documents: Tensor | None) -> None:
        """Note the documents of a tensor that is written to part by part; -1 is not written yet.

        What nobody wrote, such as zeros after a text's last word, belongs to the document around
        it. Which one that is shows once all documents are there.
        """
        mark.documents = mark.unassigned = documents
        if documents is None:
            return
        mark.documents = docs.shrink(documents)  # a recurrence takes one number for each row
        unowned = self.account and bool((documents == docs.NOBODY).any())
        if unowned and self.holds_all_documents(documents):
            mark.documents = docs.shrink(docs.assign_unowned(documents))

    def holds_all_documents(self, documents: Tensor) -> bool:
        """Return whether every document of the batch has a part in a value; False if unknown."""
        if self.count is None:
            return False
        found = documents[documents >= 0]
        return bool((torch.bincount(found, minlength=self.count) > 0).all())

    def mark_hidden_base(self, base: Tensor) -> None:
        """Mark the base of a result that is a view, as pooling returns, before it is written to."""

    def before_writing(self, constants: Tensor) -> None:
        """Prepare a tensor of constants into which marked values are about to be written."""

    def refuse_views(self) -> NoReturn:
        """Refuse a value that was changed in place in a way that its mark cannot follow."""
        raise RefusedFunctionError(
            f"A tensor is changed in place through one view and read through another in "
            f"{self.describe_place()}; what it carries cannot be followed. Write the step without "
            f"the in-place operation, or choose a form of the layer that has none."
        )

    # Documents of values

    @property
    def follows_documents(self) -> bool:
        """Whether the batch has more than one document."""
        return self.count is not None and self.count > 1

    def documents_of_ids(self, origin: Tensor) -> Tensor | None:
        """Return the document `[..., 1]` of each vector read for the ids `origin` `[...]`."""
        if not self.follows_documents:
            return None
        assert self.count is not None
        if origin is self._whole:
            rows = torch.arange(self.count, device=origin.device)
            return rows.view(-1, *(1,) * origin.ndim)
        each = max(torch.Size(self.ids_shape).numel() // self.count, 1)
        owner = torch.where(origin >= 0, origin // each, docs.NOBODY)
        return docs.shrink(docs.assign_unowned(owner)).unsqueeze(-1)

    def note_bags(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """Remember the bag of each id as its document."""
        numbers = torch.arange(len(vectors), device=vectors.device).unsqueeze(1)
        self.bag_owner = numbers.new_zeros(count)
        self.bag_owner[index[index >= 0]] = numbers.expand(index.shape)[index >= 0]
        if len(numbers) > 1:
            self.mark(vectors, documents=numbers.to(torch.int64).unsqueeze(-1))

    def has_documents(self, nest: Any) -> bool:
        """Return whether the document of any value among the arguments is known."""
        for tensor in tensors_in(nest):
            mark = self.known(tensor)
            if mark is not None and mark.documents is not None:
                return True
        return False

    def combine_documents(self, nest: Any, ndim: int) -> Tensor | None:
        """Return the documents of an elementwise result with `ndim` dimensions."""
        found = []
        for tensor in tensors_in(nest):
            mark = self.known(tensor)
            if mark is not None and mark.documents is not None:
                found.append(mark.documents)
        return docs.combine(found, ndim) if found else None

    def documents_of(self, tensor: Tensor) -> Tensor | None:
        """Return the document of each element of a value, int64 of its shape."""
        mark = self.known(tensor)
        if mark is None or mark.documents is None:
            return None
        return mark.documents.expand(tensor.shape)

    def check_documents(self, scores: Tensor, mark: Mark | None) -> None:
        """Refuse scores in which row b is known not to belong to document b."""
        if scores.shape[0] == 1:
            return
        if mark is None or mark.documents is None:
            if self.account:
                raise ModelError(
                    "The model moves documents about in a way that cannot be followed, so no "
                    "ledger can be kept for each; explain one document at a time."
                )
            return
        rows = torch.arange(len(scores), device=scores.device)
        found = mark.documents.reshape(mark.documents.shape[0], -1)
        if not bool((found == rows.unsqueeze(1)).all()):
            docs.refuse_mixing()

    # The running module

    def place(self) -> str:
        """Return the dotted name of the module that is running now; "" for the model itself."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            ours = str(frame.f_globals.get("__name__")).startswith(_WATCHING)
            if not ours and code.co_argcount and code.co_varnames[0] == "self":
                module = frame.f_locals.get("self")
                if isinstance(module, nn.Module) and id(module) in self.names:
                    return str(self.names[id(module)])
            frame = frame.f_back
        return ""

    def ledger_place(self) -> str:
        """Return the name of the running module for the ledger, or "" if no ledger is kept."""
        return self.place() if self.account else ""

    def describe_place(self) -> str:
        """Describe the running module in words, for an error message."""
        place = self.place()
        return f"module '{place}'" if place else "the model's own forward"

    def refuse(self, function: Any, why: str = "") -> NoReturn:
        """Refuse a function by name, with the module that called it and advice to the user."""
        raise RefusedFunctionError(
            f"{full_name(function)} in {self.describe_place()}: {why or self.refusal}. "
            f"{self.advice}"
        )


def _looked_up(function: Callable[..., Any], args: Any, kwargs: Any) -> Tensor:
    """Return the ids that an embedding looks up."""
    place = 1 if function is torch.embedding else 0  # the builtin takes the weight first
    ids: Tensor = args[place] if len(args) > place else kwargs["indices"]
    return ids


def constant(value: Any) -> Any:
    """Detach an operand, so that no relevance flows back to it."""
    if not isinstance(value, Tensor):
        return value
    # A tensor made in inference mode cannot take part in a graph; a copy of it can.
    return value.clone() if value.is_inference() else value.detach()
