"""`Explainer`: the base class of all attribution methods, with one checked forward pass."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, Protocol, overload

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import (
    Target,
    check_documents,
    check_input,
    check_model,
    check_padding,
    check_parameters,
    check_scores,
    refuse_no_embedding,
    resolve_contrast,
    select_output,
    select_scores,
)
from seqlrp.engine.completeness import CompletenessTotals, totals_for, warn_if_incomplete
from seqlrp.engine.documents import refuse_mixing
from seqlrp.engine.following import FollowingMode
from seqlrp.engine.gradient_mode import FollowedGradientMode, GradientMode
from seqlrp.engine.inputs import InputMode
from seqlrp.engine.ledger import Ledger
from seqlrp.engine.modules import kept_by, parameters_of
from seqlrp.engine.plain_runs import PlainRuns
from seqlrp.engine.second_run import SecondRun
from seqlrp.engine.twins import not_twinned, same_random_state, twin
from seqlrp.errors import SecondTextWarning, SeqlrpWarning, UnverifiedWarning

UNVERIFIED = (
    "The model was not run a second time, on other words, since {why}. Words that reach the scores "
    "in a way that is not followed (through NumPy or a list, say) would pass for a constant. Take "
    "that away for explaining; or pass verify=False, and no such run is tried."
)
SECOND_TEXT = (
    "The model looks up an additional argument of shape {shape} in an embedding. If that is a "
    "second text, or ids made of the words as those of bigrams, its share of the score is a "
    "constant, and no word gets it: explain a model that takes one text, computes its other ids "
    "from it and looks up one id for each word; or hand the vectors [B, T, D] of both in as one "
    "input."
)


_AS_IT_IS = nullcontext()


def with_gradients() -> AbstractContextManager[Any]:
    """Return a context in which gradients are recorded, outside of inference mode and `no_grad`."""
    if torch.is_grad_enabled() and not torch.is_inference_mode_enabled():
        return _AS_IT_IS
    return torch.inference_mode(False)  # which switches gradients on, too


class Method(Protocol):
    """The interface of an attribution method; `Explainer` implements it."""

    name: str

    def __init__(self, model: nn.Module) -> None: ...

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the options that the relevance depends on, as JSON values."""
        ...

    def attribution(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Return relevance `[B, T]` (`[B, C, T]` for `"all"`), scores, target, ledger or None.

        Args:
            inputs: ids `[B, T]` of int64 (or `[B, S, W]`), or vectors `[B, T, D]`.
            target: `"predicted"`, a class index, a tensor `[B]`, `"all"`, or a pair.
            additional_forward_args: what the model takes after its input.
            padding: bool, shaped as the ids, True on padding.
        """
        ...


class Forward(NamedTuple):
    """One forward pass: its scores, with their graph, and the targets to be explained."""

    mode: InputMode  # with the vectors of the words, in `readings`
    scores: Tensor  # [B, C]
    target: Tensor | None  # class indices [B], None for all classes
    against: Tensor | None  # class indices that the targets are compared with, [B]
    padding: Tensor  # bool, shaped as the ids, True on padding
    unverified: str = ""  # why there was no second run

    @property
    def starts(self) -> list[Tensor]:
        """The explained scores, `[B]` each: of all classes, of one, or a difference of two."""
        return select_scores(self.scores, self.target, self.against)

    def select(self, scores: Tensor, rows: Tensor) -> Tensor:
        """Select the target scores `[C or 1, N]` from scores `[N, C]` of documents `rows` `[N]`."""
        target, against = (None if t is None else t[rows] for t in (self.target, self.against))
        return torch.stack(select_scores(scores, target, against))

    def by_document(self, values: Tensor) -> Tensor:
        """Transpose values of each target `[C or 1, B, ...]` to `[B, C, ...]` or `[B, ...]`."""
        return values[0] if self.target is not None else values.transpose(0, 1)

    def attribution(self, relevance: Tensor, ledger: Ledger | None = None) -> Attribution:
        """Wrap relevance `[C or 1, *ids]` of the targets into the result of a method."""
        scores = self.scores.detach()
        return Attribution(
            self.by_document(relevance), scores, self.target, ledger, self.against,
            unverified=self.unverified,
        )  # fmt: skip


class Explainer:
    """Base class of attribution methods; a subclass implements `compute`.

    Args:
        model: an `nn.Module` in evaluation mode that maps ids `[B, T]` to scores `[B, C]`; it is
            neither wrapped nor changed.
        output: which part of the model's output holds the scores, if it returns several: an
            index, a key or an attribute's name.
        verify: on the first call for a kind of input, also run copies of the model, plainly and on
            other words, and refuse the model if its scores or a value beside those that the method
            follows differ, see `second_run.py`; None for a method that needs no such run.

    Attributes:
        name: the name of the method.
        extras: the additional results that `attribute` can return, by the name of their option.
        allows_empty_documents: whether a document may hold nothing but padding.

    Raises:
        ModelError: the model cannot be explained as it is.
    """

    name: str
    extras: ClassVar[Mapping[str, Callable[[Attribution], Any]]] = {}
    allows_empty_documents: ClassVar[bool] = True

    def __init__(
        self, model: nn.Module, *, output: int | str | None = None, verify: bool | None = None
    ) -> None:
        self.model = check_model(model)
        self.output = output
        self.verify = bool(verify)
        self._unverified: dict[Hashable, str] = {None: "verify=False" if verify is False else ""}
        self._warned: set[type[SeqlrpWarning]] = set()
        self._verified: set[Hashable] = {None}  # the kinds of input with a second run
        self._steps: set[tuple[Any, bool]] = set()  # of the calls that were verified
        self._kept: frozenset[int] | None = None  # what the model kept before a verified call
        self._tried_longer = False  # whether a batch has run with one more column of padding
        self._tried_others = verify is False  # whether a text has run alone and beside another
        self._finite_versions: list[tuple[int, int]] | None = None  # of the parameters, by id
        self._check_parameters()

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the options that the relevance depends on, as JSON values; here none."""
        return {}

    def relevance_factors(self, factors: Tensor) -> Tensor:
        """Return the factors of the relevance when the score is multiplied by `factors`.

        A model with one output and two labels has the scores -s and s, so this is asked for the
        factor -1. Override it if relevance is not linear in the score, as a norm is not. Raise
        `OptionError` if there is no such factor, as for relevance that is clipped at 0.
        """
        return factors

    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: Target = ...,
        additional_forward_args: Any = ...,
        *,
        padding: Tensor | None = ...,
    ) -> Tensor: ...
    @overload
    def attribute(
        self,
        inputs: Tensor,
        target: Target = ...,
        additional_forward_args: Any = ...,
        *,
        padding: Tensor | None = ...,
        **extras: bool,
    ) -> Any: ...
    def attribute(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
        **extras: bool,
    ) -> Any:
        """Compute relevance `[B, T]` of every word, or `[B, C, T]` for `target="all"`.

        Args:
            inputs: ids `[B, T]` of int64 (or `[B, S, W]`), or vectors `[B, T, D]`.
            target: `"predicted"`, a class index, a tensor `[B]`, `"all"`, or a pair of the first
                three, which explains the difference of their scores.
            additional_forward_args: what the model takes after its input.
            padding: bool, shaped as the ids, True on padding.
            extras: True for each of the method's `extras` that is returned after the relevance.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        for option in extras:
            if option not in self.extras:
                raise TypeError(f"{type(self).__name__}.attribute() has no option {option!r}.")
        found = self.attribution(inputs, target, additional_forward_args, padding=padding)
        asked = [self.extras[option](found) for option, wanted in extras.items() if wanted]
        if asked:
            return (found.relevance, *asked)
        self._warn_if_incomplete(found.ledger)
        return found.relevance

    def attribution(
        self,
        inputs: Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Compute the relevance that `attribute` returns, with the scores and a ledger, if any.

        Inference mode is switched off during the call, because gradients are needed.
        """
        with with_gradients():
            return self.compute(inputs, target, additional_forward_args, padding)

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute the result of `attribution`, called outside of inference mode.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target, padding or a baseline are not what was expected.
        """
        raise NotImplementedError(f"{type(self).__name__} must define compute().")

    def forward(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Forward:
        """Run the model unchanged, with a graph from the word vectors to the scores.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
            UnfollowedWordsError: with `verify`: words reach the scores in a way not followed.
        """
        self.check_call(inputs)
        kind = self.kind_of_input(inputs, additional_forward_args)
        kept = kept_by(self.model) if self.verify else None
        if kept != self._kept:
            self.verify_again()  # a value from an earlier call may stand for a word of this one
        if kind in self._verified:
            found = self.run(GradientMode(), inputs, target, additional_forward_args, padding)
            self.check_others(found, inputs, additional_forward_args)
            return found._replace(unverified=self._unverified.get(kind, ""))
        mode = FollowedGradientMode(self.model)
        found = self.run_verified(mode, inputs, target, additional_forward_args, padding)
        self._kept = kept
        return found

    def kind_of_input(
        self, inputs: Tensor, additional: Any, account: bool = False
    ) -> Hashable | None:
        """Return what decides how a model runs, as far as can be told; None without `verify`."""
        # A model may do more for longer texts, or more than two: lengths count by powers of two.
        sizes = (min(inputs.shape[0], 3), *(size.bit_length() for size in inputs.shape[1:]))
        return (inputs.dtype, sizes, additional is None, account) if self.verify else None

    def run_verified(
        self,
        mode: FollowingMode[Any],
        inputs: Tensor,
        target: Target,
        additional_forward_args: Any,
        padding: Tensor | None,
        *,
        account: bool = False,
        recording: AbstractContextManager[Any] | None = None,
    ) -> Forward:
        """Run the model as `run` does, and copies, see `SecondRun`, if this kind of input is new.

        `recording` is entered for the first run alone.

        Raises:
            UnfollowedWordsError: a value that was taken for a constant depends on the words.
            ModelError: the scores are others than those of a plain call.
        """
        kind = self.kind_of_input(inputs, additional_forward_args, account)
        second = None
        if kind not in self._verified:
            second = SecondRun(self.model, inputs, additional_forward_args)
            mode.constants = second.first
        with recording or _AS_IT_IS:
            forward = self.run(mode, inputs, target, additional_forward_args, padding)
        if second is not None:
            self._verify(second, mode, forward, kind)
        elif self.verify and not mode.steps <= self._steps:
            self._verify_late(mode, inputs, additional_forward_args, forward)
        self.check_others(forward, inputs, additional_forward_args)
        self._steps |= mode.steps
        unverified = self._unverified.get(kind, "")
        return forward._replace(unverified=unverified) if unverified else forward

    def _verify(
        self, second: SecondRun, mode: FollowingMode[Any], forward: Forward, kind: Hashable
    ) -> None:
        """Compare a run with runs of copies, and warn once of what that cannot find."""
        second.check_scores(mode, forward.scores, self._select)
        second.compare(mode, forward.padding)
        self._unverified[kind] = second.missing
        if not second.missing:
            self._verified.add(kind)
        elif second.fails:
            self._warn_once(UnverifiedWarning, UNVERIFIED.format(why=second.missing))
        if second.first.second_text is not None:
            self._warn_once(SecondTextWarning, SECOND_TEXT.format(shape=second.first.second_text))

    def _verify_late(
        self, mode: FollowingMode[Any], inputs: Tensor, additional: Any, forward: Forward
    ) -> None:
        """Verify a call in which signals met constants at steps that no verified call had.

        A model may take another way for longer texts, or may have kept values of an earlier call.
        It has run by now, so a copy of it runs again in its place.
        """
        if not_twinned(self.model):
            return
        model = twin(self.model)
        second = SecondRun(model, inputs, additional)
        again = mode.again(model)
        again.constants = second.first
        with torch.enable_grad(), same_random_state():
            again.run(model, inputs, additional)
        second.compare(again, forward.padding)
        if second.fails:
            self._warn_once(UnverifiedWarning, UNVERIFIED.format(why=second.missing))

    def padding_length_counts(self, forward: Forward, ids: Tensor, additional: Any) -> bool:
        """Return whether scores depend on how long the padding is, with `verify` and only once."""
        if not self.verify or self._tried_longer or _writes(forward.mode):
            return False
        self._tried_longer = True
        return PlainRuns(self.model, self._select).length_counts(ids, forward.padding, additional)

    def runs_beside_others(self, inputs: Tensor) -> bool:
        """Return whether a text runs beside another one in this call."""
        return inputs.ndim > 1 and inputs.shape[0] > 1

    def check_others(self, forward: Forward, inputs: Tensor, additional: Any) -> None:
        """Refuse a model whose scores of a text depend on the others of its batch; tried once.

        Raises:
            MixedDocumentsError: they do.
        """
        if self._tried_others or not self.runs_beside_others(inputs):
            return
        if _writes(forward.mode) or not_twinned(self.model):
            return
        plain = PlainRuns(self.model, self._select)
        counts = plain.others_count(inputs, forward.padding, additional)
        if counts:
            refuse_mixing()
        self._tried_others = counts is not None

    def _select(self, output: Any) -> Tensor:
        scores: Tensor = select_output(output, self.output)
        return scores

    def _warn_once(self, category: type[SeqlrpWarning], message: str) -> None:
        if category not in self._warned:
            self._warned.add(category)
            warnings.warn(message, category, stacklevel=2)

    def verify_again(self) -> None:
        """Verify the next call for each kind of input, whatever has been verified before."""
        self._verified = {None}

    def check_call(self, inputs: Tensor) -> list[nn.Parameter]:
        """Check the model and the input; return the parameters of the model."""
        check_model(self.model)
        parameters = self._check_parameters()
        check_input(inputs)
        return parameters

    def run(
        self,
        mode: InputMode,
        inputs: Tensor,
        target: Target,
        additional_forward_args: Any,
        padding: Tensor | None,
    ) -> Forward:
        """Run the model under a mode, after `check_call`, and check its output.

        Raises:
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: target or padding are not what was expected.
        """
        vectors = inputs.dtype.is_floating_point
        padding = check_padding(padding, tuple(inputs.shape[:2] if vectors else inputs.shape))
        if not self.allows_empty_documents:
            check_documents(padding)
        with torch.enable_grad():
            output = select_output(
                mode.run(self.model, inputs, additional_forward_args), self.output
            )
            scores = check_scores(
                output,
                inputs.shape[0] if inputs.ndim > 1 else None,
                probabilities=mode.gives_probabilities(output),
            )
            if not mode.readings:
                refuse_no_embedding()
            classes, against = resolve_contrast(target, scores)
            scores = mode.connect_scores(output, scores)
        if padding is None:
            padding = mode.padding
            if not self.allows_empty_documents:
                check_documents(padding)
        if padding is None:
            padding = torch.zeros(mode.ids_shape, dtype=torch.bool, device=inputs.device)
        return Forward(mode, scores, classes, against, padding)

    def _check_parameters(self) -> list[nn.Parameter]:
        """Check that all parameters are finite, unless none has changed since; return them."""
        parameters = parameters_of(self.model)
        versions = [
            (id(p), 0 if is_lazy(p) or p.is_inference() else p._version) for p in parameters
        ]
        if versions != self._finite_versions:
            check_parameters(self.model)
            self._finite_versions = versions
        return parameters

    def _warn_if_incomplete(self, ledger: Ledger | None) -> None:
        """Warn the caller of `attribute` if the method finds its relevance incomplete."""
        if ledger is not None and totals_for(self) is not None:
            totals = CompletenessTotals.of_ledger(ledger)
            warn_if_incomplete(self, totals, stacklevel=3)


def _writes(mode: InputMode) -> bool:
    """Return whether a plain call writes into the parameters, which copies of the model share."""
    constants = mode.constants if isinstance(mode, FollowingMode) else None
    return mode.renormalises or (constants is not None and constants.writes)
