"""Which file of a folder is which pair's picture."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from tryon.data.folder import TryOnFolder, sample_id
from tryon.data.images import SUFFIXES
from tryon.errors import InputError
from tryon.metrics.evaluation import pair_name

Pair = tuple[str, str]

_log = logging.getLogger(__name__)


def picture_paths(pictures: Path, folder: TryOnFolder, pairs: list[Pair]) -> dict[Pair, Path]:
    """The file of each pair: ``PERSON__GARMENT`` as `tryon infer` names it, else the person's own name.

    Raises:
        InputError: the folder is missing, or has no picture of a pair, or one for several pairs of a person.
    """
    if not pictures.is_dir():
        raise InputError(f"{pictures}: no such folder, wanted pictures of the pairs")
    paths = [p for p in sorted(pictures.iterdir()) if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    by_name, by_person = _index(paths, lambda path: path.stem), _index(paths, lambda path: sample_id(path.name))
    found: dict[Pair, Path] = {}
    used: dict[Path, Pair] = {}
    for pair in pairs:
        name = pair_name(folder, *pair)
        path = by_name.get(name) or by_person.get(pair[0])
        if path is None:
            wanted = f"{name} or {folder.photo_path(pair[0]).stem}"
            raise InputError(f"{pictures}: found no picture of {' '.join(pair)}, wanted a file called {wanted}")
        if (other := used.setdefault(path, pair)) is not pair:
            raise InputError(
                f"{path}: found one picture for the pairs {' '.join(other)} and {' '.join(pair)}, wanted one each,"
                f" called {name} and the like"
            )
        found[pair] = path
    if left := len(paths) - len(used):
        _log.info("%s: %d pictures are of no pair and left out", pictures, left)
    return found


def _index(paths: list[Path], name: Callable[[Path], str]) -> dict[str, Path]:
    index: dict[str, Path] = {}
    for path in paths:
        if (other := index.setdefault(name(path), path)) is not path:
            raise InputError(f"{path.parent}: found {other.name} and {path.name}, wanted one picture of a name")
    return index
