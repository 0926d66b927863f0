"""PF-AFN's published checkpoints: their names for the layers of our networks, and the conversion.

Facts of the published files: plain state dicts, keys prefixed with `module.` when saved from DataParallel, and with
`_orig_mod.` when saved from torch.compile; training checkpoints of a warping network may hold the smoothness stencils
under `aflow_net.weight`. What tells tutor and student apart is the channels of the condition.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from tryon.conversion.state_dict import check_state_dict
from tryon.errors import InputError
from tryon.networks import Generator, WarpNetwork
from tryon.networks.generator import GENERATOR_CHANNELS

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "tutor_warp": lambda: WarpNetwork(condition_channels=45),
    "tutor_generator": lambda: Generator(in_channels=8),
    "student_warp": lambda: WarpNetwork(condition_channels=3),
    "student_generator": lambda: Generator(in_channels=7),
}
"""The published networks by kind."""

WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
"""What DataParallel and torch.compile put before the keys of what they wrap, and one another."""

SMOOTHNESS_STENCILS = "aflow_net.weight"

ROLE_OF_CONDITION = {3: "student", 45: "tutor"}
"""Role by the channels of the warping network's condition."""

_CONDITION_CONVOLUTION = "cond_features.encoders.0.0.block.2.weight"

_WARP_PREFIXES = {
    "garment_encoder": "image_features.encoders",
    "condition_encoder": "cond_features.encoders",
    "garment_pyramid.lateral": "image_FPN.adaptive",
    "garment_pyramid.smooth": "image_FPN.smooth",
    "condition_pyramid.lateral": "cond_FPN.adaptive",
    "condition_pyramid.smooth": "cond_FPN.smooth",
    "flow.correlation": "aflow_net.netMain",
    "flow.refinement": "aflow_net.netRefine",
}
_INNERMOST = len(GENERATOR_CHANNELS) - 1
_OUTERMOST_CHILD, _INNER_CHILD = "4.model.", "5.model."  # where a published U-Net step holds the next deeper one


def key_table(kind: str) -> dict[str, str]:
    """Published key to ours, for every parameter and buffer of the network `kind` (a key of `NETWORKS`)."""
    return {_published_key(key): key for key in _network(kind).state_dict()}


def convert_state_dict(state: Mapping[str, Tensor], kind: str, source: str = "checkpoint") -> dict[str, Tensor]:
    """A published state dict under our keys, ready for the network `kind`'s `load_state_dict`.

    The tensors are copies, contiguous and of the network's dtypes. Raises InputError, naming `source` and the first
    keys that are missing, unknown, misshapen, or hold numbers that are not finite.
    """
    state = _without_prefix(state)
    ours = _network(kind).state_dict()
    table = key_table(kind)
    shapes = {published: ours[key].shape for published, key in table.items()}
    check_state_dict(state, shapes, source, ignored=[SMOOTHNESS_STENCILS])
    converted = {key: _copy(state[published], ours[key].dtype) for published, key in table.items()}
    lost = [published for published, key in table.items() if not converted[key].isfinite().all()]
    if lost:
        more = f" (and {len(lost) - 1} more)" if len(lost) > 1 else ""
        raise InputError(f"{source}: {lost[0]} holds numbers that are not finite{more}, wanted trained weights")
    return converted


def published_role(warp_state: Mapping[str, Tensor], source: str = "checkpoint") -> str:
    """Tell from a published warping network whose it is: "tutor" or "student".

    A state dict without the telling layer is no warping network: it counts as a student's, so that `convert_state_dict`
    says what is missing. Raises InputError, naming `source`, for a condition of any other channels.
    """
    weight = _without_prefix(warp_state).get(_CONDITION_CONVOLUTION)
    if weight is None or weight.ndim != 4:
        return "student"
    channels = weight.shape[1]
    if channels not in ROLE_OF_CONDITION:
        wanted = " or ".join(f"{count} ({role})" for count, role in ROLE_OF_CONDITION.items())
        raise InputError(f"{source}: found a condition of {channels} channels, wanted {wanted}")
    return ROLE_OF_CONDITION[channels]


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {WRAPPERS.sub("", key): value for key, value in state.items()}


def _copy(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Memory of its own: a file's tensors may share theirs, which safetensors refuses to write."""
    return tensor.detach().to(dtype, copy=True, memory_format=torch.contiguous_format)


def _network(kind: str) -> nn.Module:
    if kind not in NETWORKS:
        raise InputError(f"network kind: found {kind!r}, wanted one of {', '.join(NETWORKS)}")
    with torch.device("meta"):
        return NETWORKS[kind]()


def _published_key(key: str) -> str:
    """The published name of one of our keys, of either network."""
    if match := re.fullmatch(r"(down|up)\.(\d)\.(\d)\.(.+)", key):
        part, step, position, rest = match.groups()
        published = _published_down if part == "down" else _published_up
        return published(int(step), int(position)) + "." + rest.replace("body", "block")
    prefix = next(prefix for prefix in _WARP_PREFIXES if key.startswith(prefix))
    rest = key.removeprefix(prefix + ".")
    if prefix.endswith("encoder"):
        rest = _published_encoder_block(rest)
    return f"{_WARP_PREFIXES[prefix]}.{rest}"


def _published_encoder_block(rest: str) -> str:
    """A stage here is one sequence: three layers that halve the size, then two blocks. There it is three blocks."""
    stage, position, rest = rest.split(".", 2)
    if int(position) < 3:
        return f"{stage}.0.block.{position}.{rest}"
    return f"{stage}.{int(position) - 2}.{rest.replace('body', 'block')}"


def _published_step(depth: int) -> str:
    """The published U-Net is nested: every step holds the deeper ones between its own way down and up."""
    return "model.model." + (_OUTERMOST_CHILD + (depth - 1) * _INNER_CHILD if depth else "")


def _published_down(depth: int, position: int) -> str:
    return f"{_published_step(depth)}{position}"


def _published_up(step: int, position: int) -> str:
    """Our way up starts at the innermost step; the published positions go on after the way down and the child."""
    depth = _INNERMOST - step
    layers_before = {0: 5, _INNERMOST: 4}.get(depth, 6)
    return f"{_published_step(depth)}{position + layers_before}"
