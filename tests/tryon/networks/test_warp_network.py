import pytest
import torch

from tryon.errors import InputError
from tryon.networks import WarpNetwork
from tryon.networks.blocks import pad_to

SMALL = 0.05


def pictures(height, width, condition_channels=3, batch=2):
    generator = torch.Generator().manual_seed(0)
    shapes = ((batch, channels, height, width) for channels in (3, condition_channels))
    return tuple(torch.randn(*shape, generator=generator) for shape in shapes)


# Sums over the published shapes, batch statistics left out: student 29,304,416, tutor 29,328,692 = student
# + (45 - 3) * 64 * 9 weights of the first convolution + 2 * (45 - 3) of the first normalisation.
@pytest.mark.parametrize(("condition_channels", "parameters"), [(3, 29_304_416), (45, 29_328_692)])
def test_at_width_1_it_has_the_published_number_of_parameters(condition_channels, parameters):
    network = WarpNetwork(condition_channels)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


def test_at_width_1_five_levels_run_from_1_32_to_1_2_of_the_image():
    with torch.inference_mode():
        flow = WarpNetwork(3).eval()(*pictures(128, 96, batch=1))
    sizes = [(4, 3), (8, 6), (16, 12), (32, 24), (64, 48)]
    for level, (height, width) in zip(flow.levels, sizes, strict=True):
        assert level.sampling_map.shape == (1, 2, 2 * height, 2 * width)
        assert [offset.shape for offset in level.offsets] == [(1, 2, height, width)] * 2
        assert level.condition_features.shape == (1, 256, height, width)
    assert flow.sampling_map is flow.levels[-1].sampling_map


@pytest.mark.parametrize("size", [(50, 37), (1, 1), (64, 96), (33, 130)])
def test_any_size_gives_a_map_of_that_size(size):
    garment, condition = pictures(*size)
    flow = WarpNetwork(3, width=0.25)(garment, condition)
    assert flow.sampling_map.shape == (2, 2, *size)
    assert flow.warp(garment).shape == garment.shape
    assert flow.warp(garment).isfinite().all()


def test_a_single_sample_of_a_single_pixel_can_be_trained_on():
    garment, condition = pictures(1, 1, batch=1)
    network = WarpNetwork(3, SMALL).train()
    network(garment, condition).levels[-1].sampling_map.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_padding_is_zeros_at_the_bottom_and_right():
    garment, condition = pictures(50, 37)
    network = WarpNetwork(3, SMALL).eval()
    odd = network(garment, condition)
    padded = network(pad_to(garment, (64, 64)), pad_to(condition, (64, 64)))
    for level, expected in zip(odd.levels, padded.levels, strict=True):
        assert torch.equal(level.sampling_map, expected.sampling_map)


def test_width_scales_every_inner_channel_count_and_nothing_else():
    fixed = {49, 2, 3, 45}  # correlation volume, offset, garment, condition
    with torch.device("meta"):
        full, half = WarpNetwork(45, 1.0).state_dict(), WarpNetwork(45, 0.5).state_dict()
    for key, value in full.items():
        expected = [count if count in fixed else count // 2 for count in value.shape[:2]]
        assert list(half[key].shape) == expected + list(value.shape[2:]), key


def test_tutor_and_student_differ_in_the_first_layers_of_the_condition_encoder_alone():
    with torch.device("meta"):
        student, tutor = WarpNetwork(3).state_dict(), WarpNetwork(45).state_dict()
    assert student.keys() == tutor.keys()
    different = {key for key in student if student[key].shape != tutor[key].shape}
    assert different
    assert all(key.startswith("condition_encoder.0.") for key in different)


def test_condition_features_computed_once_serve_other_garments():
    garment, condition = pictures(64, 64)
    network = WarpNetwork(3, SMALL).eval()
    features = network.condition_features(condition)
    assert torch.equal(network.estimate_flow(garment, features).sampling_map, network(garment, condition).sampling_map)


def test_a_gradient_reaches_every_parameter():
    network = WarpNetwork(3, SMALL)
    network(*pictures(64, 96)).sampling_map.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_under_bfloat16_autocast_positions_stay_in_float32():
    network = WarpNetwork(3, SMALL)
    garment, condition = pictures(64, 96)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        flow = network(garment, condition)
        warped = flow.warp(garment)
    assert flow.levels[0].condition_features.dtype == torch.bfloat16
    positions = [flow.sampling_map, *(level.sampling_map for level in flow.levels), warped]
    positions += [offset for level in flow.levels for offset in level.offsets]
    assert {position.dtype for position in positions} == {torch.float32}
    flow.sampling_map.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


def test_channels_last_inputs_and_weights_give_the_same_flow():
    network = WarpNetwork(3, SMALL).double().eval()
    garment, condition = (picture.double() for picture in pictures(64, 64))
    expected = network(garment, condition).sampling_map
    network = network.to(memory_format=torch.channels_last)
    last = (picture.to(memory_format=torch.channels_last) for picture in (garment, condition))
    torch.testing.assert_close(network(*last).sampling_map, expected)


@pytest.mark.parametrize(
    ("garment", "condition", "message"),
    [
        ((2, 3, 64, 64), (2, 3, 64, 63), r"garment and condition must agree.*\(2, 3, 64, 64\) and \(2, 3, 64, 63\)"),
        ((1, 3, 64, 64), (2, 3, 64, 64), "garment and condition must agree"),
        ((2, 1, 64, 64), (2, 3, 64, 64), r"garment must be N x 3 x H x W.*got \(2, 1, 64, 64\)"),
        ((2, 3, 64, 64), (2, 45, 64, 64), r"condition must be N x 3 x H x W.*got \(2, 45, 64, 64\)"),
        ((2, 3, 0, 64), (2, 3, 0, 64), "H, W >= 1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_by_name(garment, condition, message):
    with pytest.raises(InputError, match=message):
        WarpNetwork(3, SMALL)(torch.zeros(garment), torch.zeros(condition))
