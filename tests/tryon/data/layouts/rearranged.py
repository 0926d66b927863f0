"""Drawn people, written by `synthesize` in VITON's layout, as other data sets would hold them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from tryon.data.densepose import PALETTE
from tryon.data.synthetic.parts import Label

# What each label of the drawings is called elsewhere. Neck and trunk are background in all of them.
LIP = {
    Label.HAIR: 2,
    Label.GARMENT: 5,
    Label.LEFT_SHOE: 18,
    Label.RIGHT_SHOE: 19,
    Label.NOISE: 7,
    Label.BOTTOMS: 9,
    Label.LEFT_LEG: 16,
    Label.RIGHT_LEG: 17,
    Label.LEFT_ARM: 14,
    Label.FACE: 13,
    Label.RIGHT_ARM: 15,
}
ATR = {
    Label.HAIR: 2,
    Label.GARMENT: 4,
    Label.LEFT_SHOE: 9,
    Label.RIGHT_SHOE: 10,
    Label.NOISE: 7,
    Label.BOTTOMS: 6,
    Label.LEFT_LEG: 12,
    Label.RIGHT_LEG: 13,
    Label.LEFT_ARM: 14,
    Label.FACE: 11,
    Label.RIGHT_ARM: 15,
}
GARMENTS = {"train": "color", "test": "clothes"}


def ids(data: Path, split: str) -> list[str]:
    return [path.stem.removesuffix("_0") for path in sorted((data / f"{split}_img").glob("*.png"))]


def copy(start: Path, end: Path, change: Callable[[Image.Image], Image.Image] = lambda image: image) -> None:
    end.parent.mkdir(parents=True, exist_ok=True)
    change(Image.open(start)).save(end)


def relabelled(labels: dict[Label, int], mode: str) -> Callable[[Image.Image], Image.Image]:
    table = np.zeros(256, np.uint8)
    table[list(labels)] = list(labels.values())

    def change(image: Image.Image) -> Image.Image:
        changed = Image.fromarray(table[np.asarray(image)])
        if mode == "P":  # its colours are for looking at
            changed = changed.convert("P")
            changed.putdata(list(table[np.asarray(image)].ravel()))
        return changed

    return change


def keypoints(data: Path, split: str, key: str) -> np.ndarray:
    content = json.loads((data / f"{split}_pose" / f"{key}_0_keypoints.json").read_text())
    return np.array(content["people"][0]["pose_keypoints"]).reshape(18, 3)


def write_json(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_pairs(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def unpaired(data: Path) -> list[tuple[str, str]]:
    lines = (data / "test_pairs_unpaired.txt").read_text().splitlines()
    return [(line.split("_")[0], line.split()[1].split("_")[0]) for line in lines]


def as_viton_hd(data: Path, out: Path) -> Path:
    """VITON-HD: BODY_25, LIP labels in a palette, DensePose in colours, one name in all folders."""
    for split, garments in GARMENTS.items():
        for key in ids(data, split):
            copy(data / f"{split}_img" / f"{key}_0.png", out / split / "image" / f"{key}_00.png")
            copy(data / f"{split}_{garments}" / f"{key}_1.png", out / split / "cloth" / f"{key}_00.png")
            copy(data / f"{split}_edge" / f"{key}_1.png", out / split / "cloth-mask" / f"{key}_00.png")
            parsing = out / split / "image-parse-v3" / f"{key}_00.png"
            copy(data / f"{split}_label" / f"{key}_0.png", parsing, relabelled(LIP, "P"))
            coco = keypoints(data, split, key)
            body = np.concatenate([coco[:8], [[9, 9, 0.9]], coco[8:], np.full((6, 3), 9.0)])
            person = {"pose_keypoints_2d": body.ravel().tolist(), "hand_left_keypoints_2d": []}
            write_json(out / split / "openpose_json" / f"{key}_00_keypoints.json", {"version": 1.3, "people": [person]})
            colours = out / split / "image-densepose" / f"{key}_00.png"
            colours.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(PALETTE[np.load(data / f"{split}_densepose" / f"{key}_0.npy")]).save(colours)
    write_pairs(out / "train_pairs.txt", [f"{key}_00.png {key}_00.png" for key in ids(data, "train")])
    write_pairs(out / "test_pairs.txt", [f"{person}_00.png {garment}_00.png" for person, garment in unpaired(data)])
    return out


def as_dress_code(data: Path, out: Path) -> Path:
    """Dress Code: both splits of a category in one folder, and lists that tell them apart; keypoints of 384 x 512.

    The drawn people are in ``upper_body``, numbered through: the test people after the others.
    """
    base, first = out / "upper_body", {"train": 0, "test": len(ids(data, "train"))}

    def number(split: str, key: str) -> str:
        return f"{int(key) + first[split]:06d}"

    for split, garments in GARMENTS.items():
        for key in ids(data, split):
            name = number(split, key)
            copy(data / f"{split}_img" / f"{key}_0.png", base / "images" / f"{name}_0.png")
            copy(data / f"{split}_{garments}" / f"{key}_1.png", base / "images" / f"{name}_1.png")
            copy(data / f"{split}_edge" / f"{key}_1.png", base / "masks" / f"{name}_1.png")
            labels = base / "label_maps" / f"{name}_4.png"
            copy(data / f"{split}_label" / f"{key}_0.png", labels, relabelled(ATR, "L"))
            height, width = Image.open(labels).size[::-1]
            points = keypoints(data, split, key) * [384 / width, 512 / height, 1]
            rows = [[*point, float(i)] for i, point in enumerate(points.tolist())]
            write_json(base / "keypoints" / f"{name}_2.json", {"keypoints": rows})
            parts = np.load(data / f"{split}_densepose" / f"{key}_0.npy")
            for folder, file in (("dense", f"{name}_5.png"), ("skeletons", f"{name}_5.jpg")):
                (base / folder).mkdir(exist_ok=True)
                Image.fromarray(parts.astype(np.uint8)).save(base / folder / file)
            np.savez(base / "dense" / f"{name}_5_uv.npz", uv=np.zeros((2, 4, 4)))
    own = {split: [(number(split, key),) * 2 for key in ids(data, split)] for split in GARMENTS}
    other = [(number("test", person), number("test", garment)) for person, garment in unpaired(data)]
    lists = {"train_pairs": own["train"], "test_pairs_paired": own["test"], "test_pairs_unpaired": other}
    for list_name, pairs in lists.items():
        lines = [f"{person}_0.png\t{garment}_1.png" for person, garment in pairs]
        write_pairs(base / f"{list_name}.txt", lines)
        write_pairs(out / f"{list_name}.txt", [f"{line}\t0" for line in lines])
    return out


def as_street_tryon(data: Path, out: Path) -> Path:
    """StreetTryOn: the test people in the street, VITON-HD's garments beside, DensePose as IUV, pairs as CSV."""
    for key in ids(data, "test"):
        copy(data / "test_img" / f"{key}_0.png", out / "street_tryon" / "validation" / "image" / f"{key}.png")
        parts = np.load(data / "test_densepose" / f"{key}_0.npy").astype(np.uint8)
        coordinate = np.where(parts > 0, np.uint8(200), np.uint8(0))
        path = out / "street_tryon" / "validation" / "densepose" / f"{key}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.stack([coordinate, coordinate, parts], axis=-1)).save(path)  # as OpenCV writes I, U, V
        copy(data / "test_clothes" / f"{key}_1.png", out / "zalando" / "test" / "cloth" / f"{key}_00.png")
        copy(data / "test_edge" / f"{key}_1.png", out / "zalando" / "test" / "cloth-mask" / f"{key}_00.png")
    lines = [f"{i},{garment}_00.png,{person}.png" for i, (person, garment) in enumerate(unpaired(data))]
    write_pairs(out / "street_tryon" / "annotations" / "shop2street_test_pairs_top.csv", [",garment,person", *lines])
    return out


def as_viton(data: Path, out: Path) -> Path:
    """VITON, as PF-AFN has it: what `synthesize` writes."""
    return Path(shutil.copytree(data, out))


LAYOUTS = {"viton": as_viton, "viton-hd": as_viton_hd, "dress-code": as_dress_code, "street-tryon": as_street_tryon}
