"""VITON-style folders: which files belong together, and reading them into people and garments.

A split has one folder a kind of file (`SUBFOLDERS`), and one file a sample in each. Files belong together by their
id: the name without extension, without ``_keypoints`` and without a closing ``_0`` (photo) or ``_1`` (garment), so
``000010_0.jpg``, ``000010_1.png`` and ``000010_0_keypoints.json`` are one sample.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.images import (
    SUFFIXES,
    Size,
    format_size,
    image_to_tensor,
    mask_to_tensor,
    may_be_transparent,
    on_white,
    open_image,
    open_mask,
    read_image,
    resize,
    upright,
)
from tryon.data.labels import DENSEPOSE_PARTS, SCHEMES, LabelScheme, regions_of
from tryon.data.pairs import WANTED, read_names
from tryon.data.pose import read_keypoints
from tryon.data.sample import Garment, Person, Sample
from tryon.errors import InputError

SUBFOLDERS = {
    "train": {"photo": "train_img", "garment": "train_color", "mask": "train_edge"},
    "test": {"photo": "test_img", "garment": "test_clothes", "mask": "test_edge"},
}
_ROLE_TAIL = re.compile(r"_0?[01]$")

_log = logging.getLogger(__name__)


def sample_id(name: str) -> str:
    """Id of a file name: ``000010_0_keypoints.json`` and ``000010_1.jpg`` both give ``000010``.

    Systems write accents as letters of their own or not (NFD, NFC): ids are of one kind (NFC).
    """
    return _ROLE_TAIL.sub("", unicodedata.normalize("NFC", Path(name).stem).removesuffix("_keypoints"))


def as_written(path: Path) -> Path:
    """A file's path, with the accents of its name written as the folder has them, if it has the file."""
    if not path.name.isascii() and not path.exists() and path.parent.is_dir():
        name = unicodedata.normalize("NFC", path.name)
        return next((own for own in path.parent.iterdir() if unicodedata.normalize("NFC", own.name) == name), path)
    return path


