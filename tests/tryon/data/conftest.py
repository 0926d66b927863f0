from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tryon.config import TrainConfig
from tryon.data.sample import Sample
from tryon.engine import train_stage
from tryon.stages.student import StudentWarp


@pytest.fixture
def samples_seen(
    tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[Sample]]:
    """Trains a student's warp with seed 5, two batches a step and further options: the samples that it sees."""

    def train(**options: object) -> list[Sample]:
        seen, step = [], StudentWarp.step

        def noted(stage, sample, second_half):
            seen.append(sample)
            return step(stage, sample, second_half)

        monkeypatch.setattr(StudentWarp, "step", noted)
        train_stage("student-warp", replace(tiny_config, init=tiny_run, out=tmp_path, seed=5, accumulate=2, **options))
        assert len(seen) == 2 * tiny_config.steps
        return seen

    return train
