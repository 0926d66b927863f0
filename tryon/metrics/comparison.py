"""Pictures beside true photos under a protocol: figures, and all that they depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tryon.data.folder import TryOnFolder
from tryon.data.images import format_size, open_image
from tryon.metrics.distributions import fid_and_kid, frechet_distance, kernel_distance
from tryon.metrics.evaluation import true_photo_path
from tryon.metrics.measures import decibels, inner, similarity_map, squared_error
from tryon.metrics.networks import Distance, Inception
from tryon.metrics.protocols import Protocol
from tryon.metrics.regions import RegionFiles, changing_region, garment_region, inside, keep_outside

PARTS = ("inside", "outside")


@dataclass
class PairFigures:
    """What one pair's picture comes to.

    Attributes:
        person: id.
        garment: id.
        size: of the picture, ``HxW``.
        figures: by name; empty without a true photo.
        error: mean squared error of the whole picture, squared grey levels.
        digest: of the pixels of picture and true photo.
        region: of the pixels of what counts as inside; empty where that is not known.
    """

    person: str
    garment: str
    size: str
    digest: bytes = field(repr=False)
    figures: dict[str, float] = field(default_factory=dict)
    error: float | None = None
    region: bytes = field(default=b"", repr=False)


class Comparison:
    """Takes pictures pair by pair (`add`) and says what they come to (`figures`, `conditions`).

    Args:
        folder: test split with the photos, and the true photos where there are some.
        protocol: how picture and truth come to one size.
        distances: LPIPS and DISTS networks to measure with.
        inception: features for FID and KID; None for neither.
        keep: lay the person's photo over each picture outside what a try-on may change, before anything is measured.
        regions: masks of what may change, and of what counts as inside; by default `changing_region`, and
            `garment_region`.

    Raises:
        InputError: a library for FID and KID is not installed.
    """

    def __init__(
        self,
        folder: TryOnFolder,
        protocol: Protocol,
        distances: Iterable[Distance] = (),
        inception: Inception | None = None,
        keep: bool = False,
        regions: RegionFiles | None = None,
    ) -> None:
        if inception is not None:
            fid_and_kid()
        self.folder = folder
        self.protocol = protocol
        self.distances = list(distances)
        self.inception = inception
        self.keep = keep
        self.regions = regions
        self.pairs: list[PairFigures] = []
        self._made: list[Tensor] = []
        self._real: dict[str, Tensor] = {}

    def add(self, person: str, garment: str, picture: Image.Image) -> None:
        """Measure a pair's picture, RGB of any size.

        Raises:
            InputError: a file cannot be read, or the picture does not fit its photo.
        """
        path = true_photo_path(self.folder, person, garment)
        truth = None if path is None else open_image(path)
        digest = _digest(picture) + (b"" if truth is None else _digest(truth))
        if self.keep:
            region = self.regions[person] if self.regions else changing_region(self.folder, person)
            picture = keep_outside(picture, open_image(self.folder.photo_path(person)), region)
        found = PairFigures(person, garment, format_size((picture.height, picture.width)), digest)
        if truth is not None and path is not None:
            self._measure(found, *self.protocol.pair(picture, truth, path))
        if self.inception is not None:
            self._made.append(self.inception.features(picture))
            self._see(person, picture)
        self.pairs.append(found)

    def figures(self) -> dict[str, float]:
        """Means over the pairs that have such a figure, FID and KID. PSNR is the protocol's."""
        ordered = self._ordered()
        names = dict.fromkeys(name for pair in ordered for name in pair.figures)
        means = {name: float(np.mean([p.figures[name] for p in ordered if name in p.figures])) for name in names}
        if errors := [pair.error for pair in ordered if pair.error is not None]:
            means["psnr"] = _psnr(errors, self.protocol.psnr_of)
        if self.inception is not None:
            real, made = torch.stack(list(self._real.values())), torch.stack(self._made)
            means |= {"fid": frechet_distance(real, made), "kid": kernel_distance(real, made)}
        return means

    def conditions(self) -> dict[str, object]:
        """What two people must have in common for the same figures, but for libraries."""
        ordered = self._ordered()
        weights = {distance.name: distance.weights for distance in self.distances}
        return {
            "pairs": {
                "sha256": pairs_hash([(pair.person, pair.garment) for pair in ordered]),
                "count": len(ordered),
                "people": len({pair.person for pair in ordered}),
                "with_true_photo": sum(pair.error is not None for pair in ordered),
                "with_region": sum(bool(pair.region) for pair in ordered),
            },
            "pictures": {
                "sha256": _joined(pair.digest for pair in ordered),
                "sizes": sorted({pair.size for pair in ordered}),
            },
            "protocol": self.protocol.conditions(),
            "keeps_photo_outside": self.keep,
            "regions": {
                "from": "files" if self.regions else "parsing",
                "sha256": _joined(pair.region for pair in ordered),
            },
            "weights_sha256": weights | ({} if self.inception is None else {"inception": self.inception.weights}),
        }

    def _ordered(self) -> list[PairFigures]:
        """So that no figure and no hash depends on the order of a pair file."""
        return sorted(self.pairs, key=lambda pair: (pair.person, pair.garment))

    def _measure(self, found: PairFigures, image: Image.Image, truth: Image.Image) -> None:
        similarity = similarity_map(image, truth, border=self.protocol.ssim_border)
        errors = squared_error(image, truth)
        found.error = float(errors.mean())
        found.figures = {"ssim": float(similarity.mean()), "psnr": decibels(found.error)}
        found.figures |= {distance.name: distance(image, truth) for distance in self.distances}
        whole = (self.folder, found.person, found.garment)
        region = self.regions[found.person] if self.regions else garment_region(*whole)
        if region is None:
            return
        found.region = _digest(region)
        mask = inside(region, (image.height, image.width))
        for name, part in zip(PARTS, (mask, ~mask), strict=True):
            around = part if self.protocol.ssim_border else inner(part)
            if not around.any():
                continue
            found.figures[f"ssim_{name}"] = float(similarity[around].mean())
            found.figures[f"psnr_{name}"] = decibels(float(errors[part].mean()))
            mixed = Image.fromarray(np.where(part[..., None], np.asarray(image), np.asarray(truth)))
            for distance in self.distances:
                if distance.name.startswith("lpips"):
                    found.figures[f"{distance.name}_{name}"] = distance(mixed, truth)

    def _see(self, person: str, picture: Image.Image) -> None:
        """The features of a person's photo, once, beside a picture of them."""
        if self.inception is not None and person not in self._real:
            path = self.folder.photo_path(person)
            photo = self.protocol.photo(open_image(path), path, (picture.height, picture.width))
            self._real[person] = self.inception.features(photo)


def pairs_hash(pairs: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of a list of pairs, whatever its order: of lines ``person garment`` by ids, sorted."""
    lines = sorted(f"{person} {garment}\n" for person, garment in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _psnr(errors: list[float], count: int) -> float:
    """The mean of what the mean errors of `count` pictures at a time come to, each weighing as many as it has."""
    parts = [errors[start : start + count] for start in range(0, len(errors), count)]
    return sum(len(part) * decibels(float(np.mean(part))) for part in parts) / len(errors)


def _digest(image: Image.Image) -> bytes:
    return hashlib.sha256(f"{image.width} {image.height}\n".encode() + image.tobytes()).digest()


def _joined(digests: Iterable[bytes]) -> str:
    return hashlib.sha256(b"".join(digests)).hexdigest()
