from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import (
    BACKENDS,
    COMPILED,
    CPU,
    DEVICE,
    DTYPES,
    LAYOUTS,
    SIMULATED,
    Case,
    assert_within_rounding,
    features,
    flow_to,
    generator,
    grid_to,
    in_turn,
    output_gradient,
    positions,
    run,
    sample_inputs,
    with_dtype,
)
from torch import Tensor

import tryon_kernels as tk
from tryon_kernels import eager


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("case", "dtype"), in_turn(sample_inputs(), DTYPES), ids=str)
def test_values_and_gradients_are_the_references_within_rounding(case: Case, dtype: torch.dtype, backend: str) -> None:
    case = with_dtype(case, dtype)
    grad_output = case.output_gradient()
    with tk.use_backend(backend):
        result = run(case.public, case.tensors, grad_output)
    assert result.output.dtype == dtype
    assert_within_rounding(case, result, grad_output)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", sample_inputs(), ids=str)
def test_memory_layout_changes_nothing(case: Case, dtype: torch.dtype, layout: str) -> None:
    case = with_dtype(case, dtype).mapped(LAYOUTS[layout])
    grad_output = LAYOUTS[layout](case.output_gradient())
    with tk.use_backend(COMPILED):
        result = run(case.public, case.tensors, grad_output)
    assert_within_rounding(case, result, grad_output)


def test_the_reference_of_maps_without_channels_is_0() -> None:
    nothing = torch.zeros(1, 0, 3, 4)
    assert torch.equal(eager.correlation(nothing, nothing, 1, 1, 0.1, True), torch.zeros(1, 9, 3, 4))


def whole_numbers(*shape: int, seed: int) -> Tensor:
    """-1, 0 and 1, whose sums of products are exact in every dtype, and often 0."""
    return torch.randint(-1, 2, shape, generator=generator(seed)).double()


def whole_case(op: str, shape: tuple[int, int, int, int], radius: int, slope: float) -> Case:
    """A volume with many numbers that are exactly 0; its grid has 2^k + 1 pixels' centres without rounding."""
    first, second = (whole_numbers(*shape, seed=seed) for seed in (0, 1))
    name = "x".join(map(str, shape))
    if op == "correlation":
        return Case(op, name, (first, second), (radius, 1, slope, True))
    x, y = (torch.linspace(-1, 1, size, dtype=torch.float64) for size in (shape[3], shape[2]))
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).expand(shape[0], -1, -1, -1)
    return Case(op, name, (first, second, grid), (radius, slope, "border", True))


WHOLE = [
    whole_case(op, *case)
    for op in ("correlation", "warp_correlation")
    for case in (((1, 4, 3, 5), 1, 0.25), ((2, 32, 5, 17), 3, 2.0))
]


@pytest.mark.parametrize("case", WHOLE, ids=str)
def test_the_reference_is_leaky_relu_of_the_volume_where_that_is_exactly_0_too(case: Case) -> None:
    place = {"correlation": 2, "warp_correlation": 1}[case.op]
    plain = replace(case, options=(*case.options[:place], None, *case.options[place + 1 :]))
    result = run(case.reference, case.tensors, device=CPU)
    expected = run(
        lambda *tensors: F.leaky_relu(plain.reference(*tensors), case.negative_slope), case.tensors, device=CPU
    )
    torch.testing.assert_close(result.output, expected.output)
    torch.testing.assert_close(result.gradients, expected.gradients)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", [case for case in WHOLE if not (SIMULATED and case.is_large())], ids=str)
def test_where_a_volume_is_exactly_0_its_gradient_takes_the_negative_slope(
    case: Case, dtype: torch.dtype, layout: str, backend: str
) -> None:
    case = with_dtype(case, dtype)
    grad_output = output_gradient(case.reference(*case.tensors))
    with tk.use_backend(backend):
        result = run(case.public, case.mapped(LAYOUTS[layout]).tensors, LAYOUTS[layout](grad_output))
    assert (result.output == 0).double().mean() > 0.1
    assert_within_rounding(case, result, grad_output)


@pytest.mark.skipif(SIMULATED, reason="neighbours are read together by the CPU kernels only")
@pytest.mark.parametrize(("across", "down"), [(0, 0), (3, 0), (1, 1), (3, 3), (15, 15)])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_smooth_flow_whose_taps_are_read_together(dtype: torch.dtype, layout: str, across: int, down: int) -> None:
    size = (40, 70)
    y, x = torch.meshgrid(*(torch.arange(length, dtype=torch.float64) for length in size), indexing="ij")
    smooth = torch.stack([x + across * (x / 9).sin() - 2, y + down * (x / 11).cos() + 1])
    at = (smooth.floor() + 0.1 + 0.8 * smooth.frac().abs())[None]  # away from whole numbers
    case = with_dtype(Case("warp", "smooth", (features(1, 3, *size), flow_to(at)), ("zeros",)), dtype)
    case = case.mapped(LAYOUTS[layout])
    grad_output = LAYOUTS[layout](case.output_gradient())
    assert_within_rounding(case, run(case.public, case.tensors, grad_output), grad_output)


