from __future__ import annotations

import pytest
import torch
from kernel_inputs import (
    BACKENDS,
    COMPILED,
    DEVICE,
    DTYPES,
    LAYOUTS,
    OPS,
    Case,
    between_orders,
    features,
    run,
    sample_inputs,
    to_device,
    with_dtype,
)
from torch import Tensor
from torch._subclasses import FakeTensorMode

import tryon_kernels as tk
from tryon_kernels import stock

# Those whose repetition would test nothing new in a slow check: one case an op is enough for each of its branches.
CHOSEN = [case for case in sample_inputs() if case.tensors[0].numel() <= 2 * 16 * 9 * 8][::2]


GRADIENTS = [(op, index) for op in OPS for index in range(3 if op == "warp_correlation" else 2)]


def backward_arguments(case: Case, needed: tuple[bool, ...]) -> tuple[object, ...]:
    tensors = case.mapped(to_device).tensors
    output = case.overload()(*tensors, *case.options)
    grad_output = features(*output.shape, seed=5).to(output)
    signs = (None if case.negative_slope is None else output,) if "correlation" in case.op else ()
    return (grad_output, *tensors, *signs, *case.options, *needed)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_the_op_keeps_torchs_rules(case: Case, layout: str) -> None:
    case = case.mapped(LAYOUTS[layout]).mapped(to_device)
    arguments = tuple(tensor.detach().requires_grad_() for tensor in case.tensors)
    torch.library.opcheck(case.overload(), (*arguments, *case.options))


@pytest.mark.parametrize("unneeded", [None, 0, 1])
@pytest.mark.parametrize("case", CHOSEN[::2], ids=str)
def test_the_backward_op_keeps_torchs_rules(case: Case, unneeded: int | None) -> None:
    backward = getattr(torch.ops.tryon_kernels, f"{case.op}_backward").default
    needed = tuple(index != unneeded for index in range(len(case.tensors)))
    torch.library.opcheck(backward, backward_arguments(case, needed))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("op", OPS)
def test_outputs_keep_the_memory_format_and_the_fake_op_foretells_it(op: str, layout: str, dtype: torch.dtype) -> None:
    case = with_dtype(sample_inputs(op)[0], dtype).mapped(LAYOUTS[layout]).mapped(to_device)
    output = case.overload()(*case.tensors, *case.options)
    with tk.use_backend("eager"):
        eagerly = case.public(*case.tensors)
    with FakeTensorMode() as mode:
        fake = case.overload()(*map(mode.from_tensor, case.tensors), *case.options)
    wanted = torch.channels_last if "channels_last" in layout else torch.contiguous_format
    of_stock = stock.implementation(op)(*case.tensors, *case.options)
    for result in (output, eagerly, of_stock, fake):
        assert result.is_contiguous(memory_format=wanted)
    assert (fake.shape, fake.stride(), fake.dtype) == (output.shape, output.stride(), output.dtype)


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 1, 4, 5)], ids=str)
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_image_that_is_both_contiguous_and_channels_last_counts_as_contiguous(
    backend: str, shape: tuple[int, ...]
) -> None:
    with tk.use_backend(backend):
        warped = tk.warp(torch.rand(shape, device=DEVICE), torch.zeros(2, 2, 4, 5, device=DEVICE))
    assert warped.is_contiguous()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CHOSEN, ids=str)
def test_gradients_are_derivatives(case: Case, backend: str) -> None:
    leaves = tuple(to_device(tensor).detach().requires_grad_() for tensor in case.tensors)
    with tk.use_backend(backend):
        outputs = case.public(*leaves).numel()
        # Each output adds to four terms at most; gradcheck draws their gradients with a norm of 1.
        tolerance = between_orders(backend, terms=4 * outputs, size=outputs**0.5)
        assert torch.autograd.gradcheck(case.public, leaves, fast_mode=True, nondet_tol=tolerance)


@pytest.mark.parametrize("case", CHOSEN[::2], ids=str)
def test_second_gradients_are_derivatives(case: Case) -> None:
    leaves = tuple(to_device(tensor).detach().requires_grad_() for tensor in case.tensors)
    with tk.use_backend(COMPILED):
        assert torch.autograd.gradgradcheck(case.public, leaves, fast_mode=True)


