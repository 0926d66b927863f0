"""Reading and checking state dicts that come from outside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from tryon.errors import InputError


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The named tensors of a `.safetensors` file or of a file written by `torch.save`, on the CPU.

    Only tensors are unpickled, never code. Raises InputError where the file is absent, damaged or holds anything else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; wanted weights as .safetensors or .pth")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in whatever way its bytes happen to
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: damaged, or not a file of weights ({reason})") from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: found {type(state).__name__}, wanted a plain state dict of named tensors")
    return dict(state)


def check_state_dict(
    state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], source: str, *, ignored: Iterable[str] = ()
) -> None:
    """Raise InputError, naming `source`, unless `state` has the keys of `shapes`, in those shapes, and no others.

    `ignored` keys may be there too. The first missing, unknown or misshapen key is named.
    """
    missing = next((key for key in shapes if key not in state), None)
    if missing is not None:
        raise InputError(f"{source}: {missing} is missing; wanted it with shape {tuple(shapes[missing])}")
    allowed = {*shapes, *ignored}
    unknown = next((key for key in state if key not in allowed), None)
    if unknown is not None:
        raise InputError(f"{source}: found {unknown}, which the network does not have")
    for key, shape in shapes.items():
        if state[key].shape != shape:
            raise InputError(f"{source}: {key} has shape {tuple(state[key].shape)}, wanted {tuple(shape)}")
