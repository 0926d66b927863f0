import numpy as np
import pytest
import torch

from tryon.losses import PerceptualLoss, generator_loss, skin_region

SKIN_WEIGHTS = {"first": (30, 2), "second": (60, 4)}


def mean_difference(one, other):
    return np.abs(one.numpy() - other.numpy()).mean()


@pytest.fixture
def perceptual():
    return PerceptualLoss(None, 1 / 32).double()


@pytest.fixture
def pictures():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 2, 3, 9, 7, dtype=torch.float64, generator=generator).tanh()


@pytest.mark.parametrize("half", ["first", "second"])
def test_every_term_of_the_generator_loss_has_its_weight(half, perceptual, pictures):
    try_on, rendered, target = pictures
    mask, skin = torch.rand(2, 2, 1, 9, 7, dtype=torch.float64)
    l1_weight, perceptual_weight = SKIN_WEIGHTS[half]
    expected = {
        "l1": 5 * mean_difference(try_on, target),
        "perceptual": perceptual(try_on, target).item(),
        "rendered_l1": 5 * mean_difference(rendered, target),
        "rendered_perceptual": perceptual(rendered, target).item(),
        "mask": np.abs(1 - mask.numpy()).mean(),
        "skin_l1": l1_weight * mean_difference(rendered * skin, target * skin),
        "skin_perceptual": perceptual_weight * perceptual(rendered * skin, target * skin).item(),
    }
    terms = generator_loss(try_on, rendered, mask, target, perceptual, skin, half)
    assert {name: term.item() for name, term in terms.items()} == pytest.approx(expected)


def test_without_a_skin_region_as_for_the_tutor_there_is_no_skin_term(perceptual, pictures):
    try_on, rendered, target = pictures
    terms = generator_loss(try_on, rendered, torch.ones(2, 1, 9, 7), target, perceptual)
    assert set(terms) == {"l1", "perceptual", "rendered_l1", "rendered_perceptual", "mask"}


def test_a_perfect_result_costs_nothing(perceptual, pictures):
    target = pictures[2]
    terms = generator_loss(target, target, torch.ones(2, 1, 9, 7), target, perceptual, torch.ones(2, 1, 9, 7))
    assert all(term.item() == 0 for term in terms.values())


def test_a_gradient_reaches_all_three_outputs(perceptual, pictures):
    try_on, rendered, target = pictures
    mask = torch.rand(2, 1, 9, 7, dtype=torch.float64, requires_grad=True)
    try_on.requires_grad_()
    rendered.requires_grad_()
    sum(generator_loss(try_on, rendered, mask, target, perceptual, torch.ones(2, 1, 9, 7)).values()).backward()
    assert all(output.grad.abs().sum() > 0 for output in (try_on, rendered, mask))


def test_the_skin_region_is_the_tutors_warped_mask_outside_the_photos_garment():
    warped_mask = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 1, 4)
    garment_region = torch.tensor([1.0, 0.0, 1.0, 0.0]).view(1, 1, 1, 4)
    assert skin_region(warped_mask, garment_region).flatten().tolist() == [0, 1, 0, 0]