@pytest.mark.parametrize(("op", "index"), GRADIENTS)
def test_second_gradients_of_one_tensor_are_derivatives(op: str, index: int) -> None:
    case = sample_inputs(op)[0]
    leaves = [to_device(tensor).detach().requires_grad_(i == index) for i, tensor in enumerate(case.tensors)]
    with tk.use_backend(COMPILED):
        assert torch.autograd.gradgradcheck(case.public, leaves, fast_mode=True)


@pytest.mark.parametrize(("op", "index"), GRADIENTS)
def test_only_the_gradients_asked_for_are_made(op: str, index: int) -> None:
    case = sample_inputs(op)[0]
    among_all = run(case.public, case.tensors).gradients[index]
    leaves = [to_device(tensor).detach().requires_grad_(i == index) for i, tensor in enumerate(case.tensors)]
    output = case.public(*leaves)
    output.backward(features(*output.shape, seed=7).to(DEVICE))
    assert torch.equal(leaves[index].grad.cpu(), among_all)
    needed = tuple(i == index for i in range(len(leaves)))
    made = getattr(torch.ops.tryon_kernels, f"{op}_backward")(*backward_arguments(case, needed))
    for i in set(range(len(leaves))) - {index}:
        assert leaves[i].grad is None
        assert made[i].numel() == 0


@pytest.mark.parametrize("op", OPS)
def test_torch_compile_takes_it_whole(op: str) -> None:
    case = with_dtype(sample_inputs(op)[0], torch.float32)

    def function(*tensors: Tensor) -> Tensor:
        return case.public(*(tensor * 2 for tensor in tensors)).square()

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    plain, traced = run(function, case.tensors), run(compiled, case.tensors)
    torch.testing.assert_close(traced.output, plain.output)
    torch.testing.assert_close(traced.gradients, plain.gradients)


@pytest.mark.parametrize("op", OPS)
def test_autocast_lowers_features_to_be_correlated_and_leaves_positions_and_images(op: str) -> None:
    case = with_dtype(sample_inputs(op)[0], torch.float32).mapped(to_device)
    lowered = with_dtype(case, torch.bfloat16).tensors
    for backend in BACKENDS:
        with tk.use_backend(backend), torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            output = case.public(*case.tensors)
        if "correlation" in op:
            assert torch.equal(output, case.public(*lowered))
        else:
            with tk.use_backend(backend):
                assert torch.equal(output, case.public(*case.tensors))
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        direct = case.overload()(*case.tensors, *case.options)
    torch.testing.assert_close(direct, output)


@pytest.mark.parametrize("op", ["correlation", "warp_correlation"])
def test_autocast_leaves_float64_alone(op: str) -> None:
    case = sample_inputs(op)[0].mapped(to_device)
    for backend in BACKENDS:
        with tk.use_backend(backend), torch.autocast(DEVICE.type, dtype=torch.bfloat16):
            output = case.public(*case.tensors)
        with tk.use_backend(backend):
            assert torch.equal(output, case.public(*case.tensors))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_low_positions_are_raised_also_by_an_op_under_autocast(dtype: torch.dtype) -> None:
    image, flow = features(1, 3, 4, 5).float().to(DEVICE), features(1, 2, 4, 5).to(dtype).to(DEVICE)
    with torch.autocast(DEVICE.type, dtype=torch.bfloat16):
        warped = torch.ops.tryon_kernels.warp(image, flow, "border")
    assert torch.equal(warped, tk.warp(image, flow.float()))
    for backend in BACKENDS:
        with tk.use_backend(backend):
            assert torch.equal(tk.warp(image, flow), tk.warp(image, flow.float()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_low_features_keep_their_positions_in_float32(backend: str) -> None:
    ramp = (
        torch.arange(512, device=DEVICE).view(1, 1, 1, 512).bfloat16()
    )  # whole numbers to 256, then even ones, are exact
    flow = torch.zeros(1, 2, 1, 512, device=DEVICE)
    flow[:, 0] = 1 / 512  # lost if 200 + 1 / 512 were kept in bfloat16
    flow.requires_grad_()
    with tk.use_backend(backend):
        tk.warp(ramp, flow).sum().backward()
        moved = tk.warp(ramp.expand(1, 1, 1, 512), flow * 256)
    assert flow.grad.dtype == torch.float32
    assert torch.equal(moved[0, 0, 0, :100].cpu(), (torch.arange(100) + 0.5).bfloat16())