@pytest.mark.parametrize("case", sample_inputs("grid_sample"), ids=str)
def test_grid_sample_is_torchs(case: Case) -> None:
    padding_mode, align_corners = case.options
    mine = run(case.public, case.tensors)

    def of_torch(image: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(image, grid, "bilinear", padding_mode, align_corners)

    torchs = run(of_torch, case.tensors, device=CPU)  # torch has no deterministic gradient of it on a GPU
    torch.testing.assert_close(mine.output, torchs.output)
    torch.testing.assert_close(mine.gradients, torchs.gradients)


@pytest.mark.parametrize(
    ("mode", "padding_mode", "dimensions"),
    [("nearest", "border", 4), ("bicubic", "zeros", 4), ("bilinear", "reflection", 4), ("bilinear", "zeros", 5)],
)
def test_what_grid_sample_leaves_to_torch_is_torchs(mode: str, padding_mode: str, dimensions: int) -> None:
    sizes = (5, 6, 4)[: dimensions - 2]
    image, grid = features(2, 3, *sizes).float(), features(2, *sizes, dimensions - 2).float()
    expected = F.grid_sample(image, grid, mode, padding_mode, align_corners=False)
    assert torch.equal(tk.grid_sample(image, grid, mode, padding_mode), expected)


def test_grid_sample_does_not_align_corners_unless_asked() -> None:
    image, grid = features(1, 2, 4, 5).to(DEVICE), features(1, 3, 3, 2).to(DEVICE)
    assert torch.equal(tk.grid_sample(image, grid), tk.grid_sample(image, grid, align_corners=False))


@pytest.mark.parametrize("padding_mode", ["border", "zeros"])
def test_a_warp_is_a_grid_sample_at_the_pixels_it_points_to(padding_mode: str) -> None:
    image, at = features(2, 3, 6, 5), positions(2, 4, 7, (6, 5))
    warped = tk.warp(image.to(DEVICE), flow_to(at).to(DEVICE), padding_mode=padding_mode).cpu()
    sampled = F.grid_sample(image, grid_to(at, (6, 5), True), "bilinear", padding_mode, True)
    torch.testing.assert_close(warped, sampled)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_whole_pixel_flow_moves_pixels(backend: str) -> None:
    image = features(1, 2, 4, 6).float()
    flow = torch.zeros(1, 2, 4, 6)
    flow[:, 0], flow[:, 1] = 2, -1
    with tk.use_backend(backend):
        warped = tk.warp(image.to(DEVICE), flow.to(DEVICE), padding_mode="zeros").cpu()
    rounding = 64 * torch.finfo(torch.float32).eps if backend == "stock" else 0  # which normalises positions
    torch.testing.assert_close(warped[:, :, 1:, :4], image[:, :, :3, 2:], rtol=0, atol=rounding)
    assert not warped[:, :, 0].any()
    assert not warped[:, :, :, 4:].any()


@pytest.mark.parametrize("case", sample_inputs("correlation"), ids=str)
def test_the_correlation_reference_is_its_definition_written_out(case: Case) -> None:
    first, second = case.tensors
    radius, stride, negative_slope, mean = case.options
    count, _, height, width = first.shape
    output = eager.correlation(first, second, *case.options)
    for n in range(count):
        for y in range(0, height, stride):
            for x in range(0, width, stride):
                channel = 0
                for v in range(y - radius * stride, y + radius * stride + 1, stride):
                    for u in range(x - radius * stride, x + radius * stride + 1, stride):
                        inside = 0 <= v < height and 0 <= u < width
                        value = (first[n, :, y, x] @ second[n, :, v, u]).item() if inside else 0.0
                        value /= first.shape[1] if mean else 1
                        if negative_slope is not None and value < 0:
                            value *= negative_slope
                        assert output[n, channel, y // stride, x // stride].item() == pytest.approx(
                            value, abs=1e-15 * case.volume_scale
                        )
                        channel += 1
        assert output.shape[1:] == (channel, -(-height // stride), -(-width // stride))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", sample_inputs("warp_correlation"), ids=str)
def test_warp_correlation_is_the_correlation_of_the_warped_to_the_last_bit(
    case: Case, dtype: torch.dtype, layout: str
) -> None:
    def separate(first: Tensor, second: Tensor, grid: Tensor) -> Tensor:
        radius, negative_slope, padding_mode, align_corners = case.options
        warped = tk.grid_sample(first, grid, "bilinear", padding_mode, align_corners)
        return tk.correlation(warped, second, radius=radius, negative_slope=negative_slope)

    case = with_dtype(case, dtype).mapped(LAYOUTS[layout])
    with tk.use_backend(COMPILED):
        fused, composed = run(case.public, case.tensors), run(separate, case.tensors)
    assert torch.equal(fused.output, composed.output)
    assert torch.equal(fused.gradients[1], composed.gradients[1])
    # Sums over channels and over samples may go in another order.
    torch.testing.assert_close(fused.gradients[0], composed.gradients[0])
    torch.testing.assert_close(fused.gradients[2], composed.gradients[2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_every_half_is_read_and_written_unchanged(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).view(-1, 1, 1, 1)
    warped = tk.warp(every.to(DEVICE), torch.zeros(every.shape[0], 2, 1, 1, device=DEVICE)).cpu()
    torch.testing.assert_close(warped, every, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_results_are_rounded_to_the_nearest_half_as_torch_rounds(dtype: torch.dtype) -> None:
    spread = torch.logspace(-9, 4.9, 2000, dtype=torch.float64)
    first = torch.cat([spread, -spread, torch.tensor([torch.inf, torch.nan], dtype=torch.float64)]).to(dtype)
    second = features(first.numel()).to(dtype)
    pair = (tensor.view(1, 1, 1, -1).to(DEVICE) for tensor in (first, second))
    product = tk.correlation(*pair, radius=0).flatten().cpu()
    expected = (first.float() * second.float()).to(dtype)
    torch.testing.assert_close(product, expected, rtol=0, atol=0, equal_nan=True)
