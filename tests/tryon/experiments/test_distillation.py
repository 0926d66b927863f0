"""The experiment on distillation, at a size that takes seconds: its way, its end, and going on after any end."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tryon.forked import Ended, Forked, at, tryon
from tests.tryon.test_interruptions import kill_itself
from tryon.cli import experiment as command
from tryon.cli import main
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.errors import InputError
from tryon.experiments import VARIANTS, Settings, distillation, run_distillation
from tryon.experiments.plan import read_times
from tryon.experiments.results import Results, tutor_at
from tryon.experiments.settings import FULL, IMITATE, QUICK, claim
from tryon.experiments.tables import BEGIN, END
from tryon.losses import PerceptualLoss
from tryon.metrics import MEASURES, evaluate
from tryon.stages import GUIDANCE, STAGES
from tryon.weights import load_model, read_record

TINY = Settings(
    size=(64, 64),
    train_people=4,
    test_people=2,
    noise_levels=(0.0, 0.4),
    seeds=(0,),
    width=1 / 16,
    steps={"tutor-warp": 2, "tutor": 2, "student-warp": 2, "student": 2},
    batch=2,
    settle_norms=1,
    variants=tuple(variant for variant in VARIANTS if variant.name == IMITATE),
    resamples=100,
    shown=1,
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment that nothing interrupted; tests only read it."""
    out = tmp_path_factory.mktemp("whole") / "experiment"
    run_distillation(out, TINY)
    return out


def begin_quickly() -> None:
    command.QUICK = TINY
    distillation.CHECKPOINT_MINUTES = 1e-9  # one after each step
    distillation.draw_curves = lambda *_: None  # most of what so small an experiment takes


def quickly(*arguments: object) -> tuple[object, ...]:
    """The command with `TINY` for --quick."""
    return ("experiment", "distillation", "--quick", "--out", *arguments)


def run_quickly(*arguments: object, before: Callable[[], object] = lambda: None) -> Ended:
    """It in a process of its own that can be killed within a stage."""

    def begin() -> None:
        begin_quickly()
        before()

    return tryon(*quickly(*arguments, "--processes", 1), before=begin)


def scores(out: Path, name: str) -> dict:
    return json.loads((out / "seed-0" / "scores" / f"{name}.json").read_text())


def test_every_form_of_guidance_has_a_student_and_the_published_one_also_with_what_may_help() -> None:
    assert [variant.guidance for variant in VARIANTS] == [*GUIDANCE, "full"]
    for option in ("composite", "hems", "generator_from_tutor"):
        assert [variant.name for variant in VARIANTS if getattr(variant, option)] == ["full + all three"]
    assert all(settings.training_noise in settings.noise_levels for settings in (FULL, QUICK))
    published = {name: stage.epochs for name, stage in STAGES.items()}
    assert len({FULL.steps[name] / epochs for name, epochs in published.items()}) == 1
    assert len(FULL.seeds) == 3


def test_students_of_a_seed_share_its_tutor(whole: Path) -> None:
    tutor = (whole / "seed-0" / "tutor" / "tutor" / "generator.safetensors").read_bytes()
    assert (whole / "seed-0" / "imitate" / "tutor" / "generator.safetensors").read_bytes() == tutor
    assert read_record(whole / "seed-0" / "imitate" / "student").step == TINY.steps["student"]


def test_each_student_is_trained_as_its_variant_says_with_the_seed_of_its_tutor(whole: Path) -> None:
    asked = {}
    for model, stage in (("tutor", "tutor"), ("imitate", "student")):
        asked[stage] = json.loads((whole / "seed-0" / model / stage / "run.json").read_text())["settings"]
    assert asked["student"]["guidance"] == "imitate"
    assert asked["tutor"]["seed"] == asked["student"]["seed"] == 0
    experiment = distillation._Experiment(whole, replace(TINY, variants=VARIANTS), PerceptualLoss(None, 1 / 16), None)
    for variant in VARIANTS:
        config = experiment._config(7, whole, "student", variant)
        assert (config.guidance, config.seed) == (variant.guidance, 7)
        for option in ("composite", "hems", "generator_from_tutor"):
            assert getattr(config, option) == getattr(variant, option)


def test_the_training_people_are_parsed_wrongly_and_the_test_people_are_the_same_at_every_noise(whole: Path) -> None:
    facts = json.loads((whole / "data" / "train" / "dataset.json").read_text())
    assert facts["parsing_noise"] == TINY.training_noise
    exact, noisy = (whole / "data" / f"test-{level}" for level in ("0", "0.4"))
    for path in exact.rglob("*.*"):
        name = path.relative_to(exact)
        same = (noisy / name).read_bytes() == path.read_bytes()
        assert same == (name.parts[0] not in ("test_label", "dataset.json")), name


def test_noise_moves_the_tutors_scores_and_not_the_students(whole: Path) -> None:
    assert scores(whole, "tutor-0") != scores(whole, "tutor-0.4")
    student, _ = load_model(whole / "seed-0" / "imitate" / "student")
    for level in ("0", "0.4"):
        data = whole / "data" / f"test-{level}"
        evaluation = evaluate(student, TryOnFolder(data, "test"), read_pairs(data / "test_pairs_unpaired.txt"))
        for pair, noted in zip(evaluation.pairs, scores(whole, "imitate")["unpaired"]["pairs"], strict=True):
            assert pair.ssim == noted["ssim"]
            assert pair.end_point_error == noted["end_point_error"]


