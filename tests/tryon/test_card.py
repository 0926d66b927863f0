from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tryon.card import CARD_FILE, card_text, copy_card, write_card
from tryon.cli import main
from tryon.engine.log import read_log
from tryon.errors import InputError


@pytest.fixture
def copied(tiny_run: Path, tmp_path: Path) -> Path:
    """A trained student's folder that a test may change."""
    return Path(shutil.copytree(tiny_run / "student", tmp_path / "student"))


def test_training_leaves_a_card_with_metadata_data_losses_versions_terms_and_how_to_load(tiny_run: Path) -> None:
    text = (tiny_run / "student" / CARD_FILE).read_text()
    run = json.loads((tiny_run / "student" / "run.json").read_text())
    assert text.startswith("---\nlibrary_name: tryon-kernels\npipeline_tag: image-to-image\ntags:\n- virtual-try-on\n")
    losses = read_log(tiny_run / "student" / "log.csv")
    for wanted in (
        "TryOn.from_pretrained(",
        "| training samples | 5 |",
        f"`{run['settings']['data'][:16]}`",
        f"torch {run['torch']}",
        f"| loss | {sum(losses['loss']) / 2:.4g} |",
        "Apache-2.0",
    ):
        assert wanted in text


def test_a_card_names_no_folder_of_the_machine(tiny_run: Path) -> None:
    for stage in ("tutor-warp", "tutor", "student-warp", "student"):
        assert str(tiny_run.parent) not in (tiny_run / stage / CARD_FILE).read_text()


def test_scores_beside_the_model_are_in_its_card(copied: Path, drawn_data: Path) -> None:
    assert "SSIM" not in (copied / CARD_FILE).read_text()
    data = ["--data", str(drawn_data), "--pairs", str(drawn_data / "test_pairs_paired.txt"), "--device", "cpu"]
    assert main(["evaluate", "--weights", str(copied), *data, "--out", str(copied / "evaluation.json")]) == 0
    scores = json.loads((copied / "evaluation.json").read_text())
    assert f"| SSIM | {scores['ssim']:.4g} |" in (copied / CARD_FILE).read_text()
    os.utime(copied / "evaluation.json", (0, 0))  # of weights before these
    assert "SSIM" not in card_text(copied)


def test_a_card_that_somebody_edited_stays_and_a_line_says_so(copied: Path, caplog: pytest.LogCaptureFixture) -> None:
    card = copied / CARD_FILE
    write_card(copied)
    assert not caplog.messages
    edited = card.read_text().replace("library_name", "license: mit\nlibrary_name")
    card.write_text(edited)
    with caplog.at_level("INFO"):
        write_card(copied)
    assert card.read_text() == edited
    assert caplog.messages == [f"{card}: somebody has written or edited this card, so it stays"]


def test_a_copy_of_a_model_takes_its_card_along(copied: Path, tmp_path: Path) -> None:
    (copied / CARD_FILE).write_text("by hand")
    out = tmp_path / "out"
    out.mkdir()
    copy_card(copied, out)
    assert (out / CARD_FILE).read_text() == "by hand"


@pytest.mark.parametrize("name", ["run.json", "log.csv"])
def test_a_damaged_record_is_named(copied: Path, name: str) -> None:
    (copied / name).write_text("{}" if name == "run.json" else "step,loss\n1,nothing\n")
    with pytest.raises(InputError, match=rf"{name}: (found no 'settings'|cannot be read)"):
        card_text(copied)
