"""Real people in real garments, by every way there is to dress them: the pictures are one."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tryon.app.visiting import Visitor as AppVisitor
from tests.tryon.app.visiting import served as served_by_app
from tests.tryon.conversion.published_checkpoints import random_checkpoint
from tests.tryon.page.visiting import Site, Visitor, levels_apart, made_site, served, skip_without_runtime
from tryon import TryOn
from tryon.cli import main
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.images import open_image
from tryon.video.dressing import dress_frames
from tryon.weights import read_record

OTHER_STUDENT = "TRYON_STUDENT"  # a variable with a model folder of one's own, to be looked at too
PAIRS = 2

pytestmark = pytest.mark.extras


def trained_here(request: pytest.FixtureRequest, _: Path) -> Path:
    return request.getfixturevalue("sharp_run") / "student"


def converted(_: pytest.FixtureRequest, folder: Path) -> Path:
    """Of files in the published layout: full width, weights that keep the scale of what passes through."""
    for name in ("warp", "generator"):
        torch.save(random_checkpoint(f"student_{name}"), folder / f"{name}.pth")
    files = ("--warp", folder / "warp.pth", "--gen", folder / "generator.pth")
    assert main(["convert", *map(str, files), "--out", str(folder / "student")]) == 0
    return folder / "student"


def given(_: pytest.FixtureRequest, __: Path) -> Path:
    if OTHER_STUDENT not in os.environ:
        pytest.skip(f"{OTHER_STUDENT} names no model folder")
    return Path(os.environ[OTHER_STUDENT])


@dataclass(frozen=True)
class Pair:
    """Files of a person and a garment, and the picture by PyTorch in float32."""

    person: Path
    garment: Path
    wanted: np.ndarray


@dataclass(frozen=True)
class Case:
    """A student, its page, the pairs, and by how many grey levels any other way may differ."""

    student: Path
    site: Site
    pairs: list[Pair]
    bound: float

    def check(self, way: str, found: list[Image.Image | np.ndarray]) -> None:
        for pair, image in zip(self.pairs, found, strict=True):
            difference = np.abs(np.asarray(image, dtype=int) - pair.wanted)
            print(f"{way}: differs by {difference.max()} levels at most, {difference.mean():.5f} on average")
            assert difference.max() <= self.bound


@pytest.fixture(scope="module", params=[trained_here, converted, given], ids=lambda make: make.__name__)
def case(request: pytest.FixtureRequest, real_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Case:
    skip_without_runtime()
    student = request.param(request, tmp_path_factory.mktemp("weights"))
    size = read_record(student).size
    site = made_site(student, tmp_path_factory.mktemp("page"), size)
    folder, by_torch = TryOnFolder(real_photos, "test"), TryOn.load(student, precision="fp32", device="cpu")
    pairs = []
    for person, garment in read_pairs(real_photos / "test_pairs_unpaired.txt", folder)[:PAIRS]:
        files = folder.photo_path(person), folder.garment_path(garment)
        pairs.append(Pair(*files, np.asarray(by_torch.dress(*map(open_image, files)), dtype=int)))
    return Case(student, site, pairs, levels_apart(site.bounds, pairs[0].wanted.shape[:2]))


def dressed(student: TryOn, pairs: list[Pair]) -> list[Image.Image]:
    return [student.dress(open_image(pair.person), open_image(pair.garment)) for pair in pairs]


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_by_another_engine(engine: str, case: Case) -> None:
    from tryon.engines import ExportedTryOn

    pytest.importorskip(engine, reason=f"{engine} is not installed: make extras")
    case.check(engine, dressed(ExportedTryOn(case.site.model, engine), case.pairs))


def test_in_the_browser_without_a_server(case: Case, chromium: Any) -> None:
    found = []
    with served(case.site.folder) as server:
        context = chromium.new_context()
        visitor = Visitor(context, f"http://127.0.0.1:{server.server_address[1]}/")
        for pair in case.pairs:
            visitor.take("person", pair.person)
            visitor.take("garment", pair.garment)
            assert visitor.refusal() == ""
            found.append(visitor.result())
        context.close()
    case.check("browser", found)


def test_by_the_local_page(case: Case, chromium: Any, tmp_path: Path) -> None:
    pytest.importorskip("gradio", reason="gradio is not installed: make extras")
    found = []
    with served_by_app(case.student, tmp_path) as running:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        visitor = AppVisitor(context, running.address)
        for pair in case.pairs:
            visitor.upload("person", pair.person)
            visitor.upload("garment", pair.garment)
            visitor.dress()
            assert visitor.message() == ""
            found.append(visitor.result())
        context.close()
    case.check("local page", found)


def test_as_frames_of_a_video(case: Case) -> None:
    """Before they are encoded, which no two players undo alike; what a file holds is `test_video`'s."""
    student = TryOn.load(case.student, precision="fp32", device="cpu")
    films = [_film(student, pair) for pair in case.pairs]
    for frames in zip(*films, strict=True):
        case.check("video", list(frames))


def _film(student: TryOn, pair: Pair) -> list[Image.Image]:
    """Two frames, dressed as one batch, in which nothing moves."""
    photo = open_image(pair.person)
    return list(dress_frames(student, [photo] * 2, open_image(pair.garment), steady=0))
