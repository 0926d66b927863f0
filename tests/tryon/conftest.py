from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tryon.cli import main
from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Sample, stack
from tryon.data.synthetic import synthesize
from tryon.engine import train_all
from tryon.models import Student
from tryon.stages import Recipe
from tryon.weights import ModelRecord, save_model

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "viton-photos"


@pytest.fixture(scope="session")
def real_photos() -> Path:
    """Folder of real photos, kept beside the project; without it the test is skipped and says so."""
    if not PHOTOS.is_dir():
        pytest.skip(f"no real photos at {PHOTOS}")
    return PHOTOS


@pytest.fixture(scope="session")
def drawn_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set; tests only read it."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    synthesize(out, train=5, test=2, size=(64, 64), seed=1)
    return out


@pytest.fixture(scope="session")
def tiny_config(drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Smallest training that still has two halves and a batch."""
    return TrainConfig(
        data=drawn_data, out=tmp_path_factory.mktemp("tiny") / "run", width=1 / 16, steps=2, batch=2, workers=0
    )


@pytest.fixture(scope="session")
def sharp_config(tiny_config: TrainConfig) -> TrainConfig:
    """The same with the options that the published training does not have."""
    return replace(tiny_config, out=tiny_config.out.parent / "sharp", keep_background=True, copy_mask=True)


@pytest.fixture(scope="session")
def sharp_run(sharp_config: TrainConfig) -> Path:
    """A run folder with all four stages and these options; tests only read it."""
    train_all(sharp_config)
    return sharp_config.out


@pytest.fixture(scope="session")
def tiny_run(tiny_config: TrainConfig) -> Path:
    """A run folder with all four stages; tests only read it."""
    train_all(tiny_config)
    return tiny_config.out


@pytest.fixture(scope="session")
def drawn_fakes(tiny_run: Path, drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny tutor's pictures of the first epoch, with masks and flows; tests only read it."""
    out = tmp_path_factory.mktemp("fakes") / "fakes"
    command = ("fakes", "--weights", tiny_run / "tutor", "--data", drawn_data, "--out", out, "--flows")
    assert main([*map(str, command), "--device", "cpu"]) == 0
    return out


@pytest.fixture(scope="session")
def untrained_student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model folder of a student with a copy mask that has learnt nothing; tests only read it."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("untrained") / "student"
    record = ModelRecord("student", 1 / 16, (64, 64), False, True, "viton", "random", "student", 7, copy_mask=True)
    save_model(folder, Student(width=1 / 16, generator=True, copy_mask=True), record)
    return folder


@pytest.fixture
def recipe(tiny_run: Path, tiny_config: TrainConfig) -> Recipe:
    """What the tiny run's stages were built from."""
    return Recipe(init=tiny_run, size=(64, 64), width=tiny_config.width, densepose=True, label_scheme="viton")


@pytest.fixture
def sample(drawn_data: Path) -> Sample:
    """A batch of two drawn people."""
    folder = TryOnFolder(drawn_data, "train")
    return stack([folder.read_sample(folder.people[i], folder.people[i + 1]) for i in range(2)])


@pytest.fixture(scope="session")
def launch_chromium() -> Iterator[Callable[..., Any]]:
    """Starts a browser of the machine's, with flags; none is fetched."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: make extras")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as driver:
        yield lambda *flags: driver.chromium.launch(executable_path=found, args=["--no-sandbox", *flags])


@pytest.fixture(scope="session")
def chromium(launch_chromium: Callable[..., Any]) -> Iterator[Any]:
    with launch_chromium() as browser:
        yield browser
