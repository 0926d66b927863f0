"""PF-AFN's published checkpoints: their names for the layers of our networks, and the conversion.

Facts of the published files: plain state dicts, keys prefixed with `module.` when saved from DataParallel; training
checkpoints of a warping network may hold the smoothness stencils under `aflow_net.weight`.
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

DATA_PARALLEL_PREFIX = "module."
SMOOTHNESS_STENCILS = "aflow_net.weight"

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

    Raises InputError, naming `source`, for the first key that is missing, unknown or misshapen.
    """
    state = {key.removeprefix(DATA_PARALLEL_PREFIX): value for key, value in state.items()}
    ours = {key: value.shape for key, value in _network(kind).state_dict().items()}
    table = key_table(kind)
    shapes = {published: ours[key] for published, key in table.items()}
    check_state_dict(state, shapes, source, ignored=[SMOOTHNESS_STENCILS])
    return {key: state[published] for published, key in table.items()}


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
