"""Class activation maps: the contribution of each step of a pooled sequence to a linear head."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.checks import Target, select_output
from seqlrp.engine.explainer import Explainer, Forward
from seqlrp.engine.functions import function_name
from seqlrp.engine.gradient_mode import GradientMode
from seqlrp.engine.inputs import Tensors
from seqlrp.errors import IdsError, ModelError, check_choice

_SEQUENCES = (nn.RNNBase, nn.Conv1d)


class FixedAttention(GradientMode):
    """Runs a model with constant softmax outputs: recorded in a first run, then reused.

    Args:
        noted: the softmax outputs of an earlier run; None records them.
    """

    def __init__(self, noted: list[Tensor] | None = None) -> None:
        super().__init__()
        self.noted: list[Tensor] = []
        self._again = None if noted is None else iter(noted)

    def call(
        self, function: Callable[..., Any], args: Any, kwargs: Any, found: Tensors = None
    ) -> Any:
        """Call a function; detach the output of a softmax, or replace it by the recorded one."""
        result = super().call(function, args, kwargs, found)
        if function_name(function) == "softmax":
            result = result.detach() if self._again is None else next(self._again)
            self.noted.append(result)
        return result


class ClassActivation(Explainer):
    """Class activation mapping, signed (Zhou et al. 2016, eq. 2): Σ_h w_h · h_t, pooling included.

    For scores that are linear in a sequence h `[B, T, H]`, as after a mean, a sum or an attention
    over time and a linear head: R_t = Σ_h h_th ∂score/∂h_th, with attention weights as constants.
    All words together add up to the score without the head's bias. The value of word t is that of
    the state h_t, which may depend on other words, too.

    Args:
        model: an `nn.Module`, see `seqlrp.LRP`; its scores must be linear in the sequence, which is
            tested: the gradient must be the same at another sequence.
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
        if layer is not None:
            check_choice("layer", layer, modules)
        self.layer = layer

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the layer, if the user named one."""
        return {} if self.layer is None else {"layer": self.layer}

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding, with the model's scores.

        Raises:
            ModelError: the scores are not linear in a sequence that a layer returns.
            InputError: ids, target or padding are not what was expected.
        """
        ran: list[nn.Module] = []
        with _output_hook(lambda module, output: ran.append(module)):
            run = self.forward(inputs, target, additional_forward_args, padding)
        self.check_others(run, inputs, additional_forward_args)  # without the hook
        if run.padding.ndim != 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; a class activation map is one of words "
                f"[B, T], in a single sequence."
            )
        layer = self._layer(ran)
        noted = FixedAttention()
        here = self._slopes_at(layer, run, noted, 1.0, inputs, additional_forward_args)
        again = FixedAttention(noted.noted)
        there = self._slopes_at(layer, run, again, -0.5, inputs, additional_forward_args)
        name = self._names[layer]
        _check_linear(name, here.slopes, there.slopes)
        slopes = torch.stack(
            [_align_with_words(layer, here.output, s, run, name) for s in here.slopes]
        )
        _check_pooled(name, slopes, run)
        states = _align_with_words(layer, here.output, here.sequence, run, name)
        wide = torch.promote_types(states.dtype, torch.float32)
        relevance = (states.to(wide) * slopes).sum(-1)
        return run.attribution(relevance.masked_fill(run.padding, 0))

    @property
    def _names(self) -> dict[nn.Module, str]:
        return {module: name for name, module in self.model.named_modules()}

    def _layer(self, ran: list[nn.Module]) -> nn.Module:
        """Return the module that returns the sequence, among the modules that ran, in order."""
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

    def _slopes_at(
        self,
        layer: nn.Module,
        run: Forward,
        mode: FixedAttention,
        factor: float,
        inputs: Tensor,
        additional: Any,
    ) -> Slopes:
        """Return the gradients of the scores at the layer's sequence times a factor."""
        seen: list[tuple[Tensor, Any]] = []

        def swap(module: nn.Module, output: Any) -> Any:
            if module is not layer:
                return None
            sequence, rebuilt = _sequence(output, self._names[layer])
            leaf = (sequence.detach() * factor).requires_grad_()
            seen.append((leaf, output))
            return rebuilt(leaf.clone())

        with torch.enable_grad():
            with _output_hook(swap):
                output = select_output(mode.run(self.model, inputs, additional), self.output)
            rows = torch.arange(len(inputs), device=inputs.device)
            starts = run.select(output.reshape(len(inputs), -1), rows)
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
        return Slopes(leaf.detach(), given, slopes)


class Slopes(NamedTuple):
    """A sequence in the layout of its layer, and ∂score/∂sequence for each target."""

    sequence: Tensor
    output: Any
    slopes: list[Tensor]


@contextmanager
def _output_hook(change: Callable[[nn.Module, Any], Any]) -> Iterator[None]:
    """Replace outputs of modules in this thread by `change(module, output)`, unless it is None."""
    thread = threading.get_ident()

    def hook(module: nn.Module, args: Any, output: Any) -> Any:
        if threading.get_ident() != thread:
            return None
        with torch._C.DisableTorchFunction():
            return change(module, output)

    # A global hook, so that the user's modules stay unchanged.
    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _sequence(output: Any, name: str) -> tuple[Tensor, Callable[[Tensor], Any]]:
    """Return the tensor with a layer's sequence, and a function that replaces it."""
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


def _align_with_words(
    layer: nn.Module, output: Any, values: Tensor, run: Forward, name: str
) -> Tensor:
    """Rearrange values shaped as a layer's sequence to `[B, T, H]`, one step for each word."""
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
    """Refuse scores with gradients that change with the sequence."""
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
    """Refuse scores that depend on a single step of every document."""
    read = (slopes != 0).any(-1).any(0)  # [B, T]
    several = (~run.padding).sum(1) > 1
    if bool(several.any()) and not bool((read.sum(1) > 1)[several].any()):
        raise ModelError(
            f"The scores read a single step of the sequence that {name!r} returns; a class "
            f"activation map needs a mean, sum or attention over time."
        )
