from __future__ import annotations

from functools import partial
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from kernel_inputs import BACKENDS, COMPILED, DEVICE, LAYOUTS, features, in_turn, run, to_device

import tryon_kernels as tk

FAR = [torch.nan, torch.inf, -torch.inf, 1e30, -1e30, 3e9, -3e9]


def wild_flow(axis: int) -> torch.Tensor:
    """A flow of zeros but for one axis, whose first row holds everything that is far or no number."""
    flow = torch.zeros(1, 2, 3, len(FAR))
    flow[0, axis, 0] = torch.tensor(FAR)
    return flow


def edges(image: torch.Tensor, axis: int) -> torch.Tensor:
    """What a border-padded warp by `wild_flow` samples in its first row."""
    last = image.shape[3 - axis] - 1
    ends = torch.tensor([0 if value != value or value < 0 else last for value in FAR])
    columns = torch.arange(len(FAR))
    return image[0, :, 0, ends] if axis == 0 else image[0, :, ends, columns]


def assert_sampled(backend: str, sampled: torch.Tensor, expected: torch.Tensor) -> None:
    """To the last bit, but for stock torch: it normalises positions, which are then rounded four times."""
    rounding = 8 * max(sampled.shape[-1], 4) * torch.finfo(torch.float32).eps if backend == "stock" else 0
    torch.testing.assert_close(sampled, expected, rtol=0, atol=rounding)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("backend", BACKENDS)
def test_border_padding_takes_far_positions_to_the_edge_and_nan_to_the_first(
    backend: str, axis: int, layout: str
) -> None:
    image = LAYOUTS[layout](features(1, 5, 4, len(FAR)).float())
    with tk.use_backend(backend):
        result = run(lambda *tensors: tk.warp(*tensors, padding_mode="border"), (image, wild_flow(axis)))
    assert_sampled(backend, result.output[0, :, 0], edges(image, axis))
    assert result.gradients[0].isfinite().all()
    assert not result.gradients[1][0, axis, 0].any()
    assert result.gradients[1].isfinite().all()


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("backend", BACKENDS)
def test_zeros_padding_samples_nothing_there(backend: str, axis: int, layout: str) -> None:
    image = LAYOUTS[layout](features(1, 5, 4, len(FAR)).float())
    with tk.use_backend(backend):
        result = run(lambda *tensors: tk.warp(*tensors, padding_mode="zeros"), (image, wild_flow(axis)))
    assert not result.output[0, :, 0].any()
    assert_sampled(backend, result.output[0, :, 1:], image[0, :, 1:3])
    assert not result.gradients[1][0, :, 0].any()
    assert result.gradients[0].isfinite().all()
    assert result.gradients[1].isfinite().all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_grid_of_nan_gives_what_torch_gives_with_border_padding(backend: str) -> None:
    image = features(1, 2, 4, 16).float()
    grid = torch.full((1, 2, 16, 2), torch.nan)
    with tk.use_backend(backend):
        sampled = tk.grid_sample(image.to(DEVICE), grid.to(DEVICE), padding_mode="border", align_corners=True).cpu()
    assert torch.equal(sampled, F.grid_sample(image, grid, padding_mode="border", align_corners=True))
    assert torch.equal(sampled, image[:, :, :1, :1].expand_as(sampled))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("padding_mode", ["border", "zeros"])
def test_both_backends_agree_on_every_mixture_of_far_positions(padding_mode: str, dtype: torch.dtype) -> None:
    image = features(1, 3, 2, 3).to(dtype)
    values = torch.tensor([*FAR, -1.0, 0.0, 0.25, 1.5, 2.0, 3.0])
    pairs = torch.cartesian_prod(values, values).T.reshape(1, 2, 1, -1)
    flow = (pairs - torch.stack([torch.arange(pairs.shape[3]), torch.zeros(pairs.shape[3])]).view(1, 2, 1, -1)).to(
        torch.float64 if dtype == torch.float64 else torch.float32
    )
    results = []
    for backend in ("eager", COMPILED):
        with tk.use_backend(backend):
            results.append(run(lambda *tensors: tk.warp(*tensors, padding_mode=padding_mode), (image, flow)))
    eager, compiled = results
    torch.testing.assert_close(compiled.output, eager.output)
    torch.testing.assert_close(compiled.gradients[0], eager.gradients[0])
    torch.testing.assert_close(compiled.gradients[1], eager.gradients[1])


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tap_outside_brings_in_nothing_of_a_feature_that_is_no_number(backend: str, layout: str) -> None:
    image = torch.full((1, 4, 3, 3), torch.nan)
    image[:, :, 1] = 1
    flow = torch.zeros(1, 2, 1, 2)
    flow[0, 1] = torch.tensor([[-2.0, 5.0]])  # beyond the rows that hold NaN
    with tk.use_backend(backend):
        assert not tk.warp(to_device(LAYOUTS[layout](image)), flow.to(DEVICE), padding_mode="zeros").any()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backend", [backend for backend in BACKENDS if backend != "stock"])
