"""A split of a data set, wherever its files lie: reading them into people and garments.

Files belong together by their id: the name without extension, without ``_keypoints`` and without a closing ``_0``
(photo) or ``_1`` (garment), so ``000010_0.jpg``, ``000010_1.png`` and ``000010_0_keypoints.json`` are one sample. In
which folders they are, the layout says (`tryon.data.layouts`).
"""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.densepose import read_densepose
from tryon.data.images import (
    Size,
    format_size,
    image_to_tensor,
    mask_to_tensor,
    on_white,
    open_image,
    open_mask,
    read_image,
    resize,
    upright,
)
from tryon.data.labels import LabelScheme, Regions, regions_of
from tryon.data.layouts import SplitFiles, find_layout, sample_id
from tryon.data.layouts.layout import KINDS
from tryon.data.layouts.split import Missing
from tryon.data.pairs import USUAL_COLUMNS, read_names
from tryon.data.pose import read_keypoints
from tryon.data.sample import Garment, Person, Sample
from tryon.errors import InputError
from tryon.garment_mask import cut_out

_log = logging.getLogger(__name__)


def as_written(path: Path) -> Path:
    """A file's path, with the accents of its name written as the folder has them, if it has the file."""
    if not path.name.isascii() and not path.exists() and path.parent.is_dir():
        name = unicodedata.normalize("NFC", path.name)
        return next((own for own in path.parent.iterdir() if unicodedata.normalize("NFC", own.name) == name), path)
    return path


