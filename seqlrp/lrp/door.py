"""What is checked at the door: the model, the ids, the scores and the target, before any law."""

from __future__ import annotations

from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from seqlrp.errors import (
    IdsError,
    ModelError,
    NoEmbeddingError,
    NonFiniteError,
    OutputError,
    ProbabilityError,
    ScriptedModelError,
    TargetError,
    TrainingModeError,
)
from seqlrp.lrp.census import modules_of

One = int | str | Tensor
Target = One | tuple[One, One]


def checked_model(model: nn.Module) -> nn.Module:
    """The module that a torch function mode can see into; of a compiled one, the original.

    Raises:
        ModelError: it is no `nn.Module`.
        ScriptedModelError: it is, or holds, a TorchScript or compiled module.
        TrainingModeError: a part of it is in training mode.
        NonFiniteError: a parameter is NaN or infinite.
    """
    if not isinstance(model, nn.Module):
        inner = " Pass its .model." if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise ModelError(
            f"Got {type(model).__name__} for the model; expected a torch.nn.Module that maps ids "
            f"[B, T] to scores [B, C].{inner}"
        )
    if "_orig_mod" in model._modules:  # torch.compile keeps the original here
        model = model._modules["_orig_mod"]  # type: ignore[assignment]
    if any(_to_be_looked_at(module) for module in modules_of(model)):
        _check_by_name(model)
    return model


def _to_be_looked_at(module: nn.Module) -> bool:
    """Whether `_check_by_name` may have something to say of a module."""
    return (
        module.training
        or isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction, nn.DataParallel))
        or "_orig_mod" in module._modules
        or getattr(module, "_compiled_call_impl", None) is not None
    )


def _check_by_name(model: nn.Module) -> None:
    """What `checked_model` refuses, with the name of the module that is to blame."""
    for name, module in model.named_modules():
        where = f"Module '{name}'" if name else "The model"
        if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            raise ScriptedModelError(
                f"{where} is a TorchScript module ({type(module).__name__}), whose steps cannot be "
                f"seen; load the original nn.Module and explain that."
            )
        inside = "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None)
        if inside and module is not model:
            raise ScriptedModelError(
                f"{where} is compiled, so its steps cannot be seen; explain the model before "
                f"torch.compile was applied to it."
            )
        if isinstance(module, nn.DataParallel):
            raise ScriptedModelError(
                f"{where} is a DataParallel, which runs in threads of its own; explain its .module."
            )
        if module.training:
            raise TrainingModeError(
                f"{where} ({type(module).__name__}) is in training mode, where dropout and batch "
                f"normalisation change the answer from call to call; call model.eval() first."
            )


