"""From a video of a person to one of the person in a garment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, tee
from pathlib import Path

import torch
from PIL import Image

from tryon.data.images.frames import cut, frame_of_garment, frame_of_person, put_back
from tryon.data.sample import Garment
from tryon.garment_mask import cut_out
from tryon.inference import TryOn
from tryon.models import TryOnResult, Warped
from tryon.networks import AppearanceFlow, compose
from tryon.networks.flow import sample
from tryon.progress import Progress
from tryon.video.files import new_video, open_video
from tryon.video.steady import steadied

BATCH = 4
STEADY = 2


def dress_video(
    student: TryOn,
    video: Path,
    garment: Image.Image,
    mask: Image.Image | None,
    out: Path,
    *,
    steady: int = STEADY,
    batch: int = BATCH,
) -> None:
    """Dress the person of a video file. Arguments as of `dress_frames`; the sound is left out.

    Raises:
        InputError: the video cannot be read to its end, or the garment not be used; nothing is written then.
    """
    with (
        open_video(video) as source,
        new_video(out, source.rate) as target,
        Progress("infer", source.count, "frames") as progress,
    ):
        for image in dress_frames(student, source.frames, garment, mask, steady=steady, batch=batch):
            target.write(image)
            progress.update()


@torch.inference_mode()
def dress_frames(
    student: TryOn,
    frames: Iterable[Image.Image],
    garment: Image.Image,
    mask: Image.Image | None = None,
    *,
    steady: int = STEADY,
    batch: int = BATCH,
) -> Iterator[Image.Image]:
    """Dress a person in frames that follow each other.

    Args:
        student: who dresses.
        frames: RGB, of one size.
        garment: product photo.
        mask: garment mask; by default as `TryOn.dress` makes it.
        steady: frames on either side that a garment's place is averaged over (`steadied`); 0 dresses each frame as if
            it were alone.
        batch: frames that go through the networks together.

    Yields:
        The frames, dressed, in their order and size.
    """
    product, mask = cut_out(garment, mask)
    around = frame_of_garment(mask, student.record.size)
    product, mask = cut(product, around), mask.crop(around)
    results, kept = tee(_computed(student, frames, product, mask, batch))
    maps = steadied((result.warped.flow.sampling_map for *_, result in results), steady)
    for (photo, garments, result), sampling_map in zip(kept, maps, strict=True):
        frame = frame_of_person(photo, student.record.size)
        work, full = garments
        moved = _with_map(result, sampling_map, work) if steady else result
        yield put_back(student.compose(moved, cut(photo, frame), full).image, photo, frame)


def _computed(
    student: TryOn, frames: Iterable[Image.Image], product: Image.Image, mask: Image.Image, batch: int
) -> Iterator[tuple[Image.Image, tuple[Garment, Garment], TryOnResult]]:
    """Each frame with the garment, at the networks' size and its own, and what the networks make of them."""
    frames, garments = iter(frames), None
    while photos := list(islice(frames, batch)):
        framed = [cut(photo, frame_of_person(photo, student.record.size)) for photo in photos]
        garments = garments or student.garments(product, mask, (framed[0].height, framed[0].width))
        result = student.compute(framed, garments[0])
        for index, photo in enumerate(photos):
            yield photo, garments, _one(result, index)


def _one(result: TryOnResult, index: int) -> TryOnResult:
    """One of a batch, as a batch of one."""
    at = slice(index, index + 1)
    warped = result.warped
    return TryOnResult(
        Warped(AppearanceFlow((), warped.flow.sampling_map[at]), warped.garment[at], warped.mask[at]),
        result.rendered[at],
        result.composition[at],
        None if result.copied is None else result.copied[at],
        result.image[at],
    )


def _with_map(result: TryOnResult, sampling_map: torch.Tensor, garment: Garment) -> TryOnResult:
    """The same with the garment warped by another map; what is painted stays."""
    flow = AppearanceFlow((), sampling_map)
    warped, mask = sample(garment.image, sampling_map), sample(garment.mask, sampling_map, "zeros")
    image, composition = compose(warped, mask, result.rendered, result.composition)
    return TryOnResult(Warped(flow, warped, mask), result.rendered, composition, result.copied, image)
