"""Does a student that real photos teach become better than its tutor, and better than one that imitates the tutor?"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from tryon.config import TrainConfig
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.demo import PAIRED, UNPAIRED
from tryon.engine import train_stage
from tryon.engine.lock import LOCK_FILE, held
from tryon.engine.log import LOG_FILE
from tryon.engine.plot import new_figure
from tryon.engine.record import versions_and_machine
from tryon.errors import InputError
from tryon.experiments.pictures import draw_curves, draw_sheet
from tryon.experiments.plan import Part, read_times, run_parts
from tryon.experiments.results import Results, tutor_at
from tryon.experiments.settings import TUTOR, Settings, Variant, claim
from tryon.experiments.tables import tables
from tryon.files import make_folder, whole_file
from tryon.losses import PerceptualLoss
from tryon.metrics import evaluate, structural_similarity
from tryon.models import TryOnModel
from tryon.progress import Progress
from tryon.small import draw_people, one_thread, small_config
from tryon.stages import STAGES
from tryon.weights import RECORD_FILE, load_model, read_record, write_json

TUTOR_STAGES = ("tutor-warp", "tutor")
STUDENT_STAGES = ("student-warp", "student")
PAIR_FILES = {"unpaired": UNPAIRED, "paired": PAIRED}
CHECKPOINT_MINUTES = 2.0
STEP_WORK = {"tutor-warp": 1.7, "tutor": 2.9, "student-warp": 2.4, "student": 4.2}  # TFLOP of the published steps
PERSON_WORK, PAIR_WORK = 0.3, 0.7  # drawing one, scoring one: what they take beside these


@dataclass(frozen=True)
class ExperimentResult:
    """Where the results are, and the tables as text."""

    table_file: Path
    curves: Path
    sheet: Path
    results_file: Path
    table: str


def run_distillation(
    out: Path, settings: Settings, perceptual_weights: Path | None = None, processes: int = 1
) -> ExperimentResult:
    """Draw people, train tutors and students, score them, and write tables and pictures.

    An experiment that was stopped goes on where it was; one that is begun again while it goes on is shared.

    Args:
        out: folder of the experiment.
        settings: of it.
        perceptual_weights: VGG-19 weights file; without it fixed random features serve.
        processes: how many share the work; the results are the same bytes.

    Raises:
        InputError: ``out`` holds something else, or an experiment of other settings; or a package that measures or
            plots is not installed.
    """
    _check_packages()
    with one_thread():
        perceptual = PerceptualLoss(perceptual_weights, settings.width)
        claim(out, settings, perceptual.source)
        experiment = _Experiment(out, settings, perceptual, perceptual_weights)
        run_parts(experiment.parts(), out, processes)
        with held(out / LOCK_FILE, wait=True):
            return experiment.report()


class _Experiment:
    """Folders and parts of an experiment."""

    def __init__(
        self, out: Path, settings: Settings, perceptual: PerceptualLoss, perceptual_weights: Path | None
    ) -> None:
        self.out = out
        self.settings = settings
        self.perceptual = perceptual
        self.perceptual_weights = perceptual_weights

    def parts(self) -> list[Part]:
        """All of them, in order."""
        settings = self.settings
        train = self._drawing(self.train_data, settings.train_people, 0, settings.training_noise)
        levels, people = settings.noise_levels, settings.test_people
        tests = [self._drawing(self.test_data(level), 0, people, level) for level in levels]
        tutors, others = [], []
        for seed in settings.seeds:
            tutor = self._stages(train, seed, TUTOR, TUTOR_STAGES)
            tutors += tutor
            others += [
                self._scoring((tutor[-1], test), seed, TUTOR, level) for level, test in zip(levels, tests, strict=True)
            ]
            for variant in settings.variants:
                student = self._stages(tutor[-1], seed, variant.name, STUDENT_STAGES, variant)
                others += [*student, self._scoring((student[-1], tests[0]), seed, variant.name)]
        return [train, *tests, *tutors, *others]

    @property
    def train_data(self) -> Path:
        """Folder of the training people."""
        return self.out / "data" / "train"

    def test_data(self, level: float) -> Path:
        """Folder of the test people, parsed with so much noise."""
        return self.out / "data" / f"test-{level:g}"

    def run_folder(self, seed: int, model: str) -> Path:
        """Run folder of a model."""
        return self.out / f"seed-{seed}" / model.replace(" ", "")

    def _drawing(self, data: Path, train: int, test: int, noise: float) -> Part:
        def draw() -> None:
            for left in data.parent.glob(f".{data.name}.*"):  # by a process that was killed
                shutil.rmtree(left)
            draw_people(data, train, test, self.settings.size, self.settings.data_seed, noise)

        return Part(f"{data.name} people", (train + test) * PERSON_WORK, data.exists, draw)

    def _stages(
        self, needed: Part, seed: int, model: str, stages: tuple[str, ...], variant: Variant | None = None
    ) -> list[Part]:
        parts = [needed]
        for stage in stages:
            parts.append(self._training(parts[-1], seed, model, stage, variant))
        return parts[1:]

    def _training(self, needed: Part, seed: int, model: str, stage: str, variant: Variant | None) -> Part:
        steps, run = self.settings.steps[stage], self.run_folder(seed, model)

        def train() -> None:
            if variant is not None:
                self._bring_tutor(seed, run)
            train_stage(stage, self._config(seed, run, stage, variant))

        name = f"seed {seed}, {model}: {stage}"
        return Part(name, steps * STEP_WORK[stage], lambda: _finished(run / stage, steps), train, (needed,))

    def _bring_tutor(self, seed: int, run: Path) -> None:
        """Have a student's run begin with the tutor that all students of the seed share."""
        run.mkdir(parents=True, exist_ok=True)
        if not (run / TUTOR).is_symlink():
            (run / TUTOR).symlink_to(Path("..", TUTOR, TUTOR), target_is_directory=True)

    def _config(self, seed: int, run: Path, stage: str, variant: Variant | None) -> TrainConfig:
        settings = self.settings
        of_variant = {name: value for name, value in vars(variant).items() if name != "name"} if variant else {}
        return small_config(
            stage,
            self.train_data,
            run,
            width=settings.width,
            steps=settings.steps[stage],
            batch=settings.batch,
            learning_rate=settings.learning_rate,
            settle_norms=settings.settle_norms,
            seed=seed,
            perceptual_weights=self.perceptual_weights,
            checkpoint_minutes=CHECKPOINT_MINUTES,
            keep=1,
            **of_variant,
        )

    def _scoring(self, needed: tuple[Part, Part], seed: int, model: str, level: float | None = None) -> Part:
        """Scores of a tutor at a noise level; of a student once, for it sees no parsing."""
        path = self.scores_file(seed, model, level)
        at = "" if level is None else f" at noise {level:g}"
        data = self.test_data(self.settings.noise_levels[0] if level is None else level)
        weights = self.run_folder(seed, model) / ("student" if level is None else TUTOR)

        def score() -> None:
            network, _ = load_model(weights)
            folder = TryOnFolder(data, "test")
            pairs = {kind: read_pairs(data / name) for kind, name in PAIR_FILES.items()}
            with Progress(f"score {model}", sum(map(len, pairs.values())), "pairs") as progress:
                scores = {
                    kind: asdict(evaluate(network, folder, chosen, "cpu", progress.update, self.perceptual))
                    for kind, chosen in pairs.items()
                }
            make_folder(path.parent)
            write_json(path, scores)

        work = len(PAIR_FILES) * self.settings.test_people * PAIR_WORK
        return Part(f"seed {seed}, {model}: scores{at}", work, path.exists, score, needed)

    def scores_file(self, seed: int, model: str, level: float | None) -> Path:
        """Where the scores of a model are."""
        at = "" if level is None else f"-{level:g}"
        return self.out / f"seed-{seed}" / "scores" / f"{model.replace(' ', '')}{at}.json"

    def report(self) -> ExperimentResult:
        """Write what all parts have given."""
        out, settings = self.out, self.settings
        results = self._results()
        facts = versions_and_machine("cpu")
        machine = f"{facts['machine']['cpu']}, {facts['machine']['cores']} cores, torch {facts['torch']}"
        table = tables(results, machine, self.perceptual.source)
        result = ExperimentResult(
            out / "table.md", out / "curves.png", out / "contact_sheet.png", out / "results.json", table
        )
        with whole_file(result.table_file) as file:
            file.write(f"{table}\n".encode())
        values = {"settings": asdict(settings), "perceptual": self.perceptual.source, **facts}
        write_json(result.results_file, values | {"seconds": read_times(out), "scores": results.scores})
        draw_curves(results, self._logs(settings.seeds[0]), result.curves)
        draw_sheet(results, self._shown_models(settings.seeds[0]), result.sheet)
        return result

    def _results(self) -> Results:
        settings = self.settings
        files: dict[str, tuple[str, float | None]] = {
            **{tutor_at(level): (TUTOR, level) for level in settings.noise_levels},
            **{variant.name: (variant.name, None) for variant in self.settings.variants},
        }
        return Results(
            settings,
            {
                name: [_read_scores(self.scores_file(seed, model, level)) for seed in settings.seeds]
                for name, (model, level) in files.items()
            },
        )

    def _logs(self, seed: int) -> dict[str, dict[str, Path]]:
        runs = {TUTOR: self.run_folder(seed, TUTOR)}
        students = {variant.name: self.run_folder(seed, variant.name) for variant in self.settings.variants}
        return {
            stage: {name: run / stage / LOG_FILE for name, run in (runs if stage in TUTOR_STAGES else students).items()}
            for stage in STAGES
        }

    def _shown_models(self, seed: int) -> dict[str, tuple[TryOnModel, TryOnFolder]]:
        clean, as_trained = (
            TryOnFolder(self.test_data(level), "test")
            for level in (self.settings.noise_levels[0], self.settings.training_noise)
        )
        tutor = load_model(self.run_folder(seed, TUTOR) / TUTOR)[0].eval()
        students = {
            variant.name: (load_model(self.run_folder(seed, variant.name) / "student")[0].eval(), clean)
            for variant in self.settings.variants
        }
        of_tutor = {tutor_at(self.settings.noise_levels[0]): clean, tutor_at(self.settings.training_noise): as_trained}
        return {title: (tutor, folder) for title, folder in of_tutor.items()} | students


def _check_packages() -> None:
    """Have a package that is not installed said before the work, not after it."""
    new_figure(1, 1)
    blank = Image.new("RGB", (16, 16))
    structural_similarity(blank, blank)


def _finished(folder: Path, steps: int) -> bool:
    """Whether a stage's model is that of its last step: its record is written last."""
    return (folder / RECORD_FILE).exists() and read_record(folder).step == steps


def _read_scores(path: Path) -> dict[str, Any]:
    try:
        scores: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as scores ({error})") from None
    return scores
