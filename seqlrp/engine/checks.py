"""Checks of the model, its input, its output and the target, shared by all methods."""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from seqlrp.engine.modules import is_quantized, modules_of
from seqlrp.engine.nests import out_of_inference_mode
from seqlrp.errors import (
    IdsError,
    ModelError,
    NoEmbeddingError,
    NonFiniteError,
    NonFiniteInputError,
    OutputError,
    ProbabilityError,
    ScriptedModelError,
    TargetError,
    TrainingModeError,
)

_INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
One = int | str | Tensor  # one class, or one class for each document
Target = One | tuple[One, One]


def check_model(model: nn.Module) -> nn.Module:
    """Check that a model can be explained; return it, or the original of a compiled model.

    Raises:
        ModelError: it is no `nn.Module`.
        ScriptedModelError: it is, or holds, a TorchScript or compiled module.
        TrainingModeError: a part of it is in training mode.
    """
    if not isinstance(model, nn.Module):
        inner = " Pass its .model." if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise ModelError(
            f"Got {type(model).__name__} for the model; expected a torch.nn.Module that maps ids "
            f"[B, T] to scores [B, C].{inner}"
        )
    if "_orig_mod" in model._modules:  # torch.compile keeps the original here
        model = model._modules["_orig_mod"]  # type: ignore[assignment]
    if any(map(_is_suspect, modules_of(model))):
        _check_modules(model)
    return model


def _is_suspect(module: nn.Module) -> bool:
    """Return whether `_check_modules` needs to look at a module more closely."""
    return (
        (module.training and not _has_no_mode(module))
        or isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction, nn.DataParallel))
        or "_orig_mod" in module._modules
        or getattr(module, "_compiled_call_impl", None) is not None
    )


def _has_no_mode(module: nn.Module) -> bool:
    """Return whether a module computes the same in training mode: a container, a norm of weights.

    A parametrisation that is registered after `eval()` is in training mode.
    """
    if isinstance(module, (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)):
        return True
    return type(module).__name__ in ("_WeightNorm", "_Orthogonal") and (
        type(module).__module__ == "torch.nn.utils.parametrizations"
    )


def _check_modules(model: nn.Module) -> None:
    """Refuse a model with a module that cannot be explained, by the module's name."""
    for name, module in model.named_modules():
        where = f"Module '{name}'" if name else "The model"
        if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            raise ScriptedModelError(
                f"{where} is a TorchScript module ({type(module).__name__}), whose steps cannot be "
                f"seen; load the original nn.Module and explain that.",
                module=name,
            )
        inside = "_orig_mod" in module._modules or getattr(module, "_compiled_call_impl", None)
        if inside and module is not model:
            raise ScriptedModelError(
                f"{where} is compiled, so its steps cannot be seen; explain the model before "
                f"torch.compile was applied to it.",
                module=name,
            )
        if isinstance(module, nn.DataParallel):
            raise ScriptedModelError(
                f"{where} is a DataParallel, which runs in threads of its own; explain its "
                f".module.",
                module=name,
            )
        if module.training and not _has_no_mode(module):
            also = " A quantized model is refused then, too: explain it as it was before."
            raise TrainingModeError(
                f"{where} ({type(module).__name__}) is in training mode, where dropout and batch "
                f"normalisation change the answer from call to call; call model.eval() first."
                f"{also * is_quantized(model)}",
                module=name,
            )


