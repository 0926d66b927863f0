"""torch.profiler says which op ran, forward and backward, once for each call."""

from __future__ import annotations

import torch
from torch.profiler import ProfilerActivity, profile

from tests.tooling.matcher import OPS, gradients_of, matcher, needs_kernels, pictures

pytestmark = needs_kernels


def calls(recorded: profile) -> dict[str, int]:
    ours = (event for event in recorded.key_averages() if event.key.startswith("tryon_kernels::"))
    return {event.key.removeprefix("tryon_kernels::"): event.count for event in ours}


def test_forward_and_backward_ops_have_their_names() -> None:
    network = matcher()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
        gradients_of(network, network(*pictures(2, 8, 10)))
    assert calls(recorded) == {f"{op}{suffix}": 1 for op in OPS for suffix in ("", "_backward")}
    shapes = {event.key: event.input_shapes for event in recorded.key_averages(group_by_input_shape=True)}
    assert shapes["tryon_kernels::warp"][:2] == [[2, 8, 8, 10], [2, 2, 8, 10]]


def test_names_are_there_without_gradients_too() -> None:
    with torch.inference_mode(), profile(activities=[ProfilerActivity.CPU]) as recorded:
        matcher()(*pictures(2, 8, 10))
    assert calls(recorded) == dict.fromkeys(OPS, 1)
