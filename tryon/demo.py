"""The demo: every room of the package once, small enough for two cores and ten minutes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.images import open_image
from tryon.data.synthetic import synthesize
from tryon.engine import has_checkpoint, train_stage
from tryon.engine.pictures import contact_sheet
from tryon.metrics import Evaluation, dress_pair, evaluate, true_photo
from tryon.models import TryOnModel
from tryon.precision import multiplies_bfloat16
from tryon.progress import Progress
from tryon.weights import load_model

SIZE = (128, 96)
TRAIN_PEOPLE, TEST_PEOPLE = 1600, 32
WIDTH = 1 / 4  # 16 channels, which fill a vector: as quick as 12
SEED = 0
BATCH = 4
PARSING_NOISE = 0.4
DRAWING_PROCESSES = 2
LEARNING_RATE = 1e-3  # far above the published rates: hundreds of steps have to do, not hundreds of thousands
STEPS = {"tutor-warp": 700, "tutor": 300, "student-warp": 250, "student": 400}
SETTLE_NORMS = 100  # of the models that dress; of fewer batches the tutor's flow depends on which
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

    A demo that was stopped goes on where it was; one that is finished only dresses and compares again.

    Raises:
        InputError: ``out`` holds a demo of other settings.
    """
    data, run = out / "data", out / "run"
    if not data.exists():
        _draw(data)
    with _one_thread():
        for stage in STEPS:
            train_stage(stage, _config(data, run, stage))
    folder = TryOnFolder(data, "test")
    tutor, student = (load_model(run / name)[0].eval() for name in ("tutor", "student"))
    pairs = {name: read_pairs(data / name) for name in (UNPAIRED, PAIRED)}
    scores = {}
    with Progress("evaluate", 2 * sum(map(len, pairs.values())), "pairs") as progress:
        for name, chosen in pairs.items():
            for model in (tutor, student):
                scores[model.role, name] = evaluate(model, folder, chosen, "cpu", progress.update)
    sheet = out / "contact_sheet.png"
    contact_sheet(_columns(folder, tutor, student, pairs[UNPAIRED][:SHOWN_PAIRS])).save(sheet)
    table = _table(scores)
    table_file = out / "table.md"
    table_file.write_text(table + "\n", encoding="utf-8")
    return DemoResult(sheet, table_file, run / "student", table)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread, which would wait for the core of who reads the data."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _draw(data: Path) -> None:
    with Progress("synthesize", TRAIN_PEOPLE + TEST_PEOPLE, "people") as progress:
        synthesize(
            data,
            train=TRAIN_PEOPLE,
            test=TEST_PEOPLE,
            size=SIZE,
            seed=SEED,
            parsing_noise=PARSING_NOISE,
            progress=progress.update,
            processes=DRAWING_PROCESSES,
        )


def _config(data: Path, run: Path, stage: str) -> TrainConfig:
    return TrainConfig(
        data=data,
        out=run,
        width=WIDTH,
        steps=STEPS[stage],
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        keep_background=True,
        copy_mask=True,
        settle_norms=0 if stage.endswith("warp") else SETTLE_NORMS,
        precision="bf16" if multiplies_bfloat16() else "fp32",
        seed=SEED,
        picture_every=PICTURE_EVERY,
        resume=has_checkpoint(run / stage),
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


def _table(scores: dict[tuple[str, str], Evaluation]) -> str:
    lines = ["| | pairs | SSIM | flow end-point error, pixels |", "| --- | --- | --- | --- |"]
    for (role, pairs), score in scores.items():
        kind = "another's garment" if pairs == UNPAIRED else "own garment"
        lines.append(f"| {role}, {kind} | {len(score.pairs)} | {score.ssim:.3f} | {score.end_point_error:.2f} |")
    size = f"{SIZE[0]} x {SIZE[1]}"
    lines += ["", f"{TRAIN_PEOPLE} drawn training people, {size}, width {WIDTH:g}, {sum(STEPS.values())} steps."]
    return "\n".join(lines)
