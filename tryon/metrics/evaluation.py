"""A model against the truth, over the pairs of a test folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from tryon.data.flow import read_flow
from tryon.data.folder import TryOnFolder, as_written
from tryon.data.images import image_to_tensor, open_image, read_image, tensor_to_image
from tryon.data.sample import move, stack
from tryon.data.synthetic import Label
from tryon.errors import InputError
from tryon.inference import resized_map
from tryon.losses import PerceptualLoss
from tryon.metrics.measures import (
    colour_error,
    flow_end_point_error,
    mask_overlap,
    peak_signal_to_noise_ratio,
    structural_similarity,
)
from tryon.models import TryOnModel, Warped
from tryon.weights import write_json

TRUTH_FOLDER = "test_truth"
LABEL_FOLDER = "test_truth_label"
FLOW_FOLDER = "test_flow"
SKIN = (Label.LEFT_ARM, Label.RIGHT_ARM, Label.NECK)  # what garments cover and uncover


@dataclass(frozen=True)
class Scores:
    """How near a try-on image is to the true photo. None where there is no such truth.

    Attributes:
        ssim: structural similarity.
        psnr: peak signal-to-noise ratio, dB.
        perceptual: `PerceptualLoss` between the two; None where none was given.
        end_point_error: mean distance to the true flow over the visible garment, pixels.
        mask_overlap: intersection over union of the warped mask and the garment.
        skin_error: mean absolute difference of colours on arms, neck and trunk, grey levels.
        kept_error: the same where the person's own photo shows the same and no skin or garment: face, hair, other
            clothes, background.
    """

    ssim: float
    psnr: float
    perceptual: float | None
    end_point_error: float | None
    mask_overlap: float | None
    skin_error: float | None
    kept_error: float | None


MEASURES = tuple(field.name for field in fields(Scores))


@dataclass(frozen=True)
class PairScore(Scores):
    """Scores of one pair, of a person and a garment by their ids."""

    person: str
    garment: str


@dataclass(frozen=True)
class Evaluation(Scores):
    """Means over the pairs that have such a truth, and the scores of all pairs."""

    pairs: list[PairScore]


def evaluate(
    model: TryOnModel,
    folder: TryOnFolder,
    pairs: list[tuple[str, str]],
    device: str = "cpu",
    progress: Callable[[int], object] | None = None,
    perceptual: PerceptualLoss | None = None,
    dressed: Callable[[str, str, Image.Image], object] | None = None,
) -> Evaluation:
    """Dress every pair and compare with the true photo, its parsing and the true flow.

    The truth of a pair is ``test_truth/PERSON__GARMENT.png``, or for a person's own garment the photo itself; drawn
    folders have ``test_truth_label`` and ``test_flow`` too. ``progress`` is called with 1 after each pair, ``dressed``
    with each pair and its try-on image, of the folder's size.

    Raises:
        InputError: before the first pair is dressed: a picture cannot be read, a pair has no truth, or a tutor meets a
            person without parsing.
    """
    check_pairs(model, folder, pairs)
    for person, garment in pairs:
        true_photo(folder, person, garment)
        _true_flow(folder, person, garment)
        for worn in (garment, person):
            true_labels(folder, person, worn)
    model = model.to(device).eval()
    scores = []
    for person, garment in pairs:
        image, warped = dress_pair(model, folder, person, garment, device)
        scores.append(_score(image, warped, folder, person, garment, perceptual))
        if dressed is not None:
            dressed(person, garment, image)
        if progress is not None:
            progress(1)
    means: dict[str, Any] = {name: _mean([getattr(score, name) for score in scores]) for name in MEASURES}
    return Evaluation(**means, pairs=scores)


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write scores as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(evaluation))


@torch.inference_mode()
def dress_pair(
    model: TryOnModel, folder: TryOnFolder, person: str, garment: str, device: str = "cpu"
) -> tuple[Image.Image, Warped]:
    """Dress one pair of a test folder at the folder's size: try-on image, and the warped garment as a batch of one."""
    _check_labels(model, folder, person)
    batch = move(stack([folder.read_person(person)]), device), move(stack([folder.read_garment(garment)]), device)
    result = model(*batch)
    return tensor_to_image(result.image[0]), result.warped


