import torch

from tryon.networks.blocks import pad_to, padded_size


def test_padding_extends_at_the_bottom_and_right_by_zeros():
    image = torch.ones(2, 3, 5, 4)
    padded = pad_to(image, (7, 9))
    assert padded.shape == (2, 3, 7, 9)
    assert torch.equal(padded[:, :, :5, :4], image)
    assert padded.sum() == image.sum()


def test_sides_become_multiples_of_32_and_64_at_least():
    assert [padded_size(*size) for size in ((1, 64), (65, 96), (97, 200))] == [(64, 64), (96, 96), (128, 224)]
