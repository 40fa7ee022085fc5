"""`LRP`: relevance of every word for the score of a class, for any unchanged PyTorch model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NoReturn, overload

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target, all_finite, check_dtype
from seqlrp.engine.explainer import Explainer, Forward, with_gradients
from seqlrp.engine.ledger import Entry, Ledger
from seqlrp.engine.padding import tell_of_padding
from seqlrp.engine.plain_runs import rounding
from seqlrp.errors import LedgerError, ModelError, NonFiniteError, OptionError
from seqlrp.lrp import passes
from seqlrp.lrp.composite import Key
from seqlrp.lrp.layers import LayerRecorder
from seqlrp.lrp.map_rules import MapRule
from seqlrp.lrp.named_gates import check_gates
from seqlrp.lrp.options import DEFAULT_EPSILON, Options, stabiliser
from seqlrp.lrp.propagate import Propagation
from seqlrp.lrp.rules import GateRule
from seqlrp.lrp.units import Through


class LRP(Explainer):
    """Layer-wise relevance propagation through a recurrent text classifier, in one backward pass.

    Args:
        model: an `nn.Module` in evaluation mode that maps ids `[B, T]` to scores `[B, C]`. It is
            neither wrapped nor changed. `[B]` counts as `[B, 1]`: one output, target 0, whose
            positive relevance speaks for a higher score.
        epsilon: the stabiliser ε of the ε-rule; larger values let less relevance through where
            pre-activations are small. A percentage, `"5%"`, is relative: at a linear map ε is that
            share of the mean |z| over the outputs of the map for one row (one token of one text),
            so that it does not depend on the scale of a layer; at a sum it is 0. A number, such as
            0.001, is absolute, at maps and sums, in units of the pre-activations; 0 absorbs
            nothing and is well defined.
        gate_rule: how a gate and a signal share the relevance of their product: `"all"` (the
            signal gets all), `"prop"`, `"abs"`, `"half"` (Arras et al. 2019), or a function
            (gate, signal) -> (share of the gate, share of the signal).
        rules: another rule than ε for some linear maps, by name of a module, class, or place in
            the order of maps, e.g. `{"head": Zero(), 0: WSquare(), nn.Linear: Gamma()}` with rules
            from `seqlrp.rules`; one rule for all maps; or `"deep_taylor"`. Other maps, and sums,
            stay under the ε-rule with `epsilon`.
        bias_factor: the part, 0 to 1, of the relevance of bias and stabiliser that is spread over
            the inputs of a map instead (Arras et al. 2017).
        attention: `"constant"`: the output of a softmax is a constant weight that gets no
            relevance; `"attnlrp"`: it gets relevance by the rules of Achtibat et al. 2024.
        on_unknown: `"raise"`, or `"absorb"`: a function without a law absorbs the relevance that
            reaches it, recorded as `"refused"`.
        start: the relevance of the output: the `"score"` (or difference of scores), or `"one"`.
        output: which part of the model's output holds the scores, if it returns several: an
            index, a key or an attribute's name.
        gates: names of modules whose output is taken for a gate, where its spelling does not show
            it: a constant in products, that gets no relevance and is a bias in sums, such as the
            projections to Δ, B and C of a selective state space (Jafari et al. 2024). A string has
            commas between the names.
        impl: the kernel for fused recurrences: `"auto"`, `"torch"`, `"reference"` (a slow, readable
            loop over the steps) or `"triton"` (LSTM and GRU on a CUDA device).
        verify: on the first call for a kind of input, also run copies of the model: plainly, and on
            other words of the same lengths. Refuse the model if its scores are others while it is
            watched, or if a value that was taken for a constant depends on the words in a way that
            is not followed. It costs four to nine forward passes, once; it is left out with
            `on_unknown="absorb"`. Where it cannot be done, a warning says so once, and
            `Attribution.unverified` why.

    Raises:
        ModelError: the model cannot be explained as it is; the message says why.
        OptionError: an option has a value that is not allowed.
    """

    name = "lrp"
    allows_empty_documents = False

    def __init__(
        self,
        model: nn.Module,
        epsilon: float | str = DEFAULT_EPSILON,
        *,
        gate_rule: Literal["all", "prop", "abs", "half"] | GateRule = "all",
        rules: Mapping[Key, MapRule] | MapRule | str | None = None,
        bias_factor: float = 0.0,
        attention: Literal["constant", "attnlrp"] = "constant",
        on_unknown: Literal["raise", "absorb"] = "raise",
        start: Literal["score", "one"] = "score",
        output: int | str | None = None,
        gates: Sequence[str] | str = (),
        impl: Literal["auto", "torch", "reference", "triton"] = "auto",
        verify: bool = True,
    ) -> None:
        self.options = Options(
            stabiliser(epsilon),
            gate_rule,
            rules,
            bias_factor,
            attention,
            on_unknown,
            start,
            impl,
            gates,
        )
        super().__init__(model, output=output, verify=verify and on_unknown == "raise")
        self._no_layers = LayerRecorder(self.model, ())
        if on_unknown == "absorb":
            self._unverified[None] = 'on_unknown="absorb"'
        check_gates(self.options.gates, model)

    def __repr__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.parameters.items())
        return f"LRP({type(self.model).__name__}, {options})"

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the options that the relevance depends on, as JSON values."""
        return self.options.as_json()

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return the factors of the relevance when the score is multiplied by `factors`.

        They are 1 with `start="one"`.
        """
        return torch.ones_like(factors) if self.options.start == "one" else factors

    # mypy: LRP adds options to those of Explainer.
    @overload  # type: ignore[override]
    def attribute(
        self,
        inputs: Tensor,
        target: Target = ...,
        additional_forward_args: Any = ...,
        *,
        return_ledger: Literal[False] = ...,
        reduce: bool = ...,
        padding: Tensor | None = ...,
        layers: None = ...,
        through: Through | None = ...,
    ) -> Tensor: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: Target = ...,
        additional_forward_args: Any = ...,
        *,
        return_ledger: Literal[True],
        reduce: bool = ...,
        padding: Tensor | None = ...,
        layers: None = ...,
        through: Through | None = ...,
    ) -> tuple[Tensor, Ledger]: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: Target = ...,
        additional_forward_args: Any = ...,
        *,
        return_ledger: bool = ...,
        reduce: bool = ...,
        padding: Tensor | None = ...,
        layers: Sequence[str],
        through: Through | None = ...,
    ) -> Any: ...
    def attribute(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        return_ledger: bool = False,
        reduce: bool = True,
        padding: Tensor | None = None,
        layers: Sequence[str] | None = None,
        through: Through | None = None,
    ) -> Any:
        """Compute relevance `[B, T]` of every word for the target's score, signed and raw.

        Args:
            inputs: ids `[B, T]` (or `[B, S, W]` by sentences, or `[N]` for bags) of int64, or
                vectors `[B, T, D]` for a model that takes vectors, or features `[B, D]`.
            target: `"predicted"`, a class index, a tensor `[B]` of indices, or `"all"`, which
                gives `[B, C, T]` from one forward pass. A pair such as `("predicted", 0)` gives the
                relevance of the difference of two scores: why this class rather than that.
            additional_forward_args: what the model takes after its input; one value or a tuple.
            return_ledger: also return the account of the rest of the score.
            reduce: sum over the dimensions of each vector; False gives `[B, T, D]`.
            padding: bool, shaped as the ids, True on padding. By default the positions with the
                `padding_idx` of an embedding. Relevance there is exactly 0 if the model packs or
                masks; if it does not, its share is returned unchanged, with a `PaddingWarning`.
            layers: names of modules; also return a dict with the relevance at the output of each,
                shaped as the module returned it (with C in front for `"all"`), or a list of these
                if it ran several times.
            through: the units of named modules, such as `{"lstm": [3, 17]}`: the relevance that
                passed these units (of each module, if there are several), as in concept relevance
                propagation (Achtibat et al. 2023). A unit is a place along the last dimension of
                the module's output, or a channel of a convolution. Relevance through disjoint sets
                of units adds up, and through all units is all that passes the module.

        Raises:
            ModelError: the model calls a function without a law, or returns no scores, for example.
            OptionError: no such module or unit; or a ledger, or layers, asked for with `through`.
            InputError: ids, target or padding are not what was expected.
        """
        if return_ledger and through is not None:
            raise OptionError(
                "There is no ledger of the relevance through units, which is a part of the score; "
                "ask for it without through=.",
                option="through",
            )
        found = self.attribution(
            inputs,
            target,
            additional_forward_args,
            account=return_ledger,
            reduce=reduce,
            padding=padding,
            layers=layers,
            through=through,
        )
        asked = [part for part in (found.ledger, found.layers) if part is not None]
        return (found.relevance, *asked) if asked else found.relevance

    def attribution(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        account: bool = True,
        reduce: bool = True,
        padding: Tensor | None = None,
        layers: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
        through: Through | None = None,
    ) -> Attribution:
        """Compute the relevance that `attribute` returns, and all other results of the same passes.

        Args:
            inputs: ids or vectors.
            target: the explained class, see `attribute`.
            additional_forward_args: what the model takes after its input.
            account: whether to keep a ledger; there is none of relevance through units.
            reduce: sum over the dimensions of each vector.
            padding: bool, shaped as the ids, True on padding.
            layers: names of modules; their outputs get relevance, too.
            units: names of modules; the relevance of their units, all steps together, is `units`.
            through: the units through which relevance passes, see `attribute`.
        """
        recorder = None
        if layers or units or through is not None:
            recorder = LayerRecorder(self.model, layers or (), units or (), through)
        with with_gradients():
            return self.compute(
                inputs, target, additional_forward_args, padding, account, reduce, recorder
            )

    def compute(
        self,
        inputs: Tensor,
        target: Target,
        additional_forward_args: Any,
        padding: Tensor | None,
        account: bool = True,
        reduce: bool = True,
        recorder: LayerRecorder | None = None,
    ) -> Attribution:
        """Compute the result of `attribution`, called outside of inference mode."""
        self.check_call(inputs)
        recorder = self._no_layers if recorder is None else recorder
        account = account and not recorder.through
        run = self._propagation(inputs, additional_forward_args, account)
        is_new = account and (
            self.kind_of_input(inputs, additional_forward_args, account) not in self._verified
        )
        forward = self.run_verified(
            run, inputs, target, additional_forward_args, padding,
            account=account, recording=recorder.recording(run),
        )  # fmt: skip
        run.check_rules_used()
        recorder.check_called()
        with torch.enable_grad():
            starts = [self._scale_start(start) for start in forward.starts]
            found = passes.run_selected(run, starts, recorder)

        parts = _relevance(run, [each.gammas for each in found])
        words = torch.stack([part.sum(-1) for part in parts])  # [C or 1, *ids]
        if not all_finite(words):
            self._refuse_overflow(words)
        if bool(forward.padding.any()):
            share = _padding_share(run, [each.gammas for each in found], forward.padding, words)
            if share is not None:
                tell_of_padding(share, stacklevel=4)
            elif self.padding_length_counts(forward, inputs, additional_forward_args):
                tell_of_padding(0.0, stacklevel=4, by_length=True)
        ledger = None
        if account:
            ledger = _ledger(run, forward, words, starts, [each.amounts for each in found])
            if not all(all_finite(entry.amount) for entry in ledger.entries):
                self._refuse_overflow(words)
            if is_new and self.options.signal_takes_all:
                narrow = None if run.constants is None else run.constants.narrow
                _check_ledger(ledger, narrow or forward.scores.dtype)
        features = inputs.dtype.is_floating_point and inputs.ndim == 2
        attribution = forward.attribution(
            words if reduce or features else torch.stack(parts), ledger
        )
        if not recorder.records:
            return attribution
        reached, units = recorder.results(forward.target is None)
        return attribution._replace(layers=reached, units=units)

    def check_call(self, inputs: Tensor) -> list[nn.Parameter]:
        """Check the model and the input, and that vectors have the dtype of the parameters."""
        parameters = super().check_call(inputs)
        check_dtype(inputs, parameters)
        return parameters

    def _propagation(self, inputs: Tensor, additional: Any, account: bool) -> Propagation:
        """Create the run for this input; count the maps first if a rule needs their number."""
        documents = inputs.shape[0] if inputs.ndim > 1 else None
        maps = None
        if self.options.composite.counts_from_the_end:
            counting = Propagation(self.model, self.options, documents, account=False)
            with torch.enable_grad():
                counting.run(self.model, inputs, additional)
            maps = len(counting.map_names)
        return Propagation(self.model, self.options, documents, account, maps)

    def _scale_start(self, start: Tensor) -> Tensor:
        """Return the relevance of the output, `[B]`: a score or a difference of scores, or 1."""
        if self.options.start == "score":
            return start
        if bool((start == 0).any()):
            row = int((start == 0).nonzero()[0])
            raise OptionError(
                f"The score of document {row} is exactly 0, so that relevance cannot start from "
                f"one; use start='score'.",
                option="start",
                got="one",
                text=row,
            )
        return start / start.detach()

    def _refuse_overflow(self, words: Tensor) -> NoReturn:
        outside = ~torch.isfinite(words).flatten(2).all(2).all(0)
        where = f" of document {int(outside.nonzero()[0])}" if bool(outside.any()) else ""
        cause = "look for overflowing weights or a division by zero, or take epsilon=1e-3"
        if self.options.gate_rule != "all":
            cause = (
                "the gate rule does that where a gate and a signal cancel, or where what it gives "
                "to gates adds up; take gate_rule='all'"
            )
        raise NonFiniteError(f"A relevance{where} is NaN or infinite: {cause}.")


def _relevance(run: Propagation, gammas: Iterable[Sequence[Tensor | None]]) -> list[Tensor]:
    """Return relevance x · γ of each dimension of each word, `[*ids, D]` for each pass."""
    return [
        run.gather(
            [
                None if gamma is None else reading.vectors.detach() * gamma
                for reading, gamma in zip(run.readings, of_pass, strict=True)
            ]
        )
        for of_pass in gammas
    ]


def _padding_share(
    run: Propagation,
    gammas: Iterable[Sequence[Tensor | None]],
    padding: Tensor,
    words: Tensor,
) -> float | None:
    """Return the share of padding in all absolute relevance; None if no γ reaches it.

    Padding takes part in an answer even if its vectors, and so its relevance, are zero.
    """
    for of_pass in gammas:
        on_padding = run.gather([None if gamma is None else gamma.abs() for gamma in of_pass])
        if bool((on_padding[padding] != 0).any()):
            return float(words[:, padding].abs().sum() / words.abs().sum().clamp_min(1e-30))
    return None


def _ledger(
    run: Propagation,
    forward: Forward,
    words: Tensor,
    starts: Sequence[Tensor],
    amounts: Sequence[passes.Amounts],
) -> Ledger:
    """Return the ledger of the scores; `words` is the relevance of the words, `[C or 1, *ids]`."""

    def shaped(of_starts: list[Tensor]) -> Tensor:
        return torch.stack(of_starts, 1) if forward.target is None else of_starts[0]

    if words.ndim == 2:  # bags: ids [N], with documents known from the readings
        owner = _bag_owner(run)
        zero = torch.zeros(len(starts[0]), dtype=torch.float64, device=words.device)
        on_words = [zero.index_add(0, owner, w.double()) for w in words]
        on_padding = [torch.zeros_like(zero) for _ in words]
    else:
        wide, padding = words.double(), forward.padding
        on_words = [w.masked_fill(padding, 0).flatten(1).sum(1) for w in wide]
        on_padding = [w.masked_fill(~padding, 0).flatten(1).sum(1) for w in wide]
    entries = [
        Entry("tokens", "embedding", "", shaped(on_words)),
        Entry("padding", "embedding", "", shaped(on_padding)),
    ]
    nothing = torch.zeros(len(starts[0]), dtype=torch.float64, device=words.device)
    for key in dict.fromkeys(key for of_pass in amounts for key in of_pass):
        entries.append(Entry(*key, shaped([of_pass.get(key, nothing) for of_pass in amounts])))
    score = torch.stack([start.detach() for start in starts], 1).double()
    return Ledger(score if forward.target is None else score.squeeze(1), tuple(entries))


def _check_ledger(ledger: Ledger, dtype: torch.dtype) -> None:
    """Refuse an answer whose ledger does not add up to the score, to rounding.

    Raises:
        LedgerError: it does not; relevance was lost where a law was not applied.
    """
    size = torch.stack([entry.amount.abs() for entry in ledger.entries]).sum(0)
    lost = ledger.residual.abs()
    # Amounts that cancel leave rounding errors, which a score of nearly 0 must not magnify.
    size = (size + ledger.score.abs()).clamp_min(1e-3)
    wrong = lost > rounding(dtype) * size
    if bool(wrong.any()):
        share = float((lost / ledger.score.abs().clamp_min(1e-30))[wrong].max())
        raise LedgerError(
            f"The ledger does not add up to the score: {share:.1%} of it is missing. The model "
            f"computes in a way that was not followed; please report it. (Under autocast, try it "
            f"without.) seqlrp.LRP(model, verify=False) gives the answer as it is."
        )


def _bag_owner(run: Propagation) -> Tensor:
    if run.bag_owner is None:
        raise ModelError(
            "Ids of one dimension [N] are explained with a ledger only through nn.EmbeddingBag "
            "with offsets; hand ids [B, T] in."
        )
    return run.bag_owner
