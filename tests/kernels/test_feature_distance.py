"""`feature_distance` beside torch's ReLU and `l1_loss`, in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import (
    BACKENDS,
    COMPILED,
    CPU_LIBRARY,
    DEVICE,
    DTYPES,
    LAYOUTS,
    Numbers,
    features,
    to_device,
)
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import tryon_kernels as tk
from tryon_kernels.availability import INTERPRETED

Distance = Callable[..., tuple[Tensor, Tensor]]

# One number; fewer than a vector; many of them and some more; more than the kernels sum at a time.
SHAPES: tuple[tuple[int, ...], ...] = ((), (3,), (2, 3, 5, 7), (1, 5, 3, 2, 11), (0, 4, 5, 5), (2, 40, 23, 31))
LAYOUTS_OF_PAIRS = (
    *((name, name) for name in LAYOUTS),
    ("contiguous", "channels_last"),
    ("channels_last", "contiguous"),
    ("channels_last slice", "transposed"),
)
WEIGHT = 3.0  # of the distance in a loss


def of_torch(features: Tensor, target: Tensor, relu: bool = True) -> tuple[Tensor, Tensor]:
    activated = F.relu(features) if relu else features
    return activated, F.l1_loss(activated, target)


def pair(*shape: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Features and a target, equal in every tenth number."""
    first, second = features(*shape).to(dtype), features(*shape, seed=1).relu().to(dtype)
    return first, torch.where(torch.arange(first.numel()).view(shape) % 10 == 0, first.relu(), second)


def gradients(function: Distance, tensors: tuple[Tensor, ...], along: Tensor, relu: bool) -> list[Tensor]:
    """activated, distance, and the gradients of both tensors, of a loss of both results."""
    leaves = [to_device(tensor.detach()).requires_grad_() for tensor in tensors]
    activated, distance = function(*leaves, relu=relu)
    of_both = to_device(along).to(activated.dtype), torch.full_like(distance, WEIGHT)
    made = torch.autograd.grad((activated, distance), leaves, of_both)
    return [activated.detach(), distance.detach(), *made]


def gradient_along(tensors: tuple[Tensor, ...]) -> Tensor:
    return features(*tensors[0].shape, seed=2).to(tensors[0].dtype)


def assert_as_in_float64(tensors: tuple[Tensor, ...], relu: bool = True) -> None:
    """A sum of n numbers of one sign is off by the depth of the sum, here at most 100; what is stored is rounded."""
    dtype, along = tensors[0].dtype, gradient_along(tensors)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    step, info = torch.finfo(wide).eps, torch.finfo(dtype)
    expected = gradients(of_torch, Numbers.of(tensors).tensors, along, relu)
    activated, distance, *made = (tensor.cpu() for tensor in gradients(tk.feature_distance, tensors, along, relu))
    assert [tensor.dtype for tensor in (activated, distance, *made)] == [dtype, wide, dtype, dtype]
    assert torch.equal(activated.double(), expected[0].cpu())
    torch.testing.assert_close(distance.double(), expected[1].cpu(), rtol=100 * step, atol=0, equal_nan=True)
    rounded = info.eps if INTERPRETED else info.eps / 2  # Triton's interpreter cuts digits of bfloat16 off
    # A number's share of the weight is rounded, and its sum with the other gradient is. Where autograd adds them up, as
    # without ReLU, the share is stored before.
    off = 2 * step * (1 + WEIGHT) + rounded * WEIGHT / max(along.numel(), 1) + info.smallest_normal * info.eps
    for gradient, wanted in zip(made, expected[2:], strict=True):
        torch.testing.assert_close(gradient.double(), wanted.cpu(), rtol=rounded, atol=off)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_values_and_gradients_are_the_references(backend: str, dtype: torch.dtype, relu: bool) -> None:
    with tk.use_backend(backend):
        for shape in SHAPES:
            assert_as_in_float64(pair(*shape, dtype=dtype), relu)


@pytest.mark.parametrize("layouts", LAYOUTS_OF_PAIRS, ids=" and ".join)
@pytest.mark.parametrize("backend", BACKENDS)
def test_features_and_target_may_lie_in_memory_as_they_like(backend: str, layouts: tuple[str, str]) -> None:
    first, second = (LAYOUTS[name](tensor) for name, tensor in zip(layouts, pair(2, 5, 4, 6), strict=True))
    with tk.use_backend(backend):
        for dtype in (torch.float32, torch.bfloat16):
            assert_as_in_float64((first.to(dtype), second.to(dtype)))
        assert_as_in_float64((first[0, 0, :1].expand(3, 6), second[0, :3, 1]))
        assert_as_in_float64((first.flatten()[1:], second.flatten()[1:]))  # at an odd address
        activated, _ = tk.feature_distance(to_device(first), to_device(second))
    assert activated.stride() == torch.empty_like(first).stride()


@pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_results_are_the_same_bits_for_any_number_of_threads(dtype: torch.dtype) -> None:
    tensors, before, results = pair(2, 40, 23, 31, dtype=dtype), torch.get_num_threads(), []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            results.append(gradients(tk.feature_distance, tensors, gradient_along(tensors), True))
    finally:
        torch.set_num_threads(before)
    assert all(all(map(torch.equal, result, results[0])) for result in results[1:])


@pytest.mark.parametrize("weight", [WEIGHT, None], ids=["with a distance", "without"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_not_a_number_stays_one_and_has_torchs_derivatives(backend: str, weight: float | None) -> None:
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 1.0, -1.0])
    tensors = tuple(tensor.repeat(3) for tensor in torch.cartesian_prod(special, special).T)
    leaves = [[to_device(tensor).clone().requires_grad_() for tensor in tensors] for _ in range(2)]
    with tk.use_backend(backend):
        made, expected = tk.feature_distance(*leaves[0]), of_torch(*leaves[1])
        for (activated, distance), of in ((made, leaves[0]), (expected, leaves[1])):
            (activated.sum() + (0 if weight is None else weight * distance)).backward()
            if weight is None:
                assert of[1].grad is None or not of[1].grad.any()
    torch.testing.assert_close(made, expected, equal_nan=True)
    torch.testing.assert_close(leaves[0][0].grad, leaves[1][0].grad, equal_nan=True)
    if weight is not None:
        torch.testing.assert_close(leaves[0][1].grad, leaves[1][1].grad, equal_nan=True)


@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("backend", BACKENDS)
def test_gradients_of_every_order_and_mode_are_derivatives(backend: str, relu: bool) -> None:
    first, second = pair(2, 3, 4)
    leaves = tuple(to_device(tensor).requires_grad_() for tensor in (first, second + 0.01))  # nowhere equal

    def loss(first: Tensor, second: Tensor) -> Tensor:
        activated, distance = tk.feature_distance(first, second, relu=relu)
        return activated.square().sum() * distance.square()

    with tk.use_backend(backend):
        assert torch.autograd.gradcheck(loss, leaves, fast_mode=True)
        assert torch.autograd.gradgradcheck(loss, leaves, fast_mode=True)
        outputs = tk.feature_distance(*leaves, relu=relu)
        along = tuple(features(*output.shape, seed=3).to(output) for output in outputs)
        expected = torch.autograd.grad(outputs, leaves, along, retain_graph=True)
        with forward_ad.dual_level():  # gradients are linear in those of the outputs
            duals = [forward_ad.make_dual(tensor, tensor) for tensor in along]
            made = torch.autograd.grad(outputs, leaves, duals)
            tangents = [forward_ad.unpack_dual(gradient).tangent for gradient in made]
    torch.testing.assert_close(tangents, list(expected))


@pytest.mark.parametrize(("layout", "relu"), [("contiguous", True), ("channels_last slice", False)])
def test_the_ops_keep_torchs_rules(layout: str, relu: bool) -> None:
    pair_of_constants = [to_device(LAYOUTS[layout](tensor)) for tensor in pair(2, 3, 4, 5)]
    ops = torch.ops.tryon_kernels
    leaves = [tensor.detach().requires_grad_() for tensor in pair_of_constants]
    torch.library.opcheck(ops.feature_distance.default, (*leaves, relu))
    activated, distance = ops.feature_distance(*pair_of_constants, relu)
    kept, target = activated if relu else pair_of_constants[0], pair_of_constants[1]
    for given in ((kept, None), (None, distance), (kept, distance)):
        arguments = (*given, kept, target, relu, True, given[0] is None)
        torch.library.opcheck(ops.feature_distance_backward.default, arguments)
    with FakeTensorMode() as mode:
        fakes = ops.feature_distance(*map(mode.from_tensor, pair_of_constants), relu)
    for fake, made in zip(fakes, (activated, distance), strict=True):
        assert (fake.shape, fake.stride(), fake.dtype) == (made.shape, made.stride(), made.dtype)


@pytest.mark.parametrize("needed", [0, 1])
def test_only_the_gradient_asked_for_is_made(needed: int) -> None:
    tensors = pair(2, 3, 4, 5)
    along = gradient_along(tensors)
    among_both = gradients(tk.feature_distance, tensors, along, True)[2 + needed]
    leaves = [to_device(tensor).requires_grad_(i == needed) for i, tensor in enumerate(tensors)]
    activated, distance = tk.feature_distance(*leaves)
    along = to_device(along)
    made = torch.autograd.grad((activated, distance), leaves[needed], (along, torch.full_like(distance, WEIGHT)))
    assert torch.equal(made[0], among_both)
    wanted = (needed == 0, needed == 1)
    both = torch.ops.tryon_kernels.feature_distance_backward(
        along, distance.detach(), activated, *leaves[1:], True, *wanted
    )
    assert [gradient.numel() > 0 for gradient in both] == [*wanted]


