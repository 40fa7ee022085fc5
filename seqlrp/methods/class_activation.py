"""Class activation maps: what each step of a pooled sequence adds to a linear head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from seqlrp.errors import IdsError, ModelError, OptionError, near
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.functions import spelled
from seqlrp.methods.explainer import Explainer, Forward, GradientMode

_SEQUENCES = (nn.RNNBase, nn.Conv1d)


class HeldWeights(GradientMode):
    """Runs a model with what its softmaxes return held: noted the first time, then the same again.

    Args:
        noted: what they returned in an earlier run; None notes it.
    """

    def __init__(self, noted: list[Tensor] | None = None) -> None:
        super().__init__()
        self.noted: list[Tensor] = []
        self._again = None if noted is None else iter(noted)

    def call(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """As `GradientMode.call`; what a softmax returns is a constant."""
        result = super().call(function, args, kwargs)
        if spelled(function) == "softmax":
            result = result.detach() if self._again is None else next(self._again)
            self.noted.append(result)
        return result


class ClassActivation(Explainer):
    """Class activation mapping, signed (Zhou et al. 2016, eq. 2): Σ_h w_h · h_t, pooling included.

    For scores that are linear in a sequence h `[B, T, H]`, as after a mean, a sum or an attention
    over time and a linear head: R_t = Σ_h h_th ∂score/∂h_th, with attention weights as constants.
    All words together add up to the score without the head's bias. Of h_t, the state after word t,
    it says nothing about which of the words before made it.

    Args:
        model: as for `seqlrp.LRP`; what its pooling and head make of the sequence must be linear,
            which is tested: the gradient must be the same at another sequence.
        layer: the name of the module that returns h, as `model.named_modules()` has it; None is
            the last recurrent layer or `nn.Conv1d` that runs.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: there is no such module.
        ModelError: the model cannot be run as it is.
    """

    name = "class_activation"

    def __init__(
        self, model: nn.Module, layer: str | None = None, *, output: int | str | None = None
    ) -> None:
        super().__init__(model, output=output)
        modules = dict(self.model.named_modules())
        if layer is not None and layer not in modules:
            raise OptionError(f"Got layer {layer!r}. {near(str(layer), modules)}")
        self.layer = layer

    @property
    def parameters(self) -> dict[str, Any]:
        """The layer, where one was named."""
        return {} if self.layer is None else {"layer": self.layer}

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Raises:
            ModelError: the scores are not linear in a sequence that a layer returns.
            InputError: ids, target or padding are not what was expected.
        """
        ran: list[nn.Module] = []
        with _at_outputs(lambda module, output: ran.append(module)):
            run = self.forward(inputs, target, additional_forward_args, padding)
        if run.padding.ndim != 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; a class activation map is one of words "
                f"[B, T], in a single sequence."
            )
        layer = self._layer(ran)
        noted = HeldWeights()
        here = self._seen_from(layer, run, noted, 1.0, inputs, additional_forward_args)
        again = HeldWeights(noted.noted)
        there = self._seen_from(layer, run, again, -0.5, inputs, additional_forward_args)
        name = self._names[layer]
        _check_linear(name, here.slopes, there.slopes)
        slopes = torch.stack([_by_word(layer, here.output, s, run, name) for s in here.slopes])
        _check_pooled(name, slopes, run)
        states = _by_word(layer, here.output, here.sequence, run, name)
        wide = torch.promote_types(states.dtype, torch.float32)
        relevance = (states.to(wide) * slopes).sum(-1)
        return run.attribution(relevance.masked_fill(run.padding, 0))

    @property
    def _names(self) -> dict[nn.Module, str]:
        return {module: name for name, module in self.model.named_modules()}

    def _layer(self, ran: list[nn.Module]) -> nn.Module:
        """The module that returns the sequence, among those that ran, in order."""
        names = self._names
        if self.layer is not None:
            calls = [module for module in ran if names.get(module) == self.layer]
        else:
            last = next((m for m in reversed(ran) if isinstance(m, _SEQUENCES)), None)
            calls = [module for module in ran if module is last]
        if len(calls) == 1:
            return calls[0]
        if calls:
            raise ModelError(
                f"Module {names[calls[0]]!r} ran {len(calls)} times, so no single sequence comes "
                f"out of it; name another with layer=."
            )
        if self.layer is not None:
            raise ModelError(f"Module {self.layer!r} was never called, so it has no output.")
        raise ModelError(
            "The model has no nn.LSTM, nn.GRU, nn.RNN or nn.Conv1d; name the module that returns "
            "the sequence [B, T, H] with layer=."
        )

    def _seen_from(
        self,
        layer: nn.Module,
        run: Forward,
        mode: HeldWeights,
        factor: float,
        inputs: Tensor,
        additional: Any,
    ) -> Seen:
        """What the scores make of the layer's sequence times a factor."""
        seen: list[tuple[Tensor, Any]] = []

        def swap(module: nn.Module, output: Any) -> Any:
            if module is not layer:
                return None
            sequence, rebuilt = _sequence(output, self._names[layer])
            leaf = (sequence.detach() * factor).requires_grad_()
            seen.append((leaf, output))
            return rebuilt(leaf.clone())

        with torch.enable_grad():
            with _at_outputs(swap):
                output = door.selected(mode.run(self.model, inputs, additional), self.output)
            rows = torch.arange(len(inputs), device=inputs.device)
            starts = run.chosen(output.reshape(len(inputs), -1), rows)
            (leaf, given), name = seen[0], self._names[layer]
            slopes = []
            for k, start in enumerate(starts if starts.requires_grad else []):
                words = [reading.vectors for reading in mode.readings]
                slope, *others = torch.autograd.grad(
                    start.sum(), [leaf, *words], retain_graph=k + 1 < len(starts), allow_unused=True
                )
                if any(other is not None and bool((other != 0).any()) for other in others):
                    raise ModelError(
                        f"The scores depend on the words not only through the sequence that "
                        f"{name!r} returns, but also past it or through its last state, so that no "
                        f"class activation map accounts for them; use another method."
                    )
                slopes.append(slope)
        if len(slopes) < len(starts) or any(slope is None for slope in slopes):
            raise ModelError(
                f"The scores do not depend on the sequence that {name!r} returns; a class "
                f"activation map needs a mean, sum or attention over time and a linear head."
            )
        return Seen(leaf.detach(), given, slopes)


