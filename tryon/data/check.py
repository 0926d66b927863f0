"""Reading a whole data set, to know before training what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image
from torch import Tensor

from tryon.config import check_training_size
from tryon.data.duplicates import difference_hash, near_duplicates
from tryon.data.folder import TryOnFolder
from tryon.data.images import Size, format_size
from tryon.data.labels import Regions
from tryon.data.layouts import find_layout, sample_id
from tryon.data.pairs import read_names
from tryon.errors import InputError
from tryon.garment_mask import check_mask

T = TypeVar("T")

TOUCHING = 0.01  # share of a side of the picture that a garment covers
_HALF = 128


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data set.

    Attributes:
        split: whose it is.
        kind: of the file: photo, garment, mask, parsing, pose, DensePose or pairs; or the folder, a duplicate.
        file: below the data folder.
        found: what was found, in a line.
        stops: whether training or dressing would stop there; otherwise it is something to look at.
    """

    split: str
    kind: str
    file: str
    found: str
    stops: bool


class FolderCheck:
    """A check of all splits of a data folder.

    Args:
        root: the data folder.
        size: (height, width) that everything would be resized to.
        layout: name of the layout; by default it is recognised.

    Attributes:
        layout: name of the layout.
        licence: of the set.
        folders: the splits that can be opened.
        findings: what was found until now.

    Raises:
        InputError: there is no split.
    """

    def __init__(self, root: Path, size: Size | None = None, layout: str | None = None) -> None:
        found = find_layout(root, layout)
        self.root = root
        self.layout = found.name
        self.licence = found.licence
        self.folders: list[TryOnFolder] = []
        self.findings: list[Finding] = []
        self._hashes: dict[str, dict[str, np.ndarray]] = {}
        splits = found.splits_at(root)
        if not splits:
            raise InputError(f"{root}: found no people of layout {found.name}")
        for split in splits:
            folder = self._try(split, "folder", root, self._open, split, size)
            if folder is not None:
                self.folders.append(folder)

    def _open(self, split: str, size: Size | None) -> TryOnFolder:
        folder = TryOnFolder(self.root, split, size, self.layout, partial=True)
        if split == "train":
            return folder
        return TryOnFolder(self.root, split, folder.size, self.layout, partial=True)  # test photos are of any size

    @property
    def files(self) -> int:
        """How many people and garments `run` reads."""
        return sum(len(folder.people) + len(folder.garments) for folder in self.folders)

    @property
    def faults(self) -> int:
        """Findings that would stop training or dressing."""
        return sum(finding.stops for finding in self.findings)

    @property
    def summaries(self) -> list[str]:
        """What there is, a line a split."""
        return [_summary(folder) for folder in self.folders]

    def run(self, progress: Callable[[int], object] = lambda files: None) -> None:
        """Read everything; ``progress`` is called with 1 after each person and garment."""
        for folder in self.folders:
            missing = folder.missing()
            for file in missing:
                self._add(folder.split, "missing", file.file, self._shortened(file.found), stops=True)
            if folder.split == "train":
                self._try(folder.split, "size", self.root, check_training_size, folder.size)
            self._hashes[folder.split] = {}
            for person in folder.people:
                self._check_person(folder, person)
                progress(1)
            for garment in folder.garments:
                self._check_garment(folder, garment, {file.file for file in missing})
                progress(1)
            for path in folder.pair_lists:
                self._try(folder.split, "pairs", path, self._check_pairs, folder, path)
        if "train" in self._hashes and "test" in self._hashes:
            self._check_duplicates()

    def _check_person(self, folder: TryOnFolder, person: str) -> None:
        split, files = folder.split, folder.files_of(person)
        photo = self._try(split, "photo", files["photo"], folder.open_photo, person)
        if photo is None:
            return
        self._hashes[split][str(files["photo"])] = difference_hash(photo)
        original = photo.size[::-1]
        for kind, read in (
            ("parsing", folder.read_regions),
            ("pose", folder.read_pose),
            ("densepose", folder.read_densepose),
        ):
            if kind in files:
                value = self._try(split, kind, files[kind], read, person, original)
                if isinstance(value, Regions) and not value.garment.any():
                    self._add(split, kind, files[kind], "found no garment")
                if kind == "pose" and isinstance(value, Tensor):
                    self._look_at_keypoints(folder, files[kind], value)

    def _look_at_keypoints(self, folder: TryOnFolder, path: Path, keypoints: Tensor) -> None:
        height, width = folder.size
        present = keypoints[keypoints[:, 2] > 0]
        outside = int(((present[:, 0] >= width) | (present[:, 1] >= height)).sum())
        if outside:
            self._add(folder.split, "pose", path, f"found {outside} of {len(present)} keypoints outside the photo")
        if not len(present):
            self._add(folder.split, "pose", path, "found no keypoint")

    def _check_garment(self, folder: TryOnFolder, garment: str, without_mask: set[Path]) -> None:
        split, files = folder.split, folder.files_of(garment)
        if files["garment"] in without_mask:
            return
        opened = self._try(split, "garment", files["garment"], folder.open_garment, garment, mask=files.get("mask"))
        if opened is None:
            return
        photo, mask = opened
        self._try(split, "garment", files["garment"], folder.check_size, files["garment"], photo.size[::-1])
        path = files.get("mask", files["garment"])
        sides = self._try(split, "mask", path, touched_sides, mask, str(path))
        if sides:
            self._add(split, "mask", path, f"found a garment that touches the picture's {' and '.join(sides)}")

    def _check_pairs(self, folder: TryOnFolder, path: Path) -> None:
        for number, person, garment in read_names(path, folder.layout.columns(path)):
            line = path.with_name(f"{path.name}:{number}")
            self._try(folder.split, "pairs", line, folder.photo_path, sample_id(person))
            self._try(folder.split, "pairs", line, folder.garment_path, sample_id(garment))

    def _check_duplicates(self) -> None:
        for here, there in near_duplicates(self._hashes["test"], self._hashes["train"]):
            self._add("test", "duplicate", Path(here), f"found nearly the photo of {self._below(Path(there))}")

    def _try(
        self,
        split: str,
        kind: str,
        path: Path,
        function: Callable[..., T],
        *arguments: object,
        mask: Path | None = None,
    ) -> T | None:
        """What a function returns; None where it raises InputError, which is a finding of the file (or its mask)."""
        try:
            return function(*arguments)
        except InputError as error:
            if mask is not None and str(error).startswith(f"{mask}: "):
                kind, path = "mask", mask
            self._add(split, kind, path, self._shortened(str(error).removeprefix(f"{path}: ")), stops=True)
            return None

    def _shortened(self, text: str) -> str:
        return text.replace(f"{self.root}/", "")

    def _add(self, split: str, kind: str, path: Path, found: str, *, stops: bool = False) -> None:
        self.findings.append(Finding(split, kind, self._below(path), found, stops))

    def _below(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def touched_sides(mask: Image.Image, name: str) -> list[str]:
    """Sides of the picture that a garment touches. Raises InputError for what cannot be a garment's mask."""
    check_mask(mask, name)
    inside = np.asarray(mask) >= _HALF
    sides = {"top": inside[0], "bottom": inside[-1], "left": inside[:, 0], "right": inside[:, -1]}
    return [side for side, pixels in sides.items() if pixels.mean() > TOUCHING]


def _summary(folder: TryOnFolder) -> str:
    labels = f"{folder.scheme.name} labels" if folder.scheme else "no parsing"
    densepose = "DensePose" if folder.has_densepose else "no DensePose"
    return (
        f"{folder.split}: {len(folder.people)} people ({len(folder.labelled_people)} with parsing and pose), "
        f"{len(folder.garments)} garments, {format_size(folder.size)}, {labels}, {densepose}"
    )
