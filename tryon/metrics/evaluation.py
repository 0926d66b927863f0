"""A model against the truth, over the pairs of a test folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.folder import TryOnFolder
from tryon.data.images import open_image, tensor_to_image
from tryon.data.sample import move, stack
from tryon.errors import InputError
from tryon.inference import resized_map
from tryon.metrics.measures import flow_end_point_error, structural_similarity
from tryon.models import TryOnModel
from tryon.weights import write_json

TRUTH_FOLDER = "test_truth"
FLOW_FOLDER = "test_flow"


@dataclass(frozen=True)
class PairScore:
    """Scores of one pair.

    Attributes:
        person: id.
        garment: id.
        ssim: structural similarity to the true photo.
        end_point_error: mean distance to the true flow over the visible garment, in pixels; None without a true flow.
    """

    person: str
    garment: str
    ssim: float
    end_point_error: float | None


@dataclass(frozen=True)
class Evaluation:
    """Scores of all pairs and their means."""

    ssim: float
    end_point_error: float | None
    pairs: list[PairScore]


def evaluate(
    model: TryOnModel,
    folder: TryOnFolder,
    pairs: list[tuple[str, str]],
    device: str = "cpu",
    progress: Callable[[int], object] | None = None,
) -> Evaluation:
    """Dress every pair and compare with the true photo and the true flow.

    The truth of a pair is ``test_truth/PERSON__GARMENT.png``, or for a person's own garment the photo itself.
    ``progress`` is called with 1 after each pair.

    Raises:
        InputError: before the first pair is dressed: a picture cannot be read, a pair has no truth, or a tutor meets a
            person without parsing.
    """
    _check_pairs(model, folder, pairs)
    model = model.to(device).eval()
    scores = []
    for person, garment in pairs:
        scores.append(_score(model, folder, person, garment, device))
        if progress is not None:
            progress(1)
    errors = [score.end_point_error for score in scores if score.end_point_error is not None]
    return Evaluation(
        ssim=float(np.mean([score.ssim for score in scores])),
        end_point_error=float(np.mean(errors)) if errors else None,
        pairs=scores,
    )


def write_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write scores as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(evaluation))


@torch.inference_mode()
def dress_pair(
    model: TryOnModel, folder: TryOnFolder, person: str, garment: str, device: str = "cpu"
) -> tuple[Image.Image, Tensor]:
    """Dress one pair of a test folder at the folder's size: try-on image and sampling map (2 x H x W)."""
    _check_labels(model, folder, person)
    batch = move(stack([folder.read_person(person)]), device), move(stack([folder.read_garment(garment)]), device)
    result = model(*batch)
    return tensor_to_image(result.image[0]), result.warped.flow.sampling_map[0].cpu()


def true_photo(folder: TryOnFolder, person: str, garment: str) -> Image.Image:
    """The true photo of a pair, at its own size."""
    path = folder.root / TRUTH_FOLDER / f"{_pair_name(folder, person, garment)}.png"
    if path.exists():
        return open_image(path)
    if person == garment:
        return open_image(folder.photo_path(person))
    raise InputError(f"{path}: no such file, wanted the true photo of the pair")


def _score(model: TryOnModel, folder: TryOnFolder, person: str, garment: str, device: str) -> PairScore:
    image, sampling_map = dress_pair(model, folder, person, garment, device)
    truth = true_photo(folder, person, garment)
    ssim = structural_similarity(image.resize(truth.size, Image.Resampling.BICUBIC), truth)
    flow_path = folder.root / FLOW_FOLDER / f"{_pair_name(folder, person, garment)}.npz"
    if not flow_path.exists():
        return PairScore(person, garment, ssim, None)
    source = torch.from_numpy(_read_flow(flow_path))
    height, width = source.shape[-2:]
    error = flow_end_point_error(resized_map(sampling_map[None], (height, width))[0], source)
    return PairScore(person, garment, ssim, error)


def _read_flow(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            source = arrays["source"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise InputError(f"{path}: cannot be read as a true flow ({error})") from None
    if source.ndim != 3 or source.shape[0] != 2:
        raise InputError(f"{path}: found shape {source.shape}, wanted 2 x H x W")
    return source


def _check_labels(model: TryOnModel, folder: TryOnFolder, person: str) -> None:
    if model.role == "tutor" and person not in folder.labelled_people:
        raise InputError(f"{folder.root}: found no parsing or pose of {person}, wanted both for a tutor")


def _check_pairs(model: TryOnModel, folder: TryOnFolder, pairs: list[tuple[str, str]]) -> None:
    for person in dict.fromkeys(person for person, _ in pairs):
        _check_labels(model, folder, person)
        folder.read_person(person)
    for garment in dict.fromkeys(garment for _, garment in pairs):
        folder.read_garment(garment)
    for pair in pairs:
        true_photo(folder, *pair)


def _pair_name(folder: TryOnFolder, person: str, garment: str) -> str:
    return f"{folder.photo_path(person).stem}__{folder.garment_path(garment).stem}"