def check_finite(model: nn.Module) -> None:
    """Refuse a model with a parameter that is NaN or infinite, by the parameter's name."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter.detach()).all()):
            count = int((~torch.isfinite(parameter.detach())).sum())
            raise NonFiniteError(
                f"Parameter '{name}' has {count} NaN or infinite of {parameter.numel()} values; "
                f"relevance through it would be meaningless. Load weights that trained without "
                f"diverging."
            )


def check_input(inputs: Tensor) -> None:
    """Ids `[B, T, ...]` or `[N]`, int64 or int32; vectors `[B, T, D]` or `[B, D]` of floats.

    Raises:
        IdsError: wrong type, dtype or shape, negative ids, or nothing in it.
    """
    if not isinstance(inputs, Tensor):
        raise IdsError(
            f"Got {type(inputs).__name__} for the ids; expected a torch tensor [B, T] of int64 "
            f"(or vectors [B, T, D] of float)."
        )
    shape = list(inputs.shape)
    if inputs.dtype.is_floating_point:
        if inputs.ndim not in (2, 3):
            raise IdsError(
                f"Got vectors of shape {shape}; expected [B, T, D], or features [B, D]. Ids must "
                f"be of dtype int64, these are {inputs.dtype}."
            )
        if not bool(torch.isfinite(inputs).all()):
            raise NonFiniteError("The vectors handed in hold NaN or infinite values.")
    elif inputs.dtype not in (torch.int64, torch.int32):
        raise IdsError(f"Got ids of dtype {inputs.dtype}; expected torch.int64.")
    elif inputs.ndim == 0 or (inputs.ndim > 3):
        raise IdsError(f"Got ids of shape {shape}; expected [B, T], or [B, S, W] by sentences.")
    if inputs.numel() == 0:
        raise IdsError(f"Got an input of shape {shape}, which holds nothing to explain.")


def check_dtype(inputs: Tensor, model: nn.Module) -> None:
    """Refuse vectors of another floating dtype than the model's parameters.

    Raises:
        IdsError: it says what to cast.
    """
    if not inputs.dtype.is_floating_point:
        return
    own = next((p.dtype for p in model.parameters() if p.dtype.is_floating_point), None)
    if own is not None and inputs.dtype != own:
        raise IdsError(
            f"Got vectors of shape {list(inputs.shape)} (ids are of dtype int64) and dtype "
            f"{inputs.dtype} for a model whose parameters are {own}; cast one of them, e.g. "
            f"vectors.to({own}), or model.double() for float64 all the way."
        )


def padding_given(padding: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """A padding mask that was handed in: bool, of the ids' shape, True where padding is."""
    if padding is None:
        return None
    if not isinstance(padding, Tensor):
        raise IdsError(
            f"Got {type(padding).__name__} for the padding; expected a bool tensor of shape "
            f"{list(shape)}, True where padding is."
        )
    if padding.dtype != torch.bool or tuple(padding.shape) != shape:
        raise IdsError(
            f"Got a padding mask of dtype {padding.dtype} and shape {list(padding.shape)}; "
            f"expected bool of shape {list(shape)}, True where padding is."
        )
    # What was made in inference mode cannot take part in a graph; a copy can.
    return padding.clone() if padding.is_inference() else padding


def check_padding(padding: Tensor | None) -> None:
    """Refuse a row that holds padding only."""
    if padding is None or padding.ndim < 2:
        return
    empty = padding.flatten(1).all(1)
    if bool(empty.any()):
        raise IdsError(
            f"Row {int(empty.nonzero()[0])} of the ids holds nothing but padding; leave empty "
            f"documents out."
        )


def selected(output: Any, key: int | str | None) -> Any:
    """The part of a model's output that holds the scores."""
    if key is None:
        return output
    try:
        return (
            output[key]
            if not isinstance(key, str) or isinstance(output, dict)
            else getattr(output, key)
        )
    except (KeyError, IndexError, AttributeError, TypeError):
        raise OutputError(
            f"The model returned {_describe(output)}, which has no part {key!r}; output= names the "
            f"part with the scores."
        ) from None


def checked_scores(output: Any, documents: int | None, gate: bool) -> Tensor:
    """Scores `[B, C]`; `[B]` is taken for one output.

    Raises:
        OutputError: anything else.
        ProbabilityError: what a softmax or sigmoid returned.
        NoEmbeddingError: the scores do not depend on the input.
        NonFiniteError: a score is NaN or infinite.
    """
    if not isinstance(output, Tensor):
        hint = "; say output=0 for the first part" if isinstance(output, tuple) else ""
        hint = (
            "; say output='logits', or what the part is called"
            if not hint and not isinstance(output, (int, float, str))
            else hint
        )
        raise OutputError(
            f"The model returned {_describe(output)}; expected a float tensor of scores "
            f"[B, C]{hint}."
        )
    scores = output
    if scores.ndim == 1 and scores.dtype.is_floating_point and documents == len(scores):
        scores = scores.unsqueeze(1)
    if (
        scores.ndim != 2
        or not scores.dtype.is_floating_point
        or 0 in scores.shape
        or (documents is not None and len(scores) != documents)
    ):
        batch = "B" if documents is None else str(documents)
        raise OutputError(
            f"The model returned {_describe(output)}; expected a float tensor of scores "
            f"[{batch}, C], a row for each document."
        )
    if gate:
        raise ProbabilityError(
            "The model returns probabilities (its last step is a softmax, a sigmoid or a "
            "log-softmax); relevance starts from scores. Return what goes into that step."
        )
    if not scores.requires_grad:
        refuse_no_embedding()
    if not bool(torch.isfinite(scores.detach()).all()):
        raise NonFiniteError(
            "A score is NaN or infinite; look for overflowing weights or a softmax over nothing."
        )
    return scores


