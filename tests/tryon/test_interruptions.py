"""Runs that end in the middle: by SIGKILL, by the kernel in a write, by a full disk, by a wish to stop."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.tryon.forked import Ended, Forked, at, tryon
from tryon.data.loader import BatchDraws
from tryon.stages import STAGES

OPTIONS = ("--width", 1 / 16, "--steps", 2, "--batch", 2, "--keep", 1, "--device", "cpu")
CUT = "in the middle of writing"

# Where a stage is killed, one place after the other in the same run; each run resumes that of the place before.
PLACES = (
    ("os.mkdir", "."),
    ("os.rename", "run.json.part"),
    ("open", "log.csv"),
    (CUT, "pictures/step_000001.png"),
    (CUT, "checkpoints/step_000001.pt"),
    ("os.rename", "checkpoints/step_000001.pt.part"),
    ("open", "checkpoints"),  # to sync it, after the checkpoint got its name
    (CUT, "warp.safetensors"),
    ("os.rename", "model.json.part"),
    (CUT, "checkpoints/step_000002.pt"),
    ("os.remove", "checkpoints/step_000001.pt"),
    ("open", "model.json.part"),
)


def arguments(stage: str, data: Path, out: Path, *more: object) -> tuple[object, ...]:
    every, workers = ("--picture-every", 1), ("--workers", 0)
    return ("train", stage, "--data", data, "--out", out, *OPTIONS, *every, *workers, *more)


def kill_itself() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond a size: a write there fails, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def die_of_a_write_beyond(size: int) -> None:
    """Have the kernel end this process in the write that would reach beyond a size."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_files(size)


