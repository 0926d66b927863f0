import hashlib
import logging

import pytest
import torch
import torch.nn.functional as F

from tryon.errors import InputError
from tryon.losses import PerceptualLoss, perceptual

TINY = 1 / 32
# torchvision's VGG-19 up to relu5_1: convolutions by position in `features` and their channels, poolings between.
LAYERS = {
    **{0: (3, 64), 2: (64, 64), 4: "pool", 5: (64, 128), 7: (128, 128), 9: "pool"},
    **{10: (128, 256), 12: (256, 256), 14: (256, 256), 16: (256, 256), 18: "pool"},
    **{19: (256, 512), 21: (512, 512), 23: (512, 512), 25: (512, 512), 27: "pool", 28: (512, 512)},
}
COMPARED = {0: 1 / 32, 5: 1 / 16, 10: 1 / 8, 19: 1 / 4, 28: 1.0}


@pytest.fixture(scope="module")
def vgg_state():
    generator = torch.Generator().manual_seed(0)
    state = {"classifier.0.weight": torch.zeros(2, 2), "features.30.weight": torch.zeros(1)}
    for position, layer in LAYERS.items():
        if layer != "pool":
            inputs, outputs = layer
            weight = torch.randn(outputs, inputs, 3, 3, generator=generator)
            state[f"features.{position}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
            state[f"features.{position}.bias"] = 0.1 * torch.randn(outputs, generator=generator)
    return state


@pytest.fixture(scope="module")
def vgg_file(vgg_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save(vgg_state, path)
    return path


def compared_features(state, image):
    for position, layer in LAYERS.items():
        if layer == "pool":
            image = F.max_pool2d(image, 2)
            continue
        image = F.relu(
            F.conv2d(image, state[f"features.{position}.weight"], state[f"features.{position}.bias"], padding=1)
        )
        if position in COMPARED:
            yield COMPARED[position], image


def images(height, width):
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(2, 3, height, width, generator=generator) * 2 - 1 for _ in range(2))


def test_with_a_file_it_is_the_weighted_l1_distance_of_five_vgg_19_features(vgg_state, vgg_file):
    image, target = images(33, 21)
    pairs = zip(compared_features(vgg_state, image), compared_features(vgg_state, target), strict=True)
    expected = sum(weight * (one - other).abs().mean() for (weight, one), (_, other) in pairs)
    loss = PerceptualLoss(vgg_file)
    torch.testing.assert_close(loss(image, target), expected)
    assert loss.source == f"file:{hashlib.sha256(vgg_file.read_bytes()).hexdigest()}"


def test_a_missing_layer_of_the_file_is_named(vgg_state, tmp_path):
    path = tmp_path / "vgg.pth"
    torch.save({key: torch.zeros(()).expand(value.shape) for key, value in vgg_state.items() if "19" not in key}, path)
    with pytest.raises(InputError, match=r"vgg\.pth: features\.19\.weight is missing.*\(512, 256, 3, 3\)"):
        PerceptualLoss(path)


def test_a_misshapen_layer_of_the_file_is_named(vgg_state, tmp_path):
    path = tmp_path / "vgg.pth"
    state = {key: torch.zeros(()).expand(value.shape) for key, value in vgg_state.items()}
    torch.save(state | {"features.2.weight": torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(InputError, match=r"vgg\.pth: features\.2\.weight has shape \(64, 3, 3, 3\)"):
        PerceptualLoss(path)


def test_an_absent_or_truncated_file_is_refused_and_never_replaced_by_random_features(vgg_file, tmp_path):
    with pytest.raises(InputError, match="no such file"):
        PerceptualLoss(tmp_path / "none.pth")
    truncated = tmp_path / "truncated.pth"
    truncated.write_bytes(vgg_file.read_bytes()[:10_000])
    with pytest.raises(InputError, match=r"truncated\.pth: damaged"):
        PerceptualLoss(truncated)


def test_without_a_file_it_says_once_that_the_features_are_random(caplog):
    perceptual._say_random.cache_clear()  # another test may have made it speak
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            loss = PerceptualLoss(None, TINY)
        loss(*images(8, 8))
    assert loss.source == "random"
    assert len(caplog.records) == 1
    assert "random" in caplog.text


def test_random_features_are_the_same_every_time_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = PerceptualLoss(None, TINY)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    second = PerceptualLoss(None, TINY)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_random_features_keep_the_scale_of_the_image():
    image, _ = images(64, 64)
    for feature in PerceptualLoss(None, 0.25).features(image):
        assert 0.25 < feature.square().mean().sqrt() < 4


def test_width_scales_random_features_but_not_those_of_a_file(vgg_file):
    image, _ = images(16, 16)
    assert [f.shape[1] for f in PerceptualLoss(None, 0.25).features(image)] == [16, 32, 64, 128, 128]
    assert [f.shape[1] for f in PerceptualLoss(vgg_file, 0.25).features(image)] == [64, 128, 256, 512, 512]


# At 16 x 12 three poolings, which round down, leave 2 x 1, where the fourth is clipped to the width.
@pytest.mark.parametrize(
    ("size", "last"), [((256, 192), (16, 12)), ((16, 12), (1, 1)), ((7, 3), (1, 1)), ((1, 1), (1, 1))]
)
def test_the_pooling_window_is_clipped_where_a_side_is_one_pixel(size, last):
    features = PerceptualLoss(None, TINY).features(torch.rand(1, 3, *size))
    assert features[-1].shape[2:] == last
    assert all(feature.isfinite().all() for feature in features)


def test_a_window_clipped_on_one_side_keeps_the_other():
    features = torch.tensor([1.0, 3.0, 2.0, 5.0]).view(1, 1, 4, 1)
    assert perceptual._pooled(features).flatten().tolist() == [3, 5]
    assert perceptual._pooled(features.view(1, 1, 1, 4)).flatten().tolist() == [3, 5]


def test_a_gradient_reaches_the_image_but_neither_the_target_nor_the_weights():
    loss = PerceptualLoss(None, TINY)
    image, target = (picture.requires_grad_() for picture in images(8, 8))
    loss(image, target).backward()
    assert image.grad.abs().sum() > 0
    assert target.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_several_images_have_the_distances_and_gradients_that_each_has_alone():
    loss = PerceptualLoss(None, TINY)
    target, *pictures = (*images(8, 8), torch.zeros(2, 3, 8, 8))
    together = [picture.clone().requires_grad_() for picture in pictures]
    alone = [picture.clone().requires_grad_() for picture in pictures]
    (loss.distances(target, *together)[0] + 3 * loss.distances(target, *together)[1]).backward()
    (loss(alone[0], target) + 3 * loss(alone[1], target)).backward()
    assert all(torch.equal(one.grad, other.grad) for one, other in zip(together, alone, strict=True))
    assert loss(target, target).item() == 0


def test_samples_that_are_taken_in_turns_have_the_loss_and_gradients_of_the_batch(monkeypatch):
    loss = PerceptualLoss(None, TINY).double()
    target, *pair = (torch.cat([*images(16, 12)])[:3].double().roll(shift, 0) for shift in range(3))

    def found():
        own = [image.clone().requires_grad_() for image in pair]
        distances = loss.distances(target, *own)
        sum(distances).backward()
        return [*distances, *(image.grad for image in own)]

    whole = found()
    monkeypatch.setattr(perceptual, "BUSY_PIXELS", 2 * 16 * 12)  # two, and one
    for one, other in zip(found(), whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-15)


def test_the_gradient_is_that_of_the_formula(vgg_state, vgg_file):
    state = {key: value.double() for key, value in vgg_state.items()}
    ours, plain = (picture.double().requires_grad_() for picture in images(33, 21)), images(33, 21)
    image, target = ours
    (3 * PerceptualLoss(vgg_file).double()(image, target)).backward()
    other, target = (picture.double().requires_grad_() for picture in plain)
    pairs = zip(compared_features(state, other), compared_features(state, target.detach()), strict=True)
    (3 * sum(weight * (one - goal).abs().mean() for (weight, one), (_, goal) in pairs)).backward()
    torch.testing.assert_close(image.grad, other.grad)


def test_an_image_is_all_that_is_kept_for_the_gradient():
    image, target = images(16, 16)
    distance = PerceptualLoss(None, TINY)(image.requires_grad_(), target)
    assert [kept.shape for kept in distance.grad_fn.saved_tensors] == [image.shape]


def test_a_half_precision_gradient_of_a_large_image_is_not_lost_in_small_numbers():
    image, target = (picture.half() for picture in images(256, 192))
    loss = PerceptualLoss(None, TINY).half()
    loss(image.requires_grad_(), target).mul(2.0**16).backward()
    assert (image.grad != 0).double().mean() > 0.99


def test_a_second_derivative_is_refused():
    image, target = images(8, 8)
    distance = PerceptualLoss(None, TINY)(image.requires_grad_(), target)
    with pytest.raises(RuntimeError, match="found create_graph=True, wanted a first derivative"):
        torch.autograd.grad(distance, image, create_graph=True)