def refuse_no_embedding() -> NoReturn:
    """Refuse a model whose scores depend on no embedding of the ids."""
    raise NoEmbeddingError(
        "The scores do not depend on any embedding of the ids: no nn.Embedding or F.embedding read "
        "them. Look the vectors up with nn.Embedding, or hand the vectors [B, T, D] in instead of "
        "the ids."
    )


def resolved_contrast(target: Target, scores: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Class indices `[B]` and, for a pair, those of the class that it is compared with.

    Raises:
        TargetError: as `resolved_target`; or a pair is no pair of two different classes.
    """
    if not isinstance(target, tuple):
        return resolved_target(target, scores), None
    if len(target) != 2:
        raise TargetError(
            f"Got a tuple of {len(target)} as the target; a pair asks why one class rather than "
            f"another. For a class for each document hand in a list or a tensor [B]."
        )
    sides = [resolved_target(one, scores) for one in target]
    if sides[0] is None or sides[1] is None:
        raise TargetError("Got 'all' in a pair of targets; expected two classes.")
    same = sides[0] == sides[1]
    if bool(same.any()):
        raise TargetError(
            f"Both targets are class {int(sides[0][same][0])} for document "
            f"{int(same.nonzero()[0])}, and a class differs from itself by nothing; leave that "
            f"document out, or compare with another class."
        )
    return sides[0], sides[1]


def resolved_target(target: One, scores: Tensor) -> Tensor | None:
    """Class indices `[B]`, int64; None for `"all"`.

    Raises:
        TargetError: out of range, negative, of the wrong shape, or a name that is not known here.
    """
    batch, classes = scores.shape
    if isinstance(target, str):
        if target == "all":
            return None
        if target == "predicted":
            return predicted(scores)
        raise TargetError(
            f"Got target {target!r}; a model knows classes by number only: 0 to {classes - 1}, "
            f"'predicted' or 'all'. Names of classes are known to a seqlrp.TextClassifier."
        )
    if isinstance(target, list) and all(type(t) is int for t in target):
        target = torch.tensor(target, device=scores.device)
    if isinstance(target, bool) or not isinstance(target, (int, Tensor)):
        raise TargetError(
            f"Got target {target!r} of type {type(target).__name__}; expected an int from 0 to "
            f"{classes - 1}, a tensor [B], 'predicted' or 'all'."
        )
    if isinstance(target, int):
        if not 0 <= target < classes:
            raise TargetError(_range_sentence(target, classes))
        return torch.full((batch,), target, device=scores.device)
    if target.dtype not in (torch.int64, torch.int32) or tuple(target.shape) != (batch,):
        raise TargetError(
            f"Got a target tensor of dtype {target.dtype} and shape {list(target.shape)}; expected "
            f"int64 of shape [{batch}]."
        )
    target = target.to(scores.device, torch.int64, copy=True)
    wrong = (target < 0) | (target >= classes)
    if bool(wrong.any()):
        raise TargetError(_range_sentence(int(target[wrong][0]), classes))
    return target


def starts(scores: Tensor, wanted: Tensor | None, against: Tensor | None) -> list[Tensor]:
    """What is explained, `[B]` each: scores of all classes, of one, or a difference of two."""
    if wanted is None:
        return list(scores.unbind(1))
    start = scores.gather(1, wanted.unsqueeze(1)).squeeze(1)
    if against is not None:
        start = start - scores.gather(1, against.unsqueeze(1)).squeeze(1)
    return [start]


def _range_sentence(target: int, classes: int) -> str:
    return (
        f"Got target {target}; the model has {classes} class{'es' if classes > 1 else ''}, "
        f"numbered 0 to {classes - 1}."
    )


def predicted(scores: Tensor) -> Tensor:
    """The class with the highest score `[B]`; with a single output that is always output 0."""
    return scores.detach().argmax(1)


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {list(output.shape)} and dtype {output.dtype}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    if isinstance(output, dict):
        return f"a {type(output).__name__} with {', '.join(map(repr, output))}"
    return f"a {type(output).__name__}"
