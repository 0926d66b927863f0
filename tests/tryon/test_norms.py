"""Batch norms' statistics, taken anew once the weights no longer change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from tryon.config import TrainConfig
from tryon.engine import loop, train_stage
from tryon.engine.checkpoints import load_checkpoint
from tryon.engine.norms import settle_norms
from tryon.errors import InputError

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def test_settled_statistics_are_the_mean_over_the_batches_and_nothing_else_changes() -> None:
    generator = torch.Generator().manual_seed(0)
    batches = torch.randn(3, 4, 2, 5, 5, generator=generator)
    norm = nn.BatchNorm2d(2)
    model = nn.Sequential(norm)
    model(torch.full((4, 2, 5, 5), 100.0))  # what was before does not count
    waiting = iter(batches)
    settle_norms(model, lambda: model(next(waiting)), 3)
    torch.testing.assert_close(norm.running_mean, batches.mean(dim=(1, 3, 4)).mean(dim=0))
    torch.testing.assert_close(norm.running_var, batches.var(dim=(1, 3, 4)).mean(dim=0))
    assert norm.momentum == nn.BatchNorm2d(2).momentum
    assert all(value.grad is None and value.requires_grad for value in norm.parameters())


def test_a_run_that_settles_its_norms_ends_with_the_same_weights(
    tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
) -> None:
    train_stage("tutor", replace(tiny_config, out=tmp_path, init=tiny_run, settle_norms=3))
    for network in ("warp", "generator"):
        settled, published = (
            load_file(run / "tutor" / f"{network}.safetensors") for run in (tmp_path, tiny_run)
        )  # fmt: skip
        changed = {name for name, value in settled.items() if not torch.equal(value, published[name])}
        assert changed
        assert all(name.endswith(STATISTICS) for name in changed)
        assert {int(value) for name, value in settled.items() if name.endswith("tracked")} == {3}


def test_an_averaged_model_gets_the_statistics_of_its_own_weights(
    tiny_config: TrainConfig, tiny_run: Path, tmp_path: Path
) -> None:
    config = replace(tiny_config, init=tiny_run, average=0.5, learning_rate=1e-2)
    settled, published = (
        train_stage("tutor", replace(config, out=tmp_path / str(batches), settle_norms=batches)) for batches in (3, 0)
    )
    saved = {folder: load_file(folder / "warp.safetensors") for folder in (settled, published)}
    changed = {name for name, value in saved[settled].items() if not torch.equal(value, saved[published][name])}
    assert changed
    assert all(name.endswith(STATISTICS) for name in changed)
    assert {int(value) for name, value in saved[settled].items() if name.endswith("tracked")} == {3}
    learning = load_checkpoint(published).model
    assert all(torch.equal(value, learning[name]) for name, value in load_checkpoint(settled).model.items())


def test_a_run_that_was_stopped_settles_the_same(
    tiny_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replace(tiny_config, out=tmp_path / "whole", steps=3, picture_every=2, settle_norms=2)
    stopped = replace(whole, out=tmp_path / "stopped")
    train_stage("tutor-warp", whole)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "settle_norms", _stop)
        with pytest.raises(KeyboardInterrupt):
            train_stage("tutor-warp", stopped)
    train_stage("tutor-warp", replace(stopped, resume=True))
    one, other = (run / "tutor-warp" / "warp.safetensors" for run in (whole.out, stopped.out))
    assert one.read_bytes() == other.read_bytes()


def test_fewer_than_no_batches_are_refused(tiny_config: TrainConfig) -> None:
    with pytest.raises(InputError, match="settle norms: found -1, wanted 0 or more"):
        replace(tiny_config, settle_norms=-1)


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
