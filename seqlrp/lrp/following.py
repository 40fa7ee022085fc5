"""What a run knows of the values it sees: signal, gate or constant, and whose each one is.

Knowledge is a mark on the tensor itself (`marks.py`); here it is put on, asked for, and refused
where something happened behind its back.
"""

from __future__ import annotations

import sys
from functools import cached_property
from types import FrameType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from seqlrp.errors import ModelError, RefusedFunctionError
from seqlrp.lrp import documents as docs
from seqlrp.lrp.census import tensors_of
from seqlrp.lrp.due import Due
from seqlrp.lrp.functions import full_name
from seqlrp.lrp.inputs import InputMode
from seqlrp.lrp.marks import Mark, mark_of, put_mark, substituted, tensors_in, writes_to


class FollowingMode(InputMode):
    """A run of one model in which values are marked, and documents followed.

    Args:
        model: whose modules are named in errors and ledger.
        count: the number of documents, or None where the ids alone do not tell.
        account: whether a ledger is kept.
    """

    def __init__(self, model: nn.Module, count: int | None, account: bool) -> None:
        super().__init__()
        self._model = model
        self._own_tensors = tensors_of(model)
        self.own = {id(t) for t in self._own_tensors}
        self.count = count
        self.account = account
        self._memory: dict[int, StorageWeakRef] = {}  # of signals and gates, by address
        self.bag_owner: Tensor | None = None  # for ids [N] in bags: the bag of each

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        """The model's modules by name."""
        return dict(self._model.named_modules())

    @cached_property
    def names(self) -> dict[int, str]:
        """The name of each module, by its id."""
        return {id(module): name for name, module in self.modules.items()}

    # What is known of a value

    def mark(
        self,
        tensor: Tensor,
        *,
        gate: bool = False,
        inert: bool = False,
        due: Due | None = None,
        documents: Tensor | None = None,
        blank: Tensor | None = None,
    ) -> Tensor:
        """Note what a law has made of a value."""
        self._check_not_batched(tensor)
        storage = tensor.untyped_storage()
        self._memory[storage.data_ptr()] = StorageWeakRef(storage)  # type: ignore[no-untyped-call]
        return put_mark(tensor, Mark(self, gate, inert, due, documents, blank))

    def known(self, value: object) -> Mark | None:
        """The mark of a signal or gate; None for whatever does not depend on the input.

        Raises:
            ModelError: the value was written to through another view of it, behind its mark.
        """
        if not isinstance(value, Tensor):
            return None
        mark = mark_of(value, self)
        if mark is None or mark.origin is not None:
            return None
        made_by = getattr(type(value.grad_fn), "_forward_cls", None)
        if made_by is not None and not made_by.__module__.startswith("seqlrp."):
            raise RefusedFunctionError(
                f"{made_by.__name__}, an autograd function of its own, in "
                f"{self.place_in_words()}: its backward pass is a gradient's and not one of "
                f"relevance. Write its forward pass with torch functions instead."
            )
        writes = writes_to(value, self)
        if writes is not None and writes.spoil(value, mark):
            self.refuse_views()
        return mark

    def check_constant(self, value: Tensor) -> None:
        """Refuse a tensor that was made of a signal where this mode could not see it.

        Another thread, a disabled torch function, an autograd function of the user's own or a
        second tensor on the same memory hide what was computed; a plain gradient or none would be
        the result.
        """
        if id(value) in self.own or not value.dtype.is_floating_point:
            return
        self._check_not_batched(value)
        address = value.untyped_storage().data_ptr()
        other = self._memory.get(address) if address else None
        shared = other is not None and not other.expired()  # type: ignore[no-untyped-call]
        if value.grad_fn is not None or shared:
            raise RefusedFunctionError(
                f"{self.place_in_words().capitalize()} uses a tensor of shape {list(value.shape)} "
                f"that was computed where it cannot be followed: in another thread, in an autograd "
                f"function of its own, before this call, or through a second tensor on the same "
                f"memory. Compute it in the forward pass with torch functions."
            )

    def _check_not_batched(self, value: Tensor) -> None:
        if torch._C._functorch.is_batchedtensor(value):
            self.refuse(torch.vmap, "what runs inside cannot be followed")

    def raw(self, value: Any) -> Any:
        """An operand as autograd is to see it: anything but a signal or gate is a constant."""
        if not isinstance(value, Tensor) or self.known(value) is not None:
            return value
        # What was made in inference mode cannot take part in a graph; a copy can.
        return value.clone() if value.is_inference() else value.detach()

    def constants_detached(self, nest: Any) -> Any:
        """A nest of arguments with every tensor `raw`."""
        if any(t.requires_grad or t.is_inference() for t in tensors_in(nest)):
            return substituted(nest, self.raw)
        return nest

    def is_own(self, value: Tensor) -> bool:
        """Whether a tensor is a parameter or buffer of the model, or a view of one."""
        return value.untyped_storage().data_ptr() in self._own_memory

    @cached_property
    def _own_memory(self) -> set[int]:
        return {t.untyped_storage().data_ptr() for t in self._own_tensors}

    # Values that share memory

    def reach_base(self, view: Tensor, mark: Mark) -> None:
        """A view is about to be overwritten by what `mark` is of: its base then holds that too."""
        base = view._base
        assert base is not None
        known = mark_of(base, self)
        if known is not None and not self.follows_documents:
            return
        if known is None and bool((base != 0).any()) and self.account:
            self.opened(base)
        documents = None
        if self.follows_documents:
            documents = torch.full_like(base, docs.NOBODY, dtype=torch.int64)
            if known is not None and known.documents is not None:
                documents.copy_(known.documents)
            if mark.documents is not None:
                place = view.storage_offset() - base.storage_offset()
                documents.as_strided(view.shape, view.stride(), place).copy_(mark.documents)
        if known is not None:
            known.documents = documents
        else:
            self.mark(base, documents=documents)

    def opened(self, constants: Tensor) -> None:
        """Told that signals are about to be written into a tensor of constants."""

    def refuse_views(self) -> NoReturn:
        """Refuse a value that was changed in place where its mark does not follow."""
        raise RefusedFunctionError(
            f"A tensor is changed in place through one view and read through another in "
            f"{self.place_in_words()}; what it carries cannot be followed. Write the step without "
            f"the in-place operation."
        )

    # Whose a value is

    @property
    def follows_documents(self) -> bool:
        """Whether there is more than one document to tell apart."""
        return self.count is not None and self.count > 1

    def owner(self, origin: Tensor) -> Tensor | None:
        """The document of each vector `[..., 1]` of a reading."""
        if not self.follows_documents:
            return None
        assert self.count is not None
        if origin is self._whole:
            rows = torch.arange(self.count, device=origin.device)
            return rows.view(-1, *(1,) * origin.ndim)
        each = max(torch.Size(self.ids_shape).numel() // self.count, 1)
        owner = torch.where(origin >= 0, origin // each, docs.NOBODY)
        return docs.squeezed(docs.claimed(owner)).unsqueeze(-1)

    def own_documents(self, vectors: Tensor, index: Tensor, count: int) -> None:
        """As `InputMode.own_documents`."""
        numbers = torch.arange(len(vectors), device=vectors.device).unsqueeze(1)
        self.bag_owner = numbers.new_zeros(count)
        self.bag_owner[index[index >= 0]] = numbers.expand(index.shape)[index >= 0]
        if len(numbers) > 1:
            self.mark(vectors, documents=numbers.to(torch.int64).unsqueeze(-1))

    def documents_of(self, nest: Any) -> list[tuple[Tensor, Tensor]]:
        """Each marked value among the arguments, with the documents it belongs to."""
        found = []
        for tensor in tensors_in(nest):
            mark = self.known(tensor)
            if mark is not None and mark.documents is not None:
                found.append((tensor, mark.documents))
        return found

    def documents_like(self, nest: Any, ndim: int) -> Tensor | None:
        """Documents of an elementwise result with `ndim` dimensions."""
        found = [documents for _, documents in self.documents_of(nest)]
        return docs.broadcast(found, ndim) if found else None

    def numbers(self, tensor: Tensor) -> Tensor | None:
        """Documents of a value, expanded to its shape."""
        mark = self.known(tensor)
        if mark is None or mark.documents is None:
            return None
        return mark.documents.expand(tensor.shape)

    def check_documents(self, scores: Tensor, mark: Mark | None) -> None:
        """Refuse scores whose row b is not about document b, as far as that is known."""
        if len(scores) == 1:
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

    # Where the model is

    def place(self) -> str:
        """The dotted name of the module that is running now; "" for the model itself."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if code.co_argcount and code.co_varnames[0] == "self":
                module = frame.f_locals.get("self")
                if isinstance(module, nn.Module) and id(module) in self.names:
                    return str(self.names[id(module)])
            frame = frame.f_back
        return ""

    def booked_place(self) -> str:
        """As `place`, for the ledger; "", without looking, where none is kept."""
        return self.place() if self.account else ""

    def place_in_words(self) -> str:
        """The running module for a sentence."""
        place = self.place()
        return f"module '{place}'" if place else "the model's own forward"

    def refuse(self, function: Any, why: str = "") -> NoReturn:
        """Refuse a function by its name, with the module that called it and what to do."""
        raise RefusedFunctionError(
            f"{full_name(function)} in {self.place_in_words()}: "
            + (why or "no law of relevance is known for it, and a plain gradient would be wrong")
            + ". Write the step with functions that have a law (seqlrp/docs/functions.md lists "
            "them), explain the part of the model after it by handing its vectors [B, T, D] in, or "
            "let the function keep what reaches it, on the record: on_unknown='absorb'. The method "
            "'occlusion' asks the model alone, and takes any."
        )
