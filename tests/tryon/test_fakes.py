"""Fake pictures of any system in the tutor's place: what they must be, and what a student learns from them."""

from __future__ import annotations

import csv
import shutil
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from tryon.cli import main
from tryon.config import TrainConfig
from tryon.data.fakes import Fakes
from tryon.data.folder import TryOnFolder
from tryon.data.loader import BatchDraws
from tryon.data.sample import Sample, stack
from tryon.engine import train_all, train_stage
from tryon.errors import InputError
from tryon.fakes import drawn_pairs, write_fake
from tryon.losses import PerceptualLoss
from tryon.models import Student, TryOnModel, Tutor
from tryon.stages import Recipe, student
from tryon.stages.student import DistilledStage, StudentStage, StudentWarp
from tryon.weights import load_model

STUDENTS = [StudentWarp, StudentStage]


@pytest.fixture
def fakes(drawn_fakes: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(drawn_fakes, tmp_path / "fakes"))


@pytest.fixture
def folder(drawn_data: Path) -> TryOnFolder:
    return TryOnFolder(drawn_data, "train")


@pytest.fixture
def config(tiny_config: TrainConfig, tiny_run: Path, drawn_fakes: Path, tmp_path: Path) -> TrainConfig:
    return replace(tiny_config, init=tiny_run, out=tmp_path / "run", fakes=drawn_fakes)


def stage_of(kind: type[DistilledStage], recipe: Recipe, fakes: Fakes | None, guidance: str = "full") -> DistilledStage:
    torch.manual_seed(0)
    return kind(replace(recipe, fakes=fakes, guidance=guidance), PerceptualLoss(None, recipe.width))


def faked(sample: Sample, fakes: Fakes) -> Sample:
    """`sample`, which is of people 0 and 1 beside garments 1 and 2, with their pictures."""
    return replace(sample, fake=stack([fakes.read(i, i + 1) for i in range(2)]))


class TestWhatIsWritten:
    def test_is_what_the_tutor_makes_of_the_pairs_that_training_draws_to_half_a_level(
        self, tiny_run: Path, drawn_fakes: Path, folder: TryOnFolder
    ) -> None:
        draws = sorted(pair for pairs in BatchDraws(5, 1, seed=0).epoch_draws(0) for pair in pairs)
        assert drawn_pairs(folder, epochs=1, seed=0) == [tuple(folder.people[i] for i in pair) for pair in draws]
        names = {f"{person:06d}_0__{other:06d}_1.png" for person, other in draws}
        assert {path.name for path in drawn_fakes.glob("*.png")} == names
        fakes, tutor = Fakes(drawn_fakes, folder), load_model(tiny_run / "tutor")[0].eval()
        for person, other in draws:
            sample = stack([folder.read_sample(folder.people[person], folder.people[other])])
            with torch.no_grad():
                made = tutor(sample.person, sample.other)
                own = tutor(sample.person, sample.garment).warped
            read = fakes.read(person, other)
            # Half a level of 255, and float32's rounding of a batch of another length: far less than a tenth of one.
            torch.testing.assert_close(read.image, made.image[0].clamp(-1, 1), atol=0.6 * 2 / 255, rtol=0)
            assert read.mask is not None
            torch.testing.assert_close(read.mask, made.warped.mask[0], atol=0.6 / 255, rtol=0)
            assert read.flow is not None
            torch.testing.assert_close(read.flow / 63 * 2 - 1, own.flow.sampling_map[0], atol=1e-4, rtol=0)

    def test_has_no_flows_unless_asked_for_and_more_garments_of_more_epochs(
        self, tiny_run: Path, drawn_data: Path, folder: TryOnFolder, tmp_path: Path
    ) -> None:
        command = ("fakes", "--weights", tiny_run / "student", "--data", drawn_data, "--out", tmp_path, "--epochs", 3)
        assert main([*map(str, command), "--device", "cpu"]) == 0
        assert not (tmp_path / "flow").exists()
        pairs = drawn_pairs(folder, epochs=3, seed=0)
        assert len(list(tmp_path.glob("*.png"))) == len(list((tmp_path / "mask").iterdir())) == len(pairs) > 5

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("--epochs", "0"), "--epochs: found 0, wanted at least 1"),
            (("--seed", "-1"), "--seed: found -1, wanted 0 to"),
            (("--weights", "tutor-warp"), "found stage tutor-warp, which has no generator"),
            (("--out", "."), "found a folder that holds something, wanted a new or empty one"),
        ],
    )
    def test_is_refused_before_the_work(
        self,
        tiny_run: Path,
        drawn_data: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        arguments: tuple[str, str],
        message: str,
    ) -> None:
        given = {"--weights": "tutor", "--data": str(drawn_data), "--out": str(tmp_path / "out")} | dict([arguments])
        given["--weights"] = str(tiny_run / given["--weights"])
        assert main(["fakes", *(part for option in given.items() for part in option)]) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "out").exists()


