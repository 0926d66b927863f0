"""Prepare a folder of own photos: the training split of a VITON-style folder, and a table of what was found."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from PIL import Image

from tryon.data.images import format_size, open_image, open_mask, resize
from tryon.data.images.frames import cut, frame_of_garment
from tryon.errors import InputError
from tryon.files import whole_folder
from tryon.garment_mask import cut_out
from tryon.prepare.inputs import Files, find_files
from tryon.prepare.person import Framed, Sight, frame_person

TABLE = "prepared.csv"
_FOLDERS = ("img", "color", "edge", "label_lip", "pose", "densepose")
_ENLARGED = 1.5  # times; a photo that is enlarged further than this is blurred


@dataclass(frozen=True)
class Finding:
    """A line of the table: what was found of a person and a garment, and why they were refused, if they were."""

    name: str
    refused: str = ""
    frame: str = ""
    enlarged: str = ""
    keypoints: str = ""
    garment: str = ""
    body_parts: str = ""
    mask: str = ""

    def __str__(self) -> str:
        if self.refused:
            return f"{self.name}: refused: {self.refused}"
        noted = [
            f"{name.replace('_', ' ')} {value}" for name, value in asdict(self).items() if value and name != "name"
        ]
        return f"{self.name}: {', '.join(noted)}"


def prepare(folder: Path, out: Path, sight: Sight, progress: Callable[[int], object] | None = None) -> list[Finding]:
    """Prepare own photos for `tryon train`.

    What is refused is left out; the folder appears only once it is complete, and not at all where no one is left.

    Args:
        folder: as `tryon.prepare.inputs` says.
        out: folder to make; it may exist if it is empty.
        sight: how people are seen.
        progress: called with 1 after each person.

    Returns:
        A finding for each person, which ``prepared.csv`` has too.

    Raises:
        InputError: the folder cannot be read, `out` cannot be made or holds something, or no one is left.
    """
    everyone = find_files(folder)
    parts_for_all = sight.body_parts or all(files.densepose for files in everyone)
    findings = []
    with whole_folder(out) as work:
        for name in _FOLDERS:
            if name != "densepose" or parts_for_all:
                (work / f"train_{name}").mkdir()
        for files in everyone:
            findings.append(_prepare_person(work, files, sight, parts_for_all))
            if progress is not None:
                progress(1)
        if all(finding.refused for finding in findings):
            raise InputError(f"{folder}: found no one to train with; {findings[0]} ({len(findings)} refused)")
        _write_table(work / TABLE, findings)
    return findings


def _prepare_person(work: Path, files: Files, sight: Sight, with_parts: bool) -> Finding:
    try:
        if files.garment is None:
            raise InputError("found no garment of this name, wanted one or a line in the pair file")
        person = frame_person(files, sight)
        mask_file = None if files.mask is None else open_mask(files.mask)
        transparent = open_image(files.garment, "RGBA")
        garment, mask = cut_out(transparent, mask_file, files.garment.name, files.mask.name if files.mask else "mask")
    except InputError as error:
        return Finding(files.name, refused=str(error))
    product = frame_of_garment(mask, sight.size)
    _image(work, "color", f"{files.name}_1.png", resize(cut(garment, product), sight.size))
    _image(work, "edge", f"{files.name}_1.png", resize(mask.crop(product), sight.size))
    _image(work, "img", f"{files.name}_0.png", person.photo)
    _image(work, "label_lip", f"{files.name}_0.png", Image.fromarray(person.labels))
    _write_pose(work / "train_pose" / f"{files.name}_0_keypoints.json", person)
    if with_parts and person.parts is not None:
        np.save(work / "train_densepose" / f"{files.name}_0.npy", person.parts)
    return _finding(files, person, sight, with_parts)


def _finding(files: Files, person: Framed, sight: Sight, with_parts: bool) -> Finding:
    left, top, right, bottom = person.frame
    scale = sight.size[0] / (bottom - top)
    drawn = "drawn from the pose" if files.densepose is None else "DensePose"
    return Finding(
        files.name,
        frame=f"{format_size((bottom - top, right - left))} at {left} {top}",
        enlarged=f"{scale:.1f} times" if scale > _ENLARGED else "",
        keypoints=str(int((person.keypoints[:, 2] > 0).sum())),
        garment=f"{person.garment_share:.0%} of the frame",
        body_parts=drawn if with_parts else "",
        mask="from a file" if files.mask else "from the photo",
    )


def _image(work: Path, kind: str, name: str, image: Image.Image) -> None:
    image.save(work / f"train_{kind}" / name)


def _write_pose(path: Path, person: Framed) -> None:
    points = [round(float(value), 3) for value in person.keypoints.ravel()]
    path.write_text(json.dumps({"version": 1.0, "people": [{"pose_keypoints": points}]}) + "\n", encoding="utf-8")


def _write_table(path: Path, findings: list[Finding]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, [field.name for field in fields(Finding)])
        table.writeheader()
        table.writerows(map(asdict, findings))
