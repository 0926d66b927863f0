"""torch.utils.checkpoint: gradients by computing again are those of what was kept."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from tests.tooling.matcher import OPS, gradients_of, matcher, needs_kernels, pictures


class RanOps(TorchDispatchMode):
    """Notes the ops that run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func._opname)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("op", OPS)
def test_checkpointing_gives_the_same_gradients(op: str) -> None:
    network, inputs = matcher([op]), pictures(2, 8, 10)
    expected = gradients_of(network, network(*inputs))
    again = gradients_of(network, checkpoint(network, *inputs, use_reentrant=False))
    assert again.keys() == expected.keys()
    assert all(torch.equal(again[name], expected[name]) for name in expected)


@needs_kernels
def test_a_policy_can_keep_volumes_and_compute_the_rest_again() -> None:
    network, inputs = matcher(["warp", "correlation"]), pictures(2, 8, 10)

    def policy(context: Any, op: Any, *_: Any, **__: Any) -> CheckpointPolicy:
        kept = op is torch.ops.tryon_kernels.correlation.default
        return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

    expected = gradients_of(network, network(*inputs))
    contexts = partial(create_selective_checkpoint_contexts, policy)
    with RanOps() as ran:
        again = gradients_of(network, checkpoint(network, *inputs, use_reentrant=False, context_fn=contexts))
    assert all(torch.equal(again[name], expected[name]) for name in expected)
    assert (ran.names.count("correlation"), ran.names.count("warp")) == (1, 2)
