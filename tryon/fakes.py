"""Writing fake pictures with a model of ours, as `tryon.data.fakes.Fakes` reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.fakes import FLOW_FOLDER, MASK_FOLDER, SEPARATOR
from tryon.data.folder import TryOnFolder
from tryon.data.images import tensor_to_image
from tryon.data.loader import BatchDraws
from tryon.data.sample import move, stack
from tryon.files import make_new_folder, whole_file
from tryon.models import TryOnModel

BATCH = 4  # pictures at a time

T = TypeVar("T")


def drawn_pairs(folder: TryOnFolder, epochs: int, seed: int) -> list[tuple[str, str]]:
    """The people and other garments that training with this seed draws in its first epochs, each pair once."""
    draws = BatchDraws(len(folder.people), 1, seed)
    pairs = {pair for epoch in range(epochs) for (pair,) in draws.epoch_draws(epoch)}
    return [(folder.people[person], folder.people[other]) for person, other in sorted(pairs)]


@torch.inference_mode()
def write_fakes(
    model: TryOnModel,
    folder: TryOnFolder,
    pairs: list[tuple[str, str]],
    out: Path,
    *,
    flows: bool = False,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda pairs: None,
) -> None:
    """Dress the people of a training folder and write pictures and masks, at the folder's size.

    Args:
        model: a tutor, or a student, with a generator.
        folder: the people, with poses for a tutor.
        pairs: ids of people and of other garments.
        out: new or empty folder.
        flows: write the model's flow of each person's own garment too.
        device: as torch names it.
        progress: called with the number of pairs that were dressed.

    Raises:
        InputError: a file cannot be read, or ``out`` holds something.
    """
    make_new_folder(out)
    model = model.to(device).eval()
    (out / MASK_FOLDER).mkdir()
    for some in _batches(pairs):
        people, garments = zip(*some, strict=True)
        result = model(_read(folder.read_person, people, device), _read(folder.read_garment, garments, device))
        for pair, image, mask in zip(some, result.image, result.warped.mask, strict=True):
            write_fake(out, SEPARATOR.join(_stems(folder, *pair)), image, mask)
        progress(len(some))
    if flows:
        (out / FLOW_FOLDER).mkdir()
        for ids in _batches(list(dict.fromkeys(person for person, _ in pairs))):
            features = model.condition_features(_read(folder.read_person, ids, device))
            warped = model.warp_garment(features, _read(folder.read_garment, ids, device))
            for person, sampling_map in zip(ids, warped.flow.sampling_map, strict=True):
                _write_flow(out / FLOW_FOLDER / f"{_stems(folder, person, person)[0]}.npz", sampling_map)


def write_fake(out: Path, name: str, image: Tensor, mask: Tensor) -> None:
    """Write a picture (3 x H x W in [-1, 1]) and its garment mask (1 x H x W in [0, 1]) in 8 bits."""
    levels = mask[0].float().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)
    for path, picture in (
        (out / MASK_FOLDER / f"{name}.png", Image.fromarray(levels.numpy())),
        (out / f"{name}.png", tensor_to_image(image)),
    ):
        with whole_file(path) as file:
            picture.save(file, "PNG")


def _write_flow(path: Path, sampling_map: Tensor) -> None:
    height, width = sampling_map.shape[-2:]
    last = torch.tensor((width - 1, height - 1)).view(2, 1, 1)
    with whole_file(path) as file:
        np.savez_compressed(file, source=((sampling_map.float().cpu() + 1) / 2 * last).numpy())


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for first in range(0, len(items), BATCH):
        yield items[first : first + BATCH]


def _read(read: Callable[[str], T], ids: Sequence[str], device: str) -> T:
    return move(stack([read(key) for key in ids]), device)


def _stems(folder: TryOnFolder, person: str, garment: str) -> tuple[str, str]:
    return folder.photo_path(person).stem, folder.garment_path(garment).stem