class TestAsTheTutorsOwn:
    @pytest.mark.parametrize("kind", STUDENTS)
    def test_a_run_is_the_ordinary_one_without_distillation_bit_by_bit(
        self,
        config: TrainConfig,
        folder: TryOnFolder,
        fakes: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        kind: type[DistilledStage],
    ) -> None:
        """From the same weights, where the ordinary run's tutor writes its pictures and goes on with what was written.

        Which weights a seed draws depends on whether a tutor was built before.
        """
        steps = iter(range(config.steps or 0))
        draws = BatchDraws(5, config.batch, config.seed)
        render = TryOnModel.render

        def render_and_write(tutor: TryOnModel, *arguments: object):
            result = render(tutor, *arguments)
            pairs = draws.at(next(steps))
            for (person, other), image, mask in zip(pairs, result.image, result.warped.mask, strict=True):
                write_fake(fakes, f"{person:06d}_0__{other:06d}_1", image, mask)
            written = stack([Fakes(fakes, folder).read(*pair) for pair in pairs])
            return replace(result, image=written.image, warped=replace(result.warped, mask=written.mask))

        def drawn(**options: object) -> Student:
            torch.manual_seed(config.seed)
            return Student(**options)

        monkeypatch.setattr(student, "Student", drawn)
        monkeypatch.setattr(Tutor, "render", render_and_write)
        train_stage(kind.name, replace(config, out=tmp_path / "ordinary", fakes=None, guidance="none"))
        monkeypatch.setattr(Tutor, "render", None)  # nobody asks it
        train_stage(kind.name, replace(config, fakes=fakes, guidance="none"))
        files = ["log.csv", "warp.safetensors"] + ["generator.safetensors"] * (kind is StudentStage)
        for name in files:
            found, wanted = (run / kind.name / name for run in (config.out, tmp_path / "ordinary"))
            assert found.read_bytes() == wanted.read_bytes()


class TestFlows:
    def test_are_distilled_and_nothing_else_is(
        self, recipe: Recipe, sample: Sample, drawn_fakes: Path, folder: TryOnFolder
    ) -> None:
        fakes = Fakes(drawn_fakes, folder)
        for guidance, terms in (
            ("full", {"warp_distilled_flow"}),
            ("always", {"warp_distilled_flow"}),
            ("none", set()),
        ):
            losses = stage_of(StudentWarp, recipe, fakes, guidance).step(faked(sample, fakes), False).losses
            assert {name for name in losses if "distilled" in name} == terms

    def test_of_the_tutor_are_those_that_it_would_have_told_at_the_finest_level(
        self, recipe: Recipe, sample: Sample, drawn_fakes: Path, folder: TryOnFolder
    ) -> None:
        fakes = Fakes(drawn_fakes, folder)
        told = stage_of(StudentWarp, recipe, fakes).tutor_knowledge(faked(sample, fakes)).warped
        own = stage_of(StudentWarp, recipe, None).tutor_knowledge(sample).warped
        assert told is not None
        assert own is not None
        torch.testing.assert_close(told.flow.sampling_map, own.flow.sampling_map, atol=1e-4, rtol=0)
        torch.testing.assert_close(told.garment, own.garment, atol=1e-2, rtol=0)

    def test_that_know_only_the_garment_leave_the_rest_to_the_student(
        self, recipe: Recipe, sample: Sample, fakes: Path, drawn_data: Path, folder: TryOnFolder
    ) -> None:
        shutil.rmtree(fakes / "flow")
        shutil.copytree(drawn_data / "train_flow", fakes / "flow")
        true = Fakes(fakes, folder)
        stage = stage_of(StudentWarp, recipe, true, "always")
        given = faked(sample, true)
        assert given.fake is not None
        assert given.fake.flow is not None
        assert 0 < given.fake.flow.isnan().float().mean() < 1
        warped = stage.tutor_knowledge(given).warped
        assert warped is not None
        region = given.person.regions.garment
        error = ((warped.garment - given.person.photo) * region).abs().sum() / (3 * region.sum())
        assert error < 0.25  # the true flow gives the photo's garment but for folds and shading
        losses = stage.step(given, second_half=True).losses
        torch.stack(list(losses.values())).sum().backward()
        assert all(value.grad.isfinite().all() for value in stage.model.parameters())
        assert losses["warp_distilled_flow"] > 0


