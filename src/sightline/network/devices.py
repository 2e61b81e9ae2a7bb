"""Which device a name stands for, and whether this machine has it."""

import torch

from ..errors import BadField

_NAMES = "auto, cpu, cuda, cuda:1 or mps"


def usable_device(name: str | torch.device) -> torch.device:
    """The device of that name; `auto` is the fastest that is there.

    Raises: BadField for a name that means none, and for a device that this machine does not offer.

    >>> usable_device("cpu")
    device(type='cpu')
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next((n for n, found in there.items() if found), "cpu"))
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise BadField(f"no device named {name!r}; expected {_NAMES}.") from None
    if device.type not in ("cpu", *there):
        raise BadField(f"no device named '{device}'; expected {_NAMES}.")
    if not there.get(device.type, True) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        offered = ", ".join(["cpu", *(n for n, found in there.items() if found)])
        raise BadField(
            f"this machine offers no {device}; expected one of its own: {offered}. `auto` takes the"
            " fastest that is there."
        )
    return device
