import math

import pytest
import torch
import torch.nn.functional as F

from benchmarks.plain import networks as plain
from benchmarks.plain.copies import copy_network
from tryon.conversion import key_table
from tryon.networks import WarpNetwork
from tryon.networks.blocks import pad_to
from tryon.networks.flow import AppearanceFlow, composed_map, cropped_map, flow_of_positions, map_of_offset, sample

LIVELY_WIDTH = 0.1
FLOAT64_ROUNDING = 1e-11  # a few hundred operations of 2^-53 on values of order 1 to 100


def identity(height, width):
    x = torch.linspace(-1, 1, width, dtype=torch.float64).expand(height, width)
    y = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None].expand(height, width)
    return torch.stack((x, y))[None]


def bilinear_at(image, x, y):
    """One value per channel of a C x H x W image at a position in pixels, clamped to the border."""
    height, width = image.shape[1:]
    x, y = min(max(x, 0), width - 1), min(max(y, 0), height - 1)
    left, top = min(int(x), max(width - 2, 0)), min(int(y), max(height - 2, 0))
    right, bottom = min(left + 1, width - 1), min(top + 1, height - 1)
    fx, fy = x - left, y - top
    upper = image[:, top, left] * (1 - fx) + image[:, top, right] * fx
    lower = image[:, bottom, left] * (1 - fx) + image[:, bottom, right] * fx
    return upper * (1 - fy) + lower * fy


def test_a_zero_offset_is_the_identity_map():
    torch.testing.assert_close(map_of_offset(torch.zeros(1, 2, 5, 7, dtype=torch.float64)), identity(5, 7))


def test_an_offset_is_in_pixels_x_first_and_not_clamped():
    offset = torch.zeros(1, 2, 5, 9)
    offset[:, 0], offset[:, 1] = 4.0, -2.0
    sampling_map = map_of_offset(offset)
    torch.testing.assert_close(sampling_map[0, :, 2, 4], torch.tensor([1.0, -1.0]))
    torch.testing.assert_close(sampling_map[0, :, 0, 8], torch.tensor([2.0, -2.0]))


@pytest.mark.parametrize("size", [(5, 7), (1, 6), (4, 1)])
def test_composition_samples_the_map_at_the_displaced_position_with_a_clamped_border(size):
    generator = torch.Generator().manual_seed(0)
    sampling_map = torch.rand(2, 2, *size, dtype=torch.float64, generator=generator) * 2 - 1
    offset = torch.randn(2, 2, *size, dtype=torch.float64, generator=generator) * 3
    expected = torch.empty_like(sampling_map)
    for n in range(2):
        for y in range(size[0]):
            for x in range(size[1]):
                dx, dy = offset[n, :, y, x].tolist()
                expected[n, :, y, x] = bilinear_at(sampling_map[n], x + dx, y + dy)
    torch.testing.assert_close(composed_map(sampling_map, offset), expected, atol=FLOAT64_ROUNDING, rtol=0)


def test_composing_by_a_zero_offset_changes_nothing():
    sampling_map = torch.rand(1, 2, 6, 4, dtype=torch.float64)
    torch.testing.assert_close(composed_map(sampling_map, torch.zeros_like(sampling_map)), sampling_map)


def test_autocast_changes_no_bit_of_a_composition_or_of_a_warped_picture():
    sampling_map, offset, image = torch.rand(1, 2, 8, 6), torch.randn(1, 2, 8, 6), torch.randn(1, 3, 8, 6)
    expected = composed_map(sampling_map, offset), sample(image, sampling_map)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = composed_map(sampling_map, offset), sample(image, sampling_map)
    assert all(torch.equal(one, other) for one, other in zip(actual, expected, strict=True))


def test_outside_the_image_a_warp_repeats_the_border_or_gives_zero():
    image = torch.full((1, 1, 4, 4), 3.0)
    offset = torch.full((1, 2, 4, 4), 50.0)
    flow = AppearanceFlow((), map_of_offset(offset))
    assert torch.equal(flow.warp(image), image)
    assert torch.equal(flow.warp(image, padding_mode="zeros"), torch.zeros_like(image))


def test_a_cropped_map_points_to_the_same_pixels_of_the_unpadded_image():
    generator = torch.Generator().manual_seed(1)
    image = torch.randn(1, 3, 50, 37, dtype=torch.float64, generator=generator)
    positions = torch.rand(1, 2, 64, 64, dtype=torch.float64, generator=generator)
    positions *= torch.tensor([36.0, 49.0], dtype=torch.float64).view(1, 2, 1, 1)
    sampling_map = 2 * positions / 63 - 1
    expected = sample(pad_to(image, (64, 64)), sampling_map)[:, :, :50, :37]
    actual = sample(image, cropped_map(sampling_map, 50, 37))
    torch.testing.assert_close(actual, expected, atol=FLOAT64_ROUNDING, rtol=0)


def test_a_single_pixel_is_sampled_wherever_the_cropped_map_points():
    image = torch.tensor([5.0]).view(1, 1, 1, 1)
    assert sample(image, cropped_map(torch.rand(1, 2, 64, 64), 1, 1)).item() == 5


