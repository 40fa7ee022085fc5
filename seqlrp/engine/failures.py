"""What it means that a model fails while it is watched: an error that says what to do."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from seqlrp.engine.batches import ran_out_of_memory
from seqlrp.engine.modules import modules_of
from seqlrp.errors import ModelError, NoEmbeddingError, RefusedFunctionError, SeqlrpError

HOOKED = (
    "The model uses checkpointing or other saved-tensor hooks, which compute again where relevance "
    "cannot follow; switch them off for explaining."
)


def failure_of(
    model: nn.Module, inputs: Tensor, arguments: tuple[Any, ...], error: Exception
) -> Exception:
    """Return the error to raise where a model has failed; the given one if the fault is its own.

    A model that runs by itself must not end in an error from within torch. Whether it does is
    tried, so that such a failure costs one more forward pass.
    """
    if isinstance(error, SeqlrpError) or ran_out_of_memory(error):  # a smaller batch may do
        return error
    if isinstance(error, RuntimeError) and HOOKED in str(error):
        return RefusedFunctionError(HOOKED)
    hooked = _with_backward_hook(model)
    if isinstance(error, RuntimeError) and "backward hooks" in str(error) and hooked is not None:
        return RefusedFunctionError(
            f"Module '{hooked}' has a backward hook (register_full_backward_hook), which takes its "
            f"output out of what can be followed. Remove the hook for explaining (its handle has "
            f"remove()).",
            module=hooked,
        )
    cause = error.__cause__ or error.__context__
    if isinstance(error, SystemError) and isinstance(cause, ModelError):
        return cause  # C code of torch lost the error raised in it
    if isinstance(error, TypeError):
        missing = missing_argument_error(model, (inputs, *arguments))
        if missing is not None:
            return missing
    try:
        with torch.enable_grad():
            model(inputs, *arguments)
    except Exception:
        return _without_embedding(model, inputs, error) or error
    return ModelError(
        f"{type(model).__name__} runs by itself, but not while its torch functions are watched: "
        f"{type(error).__name__}: {error}. It may call a part of torch that compiles, or that "
        f"takes no tensors with a graph; write that step with plain torch functions, or explain "
        f"the part of the model after it by handing its vectors [B, T, D] in.",
        code="fails_when_watched",
    )


def _with_backward_hook(model: nn.Module) -> str | None:
    """Return the name of a module with a backward hook, or None."""
    hooked = (
        name for name, m in model.named_modules() if m._backward_hooks or m._backward_pre_hooks
    )
    return next(hooked, None)


def missing_argument_error(model: nn.Module, arguments: tuple[Any, ...]) -> ModelError | None:
    """Return the error if the model's `forward` does not accept the arguments, else None."""
    try:
        inspect.signature(model.forward).bind(*arguments)
    except TypeError as error:
        return ModelError(
            f"{type(model).__qualname__}.forward() got {len(arguments)} "
            f"argument{'s' * (len(arguments) != 1)}: {error}. Say what the model takes after its "
            f"input: additional_forward_args= of an attribution, or in a seqlrp.TextClassifier "
            f"additional='lengths', 'mask', or a function of ids and mask; None if it takes ids "
            f"alone.",
            option="additional_forward_args",
            code="missing_argument",
        )
    except ValueError:  # a forward without a signature
        pass
    return None


def _without_embedding(
    model: nn.Module, inputs: Tensor, error: Exception
) -> NoEmbeddingError | None:
    """Return the error if ids were handed to a model that has no embedding to look them up."""
    tables = (nn.Embedding, nn.EmbeddingBag)
    if inputs.dtype.is_floating_point or any(isinstance(m, tables) for m in modules_of(model)):
        return None
    return NoEmbeddingError(
        f"Got ids of shape {list(inputs.shape)} for {type(model).__name__}, which fails on them "
        f"({type(error).__name__}: {error}) and has no nn.Embedding that looks up their vectors. "
        f"Hand in the vectors instead, [B, T, D] or features [B, D], of a floating dtype; or put "
        f"the embedding and the rest into one model."
    )