class TestWithout:
    def test_masks_another_garment_may_be_where_the_picture_differs_from_the_photo_by_a_quarter_of_the_levels(
        self, recipe: Recipe, sample: Sample, fakes: Path, folder: TryOnFolder
    ) -> None:
        shutil.rmtree(fakes / "mask")
        of_folder = Fakes(fakes, folder)
        given = faked(sample, of_folder)
        assert given.fake is not None
        assert given.fake.mask is None
        photo = sample.person.photo
        for channel, change, worn in ((0, 0.51, 1), (2, -0.51, 1), (1, 0.49, 0)):
            image = photo.clone()
            image[:, channel, 5:9, 7] = image[:, channel, 5:9, 7] + change
            known = stage_of(StudentStage, recipe, of_folder).tutor_knowledge(
                replace(given, fake=replace(given.fake, image=image))
            )
            expected = torch.zeros_like(known.worn_mask)
            expected[:, :, 5:9, 7] = worn
            assert torch.equal(known.worn_mask, expected)

    def test_masks_other_surroundings_are_refused(self, config: TrainConfig, fakes: Path) -> None:
        shutil.rmtree(fakes / "mask")
        for option in ("surroundings", "composite", "hems"):
            with pytest.raises(InputError, match=f"fakes: found no folder mask, wanted one with {option}"):
                train_stage("student", replace(config, fakes=fakes, **{option: True}))

    def test_a_tutor_poses_masks_and_flows_a_student_is_trained_from_random_weights(
        self, config: TrainConfig, drawn_data: Path, fakes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
        for unneeded in (data / "train_pose", data / "train_densepose", fakes / "mask", fakes / "flow"):
            shutil.rmtree(unneeded)
        with caplog.at_level("INFO"):
            folder = train_all(replace(config, data=data, fakes=fakes, init=None, steps=3))
        assert folder == config.out / "student"
        assert sorted(path.name for path in config.out.iterdir() if path.is_dir()) == ["student", "student-warp"]
        assert f"student-warp: no tutor in {config.out}, so its weights begin at random" in caplog.messages
        _, record = load_model(folder, role="student")
        assert record.generator
        with (config.out / "student" / "log.csv").open() as file:
            assert not any("distilled" in name for name in next(csv.reader(file)))

    def test_a_tutor_all_of_the_warp_network_learns_from_the_beginning(
        self, recipe: Recipe, drawn_fakes: Path, folder: TryOnFolder
    ) -> None:
        fakes = Fakes(drawn_fakes, folder)
        for without_tutor in (True, False):
            stage = stage_of(StudentWarp, replace(recipe, without_tutor=without_tutor), fakes)
            stage.start_half(False)
            assert all(value.requires_grad for value in stage.model.warp.parameters()) == without_tutor

    def test_a_run_that_began_without_a_tutor_does_not_go_on_with_one(
        self, config: TrainConfig, tiny_run: Path
    ) -> None:
        train_stage("student-warp", replace(config, init=None))
        shutil.copytree(tiny_run / "tutor", config.out / "tutor")
        with pytest.raises(InputError, match="found a run with without_tutor True, wanted None"):
            train_stage("student-warp", replace(config, init=None, resume=True))


def test_a_given_tutor_is_what_the_students_warp_network_starts_from(
    recipe: Recipe, drawn_fakes: Path, folder: TryOnFolder, tiny_run: Path
) -> None:
    own = stage_of(StudentWarp, recipe, Fakes(drawn_fakes, folder)).model.warp.state_dict()
    tutors = load_file(tiny_run / "tutor" / "warp.safetensors")
    shared = [name for name in own if name.startswith(("garment_", "flow.correlation"))]
    assert shared
    assert all(torch.equal(own[name], tutors[name]) for name in shared)


def test_an_init_without_a_tutor_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"elsewhere/tutor/model\.json: no such file"):
        train_stage("student-warp", replace(config, init=tmp_path / "elsewhere"))
    assert not config.out.exists()


def test_a_person_wears_the_drawn_garment_where_there_is_such_a_picture_else_any_other(
    fakes: Path, folder: TryOnFolder
) -> None:
    for picture in fakes.glob("**/000000_0__*.png"):
        picture.unlink()
    for name, level in (("000003_1", 30), ("knitted__red", 90)):
        for kind, mode in ((".", "RGB"), ("mask", "L")):
            Image.new(mode, (64, 64), (level,) * len(mode)).save(fakes / kind / f"000000_0__{name}.png")

    def level(other: int) -> int:
        image = Fakes(fakes, folder).read(0, other).image
        return round((image.mean().item() + 1) * 127.5)

    assert level(3) == 30
    assert {level(other) for other in (1, 2, 4)} == {30, 90}