def index_files(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """Files of a folder by id, sorted by name, but for hidden ones, which systems leave beside those that they copy.

    Raises:
        InputError: the folder is missing, empty, or has two files of one id.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith("."):
            continue
        if (other := found.setdefault(sample_id(path.name), path)) is not path:
            raise InputError(
                f"{folder}: {other.name} and {path.name} have one id, {sample_id(path.name)}; wanted one file"
            )
    if not found:
        raise InputError(f"{folder}: found no {', '.join(suffixes)} file")
    return found


def _optional_index(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return index_files(folder, suffixes) if folder.is_dir() else {}


def find_label_scheme(root: Path, split: str) -> LabelScheme | None:
    """The scheme of the parsing folder that is there: ``train_label`` (published VITON) or ``train_label_lip``."""
    present = [s for s in SCHEMES.values() if (root / f"{split}_label{s.folder_suffix}").is_dir()]
    if len(present) > 1:
        names = " and ".join(f"{split}_label{s.folder_suffix}" for s in present)
        raise InputError(f"{root}: found {names}, wanted one parsing folder")
    return present[0] if present else None


class TryOnFolder:
    """One split of a VITON-style folder.

    Args:
        root: the data folder.
        split: "train" (every garment is the one its person wears, all files must be there) or "test"
            (people and garments are combined by pair files; parsing, pose and DensePose where they are).
        size: (height, width) to resize everything to; by default the first photo's, which all files must then have.
        posed: whether a train split must have poses, which only a tutor sees.

    Attributes:
        size: (height, width) of all tensors that are read.
        scheme: label scheme of the parsing, or None without a parsing folder.
        has_densepose: whether there is a DensePose folder.
        people: ids of the photos, sorted.
        garments: ids of the product photos, sorted.

    Raises:
        InputError: a folder or file is missing, or ids do not match; the message names it.
    """

    def __init__(self, root: Path, split: str, size: Size | None = None, posed: bool = True) -> None:
        self.root = root
        self.split = split
        if not root.is_dir():
            raise InputError(f"{root}: no such data folder")
        names = SUBFOLDERS[split]
        self._photos = index_files(root / names["photo"], SUFFIXES)
        self._garments = index_files(root / names["garment"], SUFFIXES)
        self._masks = _optional_index(root / names["mask"], SUFFIXES)
        self.scheme = find_label_scheme(root, split)
        label_folder = root / f"{split}_label{self.scheme.folder_suffix if self.scheme else ''}"
        self._parsings = _optional_index(label_folder, (".png",))
        self._poses = _optional_index(root / f"{split}_pose", (".json",))
        self._denseposes = _optional_index(root / f"{split}_densepose", (".npy",))
        self.has_densepose = bool(self._denseposes)
        self.people = list(self._photos)
        self.garments = list(self._garments)
        self._resizes = size is not None
        self.size = size or open_image(next(iter(self._photos.values()))).size[::-1]
        self._require_masks(root / names["mask"])
        if split == "train":
            self._require_complete(root, names, label_folder, posed)

    def _require_masks(self, folder: Path) -> None:
        """Masks of all product photos but of those that may be transparent."""
        wanted = {
            garment: path
            for garment, path in self._garments.items()
            if garment not in self._masks and not may_be_transparent(path)
        }
        _require_ids(wanted, self._masks or index_files(folder, SUFFIXES) if wanted else {}, folder)

    def _require_complete(self, root: Path, names: dict[str, str], label_folder: Path, posed: bool) -> None:
        wanted = [(self._garments, root / names["garment"]), (self._parsings, label_folder)]
        if posed or self._poses:
            wanted.append((self._poses, root / "train_pose"))
        if self.has_densepose:
            wanted.append((self._denseposes, root / "train_densepose"))
        for files, folder in wanted:
            _require_ids(self._photos, files, folder)

    @property
    def labelled_people(self) -> list[str]:
        """Ids of the people that have parsing and pose (and DensePose where the folder has it)."""
        kinds = [self._parsings, self._poses] + ([self._denseposes] if self.has_densepose else [])
        return [person for person in self.people if all(person in files for files in kinds)]

    @property
    def files(self) -> list[Path]:
        """All files of the split."""
        kinds = (self._photos, self._garments, self._masks, self._parsings, self._poses, self._denseposes)
        return [path for files in kinds for path in files.values()]

    def photo_path(self, person: str) -> Path:
        """File of a person's photo."""
        return _lookup(self._photos, person, self.root / SUBFOLDERS[self.split]["photo"])

    def garment_path(self, garment: str) -> Path:
        """File of a product photo."""
        return _lookup(self._garments, garment, self.root / SUBFOLDERS[self.split]["garment"])

    def mask_path(self, garment: str) -> Path:
        """File of a garment mask: the product photo, whose transparency it then is, where there is no other."""
        return self._masks.get(garment) or self.garment_path(garment)

    def open_garment(self, garment: str) -> tuple[Image.Image, Image.Image]:
        """A product photo (RGB, on white) and its grey mask, at their own size."""
        path = self.garment_path(garment)
        if garment in self._masks:
            return open_image(path), open_mask(self._masks[garment])
        photo = open_image(path, "RGBA")
        mask = photo.getchannel("A")
        if mask_to_tensor(mask).all():
            raise InputError(f"{path}: found no mask file and nothing transparent, wanted one of the two as its mask")
        return on_white(photo), mask

    def read_garment(self, garment: str) -> Garment:
        """Read a product photo and its mask, at `size`."""
        photo, mask = self.open_garment(garment)
        self._check_size(self.garment_path(garment), photo.size[::-1], self._resizes)
        _check_same_size(self.mask_path(garment), mask.size[::-1], photo.size[::-1])
        return make_garment(photo, mask, self.size)

    def read_person(self, person: str) -> Person:
        """Read a photo and what there is of parsing, pose and DensePose, at `size`."""
        path = self.photo_path(person)
        photo = open_image(path)
        original: Size = photo.size[::-1]
        self._check_size(path, original, self._resizes)
        regions = keypoints = densepose = None
        if self.scheme and person in self._parsings:
            parsing = read_parsing(self._parsings[person], self.scheme)
            _check_same_size(self._parsings[person], _size_of(parsing), original)
            regions = regions_of(_resize_labels(parsing, self.size), self.scheme)
        if person in self._poses:
            keypoints = read_keypoints(self._poses[person], original)
            keypoints[:, 0] *= self.size[1] / original[1]
            keypoints[:, 1] *= self.size[0] / original[0]
        if person in self._denseposes:
            densepose = read_densepose(self._denseposes[person])
            _check_same_size(self._denseposes[person], _size_of(densepose), original)
            densepose = _resize_labels(densepose, self.size)
        return Person(image_to_tensor(resize(photo, self.size)), regions, keypoints, densepose)

    def read_sample(self, person: str, other: str) -> Sample:
        """Read a training sample: a person, the garment of the same id, and another garment."""
        return Sample(self.read_person(person), self.read_garment(person), self.read_garment(other))

    def _check_size(self, path: Path, found: Size, resizes: bool) -> None:
        if not resizes and found != self.size:
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
    for number, *names in read_names(path):
        person, garment = map(sample_id, names)
        if folder is not None:
            try:
                folder.photo_path(person), folder.garment_path(garment)
            except InputError as error:
                raise InputError(f"{path}:{number}: {error}") from None
        pairs[person, garment] = None
        found += 1
    if not pairs:
        raise InputError(f"{path}: found no pair, wanted {WANTED} a line")
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


def read_densepose(path: Path) -> Tensor:
    """Read DensePose part indices: H x W int64, 0..24."""
    try:
        parts = np.lib.format.read_array(BytesIO(path.read_bytes()), allow_pickle=False)
    except Exception as error:  # a damaged file fails in whatever way its bytes happen to
        raise InputError(f"{path}: cannot be read as a NumPy array ({error})") from None
    if parts.ndim != 2 or parts.dtype.kind not in "iu":
        raise InputError(f"{path}: found {parts.dtype} of shape {parts.shape}, wanted integers of shape H x W")
    if parts.size and not 0 <= int(parts.min()) <= int(parts.max()) < DENSEPOSE_PARTS:
        raise InputError(f"{path}: found part {int(parts.max())}, wanted 0..{DENSEPOSE_PARTS - 1}")
    return torch.from_numpy(parts.astype(np.int64))


def _resize_labels(labels: Tensor, size: Size) -> Tensor:
    """Nearest resize: label values must not mix."""
    if _size_of(labels) == size:
        return labels
    image = Image.fromarray(labels.numpy().astype(np.uint8))
    return torch.from_numpy(np.array(image.resize(size[::-1], Image.Resampling.NEAREST), dtype=np.int64))


def _size_of(labels: Tensor) -> Size:
    return labels.shape[0], labels.shape[1]


def _lookup(files: dict[str, Path], key: str, folder: Path) -> Path:
    if key not in files:
        raise InputError(f"{folder}: found no file of {key}")
    return files[key]


def _require_ids(wanted: dict[str, Path], files: dict[str, Path], folder: Path) -> None:
    missing = [path for key, path in wanted.items() if key not in files]
    if missing:
        raise InputError(
            f"{folder}: found {len(files)} files, wanted one for {missing[0].name} too ({len(missing)} missing)"
        )


def _check_same_size(path: Path, found: Size, wanted: Size) -> None:
    if found != wanted:
        raise InputError(f"{path}: found {format_size(found)}, wanted {format_size(wanted)} as its photo has")
