"""The demo: every room of the package once, small enough for two cores and a quarter of an hour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.engine import train_stage
from tryon.engine.pictures import contact_sheet
from tryon.metrics import Evaluation, evaluate
from tryon.progress import Progress
from tryon.small import draw_people, dressed_columns, one_thread, small_config
from tryon.weights import load_model

SIZE = (128, 96)
TRAIN_PEOPLE, TEST_PEOPLE = 1600, 32
WIDTH = 1 / 4  # 16 channels, which fill a vector: as quick as 12
SEED = 0
BATCH = 4
PARSING_NOISE = 0.4
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
    draw_people(data, TRAIN_PEOPLE, TEST_PEOPLE, SIZE, SEED, PARSING_NOISE)
    with one_thread():
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
    models = {"tutor's fake": (tutor, folder), "student": (student, folder)}
    contact_sheet(dressed_columns(models, pairs[UNPAIRED][:SHOWN_PAIRS])).save(sheet)
    table = _table(scores)
    table_file = out / "table.md"
    table_file.write_text(table + "\n", encoding="utf-8")
    return DemoResult(sheet, table_file, run / "student", table)


def _config(data: Path, run: Path, stage: str) -> TrainConfig:
    return small_config(
        stage,
        data,
        run,
        width=WIDTH,
        steps=STEPS[stage],
        batch=BATCH,
        learning_rate=LEARNING_RATE,
        settle_norms=SETTLE_NORMS,
        composite=True,
        hems=True,
        generator_from_tutor=True,
        seed=SEED,
        picture_every=PICTURE_EVERY,
    )


def _table(scores: dict[tuple[str, str], Evaluation]) -> str:
    lines = ["| | pairs | SSIM | flow end-point error, pixels |", "| --- | --- | --- | --- |"]
    for (role, pairs), score in scores.items():
        kind = "another's garment" if pairs == UNPAIRED else "own garment"
        lines.append(f"| {role}, {kind} | {len(score.pairs)} | {score.ssim:.3f} | {score.end_point_error:.2f} |")
    size = f"{SIZE[0]} x {SIZE[1]}"
    lines += ["", f"{TRAIN_PEOPLE} drawn training people, {size}, width {WIDTH:g}, {sum(STEPS.values())} steps."]
    return "\n".join(lines)
