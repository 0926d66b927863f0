import numpy as np
import pytest
import torch

from tryon.losses import better_tutor_weights, distillation_loss, feature_distillation, flow_distillation
from tryon.networks import AppearanceFlow, FlowLevel


def random_flow(seed, batch=3, levels=5):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator).requires_grad_()

    sides = [2**k for k in range(1, levels + 1)]
    made = tuple(
        FlowLevel(draw(batch, 2, 2 * side, side), (draw(1), draw(1)), draw(batch, 4, side, side)) for side in sides
    )
    return AppearanceFlow(made, made[-1].sampling_map)


def array(tensor):
    return tensor.detach().numpy()


def test_a_sample_counts_where_the_tutors_warp_is_closer_and_only_there():
    target = torch.zeros(3, 3, 4, 4)
    tutor = torch.stack([torch.full((3, 4, 4), value) for value in (0.1, 0.5, 0.2)])
    student = torch.stack([torch.full((3, 4, 4), value) for value in (-0.3, 0.4, 0.2)]).requires_grad_()
    weights = better_tutor_weights(tutor, student, target)
    assert weights.tolist() == [1, 0, 0]
    assert not weights.requires_grad


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 0, 1), (0, 1, 0)])
def test_features_are_compared_over_the_chosen_samples_by_mean_squares(weights):
    student, tutor = random_flow(1), random_flow(2)
    chosen = [i for i, weight in enumerate(weights) if weight]
    expected = 0.0
    for k, (own, other) in enumerate(zip(student.levels, tutor.levels, strict=True)):
        difference = array(own.condition_features)[chosen] - array(other.condition_features)[chosen]
        expected += 0.04 * (5 - k) * (difference**2).mean()
    actual = feature_distillation(student, tutor, torch.tensor(weights, dtype=torch.float64))
    assert actual.item() == pytest.approx(expected)


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 0, 1), (0, 1, 0)])
def test_flows_are_compared_over_the_chosen_samples_by_euclidean_distance_from_the_third_level_on(weights):
    student, tutor = random_flow(1), random_flow(2)
    chosen = [i for i, weight in enumerate(weights) if weight]
    expected = 0.0
    for k in (2, 3, 4):
        difference = array(student.levels[k].sampling_map)[chosen] - array(tutor.levels[k].sampling_map)[chosen]
        expected += (k + 1) * np.sqrt((difference**2).sum(axis=1)).mean()
    actual = flow_distillation(student, tutor, torch.tensor(weights, dtype=torch.float64))
    assert actual.item() == pytest.approx(expected)


def test_where_the_tutor_is_never_better_both_terms_and_their_gradients_are_zero():
    student, tutor = random_flow(1), random_flow(2)
    terms = distillation_loss(student, tutor, torch.zeros(3))
    assert {name: term.item() for name, term in terms.items()} == {"features": 0, "flow": 0}
    sum(terms.values()).backward()
    assert all((level.condition_features.grad == 0).all() for level in student.levels)
    assert all((level.sampling_map.grad == 0).all() for level in student.levels[2:])


def test_no_gradient_reaches_the_tutor_or_the_students_other_samples():
    student, tutor = random_flow(1), random_flow(2)
    sum(distillation_loss(student, tutor, torch.tensor([1.0, 0.0, 1.0])).values()).backward()
    for level in tutor.levels:
        assert level.condition_features.grad is None
        assert level.sampling_map.grad is None
    for level in student.levels:
        assert (level.condition_features.grad[1] == 0).all()
        assert (level.condition_features.grad[[0, 2]] != 0).any()
    assert student.levels[1].sampling_map.grad is None


def test_a_student_equal_to_its_tutor_has_a_finite_gradient():
    student, tutor = random_flow(1), random_flow(1)
    sum(distillation_loss(student, tutor, torch.ones(3)).values()).backward()
    assert all(level.sampling_map.grad.isfinite().all() for level in student.levels[2:])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_gradient_of_features_is_that_of_their_squared_differences(dtype):
    generator = torch.Generator().manual_seed(3)
    own, other = (torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    weights = torch.tensor([1.0, 0.0])
    flows = [
        AppearanceFlow((FlowLevel(torch.zeros(2, 2, 6, 10), (), features),), torch.zeros(2, 2, 6, 10))
        for features in (own.requires_grad_(), other)
    ]
    feature_distillation(*flows, weights).backward()
    difference = own.detach().double() - other.double()
    expected = 0.04 * 2 * difference / own[0].numel() * weights.double()[:, None, None, None]
    assert own.grad.dtype == dtype
    # In bfloat16 rounded once, at the end; float64's few roundings are half of this each.
    torch.testing.assert_close(own.grad.double(), expected, rtol=2 * torch.finfo(dtype).eps, atol=0)