def result(folder: Path) -> dict[str, bytes]:
    """What a stage must end with: its weights, record, log, pictures, and the names of its checkpoints and all else."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    differ = ("run.json", ".pt")
    return {name: b"" if name.endswith(differ) else path.read_bytes() for name, path in files.items()}


class Whole:
    """A run of all stages that nothing interrupted."""

    def __init__(self, data: Path, run: Path) -> None:
        self.data = data
        self.run = run
        ended = tryon(*arguments("all", data, run))
        assert ended.code == 0, ended.errors

    def before(self, stage: str, out: Path) -> Path:
        """A run folder with all stages before one."""
        for name in list(STAGES)[: list(STAGES).index(stage)]:
            shutil.copytree(self.run / name, out / name)
        return out

    def assert_same(self, stage: str, out: Path) -> None:
        """A stage ended in another run folder as it ended here."""
        found, wanted = result(out / stage), result(self.run / stage)
        assert sorted(found) == sorted(wanted)
        assert [name for name in wanted if found[name] != wanted[name]] == []


@pytest.fixture(scope="module")
def whole(tiny_run: Path, drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """After `tiny_run`: what torch prepares at the first call of a size, all forks of this process have at hand."""
    return Whole(drawn_data, tmp_path_factory.mktemp("whole") / "run")


@pytest.mark.parametrize(
    ("stage", "places"),
    [
        pytest.param("tutor-warp", PLACES, id="tutor-warp"),
        pytest.param("tutor", PLACES[0::2], id="tutor", marks=pytest.mark.more),
        pytest.param("student-warp", PLACES[1::2], id="student-warp", marks=pytest.mark.more),
        pytest.param("student", PLACES[0::2], id="student", marks=pytest.mark.more),
    ],
)
def test_a_stage_that_is_killed_at_every_place_ends_with_the_same_bits(
    whole: Whole, tmp_path: Path, stage: str, places: tuple[tuple[str, str], ...]
) -> None:
    folder = whole.before(stage, tmp_path) / stage
    for event, name in places:
        if event == CUT:
            size = (whole.run / stage / name.replace("000001.pt", "000002.pt")).stat().st_size // 2
            kill = at("open", folder / f"{name}.part", lambda size=size: die_of_a_write_beyond(size))
        else:
            kill = at(event, folder / name, kill_itself)
        ended = tryon(*arguments(stage, whole.data, tmp_path, "--resume"), before=kill)
        assert ended.code == -(signal.SIGXFSZ if event == CUT else signal.SIGKILL), (event, name, ended.errors)
    assert tryon(*arguments(stage, whole.data, tmp_path, "--resume")).code == 0
    whole.assert_same(stage, tmp_path)


@pytest.mark.more
def test_all_stages_killed_between_each_two_end_with_the_same_bits(whole: Whole, tmp_path: Path) -> None:
    first, *later = STAGES
    for stage in later:
        kill = at("os.mkdir", tmp_path / stage, kill_itself)
        assert tryon(*arguments("all", whole.data, tmp_path, "--resume"), before=kill).code == -signal.SIGKILL
        assert not (tmp_path / stage).exists()
    assert tryon(*arguments("all", whole.data, tmp_path, "--resume")).code == 0
    for stage in (first, *later):
        whole.assert_same(stage, tmp_path)


@pytest.mark.parametrize("name", ["checkpoints/step_000002.pt", "warp.safetensors", "pictures/step_000002.png"])
def test_a_full_disk_is_one_line_and_loses_nothing(whole: Whole, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "tutor-warp"
    full = at("open", folder / "pictures" / "step_000002.png.part", lambda: fill_at(folder / f"{name}.part"))
    ended = tryon(*arguments("tutor-warp", whole.data, tmp_path), before=full)
    assert_one_line(ended, 1, f"{folder / name}: File too large")
    assert not list(folder.rglob("*.part"))
    assert tryon(*arguments("tutor-warp", whole.data, tmp_path, "--resume")).code == 0
    whole.assert_same("tutor-warp", tmp_path)


def fill_at(path: Path) -> None:
    """From here on, let a file have only 100 bytes; it may be the one that is about to be opened."""
    limit = lambda: limit_files(100)  # noqa: E731
    limit() if path.name.startswith("step_000002.png") else at("open", path, limit)()


def assert_one_line(ended: Ended, code: int, text: str) -> None:
    """It failed with one line beside those of its progress and of what it found."""
    assert ended.code == code, ended.errors
    said = [line for line in ended.errors.splitlines() if "perceptual loss" not in line and "steps, " not in line]
    assert len(said) == 1, ended.errors
    assert said[0].startswith("tryon: ")
    assert text in said[0]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_wish_to_stop_ends_after_the_step_with_a_checkpoint(
    whole: Whole, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    (person, _), *_ = BatchDraws(people=5, batch=2, seed=0).at(0)
    garment = whole.data / "train_color" / f"{person:06d}_1.png"
    wish = at("open", garment, lambda: os.kill(os.getpid(), number))  # while the first batch is read
    every = ("--picture-every", 100)  # so that only the wish leads to a checkpoint
    ended = tryon(*arguments("tutor-warp", whole.data, tmp_path, *every), before=wish)
    assert ended.code == code, ended.errors
    folder = tmp_path / "tutor-warp"
    assert f"stopped by {number.name}, {folder} at step 1 of 2; --resume goes on" in ended.errors
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["step_000001.pt"]
    assert tryon(*arguments("tutor-warp", whole.data, tmp_path, "--resume")).code == 0
    weights = "tutor-warp/warp.safetensors"
    assert (tmp_path / weights).read_bytes() == (whole.run / weights).read_bytes()


def test_a_second_run_on_a_folder_is_refused_until_the_first_has_ended_even_by_kill(
    whole: Whole, tmp_path: Path
) -> None:
    first = Forked(
        *arguments("tutor-warp", whole.data, tmp_path),
        before=at("open", tmp_path / "tutor-warp" / "log.csv", stop_itself),
    )
    first.wait_until_stopped()
    second = tryon(*arguments("tutor-warp", whole.data, tmp_path))
    assert_one_line(second, 2, f"{tmp_path}: in use by another run")
    first.signal(signal.SIGKILL)
    assert first.ended().code == -signal.SIGKILL
    assert tryon(*arguments("tutor-warp", whole.data, tmp_path)).code == 0


class TestProcessesThatReadData:
    @pytest.fixture
    def trainer(self, whole: Whole, tmp_path: Path) -> Forked:
        """A run that has stopped itself in the middle, with two reading processes."""
        picture = tmp_path / "tutor-warp" / "pictures" / "step_000001.png.part"
        command = arguments("tutor-warp", whole.data, tmp_path, "--workers", 2)
        trainer = Forked(*command, before=at("open", picture, stop_itself))
        trainer.wait_until_stopped()
        assert len(trainer.children()) == 2
        return trainer

    def test_end_with_a_trainer_that_is_killed(self, trainer: Forked) -> None:
        children = trainer.children()
        trainer.signal(signal.SIGKILL)
        trainer.ended()
        deadline = time.monotonic() + 2  # torch's own look at the parent comes only every 5 seconds
        while any(map(runs, children)) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(runs, children))

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
    def test_go_on_when_all_processes_are_asked_to_stop(
        self, trainer: Forked, number: signal.Signals, code: int
    ) -> None:
        for process in trainer.children():
            os.kill(process, number)
        trainer.signal(number, signal.SIGCONT)
        ended = trainer.ended()
        assert ended.code == code, ended.errors
        assert "at step 1 of 2" in ended.errors

    def test_that_are_killed_are_one_line(self, trainer: Forked) -> None:
        for process in trainer.children():
            os.kill(process, signal.SIGKILL)
        trainer.signal(signal.SIGCONT)
        assert_one_line(trainer.ended(), 1, "a process that reads data ended (DataLoader worker")


def runs(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, not yet collected
