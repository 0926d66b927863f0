"""Fake pictures: the people of a training folder in other garments, by whatever system.

A folder of them has a picture ``PERSON__GARMENT.png``, or of another format that is read, for every person at least:
PERSON is the name of the person's photo, GARMENT any garment's but the person's own. It may have

- ``mask/PERSON__GARMENT.png`` for every picture: grey, how much of each pixel shows the garment;
- ``flow/PERSON.npz`` for every person: where the person's *own* garment comes from (`read_flow`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.flow import read_flow, resize_flow
from tryon.data.folder import TryOnFolder
from tryon.data.images import SUFFIXES, Size, format_size, image_to_tensor, open_image, open_mask, resize
from tryon.data.images.frames import SAME_PROPORTIONS
from tryon.data.layouts import index_files, sample_id
from tryon.data.sample import Fake
from tryon.errors import InputError

MASK_FOLDER, FLOW_FOLDER = "mask", "flow"
SEPARATOR = "__"

_log = logging.getLogger(__name__)


class Fakes:
    """The fake pictures of a folder's people.

    Args:
        root: the folder of fakes.
        folder: the people.

    Attributes:
        root: the folder of fakes.
        has_masks: whether it is known where the pictures show their garments.
        has_flows: whether it is known where the people's own garments come from.

    Raises:
        InputError: a person has no picture, a picture no mask where there are masks, or a person no flow where there
            are flows; names the first and says how many.
    """

    def __init__(self, root: Path, folder: TryOnFolder) -> None:
        self.root = root
        self._folder = folder
        self._pictures = self._index_pictures()
        self.has_masks, self.has_flows = ((root / name).is_dir() for name in (MASK_FOLDER, FLOW_FOLDER))
        self._masks = self._index_masks() if self.has_masks else {}
        self._flows = self._index_flows() if self.has_flows else {}

    def _index_pictures(self) -> dict[str, dict[str, Path]]:
        """The pictures by person and garment."""
        pictures: dict[str, dict[str, Path]] = {person: {} for person in self._folder.people}
        strangers = []
        for path in index_files(self.root, SUFFIXES).values():
            person, garment = _person_and_garment(path.stem, pictures)
            if person is None:
                strangers.append(path.name)
            elif garment == person:
                raise InputError(f"{path}: found a person in the own garment, wanted another")
            else:
                pictures[person][garment] = path
        if strangers:
            _log.info("%s: %d pictures are of nobody in the data: %s, ...", self.root, len(strangers), strangers[0])
        missing = [f"{self._stem(person)}{SEPARATOR}GARMENT.png" for person, of in pictures.items() if not of]
        _require(self.root, missing, len(pictures), "people")
        return pictures

    def _index_masks(self) -> dict[Path, Path]:
        masks = index_files(self.root / MASK_FOLDER, SUFFIXES)
        pictures = {sample_id(path.name): path for of_person in self._pictures.values() for path in of_person.values()}
        missing = [path.name for name, path in pictures.items() if name not in masks]
        _require(self.root / MASK_FOLDER, missing, len(pictures), "pictures")
        return {path: masks[name] for name, path in pictures.items()}

    def _index_flows(self) -> dict[str, Path]:
        flows = index_files(self.root / FLOW_FOLDER, (".npz",))
        missing = [f"{self._stem(person)}.npz" for person in self._folder.people if person not in flows]
        _require(self.root / FLOW_FOLDER, missing, len(self._folder.people), "people")
        return {person: flows[person] for person in self._folder.people}

    def _stem(self, person: str) -> str:
        return self._folder.photo_path(person).stem

    def _files_of(self, person: str) -> Iterator[tuple[Path, Callable[[Path], Size]]]:
        """A person's files, and what reads each and tells its size."""
        for picture in self._pictures[person].values():
            yield picture, lambda path: _size_of(open_image(path))
            if self.has_masks:
                yield self._masks[picture], lambda path: _size_of(open_mask(path))
        if self.has_flows:
            yield self._flows[person], lambda path: _flow_size(read_flow(path))

    @property
    def files(self) -> list[Path]:
        """All files that are used."""
        return [path for person in self._pictures for path, _ in self._files_of(person)]

    def check(self, progress: Callable[[int], object] = lambda people: None) -> None:
        """Read all files; ``progress`` is called with 1 after each person.

        Raises:
            InputError: a file cannot be read, or has not the proportions of its person's photo; names the first and
                says how many.
        """
        problems = []
        for person in self._pictures:
            wanted = _size_of(open_image(self._folder.photo_path(person)))
            for path, size_of in self._files_of(person):
                try:
                    _check_proportions(path, size_of(path), wanted)
                except InputError as error:
                    problems.append(str(error))
            progress(1)
        if problems:
            raise InputError(f"{problems[0]} ({len(problems)} of {len(self.files)} files cannot be used)")

    def read(self, person: int, other: int) -> Fake:
        """A person's picture for a draw, both by their place among the people: the one in the other's garment.

        Where there is none, it is one of those that the person has, each for about as many others.
        """
        of_person = self._pictures[self._folder.people[person]]
        chosen = of_person.get(self._folder.people[other]) or list(of_person.values())[other % len(of_person)]
        size = self._folder.size
        image = image_to_tensor(resize(open_image(chosen), size))
        mask = flow = None
        if self.has_masks:
            levels = np.array(resize(open_mask(self._masks[chosen]), size), dtype=np.float32)
            mask = torch.from_numpy(levels).div(255).unsqueeze(0)
        if self.has_flows:
            flow = resize_flow(read_flow(self._flows[self._folder.people[person]]), size)
        return Fake(image, mask, flow)


def _person_and_garment(stem: str, people: dict[str, dict[str, Path]]) -> tuple[str | None, str]:
    """Ids in a picture's name. Names of people may have the separator too, so the longest that is known counts."""
    parts = stem.split(SEPARATOR)
    for end in range(len(parts) - 1, 0, -1):
        person, garment = (sample_id(f"{SEPARATOR.join(names)}.png") for names in (parts[:end], parts[end:]))
        if person in people:
            return person, garment
    return None, ""


def _require(folder: Path, missing: list[str], wanted: int, of: str) -> None:
    if missing:
        raise InputError(f"{folder}: found no {missing[0]} (missing for {len(missing)} of {wanted} {of})")


def _size_of(image: Image.Image) -> Size:
    return image.height, image.width


def _flow_size(source: Tensor) -> Size:
    return source.shape[1], source.shape[2]


def _check_proportions(path: Path, found: Size, photo: Size) -> None:
    if abs(found[1] * photo[0] / (found[0] * photo[1]) - 1) > SAME_PROPORTIONS:
        raise InputError(
            f"{path}: found {format_size(found)}, wanted {format_size(photo)} as its person's photo has, or"
            " another size of these proportions"
        )
