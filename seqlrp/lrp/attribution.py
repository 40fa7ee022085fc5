"""`LRP`: relevance of every word for the score of a class, for any PyTorch model as it stands."""

from __future__ import annotations

import warnings
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, NonFiniteError, OptionError, PaddingWarning
from seqlrp.lrp import door
from seqlrp.lrp.ledger import Books, Entry, Ledger
from seqlrp.lrp.propagate import Propagation

DEFAULT_EPSILON = 1e-3  # as the published code has it


class Attribution(NamedTuple):
    """What one call found.

    Attributes:
        relevance: `[B, T]`, or `[B, C, T]` for `target="all"`; signed, raw, in units of the score.
        scores: `[B, C]`, as the model returned them.
        target: class explained, int64 `[B]`, or None for all.
        ledger: where all of the score went, or None if it was not asked for.
    """

    relevance: Tensor
    scores: Tensor
    target: Tensor | None
    ledger: Ledger | None


class LRP:
    """Layer-wise relevance propagation through a recurrent text classifier, in one backward pass.

    Args:
        model: an `nn.Module` in evaluation mode that maps ids `[B, T]` to scores `[B, C]`. It is
            neither wrapped nor changed. `[B]` counts as `[B, 1]`: one output, target 0, whose
            positive relevance speaks for a higher score.
        epsilon: the stabiliser ε ≥ 0 of the ε-rule, absolute. 0 absorbs nothing and is well
            defined; larger values let less relevance through where pre-activations are small.
        output: which part of the model's output holds the scores, if it returns several: an
            index, a key or an attribute's name.
        impl: the kernel for fused recurrences: `"auto"`, `"torch"` or `"reference"` (step by
            step, to be read; slow).

    Raises:
        ModelError: the model cannot be explained as it is; the message says why.
        OptionError: an option has a value that is not allowed.
    """

    name = "lrp"

    def __init__(
        self,
        model: nn.Module,
        epsilon: float = DEFAULT_EPSILON,
        *,
        output: int | str | None = None,
        impl: Literal["auto", "torch", "reference"] = "auto",
    ) -> None:
        if isinstance(epsilon, bool) or not isinstance(epsilon, (int, float)):
            raise OptionError(f"Got epsilon {epsilon!r}; expected a number ≥ 0.")
        if not 0 <= epsilon < float("inf"):
            raise OptionError(f"Got epsilon {epsilon}; expected a finite number ≥ 0.")
        if impl not in ("auto", "torch", "reference"):
            raise OptionError(f"Got impl {impl!r}; expected 'auto', 'torch' or 'reference'.")
        self.model = door.checked_model(model)
        self.epsilon = float(epsilon)
        self.output = output
        self.impl = "torch" if impl == "auto" else impl
        self._finite_at: tuple[int, ...] | None = None
        self._check_finite()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the relevance depends on besides model and input, for the record."""
        return {"epsilon": self.epsilon, "gate_rule": "all"}

    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        return_ledger: Literal[False] = ...,
        reduce: bool = ...,
        padding: Tensor | None = ...,
    ) -> Tensor: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        return_ledger: Literal[True],
        reduce: bool = ...,
        padding: Tensor | None = ...,
    ) -> tuple[Tensor, Ledger]: ...
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        return_ledger: bool = False,
        reduce: bool = True,
        padding: Tensor | None = None,
    ) -> Tensor | tuple[Tensor, Ledger]:
        """Relevance `[B, T]` of every word for the target's score, signed and raw.

        Args:
            inputs: ids `[B, T]` (or `[B, S, W]` by sentences, or `[N]` for bags) of int64, or
                vectors `[B, T, D]` for a model that is fed with vectors.
            target: `"predicted"`, a class index, a tensor `[B]` of indices, or `"all"`, which
                gives `[B, C, T]` from one forward pass.
            additional_forward_args: what the model takes after its input; one value or a tuple.
            return_ledger: also return where the rest of the score went.
            reduce: sum over the dimensions of each vector; False gives `[B, T, D]`.
            padding: bool, shaped as the ids, True on padding. By default what an embedding with a
                `padding_idx` calls padding. Relevance there is exactly 0 where the model packs or
                masks; where it does not, its share is shown as it is, with a `PaddingWarning`.

        Raises:
            ModelError: the model calls a function without a law, returns no scores, or the like.
            InputError: ids, target or padding are not what was expected.
        """
        found = self.attribution(
            inputs,
            target,
            additional_forward_args,
            account=return_ledger,
            reduce=reduce,
            padding=padding,
        )
        return found.relevance if found.ledger is None else (found.relevance, found.ledger)

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        account: bool = True,
        reduce: bool = True,
        padding: Tensor | None = None,
    ) -> Attribution:
        """As `attribute`, with everything that the same forward pass found."""
        door.checked_model(self.model)
        self._check_finite()
        door.check_input(inputs)
        vectors = inputs.dtype.is_floating_point
        shape = tuple(inputs.shape[:2]) if vectors else tuple(inputs.shape)
        padding = door.padding_given(padding, shape)
        door.check_padding(padding)
        count = inputs.shape[0] if inputs.ndim > 1 else None
        run = Propagation(self.model, self.epsilon, self.impl, count, account)

        with torch.inference_mode(False), torch.enable_grad():
            output = door.selected(
                run.run(self.model, inputs, additional_forward_args), self.output
            )
            mark = run.known(output) if isinstance(output, Tensor) else None
            if mark is None and isinstance(output, Tensor):
                run.check_constant(output)
            scores = door.checked_scores(output, count, gate=mark is not None and mark.gate)
            if padding is None:
                padding = run.padding
                door.check_padding(padding)
            wanted = door.resolved_target(target, scores)
            values = scores.detach()
            if mark is not None:  # the output is a value that the model uses no further
                scores = run.signal(output, mark, "The output").reshape(values.shape)
            run.check_documents(values, mark)
            columns: list[Tensor | int] = [*range(values.shape[1])] if wanted is None else [wanted]
            passes = [
                self._backward(run, scores, column, again=k + 1 < len(columns))
                for k, column in enumerate(columns)
            ]

        relevance = torch.stack(
            [
                run.gathered(
                    [
                        None if g is None else r.vectors.detach() * g
                        for r, g in zip(run.readings, gammas, strict=True)
                    ]
                )
                for gammas, _ in passes
            ]
        )  # [passes, B, T, D]
        words = relevance.sum(-1)
        if not bool(torch.isfinite(words).all()):
            raise NonFiniteError("A relevance is NaN or infinite; look for overflowing weights.")
        if padding is not None:
            reached = [
                run.gathered([None if g is None else g.abs() for g in gammas])[padding]
                for gammas, _ in passes
            ]
            if any(bool((r != 0).any()) for r in reached):
                _warn_of_padding(padding, words)
        ledger = None
        if account:
            accounts = [entries for _, entries in passes]
            ledger = _ledger(run, words, values, wanted, padding, accounts)
        shown = words if reduce else relevance
        shown = shown[0] if wanted is not None else shown.transpose(0, 1)
        return Attribution(shown, values, wanted, ledger)

    def _backward(
        self, run: Propagation, scores: Tensor, target: Tensor | int, *, again: bool
    ) -> tuple[list[Tensor | None], dict[tuple[str, str, str], Tensor]]:
        """γ at each reading, and the entries of this pass."""
        columns = (
            scores[:, target] if isinstance(target, int) else scores.gather(1, target.unsqueeze(1))
        )
        run.books = Books(len(scores)) if run.account else None
        leaves = [reading.vectors for reading in run.readings]
        gammas = torch.autograd.grad(columns.sum(), leaves, retain_graph=again, allow_unused=True)
        return list(gammas), {} if run.books is None else run.books.close()

    def _check_finite(self) -> None:
        versions = tuple(
            number
            for p in self.model.parameters()
            for number in (id(p), 0 if p.is_inference() else p._version)
        )
        if versions != self._finite_at:
            door.check_finite(self.model)
            self._finite_at = versions


def _ledger(
    run: Propagation,
    words: Tensor,
    scores: Tensor,
    target: Tensor | None,
    padding: Tensor | None,
    accounts: list[dict[tuple[str, str, str], Tensor]],
) -> Ledger:
    batch = len(scores)

    def shaped(amounts: list[Tensor]) -> Tensor:
        return torch.stack(amounts, 1) if target is None else amounts[0]

    if words.ndim == 2:  # bags: ids [N], whose documents the readings know
        owner = _bag_owner(run)
        per_word = [
            torch.zeros(batch, dtype=torch.float64, device=w.device).index_add_(
                0, owner, w.double()
            )
            for w in words
        ]
        on_padding = [torch.zeros_like(w) for w in per_word]
    else:
        outside = torch.zeros_like(words[0], dtype=torch.bool) if padding is None else padding
        flat = [w.double().masked_fill(outside, 0).flatten(1).sum(1) for w in words]
        per_word = flat
        on_padding = [w.double().masked_fill(~outside, 0).flatten(1).sum(1) for w in words]
    entries = [Entry("tokens", "embedding", "", shaped(per_word))]
    entries.append(Entry("padding", "embedding", "", shaped(on_padding)))
    nothing = torch.zeros(batch, dtype=torch.float64, device=scores.device)
    keys = dict.fromkeys(key for account in accounts for key in account)
    for key in keys:
        amounts = [account.get(key, nothing) for account in accounts]
        entries.append(Entry(*key, shaped(amounts)))
    values = scores.double()
    score = values if target is None else values.gather(1, target.unsqueeze(1)).squeeze(1)
    return Ledger(score, tuple(entries))


def _bag_owner(run: Propagation) -> Tensor:
    if run.bag_owner is None:
        raise ModelError(
            "Ids of one dimension [N] are explained with a ledger only through nn.EmbeddingBag "
            "with offsets; hand ids [B, T] in."
        )
    return run.bag_owner


def _warn_of_padding(padding: Tensor, words: Tensor) -> None:
    share = words[:, padding].abs().sum() / words.abs().sum().clamp_min(1e-30)
    taken = f"takes {float(share):.1%} of all absolute relevance"
    if not share:
        taken = "takes no relevance itself, its vectors being zero"
    warnings.warn(
        f"Padding takes part in the model's answer and {taken}: its sequences are not packed, or a "
        f"mask comes too late (a recurrence that reads backwards starts in the padding), so what "
        f"it says may depend on how a batch is padded. The padding's share is an entry of its own "
        f"in the ledger. Pack the sequences (pack_padded_sequence), or explain documents one at a "
        f"time (batch_tokens=1).",
        PaddingWarning,
        stacklevel=4,
    )
