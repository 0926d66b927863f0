import numpy as np
import pytest

from tryon.data.synthetic.raster import Raster


def sheet(left: float, top: float, right: float, bottom: float, rows: int = 2, columns: int = 2) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(left, right, columns), np.linspace(top, bottom, rows))
    return np.stack([x, y], axis=2)


def wobble(grid: np.ndarray, amount: float, seed: int) -> np.ndarray:
    moved = grid.copy()
    moved[1:-1, 1:-1] += np.random.default_rng(seed).uniform(-amount, amount, moved[1:-1, 1:-1].shape)
    return moved


@pytest.mark.parametrize("supersample", [1, 3])
def test_a_sheet_covers_the_pixels_whose_centres_it_holds(supersample: int) -> None:
    raster = Raster([sheet(1.5, 2.5, 4.5, 6.5)], 10, 8, supersample)
    expected = np.zeros((10, 8), dtype=bool)
    expected[3:7, 2:5] = True
    np.testing.assert_array_equal(raster.at_centres(raster.triangle) >= 0, expected)
    assert (raster.triangle >= 0).sum() == expected.sum() * supersample**2


def test_no_sample_falls_between_the_triangles_of_a_deformed_sheet() -> None:
    grid = wobble(sheet(-1, -1, 40, 30, rows=12, columns=16), 1.0, seed=0)
    assert (Raster([grid], 30, 40, 3).triangle >= 0).all()


def test_the_last_sheet_lies_in_front() -> None:
    raster = Raster([sheet(-1, -1, 8, 8), sheet(1.5, 1.5, 5.5, 5.5)], 8, 8, 1)
    front = raster.sheet_of[raster.triangle] == 1
    assert front[2:6, 2:6].all()
    assert front.sum() == 16


def test_what_is_linear_on_the_vertices_is_linear_on_the_samples() -> None:
    grid = wobble(sheet(-1, -1, 20, 20, rows=6, columns=6), 1.0, seed=1)
    values = np.stack([2 * grid[..., 0] - grid[..., 1] + 3, grid[..., 1]], axis=2)
    raster = Raster([grid], 20, 20, 3)
    samples = np.flatnonzero(raster.triangle >= 0)
    y, x = (np.array(np.unravel_index(samples, raster.triangle.shape)) - 1) / 3
    found = raster.interpolate([values], samples)
    np.testing.assert_allclose(found, np.stack([2 * x - y + 3, y], axis=1), atol=1e-9)


def test_parts_outside_the_frame_are_cut_off() -> None:
    raster = Raster([sheet(-100, -100, -10, -10), sheet(-50, 3.5, 500, 5.5)], 8, 8, 1)
    expected = np.zeros((8, 8), dtype=bool)
    expected[4:6] = True
    np.testing.assert_array_equal(raster.triangle >= 0, expected)


def test_averages_are_over_the_samples_of_each_pixel() -> None:
    raster = Raster([sheet(0, 0, 1, 1)], 2, 2, 3)
    samples = np.arange(36, dtype=np.float32).reshape(6, 6, 1)
    expected = [[samples[:3, :3].mean(), samples[:3, 3:].mean()], [samples[3:, :3].mean(), samples[3:, 3:].mean()]]
    np.testing.assert_allclose(raster.average(samples)[..., 0], expected)
    np.testing.assert_array_equal(raster.pixel_of(np.array([0, 5, 17, 18, 35])), [0, 1, 1, 2, 3])
