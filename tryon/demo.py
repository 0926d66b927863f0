"""The demo: every room of the package once, small enough for two cores and a few minutes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.images import open_image
from tryon.data.synthetic import synthesize
from tryon.engine import train_stage
from tryon.engine.pictures import contact_sheet
from tryon.errors import InputError
from tryon.metrics import Evaluation, dress_pair, evaluate, true_photo
from tryon.models import TryOnModel
from tryon.weights import load_model

SIZE = (128, 96)
TRAIN_PEOPLE, TEST_PEOPLE = 400, 12
WIDTH = 0.25
SEED = 0
BATCH = 4
PARSING_NOISE = 0.3
LEARNING_RATE = 1e-3  # far above the published rate: hundreds of steps have to do, not hundreds of thousands
STEPS = {"tutor-warp": 400, "tutor": 300, "student-warp": 300, "student": 300}
PICTURE_EVERY = 100
SHOWN_PAIRS = 8
UNPAIRED, PAIRED = "test_pairs_unpaired.txt", "test_pairs_paired.txt"


@dataclass(frozen=True)
class DemoResult:
    """Where the demo's results are, and its table as text."""

    sheet: Path
    table_file: Path
    student: Path
    table: str


def run_demo(out: Path) -> DemoResult:
    """Synthesize, train the four stages, dress the test people, compare with the truth.

    Raises:
        InputError: ``out`` is not empty.
    """
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: found files, wanted a new or empty folder")
    began = time.monotonic()
    data, run = out / "data", out / "run"
    synthesize(data, train=TRAIN_PEOPLE, test=TEST_PEOPLE, size=SIZE, seed=SEED, parsing_noise=PARSING_NOISE)
    for stage, steps in STEPS.items():
        train_stage(stage, _config(data, run, steps))
    folder = TryOnFolder(data, "test")
    tutor, student = (load_model(run / name)[0].eval() for name in ("tutor", "student"))
    pairs = {name: read_pairs(data / name) for name in (UNPAIRED, PAIRED)}
    scores = {
        (role.role, name): evaluate(role, folder, chosen) for name, chosen in pairs.items() for role in (tutor, student)
    }
    sheet = out / "contact_sheet.png"
    contact_sheet(_columns(folder, tutor, student, pairs[UNPAIRED][:SHOWN_PAIRS])).save(sheet)
    table = _table(scores, time.monotonic() - began)
    table_file = out / "table.md"
    table_file.write_text(table + "\n", encoding="utf-8")
    return DemoResult(sheet, table_file, run / "student", table)


def _config(data: Path, run: Path, steps: int) -> TrainConfig:
    return TrainConfig(
        data=data,
        out=run,
        width=WIDTH,
        steps=steps,
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        seed=SEED,
        picture_every=PICTURE_EVERY,
    )


def _columns(
    folder: TryOnFolder, tutor: TryOnModel, student: TryOnModel, pairs: list[tuple[str, str]]
) -> dict[str, list[Image.Image]]:
    return {
        "person": [open_image(folder.photo_path(person), "RGB") for person, _ in pairs],
        "garment": [open_image(folder.garment_path(garment), "RGB") for _, garment in pairs],
        "tutor's fake": [dress_pair(tutor, folder, *pair)[0] for pair in pairs],
        "student": [dress_pair(student, folder, *pair)[0] for pair in pairs],
        "truth": [true_photo(folder, *pair) for pair in pairs],
    }


def _table(scores: dict[tuple[str, str], Evaluation], seconds: float) -> str:
    lines = ["| | pairs | SSIM | flow end-point error, pixels |", "| --- | --- | --- | --- |"]
    for (role, pairs), score in scores.items():
        kind = "another's garment" if pairs == UNPAIRED else "own garment"
        lines.append(f"| {role}, {kind} | {len(score.pairs)} | {score.ssim:.3f} | {score.end_point_error:.2f} |")
    size = f"{SIZE[0]} x {SIZE[1]}"
    lines += ["", f"{TRAIN_PEOPLE} drawn training people, {size}, width {WIDTH:g}, {sum(STEPS.values())} steps,"]
    lines.append(f"{seconds / 60:.1f} minutes in all.")
    return "\n".join(lines)