def check_pairs(model: TryOnModel, folder: TryOnFolder, pairs: list[tuple[str, str]]) -> None:
    """Read what a model sees of all pairs. Raises InputError where a file cannot be read, or a tutor lacks parsing."""
    for person in dict.fromkeys(person for person, _ in pairs):
        _check_labels(model, folder, person)
        folder.read_person(person)
    for garment in dict.fromkeys(garment for _, garment in pairs):
        folder.read_garment(garment)


def true_photo_path(folder: TryOnFolder, person: str, garment: str) -> Path | None:
    """File of a pair's true photo; None where the folder has none."""
    path = _pair_file(folder, TRUTH_FOLDER, person, garment, ".png")
    if path.exists():
        return path
    return folder.photo_path(person) if person == garment else None


def true_photo(folder: TryOnFolder, person: str, garment: str) -> Image.Image:
    """The true photo of a pair, at its own size."""
    path = true_photo_path(folder, person, garment)
    if path is None:
        path = _pair_file(folder, TRUTH_FOLDER, person, garment, ".png")
        raise InputError(f"{path}: no such file, wanted the true photo of the pair")
    return open_image(path)


def true_labels(folder: TryOnFolder, person: str, garment: str) -> NDArray[np.uint8] | None:
    """Exact parsing of a pair's true photo, H x W, as drawn folders have it; None without."""
    if garment not in folder.garments:
        return None
    path = _pair_file(folder, LABEL_FOLDER, person, garment, ".png")
    return np.asarray(read_image(path)) if path.exists() else None


def pair_name(folder: TryOnFolder, person: str, garment: str) -> str:
    """What files of a pair are called, without an ending: ``PERSON__GARMENT``, both as their pictures are called."""
    return f"{folder.photo_path(person).stem}__{folder.garment_path(garment).stem}"


def _score(
    image: Image.Image,
    warped: Warped,
    folder: TryOnFolder,
    person: str,
    garment: str,
    perceptual: PerceptualLoss | None,
) -> PairScore:
    truth = true_photo(folder, person, garment)
    image = image.resize(truth.size, Image.Resampling.BICUBIC)
    size = truth.height, truth.width
    labels, own_labels = (true_labels(folder, person, worn) for worn in (garment, person))
    skin = kept = shown = None
    if labels is not None:
        mask = F.interpolate(warped.mask.float().cpu(), size=size, mode="bilinear", align_corners=False)[0, 0]
        shown = mask_overlap((mask > 1 / 2).numpy(), labels == Label.GARMENT)
        skin = colour_error(image, truth, np.isin(labels, SKIN))
        if own_labels is not None:
            kept = colour_error(image, truth, (labels == own_labels) & ~np.isin(labels, (Label.GARMENT, *SKIN)))
    return PairScore(
        ssim=structural_similarity(image, truth),
        psnr=peak_signal_to_noise_ratio(image, truth),
        perceptual=None if perceptual is None else _distance(perceptual, image, truth),
        end_point_error=_flow_error(folder, person, garment, warped),
        mask_overlap=shown,
        skin_error=skin,
        kept_error=kept,
        person=person,
        garment=garment,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


@torch.inference_mode()
def _distance(perceptual: PerceptualLoss, image: Image.Image, truth: Image.Image) -> float:
    return perceptual(image_to_tensor(image)[None], image_to_tensor(truth)[None]).item()


def _pair_file(folder: TryOnFolder, kind: str, person: str, garment: str, suffix: str) -> Path:
    return as_written(folder.root / kind / f"{pair_name(folder, person, garment)}{suffix}")


def _true_flow(folder: TryOnFolder, person: str, garment: str) -> Tensor | None:
    path = _pair_file(folder, FLOW_FOLDER, person, garment, ".npz")
    return read_flow(path) if path.exists() else None


def _flow_error(folder: TryOnFolder, person: str, garment: str, warped: Warped) -> float | None:
    source = _true_flow(folder, person, garment)
    if source is None:
        return None
    height, width = source.shape[-2:]
    return flow_end_point_error(resized_map(warped.flow.sampling_map.float().cpu(), (height, width))[0], source)


def _check_labels(model: TryOnModel, folder: TryOnFolder, person: str) -> None:
    if model.role == "tutor" and person not in folder.labelled_people:
        raise InputError(f"{folder.root}: found no parsing or pose of {person}, wanted both for a tutor")
