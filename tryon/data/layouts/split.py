"""The files of one split of a data set, by kind and id."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tryon.data.images import may_be_transparent
from tryon.data.labels import LabelScheme
from tryon.data.layouts.layout import KINDS, Files, Layout
from tryon.data.pairs import read_names
from tryon.errors import InputError

_ROLE_TAIL = re.compile(r"_0?[01]$")

Index = dict[str, Path]


def sample_id(name: str) -> str:
    """Id of a file name: ``000010_0_keypoints.json`` and ``000010_1.jpg`` both give ``000010``.

    Systems write accents as letters of their own or not (NFD, NFC): ids are of one kind (NFC).
    """
    return _ROLE_TAIL.sub("", unicodedata.normalize("NFC", Path(name).stem).removesuffix("_keypoints"))


def index_files(folder: Path, suffixes: tuple[str, ...], tail: str = "") -> Index:
    """Files of a folder by id, sorted by name, but for hidden ones, which systems leave beside those that they copy.

    Args:
        folder: where they are.
        suffixes: how they end.
        tail: what their names end with before the suffix; ids are without it.

    Raises:
        InputError: the folder is missing, has no such file, or two files of one id.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    found: Index = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in suffixes or path.name.startswith(".") or not path.stem.endswith(tail):
            continue
        key = sample_id(path.stem.removesuffix(tail) + path.suffix)
        if (other := found.setdefault(key, path)) is not path:
            raise InputError(f"{folder}: {other.name} and {path.name} have one id, {key}; wanted one file")
    if not found:
        raise InputError(f"{folder}: found no {f'*{tail} ' if tail else ''}file of {', '.join(suffixes)}")
    return found


@dataclass(frozen=True)
class Indexed:
    """The files of a kind in one folder, by id."""

    folder: Path
    kind: Files
    files: Index


@dataclass(frozen=True)
class Missing:
    """A file without its partner in another folder, or that is listed and not there, and a line that says so."""

    file: Path
    found: str


class SplitFiles:
    """The files of a split in one folder of a layout: the data folder, or a category's.

    Args:
        base: that folder.
        root: the data folder.
        split: "train" or "test".
        layout: of the data folder.
        scheme: labels of the parsings, where the category says them.
        posed: whether people of a train split must have poses.

    Raises:
        InputError: people, garments or masks are not there, two files have one id, or two parsings have other labels.
    """

    def __init__(
        self, base: Path, root: Path, split: str, layout: Layout, scheme: LabelScheme | None, posed: bool = True
    ) -> None:
        self.base = base
        self.posed = posed
        self.layout = layout
        self.split = split
        optional = ("parsing", "pose", "densepose", "mask")
        self.found: dict[str, Indexed] = {}
        for kind in KINDS:
            there = self._first(kind) if kind in optional else self._required(kind)
            if there is not None:
                self.found[kind] = there
        if "mask" not in self.found and not all(map(self.may_lack_mask, self.found["garment"].files.values())):
            self._required("mask")
        self.scheme = self._scheme(scheme)
        self.unlisted: list[Missing] = []
        if layout.listed:
            self._keep_listed(root)

    def missing(self) -> Iterator[Missing]:
        """Files that the split should have: of a train split all kinds, of a test split masks.

        A product photo that may be transparent needs no mask.
        """
        yield from self.unlisted
        lacking = _missing(self.found["garment"], self.found.get("mask") or self._absent("mask"))
        yield from (file for file in lacking if not self.may_lack_mask(file.file))
        if self.split == "train":
            posed = self.posed or "pose" in self.found
            for kind in ("garment", "parsing", *(["pose"] if posed else []), *self._densepose()):
                yield from _missing(self.found["photo"], self.found.get(kind) or self._absent(kind))

    def may_lack_mask(self, garment: Path) -> bool:
        """Whether a product photo's mask may be made from it."""
        return self.layout.makes_masks or may_be_transparent(garment)

    def _densepose(self) -> list[str]:
        return ["densepose"] if "densepose" in self.found else []

    def _places(self, kind: str) -> list[tuple[Path, Files]]:
        """Where files of a kind may be."""
        places: tuple[Files, ...] = getattr(self.layout, kind)
        return [(self.base / self.layout.folder(files, self.split), files) for files in places]

    def _absent(self, kind: str) -> Indexed:
        folder, files = self._places(kind)[0]
        return Indexed(folder, files, {})

    def _first(self, kind: str) -> Indexed | None:
        for folder, files in self._places(kind):
            if folder.is_dir():
                return Indexed(folder, files, index_files(folder, files.suffixes, files.tail))
        return None

    def _required(self, kind: str) -> Indexed:
        there = self._first(kind)
        if there is not None:
            return there
        folders = [folder for folder, _ in self._places(kind)]
        raise InputError(f"{' or '.join(map(str, folders))}: no such folder")

    def _scheme(self, of_category: LabelScheme | None) -> LabelScheme | None:
        if "parsing" not in self.found:
            return None
        there = [(folder, files) for folder, files in self._places("parsing") if folder.is_dir()]
        if len({files.scheme for _, files in there}) > 1:
            names = " and ".join(folder.name for folder, _ in there)
            raise InputError(f"{self.base}: found {names}, wanted one parsing folder")
        return of_category or self.found["parsing"].kind.scheme

    def _keep_listed(self, root: Path) -> None:
        """Leave out what the split's pair lists do not have; note what they have and the folders have not."""
        lists = self.layout.pair_lists(self.base, root, self.split)
        if not lists:
            pattern = self.layout.pairs.format(split=self.split)
            raise InputError(f"{self.base}: found no {pattern}, wanted it to tell who is in the {self.split} split")
        people: dict[str, str] = {}
        garments: dict[str, str] = {}
        for path in lists:
            for _, person, garment in read_names(path, self.layout.columns(path)):
                people.setdefault(sample_id(person), person)
                garments.setdefault(sample_id(garment), garment)
        if lists[0].parent == self.base:  # a list of all categories has others' too
            self.unlisted = [*_unlisted(self.found["photo"], people), *_unlisted(self.found["garment"], garments)]
        for kind, there in self.found.items():
            listed = garments if kind in ("garment", "mask") else people
            for key in [key for key in there.files if key not in listed]:
                del there.files[key]
        if not self.found["photo"].files:
            raise InputError(f"{lists[0]}: found nobody of {self.found['photo'].folder}, wanted people of this split")


def _missing(wanted: Indexed, found: Indexed) -> list[Missing]:
    lacking = [path for key, path in wanted.files.items() if key not in found.files]
    return [Missing(path, f"found no file for it in {found.folder}") for path in lacking]


def _unlisted(there: Indexed, names: dict[str, str]) -> list[Missing]:
    absent = [name for key, name in names.items() if key not in there.files]
    return [Missing(there.folder / name, "no such file, though it is in the list of pairs") for name in absent]
