"""Training in float16: scaled losses, steps that are left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.tryon.test_training import infinite_in_backward, spoilt_in_step_2
from tryon.config import TrainConfig
from tryon.engine import loop, train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.errors import InputError, TrainingError
from tryon.stages.tutor import TutorWarp


def test_fp16_is_refused_on_a_cpu(tiny_config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="precision: found fp16 on a CPU, wanted bf16 or fp32 there, or a GPU"):
        train_stage("tutor-warp", replace(tiny_config, out=tmp_path, precision="fp16"))
    assert not list(tmp_path.iterdir())


class TestFp16:
    """On the CPU, where it is refused otherwise: torch scales gradients there as on GPUs."""

    @pytest.fixture
    def config(self, tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
        monkeypatch.setattr(loop, "check_precision", lambda *_: None)
        # At torch's own first scale, 65,536, the gradients of these weights overflow.
        monkeypatch.setattr(loop, "gradient_scaler", lambda *_: torch.amp.GradScaler("cpu", init_scale=64.0))
        return replace(tiny_config, out=tmp_path, precision="fp16", picture_every=1, keep=9)

    def test_trains_from_gradients_that_were_scaled_for_the_backward_alone(
        self, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config = replace(config, steps=1)
        train_stage("tutor-warp", config)
        monkeypatch.setattr(loop, "gradient_scaler", lambda *_: torch.amp.GradScaler("cpu", enabled=False))
        plain = train_stage("tutor-warp", replace(config, out=config.out / "plain"))
        moments = [
            torch.cat([state["exp_avg"].flatten() for state in load_checkpoint(folder).optimiser["state"].values()])
            for folder in (config.out / "tutor-warp", plain)
        ]
        # Products of 11 bits each, summed in thousands: per cents at most; a scale left in would be a factor of 64.
        assert (moments[0] - moments[1]).norm() < 0.05 * moments[1].norm()

    def test_a_step_whose_gradients_overflow_is_left_out_and_said_so(
        self, config: TrainConfig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(TutorWarp, "step", spoilt_in_step_2(TutorWarp.step, infinite_in_backward))
        with caplog.at_level("INFO"):
            folder = train_stage("tutor-warp", replace(config, steps=3))
        assert caplog.messages.count("tutor-warp: step 2 left out, whose gradients overflowed") == 1
        scales, weights = [], []
        for step in (1, 2, 3):
            checkpoint = torch.load(folder / "checkpoints" / f"step_{step:06d}.pt")
            scales.append(checkpoint["scaler"]["scale"])
            weights.append(checkpoint["model"]["warp.flow.refinement.0.0.weight"])
        assert scales == [64, 32, 32]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[1], weights[2])

    def test_gradients_that_overflow_at_every_scale_end_the_run(
        self, config: TrainConfig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        step = TutorWarp.step

        def spoilt(stage, sample, second_half):
            result = step(stage, sample, second_half)
            result.losses["l1"] = infinite_in_backward(next(iter(result.losses.values())))
            return result

        monkeypatch.setattr(TutorWarp, "step", spoilt)
        with pytest.raises(TrainingError, match="the gradient of step 7 is not finite"):
            train_stage("tutor-warp", replace(config, steps=9, picture_every=50))

    def test_resuming_goes_on_with_the_scale(self, config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(TutorWarp, "step", spoilt_in_step_2(TutorWarp.step, infinite_in_backward))
        folder = train_stage("tutor-warp", replace(config, steps=3))
        whole = (folder / "warp.safetensors").read_bytes()
        (folder / "checkpoints" / "step_000003.pt").unlink()
        train_stage("tutor-warp", replace(config, steps=3, resume=True))
        assert load_checkpoint(folder).scaler["scale"] == 32
        assert (folder / "warp.safetensors").read_bytes() == whole