class TryOnFolder:
    """One split of a data set.

    Args:
        root: the data folder.
        split: "train" (every garment is the one its person wears, all files must be there) or "test"
            (people and garments are combined by pair files; parsing, pose and DensePose where they are).
        size: (height, width) to resize everything to; by default the first photo's, which all files must then have.
        layout: name of the layout; by default it is recognised.
        partial: take a train split of which files are `missing` too.
        posed: whether a train split must have poses, which only a tutor sees.

    Attributes:
        layout: how the files lie.
        size: (height, width) of all tensors that are read.
        scheme: label scheme of the parsing, or None without a parsing folder.
        has_densepose: whether there is a DensePose folder.
        people: ids of the photos, sorted, in each category.
        garments: ids of the product photos, so too.

    Raises:
        InputError: a folder or file is missing, or ids do not match; the message names it.
    """

    def __init__(
        self,
        root: Path,
        split: str,
        size: Size | None = None,
        layout: str | None = None,
        *,
        partial: bool = False,
        posed: bool = True,
    ) -> None:
        self.root = root
        self.split = split
        self.layout = find_layout(root, layout)
        if split not in self.layout.splits:
            raise InputError(f"{root}: found layout {self.layout.name}, which has no {split} split")
        self._parts = [
            SplitFiles(base, root, split, self.layout, scheme, posed) for base, scheme in self.layout.bases(root)
        ]
        self._files = {kind: self._joined(kind) for kind in KINDS}
        self._part_of = {person: part for part in self._parts for person in part.found["photo"].files}
        self.scheme = self._parts[0].scheme
        self.has_densepose = bool(self._files["densepose"])
        self.people = list(self._files["photo"])
        self.garments = list(self._files["garment"])
        self._resizes = size is not None
        self.size = size or open_image(self.photo_path(self.people[0])).size[::-1]
        if not partial and (missing := self.missing()):
            raise InputError(f"{missing[0].file}: {missing[0].found} ({len(missing)} missing)")

    def _joined(self, kind: str) -> dict[str, Path]:
        """Files of a kind of all parts, by id."""
        joined: dict[str, Path] = {}
        for part in self._parts:
            for key, path in part.found[kind].files.items() if kind in part.found else ():
                if (other := joined.setdefault(key, path)) is not path:
                    raise InputError(f"{path}: found id {key}, which {other} has; wanted one file of an id")
        return joined

    def missing(self) -> list[Missing]:
        """Files without their partners: in a train split of all kinds, in a test split garments without any mask."""
        return [file for part in self._parts for file in part.missing()]

    @property
    def labelled_people(self) -> list[str]:
        """Ids of the people that have parsing and pose (and DensePose where the folder has it)."""
        kinds = ["parsing", "pose"] + (["densepose"] if self.has_densepose else [])
        return [person for person in self.people if all(person in self._files[kind] for kind in kinds)]

    @property
    def pair_lists(self) -> list[Path]:
        """The pair files of the split that are in the data folder."""
        bases = [part.base for part in self._parts]
        return sorted({path for base in bases for path in self.layout.pair_lists(base, self.root, self.split)})

    @property
    def files(self) -> list[Path]:
        """All files of the split."""
        return [path for files in self._files.values() for path in files.values()]

    def files_of(self, key: str) -> dict[str, Path]:
        """The files of an id, by kind: photo, garment, mask, parsing, pose, densepose."""
        return {kind: files[key] for kind, files in self._files.items() if key in files}

    def photo_path(self, person: str) -> Path:
        """File of a person's photo."""
        return self._lookup("photo", person)

    def garment_path(self, garment: str) -> Path:
        """File of a product photo."""
        return self._lookup("garment", garment)

    def mask_path(self, garment: str) -> Path:
        """File of a garment mask: the product photo, of which it is made, where there is no other."""
        return self._files["mask"].get(garment) or self.garment_path(garment)

    def _lookup(self, kind: str, key: str) -> Path:
        if key not in self._files[kind]:
            folders = [str(part.found[kind].folder) for part in self._parts if kind in part.found]
            raise InputError(f"{' or '.join(folders) or self.root}: found no file of {key}")
        return self._files[kind][key]

    def open_garment(self, garment: str) -> tuple[Image.Image, Image.Image]:
        """Open a product photo (RGB, on white) and its mask (L), at their own size.

        Without a mask file it is the photo's transparency, or where the layout says so what `cut_out` makes.
        """
        path, mask_path = self.garment_path(garment), self._files["mask"].get(garment)
        if mask_path is None and self.layout.makes_masks:
            return cut_out(open_image(path, "RGBA"), None, str(path))
        if mask_path is None:
            photo = open_image(path, "RGBA")
            mask = photo.getchannel("A")
            if mask_to_tensor(mask).all():
                wanted = "wanted one of the two as its mask"
                raise InputError(f"{path}: found no mask file and nothing transparent, {wanted}")
            return on_white(photo), mask
        photo, mask = open_image(path), open_mask(mask_path)
        if mask.size != photo.size:
            found, wanted = (format_size(image.size[::-1]) for image in (mask, photo))
            raise InputError(f"{mask_path}: found {found}, wanted {wanted} as its photo has")
        return photo, mask

    def read_garment(self, garment: str) -> Garment:
        """Read a product photo and its mask, at `size`."""
        photo, mask = self.open_garment(garment)
        self.check_size(self.garment_path(garment), photo.size[::-1])
        return make_garment(photo, mask, self.size)

    def open_photo(self, person: str) -> Image.Image:
        """Open a person's photo (RGB), of a size that fits."""
        path = self.photo_path(person)
        photo = open_image(path)
        self.check_size(path, photo.size[::-1])
        return photo

    def read_person(self, person: str) -> Person:
        """Read a photo and what there is of parsing, pose and DensePose, at `size`."""
        photo = self.open_photo(person)
        original: Size = photo.size[::-1]
        return Person(
            image_to_tensor(resize(photo, self.size)),
            self.read_regions(person, original),
            self.read_pose(person, original),
            self.read_densepose(person, original),
        )

    def read_regions(self, person: str, original: Size) -> Regions | None:
        """Read a person's parsing, at `size`. ``original`` is the photo's own size, whose proportions it must have."""
        scheme = self._part_of[person].scheme
        path = self._files["parsing"].get(person)
        if scheme is None or path is None:
            return None
        return regions_of(self._fitted(read_parsing(path, scheme), path, original), scheme)

    def read_pose(self, person: str, original: Size) -> Tensor | None:
        """Read a person's keypoints (18 x 3), in pixels of `size`."""
        if person not in self._files["pose"]:
            return None
        measured = self.layout.pose_size or original
        keypoints = read_keypoints(self._files["pose"][person], measured)
        keypoints[:, 0] *= self.size[1] / measured[1]
        keypoints[:, 1] *= self.size[0] / measured[0]
        return keypoints

    def read_densepose(self, person: str, original: Size) -> Tensor | None:
        """Read a person's DensePose part indices, at `size`."""
        path = self._files["densepose"].get(person)
        if path is None:
            return None
        form = self._part_of[person].found["densepose"].kind.form
        return self._fitted(read_densepose(path, form), path, original)

    def _fitted(self, labels: Tensor, path: Path, original: Size) -> Tensor:
        height, width = found = labels.shape[0], labels.shape[1]
        if height * original[1] != width * original[0]:
            raise InputError(
                f"{path}: found {format_size(found)}, wanted {format_size(original)} as its photo has,"
                " or its proportions"
            )
        return _resize_labels(labels, self.size)

    def read_sample(self, person: str, other: str) -> Sample:
        """Read a training sample: a person, the garment of the same id, and another garment."""
        return Sample(self.read_person(person), self.read_garment(person), self.read_garment(other))

    def check_size(self, path: Path, found: Size) -> None:
        """Raise InputError for a picture of another size than all, where they are not resized."""
        if not self._resizes and found != self.size:
            raise InputError(
                f"{path}: found {format_size(found)}, wanted {format_size(self.size)} as the first photo has"
                " (or give a size to resize everything to)"
            )