def test_names_may_have_their_accents_in_two_ways_and_any_picture_format_and_size(
    fakes: Path, drawn_data: Path, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
    for kind in ("img", "color", "edge", "label", "pose", "densepose"):
        first = sorted((data / f"train_{kind}").iterdir())[0]
        first.rename(first.with_name(unicodedata.normalize("NFD", first.name.replace("000000", "zo\u00eb"))))
    for first in fakes.glob("**/000000_0*"):
        first.rename(first.with_name(first.name.replace("000000", "zo\u00eb")))
    (picture,) = fakes.glob("zo\u00eb*.png")
    Image.open(picture).resize((96, 96)).save(picture.with_suffix(".webp"))
    picture.unlink()
    folder = TryOnFolder(data, "train")
    read = Fakes(fakes, folder).read(folder.people.index("zo\u00eb"), 0)
    assert read.image.shape == (3, 64, 64)
    assert read.mask is not None
    assert read.flow is not None


def damaged(kind: str, fakes: Path) -> None:
    """Spoil a folder in one way."""
    first, second = sorted(fakes.glob("*.png"))[:2]
    if kind == "missing":
        first.unlink()
        second.unlink()
    elif kind == "of another size":
        for picture in (first, second):
            Image.new("RGB", (64, 48)).save(picture)
    elif kind == "unreadable":
        second.write_bytes(second.read_bytes()[:200])
    elif kind == "in the own garment":
        first.rename(fakes / "000000_0__000000_1.png")
    elif kind == "without a mask":
        (fakes / "mask" / second.name).unlink()
    elif kind == "without a flow":
        (fakes / "flow" / "000002_0.npz").unlink()
    elif kind == "with a mask of another size":
        Image.new("L", (48, 64)).save(fakes / "mask" / first.name)
    elif kind == "with a flow that is none":
        np.savez(fakes / "flow" / "000001_0.npz", source=np.zeros((3, 64, 64)))
    else:
        shutil.rmtree(fakes)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", r"fakes: found no 000000_0__GARMENT\.png \(missing for 2 of 5 people\)$"),
        ("of another size", r"000000_0__\S+: found 48x64, wanted 64x64 as .* \(2 of 15 files cannot be used\)$"),
        ("unreadable", r"000001_0__\S+: cannot be read as an image .* \(1 of 15 files cannot be used\)$"),
        ("in the own garment", "000000_0__000000_1.png: found a person in the own garment, wanted another"),
        ("without a mask", r"mask: found no 000001_0__\S+ \(missing for 1 of 5 pictures\)$"),
        ("without a flow", r"flow: found no 000002_0\.npz \(missing for 1 of 5 people\)$"),
        ("with a mask of another size", r"mask/000000_0__\S+: found 64x48, wanted 64x64"),
        ("with a flow that is none", r"flow/000001_0\.npz: found float64 of shape \(3, 64, 64\), wanted"),
        ("not there", "fakes: no such folder"),
    ],
)
def test_pictures_that_cannot_be_used_are_refused_before_any_work(
    config: TrainConfig, fakes: Path, kind: str, message: str
) -> None:
    damaged(kind, fakes)
    with pytest.raises(InputError, match=message):
        train_stage("student", replace(config, fakes=fakes))
    assert not config.out.exists()


def test_pictures_of_nobody_in_the_data_are_left_out_with_a_line(
    fakes: Path, folder: TryOnFolder, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("anybody__else.png", "notes.png"):
        Image.new("RGB", (8, 8)).save(fakes / name)
    with caplog.at_level("INFO"):
        files = Fakes(fakes, folder).files
    assert f"{fakes}: 2 pictures are of nobody in the data: anybody__else.png, ..." in caplog.messages
    assert not {"anybody__else.png", "notes.png"} & {path.name for path in files}


@pytest.mark.parametrize("stage", ["tutor-warp", "tutor"])
def test_a_tutors_stages_have_none(config: TrainConfig, stage: str) -> None:
    with pytest.raises(InputError, match=f"fakes: found with stage {stage}, wanted one of student-warp, student"):
        train_stage(stage, config)


@pytest.mark.parametrize("guidance", ["imitate", "features"])
def test_a_guidance_that_pictures_cannot_give_is_refused(config: TrainConfig, guidance: str) -> None:
    with pytest.raises(InputError, match=f"guidance: found {guidance} with fakes, wanted one of none, full, always"):
        replace(config, guidance=guidance)


def test_a_run_goes_on_with_no_other_pictures(config: TrainConfig, fakes: Path) -> None:
    train_stage("student-warp", config)
    sorted(fakes.glob("*.png"))[0].rename(fakes / "000000_0__another.png")
    shutil.rmtree(fakes / "mask")
    for other, wanted in ((fakes, "[0-9a-f]{64}"), (None, "None")):
        with pytest.raises(InputError, match=rf"student-warp: found a run with fakes \w+, wanted {wanted}; resume"):
            train_stage("student-warp", replace(config, fakes=other, resume=True))
