"""Training in several processes: the same numbers as in one, and one end for all."""

from __future__ import annotations

import gc
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from tests.tryon.forked import Ended, at, together, tryon
from tests.tryon.test_golden import LARGEST_TOLERANCE, as_float64, difference, draw_weights, nudge
from tryon.data.loader import BatchDraws
from tryon.engine import loop
from tryon.engine.checkpoints import load_checkpoint
from tryon.stages import STAGES, Stage
from tryon.stages.student import DistilledStage

pytestmark = pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="this torch has no gloo"
)

PROCESSES = 2
SEED = 40

# As in the comparison with the published form, of sums over the pixels of twice the batch (up to 16,384), whose error
# is some 128 roundings; at most once in each of the two steps.
ROUNDINGS = 2 * 128


def arguments(stage: str, data: Path, out: Path, batch: int, *more: object) -> tuple[object, ...]:
    options = ("--width", 1 / 16, "--steps", 2, "--batch", batch, "--workers", 0, "--device", "cpu")
    return ("train", stage, "--data", data, "--out", out, *options, *more)


@pytest.fixture(autouse=True, scope="module")
def prepared(tiny_run: Path) -> None:
    """What torch prepares at the first call, all forks of this process have at hand."""


def train_together(*command: object, before: Callable[[int], object] = lambda rank: None) -> None:
    for ended in together(PROCESSES, *command, before=before):
        assert ended.code == 0, ended.errors


def in_float64(change: Callable[[Stage], object] = lambda stage: None) -> None:
    """Have this process train in float64, from weights as after some training, which may be changed first."""
    build, move = loop._Run._build_stage, loop.move

    def built(run: loop._Run, stage_type: type[Stage]) -> Stage:
        stage = build(run, stage_type).double()
        draw_weights(stage.model, SEED)
        if isinstance(stage, DistilledStage):
            draw_weights(stage.tutor, SEED + 1)
        change(stage)
        return stage

    loop._Run._build_stage = built
    loop.move = lambda item, device: as_float64(move(item, device))


def save_every_process(rank: int, folder: Path) -> None:
    """Have this process write what it has in the end, when no average of gradients may be left."""
    gc.disable()  # so that none goes by chance
    train = loop._Run.train

    def then_save(run: loop._Run, stop: object) -> None:
        train(run, stop)
        own = {id(value) for value in run.stage.model.parameters()}
        averages = [item for item in gc.get_objects() if isinstance(item, DistributedDataParallel)]
        assert not any(id(next(item.parameters())) in own for item in averages)
        torch.save(run.stage.model.state_dict(), folder / f"{run.stage.name}-{rank}.pt")

    loop._Run.train = then_save


def trained(folder: Path) -> dict[str, dict[str, Tensor]]:
    """What a stage ended with: weights and statistics, and the moments that Adam makes of gradients."""
    checkpoint = load_checkpoint(folder)
    moments = checkpoint.optimiser["state"].items()
    model = {name: value.double() for name, value in checkpoint.model.items()}
    running = {name for name in model if name.endswith(("running_mean", "running_var", "tracked"))}
    return {
        "weights": {name: value for name, value in model.items() if name not in running},
        "statistics": {name: model[name] for name in running},
        "gradients": {str(number): state["exp_avg"] for number, state in moments},
        "squared gradients": {str(number): state["exp_avg_sq"] for number, state in moments},
    }


