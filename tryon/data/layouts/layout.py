"""What a layout says about a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tryon.data.densepose import Form
from tryon.data.images import SUFFIXES, Size
from tryon.data.labels import LabelScheme
from tryon.data.pairs import USUAL_COLUMNS, PairColumns

KINDS = ("photo", "garment", "mask", "parsing", "pose", "densepose")


@dataclass(frozen=True)
class Files:
    """A folder with one file a sample.

    Attributes:
        folder: below the data folder, or its category's; ``{split}`` is the split's name.
        suffixes: how files end; others in the folder are something else.
        tail: what the names of these files end with before the suffix; others in the folder are something else.
        scheme: of a parsing, the labels. None where the category says it.
        form: of DensePose pictures, what three channels are.
    """

    folder: str
    suffixes: tuple[str, ...] = SUFFIXES
    tail: str = ""
    scheme: LabelScheme | None = None
    form: Form | None = None


@dataclass(frozen=True)
class Layout:
    """How a data set lies on a disk.

    Of each kind of file, the first of the folders that is there serves. All but photos and garments may be missing
    in a test split.

    Attributes:
        name: what ``--layout`` calls it.
        licence: what its photos may be used for, in half a line.
        photo: photos of people.
        garment: product photos; in a train split the garment that the person of the same id wears.
        mask: garment masks.
        makes_masks: whether they are made from the product photos where they are not there.
        parsing: human parsing.
        pose: OpenPose keypoints.
        densepose: DensePose.
        splits: the splits, by what their folders are called.
        pairs: lists of pairs, as a pattern below the category's folder, or where it has none, below the data folder.
        csv: columns of those that are ``.csv`` files.
        listed: whether these lists tell whose split a person or garment is; otherwise the folders do.
        pose_size: (height, width) of the pictures in whose pixels keypoints are, if not the photos'.
        categories: folders in the data folder that each hold such files, by the labels of their parsings.
    """

    name: str
    licence: str
    photo: tuple[Files, ...]
    garment: tuple[Files, ...]
    mask: tuple[Files, ...]
    makes_masks: bool = False
    parsing: tuple[Files, ...] = ()
    pose: tuple[Files, ...] = ()
    densepose: tuple[Files, ...] = ()
    splits: Mapping[str, str] = field(default_factory=lambda: {"train": "train", "test": "test"})
    pairs: str = "{split}_pairs*.txt"
    csv: PairColumns = USUAL_COLUMNS
    listed: bool = False
    pose_size: Size | None = None
    categories: Mapping[str, LabelScheme] = field(default_factory=dict)

    def bases(self, root: Path) -> list[tuple[Path, LabelScheme | None]]:
        """Folders that hold this layout's, with their parsings' labels: ``root``, or those of its categories.

        A category's own folder may be given as the root.
        """
        if not self.categories:
            return [(root, None)]
        own = self.categories.get(root.absolute().name)
        if own is not None:
            return [(root, own)]
        return [(root / name, scheme) for name, scheme in self.categories.items() if (root / name).is_dir()]

    def splits_at(self, root: Path) -> list[str]:
        """Splits of which there are people in a data folder."""
        return [
            split for split in self.splits if any(self._has_people(base, root, split) for base, _ in self.bases(root))
        ]

    def _has_people(self, base: Path, root: Path, split: str) -> bool:
        photos = any((base / self.folder(kind, split)).is_dir() for kind in self.photo)
        return photos and (not self.listed or bool(self.pair_lists(base, root, split)))

    def folder(self, kind: Files, split: str) -> str:
        """Folder of a kind of files of a split."""
        return kind.folder.format(split=self.splits[split])

    def pair_lists(self, base: Path, root: Path, split: str) -> list[Path]:
        """The lists of pairs of a split, sorted: those of a base, or where it has none, of the data folder."""
        pattern = self.pairs.format(split=split)
        return sorted(base.glob(pattern)) or sorted(root.glob(pattern))

    def columns(self, path: Path) -> PairColumns:
        """Where a pair file has what."""
        return self.csv if path.suffix.lower() == ".csv" else USUAL_COLUMNS