def test_without_offsets_the_flow_is_the_identity_up_to_the_convention_of_resizing():
    network = WarpNetwork(3, width=0.05).double()
    for parameter in network.flow.parameters():
        torch.nn.init.zeros_(parameter)
    image = torch.randn(1, 3, 96, 64, dtype=torch.float64)
    flow = network(image, image)

    expected = identity(3, 2)
    for level in flow.levels:
        expected = F.interpolate(expected, scale_factor=2, mode="bilinear", align_corners=False)
        torch.testing.assert_close(level.sampling_map, expected)
    # Resizing clamps within half a pixel of the border, so the map may be off by half a pixel of the coarsest level.
    half_coarsest_pixel = torch.tensor([1.0 / (2 - 1), 1.0 / (3 - 1)]).view(1, 2, 1, 1)
    assert ((flow.sampling_map - identity(96, 64)).abs() <= half_coarsest_pixel).all()
    constant = torch.full_like(image, 0.25)
    torch.testing.assert_close(flow.warp(constant), constant)


def lively_network():
    """A network in double precision whose offsets are of the order of a pixel, as after some training."""
    torch.manual_seed(3)
    network = WarpNetwork(4, LIVELY_WIDTH).double()
    for parameter in network.flow.parameters():
        parameter.data *= 3
    return network


def plain_form(network):
    """A lively network in stock operations."""
    return copy_network(network, plain.WarpNetwork(4, LIVELY_WIDTH).double(), "student_warp")


def test_all_levels_agree_with_the_published_network_in_stock_operations():
    network = lively_network().eval()
    images = torch.randn(2, 3, 64, 96).double(), torch.randn(2, 4, 64, 96).double()
    flow = network(*images)
    for level, expected in zip(flow.levels, plain_form(network).eval()(*images), strict=True):
        torch.testing.assert_close(level.sampling_map, expected.sampling_map, atol=FLOAT64_ROUNDING, rtol=0)
    moved = max(offset.abs().max() for level in flow.levels for offset in level.offsets)
    assert moved > 0.5


def test_gradients_agree_with_the_published_network_in_stock_operations():
    network = lively_network()
    images = torch.randn(2, 3, 64, 64).double(), torch.randn(2, 4, 64, 64).double()
    published = plain_form(network)

    def gradients(levels, parameters):
        return torch.autograd.grad(sum(level.sampling_map.square().sum() for level in levels), parameters)

    ours, theirs = dict(network.named_parameters()), dict(published.named_parameters())
    table = key_table("student_warp")
    actual = gradients(network(*images).levels, [ours[table[name]] for name in theirs])
    expected = gradients(published(*images), list(theirs.values()))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8 * max(1.0, other.abs().max().item()))


def test_the_correlation_sees_the_coarser_map_without_a_gradient_and_the_composition_with_one():
    network = lively_network()
    image = torch.randn(1, 3, 64, 64).double(), torch.randn(1, 4, 64, 64).double()
    level = network(*image).levels[1]
    coarser = list(network.flow.correlation[0].parameters()) + list(network.flow.refinement[0].parameters())

    def reaches_coarser(value):
        gradients = torch.autograd.grad(value.sum(), coarser, allow_unused=True, retain_graph=True)
        return [gradient is not None for gradient in gradients]

    assert not any(reaches_coarser(level.offsets[0]))
    assert all(reaches_coarser(level.offsets[1]))
    assert all(reaches_coarser(level.sampling_map))


def test_a_flow_of_positions_has_at_each_level_the_mean_of_the_positions_that_are_known() -> None:
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(32.0), indexing="ij")
    positions = torch.stack((columns + 3, rows - 2))[None]
    flow = flow_of_positions(positions)
    sides = [tuple(level.sampling_map.shape[-2:]) for level in flow.levels]
    assert sides == [(4, 2), (8, 4), (16, 8), (32, 16), (64, 32)]
    for level, scale in zip(flow.levels, (16, 8, 4, 2, 1), strict=True):
        offset = torch.tensor((3.0, -2.0)).view(1, 2, 1, 1) / scale  # pixels of the level
        torch.testing.assert_close(level.sampling_map, map_of_offset(offset.expand(1, 2, 64 // scale, 32 // scale)))
    positions[:, :, :, :8] = math.nan
    positions[:, :, 0, 8] = math.nan
    some = flow_of_positions(positions)
    for level, scale in zip(some.levels, (16, 8, 4, 2, 1), strict=True):
        assert level.sampling_map.isnan().all(dim=1).sum() == (64 // scale) * (8 // scale) + (scale == 1)
    assert some.sampling_map.isnan().sum() == 2 * (64 * 8 + 1)
    filled = some.filled(flow)
    assert torch.equal(filled.sampling_map, flow.sampling_map)
    # The level of two pixels has at one place the mean of the three positions that are known.
    expected = positions[0, :, :2, 8:10].flatten(1).nanmean(dim=1) / 2 - 0.25
    found = (filled.levels[3].sampling_map[0, :, 0, 4] + 1) / 2 * torch.tensor((15.0, 31.0))
    torch.testing.assert_close(found, expected)
