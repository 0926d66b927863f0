"""Reading a whole data folder, to know before training what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tryon.data.folder import SUBFOLDERS, TryOnFolder, read_pairs
from tryon.data.images import format_size
from tryon.errors import InputError
from tryon.garment_mask import check_mask

_SHOWN_PROBLEMS = 20


def check_folder(root: Path) -> Iterator[str]:
    """Read every file of every split; yields a summary line a split.

    Raises:
        InputError: something cannot be read; names the file, or the first of several files after listing them.
    """
    splits = [split for split, names in SUBFOLDERS.items() if (root / names["photo"]).is_dir()]
    if not splits:
        photos = " or ".join(names["photo"] for names in SUBFOLDERS.values())
        raise InputError(f"{root}: found no split, wanted a folder {photos}")
    problems: list[str] = []
    for split in splits:
        folder = TryOnFolder(root, split)
        problems += _unreadable([_reader(folder.read_person, person) for person in folder.people])
        problems += _unreadable([_reader(_check_garment, folder, garment) for garment in folder.garments])
        for path in sorted(root.glob(f"{split}_pairs*.txt")):
            problems += _unreadable([_reader(read_pairs, path, folder)])
        yield _summary(folder)
    yield from problems[1:_SHOWN_PROBLEMS]
    if problems:
        raise InputError(f"{problems[0]} ({len(problems)} problem{'s' if len(problems) > 1 else ''})")


def _reader(function: Callable[..., object], *arguments: object) -> Callable[[], object]:
    return lambda: function(*arguments)


def _unreadable(readers: list[Callable[[], object]]) -> list[str]:
    problems = []
    for read in readers:
        try:
            read()
        except InputError as error:
            problems.append(str(error))
    return problems


def _check_garment(folder: TryOnFolder, garment: str) -> None:
    folder.read_garment(garment)
    _, mask = folder.open_garment(garment)
    check_mask(mask, str(folder.mask_path(garment)))


def _summary(folder: TryOnFolder) -> str:
    labels = f"{folder.scheme.name} labels" if folder.scheme else "no parsing"
    densepose = "DensePose" if folder.has_densepose else "no DensePose"
    return (
        f"{folder.split}: {len(folder.people)} people ({len(folder.labelled_people)} with parsing and pose), "
        f"{len(folder.garments)} garments, {format_size(folder.size)}, {labels}, {densepose}"
    )
