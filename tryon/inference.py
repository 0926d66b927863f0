"""Dressing people: from pictures of any size to a picture of the person's size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from tryon.data.folder import make_garment
from tryon.data.images import Size, as_seen, image_to_tensor, on_white, resize, tensor_to_image
from tryon.data.images.frames import cut, frame_of_garment, frame_of_person, put_back
from tryon.data.sample import Garment, Person, move, stack
from tryon.errors import InputError
from tryon.garment_mask import cut_out
from tryon.hub import HubModel
from tryon.models import TryOnModel, TryOnResult
from tryon.networks import compose
from tryon.networks.flow import sample
from tryon.networks.frozen import freeze
from tryon.precision import LOWERED, autocast, check_precision, multiplies_bfloat16
from tryon.replay import Replayed
from tryon.weights import ModelRecord, load_model


@dataclass(frozen=True)
class Dressed:
    """A person dressed, and how.

    Attributes:
        image: RGB image of the size that the person has upright.
        warped: the garment warped onto the person, RGBA of that size, transparent where it is not. More than `image`
            shows of it, where an arm or hair is before it.
        result: what the networks made of it, at the size they worked at; a batch of one.
    """

    image: Image.Image
    warped: Image.Image
    result: TryOnResult


class TryOn(HubModel):
    """A trained student: dresses a person in a photo with the garment of a product photo.

    ``TryOn.from_pretrained("run/student")(person, garment)`` takes pictures and returns one.

    Args:
        model: a student with a generator, which is from now on good for nothing else (`freeze`).
        record: of its model folder.
        device: as torch names it.
        precision: "fp32", "bf16" or, on a GPU, "fp16". By default bf16 on a CPU that multiplies it itself, else fp32.
        folder: its model folder, which `save_pretrained` copies; None for a model that has none.
        graph: on a GPU, replay the networks from a CUDA graph once pictures of the same shape have followed each other
            (`tryon.replay`), which keeps the memory of a call. Pictures are the same. Which kernels serve is what held
            when it was recorded.
    """

    _replayed: Replayed[TryOnResult] | None = None

    def __init__(
        self,
        model: TryOnModel,
        record: ModelRecord,
        device: str = "cpu",
        precision: str | None = None,
        folder: Path | None = None,
        graph: bool = True,
    ) -> None:
        if precision is None:
            precision = "bf16" if torch.device(device).type == "cpu" and multiplies_bfloat16() else "fp32"
        check_precision(precision, device)
        self.model = model.to(device)
        freeze(self.model, LOWERED[precision])
        self.record = record
        self.device = device
        self.precision = precision
        self.folder = folder
        if graph and torch.device(device).type == "cuda":
            self._replayed = Replayed(partial(_pass, self.model, self.precision, self.device))

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", precision: str | None = None, graph: bool = True) -> TryOn:
        """Load a student's model folder. Raises InputError where it is missing, damaged or not a finished student."""
        model, record = load_model(Path(folder), role="student")
        if not record.generator:
            raise InputError(f"{folder}: found stage {record.stage}, which has no generator; wanted student")
        return cls(model, record, device, precision, Path(folder), graph)

    def __call__(self, person: Image.Image, garment: Image.Image, mask: Image.Image | None = None) -> Image.Image:
        """Dress a person, as `dress` does."""
        return self.dress(person, garment, mask)

    def dress(self, person: Image.Image, garment: Image.Image, mask: Image.Image | None = None) -> Image.Image:
        """Dress a person.

        The networks work at the height they were trained at; where the photo is larger, the garment is warped at the
        photo's own size, and what the generator paints is enlarged; what a copy mask takes from the photo is taken at
        the photo's own size too.

        A photo of other proportions than theirs is dressed in its middle: what a wide one has left and right of a frame
        of its height and their proportions stays as it is, and a narrow one is continued to both sides while it is
        dressed. A product photo of other proportions is cut or extended around the garment (`frame_of_garment`).

        Pictures are taken as they are meant to be seen: upright by their EXIF orientation, in sRGB by their ICC
        profile, on white where they are transparent.

        Args:
            person: photo of any size and mode.
            garment: product photo of any size and mode.
            mask: garment mask of the garment's size, bright on the garment; by default the garment's transparency where
                it has some, else made from its plain background.

        Returns:
            RGB image of the size that the person has upright.

        Raises:
            InputError: a picture or the mask cannot be used, or no mask can be made; the message says why.
        """
        return self.explain(person, garment, mask).image

    @torch.inference_mode()
    def explain(self, person: Image.Image, garment: Image.Image, mask: Image.Image | None = None) -> Dressed:
        """`dress` that also gives the warped garment, and what the networks made: the flow, the masks."""
        photo = on_white(as_seen(person, "person"))
        garment, mask = cut_out(garment, mask)
        frame, product = frame_of_person(photo, self.record.size), frame_of_garment(mask, self.record.size)
        dressed = self._dress(cut(photo, frame), cut(garment, product), mask.crop(product))
        empty = Image.new("RGBA", photo.size)
        warped = put_back(dressed.warped, empty, frame)
        return Dressed(put_back(dressed.image, photo, frame), warped, dressed.result)

    def _dress(self, photo: Image.Image, garment: Image.Image, mask: Image.Image) -> Dressed:
        """Dress a person in a photo of the networks' proportions."""
        work_garment, full_garment = self.garments(garment, mask, (photo.height, photo.width))
        return self.compose(self.compute([photo], work_garment), photo, full_garment)

    def garments(self, photo: Image.Image, mask: Image.Image, full_size: Size) -> tuple[Garment, Garment]:
        """A product photo for the networks, and for photos of a size."""
        work_size = self._work_size(full_size)
        full = self._garment(photo, mask, full_size)
        return full if work_size == full_size else self._garment(photo, mask, work_size), full

    @torch.inference_mode()
    def compute(self, photos: Sequence[Image.Image], garment: Garment) -> TryOnResult:
        """What the networks make of photos of the same size, and one garment, at the garment's size."""
        work_photos = torch.stack([self._work_photo(photo, _size_of(garment.image)) for photo in photos])
        image, mask = (part.expand(len(photos), -1, -1, -1) for part in (garment.image, garment.mask))
        networks = self._replayed or partial(_pass, self.model, self.precision, self.device)
        return networks(Person(work_photos, None, None, None), Garment(image, mask))

    def compose(self, result: TryOnResult, photo: Image.Image, garment: Garment) -> Dressed:
        """The pictures, from a batch of one, at the size of photo and garment."""
        full_size, work_size = (photo.height, photo.width), _size_of(result.image)
        if work_size == full_size:
            return _dressed(result.image, result.warped.garment, result.warped.mask, result)
        rendered, composition = (_enlarge(part, full_size) for part in (result.rendered, result.composition))
        if result.copied is not None:  # what is copied can be copied at the photo's own size
            full_photo = image_to_tensor(photo)[None].to(self.device)
            work_photo = self._work_photo(photo, work_size)[None]
            rendered = rendered + _enlarge(result.copied, full_size) * (full_photo - _enlarge(work_photo, full_size))
        sampling_map = resized_map(result.warped.flow.sampling_map, full_size)
        warped = sample(garment.image, sampling_map)
        # The composition carries the warped mask already.
        image, _ = compose(warped, torch.ones_like(composition), rendered, composition)
        return _dressed(image, warped, sample(garment.mask, sampling_map, "zeros"), result)

    def _work_photo(self, photo: Image.Image, size: Size) -> Tensor:
        return image_to_tensor(resize(photo, size)).to(self.device)

    def _work_size(self, full_size: Size) -> Size:
        height = self.record.size[0]
        return height, max(1, round(full_size[1] * height / full_size[0]))

    def _garment(self, photo: Image.Image, mask: Image.Image, size: Size) -> Garment:
        """The garment centred on a canvas of ``size``, its proportions kept; outside the photo there is no garment."""
        scale = min(size[0] / photo.height, size[1] / photo.width)
        height, width = (max(1, round(side * scale)) for side in (photo.height, photo.width))
        fitted = make_garment(photo, mask, (height, width))
        top, left = (size[0] - height) // 2, (size[1] - width) // 2
        margins = (left, size[1] - width - left, top, size[0] - height - top)
        placed = Garment(F.pad(fitted.image, margins), F.pad(fitted.mask, margins))
        return move(stack([placed]), self.device)


