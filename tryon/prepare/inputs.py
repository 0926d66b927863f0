"""A folder of own photos: which files belong together.

``people/NAME.jpg`` wears ``garments/NAME.jpg``, or what the lines ``person.jpg garment.jpg`` of ``pairs.txt`` say.
What is there already goes before what networks would say: ``masks/NAME.png`` of garments, ``poses/NAME.json`` or
``NAME_keypoints.json``, ``labels/NAME.png`` and ``densepose/NAME.npy`` of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tryon.data.images import SUFFIXES
from tryon.data.layouts import index_files, sample_id
from tryon.data.pairs import read_names
from tryon.errors import InputError

PEOPLE, GARMENTS, PAIRS = "people", "garments", "pairs.txt"


@dataclass(frozen=True)
class Files:
    """Files of a person in a garment; those that are None are not there."""

    name: str
    photo: Path
    garment: Path | None
    mask: Path | None
    pose: Path | None
    labels: Path | None
    densepose: Path | None


def find_files(folder: Path) -> list[Files]:
    """All people of a folder, sorted by name.

    Raises:
        InputError: a folder is missing or empty, two files have one name, or the pair file names what is not there.
    """
    people, garments = (index_files(folder / name, SUFFIXES) for name in (PEOPLE, GARMENTS))
    masks, labels = (_optional(folder / name, SUFFIXES) for name in ("masks", "labels"))
    poses, denseposes = _optional(folder / "poses", (".json",)), _optional(folder / "densepose", (".npy",))
    worn = (
        _read_worn(folder / PAIRS, people, garments) if (folder / PAIRS).exists() else {name: name for name in people}
    )
    found = []
    for name, photo in people.items():
        garment = worn.get(name, "")
        kinds = garments.get(garment), masks.get(garment), poses.get(name), labels.get(name), denseposes.get(name)
        found.append(Files(name, photo, *kinds))
    return found


def _optional(folder: Path, suffixes: tuple[str, ...]) -> dict[str, Path]:
    return index_files(folder, suffixes) if folder.is_dir() else {}


def _read_worn(path: Path, people: dict[str, Path], garments: dict[str, Path]) -> dict[str, str]:
    worn: dict[str, str] = {}
    for number, *names in read_names(path):
        person, garment = map(sample_id, names)
        for kind, files, name in ((PEOPLE, people, person), (GARMENTS, garments, garment)):
            if name not in files:
                raise InputError(f"{path}:{number}: found {name}, wanted a file of {kind}")
        if worn.setdefault(person, garment) != garment:
            raise InputError(f"{path}:{number}: found a second garment of {person}, wanted the one that is worn")
    return worn
