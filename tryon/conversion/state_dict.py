"""Reading and checking state dicts that come from outside."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from tryon.errors import InputError

WRAPPERS = ("state_dict", "model", "model_state_dict", "network", "net")
"""Where training checkpoints keep the state dict, beside the optimiser's state."""


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The named tensors of a `.safetensors` file or of a file written by `torch.save`, on the CPU.

    A training checkpoint that holds one state dict beside other things gives that one. Only tensors and plain
    containers are unpickled, never code. Raises InputError where the file is absent, damaged or holds anything else.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; wanted weights as .safetensors or .pth")
    try:
        content = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
    except pickle.UnpicklingError as error:
        # torch's own text advises to load without the protection.
        raise InputError(f"{path}: {_why_not_unpickled(str(error))}") from error
    except Exception as error:  # a damaged file fails in whatever way its bytes happen to
        reason = re.split(r"\n|\. ", str(error))[0] or type(error).__name__
        raise InputError(f"{path}: damaged, or not a file of weights ({reason})") from error
    return _unwrapped(content, path)


def check_state_dict(
    state: Mapping[str, Tensor], shapes: Mapping[str, torch.Size], source: str, *, ignored: Iterable[str] = ()
) -> None:
    """Raise InputError, naming `source`, unless `state` has the keys of `shapes`, in those shapes, and no others.

    `ignored` keys may be there too. The first missing, the first unknown and the first misshapen key are named.
    """
    allowed = {*shapes, *ignored}
    problems: dict[str, list[tuple[object, ...]]] = {
        "{} is missing, wanted with shape {}": [(key, tuple(shapes[key])) for key in shapes if key not in state],
        "found {}, which the network does not have": [(_printable(key),) for key in state if key not in allowed],
        "{} has shape {}, wanted {}": [
            (key, tuple(state[key].shape), tuple(shape))
            for key, shape in shapes.items()
            if key in state and state[key].shape != shape
        ],
    }
    found = [
        sentence.format(*cases[0]) + (f" (and {len(cases) - 1} more)" if len(cases) > 1 else "")
        for sentence, cases in problems.items()
        if cases
    ]
    if found:
        raise InputError(f"{source}: {'; '.join(found)}")


def _unpickled(path: Path) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pickle protocols; what is refused gets one line of ours
        return torch.load(path, map_location="cpu", weights_only=True)


def _why_not_unpickled(message: str) -> str:
    if match := re.search(r"GLOBAL ([\w.]+)", message):
        return f"refused: it asks for {match[1]}, wanted tensors and plain containers alone; nothing of it was run"
    return "damaged, or not a file of weights (not a pickle of tensors and plain containers)"


def _unwrapped(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict that `content` is, or the only one it holds under a name; of several, the one of `WRAPPERS`."""
    if (state := _state_dict(content)) is not None:
        return state
    parts = content.items() if isinstance(content, Mapping) else ()
    held = {str(name): state for name, part in parts if (state := _state_dict(part))}
    names = [name for name in held if len(held) == 1 or name in WRAPPERS]
    if len(names) == 1:
        return held[names[0]]
    found = f"{len(held)} state dicts ({', '.join(map(_printable, held))})" if held else type(content).__name__
    raise InputError(f"{path}: found {found}, wanted a state dict of named tensors, or a checkpoint that holds one")


def _state_dict(value: object) -> dict[str, Tensor] | None:
    """`value` where it is a mapping from names to tensors and to nothing else."""
    if isinstance(value, Mapping) and all(isinstance(k, str) and _is_plain_tensor(v) for k, v in value.items()):
        return dict(value)
    return None


def _printable(name: str) -> str:
    """A name from a file, which may hold anything, in one line."""
    return name if name.isprintable() else ascii(name)


def _is_plain_tensor(value: object) -> bool:
    """Real numbers, all of them stored: what a parameter or buffer of the networks can be filled with."""
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return False
    return not (value.is_complex() or value.is_quantized or value.is_meta)
