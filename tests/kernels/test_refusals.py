from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from kernel_inputs import BACKENDS, COMPILED, DEVICE
from torch import Tensor

import tryon_kernels as tk

IMAGE = torch.zeros(2, 3, 4, 5, device=DEVICE)
FLOW = torch.zeros(2, 2, 4, 5, device=DEVICE)
GRID = torch.zeros(2, 4, 5, 2, device=DEVICE)

# call, error, what its message says
REFUSED: dict[str, tuple[Callable[[], Tensor], type[Exception], str]] = {
    "flat image": (lambda: tk.warp(IMAGE[0], FLOW), ValueError, "input: got shape 3 x 4 x 5, expected N x C x H x W"),
    "image without rows": (
        lambda: tk.warp(IMAGE[:, :, :0], FLOW),
        ValueError,
        "input: got shape 2 x 3 x 0 x 5, expected a height and width of 1 or more",
    ),
    "flow of three": (
        lambda: tk.warp(IMAGE, IMAGE),
        ValueError,
        "flow: got shape 2 x 3 x 4 x 5, expected N x 2 x Ho x Wo",
    ),
    "flow for one": (lambda: tk.warp(IMAGE, FLOW[:1]), ValueError, "flow: got a batch of 1, expected that of input, 2"),
    "whole image": (lambda: tk.warp(IMAGE.long(), FLOW), TypeError, "input: got torch.int64, expected float16"),
    "whole flow": (lambda: tk.warp(IMAGE, FLOW.long()), TypeError, "flow: got torch.int64, expected torch.float32"),
    "fine flow": (lambda: tk.warp(IMAGE, FLOW.double()), TypeError, "flow: got torch.float64, expected torch.float32"),
    "coarse flow": (
        lambda: tk.warp(IMAGE.double(), FLOW),
        TypeError,
        "flow: got torch.float32, expected torch.float64",
    ),
    "flow elsewhere": (lambda: tk.warp(IMAGE, FLOW.to("meta")), ValueError, "flow: is on meta, expected the device"),
    "unknown padding": (
        lambda: tk.warp(IMAGE, FLOW, padding_mode="wrap"),
        ValueError,
        'padding_mode: got "wrap", expected "zeros" or "border"',
    ),
    "grid like a flow": (
        lambda: tk.grid_sample(IMAGE, FLOW),
        ValueError,
        "grid: got shape 2 x 2 x 4 x 5, expected N x Ho x Wo x 2",
    ),
    "grid for one": (
        lambda: tk.grid_sample(IMAGE, GRID[:1]),
        ValueError,
        "grid: got a batch of 1, expected that of input, 2",
    ),
    "image of three axes": (lambda: tk.grid_sample(IMAGE[0], GRID), ValueError, "input: got shape 3 x 4 x 5"),
    "unequal maps": (
        lambda: tk.correlation(IMAGE, FLOW),
        ValueError,
        "second: got shape 2 x 2 x 4 x 5, expected that of first, 2 x 3 x 4 x 5",
    ),
    "unequal dtypes": (lambda: tk.correlation(IMAGE, IMAGE.half()), TypeError, "second: got torch.float16, expected"),
    "second elsewhere": (lambda: tk.correlation(IMAGE, IMAGE.to("meta")), ValueError, "second: is on meta"),
    "negative radius": (
        lambda: tk.correlation(IMAGE, IMAGE, radius=-1),
        ValueError,
        "radius: got -1, expected 0 or more",
    ),
    "no stride": (lambda: tk.correlation(IMAGE, IMAGE, stride=0), ValueError, "stride: got 0, expected 1 or more"),
    "negative slope": (
        lambda: tk.correlation(IMAGE, IMAGE, negative_slope=-0.1),
        ValueError,
        "negative_slope: got -0.1, expected None or a number of 0 or more",
    ),
    "reduction": (
        lambda: tk.correlation(IMAGE, IMAGE, reduction="none"),
        ValueError,
        'reduction: got "none", expected "mean" or "sum"',
    ),
    "sampled image without columns": (
        lambda: tk.warp_correlation(IMAGE[..., :0], IMAGE, GRID),
        ValueError,
        "first: got shape 2 x 3 x 4 x 0, expected a height and width of 1 or more",
    ),
    "second of another size than the grid": (
        lambda: tk.warp_correlation(IMAGE, IMAGE, GRID[:, :3]),
        ValueError,
        "second: got shape 2 x 3 x 4 x 5, expected that of first sampled by grid, 2 x 3 x 3 x 5",
    ),
    "second of another dtype": (
        lambda: tk.warp_correlation(IMAGE, IMAGE.half(), GRID),
        TypeError,
        "second: got torch.float16, expected that of first, torch.float32",
    ),
    "fine grid": (
        lambda: tk.warp_correlation(IMAGE, IMAGE, GRID.double()),
        TypeError,
        "grid: got torch.float64, expected torch.float32 with torch.float32 first",
    ),
    "grid elsewhere": (
        lambda: tk.warp_correlation(IMAGE, IMAGE, GRID.to("meta")),
        ValueError,
        f"grid: is on meta, expected the device of first, {IMAGE.device}",
    ),
    "padding to be warped with": (
        lambda: tk.warp_correlation(IMAGE, IMAGE, GRID, padding_mode="wrap"),
        ValueError,
        'padding_mode: got "wrap", expected "zeros" or "border"',
    ),
    "negative radius of a warped window": (
        lambda: tk.warp_correlation(IMAGE, IMAGE, GRID, radius=-1),
        ValueError,
        "radius: got -1, expected 0 or more",
    ),
    "slope that is no number": (
        lambda: tk.warp_correlation(IMAGE, IMAGE, GRID, negative_slope=float("nan")),
        ValueError,
        "negative_slope: got nan, expected None or a number of 0 or more",
    ),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", REFUSED)
def test_a_wrong_argument_is_named_with_what_it_got_and_what_is_wanted(name: str, backend: str) -> None:
    call, error, message = REFUSED[name]
    with tk.use_backend(backend), pytest.raises(error) as raised:
        call()
    assert message in str(raised.value)


ops = torch.ops.tryon_kernels
DIRECT: dict[str, tuple[Callable[[], object], str]] = {
    "flat image": (lambda: ops.warp(IMAGE[0], FLOW, "border"), "input: got shape 3 x 4 x 5, expected N x C x H x W"),
    "no rows": (lambda: ops.warp(IMAGE[:, :, :0], FLOW, "border"), "input: got shape 2 x 3 x 0 x 5"),
    "whole image": (lambda: ops.warp(IMAGE.long(), FLOW, "border"), "input: got Long"),
    "flow": (lambda: ops.warp(IMAGE, IMAGE, "border"), "flow: got shape 2 x 3 x 4 x 5, expected N x 2 x Ho x Wo"),
    "batch": (lambda: ops.warp(IMAGE, FLOW[:1], "border"), "flow: got a batch of 1, expected that of input, 2"),
    "flow dtype": (lambda: ops.warp(IMAGE, FLOW.half(), "border"), "flow: got Half, expected Float"),
    "padding": (lambda: ops.warp(IMAGE, FLOW, "wrap"), 'padding_mode: got "wrap"'),
    "grid": (lambda: ops.grid_sample(IMAGE, FLOW, "zeros", True), "grid: got shape 2 x 2 x 4 x 5, expected N x Ho"),
    "grad_output": (
        lambda: ops.warp_backward(FLOW, IMAGE, FLOW, "border", True, True),
        "grad_output: got shape 2 x 2 x 4 x 5, expected 2 x 3 x 4 x 5",
    ),
    "second": (
        lambda: ops.correlation(IMAGE, FLOW, 3, 1, None, True),
        "second: got shape 2 x 2 x 4 x 5, expected 2 x 3",
    ),
    "second dtype": (
        lambda: ops.correlation(IMAGE, IMAGE.half(), 3, 1, None, True),
        "second: got Half, expected Float",
    ),
    "radius": (lambda: ops.correlation(IMAGE, IMAGE, -1, 1, None, True), "radius: got -1"),
    "stride": (lambda: ops.correlation(IMAGE, IMAGE, 1, 0, None, True), "stride: got 0"),
    "slope": (lambda: ops.correlation(IMAGE, IMAGE, 1, 1, -1.0, True), "negative_slope: got -1"),
    "volume": (
        lambda: ops.correlation_backward(IMAGE, IMAGE, IMAGE, None, 1, 1, None, True, True, True),
        "grad_output: got shape 2 x 3 x 4 x 5, expected 2 x 9 x 4 x 5",
    ),
    "output missing": (
        lambda: ops.correlation_backward(
            torch.zeros(2, 9, 4, 5, device=DEVICE), IMAGE, IMAGE, None, 1, 1, 0.1, True, True, True
        ),
        "output: expected exactly where there is a negative_slope",
    ),
    "warped image": (
        lambda: ops.warp_correlation(IMAGE[0], IMAGE, GRID, 3, None, "zeros", True),
        "first: got shape 3 x 4 x 5, expected N x C x H x W",
    ),
    "second for a smaller grid": (
        lambda: ops.warp_correlation(IMAGE, IMAGE, GRID[:, :3], 3, None, "zeros", True),
        "second: got shape 2 x 3 x 4 x 5, expected 2 x 3 x 3 x 5",
    ),
    "second for a warp of another dtype": (
        lambda: ops.warp_correlation(IMAGE, IMAGE.half(), GRID, 3, None, "zeros", True),
        "second: got Half, expected Float",
    ),
    "warped radius": (lambda: ops.warp_correlation(IMAGE, IMAGE, GRID, -1, None, "zeros", True), "radius: got -1"),
    "warped slope": (
        lambda: ops.warp_correlation(IMAGE, IMAGE, GRID, 1, -1.0, "zeros", True),
        "negative_slope: got -1",
    ),
    "warped volume": (
        lambda: ops.warp_correlation_backward(
            IMAGE, IMAGE, IMAGE, GRID, None, 1, None, "zeros", True, True, True, True
        ),
        "grad_output: got shape 2 x 3 x 4 x 5, expected 2 x 9 x 4 x 5",
    ),
    "warped output missing": (
        lambda: ops.warp_correlation_backward(
            torch.zeros(2, 9, 4, 5, device=DEVICE), IMAGE, IMAGE, GRID, None, 1, 0.1, "zeros", True, True, True, True
        ),
        "output: expected exactly where there is a negative_slope",
    ),
}


@pytest.mark.parametrize("name", DIRECT)
def test_the_compiled_op_called_alone_refuses_what_it_cannot_take(name: str) -> None:
    call, message = DIRECT[name]
    if COMPILED != "cpp" and "output missing" not in name:  # GPU ops' checks name the argument in other words
        message = message.split(":")[0] + ": got"
    with pytest.raises((RuntimeError, ValueError, TypeError)) as raised:
        call()
    assert message in str(raised.value)
