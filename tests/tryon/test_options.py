"""Options that the published training does not have: off by default, on for a whole run, known to its models."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from tryon import TryOn
from tryon.cli import main
from tryon.config import TrainConfig
from tryon.conversion.checkpoint import published_record
from tryon.data.folder import TryOnFolder
from tryon.data.images import image_to_tensor
from tryon.data.sample import stack
from tryon.engine import train_stage
from tryon.errors import InputError
from tryon.models import TryOnModel, Tutor
from tryon.stages import STAGES
from tryon.weights import load_model, read_record

OPTIONS = ("keep_background", "copy_mask")


def test_published_training_and_published_weights_have_none(tiny_config: TrainConfig, tiny_run: Path) -> None:
    records = [read_record(tiny_run / stage) for stage in STAGES] + [published_record(r) for r in ("tutor", "student")]
    assert not any(getattr(holder, option) for holder in (tiny_config, *records) for option in OPTIONS)


def test_the_record_says_what_a_model_was_trained_with_and_it_is_built_so(sharp_run: Path) -> None:
    recorded = {stage: read_record(sharp_run / stage) for stage in STAGES}
    assert {name for name, record in recorded.items() if record.keep_background} == {"tutor"}
    assert {name for name, record in recorded.items() if record.copy_mask} == {"tutor", "student"}
    tutor, student = (load_model(sharp_run / name)[0] for name in ("tutor", "student"))
    assert isinstance(tutor, Tutor)
    assert tutor.keep_background
    assert all(model.generator is not None and model.generator.copy_mask for model in (tutor, student))


def test_a_tutor_that_keeps_the_background_paints_by_it(sharp_run: Path, drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "train")
    person, garment = stack([folder.read_person(folder.people[0])]), stack([folder.read_garment(folder.garments[0])])
    tutor = load_model(sharp_run / "tutor")[0].eval()

    def corner(model: TryOnModel, level: float) -> torch.Tensor:
        photo = person.photo.clone()
        photo[:, :, :4, :4] = level  # far from everybody
        return model(replace(person, photo=photo), garment).rendered[:, :, :4, :4]

    assert not torch.equal(corner(tutor, -1), corner(tutor, 1))


@pytest.mark.parametrize("option", OPTIONS)
def test_a_later_stage_without_the_options_of_its_tutor_is_refused(
    sharp_config: TrainConfig, sharp_run: Path, tmp_path: Path, option: str
) -> None:
    other = replace(sharp_config, out=tmp_path, init=sharp_run, **{option: False})
    flag = "--" + option.replace("_", "-")
    for stage in ("student-warp", "student"):
        with pytest.raises(InputError, match=f"found a tutor trained with {flag}, wanted one without"):
            train_stage(stage, other)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_run_does_not_go_on_with_other_options(sharp_config: TrainConfig, sharp_run: Path, option: str) -> None:
    with pytest.raises(InputError, match=f"tutor: found a run with {option} True, wanted False"):
        train_stage("tutor", replace(sharp_config, resume=True, **{option: False}))


def test_the_command_line_knows_them(drawn_data: Path, tmp_path: Path) -> None:
    run, pairs = tmp_path / "run", drawn_data / "test_pairs_paired.txt"
    small = ("--width", 1 / 16, "--steps", 2, "--batch", 2, "--workers", 0)
    commands = [
        ("train", "all", "--data", drawn_data, "--out", run, *small, "--keep-background", "--copy-mask"),
        ("infer", "--weights", run / "student", "--data", drawn_data, "--pairs", pairs, "--out", tmp_path / "dressed"),
        *(
            ("evaluate", "--weights", run / role, "--data", drawn_data, "--pairs", pairs, "--out", tmp_path / role)
            for role in ("tutor", "student")
        ),
    ]
    for command in commands:
        assert main([str(argument) for argument in command]) == 0
    assert read_record(run / "tutor").keep_background
    assert read_record(run / "student").copy_mask


def test_what_is_copied_is_copied_at_the_photos_own_size(sharp_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    student = TryOn.load(sharp_run / "student")
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (256, 192, 3), dtype=torch.uint8, generator=generator)
    photo, garment = Image.fromarray(pixels.numpy()), Image.new("RGB", (48, 64))
    render = student.model.render

    def copied_throughout(person, warped, region=None):
        result = render(person, warped, region)
        nothing = torch.zeros_like(result.composition)
        return replace(result, rendered=person.photo, composition=nothing, copied=nothing + 1)

    monkeypatch.setattr(student.model, "render", copied_throughout)
    mask = Image.new("L", garment.size)
    mask.paste(255, (12, 16, 36, 48))
    result = student.dress(photo, garment, mask)
    # Enlarging and taking away again what was enlarged rounds in float32: far less than the step of 8 bits.
    torch.testing.assert_close(image_to_tensor(result), image_to_tensor(photo), atol=1 / 127, rtol=0)
