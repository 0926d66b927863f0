"""From a video file to one of the person dressed."""

from __future__ import annotations

import struct
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tryon import InputError, TryOn
from tryon.cli import main
from tryon.data.folder import TryOnFolder
from tryon.data.images import open_image, open_mask
from tryon.video.dressing import dress_frames
from tryon.video.files import new_video, open_video

RATE = Fraction(30000, 1001)


def test_pyav_is_asked_for_where_it_is_missing(
    untrained_student: Path,
    drawn_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    garment = next((drawn_data / "test_clothes").iterdir())
    arguments = [
        "--weights",
        untrained_student,
        "--video",
        garment,
        "--garment",
        garment,
        "--out",
        tmp_path / "out.mp4",
    ]
    assert main(["infer", *map(str, arguments)]) == 2
    assert capsys.readouterr().err == "tryon: video: PyAV is not installed; pip install tryon-kernels[video]\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--video", "in.mp4", "--out", "out.png"], "--out: found out.png, wanted a video file such as result.mp4"),
        (["--video", "in.mp4", "--out", "out.mp4", "--steady", "-1"], "--steady: found -1, wanted 0 or more"),
        (["--person", "in.png", "--out", "out.png", "--steady", "1"], "--steady: found 1, wanted 0 or more, and a --v"),
        (["--video", "in.mp4", "--person", "in.png", "--out", "out.mp4"], "infer: found --person --video --garment"),
    ],
)
def test_a_wrong_argument_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "--weights", "none", "--garment", "none.png", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.fixture(scope="module")
def student(untrained_student: Path) -> TryOn:
    return TryOn.load(untrained_student, precision="fp32")


def frames(folder: TryOnFolder, count: int = 5) -> list[Image.Image]:
    """A person who moves to the side."""
    photo = np.asarray(open_image(folder.photo_path(folder.people[0])))
    return [Image.fromarray(np.roll(photo, shift, axis=1)) for shift in range(count)]


def product(folder: TryOnFolder) -> tuple[Image.Image, Image.Image]:
    garment = folder.garments[1]
    return open_image(folder.garment_path(garment)), open_mask(folder.mask_path(garment))


def test_without_steadiness_every_frame_is_dressed_as_if_it_were_alone(student: TryOn, drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "test")
    seen = frames(folder)
    found = list(dress_frames(student, seen, *product(folder), steady=0, batch=2))
    assert len(found) == len(seen)
    for one, photo in zip(found, seen, strict=True):
        difference = np.asarray(one, np.int16) - np.asarray(student.dress(photo, *product(folder)), np.int16)
        assert np.abs(difference).max() <= 1  # a batch's sums may round otherwise


def test_a_person_who_stands_still_is_dressed_the_same_with_and_without(student: TryOn, drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "test")
    still = frames(folder, 1) * 3
    alone, steady = (list(dress_frames(student, still, *product(folder), steady=reach)) for reach in (0, 2))
    for one, other in zip(alone, steady, strict=True):
        # The mask counts twice where it is neither 0 nor 1: at the garment's edge.
        assert np.mean(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)) > 1) < 0.05


@pytest.fixture
def video(drawn_data: Path, tmp_path: Path) -> Path:
    """Five frames of a drawn person."""
    pytest.importorskip("av", reason="optional packages: make extras")
    path = tmp_path / "in.mp4"
    with new_video(path, RATE) as writer:
        for frame in frames(TryOnFolder(drawn_data, "test")):
            writer.write(frame)
    return path


def infer(weights: Path, video: Path, drawn_data: Path, out: Path) -> int:
    folder = TryOnFolder(drawn_data, "test")
    garment = folder.garments[1]
    files = {"garment": folder.garment_path(garment), "mask": folder.mask_path(garment), "video": video, "out": out}
    arguments = [word for name, path in files.items() for word in (f"--{name}", str(path))]
    return main(["infer", "--weights", str(weights), "--device", "cpu", *arguments])


