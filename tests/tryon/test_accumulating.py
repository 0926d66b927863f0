"""Steps of several batches."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.tryon.test_golden import as_float64, difference
from tryon.config import TrainConfig
from tryon.engine import loop, train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.errors import InputError
from tryon.stages.tutor import TutorStage


class TestAccumulating:
    def test_gradients_are_those_of_one_batch_of_all_where_no_norm_looks_at_the_batch(
        self, tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        freeze = TutorStage.freeze

        def freeze_in_float64(stage, dtype):
            freeze(stage.double(), dtype)

        monkeypatch.setattr(TutorStage, "freeze", freeze_in_float64)
        monkeypatch.setattr(TutorStage, "start_half", lambda stage, second_half: stage.eval())
        monkeypatch.setattr(loop, "move", lambda item, device: as_float64(item))
        moments = []
        for batch, accumulate in ((4, 1), (2, 2), (1, 4)):
            out = tmp_path / str(batch)
            config = replace(tiny_config, init=tiny_run, out=out, steps=1, batch=batch, accumulate=accumulate)
            states = load_checkpoint(train_stage("tutor", config)).optimiser["state"]
            moments.append([state["exp_avg"] for state in states.values()])
        # Of float64's 16 digits rounding takes the last few; a batch or a factor that is left out shows in the first.
        for parts in moments[1:]:
            assert max(map(difference, parts, moments[0])) < 1e-9

    def test_the_log_has_the_means_of_all_batches_of_a_step(self, tiny_config: TrainConfig, tmp_path: Path) -> None:
        folder = train_stage("tutor-warp", replace(tiny_config, out=tmp_path, steps=1, batch=2, accumulate=2))
        rows = list(csv.DictReader((folder / "log.csv").open()))
        assert [row["step"] for row in rows] == ["1"]
        whole = train_stage("tutor-warp", replace(tiny_config, out=tmp_path / "whole", steps=1, batch=4))
        other = next(csv.DictReader((whole / "log.csv").open()))
        assert float(rows[0]["warp_l1"]) == pytest.approx(float(other["warp_l1"]), rel=0.05)  # but for batch norm

    def test_is_a_setting_of_the_run(self, tiny_config: TrainConfig, tiny_run: Path) -> None:
        with pytest.raises(InputError, match="found a run with accumulate 1, wanted 2; resume with the same"):
            train_stage("tutor-warp", replace(tiny_config, accumulate=2, resume=True))
