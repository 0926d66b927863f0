"""Write drawn people and garments as a VITON-style folder."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tryon.errors import InputError
from tryon.files import whole_folder

from .garments import Garment, draw_garment
from .noise import corrupt_parsing
from .parts import Label
from .person import Person, draw_person
from .scene import Product, Rendering, photograph, render

FORMAT = 1
SMALLEST_SIDE = 32
TRAIN, TEST = 0, 1
ITEMS_AT_A_TIME = 8
GARMENT_FOLDER = {"train": "color", "test": "clothes"}


@dataclass(frozen=True)
class Sample:
    """A person, the garment they wear in their photo, and the generator of their parsing's mistakes."""

    person: Person
    garment: Garment
    mistakes: np.random.Generator


def draw_sample(seed: int, split: int, index: int) -> Sample:
    """The sample of a data set at a place; depends on nothing else."""
    person, garment, mistakes = (
        np.random.default_rng(child) for child in np.random.SeedSequence([seed, split, index]).spawn(3)
    )
    return Sample(draw_person(person), draw_garment(garment), mistakes)


def unpaired_garments(seed: int, count: int) -> NDArray[np.int64]:
    """For each test person the index of another person's garment: one random cycle through all of them."""
    order = np.random.default_rng(np.random.SeedSequence([seed, TEST])).permutation(count)
    garments = np.empty(count, dtype=np.int64)
    garments[order] = np.roll(order, -1)
    return garments


def _check(train: int, test: int, size: tuple[int, int], seed: int, parsing_noise: float) -> None:
    height, width = size
    if train < 0:
        raise InputError(f"train: {train} samples asked for, want 0 or more")
    if test < 0 or test == 1:
        raise InputError(f"test: {test} samples asked for, want 0 or at least 2 (unpaired lists need another person)")
    if train + test == 0:
        raise InputError("train and test: both are 0, want at least one sample")
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(f"size: {height}x{width} given, want at least {SMALLEST_SIDE} pixels each way")
    if seed < 0:
        raise InputError(f"seed: {seed} given, want 0 or more")
    if not 0 <= parsing_noise <= 1:
        raise InputError(f"parsing_noise: {parsing_noise} given, want a number from 0 to 1")


def _image(path: Path, pixels: NDArray[np.uint8]) -> None:
    Image.fromarray(pixels).save(path)


def _flow(path: Path, rendering: Rendering) -> None:
    np.savez_compressed(path, source=rendering.source)


def _write_person(root: Path, split: str, name: str, rendering: Rendering, parsing: NDArray[np.uint8]) -> None:
    _image(root / f"{split}_img" / f"{name}.png", rendering.photo)
    _image(root / f"{split}_label" / f"{name}.png", parsing)
    np.save(root / f"{split}_densepose" / f"{name}.npy", rendering.densepose)
    points = [round(float(value), 3) for value in rendering.keypoints.ravel()]
    pose = {"version": 1.0, "people": [{"pose_keypoints": points}]}
    (root / f"{split}_pose" / f"{name}_keypoints.json").write_text(json.dumps(pose) + "\n")


def _write_garment(root: Path, split: str, name: str, product: Product) -> None:
    _image(root / f"{split}_{GARMENT_FOLDER[split]}" / f"{name}.png", product.photo)
    _image(root / f"{split}_edge" / f"{name}.png", product.mask)


def _write(
    root: Path,
    train: int,
    test: int,
    size: tuple[int, int],
    seed: int,
    parsing_noise: float,
    progress: Callable[[int], object],
    processes: int,
) -> None:
    for split, count in (("train", train), ("test", test)):
        kinds = ["img", GARMENT_FOLDER[split], "edge", "label", "densepose", "pose", "flow"]
        for kind in kinds + ["truth", "truth_label"] * (split == "test"):
            if count:
                (root / f"{split}_{kind}").mkdir()
    for _ in _each(partial(_write_train, root, size, seed, parsing_noise), range(train), processes):
        progress(1)
    if test:
        _write_test(root, test, size, seed, parsing_noise, progress)
    facts = {
        "format": FORMAT,
        "kind": "synthetic",
        "height": size[0],
        "width": size[1],
        "seed": seed,
        "parsing_noise": parsing_noise,
        "label_scheme": "viton",
    }
    (root / "dataset.json").write_text(json.dumps(facts, indent=2) + "\n")


