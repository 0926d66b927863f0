from __future__ import annotations

import struct
import sys
import types
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, features

from tryon.data.images import MOST_PIXELS, open_image
from tryon.errors import InputError

RED, GREEN, BLUE, YELLOW = (200, 30, 30), (20, 150, 40), (40, 60, 210), (220, 200, 20)
LOSSY = 6  # levels by which JPEG, WebP and AVIF miss the colours of large plain areas


def quarters() -> Image.Image:
    """A picture that no turn or reflection leaves as it is, 32 x 48."""
    image = Image.new("RGB", (48, 32), RED)
    for colour, corner in ((GREEN, (24, 0)), (BLUE, (0, 16)), (YELLOW, (24, 16))):
        image.paste(colour, (*corner, corner[0] + 24, corner[1] + 16))
    return image


def stored_for(orientation: int) -> Image.Image:
    """The quarters as a camera stores them with an orientation: what stands there undone, from the standard's words.

    The words say where row 0 and column 0 of what is stored are in what is seen: 6, say, "right, top".
    """
    seen = np.asarray(quarters())
    stored = {
        1: seen,  # top, left
        2: seen[:, ::-1],  # top, right
        3: seen[::-1, ::-1],  # bottom, right
        4: seen[::-1],  # bottom, left
        5: seen.transpose(1, 0, 2),  # left, top
        6: seen[:, ::-1].transpose(1, 0, 2),  # right, top
        7: seen[::-1, ::-1].transpose(1, 0, 2),  # right, bottom
        8: seen[::-1].transpose(1, 0, 2),  # left, bottom
    }
    return Image.fromarray(np.ascontiguousarray(stored[orientation]))


def with_orientation(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright_whatever_its_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    stored_for(orientation).save(path, exif=with_orientation(orientation), quality=95)
    opened = open_image(path)
    assert opened.size == (48, 32)
    for place, colour in (((12, 8), RED), ((36, 8), GREEN), ((12, 24), BLUE), ((36, 24), YELLOW)):
        assert np.abs(np.subtract(opened.getpixel(place), colour)).max() <= LOSSY


def test_an_orientation_that_cannot_be_read_leaves_a_line_and_the_picture_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "photo.png"
    quarters().save(path, exif=b"Exif\0\0no TIFF")
    assert open_image(path).getpixel((0, 0)) == RED
    assert [line for line in caplog.messages if "EXIF" in line] == caplog.messages
    assert caplog.messages[0].startswith(f"{path}: its EXIF data cannot be read")


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_the_first_frame_of_several_is_taken(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving{suffix}"
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, GREEN, BLUE)]
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True)
    with Image.open(path) as file:
        assert getattr(file, "n_frames", 1) == 3
    assert open_image(path).getpixel((16, 16)) == RED


def write(path: Path) -> bytes:
    """Some picture of the format of a suffix, with enough in it to be cut in the middle."""
    noise = np.random.default_rng(0).integers(0, 255, (64, 48, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()


SUFFIXES = [".jpg", ".png", ".gif", ".webp", ".tif", ".bmp", ".avif", ".jp2", ".tga", ".ppm"]


@pytest.fixture(params=SUFFIXES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow does not read AVIF")
    path = tmp_path / f"photo{request.param}"
    write(path)
    return path


def test_a_truncated_file_is_refused_in_one_line(written: Path) -> None:
    content = written.read_bytes()
    for share in (0.0, 0.02, 0.3, 0.6):
        written.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(InputError) as caught:
            open_image(written)
        assert_one_line(caught.value, written)


def test_damaged_bytes_end_in_a_picture_or_in_one_line(written: Path, recwarn: pytest.WarningsRecorder) -> None:
    content = written.read_bytes()
    generator = np.random.default_rng(1)
    refused = []
    for _ in range(40):
        damaged = np.frombuffer(content, np.uint8).copy()
        damaged[generator.integers(0, min(200, len(damaged)), 4)] = generator.integers(0, 256, 4)
        written.write_bytes(damaged.tobytes())
        try:
            open_image(written)
        except InputError as error:
            refused.append(error)
    assert refused
    assert not recwarn.list
    for error in refused:
        assert_one_line(error, written)


def assert_one_line(error: InputError, path: Path) -> None:
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("size", "found"), [((20000, 10000), "too many pixels"), ((10001, 10000), "10000x10001, 100,010,000 pixels")]
)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, size: tuple[int, int], found: str
) -> None:
    path = tmp_path / "huge.png"
    Image.new("RGB", (1, 1)).save(path)
    content = path.read_bytes()
    header = content[12:16] + struct.pack(">II", *size) + content[24:29]  # of a file that holds one pixel
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    with pytest.raises(InputError, match=rf"huge\.png: found {found}.*wanted at most {MOST_PIXELS:,}"):
        open_image(path)


def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("no picture")
    with pytest.raises(InputError, match=r"notes\.jpg: cannot be read as an image \(of no known format\)"):
        open_image(path)
    with pytest.raises(InputError, match=r"cannot be read as an image \(.*[Dd]irectory"):
        open_image(tmp_path)
    with pytest.raises(InputError, match=r"no\.jpg: no such file, wanted an image"):
        open_image(tmp_path / "no.jpg")


def ftyp(*brands: bytes) -> bytes:
    """How a file of a family of formats begins: the one it is of, and those whose readers can read it too."""
    return struct.pack(">I", 16 + 4 * len(brands)) + b"ftyp" + brands[0] + bytes(4) + b"".join(brands) + b"the rest"


@pytest.mark.parametrize(
    ("kind", "brands"),
    [("HEIC", (b"heic",)), ("HEIC", (b"mif1", b"heic")), ("AVIF", (b"avif",)), ("AVIF", (b"mif1", b"avif"))],
)
def test_a_format_that_needs_an_extra_names_it(
    tmp_path: Path, kind: str, brands: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(features, "check", lambda name: False)
    path = tmp_path / "photo.jpg"  # what is in a file counts, not its name
    path.write_bytes(ftyp(*brands))
    with pytest.raises(InputError, match=rf"photo\.jpg: found an? {kind} .* pip install tryon-kernels\[photos\]"):
        open_image(path)


def test_a_heic_photo_is_read_by_the_package_of_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for pillow-heif: it registers itself with Pillow when it is told to."""

    def register_heif_opener() -> None:
        def open_it(file: BytesIO, name: object) -> Image.Image:
            return quarters()

        Image.register_open("HEIF", open_it, lambda start: start[4:12] == b"ftypheic")

    stand_in = types.ModuleType("pillow_heif")
    stand_in.register_heif_opener = register_heif_opener  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", stand_in)
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    path = tmp_path / "photo.heic"
    path.write_bytes(ftyp(b"heic"))
    assert open_image(path).getpixel((0, 0)) == RED


@pytest.mark.extras
def test_a_heic_photo_is_read(tmp_path: Path) -> None:
    pillow_heif = pytest.importorskip("pillow_heif", reason="pillow-heif is not installed: make extras")
    path = tmp_path / "photo.heic"
    pillow_heif.from_pillow(quarters()).save(path)
    assert np.abs(np.asarray(open_image(path), int)[4:12, 4:20] - RED).max() <= LOSSY
