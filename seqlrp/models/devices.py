"""The device that a name stands for."""

from __future__ import annotations

import torch

from seqlrp.errors import OptionError, near

_KNOWN = ("auto", "cpu", "cuda")


def resolve_device(name: str | torch.device) -> torch.device:
    """The device for "cpu", "cuda", "cuda:1" or "auto", which is CUDA where there is a GPU.

    Raises:
        OptionError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in _KNOWN:
        raise OptionError(
            advice=near(str(name), _KNOWN), option="device", got=str(name), known=_KNOWN
        )
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise OptionError(
                f"There is no {str(device)!r}: torch finds {count} CUDA devices here.",
                "Use 'auto' or 'cpu'.",
                option="device",
                got=str(device),
            )
    return device
