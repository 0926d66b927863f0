"""Pose networks that are ONNX files: SimCC (RTMPose, DWPose) or heatmaps, to OpenPose's 18 keypoints of one person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon.data.condition import POSE_KEYPOINTS
from tryon.errors import InputError
from tryon.prepare.networks import Network, shapes_of

Keypoints = NDArray[np.float64]
Box = tuple[float, float, float, float]  # left, top, width, height

FREE_SIZE = (256, 192)
PADDING = 1.25  # of a person's box, as these networks are trained
_COCO = 17
_COCO_BODIES = (17, 26, 133)  # COCO, Halpe and whole bodies: all begin with COCO's 17
_OPENPOSE = (18, 19)  # with a map of the background
_NECK = 1
_LEFT_SHOULDER, _RIGHT_SHOULDER = 5, 6
_COCO_OF_OPENPOSE = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)


class PoseNetwork:
    """A pose network that is an ONNX file, for photos of one person.

    It sees the photo twice: whole, and around what it found there.

    Args:
        path: the file; input N x 3 x H x W, 256 x 192 where it leaves the size open. Outputs are either two of
            N x K x places, the scores of columns and of rows (SimCC), K being 17, 26 or 133 with COCO's keypoints
            first; or heatmaps, N x K x h x w, K being 17 (COCO) or 18 or 19 (OpenPose).
        normalisation: name of one of `tryon.prepare.networks.NORMALISATIONS`; RTMPose's is "imagenet".
        confidence: the least score of a keypoint that is present.
    """

    def __init__(self, path: Path, normalisation: str, confidence: float) -> None:
        if not 0 < confidence < 1:
            raise InputError(f"--confidence: found {confidence:g}, wanted a score between 0 and 1")
        self._network = Network(path, normalisation, FREE_SIZE)
        self._confidence = confidence

    def __call__(self, photo: Image.Image) -> Keypoints:
        """18 x 3: x and y in the photo's pixels, and the score; all 0 for a keypoint that is absent."""
        found = self._look(photo, (0, 0, photo.width, photo.height), padding=1)
        there = found[found[:, 2] > 0]
        if len(there) < 2:
            return found
        left, top = there[:, :2].min(axis=0)
        width, height = there[:, :2].max(axis=0) - (left, top)
        return self._look(photo, (left, top, width, height), PADDING)

    def _look(self, photo: Image.Image, box: Box, padding: float) -> Keypoints:
        height, width = self._network.size
        frame_height = round(padding * max(box[3], box[2] * height / width, 1))
        frame_width = max(1, round(frame_height * width / height))
        left, top = round(box[0] + (box[2] - frame_width) / 2), round(box[1] + (box[3] - frame_height) / 2)
        framed = photo.crop((left, top, left + frame_width, top + frame_height))  # black beyond the photo
        picture = framed.resize((width, height), Image.Resampling.BILINEAR)
        shares = self._shares(self._network(picture))
        x, y = left + shares[:, 0] * frame_width - 0.5, top + shares[:, 1] * frame_height - 0.5
        keypoints = np.stack([x, y, shares[:, 2]], axis=1)
        within = (x >= 0) & (y >= 0) & (x <= photo.width - 1) & (y <= photo.height - 1)
        keypoints[~within | (shares[:, 2] < self._confidence)] = 0
        return keypoints

    def _shares(self, outputs: dict[str, NDArray[Any]]) -> Keypoints:
        """18 x 3: where in the picture, as shares of its width and height, and the score."""
        lines = [value for value in outputs.values() if value.ndim == 3]
        maps = [value for value in outputs.values() if value.ndim == 4]
        if len(lines) == 2 and lines[0].shape[1] == lines[1].shape[1] and lines[0].shape[1] in _COCO_BODIES:
            x, y = (line[0].astype(np.float64) for line in lines)
            score = np.minimum(x.max(axis=1), y.max(axis=1))
            sides = self._network.size[::-1]
            places = [
                line.argmax(axis=1) / line.shape[1] + 0.5 / side for line, side in zip((x, y), sides, strict=True)
            ]
            return _from_coco(np.stack([*places, score], axis=1)[:_COCO])
        known = [value[0] for value in maps if value.shape[1] in (_COCO, *_OPENPOSE)]
        if known:
            heat = known[-1].astype(np.float64)
            count, height, width = heat.shape
            highest = heat.reshape(count, -1).argmax(axis=1)
            row, column = np.divmod(highest, width)
            score = heat.reshape(count, -1).max(axis=1)
            points = np.stack([(column + 0.5) / width, (row + 0.5) / height, score], axis=1)
            return _from_coco(points) if count == _COCO else points[:POSE_KEYPOINTS]
        raise InputError(
            f"{self._network.path}: found the outputs {shapes_of(outputs)}, wanted two of 1 x K x places (SimCC, K 17,"
            f" 26 or 133) or heatmaps of 1 x K x h x w (K 17, 18 or 19)"
        )


def _from_coco(points: Keypoints) -> Keypoints:
    """OpenPose's 18 of COCO's 17: the neck is the middle of the shoulders, as sure as the less sure of them."""
    ordered = points[list(_COCO_OF_OPENPOSE)]
    shoulders = points[[_LEFT_SHOULDER, _RIGHT_SHOULDER]]
    ordered[_NECK] = [*shoulders[:, :2].mean(axis=0), shoulders[:, 2].min()]
    return ordered
