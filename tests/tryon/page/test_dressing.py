"""What the browser's page does around the networks, by its own JavaScript in Node, beside the package's Python."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from tests.tryon.page.calling import NEEDS_NODE
from tryon import TryOn
from tryon.data.images import Size
from tryon.data.sample import Garment, Person
from tryon.data.synthetic import draw_sample, photograph, render
from tryon.errors import InputError
from tryon.garment_mask import cut_out
from tryon.models import TryOnResult, Warped
from tryon.networks import AppearanceFlow
from tryon.networks.flow import map_of_offset
from tryon.page.assembling import STATIC
from tryon.weights import ModelRecord

SIZE = (64, 48)
RECORD = ModelRecord("student", 1.0, SIZE, False, True, "viton", "random", "student", 1, copy_mask=True)

pytestmark = NEEDS_NODE


class GivenNetworks:
    """Networks that give the same of every person and garment, and keep what they were given."""

    def __init__(self, copies: bool) -> None:
        generator = torch.Generator().manual_seed(3)

        def smooth(channels: int) -> torch.Tensor:
            coarse = torch.rand(1, channels, 5, 4, generator=generator)
            return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bilinear", align_corners=False)

        self.given = {
            "image": smooth(3) * 2.2 - 1.1,  # more than there is of colours
            "rendered": smooth(3) * 2 - 1,
            "composition": smooth(1),
            "sampling_map": map_of_offset(smooth(2) * 24 - 12),  # leaves the garment at every side
        } | ({"copied": smooth(1)} if copies else {})
        self.seen: dict[str, torch.Tensor] = {}

    def __call__(self, person: Person, garment: Garment) -> TryOnResult:
        self.seen = {"person": person.photo, "garment": garment.image, "garment_mask": garment.mask}
        given, blank = self.given, torch.zeros(1, 3, *SIZE)
        warped = Warped(AppearanceFlow((), given["sampling_map"]), blank, blank[:, :1])
        return TryOnResult(warped, given["rendered"], given["composition"], given.get("copied"), given["image"])


class OneSize(TryOn):
    """A student with given networks of one size."""

    def __init__(self, networks: Any) -> None:
        self.model, self.record, self.device, self.precision = networks, RECORD, "cpu", "fp32"

    def _work_size(self, full_size: tuple[int, int]) -> tuple[int, int]:
        return SIZE


@dataclass(frozen=True)
class Answer:
    """What the page's JavaScript made."""

    said: str
    image: np.ndarray
    mask: np.ndarray
    seen: dict[str, np.ndarray]


def in_node(person: Image.Image, garment: Image.Image, networks: GivenNetworks, folder: Path) -> Answer:
    job: dict[str, Any] = {"size": SIZE, "image": str(folder / "image"), "mask": str(folder / "mask")}
    for name, picture in (("person", person), ("garment", garment)):
        (folder / name).write_bytes(picture.convert("RGBA").tobytes())
        job[name] = {"file": str(folder / name), "width": picture.width, "height": picture.height}
    job["made"] = {name: str(folder / f"made {name}") for name in networks.given}
    for name, values in networks.given.items():
        Path(job["made"][name]).write_bytes(values.numpy().tobytes())
    job["seen"] = {name: str(folder / f"seen {name}") for name in ("person", "garment", "garment_mask")}
    (folder / "job.json").write_text(json.dumps(job))
    command = ["node", Path(__file__).with_name("dress.mjs"), STATIC, folder / "job.json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    if not said[:1].isdigit():
        return Answer(said, np.empty(0), np.empty(0), {})
    image = np.fromfile(job["image"], np.uint8).reshape(person.height, person.width, 3)
    mask = np.fromfile(job["mask"], np.uint8).reshape(garment.height, garment.width)
    return Answer(said, image, mask, {name: np.fromfile(path, np.float32) for name, path in job["seen"].items()})


def drawn(
    person_size: tuple[int, int], garment_size: tuple[int, int], seed: int = 0
) -> tuple[Image.Image, Image.Image]:
    """A drawn person, and a drawn garment with the noise and blur of a photo."""
    sample, other = draw_sample(seed, 1, 3), draw_sample(seed, 1, 13)
    photo = render(sample.person, sample.garment, photograph(sample.garment, *person_size)).photo
    product = Image.fromarray(photograph(other.garment, *garment_size).photo).filter(ImageFilter.GaussianBlur(0.7))
    noise = np.random.default_rng(0).normal(0, 1.5, (*garment_size, 3))
    levels = (np.asarray(product) + noise).clip(0, 255).round().astype(np.uint8)
    return Image.fromarray(photo), Image.fromarray(levels)


@pytest.mark.parametrize(
    ("person_size", "garment_size", "copies"),
    [
        (SIZE, (128, 96), True),
        ((128, 96), SIZE, False),
        ((128, 96), (100, 90), True),
        ((120, 150), (70, 130), True),
        ((150, 60), (200, 80), False),
    ],
)
def test_what_the_networks_see_and_what_becomes_of_it_are_the_packages(
    person_size: Size, garment_size: Size, copies: bool, tmp_path: Path
) -> None:
    person, garment = drawn(person_size, garment_size)
    networks = GivenNetworks(copies)
    wanted = OneSize(networks).dress(person, garment)
    found = in_node(person, garment, networks, tmp_path)
    assert found.said == f"{person.width} {person.height}"
    np.testing.assert_array_equal(found.mask, np.asarray(cut_out(garment)[1]))
    for name, tensor in networks.seen.items():
        # Levels are the same. PyTorch rounds their share of 127.5 (up to 2, so by 2^-24) and, as JavaScript does too,
        # what is left of it when 1 is taken off (up to 1, so by 2^-25).
        np.testing.assert_allclose(found.seen[name], tensor.numpy().ravel(), rtol=0, atol=2**-23, err_msg=name)
    # Both round one picture to 8 bits: a level where that is a half.
    difference = np.abs(found.image.astype(int) - np.asarray(wanted).astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001


def test_transparency_is_the_mask(tmp_path: Path) -> None:
    person, garment = drawn(SIZE, (128, 96))
    alpha = Image.new("L", garment.size)
    alpha.paste(255, (20, 30, 80, 110))
    alpha.paste(127, (20, 30, 40, 40))
    garment.putalpha(alpha)
    networks = GivenNetworks(copies=True)
    wanted = OneSize(networks).dress(person, garment)
    found = in_node(person, garment, networks, tmp_path)
    np.testing.assert_array_equal(found.mask, np.asarray(alpha))
    assert np.abs(found.image.astype(int) - np.asarray(wanted).astype(int)).max() <= 1


def refused(garment: Image.Image, folder: Path) -> str:
    return in_node(Image.new("RGB", (48, 64)), garment, GivenNetworks(copies=False), folder).said


def test_transparency_that_is_no_garments_is_refused_in_the_packages_words(tmp_path: Path) -> None:
    inverted = Image.new("RGBA", (48, 64), "red")
    inverted.paste((0, 0, 0, 0), (8, 8, 40, 56))
    nearly_all = Image.new("RGBA", (48, 64), "red")
    nearly_all.putpixel((0, 0), (0, 0, 0, 0))
    for garment in (Image.new("RGBA", (48, 64)), inverted, nearly_all):
        with pytest.raises(InputError) as wanted:
            cut_out(garment)
        assert refused(garment, tmp_path) == f"Refusal: {wanted.value}"
