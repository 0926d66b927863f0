import numpy as np
import pytest
import torch

from tryon.errors import InputError
from tryon.networks import Generator, compose

SMALL = 0.05


# Sums over the published shapes, batch statistics left out; the tutor has 64 * 9 weights more for its eighth channel.
@pytest.mark.parametrize(("in_channels", "parameters"), [(7, 43_899_968), (8, 43_900_544)])
def test_at_width_1_it_has_the_published_number_of_parameters(in_channels, parameters):
    network = Generator(in_channels)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("size", [(64, 64), (50, 37), (1, 1), (33, 130)])
def test_any_size_gives_a_picture_in_minus_1_to_1_and_a_mask_in_0_to_1(size):
    torch.manual_seed(0)  # a pixel's three colours may all have one sign
    rendered, mask, _ = Generator(7, width=0.25)(10 * torch.randn(2, 7, *size))
    assert rendered.shape == (2, 3, *size)
    assert mask.shape == (2, 1, *size)
    assert rendered.abs().max() <= 1
    assert rendered.min() < 0 < rendered.max()
    assert 0 <= mask.min() <= mask.max() <= 1


def test_a_single_sample_of_a_single_pixel_can_be_trained_on():
    rendered, mask, _ = Generator(7, SMALL).train()(torch.randn(1, 7, 1, 1))
    assert rendered.isfinite().all()
    assert mask.isfinite().all()


def test_width_scales_every_inner_channel_count_and_nothing_else():
    fixed = {4, 7}  # output, input
    with torch.device("meta"):
        full, half = Generator(7, 1.0).state_dict(), Generator(7, 0.5).state_dict()
    for key, value in full.items():
        expected = [count if count in fixed else count // 2 for count in value.shape[:2]]
        assert list(half[key].shape) == expected + list(value.shape[2:]), key


def test_a_gradient_reaches_every_parameter_and_the_input():
    network = Generator(7, SMALL)
    inputs = torch.randn(2, 7, 64, 64, requires_grad=True)
    rendered, mask, _ = network(inputs)
    (rendered.square().sum() + mask.sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name
    assert inputs.grad.abs().sum() > 0


def test_with_a_copy_mask_the_image_is_painted_but_for_what_is_copied_of_the_first_three_channels():
    painting, copying = Generator(7, SMALL), Generator(7, SMALL, copy_mask=True)
    name = "up.4.1.weight"
    state = copying.state_dict()
    assert state[name].shape[0] == painting.state_dict()[name].shape[0] + 1
    painting.load_state_dict(state | {name: state[name][:4]})
    inputs = torch.randn(2, 7, 50, 37)
    painted, composition, nothing = painting.eval()(inputs)
    rendered, same_composition, copied = copying.eval()(inputs)
    assert nothing is None
    assert copied.shape == (2, 1, 50, 37)
    assert 0 < copied.min() < copied.max() < 1
    torch.testing.assert_close(rendered, copied * inputs[:, :3] + (1 - copied) * painted)
    torch.testing.assert_close(same_composition, composition)


def test_under_bfloat16_autocast_the_pictures_come_out_in_float32():
    network = Generator(7, SMALL)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rendered, mask, _ = network(torch.randn(2, 7, 64, 64))
    assert rendered.dtype == mask.dtype == torch.float32


def test_composition_lays_the_warped_garment_over_the_rendered_image_pixel_by_pixel():
    generator = torch.Generator().manual_seed(0)
    warped, rendered = (torch.randn(2, 3, 4, 5, generator=generator) for _ in range(2))
    warped_mask, composition_mask, region = (torch.rand(2, 1, 4, 5, generator=generator) for _ in range(3))
    for used_region in (None, region):
        try_on, mask = compose(warped, warped_mask, rendered, composition_mask, used_region)
        expected = np.empty((2, 3, 4, 5), dtype=np.float32)
        for n, c, y, x in np.ndindex(expected.shape):
            m = composition_mask[n, 0, y, x].item() * warped_mask[n, 0, y, x].item()
            m *= 1.0 if used_region is None else region[n, 0, y, x].item()
            assert mask[n, 0, y, x].item() == pytest.approx(m, rel=1e-6)
            expected[n, c, y, x] = m * warped[n, c, y, x] + (1 - m) * rendered[n, c, y, x]
        np.testing.assert_allclose(try_on.numpy(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 8, 64, 64), (7, 64, 64), (1, 7, 64, 0)])
def test_a_wrong_input_shape_is_refused_by_name(shape):
    with pytest.raises(InputError, match="inputs must be N x 7 x H x W"):
        Generator(7, SMALL)(torch.zeros(shape))


@pytest.mark.parametrize("tutors_channels", [7, 8])
def test_started_from_another_it_paints_the_same_where_that_ones_further_inputs_are_nothing(tutors_channels):
    torch.manual_seed(0)
    tutors, students = Generator(tutors_channels, SMALL, copy_mask=True), Generator(7, SMALL, copy_mask=True)
    students.start_from(tutors)
    inputs = torch.randn(1, 7, 64, 64)
    further = inputs.new_zeros(1, tutors_channels - 7, 64, 64)
    for found, wanted in zip(students(inputs), tutors(torch.cat((inputs, further), dim=1)), strict=True):
        torch.testing.assert_close(found, wanted)