def check_parameters(model: nn.Module) -> None:
    """Check that all parameters of a model have values, which are finite unless they are frozen.

    Raises:
        ModelError: one has no values yet.
        NonFiniteError: one is NaN or infinite; the message has its name.
    """
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise ModelError(
                f"Parameter '{name}' has no shape yet, as it is of a lazy module; run the model "
                f"once on a batch first.",
                module=name.rpartition(".")[0],
            )
        if parameter.is_meta:
            raise ModelError(
                f"Parameter '{name}' is on the device 'meta', where tensors have no values; load "
                f"its weights first (model.to_empty(device='cpu'), then load_state_dict).",
                module=name.rpartition(".")[0],
            )
        values = parameter.detach()
        # A frozen one may be a mask of -inf.
        wrong = ~torch.isfinite(values) if parameter.requires_grad else values.isnan()
        if bool(wrong.any()):
            count = int(wrong.sum())
            raise NonFiniteError(
                f"Parameter '{name}' has {count} NaN or infinite of {parameter.numel()} values; "
                f"relevance through it would be meaningless. Load weights that trained without "
                f"diverging.",
                module=name.rpartition(".")[0],
            )


def all_finite(values: Tensor) -> bool:
    """Return whether no value is NaN or infinite."""
    # A sum that is finite has only finite terms, and costs a quarter of looking at each of them.
    values = values.detach()
    return math.isfinite(values.sum()) or bool(torch.isfinite(values).all())


def check_input(inputs: Tensor) -> None:
    """Check the ids `[B, T, ...]` or `[N]`, or vectors `[B, T, D]` or `[B, D]`, of a batch.

    Raises:
        IdsError: the type, dtype or shape is wrong, or it is empty.
        NonFiniteInputError: a vector is NaN or infinite.
    """
    if not isinstance(inputs, Tensor):
        raise IdsError(
            f"Got {type(inputs).__name__} for the ids; expected a torch tensor [B, T] of int64 "
            f"(or vectors [B, T, D] of float)."
        )
    if inputs.layout is not torch.strided or inputs.is_nested:
        kind = "a nested tensor of ids" if inputs.is_nested else f"ids of layout {inputs.layout}"
        raise IdsError(f"Got {kind}; expected a dense tensor [B, T].")
    shape = list(inputs.shape)
    if inputs.dtype.is_floating_point:
        if inputs.ndim not in (2, 3):
            raise IdsError(
                f"Got vectors of shape {shape}; expected [B, T, D], or features [B, D]. Ids must "
                f"be of dtype int64, these are {inputs.dtype}."
            )
        if not all_finite(inputs):
            raise NonFiniteInputError("The vectors handed in hold NaN or infinite values.")
    elif inputs.dtype not in (torch.int64, torch.int32):
        raise IdsError(f"Got ids of dtype {inputs.dtype}; expected torch.int64.")
    elif inputs.ndim == 0 or (inputs.ndim > 3):
        raise IdsError(f"Got ids of shape {shape}; expected [B, T], or [B, S, W] by sentences.")
    if inputs.numel() == 0:
        raise IdsError(f"Got an input of shape {shape}, which holds nothing to explain.")


def check_dtype(inputs: Tensor, parameters: Iterable[nn.Parameter]) -> None:
    """Check that vectors have the floating dtype of a model's parameters, which is not float16.

    Raises:
        IdsError: they have another; the message says what to cast.
        ModelError: the parameters are float16.
    """
    own = next((p.dtype for p in parameters if p.dtype.is_floating_point), None)
    if own == torch.float16:
        raise ModelError(
            "The model computes in float16, whose smallest numbers are too large for relevance: "
            "after some 20 words it would be off by tens of percent. Explain a copy in float32, "
            "copy.deepcopy(model).float(), or the model in bfloat16.",
            code="float16",
        )
    if not inputs.dtype.is_floating_point:
        return
    if own is not None and inputs.dtype != own:
        raise IdsError(
            f"Got vectors of shape {list(inputs.shape)} (ids are of dtype int64) and dtype "
            f"{inputs.dtype} for a model whose parameters are {own}; cast one of them, e.g. "
            f"vectors.to({own}), or model.double() for float64 all the way."
        )


def check_padding(padding: Tensor | None, shape: tuple[int, ...]) -> Tensor | None:
    """Check a padding mask: bool, of the ids' shape, True on padding; copy an inference tensor.

    Raises:
        IdsError: it has another type, dtype or shape.
    """
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
    return out_of_inference_mode(padding)


