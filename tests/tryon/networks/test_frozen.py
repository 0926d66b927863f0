"""Frozen networks: the values of the networks that they were, and no gradient without a word."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tryon.data.sample import Garment, Person
from tryon.models import Student
from tryon.networks import frozen
from tryon.networks.frozen import freeze

# What eight bits of every feature amount to in a picture of a random network, in [-1, 1]: a few of its 256 grey levels.
LOWERED_TOLERANCE = 6 / 127.5


@pytest.fixture(scope="module")
def student() -> Student:
    """Of a width at which channels fill no vector, with statistics as training leaves them."""
    torch.manual_seed(0)
    model = Student(width=3 / 16, generator=True).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.3, 0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.3, 0.3)
    return model


def inputs(height: int, width: int, dtype: torch.dtype = torch.float32) -> tuple[Person, Garment]:
    generator = torch.Generator().manual_seed(height * width)
    photo, garment = (torch.rand(2, 3, height, width, dtype=dtype, generator=generator) * 2 - 1 for _ in range(2))
    return Person(photo, None, None, None), Garment(garment, (garment[:, :1] > 0).to(dtype))


@torch.no_grad()
def image(model: Student, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return model(*inputs(height, width, dtype)).image


@pytest.mark.parametrize(("height", "width"), [(64, 64), (96, 64), (70, 50)])
def test_values_are_those_of_the_network_it_was_to_rounding(student: Student, height: int, width: int) -> None:
    """Both are compared with float64: a frozen network is about as far from it as the one it was."""
    exact = image(deepcopy(student).double(), height, width, torch.float64)
    rounding = (image(student, height, width) - exact).abs().max()
    frozen = deepcopy(student)
    freeze(frozen)
    assert (image(frozen, height, width) - exact).abs().max() <= 8 * rounding


def test_on_a_cpu_that_does_not_multiply_its_dtype_it_has_torchs_own_layout(
    student: Student, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "_multiplied_by_onednn", lambda dtype: dtype == torch.float32)
    model = deepcopy(student)
    freeze(model, torch.bfloat16)
    assert not any(isinstance(module, frozen._PackedConvolution) for module in model.modules())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (image(model, 96, 64) - image(student, 96, 64)).abs().max() < LOWERED_TOLERANCE


def test_in_bfloat16_they_are_as_near_as_autocasts(student: Student) -> None:
    exact = image(student, 96, 64)
    frozen = deepcopy(student)
    freeze(frozen, torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        lowered, lowest = image(student, 96, 64), image(frozen, 96, 64)
    assert 0 < (lowered - exact).abs().mean() < LOWERED_TOLERANCE
    assert (lowest - exact).abs().mean() <= 2 * (lowered - exact).abs().mean()


def test_no_batch_norm_is_left_behind_a_convolution_and_no_activation(student: Student) -> None:
    frozen = deepcopy(student)
    freeze(frozen)
    for module in frozen.modules():
        if isinstance(module, nn.Sequential):
            kinds = [type(layer).__name__ for layer in module if not isinstance(layer, nn.Identity)]
            followed = {after for before, after in pairwise(kinds) if "Convolution" in before}
            assert not followed & {"BatchNorm2d", "ReLU", "LeakyReLU"}
    assert not any(isinstance(module, nn.Conv2d) for module in frozen.modules())


def test_a_gradient_is_refused(student: Student) -> None:
    frozen = deepcopy(student)
    freeze(frozen)
    person, garment = inputs(64, 64)
    person.photo.requires_grad_()
    with pytest.raises(RuntimeError, match="want a gradient"):
        frozen(person, garment)


def test_in_float64_only_batch_norms_go(student: Student) -> None:
    """As on devices that oneDNN does not serve."""
    exact = deepcopy(student).double()
    expected = image(exact, 64, 64, torch.float64)
    freeze(exact)
    torch.testing.assert_close(image(exact, 64, 64, torch.float64), expected, rtol=0, atol=1e-9)
    assert any(isinstance(module, nn.Conv2d) for module in exact.modules())


@pytest.mark.parametrize("change", [nn.Module.double, nn.Module.cpu, nn.Module.state_dict])
def test_it_cannot_be_moved_lowered_or_saved_without_a_word(
    student: Student, change: Callable[[nn.Module], object]
) -> None:
    """Its weights, in a layout that torch does not know of, would be left behind."""
    frozen = deepcopy(student)
    freeze(frozen)
    with pytest.raises(RuntimeError, match="frozen network"):
        change(frozen)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_relu_is_computed_with_its_convolution_where_cudnn_is(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU cuDNN itself, elsewhere a stand-in for its op; another activation stays where it is."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    device, calls = "cuda", list[Tensor]()
    if not torch.cuda.is_available():
        device = "cpu"

        def stand_in(features: Tensor, weight: Tensor, bias: Tensor | None, *places: Any) -> Tensor:
            calls.append(features)
            return torch.conv2d(features, weight, bias, *places).relu()

        monkeypatch.setattr(torch.ops.aten, "cudnn_convolution_relu", stand_in, raising=False)
        monkeypatch.setattr(frozen, "_laid_out_by_onednn", lambda _: False)
        monkeypatch.setattr(frozen, "_run_by_cudnn", lambda _: True)
    torch.manual_seed(0)
    network = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)),
        *(nn.Conv2d(8, 8, 3, stride=2, bias=False), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.LeakyReLU(0.1)),
    )
    network.eval().to(device)
    features = torch.rand(2, 3, 9, 7, device=device)
    with torch.no_grad(), torch.autocast(device, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
        expected = network(features)
        names = {name.rpartition(".")[2] for name in network.state_dict()} & {"weight", "bias"}
        freeze(network, dtype)
        actual = network(features)
    assert {name.rpartition(".")[2] for name in network.state_dict()} == names
    assert [type(layer).__name__ for layer in network] == [
        *("_ConvolutionWithReLU", "_ConvolutionWithReLU", "Conv2d", "LeakyReLU")
    ]
    # Three convolutions whose sums round in another order, of values below 1.
    torch.testing.assert_close(actual.float(), expected.float(), rtol=0, atol=8 * torch.finfo(dtype).eps)
    with pytest.raises(RuntimeError, match="found some that want a gradient"):
        network(features.requires_grad_())
    assert device == "cuda" or len(calls) == 2