def test_a_position_that_was_brought_in_has_no_gradient_whatever_the_features_are(backend: str, layout: str) -> None:
    image = torch.ones(1, 3, 4, 5)
    image[..., -1], image[..., -1, :] = torch.inf, torch.inf
    flow = torch.full((1, 2, 4, 5), 9.0)  # beyond the last column and row
    with tk.use_backend(backend):
        result = run(lambda *tensors: tk.warp(*tensors), (LAYOUTS[layout](image), flow))
    assert not result.gradients[1].any()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_correlation_spreads_nan_only_where_the_window_reaches(backend: str) -> None:
    first, second = features(1, 6, 7, 7).float(), features(1, 6, 7, 7, seed=2).float()
    second[0, 0, 3, 3] = torch.nan
    with tk.use_backend(backend):
        volume = tk.correlation(first.to(DEVICE), second.to(DEVICE), radius=1, negative_slope=0.1).cpu()
    touched = volume.isnan().any(1)[0]
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:5, 2:5] = True
    assert torch.equal(touched, expected)
    assert volume.isnan().sum() == 9


@pytest.mark.parametrize(
    ("axis", "padding_mode", "layout"), in_turn([0, 1], ["border", "zeros"], ["contiguous", "channels_last"])
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_warped_correlation_samples_far_positions_as_grid_sample_does(
    backend: str, axis: int, padding_mode: str, layout: str
) -> None:
    first, second = (LAYOUTS[layout](features(1, 5, 4, len(FAR), seed=seed).float()) for seed in (0, 1))
    grid = torch.zeros(1, 4, len(FAR), 2)
    grid[0, 0, :, axis] = torch.tensor(FAR)

    def separate(*tensors: torch.Tensor) -> torch.Tensor:
        warped = tk.grid_sample(tensors[0], tensors[2], "bilinear", padding_mode, True)
        return tk.correlation(warped, tensors[1], radius=1)

    with tk.use_backend(backend):
        fused = run(
            lambda *tensors: tk.warp_correlation(*tensors, radius=1, padding_mode=padding_mode), (first, second, grid)
        )
        composed = run(separate, (first, second, grid))
    assert fused.output.isfinite().all()
    assert not fused.gradients[2][0, 0, :, axis].any()
    # Stock torch's own sampled map is contiguous, and on a GPU torch adds the channels of each layout in another order:
    # sums of products of numbers in (-1, 1), each off by count * eps / 2 in the mean, which is rounded once more.
    rounding = (first.shape[1] + 1) * torch.finfo(torch.float32).eps if backend == "stock" else 0
    torch.testing.assert_close(fused.output, composed.output, rtol=0, atol=rounding)
    torch.testing.assert_close(fused.gradients, composed.gradients)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_warped_correlation_spreads_nan_only_where_a_tap_and_the_window_reach(backend: str, layout: str) -> None:
    first, second = (LAYOUTS[layout](features(1, 6, 7, 7, seed=seed).float()) for seed in (0, 1))
    first[0, 2, 3, 3] = torch.nan
    second[0, 0, 0, 0] = torch.inf
    y, x = torch.meshgrid(torch.arange(7), torch.arange(7), indexing="ij")
    grid = torch.stack([x + 0.5, y + 0.5], dim=-1)[None] / 3 - 1  # between pixels: four samples have it as a tap
    with tk.use_backend(backend):
        volume = tk.warp_correlation(*map(to_device, (first, second, grid)), radius=1).cpu()
    touched = ~volume.isfinite().all(1)[0]
    expected = torch.zeros(7, 7, dtype=torch.bool)
    expected[2:4, 2:4] = expected[:2, :2] = True
    assert torch.equal(touched, expected)


NOT_FINITE = list(
    product((torch.float32, torch.bfloat16), (torch.nan, torch.inf, -torch.inf), ("first", "second", "grad_output"))
)
VARIETIES = list(product((None, 0.1), ("contiguous", "channels_last")))


@pytest.mark.parametrize(
    ("dtype", "value", "place", "negative_slope", "layout"),
    [(*case, *variety) for case, variety in in_turn(NOT_FINITE, VARIETIES)],
    ids=str,
)
def test_a_correlations_gradients_spread_what_is_not_finite_only_where_the_window_reaches(
    dtype: torch.dtype, value: float, place: str, negative_slope: float | None, layout: str
) -> None:
    given = {name: features(1, 18, 5, 20, seed=seed).to(dtype) for seed, name in enumerate(("first", "second"))}
    given["grad_output"] = features(1, 9, 5, 20, seed=2).to(dtype)
    given[place][0, 2, 3, 11] = value
    maps = tuple(LAYOUTS[layout](given[name]) for name in ("first", "second"))
    results = []
    for backend in ("eager", COMPILED):
        with tk.use_backend(backend):
            correlation = partial(tk.correlation, radius=1, negative_slope=negative_slope)
            results.append(run(correlation, maps, given["grad_output"]))
    eager, compiled = results
    for mine, expected in zip(compiled.gradients, eager.gradients, strict=True):
        finite = expected.isfinite()
        assert torch.equal(mine.isfinite(), finite)
        torch.testing.assert_close(mine[~finite], expected[~finite], equal_nan=True)
        assert finite.any()