def check_documents(padding: Tensor | None) -> None:
    """Check that no document holds nothing but padding.

    Raises:
        IdsError: one does; the message has its row.
    """
    if padding is None or padding.ndim < 2 or not bool(padding.any()):
        return
    empty = padding.flatten(1).all(1)
    if bool(empty.any()):
        raise IdsError(
            f"Row {int(empty.nonzero()[0])} of the ids holds nothing but padding; leave empty "
            f"documents out."
        )


def select_output(output: Any, key: int | str | None) -> Any:
    """Return the part of a model's output that holds the scores; None is the whole.

    Raises:
        OutputError: there is no such part.
    """
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
            f"part with the scores.",
            option="output",
            got=key,
        ) from None


def check_scores(output: Any, documents: int | None, *, probabilities: bool) -> Tensor:
    """Check the scores of a model, and return them as `[B, C]`.

    `[B]` is taken for one class, and `[]` or `[C]` of one document for its row, as `squeeze()`
    returns it.

    Args:
        output: what the model returned.
        documents: B, or None if the shape of the ids does not determine it.
        probabilities: whether the model's last step is known to be a softmax or sigmoid.

    Raises:
        OutputError: it is no float tensor of scores.
        ProbabilityError: it holds probabilities.
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
    if scores.ndim == 1 and scores.dtype.is_floating_point and documents == scores.shape[0]:
        scores = scores.unsqueeze(1)
    elif scores.ndim < 2 and scores.dtype.is_floating_point and documents == 1:
        scores = scores.reshape(1, -1)
    if (
        scores.ndim != 2
        or not scores.dtype.is_floating_point
        or 0 in scores.shape
        or (documents is not None and scores.shape[0] != documents)
    ):
        batch = "B" if documents is None else str(documents)
        raise OutputError(
            f"The model returned {_describe(output)}; expected a float tensor of scores "
            f"[{batch}, C], a row for each document. (A model that takes ids [T, B] needs a module "
            f"around it that takes [B, T] and hands on their transpose.)"
        )
    if probabilities:
        raise ProbabilityError(
            "The model returns probabilities, or what it computes in its last steps by a softmax, "
            "sigmoid, log-softmax, logsigmoid, exponential, norm or standard deviation; relevance "
            "starts from scores. Return what goes into that step."
        )
    if not scores.requires_grad:
        refuse_no_embedding()
    if not all_finite(scores):
        raise NonFiniteError(
            "A score is NaN or infinite; look for overflowing weights or a softmax over nothing."
        )
    return scores


def refuse_no_embedding() -> NoReturn:
    """Refuse a model with scores that depend on no embedding of the ids."""
    raise NoEmbeddingError(
        "The scores do not depend on any embedding of the ids that can be followed: no "
        "nn.Embedding or F.embedding read them, or what came of them was detached, or computed "
        "elsewhere in between (in NumPy, a list, another thread or scripted code). Look the "
        "vectors up with nn.Embedding (counts of words times a matrix w are F.embedding_bag(ids, "
        "w, mode='sum')), or hand the vectors [B, T, D] in instead of the ids."
    )


def resolve_contrast(target: Target, scores: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return class indices `[B]` of the target and, for a pair, of the class it is compared with.

    Raises:
        TargetError: see `resolve_target`; or a pair does not hold two different classes, with the
            code "same_class" and, as `got`, the classes of both sides, `[B]` each.
    """
    if not isinstance(target, tuple):
        return resolve_target(target, scores), None
    if len(target) != 2:
        raise TargetError(
            f"Got a tuple of {len(target)} as the target; a pair asks why one class rather than "
            f"another. For a class for each document hand in a list or a tensor [B]."
        )
    sides = [resolve_target(one, scores) for one in target]
    if sides[0] is None or sides[1] is None:
        raise TargetError("Got 'all' in a pair of targets; expected two classes.")
    same = sides[0] == sides[1]
    if bool(same.any()):
        raise TargetError(
            f"Both targets are class {int(sides[0][same][0])} for document "
            f"{int(same.nonzero()[0])}, and a class differs from itself by nothing; leave that "
            f"document out, or compare with another class.",
            option="target",
            got=(sides[0], sides[1]),
            code="same_class",
        )
    return sides[0], sides[1]