class Seen(NamedTuple):
    """A sequence in the layout of its layer, and ∂start/∂sequence for each start."""

    sequence: Tensor
    output: Any
    slopes: list[Tensor]


@contextmanager
def _at_outputs(change: Callable[[nn.Module, Any], Any]) -> Iterator[None]:
    """While this holds, what a module returns in this thread is changed, unless to None."""
    thread = threading.get_ident()

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if threading.get_ident() != thread:
            return None
        with torch._C.DisableTorchFunction():
            return change(module, output)

    # A hook for all modules of the process, and not on the user's own, which stay as they are.
    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _sequence(output: Any, name: str) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """The tensor that holds a layer's sequence, and how to put another in its place."""
    if isinstance(output, PackedSequence):
        return output.data, lambda t: PackedSequence(t, *output[1:])
    if isinstance(output, Tensor) and output.dtype.is_floating_point:
        return output, lambda t: t
    if isinstance(output, tuple) and output and isinstance(output[0], (Tensor, PackedSequence)):
        sequence, rebuilt = _sequence(output[0], name)
        return sequence, lambda t: (rebuilt(t), *output[1:])
    raise ModelError(
        f"Module {name!r} returns a {type(output).__name__}; a class activation map needs one that "
        f"returns a sequence [B, T, H]."
    )


def _by_word(layer: nn.Module, output: Any, values: Tensor, run: Forward, name: str) -> Tensor:
    """Values shaped as a layer's sequence as `[B, T, H]`, a step for each word."""
    sequence = output[0] if type(output) is tuple else output
    batch, words = run.padding.shape
    if isinstance(sequence, PackedSequence):
        packed = PackedSequence(values, *sequence[1:])
        values, _ = pad_packed_sequence(packed, batch_first=True)
    elif isinstance(layer, nn.RNNBase) and not layer.batch_first and values.ndim == 3:
        values = values.transpose(0, 1)
    elif isinstance(layer, nn.Conv1d):
        values = values.transpose(-1, -2)
    shape = list(values.shape)
    left = words - shape[1] if values.ndim == 3 and len(values) == batch else -1
    if left < 0 or not bool(run.padding[:, words - left :].all()):
        raise ModelError(
            f"Module {name!r} returns a sequence of shape {shape}; a class activation map needs "
            f"[{batch}, {words}, H], a step for each word."
        )
    return F.pad(values, (0, 0, 0, left))


def _check_linear(name: str, here: list[Tensor], there: list[Tensor]) -> None:
    """Refuse scores whose slopes change with the sequence."""
    for one, other in zip(here, there, strict=True):
        allowed = 1e3 * torch.finfo(one.dtype).eps * float(one.abs().max())
        if float((one - other).abs().max()) > allowed:
            raise ModelError(
                f"The scores are not linear in the sequence that {name!r} returns (a hidden layer, "
                f"a maximum over time, or weights that no softmax made, lie between), so there is "
                f"no class activation map. Name the module after which they are with layer=, or "
                f"use LRP or gradient_x_input."
            )


def _check_pooled(name: str, slopes: Tensor, run: Forward) -> None:
    """Refuse scores that read a single step of every document."""
    read = (slopes != 0).any(-1).any(0)  # [B, T]
    several = (~run.padding).sum(1) > 1
    if bool(several.any()) and not bool((read.sum(1) > 1)[several].any()):
        raise ModelError(
            f"The scores read a single step of the sequence that {name!r} returns; a class "
            f"activation map needs a mean, sum or attention over time."
        )
