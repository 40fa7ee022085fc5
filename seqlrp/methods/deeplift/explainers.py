"""`DeepLIFT` and `DeepSHAP`: the difference from a baseline, divided among the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target, refuse_no_embedding
from seqlrp.engine.documents import NOBODY
from seqlrp.engine.explainer import Explainer, Forward
from seqlrp.engine.inputs import Reading
from seqlrp.errors import IdsError, NonFiniteError, OptionError, check_choice
from seqlrp.methods.baselines import AnyBaseline, Baseline, BaselineVectors, baseline_ledger
from seqlrp.methods.deeplift.pairs import PairedRun, Rule
from seqlrp.methods.deeplift.run import Lockstep
from seqlrp.methods.gradients.gradient import compute_gradients


class _Differences(NamedTuple):
    """The result of one pass over texts and their baseline."""

    forward: Forward
    relevance: Tensor  # [C or 1, *ids]
    reference: Tensor  # the target scores at the baseline, [C or 1, B]

    def attribution(self) -> Attribution:
        """Return the attribution, with a ledger of the score."""
        words, owner = self.relevance, getattr(self.forward.mode, "bag_owner", None)
        if words.ndim == 2:  # bags: ids [N], with documents known to the run
            if owner is None:
                raise IdsError(
                    "Ids of one dimension [N] are explained only through nn.EmbeddingBag with "
                    "offsets; hand ids [B, T] in."
                )
            words = torch.zeros_like(self.reference, dtype=torch.float64)
            words = words.index_add_(1, owner, self.relevance.double()).unsqueeze(2)
        ledger = baseline_ledger(self.forward, words, self.reference)
        return self.forward.attribution(self.relevance, ledger)


class _DifferenceExplainer(Explainer):
    """Base class of DeepLIFT and DeepSHAP: runs a text and a baseline in parallel in one pass."""

    def __init__(
        self, model: nn.Module, rule: Rule, *, output: int | str | None, verify: bool
    ) -> None:
        check_choice("rule", rule, get_args(Rule))
        super().__init__(model, output=output, verify=verify)
        self.rule: Rule = rule

    def compare(
        self,
        baseline: Baseline,
        inputs: Tensor,
        target: Target,
        additional_forward_args: Any,
        padding: Tensor | None,
    ) -> _Differences:
        """Compute multipliers times differences, for every target."""
        self.check_call(inputs)
        mode = Lockstep(self.model, self.rule, _References(baseline, inputs, padding))
        forward = self.run_verified(mode, inputs, target, additional_forward_args, padding)
        if mode.known(forward.scores) is None:
            refuse_no_embedding()
        reference = mode.partner(forward.scores)
        rows = torch.arange(len(reference), device=reference.device)
        leaves = [reading.vectors for reading in mode.readings]
        passes = []
        with torch.enable_grad():
            for multipliers in compute_gradients(mode, forward.starts):
                products = [
                    None if m is None else (x.detach() - x0) * m
                    for m, x, x0 in zip(multipliers, leaves, mode.references, strict=True)
                ]
                passes.append(mode.gather(products).sum(-1))
            relevance = torch.stack(passes)
            if not bool(relevance.isfinite().all() and reference.isfinite().all()):
                raise NonFiniteError(
                    f"A multiplier of {self.name} or the baseline's score is NaN or infinite; look "
                    f"for overflowing weights or a division by 0 at the baseline, or take another "
                    f"one."
                )
            return _Differences(forward, relevance, forward.select(reference, rows))


class _References:
    """Replaces every word by a baseline; padding and added vectors stay unchanged."""

    def __init__(self, baseline: Baseline, inputs: Tensor, padding: Tensor | None) -> None:
        rows = torch.arange(len(inputs), device=inputs.device)
        self.baselines = BaselineVectors(baseline, rows, len(inputs))
        self.padding = padding

    def __call__(self, run: PairedRun, reading: Reading) -> Tensor:
        vectors, origin = reading.vectors, reading.origin
        start = self.baselines.find(reading, run.ids_shape).expand(vectors.shape)
        kept = origin == NOBODY
        for padding in (self.padding, run.padding):
            if padding is not None:
                kept = kept | padding.reshape(-1)[origin]
        return torch.where(kept.unsqueeze(-1), vectors, start)


class DeepLIFT(_DifferenceExplainer):
    """DeepLIFT: the difference of two scores, divided among the words (Shrikumar et al. 2017).

    Text and baseline run through the model in parallel; every function passes its change on to its
    operands by multipliers m = Δy/Δx, gates of recurrent layers included, so that
    Σ words = score(text) − score(baseline) to rounding. It takes one backward pass per class.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`. Functions without a rule are refused by name.
        rule: the rule of activations: `"rescale"`, or `"reveal_cancel"`, which separates positive
            and negative contributions to the result of a linear map or a sum (eq. 12 on); other
            values are rescaled.
        baseline: the vectors of absent words: `"zero"`, `"mean"`, `"pad"`, the id of a word, or
            vectors; see `seqlrp.methods.baselines.Baseline`. Padding stays unchanged.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: an unknown rule or baseline.
        ModelError: the model cannot be run as it is.
    """

    name = "deeplift"

    def __init__(
        self,
        model: nn.Module,
        rule: Rule = "rescale",
        baseline: AnyBaseline = "zero",
        *,
        output: int | str | None = None,
        verify: bool = True,
    ) -> None:
        super().__init__(model, rule, output=output, verify=verify)
        self.baseline = Baseline(baseline)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the rule and the baseline."""
        return {"rule": self.rule, "baseline": self.baseline.as_json}

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding, with a ledger.

        Raises:
            RefusedFunctionError: the model calls a function without a rule, or selects by values
                for which the baseline gives another selection.
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        found = self.compare(self.baseline, inputs, target, additional_forward_args, padding)
        return found.attribution()


class DeepSHAP(_DifferenceExplainer):
    """DeepSHAP: DeepLIFT averaged over several baselines (Lundberg and Lee 2017, sec. 4.2).

    Σ words = score(text) − mean of the baselines' scores, to rounding. For a linear model the
    result is the Shapley value of each word.

    Args:
        model: an `nn.Module` in evaluation mode, see `DeepLIFT`.
        baselines: a list of baselines, see `DeepLIFT`; each takes one pass. None: `"zero"` and
            `"mean"`, or only `"zero"` if the input is vectors, which have no table with a mean.
        rule: the rule of activations, see `DeepLIFT`.
        output: which part of the model's output holds the scores, if it returns several.
        verify: on the first call for a kind of input, also run a copy of the model on other words,
            and refuse the model if words reach its scores in a way that is not followed.

    Raises:
        OptionError: an unknown rule or baseline, or no baselines.
        ModelError: the model cannot be run as it is.
    """

    name = "deepshap"

    def __init__(
        self,
        model: nn.Module,
        baselines: Sequence[AnyBaseline] | None = None,
        rule: Rule = "rescale",
        *,
        output: int | str | None = None,
        verify: bool = True,
    ) -> None:
        self._default_baselines = baselines is None
        baselines = ("zero", "mean") if baselines is None else baselines
        if isinstance(baselines, (str, int, Tensor)) or not len(baselines):
            raise OptionError(
                f"Got {baselines!r} for the baselines; expected a list of at least one, e.g. "
                f"['zero', 'mean'].",
                option="baselines",
                got=baselines,
            )
        super().__init__(model, rule, output=output, verify=verify)
        self.baselines = [Baseline(baseline) for baseline in baselines]

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the rule and the baselines."""
        return {"rule": self.rule, "baselines": [b.as_json for b in self.baselines]}

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding, with a ledger."""
        tableless = inputs.dtype.is_floating_point
        found = [
            self.compare(baseline, inputs, target, additional_forward_args, padding)
            for baseline in self.baselines[: 1 if self._default_baselines and tableless else None]
        ]
        relevance = torch.stack([one.relevance for one in found]).mean(0)
        reference = torch.stack([one.reference for one in found]).mean(0)
        return _Differences(found[0].forward, relevance, reference).attribution()