def _pass(model: TryOnModel, precision: str, device: str, person: Person, garment: Garment) -> TryOnResult:
    with autocast(precision, device):
        result: TryOnResult = model(person, garment)
    return result


def _dressed(image: Tensor, warped: Tensor, mask: Tensor, result: TryOnResult) -> Dressed:
    """Pictures of batches of one; the mask is 1 x 1 x H x W in [0, 1]."""
    garment = tensor_to_image(warped[0])
    garment.putalpha(tensor_to_image(mask[0].expand(3, -1, -1) * 2 - 1).getchannel("R"))
    return Dressed(tensor_to_image(image[0]), garment, result)


def resized_map(sampling_map: Tensor, size: Size) -> Tensor:
    """A sampling map for images of another size: N x 2 x h x w to N x 2 x size, both normalised (align_corners=True).

    Pixel centres scale as in image resizing: p of n pixels lies at (p + 1/2) N / n - 1/2 of N.
    """
    height, width = sampling_map.shape[-2:]
    scaled = []
    for channel, (found, wanted) in enumerate(((width, size[1]), (height, size[0]))):
        position = (sampling_map[:, channel] + 1) / 2 * (found - 1)
        position = (position + 0.5) * wanted / found - 0.5
        scaled.append(2 * position / max(wanted - 1, 1) - 1)
    return _enlarge(torch.stack(scaled, dim=1), size)


def _size_of(image: Tensor) -> Size:
    return image.shape[2], image.shape[3]


def _enlarge(image: Tensor, size: Size) -> Tensor:
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False)