def largest_difference(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> float:
    assert actual.keys() == expected.keys()
    return max(difference(actual[name], value) for name, value in expected.items())


def assert_same_but_for_rounding(
    alone: Mapping[str, Mapping[str, Tensor]],
    moved: Mapping[str, Mapping[str, Tensor]],
    both: Mapping[str, Mapping[str, Tensor]],
) -> None:
    """Two processes end as one does, to what its weights' rounding amounts to."""
    for kind, expected in alone.items():
        tolerance = ROUNDINGS * largest_difference(moved[kind], expected)
        assert tolerance < LARGEST_TOLERANCE, kind
        assert largest_difference(both[kind], expected) <= tolerance, kind


# Each takes seconds; the student's has a frozen network, distillation, two learning networks and two rates.
EACH_STAGE = [pytest.param(stage, marks=() if stage == "student" else pytest.mark.more) for stage in STAGES]


class TestTheNumbers:
    @pytest.fixture(scope="class", params=EACH_STAGE)
    @staticmethod
    def stage(request: pytest.FixtureRequest) -> str:
        return request.param

    @pytest.fixture(scope="class")
    @staticmethod
    def folder(stage: str, tiny_run: Path, drawn_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Three runs: one process of batch 4, one whose weights are moved by a rounding each, two of batch 2."""
        folder = tmp_path_factory.mktemp("joined")
        for name, before in (("alone", in_float64), ("moved", lambda: in_float64(nudge))):
            ended = tryon(*arguments(stage, drawn_data, folder / name, 4, "--init", tiny_run), before=before)
            assert ended.code == 0, ended.errors

        def begin(rank: int) -> None:
            in_float64()
            save_every_process(rank, folder)

        train_together(*arguments(stage, drawn_data, folder / "together", 2, "--init", tiny_run), before=begin)
        return folder

    def test_two_processes_train_as_one_with_twice_the_batch(self, folder: Path, stage: str) -> None:
        assert_same_but_for_rounding(*(trained(folder / name / stage) for name in ("alone", "moved", "together")))

    @pytest.mark.more
    def test_they_do_where_gradients_accumulate_activations_are_computed_again_and_norms_settle(
        self, drawn_data: Path, tmp_path: Path
    ) -> None:
        settled = ("--average", 0.5, "--settle-norms", 2)
        for name, before in (("alone", in_float64), ("moved", lambda: in_float64(nudge))):
            command = arguments("tutor-warp", drawn_data, tmp_path / name, 2, "--accumulate", 2, *settled)
            assert tryon(*command, before=before).code == 0
        together = ("--accumulate", 2, "--recompute", *settled)
        command = arguments("tutor-warp", drawn_data, tmp_path / "together", 1, *together)
        train_together(*command, before=lambda rank: in_float64())
        names = ("alone", "moved", "together")
        assert_same_but_for_rounding(*(trained(tmp_path / name / "tutor-warp") for name in names))

    def test_all_processes_have_the_same_bits(self, folder: Path, stage: str) -> None:
        first, second = (torch.load(folder / f"{stage}-{rank}.pt") for rank in range(PROCESSES))
        assert all(torch.equal(second[name], value) for name, value in first.items())

    def test_the_log_has_the_losses_of_the_joint_batch(self, folder: Path, stage: str) -> None:
        logs = [(folder / name / stage / "log.csv").read_text().split() for name in ("alone", "together")]
        assert logs[0] == logs[1]


def stopped_at_the_first_photo(data: Path, rank: int, number: int) -> Callable[[int], None]:
    """Has one of the processes send itself a signal while it reads its first batch."""
    draws = BatchDraws(people=5, batch=2, seed=0, rank=rank, processes=PROCESSES)
    (person, _), *_ = next(iter(draws))
    photo = data / "train_img" / f"{person:06d}_0.png"
    act = at("open", photo, lambda: os.kill(os.getpid(), number))
    return lambda own: act() if own == rank else None


class TestTheEnd:
    @pytest.mark.more
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
    def test_a_wish_to_stop_of_one_process_ends_all_after_the_same_step(
        self, drawn_data: Path, tmp_path: Path, number: signal.Signals, code: int
    ) -> None:
        train_together(*arguments("tutor-warp", drawn_data, tmp_path / "whole", 2))
        command = arguments("tutor-warp", drawn_data, tmp_path / "stopped", 2)
        ended = together(PROCESSES, *command, before=stopped_at_the_first_photo(drawn_data, 1, number))
        assert [one.code for one in ended] == [code, code]
        assert sum(one.errors.count("stopped by") for one in ended) == 1
        assert load_checkpoint(tmp_path / "stopped" / "tutor-warp").step == 1
        train_together(*command, "--resume")
        for name in ("warp.safetensors", "log.csv"):
            stopped, whole = (tmp_path / run / "tutor-warp" / name for run in ("stopped", "whole"))
            assert stopped.read_bytes() == whole.read_bytes()

    def test_a_file_that_one_process_cannot_read_ends_all_with_one_line(self, drawn_data: Path, tmp_path: Path) -> None:
        (person, _), *_ = next(iter(BatchDraws(people=5, batch=2, seed=0, rank=1, processes=PROCESSES)))
        data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
        name = f"{person:06d}_0.png"
        (data / "train_img" / name).write_bytes(b"no image")
        ended = together(PROCESSES, *arguments("tutor-warp", data, tmp_path / "run", 2))
        assert_one_line(ended, name)
        assert ended[1].code == 2

    def test_a_disk_that_is_full_ends_all_with_one_line(self, drawn_data: Path, tmp_path: Path) -> None:
        ended = together(PROCESSES, *arguments("tutor-warp", drawn_data, tmp_path, 2), before=fill_the_disk)
        assert_one_line(ended, "step_000002.pt: File too large")

    @pytest.mark.parametrize("killed", range(PROCESSES))
    def test_a_process_that_is_killed_ends_all_with_one_line(
        self, drawn_data: Path, tmp_path: Path, killed: int
    ) -> None:
        kill = stopped_at_the_first_photo(drawn_data, killed, signal.SIGKILL)
        begun = time.monotonic()
        ended = together(PROCESSES, *arguments("tutor-warp", drawn_data, tmp_path, 2), before=kill)
        assert ended[killed].code == -signal.SIGKILL
        assert_one_line(ended, "another process of this run ended")
        assert time.monotonic() - begun < 30

    def test_a_loss_that_is_not_finite_ends_all_with_one_line_that_has_every_photo_of_the_step(
        self, drawn_data: Path, tmp_path: Path
    ) -> None:
        ended = together(PROCESSES, *arguments("tutor-warp", drawn_data, tmp_path, 2, "--learning-rate", 1e30))
        draws = BatchDraws(people=5, batch=4, seed=0).at(1)
        photos = ", ".join(f"{person:06d}_0.png" for person, _ in draws)
        assert_one_line(
            ended, f"the loss of step 2 is not finite (warp_smoothness nan, warp_variation nan), of {photos};"
        )

    def test_what_is_wrong_for_all_is_said_once(self, drawn_data: Path, tmp_path: Path) -> None:
        ended = together(PROCESSES, *arguments("tutor-warp", drawn_data, tmp_path, 3))
        assert_one_line(ended, "found 5 training samples, wanted at least 6")

    def test_processes_that_were_asked_for_different_runs_are_refused(self, drawn_data: Path, tmp_path: Path) -> None:
        def other_seed(rank: int) -> None:
            if rank == 1:
                settings = loop._Run._settings
                loop._Run._settings = lambda run: settings(run) | {"seed": 5}

        ended = together(PROCESSES, *arguments("tutor-warp", drawn_data, tmp_path, 2), before=other_seed)
        assert_one_line(ended, "found seed 5 in process 1 and 0 in process 0, wanted one command")

    def test_another_device_than_each_process_can_have_is_refused(self, drawn_data: Path, tmp_path: Path) -> None:
        command = [word if word != "cpu" else "cpu:0" for word in arguments("tutor-warp", drawn_data, tmp_path, 2)]
        for ended in together(PROCESSES, *command):
            assert (
                ended.errors
                == "tryon: --device: found cpu:0 with several processes, wanted cpu, or cuda for a GPU each\n"
            )


def fill_the_disk(rank: int) -> None:
    """Have the last checkpoint find no room."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    save = loop._Run._save

    def without_room(run: loop._Run) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        save(run)

    loop._Run._save = without_room


def assert_one_line(ended: list[Ended], message: str) -> None:
    """All processes failed, of which one said why, in one line."""
    assert all(one.code for one in ended)
    said = [line for one in ended for line in one.errors.splitlines() if not is_usual(line)]
    assert len(said) == 1, said
    assert message in said[0]


def is_usual(line: str) -> bool:
    """What is said of a run that goes well, or by torch beside an error of ours."""
    return ": layout viton; " in line or line.startswith(
        ("tryon: device: ", "tryon: perceptual loss: ", "tutor-warp: ", "[W", "[E")
    )


def test_a_run_of_two_processes_goes_on_in_one_of_twice_the_batch(drawn_data: Path, tmp_path: Path) -> None:
    command = arguments("tutor-warp", drawn_data, tmp_path, 2)
    train_together(*command, before=stopped_at_the_first_photo(drawn_data, 0, signal.SIGTERM))
    assert tryon(*arguments("tutor-warp", drawn_data, tmp_path, 4, "--resume")).code == 0
    assert load_checkpoint(tmp_path / "tutor-warp").step == 2
    refused = tryon(*arguments("tutor-warp", drawn_data, tmp_path, 2, "--resume"))
    assert "found a run with batch 4, wanted 2; resume with the same" in refused.errors


def test_torchrun_starts_the_same_command(drawn_data: Path, tmp_path: Path) -> None:
    command = map(str, arguments("tutor-warp", drawn_data, tmp_path, 2))
    launcher = ("-m", "torch.distributed.run", "--nproc-per-node", str(PROCESSES), "--standalone", "-m", "tryon")
    ended = subprocess.run([sys.executable, *launcher, *command], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == f"{tmp_path / 'tutor-warp'}\n"
    assert load_checkpoint(tmp_path / "tutor-warp").step == 2
