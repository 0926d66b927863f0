from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tryon import demo


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's way at a size that takes seconds."""
    for name, value in {
        "SIZE": (64, 64),
        "TRAIN_PEOPLE": 4,
        "TEST_PEOPLE": 2,
        "WIDTH": 1 / 16,
        "SETTLE_NORMS": 1,
        "STEPS": dict.fromkeys(demo.STEPS, 2),
    }.items():
        monkeypatch.setattr(demo, name, value)


def test_a_demo_that_was_stopped_goes_on_and_ends_with_a_sheet_a_table_and_a_student(
    small_demo: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(demo, "evaluate", _stop)
        with pytest.raises(KeyboardInterrupt):
            demo.run_demo(tmp_path / "demo")
    weights = (tmp_path / "demo" / "run" / "student" / "warp.safetensors").stat().st_mtime_ns
    result = demo.run_demo(tmp_path / "demo")
    assert (result.student / "warp.safetensors").stat().st_mtime_ns == weights
    assert Image.open(result.sheet).width > 5 * 64  # person, garment, tutor's fake, student, truth
    assert (result.student / "generator.safetensors").exists()
    rows = result.table_file.read_text().splitlines()
    assert [row.split("|")[1].strip() for row in rows[2:6]] == [
        "tutor, another's garment",
        "student, another's garment",
        "tutor, own garment",
        "student, own garment",
    ]


def _stop(*_: object) -> None:
    raise KeyboardInterrupt
