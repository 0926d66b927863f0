"""`feature_distance` beside torch's ReLU and `l1_loss`, on the levels of a perceptual loss of 256 x 192 photos."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import tryon_kernels as tk
from benchmarks.inputs import CPU_DTYPES, DTYPES, PASSES
from benchmarks.timing import time_in_turns

LEVELS = ((64, 256, 192), (256, 64, 48))  # C x H x W of two of VGG-19's
BATCH = 4
SECONDS = 1.0

Distance = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def of_torch(features: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """What it replaces."""
    activated = F.relu(features)
    return activated, F.l1_loss(activated, target)


def run(form: Distance, features: Tensor, target: Tensor, along: Tensor, passes: str) -> tuple[Tensor, ...]:
    """What a form gives: both results, and with gradients that of the features."""
    if passes == "forward":
        with torch.no_grad():
            return form(features, target)
    leaf = features.detach().requires_grad_()
    activated, distance = form(leaf, target)
    (gradient,) = torch.autograd.grad((activated, distance), leaf, (along, torch.ones_like(distance)))
    return activated.detach(), distance.detach(), gradient


@pytest.mark.parametrize("passes", PASSES)
@pytest.mark.parametrize("level", LEVELS, ids=str)
@pytest.mark.parametrize("dtype", CPU_DTYPES)
def test_a_distance_of_features_is_torchs_and_quicker(dtype: str, level: tuple[int, ...], passes: str) -> None:
    """Values are compared before anything is timed."""
    drawn = (torch.randn(BATCH, *level, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
    features, target, along = (t.to(DTYPES[dtype], memory_format=torch.channels_last) for t in drawn)
    forms = {"ours": tk.feature_distance, "stock": of_torch}
    made, expected = (run(form, features, target, along, passes) for form in forms.values())
    for result, wanted in zip(made, expected, strict=True):
        torch.testing.assert_close(result, wanted, check_dtype=False, rtol=torch.finfo(DTYPES[dtype]).eps, atol=1e-5)
    calls = {name: lambda form=form: run(form, features, target, along, passes) for name, form in forms.items()}
    calls["clone"] = features.clone
    seconds = {name: timing.seconds for name, timing in time_in_turns(calls, SECONDS).items()}
    ours, stock, clone = (seconds[name] for name in ("ours", "stock", "clone"))
    print(f"{1e3 * ours:.3g} ms, {ours / clone:.2f} x torch.clone; torch's takes {stock / ours:.2f} x as long")
    assert ours < stock