def resolve_target(target: One, scores: Tensor) -> Tensor | None:
    """Return class indices `[B]`, int64, or None for `"all"`.

    Raises:
        TargetError: out of range, negative, of the wrong shape, or a name that is not known here.
    """
    batch, classes = scores.shape
    if isinstance(target, str):
        if target == "all":
            return None
        if target == "predicted":
            return scores.detach().argmax(1)
        raise TargetError(
            f"Got target {target!r}; a model knows classes by number only: 0 to {classes - 1}, "
            f"'predicted' or 'all'. Names of classes are known to a seqlrp.TextClassifier."
        )
    target = _without_numpy(target)
    if isinstance(target, bool) or not isinstance(target, (int, Tensor)):
        raise TargetError(
            f"Got target {target!r} of type {type(target).__name__}; expected an int from 0 to "
            f"{classes - 1}, a tensor [B], 'predicted' or 'all'."
        )
    if isinstance(target, int):
        if not 0 <= target < classes:
            raise _range_error(target, classes)
        return torch.full((batch,), target, device=scores.device)
    if target.dtype not in (torch.int64, torch.int32) or tuple(target.shape) != (batch,):
        raise TargetError(
            f"Got a target tensor of dtype {target.dtype} and shape {list(target.shape)}; expected "
            f"int64 of shape [{batch}]."
        )
    target = target.to(scores.device, torch.int64, copy=True)
    wrong = (target < 0) | (target >= classes)
    if bool(wrong.any()):
        raise _range_error(int(target[wrong][0]), classes)
    return target


def _without_numpy(target: Any) -> Any:
    """Return a target with an integer of NumPy or of a tensor `[]` as int, others as a tensor."""
    several = isinstance(target, list) and all(
        isinstance(one, (int, np.integer)) and not isinstance(one, bool) for one in target
    )
    if several or isinstance(target, (np.ndarray, np.generic)):
        with suppress(TypeError, ValueError, RuntimeError):  # no numbers, or too large ones
            target = torch.tensor(target)
    if isinstance(target, Tensor) and target.ndim == 0 and target.dtype in _INTEGERS:
        return int(target)
    return target


def select_scores(scores: Tensor, target: Tensor | None, against: Tensor | None) -> list[Tensor]:
    """Return the explained scores, `[B]` each: of all classes, of one, or a difference of two."""
    if target is None:
        return list(scores.unbind(1))
    chosen = _scores_of(target, scores)
    return [chosen if against is None else chosen - _scores_of(against, scores)]


def _scores_of(classes: Tensor, scores: Tensor) -> Tensor:
    """Return the score of one class for each document, `[B]`."""
    if classes.shape[0] == 1:  # `gather` costs more, and more than that in a backward pass
        return scores.select(1, int(classes))
    return scores.gather(1, classes.unsqueeze(1)).squeeze(1)


def _range_error(target: int, classes: int) -> TargetError:
    return TargetError(
        f"Got target {target}; the model has {classes} class{'es' if classes > 1 else ''}, "
        f"numbered 0 to {classes - 1}.",
        option="target",
        got=target,
    )


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        return f"a tensor of shape {list(output.shape)} and dtype {output.dtype}"
    if isinstance(output, (tuple, list)):
        return f"a {type(output).__name__} of {len(output)}"
    if isinstance(output, dict):
        return f"a {type(output).__name__} with {', '.join(map(repr, output))}"
    return f"a {type(output).__name__}"
