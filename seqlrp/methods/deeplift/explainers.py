"""`DeepLIFT` and `DeepSHAP`: differences from a baseline, split over the words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from seqlrp.errors import IdsError, NonFiniteError, OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.documents import NOBODY
from seqlrp.methods.baselines import Baseline, Blend, Given, account
from seqlrp.methods.deeplift.run import Lockstep, Rule
from seqlrp.methods.explainer import Explainer, Forward


class _Found(NamedTuple):
    run: Forward
    relevance: Tensor  # [C or 1, *ids]
    reference: Tensor  # what is explained, at the baseline, [C or 1, B]

    def attribution(self) -> Attribution:
        """The result, with an account of the score."""
        words, owner = self.relevance, getattr(self.run.mode, "bag_owner", None)
        if words.ndim == 2:  # bags: ids [N], whose documents the run knows
            if owner is None:
                raise IdsError(
                    "Ids of one dimension [N] are explained only through nn.EmbeddingBag with "
                    "offsets; hand ids [B, T] in."
                )
            words = torch.zeros_like(self.reference, dtype=torch.float64)
            words = words.index_add_(1, owner, self.relevance.double()).unsqueeze(2)
        ledger = account(self.run, words, self.reference)
        return self.run.attribution(self.relevance, ledger)


class _Differences(Explainer):
    """What DeepLIFT and DeepSHAP share: one text, one baseline, one pass in lockstep."""

    def __init__(self, model: nn.Module, rule: Rule, *, output: int | str | None) -> None:
        if rule not in get_args(Rule):
            raise OptionError(f"There is no rule {rule!r}. {near(str(rule), get_args(Rule))}")
        super().__init__(model, output=output)
        self.rule: Rule = rule

    def compared(
        self,
        baseline: Baseline,
        inputs: Tensor,
        target: door.Target,
        additional: Any,
        padding: Tensor | None,
    ) -> _Found:
        """Multipliers times differences, for every start."""
        with torch.inference_mode(False), torch.enable_grad():
            return self._compared(baseline, inputs, target, additional, padding)

    def _compared(
        self,
        baseline: Baseline,
        inputs: Tensor,
        target: door.Target,
        additional: Any,
        padding: Tensor | None,
    ) -> _Found:
        mode = Lockstep(self.model, self.rule, _References(baseline, inputs, padding))
        run = self.forward_under(mode, inputs, target, additional, padding)
        if mode.known(run.scores) is None:
            door.refuse_no_embedding()
        reference = mode.partner(run.scores)
        rows = torch.arange(len(reference), device=reference.device)
        leaves = [reading.vectors for reading in mode.readings]
        starts, passes = run.starts, []
        for k, start in enumerate(starts):
            multipliers = torch.autograd.grad(
                start.sum(), leaves, retain_graph=k + 1 < len(starts), allow_unused=True
            )
            products: list[Tensor | None] = [
                None if m is None else (x.detach() - x0) * m
                for m, x, x0 in zip(multipliers, leaves, mode.references, strict=True)
            ]
            passes.append(mode.gathered(products).sum(-1))
        relevance = torch.stack(passes)
        if not bool(relevance.isfinite().all() and reference.isfinite().all()):
            raise NonFiniteError(
                f"A multiplier of {self.name} or the baseline's score is NaN or infinite; look for "
                f"overflowing weights or a division by 0 at the baseline, or take another one."
            )
        return _Found(run, relevance, run.chosen(reference, rows))


class _References:
    """Puts a baseline in the place of every word; padding and added vectors stay as they are."""

    def __init__(self, baseline: Baseline, inputs: Tensor, padding: Tensor | None) -> None:
        rows = torch.arange(len(inputs), device=inputs.device)
        self.start = Blend(baseline, inputs.new_zeros(0), rows, len(inputs))
        self.padding = padding

    def __call__(self, run: Lockstep, vectors: Tensor, origin: Tensor) -> Tensor:
        self.start.ids_shape, self.start.table = run.ids_shape, run.table
        start = self.start.start(vectors, origin).expand(vectors.shape)
        kept = origin == NOBODY
        for padding in (self.padding, run.padding):
            if padding is not None:
                kept = kept | padding.reshape(-1)[origin]
        return torch.where(kept.unsqueeze(-1), vectors, start)


class DeepLIFT(_Differences):
    """DeepLIFT: the difference of two scores, split over the words (Shrikumar et al. 2017).

    Text and baseline run through the model in lockstep; every function passes its change on to what
    it is made of by multipliers m = Δy/Δx, gates of recurrent layers included, so that
    Σ words = score(text) − score(baseline) to rounding. One backward pass a class.

    Args:
        model: as for `seqlrp.LRP`. Functions without a rule are refused by name.
        rule: of activations: `"rescale"`, or `"reveal_cancel"`, which keeps apart what raises and
            what lowers a value made by a linear map or a sum (eq. 12 on); others are rescaled.
        baseline: what stands for no word: `"zero"`, `"mean"`, `"pad"`, the id of a word, or
            vectors; see `seqlrp.methods.baselines.Baseline`. Padding stays as it is.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown rule or baseline.
        ModelError: the model cannot be run as it is.
    """

    name = "deeplift"

    def __init__(
        self,
        model: nn.Module,
        rule: Rule = "rescale",
        baseline: Given = "zero",
        *,
        output: int | str | None = None,
    ) -> None:
        super().__init__(model, rule, output=output)
        self.baseline = Baseline(baseline)

    @property
    def parameters(self) -> dict[str, Any]:
        """The rule and the baseline."""
        return {"rule": self.rule, "baseline": self.baseline.as_json}

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with a ledger.

        Raises:
            RefusedFunctionError: the model calls a function without a rule, or chooses by values
                where the baseline would choose otherwise.
            ModelError: the model returns no scores, or they do not depend on the input.
            InputError: ids, target or padding are not what was expected.
        """
        found = self.compared(self.baseline, inputs, target, additional_forward_args, padding)
        return found.attribution()