class Arguments(TorchDispatchMode):
    """What the backward op is called with."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[bool, bool]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.tryon_kernels.feature_distance_backward.default:
            self.given.append((args[0] is not None, args[1] is not None))
        return func(*args, **(kwargs or {}))


def test_a_gradient_that_there_is_not_is_not_read() -> None:
    first, second = (to_device(tensor).requires_grad_() for tensor in pair(2, 3))
    with Arguments() as arguments:
        for used in ((0,), (1,), (0, 1)):
            outputs = tk.feature_distance(first, second)
            sum(outputs[index].sum() for index in used).backward()
    assert arguments.given == [(True, False), (False, True), (True, True)]


def test_the_features_are_freed_after_relu_and_returned_without() -> None:
    first, second = map(to_device, pair(2, 3, 4, 5))
    activated, distance = tk.feature_distance(first.requires_grad_() * 1, second)
    kept = [tensor.data_ptr() for tensor in distance.grad_fn.saved_tensors]
    assert kept == [activated.data_ptr(), second.data_ptr()]
    assert tk.feature_distance(first, second, relu=False)[0] is first


@pytest.mark.parametrize("backend", BACKENDS)
def test_under_autocast_the_target_is_taken_to_the_features_dtype(backend: str) -> None:
    first, second = (to_device(tensor.float()) for tensor in pair(2, 3, 4, 5))
    with tk.use_backend(backend):
        for dtype in (torch.float32, torch.bfloat16):
            expected = tk.feature_distance(first.to(dtype), second.to(dtype))
            with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
                made = tk.feature_distance(first.to(dtype), second)
                direct = torch.ops.tryon_kernels.feature_distance(first.to(dtype), second, True)
            assert all(map(torch.equal, made, expected))
            assert torch.equal(made[0], direct[0])


def test_torch_compile_takes_it_whole() -> None:
    def function(first: Tensor, second: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
        activated, distance = tk.feature_distance(first * 2, second, relu=relu)
        return activated * 2, distance

    tensors = pair(2, 3, 4, 5)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    plain, traced = (gradients(form, tensors, gradient_along(tensors), True) for form in (function, compiled))
    torch.testing.assert_close(traced, plain)


REFUSED: dict[str, tuple[Callable[[Tensor], object], type[Exception], str]] = {
    "unequal shapes": (
        lambda tensor: tk.feature_distance(tensor, tensor[0]),
        ValueError,
        "target: got shape 3 x 4, expected that of features, 2 x 3 x 4",
    ),
    "unequal dtypes": (
        lambda tensor: tk.feature_distance(tensor, tensor.half()),
        TypeError,
        "target: got torch.float16, expected that of features, torch.float32",
    ),
    "whole numbers": (
        lambda tensor: tk.feature_distance(tensor.long(), tensor),
        TypeError,
        "features: got torch.int64",
    ),
    "elsewhere": (
        lambda tensor: tk.feature_distance(tensor, tensor.to("meta")),
        ValueError,
        "target: is on meta, expected the device of features",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_it_cannot_take_is_refused_with_what_it_wants(what: str) -> None:
    call, error, message = REFUSED[what]
    with pytest.raises(error, match=message):
        call(torch.zeros(2, 3, 4, device=DEVICE))


REFUSED_BY_OPS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "unequal shapes": (
        lambda tensor: torch.ops.tryon_kernels.feature_distance(tensor, tensor[0], True),
        "target: got shape 3 x 4, expected",
    ),
    "a gradient of another shape": (
        lambda tensor: torch.ops.tryon_kernels.feature_distance_backward(
            tensor[0], None, tensor, tensor, True, True, True
        ),
        "grad_activated: got shape 3 x 4, expected",
    ),
    "a gradient for each number's distance": (
        lambda tensor: torch.ops.tryon_kernels.feature_distance_backward(
            None, tensor, tensor, tensor, True, True, True
        ),
        "grad_distance: got",
    ),
}


@pytest.mark.parametrize("what", REFUSED_BY_OPS)
def test_the_ops_refuse_what_would_be_read_beyond_its_end(what: str) -> None:
    call, message = REFUSED_BY_OPS[what]
    with pytest.raises((ValueError, RuntimeError), match=message):
        call(torch.zeros(2, 3, 4, device=DEVICE))
