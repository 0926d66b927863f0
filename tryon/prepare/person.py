"""A person's photo to what a data folder has of it: framed photo, parsing, pose, body parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon.data.folder import read_densepose
from tryon.data.images import Size, format_size, open_image, read_image, resize, upright
from tryon.data.images.frames import Frame, cut, frame_of_person
from tryon.data.labels import LIP
from tryon.data.pose import read_keypoints, read_people
from tryon.errors import InputError
from tryon.plain_background import pieces_of
from tryon.prepare.body_parts import NECK, SHOULDERS, draw_body_parts
from tryon.prepare.framing import frame_of_body
from tryon.prepare.inputs import Files
from tryon.prepare.parser import FACE, Labels, Parser, as_lip
from tryon.prepare.pose_network import Keypoints, PoseNetwork

_SECOND_FACE = 1 / 3  # of the largest one's area; another so large is another person
_SMALLEST_GARMENT = 0.02  # share of the frame


@dataclass(frozen=True)
class Sight:
    """How people are seen.

    Attributes:
        size: height and width of the data set.
        scheme: LIP labels by label of parser and label maps, as `tryon.prepare.parser.read_scheme` gives them.
        parser: for people without a label map.
        pose: for people without a pose file.
        whole: whether photos are framed already: the middle of the photo's height is the frame.
        body_parts: whether they are drawn from the pose where there is no DensePose.
    """

    size: Size
    scheme: tuple[int, ...]
    parser: Parser | None = None
    pose: PoseNetwork | None = None
    whole: bool = False
    body_parts: bool = True


@dataclass(frozen=True)
class Framed:
    """A person as the data set has it: RGB photo, H x W LIP labels, 18 x 3 keypoints and H x W parts or None."""

    photo: Image.Image
    labels: Labels
    keypoints: Keypoints
    parts: NDArray[np.uint8] | None
    frame: Frame
    garment_share: float


def frame_person(files: Files, sight: Sight) -> Framed:
    """See a person and cut the photo around. Raises InputError where there is none, or more than one, or no garment."""
    photo = open_image(files.photo)
    keypoints = _keypoints(files, photo, sight.pose)
    size = photo.height, photo.width
    frame = frame_of_person(photo, sight.size) if sight.whole else frame_of_body(keypoints, size, sight.size)
    framed = cut(photo, frame)
    labels = _labels(files, photo, frame, framed, sight)
    garment_share = float(np.isin(labels, list(LIP.garment)).mean())
    if (faces := _faces(labels)) > 1:
        raise InputError(f"found {faces} faces in the parsing, wanted one person")
    if garment_share < _SMALLEST_GARMENT:
        raise InputError(
            f"found {garment_share:.1%} of the frame to be upper clothes in the parsing, wanted {_SMALLEST_GARMENT:.0%}"
        )
    moved = _moved(keypoints, frame, sight.size)
    return Framed(
        resize(framed, sight.size), labels, moved, _parts(files, size, frame, moved, sight), frame, garment_share
    )


def _keypoints(files: Files, photo: Image.Image, network: PoseNetwork | None) -> Keypoints:
    if files.pose is None:
        if network is None:
            raise InputError("found no pose file, wanted one or --pose FILE")
        return network(photo)
    standing = [person for person in read_people(files.pose) if (person[[NECK, *SHOULDERS], 2] > 0).all()]
    if len(standing) > 1:
        raise InputError(f"found {len(standing)} people with neck and shoulders in {files.pose.name}, wanted one")
    return read_keypoints(files.pose, (photo.height, photo.width)).double().numpy()


def _labels(files: Files, photo: Image.Image, frame: Frame, framed: Image.Image, sight: Sight) -> Labels:
    if files.labels is None:
        if sight.parser is None:
            raise InputError("found no label map, wanted one or --parser FILE")
        return sight.parser(framed, sight.size)
    image = read_image(files.labels)
    if image.mode not in ("L", "P"):
        raise InputError(f"found {files.labels.name} of mode {image.mode}, wanted one channel of label values")
    labels = upright(image, str(files.labels))
    _check_size(files.labels, (labels.height, labels.width), (photo.height, photo.width))
    return as_lip(_cut_labels(np.asarray(labels), frame, sight.size), sight.scheme, files.labels.name)


def _check_size(path: Path, found: tuple[int, ...], wanted: Size) -> None:
    if found != wanted:
        raise InputError(f"found {path.name} of {'x'.join(map(str, found))}, wanted {format_size(wanted)} as its photo")


def _parts(files: Files, photo: Size, frame: Frame, keypoints: Keypoints, sight: Sight) -> NDArray[np.uint8] | None:
    if files.densepose is None:
        return draw_body_parts(keypoints, sight.size) if sight.body_parts else None
    parts = read_densepose(files.densepose).numpy().astype(np.uint8)
    _check_size(files.densepose, parts.shape, photo)
    return _cut_labels(parts, frame, sight.size)


def _cut_labels(labels: NDArray[np.uint8], frame: Frame, size: Size) -> NDArray[np.uint8]:
    """A map within a frame, at a size: the nearest label, as labels must not mix."""
    return np.asarray(cut(Image.fromarray(labels), frame).resize(size[::-1], Image.Resampling.NEAREST))


def _moved(keypoints: Keypoints, frame: Frame, size: Size) -> Keypoints:
    """Keypoints in the pixels of a frame that was resized; absent where they are outside."""
    left, top, right, bottom = frame
    moved = keypoints.copy()
    moved[:, 0] = (keypoints[:, 0] + 0.5 - left) * size[1] / (right - left) - 0.5
    moved[:, 1] = (keypoints[:, 1] + 0.5 - top) * size[0] / (bottom - top) - 0.5
    outside = (moved[:, 0] < 0) | (moved[:, 1] < 0) | (moved[:, 0] >= size[1]) | (moved[:, 1] >= size[0])
    moved[outside | (keypoints[:, 2] <= 0)] = 0
    return moved


def _faces(labels: Labels) -> int:
    sizes = np.bincount(pieces_of(labels == FACE).ravel())[1:]
    return int((sizes > _SECOND_FACE * sizes.max()).sum()) if len(sizes) else 0