def test_it_ends_with_tables_curves_a_sheet_and_all_scores(whole: Path) -> None:
    table = (whole / "table.md").read_text()
    for name in ("tutor, noise 0", "tutor, noise 0.4", "imitate"):
        assert f"| {name} | 0." in table
    assert Image.open(whole / "curves.png").width > 1000
    columns = 3 + len(TINY.noise_levels) + len(TINY.variants)  # person, garment, truth; tutors and students
    assert Image.open(whole / "contact_sheet.png").width > columns * 3 * 64
    noted = json.loads((whole / "results.json").read_text())
    assert noted["settings"]["seeds"] == [0]
    assert {"torch", "python", "machine", "seconds"} <= noted.keys()
    results = Results(TINY, noted["scores"])
    for measure in MEASURES:
        assert results.values("imitate", "unpaired", measure).shape == (1, TINY.test_people)
    assert results.difference("imitate", "imitate", "paired", "ssim").mean == 0
    assert np.isfinite(results.means(tutor_at(0), "paired", "kept_error")).all()


# One place after the other in the same experiment; each goes on where the one before was killed.
KILLED = (
    ("os.mkdir", "data"),
    ("os.rename", "seed-0/imitate/student-warp/checkpoints/step_000002.pt.part"),
    ("os.rename", "results.json.part"),
)
OTHERS_KILLED = (
    ("os.rename", "settings.json.part"),
    ("os.mkdir", "data"),
    ("os.rename", "seed-0/scores/tutor-0.4.json.part"),
    ("os.rename", "seed-0/scores/imitate.json.part"),
)


@pytest.mark.parametrize(
    "killed", [KILLED, pytest.param(OTHERS_KILLED, marks=pytest.mark.more)], ids=["some", "others"]
)
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_results(
    whole: Path, tmp_path: Path, killed: tuple[tuple[str, str], ...]
) -> None:
    out = tmp_path / "experiment"
    for event, place in killed:
        assert run_quickly(out, before=at(event, out / place, kill_itself)).code == -9, place
        if place == "data":
            (out / "data" / ".train.left").mkdir(parents=True)  # as by one that was killed while it drew
    assert not (out / "data" / ".train.left").exists()
    assert run_quickly(out).code == 0
    assert results_of(out) == results_of(whole)


def test_processes_that_share_the_work_end_together_and_with_the_same_results(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "experiment"
    arguments = quickly(out, "--processes", 2)
    running = Forked(*arguments, before=begin_quickly)
    while not (helpers := running.children()):
        time.sleep(0.01)
    running.signal(signal.SIGKILL)
    running.ended()
    while any(map(is_running, helpers)):
        time.sleep(0.01)
    assert tryon(*arguments, before=begin_quickly).code == 0
    assert results_of(out) == results_of(whole)
    assert read_times(out).keys() == read_times(whole).keys()
    notes = [json.loads(path.read_text()) for path in (out / "parts").glob("*.json")]
    assert len({note["process"] for note in notes}) > 1


def is_running(process: int) -> bool:
    """Whether it has neither ended nor is left for a parent to be told that it has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def results_of(out: Path) -> dict[str, bytes]:
    """All that an experiment must end with, but for times, what is said of each run, and curves."""
    kinds = (".safetensors", ".csv", ".png", ".md", "settings.json")
    files = [path for path in out.rglob("*") if path.name.endswith(kinds) or path.parent.name == "scores"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files if path.name != "curves.png"}


def test_a_folder_of_other_settings_is_refused_in_a_line(whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["experiment", "distillation", "--quick", "--out", str(whole)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "wanted" in line]
    assert line == f"tryon: {whole}: found an experiment with size [64, 64], wanted [96, 64]"


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    assert run_quickly(tmp_path).errors.splitlines()[-1].endswith("wanted a new folder or an experiment's")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_experiment_remembers_its_settings_and_whose_features_it_measures_with(tmp_path: Path) -> None:
    claim(tmp_path / "new", TINY, "random")
    claim(tmp_path / "new", TINY, "random")
    for settings, perceptual, named in (
        (replace(TINY, seeds=(0, 1)), "random", "seeds"),
        (TINY, "file:1", "perceptual"),
    ):
        with pytest.raises(InputError, match=f"found an experiment with {named}"):
            claim(tmp_path / "new", settings, perceptual)


def test_what_is_done_is_not_done_again_and_a_report_goes_between_its_lines_in_a_document(
    whole: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in (whole / "seed-0").rglob("*") if path.is_file()}
    document = tmp_path / "results.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    assert run_quickly(whole, "--report", document).code == 0
    table = (whole / "table.md").read_text()
    assert document.read_text() == f"before\n{BEGIN}\n\n{table}\n{END}\nafter\n"
    assert {path: path.stat().st_mtime_ns for path in (whole / "seed-0").rglob("*") if path.is_file()} == before


def test_a_package_that_is_missing_is_said_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("matplotlib.figure", "skimage.metrics"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            with pytest.raises(InputError, match=r"pip install"):
                run_distillation(tmp_path / "out", TINY)
    assert not (tmp_path / "out").exists()


def test_a_document_without_a_place_is_refused_before_the_work(tmp_path: Path) -> None:
    document = tmp_path / "results.md"
    document.write_text("nothing")
    ended = run_quickly(tmp_path / "out", "--report", document)
    assert ended.code == 2
    assert "found no lines" in ended.errors
    assert not (tmp_path / "out").exists()