def _write_train(root: Path, size: tuple[int, int], seed: int, parsing_noise: float, index: int) -> None:
    sample = draw_sample(seed, TRAIN, index)
    product = photograph(sample.garment, *size)
    rendering = render(sample.person, sample.garment, product)
    name = f"{index:06d}_0"
    _write_garment(root, "train", f"{index:06d}_1", product)
    _write_person(root, "train", name, rendering, corrupt_parsing(rendering, parsing_noise, sample.mistakes))
    _flow(root / "train_flow" / f"{name}.npz", rendering)


def _each(function: Callable[[int], None], items: Sequence[int], processes: int) -> Iterator[None]:
    """Call a function with every item, in several processes if asked to; yields after each call."""
    if processes == 1:
        yield from map(function, items)
        return
    with Pool(processes, _leave_interrupts) as pool:
        yield from pool.imap_unordered(function, items, ITEMS_AT_A_TIME)


def _leave_interrupts() -> None:
    """To the process that waits for this one, which ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _write_test(
    root: Path, count: int, size: tuple[int, int], seed: int, parsing_noise: float, progress: Callable[[int], object]
) -> None:
    samples = [draw_sample(seed, TEST, index) for index in range(count)]
    products = [photograph(sample.garment, *size) for sample in samples]
    others = unpaired_garments(seed, count)
    pairs: dict[str, list[str]] = {"paired": [], "unpaired": []}
    for index, sample in enumerate(samples):
        person = f"{index:06d}_0"
        _write_garment(root, "test", f"{index:06d}_1", products[index])
        for kind, worn in (("paired", index), ("unpaired", others[index])):
            garment = f"{worn:06d}_1"
            rendering = render(sample.person, samples[worn].garment, products[worn])
            if kind == "paired":
                parsing = corrupt_parsing(rendering, parsing_noise, sample.mistakes)
                _write_person(root, "test", person, rendering, parsing)
            _image(root / "test_truth" / f"{person}__{garment}.png", rendering.photo)
            labels = np.where(rendering.neck, np.uint8(Label.NECK), rendering.parsing)
            _image(root / "test_truth_label" / f"{person}__{garment}.png", labels)
            _flow(root / "test_flow" / f"{person}__{garment}.npz", rendering)
            pairs[kind].append(f"{person}.png {garment}.png\n")
        progress(1)
    for kind, lines in pairs.items():
        (root / f"test_pairs_{kind}.txt").write_text("".join(lines))


def synthesize(
    out: Path,
    train: int,
    test: int,
    size: tuple[int, int],
    seed: int,
    parsing_noise: float = 0.0,
    progress: Callable[[int], object] | None = None,
    processes: int = 1,
) -> None:
    """Draw a data set and write it as a VITON-style folder.

    Beside what such a folder has, it holds the true flow of every photo and, for the test pairs, the true photo of
    the person in the garment and its exact parsing, with the neck (`Label`). The same arguments give the same bytes,
    and with another noise all but the parsing stays. The folder appears only once it is complete.

    Args:
        out: folder to make; it may exist if it is empty.
        train: number of training samples.
        test: number of test samples, 0 or at least 2.
        size: height and width of every picture in pixels.
        seed: 0 or more.
        parsing_noise: how wrong the written parsing is, 0 (exact) to 1; see `corrupt_parsing`.
        progress: called with 1 after each person, `train` + `test` times in all.
        processes: how many draw the training samples; the bytes are the same.

    Raises:
        InputError: an argument is out of range, or `out` cannot be made or holds something.
    """
    _check(train, test, size, seed, parsing_noise)
    with whole_folder(Path(out)) as work:
        _write(work, train, test, size, seed, parsing_noise, progress or (lambda people: None), processes)