def make_garment(photo: Image.Image, mask: Image.Image, size: Size) -> Garment:
    """A garment at ``size`` from a product photo and its grey mask: the image is multiplied by the mask."""
    mask_tensor = mask_to_tensor(resize(mask, size))
    return Garment(image_to_tensor(resize(photo, size)) * mask_tensor, mask_tensor)


def read_pairs(path: Path, folder: TryOnFolder | None = None) -> list[tuple[str, str]]:
    """Read a pair file (`read_names`). Returns (person id, garment id) in the file's order, each pair once.

    Raises:
        InputError: the file or a line cannot be read, or ``folder`` has no picture of it; names file and line.
    """
    pairs: dict[tuple[str, str], None] = {}
    found = 0
    columns = USUAL_COLUMNS if folder is None else folder.layout.columns(path)
    for number, *names in read_names(path, columns):
        person, garment = map(sample_id, names)
        if folder is not None:
            try:
                folder.photo_path(person), folder.garment_path(garment)
            except InputError as error:
                raise InputError(f"{path}:{number}: {error}") from None
        pairs[person, garment] = None
        found += 1
    if not pairs:
        raise InputError(f"{path}: found no pair, wanted {columns.wanted} a line")
    if found > len(pairs):
        _log.info("%s: of %d pairs %d are there before; each is taken once", path, found, found - len(pairs))
    return list(pairs)


def read_parsing(path: Path, scheme: LabelScheme) -> Tensor:
    """Read a parsing map: H x W int64 labels of ``scheme``. Raises InputError for other values or channels."""
    image = read_image(path)
    if image.mode not in ("L", "P"):
        raise InputError(f"{path}: found an image of mode {image.mode}, wanted one channel of label values")
    labels = torch.from_numpy(np.array(upright(image, str(path)), dtype=np.int64))
    if (highest := int(labels.max())) > scheme.highest:
        raise InputError(f"{path}: found label {highest}, wanted 0..{scheme.highest} (scheme {scheme.name})")
    return labels


def _resize_labels(labels: Tensor, size: Size) -> Tensor:
    """Nearest resize: label values must not mix."""
    if tuple(labels.shape) == size:
        return labels
    image = Image.fromarray(labels.numpy().astype(np.uint8))
    return torch.from_numpy(np.array(image.resize(size[::-1], Image.Resampling.NEAREST), dtype=np.int64))