class DeepSHAP(_Differences):
    """DeepSHAP: DeepLIFT averaged over several baselines (Lundberg and Lee 2017, sec. 4.2).

    Σ words = score(text) − mean of the baselines' scores, to rounding. For a linear model each
    word gets its Shapley value.

    Args:
        model: as for `DeepLIFT`.
        baselines: a list, each as `baseline` of `DeepLIFT`; one pass for each. None: `"zero"` and
            `"mean"`, and for vectors, which come from no table with a mean, `"zero"`.
        rule: as for `DeepLIFT`.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an unknown rule or baseline, or no baselines.
        ModelError: the model cannot be run as it is.
    """

    name = "deepshap"

    def __init__(
        self,
        model: nn.Module,
        baselines: Sequence[Given] | None = None,
        rule: Rule = "rescale",
        *,
        output: int | str | None = None,
    ) -> None:
        self._unsaid = baselines is None
        baselines = ("zero", "mean") if baselines is None else baselines
        if isinstance(baselines, (str, int, Tensor)) or not len(baselines):
            raise OptionError(
                f"Got {baselines!r} for the baselines; expected a list of at least one, e.g. "
                f"['zero', 'mean']."
            )
        super().__init__(model, rule, output=output)
        self.baselines = [Baseline(given) for given in baselines]

    @property
    def parameters(self) -> dict[str, Any]:
        """The rule and the baselines."""
        return {"rule": self.rule, "baselines": [b.as_json for b in self.baselines]}

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with a ledger; see `DeepLIFT`."""
        tableless = inputs.dtype.is_floating_point
        found = [
            self.compared(baseline, inputs, target, additional_forward_args, padding)
            for baseline in self.baselines[: 1 if self._unsaid and tableless else None]
        ]
        relevance = torch.stack([one.relevance for one in found]).mean(0)
        reference = torch.stack([one.reference for one in found]).mean(0)
        return _Found(found[0].run, relevance, reference).attribution()
