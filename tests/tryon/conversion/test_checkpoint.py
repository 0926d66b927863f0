"""`tryon convert`: published files in, a model folder out that dresses people as the published networks do."""

import json
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks.plain import networks as plain_networks
from benchmarks.plain.people import is_one_of
from tests.tryon.conversion.published_checkpoints import (
    blank_checkpoint,
    published_network,
    random_checkpoint,
    results,
    student_try_on,
    tutor_try_on,
)
from tryon import InputError, TryOn
from tryon.cli import main
from tryon.conversion import convert_state_dict
from tryon.conversion.checkpoint import published_record
from tryon.data.labels import VITON, Regions, regions_of
from tryon.data.sample import Garment, Person, stack
from tryon.models import Student, Tutor
from tryon.weights import load_model

HEIGHT, WIDTH = 256, 192
SAME = {"rtol": 0, "atol": 1e-4}  # what is promised; float32 leaves some 1e-5 of it, on images in [-1, 1]


def convert(warp, generator, out):
    return main(["convert", "--warp", str(warp), "--gen", str(generator), "--out", str(out)])


@pytest.fixture(scope="module")
def student_states():
    return random_checkpoint("student_warp"), random_checkpoint("student_generator")


@pytest.fixture(scope="module")
def student_folder(student_states, tmp_path_factory):
    """Converted from what training leaves behind, as PyTorch 1.1 wrote it: not a zip file, keys prefixed, and more."""
    folder = tmp_path_factory.mktemp("published")
    files = folder / "warp.pth", folder / "gen.pth"
    for state, path in zip(student_states, files, strict=True):
        prefixed = OrderedDict((f"module.{key}", value) for key, value in state.items())
        prefixed._metadata = OrderedDict({"": {"version": 1}})  # as a module's own state dict has
        if path.stem == "warp":
            prefixed["module.aflow_net.weight"] = torch.zeros(4, 1, 3, 3)
        wrapped = {"epoch": 200, "state_dict": prefixed, "optimizer": {"state": {}, "param_groups": [{"lr": 5e-5}]}}
        torch.save(wrapped, path, _use_new_zipfile_serialization=False)
    assert convert(*files, folder / "student") == 0
    for path in files:
        path.unlink()
    return folder / "student"


@pytest.fixture
def files(tmp_path):
    """A student's published files that occupy nearly no space."""
    paths = tmp_path / "warp.pth", tmp_path / "gen.pth"
    for kind, path in zip(("student_warp", "student_generator"), paths, strict=True):
        torch.save(blank_checkpoint(kind), path)
    return paths


