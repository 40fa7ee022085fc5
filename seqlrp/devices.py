"""Which device a name stands for."""

from __future__ import annotations

import torch

from seqlrp.errors import OptionError, near


def resolve_device(name: str | torch.device) -> torch.device:
    """Give the device for "cpu", "cuda", "cuda:1" or "auto", which is CUDA where there is one.

    Raises:
        OptionError: there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        known = ("auto", "cpu", "cuda")
        raise OptionError(f"Unknown device {str(name)!r}. {near(str(name), known)}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise OptionError(
                f"Got the device {str(device)!r}, but torch finds {count} CUDA devices here; "
                "use 'auto' or 'cpu'."
            )
    return device
