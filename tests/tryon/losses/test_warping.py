import numpy as np
import pytest
import torch
import torch.nn.functional as F

from tryon.losses import PerceptualLoss, second_order_smoothness, total_variation, warp_loss
from tryon.networks import AppearanceFlow, FlowLevel, WarpNetwork

STENCILS = [
    np.array([[0, 0, 0], [1, -2, 1], [0, 0, 0]]),
    np.array([[0, 1, 0], [0, -2, 0], [0, 1, 0]]),
    np.array([[1, 0, 0], [0, -2, 0], [0, 0, 1]]),
    np.array([[0, 0, 1], [0, -2, 0], [1, 0, 0]]),
]


def smoothness_by_stencils(sampling_map):
    batch, channels, height, width = sampling_map.shape
    total = 0.0
    for channel in range(channels):
        penalties = []
        for stencil in STENCILS:
            for n in range(batch):
                for y in range(height - 2):
                    for x in range(width - 2):
                        d = (sampling_map[n, channel, y : y + 3, x : x + 3] * stencil).sum()
                        penalties.append((d**2 + 0.001**2) ** 0.45)
        total += np.mean(penalties)
    return total


def variation_by_neighbours(offset):
    return np.abs(np.diff(offset, axis=2)).mean() + np.abs(np.diff(offset, axis=3)).mean()


@pytest.mark.parametrize("size", [(3, 3), (5, 8)])
def test_smoothness_is_the_mean_of_the_four_stencils_with_x_and_y_added(size):
    sampling_map = torch.rand(2, 2, *size, dtype=torch.float64)
    assert second_order_smoothness(sampling_map).item() == pytest.approx(smoothness_by_stencils(sampling_map.numpy()))


def test_a_straight_map_has_the_smallest_smoothness_term():
    row = torch.linspace(-1, 1, 9, dtype=torch.float64)
    straight = torch.stack((row.expand(7, 9), row.expand(7, 9) * 0.5))[None]
    assert second_order_smoothness(straight).item() == pytest.approx(2 * (0.001**2) ** 0.45)


@pytest.mark.parametrize("size", [(2, 5), (5, 2), (1, 1)])
def test_a_map_too_small_to_bend_costs_nothing(size):
    assert second_order_smoothness(torch.rand(1, 2, *size)).item() == 0


def test_total_variation_is_the_mean_difference_of_neighbours():
    offset = torch.randn(2, 2, 4, 6, dtype=torch.float64)
    assert total_variation(offset).item() == pytest.approx(variation_by_neighbours(offset.numpy()))


def test_total_variation_of_a_single_row_or_pixel_counts_what_neighbours_there_are():
    assert total_variation(torch.tensor([[[[1.0, 3.0]]]])).item() == 2
    assert total_variation(torch.ones(1, 2, 1, 1)).item() == 0


def random_flow(sizes):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    levels = tuple(
        FlowLevel(draw(2, 2, 2 * h, 2 * w), (draw(2, 2, h, w), draw(2, 2, h, w)), draw(2, 4, h, w)) for h, w in sizes
    )
    return AppearanceFlow(levels, levels[-1].sampling_map)


def test_every_term_of_the_warp_loss_has_its_weight_at_every_level():
    flow = random_flow([(2, 2), (4, 4), (8, 8)])
    perceptual = PerceptualLoss(None, 1 / 32).double()
    garment, target = torch.rand(2, 2, 3, 16, 16, dtype=torch.float64)
    mask, target_mask = torch.rand(2, 2, 1, 16, 16, dtype=torch.float64)

    expected = dict.fromkeys(("l1", "perceptual", "mask", "smoothness", "variation"), 0.0)
    for k, level in enumerate(flow.levels):
        side = 4 * 2**k
        small = [F.adaptive_avg_pool2d(x, side) if side == 8 else x for x in (garment, mask, target, target_mask)]
        if side == 4:  # bilinear reduction to a quarter takes the two middle pixels of four, not their mean
            small = [F.avg_pool2d(x[..., 1:-1, 1:-1], 2, stride=4) for x in (garment, mask, target, target_mask)]
        grid = level.sampling_map.permute(0, 2, 3, 1)
        warped = F.grid_sample(small[0], grid, padding_mode="border", align_corners=True)
        warped_mask = F.grid_sample(small[1], grid, padding_mode="zeros", align_corners=True)
        expected["l1"] += (k + 1) * np.abs(warped.numpy() - small[2].numpy()).mean()
        expected["perceptual"] += 0.2 * (k + 1) * perceptual(warped, small[2]).item()
        expected["mask"] += 2 * (k + 1) * np.abs(warped_mask.numpy() - small[3].numpy()).mean()
        expected["smoothness"] += 6 * (k + 1) * smoothness_by_stencils(level.sampling_map.numpy())
        expected["variation"] += 0.01 * sum(variation_by_neighbours(offset.numpy()) for offset in level.offsets)

    terms = warp_loss(flow, garment, mask, target, target_mask, perceptual)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (1, 1)])
def test_the_warp_loss_of_any_size_trains_every_parameter(size):
    torch.manual_seed(0)
    network = WarpNetwork(3, width=0.05)
    garment, photo = torch.rand(2, 2, 3, *size) * 2 - 1
    mask = torch.rand(2, 1, *size)
    terms = warp_loss(network(garment, photo), garment, mask, photo, mask, PerceptualLoss(None, 1 / 32))
    sum(terms.values()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_the_warp_loss_falls_when_trained():
    torch.manual_seed(0)
    network = WarpNetwork(3, width=0.05)
    perceptual = PerceptualLoss(None, 1 / 32)
    rows = torch.linspace(-3, 3, 64)
    garment = torch.exp(-(rows[:, None] ** 2) - rows**2).expand(2, 3, 64, 64)
    photo = garment.roll(6, dims=3)
    mask, photo_mask = (picture[:, :1] for picture in (garment, photo))
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3)

    def step():
        terms = warp_loss(network(garment, photo), garment, mask, photo, photo_mask, perceptual)
        loss = sum(terms.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return terms["l1"].item()

    first = step()
    last = [step() for _ in range(15)][-1]
    assert last < 0.7 * first