@pytest.mark.extras
def test_a_dressed_video_has_the_frames_the_rate_and_the_size_of_the_one_that_it_is_made_of(
    video: Path, untrained_student: Path, drawn_data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.mp4"
    assert infer(untrained_student, video, drawn_data, out) == 0
    with open_video(out) as found:
        assert found.rate == RATE
        images = list(found.frames)
    assert [image.size for image in images] == [(64, 64)] * 5
    assert all(np.asarray(image).std() > 1 for image in images)


@pytest.mark.extras
def test_an_odd_row_and_column_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="optional packages: make extras")
    path = tmp_path / "odd.mp4"
    with new_video(path, RATE) as writer:
        writer.write(Image.new("RGB", (65, 67), "red"))
    with open_video(path) as found:
        assert [image.size for image in found.frames] == [(64, 66)]


# How a player turns what is stored, clockwise, as a track header has it: the upper left of a 3 x 3 matrix of 16.16
# fixed-point numbers (ISO/IEC 14496-12, 8.3.2).
TURNS = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.extras
@pytest.mark.parametrize("clockwise", TURNS)
def test_a_phones_frames_stored_turned_are_read_upright(clockwise: int, tmp_path: Path) -> None:
    path = tmp_path / "phone.mp4"
    stored = np.zeros((64, 96, 3), np.uint8)
    stored[:32, :48] = 255
    with new_video(path, RATE) as writer:
        writer.write(Image.fromarray(stored))
    contents = path.read_bytes()
    a, b, c, d = TURNS[clockwise]
    unturned, turned = (
        struct.pack(">6i", one << 16, two << 16, 0, three << 16, four << 16, 0)
        for one, two, three, four in ((1, 0, 0, 1), (a, b, c, d))
    )
    header = contents.index(b"tkhd")
    path.write_bytes(contents[:header] + contents[header:].replace(unturned, turned, 1))
    with open_video(path) as found:
        (frame,) = found.frames
    upright = Image.fromarray(stored).rotate(-clockwise, expand=True)  # of Pillow: counter-clockwise
    assert frame.size == upright.size
    difference = np.abs(np.asarray(frame, dtype=int) - np.asarray(upright, dtype=int))
    assert difference.mean() < 5  # of a lossy film


@pytest.mark.extras
@pytest.mark.parametrize("kind", ["missing", "nonsense", "cut", "sound"])
def test_a_video_that_cannot_be_read_is_one_line_and_leaves_no_file(
    kind: str,
    video: Path,
    untrained_student: Path,
    drawn_data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import av

    broken, data = tmp_path / "broken.mp4", video.read_bytes()
    messages = {
        "missing": "no such file, wanted a video",
        "nonsense": "cannot be read as a video",
        "cut": "cannot be read as a video",
        "sound": "found no video stream, wanted a video",
    }
    if kind == "nonsense":
        broken.write_bytes(b"nonsense" * 100)
    elif kind == "cut":
        broken.write_bytes(data[: len(data) // 2])
    elif kind == "sound":
        with av.open(str(broken), "w") as container:
            stream = container.add_stream("aac", rate=44100)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            silence.sample_rate = 44100
            container.mux(stream.encode(silence))
            container.mux(stream.encode(None))
    out = tmp_path / "out.mp4"
    assert infer(untrained_student, broken, drawn_data, out) == 2
    said = capsys.readouterr().err
    assert f"{broken}: {messages[kind]}" in said
    assert not list(tmp_path.glob("out*"))


@pytest.mark.extras
def test_what_fails_on_the_way_leaves_no_file(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="optional packages: make extras")
    path = tmp_path / "out.mp4"

    def fail_on_the_way() -> None:
        with new_video(path, RATE) as writer:
            writer.write(Image.new("RGB", (64, 64)))
            raise InputError("on the way")

    with pytest.raises(InputError, match="on the way"):
        fail_on_the_way()
    assert list(tmp_path.iterdir()) == []