def garment_and_photo(height=HEIGHT, width=WIDTH):
    """A garment with texture, cut out by its mask, and a photo, each N x C x H x W of a batch of 1.

    As smooth as pictures are: a position in float32 is some 1e-5 pixels off, and white noise would make as much of it.
    """
    generator = torch.Generator().manual_seed(3)
    noise = torch.rand(2, 3, height // 4, width // 4, generator=generator) * 2 - 1
    photo, garment = F.interpolate(noise, scale_factor=4, mode="bilinear", align_corners=False).split(1)
    mask = torch.zeros(1, 1, height, width)
    mask[:, :, height // 6 : -height // 6, width // 6 : -width // 6] = 1
    return garment * mask, mask, photo


def published_networks(role, states):
    return [
        published_network(f"{role}_{name}", state) for name, state in zip(("warp", "generator"), states, strict=True)
    ]


@torch.inference_mode()
def test_a_converted_student_gives_the_published_numbers(student_states, student_folder):
    garment, mask, photo = garment_and_photo()
    person, worn = Person(photo, None, None, None), Garment(garment, mask)
    expected = student_try_on(published_networks("student", student_states), person, worn)
    result = TryOn.load(student_folder, precision="fp32").model(person, worn)
    ours = results(result.warped, result)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, **SAME, msg=lambda text, name=name: f"{name}: {text}")
        assert value.std() > 0.01, f"{name} is flat and would show nothing"


@torch.inference_mode()
def test_a_converted_tutor_gives_the_published_numbers():
    kinds = "tutor_warp", "tutor_generator"
    states = [random_checkpoint(kind) for kind in kinds]
    with torch.device("meta"):
        model = Tutor(width=1.0, densepose=True, generator=True).eval()
    for network, state, kind in zip((model.warp, model.generator), states, kinds, strict=True):
        network.load_state_dict(convert_state_dict(state, kind), assign=True)
    width = 64  # saves time; the squares of the pose are as published at the published height
    garment, mask, photo = garment_and_photo(HEIGHT, width)
    generator = torch.Generator().manual_seed(4)
    labels = torch.randint(14, (1, HEIGHT // 8, width // 8), generator=generator)
    parts = torch.randint(25, (1, HEIGHT // 8, width // 8), generator=generator)
    labels, parts = (image.repeat_interleave(8, 1).repeat_interleave(8, 2) for image in (labels, parts))
    keypoints = torch.tensor([[(10.0 + 2 * number, 30.0 + 11 * number, 1.0) for number in range(18)]])
    worn = Garment(garment, mask)
    published = Regions(*(is_one_of(labels, those) for those in ((4, 7), (1, 12), (5, 6, 8, 9, 10), (11, 13), (0,))))
    expected = tutor_try_on(published_networks("tutor", states), Person(photo, published, keypoints, parts), worn)

    result = model(Person(photo, stack([regions_of(labels[0], VITON)]), keypoints, parts), worn)
    ours = results(result.warped, result)
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, **SAME, msg=lambda text, name=name: f"{name}: {text}")


@torch.inference_mode()
def test_the_other_alignment_would_not_pass_as_the_same(student_states, monkeypatch):
    garment, mask, photo = garment_and_photo(64, 64)
    networks = published_networks("student", student_states)
    images = []
    for aligned in (True, False):
        monkeypatch.setattr(plain_networks, "ALIGN_CORNERS", aligned)
        result = student_try_on(networks, Person(photo, None, None, None), Garment(garment, mask))
        images.append(result["image"])
    assert (images[0] - images[1]).abs().max() > 100 * SAME["atol"]


def test_the_folder_records_what_a_result_depends_on(student_folder):
    assert sorted(path.name for path in student_folder.iterdir()) == [
        "README.md",
        "generator.safetensors",
        "model.json",
        "warp.safetensors",
    ]
    record = json.loads((student_folder / "model.json").read_text())
    assert record == {
        "role": "student",
        "width": 1.0,
        "size": [256, 192],
        "densepose": False,
        "generator": True,
        "label_scheme": "none",
        "perceptual": "published",
        "stage": "student",
        "step": 0,
        "keep_background": False,
        "copy_mask": False,
        "alignment": "align_corners=True",
        "format": 1,
    }


def test_who_may_read_the_folder_may_read_its_files(student_folder):
    allowed = student_folder.stat().st_mode & 0o666
    assert {path.stat().st_mode & 0o777 for path in student_folder.iterdir()} == {allowed}


def test_the_published_models_have_the_published_channels():
    assert published_record("tutor").label_scheme == "viton"
    with torch.device("meta"):
        tutor, student = (published_record(role).build() for role in ("tutor", "student"))
    assert isinstance(tutor, Tutor)
    assert isinstance(student, Student)
    assert (tutor.warp.condition_channels, tutor.generator.in_channels) == (45, 8)
    assert (student.warp.condition_channels, student.generator.in_channels) == (3, 7)


def test_a_tutors_files_make_a_tutor(tmp_path, capsys):
    for kind, name in (("tutor_warp", "warp.pth"), ("tutor_generator", "gen.pth")):
        torch.save(blank_checkpoint(kind), tmp_path / name)
    out = tmp_path / "deep" / "tutor"
    assert convert(tmp_path / "warp.pth", tmp_path / "gen.pth", out) == 0
    assert capsys.readouterr().out == f"tutor, 256x192, align_corners=True; {out}\n"
    assert load_model(out)[1] == published_record("tutor")
    with pytest.raises(InputError, match="found a tutor, wanted a student"):
        TryOn.load(out)


def test_the_command_line_dresses_with_the_folder(student_folder, tmp_path):
    Image.new("RGB", (192, 256), "gray").save(tmp_path / "person.png")
    garment = Image.new("RGB", (192, 256), "white")
    garment.paste((200, 30, 30), (50, 60, 140, 200))
    garment.save(tmp_path / "garment.png")
    pictures = ("--person", tmp_path / "person.png", "--garment", tmp_path / "garment.png")
    command = ("infer", "--weights", student_folder, *pictures, "--out", tmp_path / "out.png")
    assert main([str(part) for part in command]) == 0
    assert Image.open(tmp_path / "out.png").size == (192, 256)


@pytest.mark.parametrize("field", ["alignment", "size", "format"])
def test_a_record_that_does_not_say_is_refused(student_folder, tmp_path, field):
    record = json.loads((student_folder / "model.json").read_text())
    del record[field]
    (tmp_path / "model.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=rf"model\.json: found no {field}, wanted the whole record"):
        load_model(tmp_path)


class TestRefusedInOneLineWithTheFolderUntouched:
    @pytest.fixture
    def refused(self, tmp_path, capsys):
        def check(warp, generator, *names):
            before = sorted(tmp_path.rglob("*"))
            assert convert(warp, generator, tmp_path / "out") == 2
            error = capsys.readouterr().err.strip()
            assert error.startswith("tryon: ")
            assert "\n" not in error
            for name in names:
                assert name in error
            assert sorted(tmp_path.rglob("*")) == before

        return check

    def test_the_generator_given_as_warping_network(self, refused, files):
        found = "found model.model.0.weight, which the network does not have"
        refused(files[1], files[0], "gen.pth, as a student's warping network: ", "is missing, wanted with shape", found)

    def test_the_generator_given_twice(self, refused, files):
        refused(files[1], files[1], "gen.pth", "is missing")

    def test_the_warping_network_given_twice(self, refused, files):
        refused(files[0], files[0], "warp.pth, as a student's generator: model.model", "is missing")

    def test_the_tutors_generator_with_the_students_warping_network(self, refused, files, tmp_path):
        torch.save(blank_checkpoint("tutor_generator"), tmp_path / "tutor.pth")
        shapes = "model.model.0.weight has shape (64, 8, 3, 3), wanted (64, 7, 3, 3)"
        refused(files[0], tmp_path / "tutor.pth", f"tutor.pth, as a student's generator: {shapes}")

    def test_a_key_that_is_missing(self, refused, files):
        state = blank_checkpoint("student_warp")
        del state["cond_features.encoders.0.0.block.2.weight"]
        torch.save(state, files[0])
        refused(*files, "cond_features.encoders.0.0.block.2.weight is missing, wanted with shape (64, 3, 3, 3)")

    @pytest.mark.parametrize("which", [0, 1])
    def test_a_truncated_file(self, refused, files, which):
        files[which].write_bytes(files[which].read_bytes()[:-5000])
        refused(*files, f"{files[which]}: damaged, or not a file of weights")

    def test_a_file_that_is_not_there(self, refused, files, tmp_path):
        refused(files[0], tmp_path / "none.pth", "none.pth: no such file")

    def test_code_in_the_file(self, refused, files, tmp_path):
        torch.save(blank_checkpoint("student_warp") | {"code": Code(tmp_path / "written")}, files[0])
        refused(*files, "warp.pth: refused: it asks for io.open", "nothing of it was run")
        assert not (tmp_path / "written").exists()

    def test_a_folder_that_holds_something(self, refused, files, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "model.json").write_text("mine")
        refused(*files, "out: already there and not an empty folder")
        assert (tmp_path / "out" / "model.json").read_text() == "mine"

    def test_a_disk_that_fills_up(self, refused, files, monkeypatch):
        def full(path, values):
            raise OSError("No space left on device")

        monkeypatch.setattr("tryon.weights.write_json", full)  # the last that is written
        refused(*files, "out: cannot be written (No space left on device)")


class Code:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")
