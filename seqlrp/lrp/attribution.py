"""`LRP`: relevance of every word for the score of a class, for any PyTorch model as it stands."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, NoReturn, overload

import torch
from torch import Tensor, nn

from seqlrp.errors import ModelError, NonFiniteError, OptionError, PaddingWarning
from seqlrp.lrp import door, passes
from seqlrp.lrp.census import parameters_of
from seqlrp.lrp.composite import Key
from seqlrp.lrp.layers import Watch, stacked
from seqlrp.lrp.ledger import Entry, Ledger
from seqlrp.lrp.map_rules import MapRule
from seqlrp.lrp.options import Options
from seqlrp.lrp.propagate import Propagation
from seqlrp.lrp.rules import GateRule

DEFAULT_EPSILON = 5e-3  # by measurement: seqlrp/docs/limits.md; the published code has 1e-3


class Attribution(NamedTuple):
    """What one call found.

    Attributes:
        relevance: `[B, T]`, or `[B, C, T]` for `target="all"`; signed, raw, in units of the score.
        scores: `[B, C]`, as the model returned them.
        target: class explained, int64 `[B]`, or None for all.
        ledger: where all of the score went, or None if it was not asked for.
        against: for a contrast, the class that the target was compared with, int64 `[B]`.
        layers: relevance at the outputs of the modules that were asked for, by name.
        error: the standard error of each relevance, where it is an estimate; shaped alike.
    """

    relevance: Tensor
    scores: Tensor
    target: Tensor | None
    ledger: Ledger | None
    against: Tensor | None = None
    layers: dict[str, Any] | None = None
    error: Tensor | None = None


class LRP:
    """Layer-wise relevance propagation through a recurrent text classifier, in one backward pass.

    Args:
        model: an `nn.Module` in evaluation mode that maps ids `[B, T]` to scores `[B, C]`. It is
            neither wrapped nor changed. `[B]` counts as `[B, 1]`: one output, target 0, whose
            positive relevance speaks for a higher score.
        epsilon: the stabiliser ε ≥ 0 of the ε-rule, absolute. 0 absorbs nothing and is well
            defined; larger values let less relevance through where pre-activations are small.
        gate_rule: how a gate and a signal share the relevance of their product: `"all"` (the
            signal takes all), `"prop"`, `"abs"`, `"half"` (Arras et al. 2019), or a function
            (gate, signal) -> (share of the gate, share of the signal).
        rules: another rule than ε for some linear maps, by name of a module, class, or place in
            the order of maps, e.g. `{"head": Zero(), 0: WSquare(), nn.Linear: Gamma()}` with rules
            from `seqlrp.rules`; one rule for all maps; or `"deep_taylor"`. Other maps, and sums,
            stay under the ε-rule with `epsilon`.
        bias_factor: the part, 0 to 1, of what bias and stabiliser take that is spread over the
            inputs of a map instead (Arras et al. 2017).
        attention: `"constant"`: what a softmax returns are weights, through which no relevance
            goes; `"attnlrp"`: it goes through them by the rules of Achtibat et al. 2024.
        on_unknown: `"raise"`, or `"absorb"`: a function without a law keeps what reaches it,
            booked as `"refused"`.
        start: what relevance starts from: the `"score"` (or difference of scores), or `"one"`.
        output: which part of the model's output holds the scores, if it returns several: an
            index, a key or an attribute's name.
        impl: the kernel for fused recurrences: `"auto"`, `"torch"`, `"reference"` (step by step, to
            be read; slow) or `"triton"` (LSTM and GRU on a CUDA device).

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
        gate_rule: Literal["all", "prop", "abs", "half"] | GateRule = "all",
        rules: Mapping[Key, MapRule] | MapRule | str | None = None,
        bias_factor: float = 0.0,
        attention: Literal["constant", "attnlrp"] = "constant",
        on_unknown: Literal["raise", "absorb"] = "raise",
        start: Literal["score", "one"] = "score",
        output: int | str | None = None,
        impl: Literal["auto", "torch", "reference", "triton"] = "auto",
    ) -> None:
        self.options = Options(
            epsilon, gate_rule, rules, bias_factor, attention, on_unknown, start, impl
        )
        self.model = door.checked_model(model)
        self.epsilon = float(epsilon)
        self.output = output
        self._finite_at: tuple[int, ...] | None = None
        self._check_finite()

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"LRP({type(self.model).__name__}, {options})"

    @property
    def parameters(self) -> dict[str, Any]:
        """What the relevance depends on besides model and input, for the record."""
        return self.options.as_json()

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
        layers: None = ...,
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
        layers: None = ...,
    ) -> tuple[Tensor, Ledger]: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = ...,
        additional_forward_args: Any = ...,
        *,
        return_ledger: bool = ...,
        reduce: bool = ...,
        padding: Tensor | None = ...,
        layers: Sequence[str],
    ) -> Any: ...
    def attribute(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        return_ledger: bool = False,
        reduce: bool = True,
        padding: Tensor | None = None,
        layers: Sequence[str] | None = None,
    ) -> Any:
        """Relevance `[B, T]` of every word for the target's score, signed and raw.

        Args:
            inputs: ids `[B, T]` (or `[B, S, W]` by sentences, or `[N]` for bags) of int64, or
                vectors `[B, T, D]` for a model that is fed with vectors, or features `[B, D]`.
            target: `"predicted"`, a class index, a tensor `[B]` of indices, or `"all"`, which
                gives `[B, C, T]` from one forward pass. A pair such as `("predicted", 0)` asks why
                this class rather than that: relevance of the difference of their scores.
            additional_forward_args: what the model takes after its input; one value or a tuple.
            return_ledger: also return where the rest of the score went.
            reduce: sum over the dimensions of each vector; False gives `[B, T, D]`.
            padding: bool, shaped as the ids, True on padding. By default what an embedding with a
                `padding_idx` calls padding. Relevance there is exactly 0 where the model packs or
                masks; where it does not, its share is shown as it is, with a `PaddingWarning`.
            layers: names of modules; also return a dict with the relevance at the output of each,
                shaped as the module returned it (with C in front for `"all"`), or a list of these
                if it ran several times.

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
            layers=layers,
        )
        asked = [part for part in (found.ledger, found.layers) if part is not None]
        return (found.relevance, *asked) if asked else found.relevance

    @torch.inference_mode(False)
    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        account: bool = True,
        reduce: bool = True,
        padding: Tensor | None = None,
        layers: Sequence[str] | None = None,
    ) -> Attribution:
        """As `attribute`, with everything that the same forward pass found."""
        door.checked_model(self.model)
        self._check_finite()
        door.check_input(inputs)
        door.check_dtype(inputs, self.model)
        vectors = inputs.dtype.is_floating_point
        shape = tuple(inputs.shape[:2]) if vectors else tuple(inputs.shape)
        watch = Watch(self.model, layers or ())
        padding = door.padding_given(padding, shape)
        door.check_padding(padding)
        count = inputs.shape[0] if inputs.ndim > 1 else None
        run = self._run(inputs, additional_forward_args, count, account)

        with torch.enable_grad():
            with watch.outputs(run):
                output = run.run(self.model, inputs, additional_forward_args)
            output = door.selected(output, self.output)
            mark = run.known(output) if isinstance(output, Tensor) else None
            if mark is None and isinstance(output, Tensor):
                run.check_constant(output)
            if mark is not None and mark.inert:  # words act on the scores through gates alone
                run.signal(output, mark, "The output")
            squashed = type(getattr(output, "grad_fn", None)).__name__ == "_SoftmaxBackward"
            gate = mark is not None and (mark.gate or squashed)
            scores = door.checked_scores(output, count, gate=gate)
            run.check_rules_used()
            if padding is None:
                padding = run.padding
                if padding is not None and not bool(padding.any()):
                    padding = None
                door.check_padding(padding)
            wanted, against = door.resolved_contrast(target, scores)
            values = scores.detach()
            if mark is not None:  # the output is a value that the model uses no further
                scores = run.signal(output, mark, "The output").reshape(values.shape)
            run.check_documents(values, mark)
            starts = [self._scaled(start) for start in door.starts(scores, wanted, against)]
            found, reached = [], []
            if not layers:
                found = passes.several(run, starts)
            else:
                for each in passes.in_turn(run, starts):
                    found.append(each)
                    reached.append(watch.relevance())

        of_passes = [
            run.gathered(
                [
                    None if g is None else r.vectors.detach() * g
                    for r, g in zip(run.readings, gammas, strict=True)
                ]
            )
            for gammas, _ in found
        ]  # [B, T, D] each
        relevance = torch.stack(of_passes) if len(found) > 1 else of_passes[0].unsqueeze(0)
        words = relevance.sum(-1)
        if not bool(torch.isfinite(words).all()):
            self._refuse_overflow(words)
        if padding is not None and bool(padding.any()):
            on_padding = [
                run.gathered([None if g is None else g.abs() for g in gammas])[padding]
                for gammas, _ in found
            ]
            if any(bool((r != 0).any()) for r in on_padding):
                _warn_of_padding(padding, words)
        ledger = None
        if account:
            accounts = [entries for _, entries in found]
            begun = torch.stack([start.detach() for start in starts], 1)
            ledger = _ledger(run, words, begun, wanted is None, padding, accounts)
            if not all(bool(torch.isfinite(entry.amount).all()) for entry in ledger.entries):
                self._refuse_overflow(words)
        shown = words if reduce or (vectors and inputs.ndim == 2) else relevance
        shown = shown[0] if wanted is not None else shown.transpose(0, 1)
        inner = None
        if layers:
            inner = reached[0] if wanted is not None else stacked(reached)
        return Attribution(shown, values, wanted, ledger, against, inner)

    def _run(
        self, inputs: Tensor, additional: Any, count: int | None, account: bool
    ) -> Propagation:
        """A run for this input; where a rule counts maps from the last, they are counted first."""
        maps = None
        if self.options.composite.counts_from_the_end:
            census = Propagation(self.model, self.options, count, account=False)
            with torch.enable_grad():
                census.run(self.model, inputs, additional)
            maps = len(census.map_names)
        return Propagation(self.model, self.options, count, account, maps)

    def _refuse_overflow(self, words: Tensor) -> NoReturn:
        outside = ~torch.isfinite(words).flatten(2).all(2).all(0)
        where = f" of document {int(outside.nonzero()[0])}" if bool(outside.any()) else ""
        cause = "look for overflowing weights, or take epsilon=1e-3"
        if self.options.gate_rule != "all":
            cause = (
                "the gate rule does that where a gate and a signal cancel, or where what it gives "
                "to gates adds up; take gate_rule='all'"
            )
        raise NonFiniteError(f"A relevance{where} is NaN or infinite: {cause}.")

    def _scaled(self, start: Tensor) -> Tensor:
        """What relevance starts from, `[B]`: a score or a difference of scores, or 1."""
        if self.options.start == "score":
            return start
        if bool((start == 0).any()):
            row = int((start == 0).nonzero()[0])
            raise OptionError(
                f"The score of document {row} is exactly 0, so that relevance cannot start from "
                f"one; use start='score'."
            )
        return start / start.detach()

    def _check_finite(self) -> None:
        versions = tuple(
            number
            for p in parameters_of(self.model)
            for number in (id(p), 0 if p.is_inference() else p._version)
        )
        if versions != self._finite_at:
            door.check_finite(self.model)
            self._finite_at = versions


def _ledger(
    run: Propagation,
    words: Tensor,
    starts: Tensor,
    for_all: bool,
    padding: Tensor | None,
    accounts: list[dict[tuple[str, str, str], Tensor]],
) -> Ledger:
    batch = len(starts)

    def shaped(amounts: list[Tensor]) -> Tensor:
        return torch.stack(amounts, 1) if for_all else amounts[0]

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
    nothing = torch.zeros(batch, dtype=torch.float64, device=starts.device)
    keys = dict.fromkeys(key for account in accounts for key in account)
    for key in keys:
        amounts = [account.get(key, nothing) for account in accounts]
        entries.append(Entry(*key, shaped(amounts)))
    score = starts.double()
    return Ledger(score if for_all else score.squeeze(1), tuple(entries))


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
