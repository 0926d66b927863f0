from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms

from tryon.data.images import as_seen, on_white, open_image
from tryon.errors import InputError

COLOUR = (200, 120, 40)
GREY = 144


def reopened(path: Path, image: Image.Image, **options: object) -> tuple[int, ...]:
    """The colour of a plain picture that is saved and opened."""
    image.save(path, **options)
    pixel = open_image(path).getpixel((3, 3))
    assert isinstance(pixel, tuple)
    return pixel


@pytest.mark.parametrize(
    ("mode", "wanted", "tolerance"),
    [
        ("1", (255, 255, 255), 0),
        ("L", (GREY,) * 3, 0),
        ("LA", (GREY,) * 3, 0),
        ("P", (204, 102, 51), 0),  # the nearest colour of Pillow's palette
        ("RGB", COLOUR, 0),
        ("RGBA", COLOUR, 0),
        ("RGBa", COLOUR, 0),
        ("RGBX", COLOUR, 0),
        ("CMYK", COLOUR, 0),
        ("YCbCr", COLOUR, 2),  # 8-bit rounding there and back
        ("LAB", COLOUR, 3),
        ("HSV", COLOUR, 3),
    ],
)
def test_every_mode_of_eight_bits_keeps_its_colour(mode: str, wanted: tuple[int, ...], tolerance: int) -> None:
    plain = Image.new("L", (8, 8), GREY) if mode in ("1", "L", "LA") else Image.new("RGB", (8, 8), COLOUR)
    image = plain.convert("RGBA").convert(mode) if mode == "RGBa" else plain.convert(mode, dither=Image.Dither.NONE)
    seen = as_seen(image)
    assert seen.mode == "RGB"
    assert np.abs(np.subtract(seen.getpixel((3, 3)), wanted)).max() <= tolerance


def test_premultiplied_colours_are_divided_by_their_alpha() -> None:
    for mode, wanted in (("RGBa", (200, 100, 40, 51)), ("La", (200, 200, 200, 51))):
        image = Image.new(mode, (8, 8), (40, 20, 8, 51) if mode == "RGBa" else (40, 51))
        assert as_seen(image).getpixel((3, 3)) == wanted


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm"])
def test_sixteen_bits_of_grey_become_the_eight_highest(tmp_path: Path, suffix: str) -> None:
    levels = np.array([[0, 128, 129, 257 * GREY, 65535]], np.uint16)
    path = tmp_path / f"grey{suffix}"
    Image.fromarray(levels).save(path)
    assert np.asarray(open_image(path))[0, :, 1].tolist() == [0, 0, 1, GREY, 255]


def test_sixteen_bits_in_either_order_of_bytes_are_the_same_picture() -> None:
    content = struct.pack("<H", 257 * GREY) * 4, struct.pack(">H", 257 * GREY) * 4
    for mode, stored in zip(("I;16", "I;16B"), content, strict=True):
        assert as_seen(Image.frombytes(mode, (2, 2), stored)).getpixel((1, 1)) == (GREY,) * 3


def png(colour_type: int, samples: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file of one pixel of 16 bits a channel, and other chunks before it."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, colour_type, 0, 0, 0)), *chunks]
    parts += [(b"IDAT", zlib.compress(b"\0" + samples)), (b"IEND", b"")]
    packed = [struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize("alpha", [None, 65535, 257 * 80])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_a_channel_of_grey_or_colour_with_or_without_alpha(
    tmp_path: Path, channels: int, alpha: int | None
) -> None:
    colour = COLOUR if channels == 3 else (GREY,)
    samples = [257 * level for level in colour] + ([] if alpha is None else [alpha])
    colour_type = {1: 0, 3: 2}[channels] + (0 if alpha is None else 4)
    path = tmp_path / "deep.png"
    path.write_bytes(png(colour_type, struct.pack(f">{len(samples)}H", *samples)))
    wanted = (*(colour * 3)[:3], 255 if alpha is None else alpha // 257)
    assert open_image(path, "RGBA").getpixel((0, 0)) == wanted


def test_a_level_that_stands_for_transparent_is_transparent(tmp_path: Path) -> None:
    for depth, level in ((8, GREY), (16, 257 * GREY)):
        path = tmp_path / f"keyed{depth}.png"
        levels = np.array([[level, 0]], np.uint8 if depth == 8 else np.uint16)
        Image.fromarray(levels).save(path, transparency=level)
        assert [pixel[3] for pixel in np.asarray(open_image(path, "RGBA"))[0].tolist()] == [0, 255]


def test_a_palette_may_have_a_transparent_colour_or_an_alpha_for_each(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, *COLOUR])
    image.putpixel((0, 0), 0)
    image.save(tmp_path / "one.gif", transparency=0)
    image.save(tmp_path / "each.png", transparency=bytes([0, 80]))
    for name, alpha in (("one.gif", 255), ("each.png", 80)):
        opened = open_image(tmp_path / name, "RGBA")
        assert opened.getpixel((3, 3)) == (*COLOUR, alpha)
        assert opened.getpixel((0, 0))[3] == 0
        assert open_image(tmp_path / name).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("value", [0.5, 100])
def test_numbers_whose_white_is_not_known_are_refused(tmp_path: Path, value: float) -> None:
    path = tmp_path / "numbers.tif"
    Image.new("F" if isinstance(value, float) else "I", (8, 8), value).save(path)
    kind = "floating-point" if isinstance(value, float) else "whole"
    with pytest.raises(InputError, match=rf"numbers\.tif: found {kind} numbers of 32 bits, .*wanted 8 or 16 bits"):
        open_image(path)


def test_a_jpeg_in_inks_has_its_colours(tmp_path: Path) -> None:
    inks = Image.new("RGB", (8, 8), COLOUR).convert("CMYK")
    # Pillow writes what Adobe does: inks inverted, and a mark that they are.
    assert np.abs(np.subtract(reopened(tmp_path / "inks.jpg", inks, quality=95), COLOUR)).max() <= 3


def test_what_is_transparent_lies_on_white() -> None:
    half = Image.new("RGBA", (8, 8), (100, 0, 200, 128))
    wanted = np.array((100, 0, 200)) * 128 / 255 + 127
    assert np.abs(np.subtract(on_white(as_seen(half)).getpixel((3, 3)), wanted)).max() <= 1


def profile(space: bytes, primaries: str = "RGB", name: str = "test") -> bytes:
    """An ICC profile of linear light: of sRGB's primaries, in another order if asked for, or of grey."""
    adapted = {"R": (0.4361, 0.2225, 0.0139), "G": (0.3851, 0.7169, 0.0971), "B": (0.1431, 0.0606, 0.7141)}

    def place(values: tuple[float, ...]) -> bytes:
        return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(value * 65536) for value in values))

    linear = b"curv" + bytes(4) + struct.pack(">I", 0)
    described = b"desc" + bytes(4) + struct.pack(">I", 5) + name.encode() + b"\0" + bytes(78)
    tags = [(b"desc", described), (b"wtpt", place((0.9642, 1, 0.8249)))]
    if space == b"GRAY":
        tags.append((b"kTRC", linear))
    else:
        for channel, primary in zip("rgb", primaries, strict=True):
            tags += [(f"{channel}XYZ".encode(), place(adapted[primary])), (f"{channel}TRC".encode(), linear)]
    return assembled(b"mntr", space, b"XYZ ", tags)


def profile_of_inks(colours: dict[int, tuple[int, int, int]]) -> bytes:
    """An ICC profile of four inks: CIELAB colours (D50) of full inks, of which bit 0 is black and bit 3 is cyan.

    Others are black, what lies between is interpolated.
    """
    corners = [colours.get(inks, (0, 0, 0)) for inks in range(1 << 4)]
    as_bytes = [(round(2.55 * lightness), a + 128, b + 128) for lightness, a, b in corners]
    unity = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + unity + 4 * bytes(range(256))
    return assembled(
        b"prtr", b"CMYK", b"Lab ", [(b"A2B0", table + np.uint8(as_bytes).tobytes() + 3 * bytes(range(256)))]
    )


def assembled(kind: bytes, space: bytes, connection: bytes, tags: list[tuple[bytes, bytes]]) -> bytes:
    """A profile after ICC.1:2001: a header, a table of tags, and what they hold."""
    tags = [*tags, (b"cprt", b"text" + bytes(4) + b"none\0")]
    table, content = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for sign, value in tags:
        table += sign + struct.pack(">II", start + len(content), len(value))
        content += value + bytes(-len(value) % 4)
    size = start + len(content)
    header = struct.pack(">I4sI4s4s4s", size, bytes(4), 0x02400000, kind, space, connection) + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + content


def encoded(level: int) -> int:
    """sRGB's level of linear light, from its standard."""
    light = level / 255
    return round(255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_colour_profile_is_turned_into_srgb(tmp_path: Path, suffix: str) -> None:
    red, green, blue = reopened(
        tmp_path / f"wide{suffix}",
        Image.new("RGB", (32, 32), COLOUR),
        icc_profile=profile(b"RGB ", "BRG"),
        quality=100,
    )
    # What the file calls red is blue, its green red, its blue green; and its light is linear.
    wanted = [encoded(level) for level in (COLOUR[1], COLOUR[2], COLOUR[0])]
    assert np.abs(np.subtract((red, green, blue), wanted)).max() <= (2 if suffix in (".png", ".tif") else 6)


@pytest.mark.parametrize(("mode", "space"), [("L", b"GRAY"), ("LA", b"GRAY"), ("L", b"RGB "), ("P", b"RGB ")])
def test_grey_and_palettes_have_profiles_too(tmp_path: Path, mode: str, space: bytes) -> None:
    image = Image.new("L", (8, 8), GREY).convert(mode)
    pixel = reopened(tmp_path / "grey.png", image, icc_profile=profile(space))
    assert np.abs(np.subtract(pixel, encoded(GREY))).max() <= 1


def test_a_jpeg_in_inks_has_the_colours_of_its_profile(tmp_path: Path) -> None:
    """Here cyan ink is red, (54, 81, 70) in CIELAB, and magenta ink a grey of half the lightness, level 119."""
    inks = profile_of_inks({0b0000: (100, 0, 0), 0b1000: (54, 81, 70), 0b0100: (50, 0, 0)})
    wanted = {(0, 0, 0, 0): 255, (255, 0, 0, 0): (255, 0, 0), (0, 255, 0, 0): 119, (0, 0, 0, 255): 0}
    for ink, colour in wanted.items():
        found = reopened(tmp_path / "inks.jpg", Image.new("CMYK", (16, 16), ink), icc_profile=inks, quality=100)
        # CIELAB in whole numbers: half of one is up to 3 levels, of a dark channel beside a bright one.
        assert np.abs(np.subtract(found, colour)).max() <= 4
    plain = reopened(tmp_path / "plain.jpg", Image.new("CMYK", (16, 16), (255, 0, 0, 0)), quality=100)
    assert np.abs(np.subtract(plain, (0, 255, 255))).max() <= 4


def test_transparency_outlives_a_profile(tmp_path: Path) -> None:
    image = Image.new("RGBA", (8, 8), (GREY, GREY, GREY, 90))
    image.save(tmp_path / "clear.png", icc_profile=profile(b"RGB "))
    pixel = open_image(tmp_path / "clear.png", "RGBA").getpixel((3, 3))
    assert np.abs(np.subtract(pixel, (*[encoded(GREY)] * 3, 90))).max() <= 1


def test_the_profile_of_srgb_itself_changes_nothing(tmp_path: Path) -> None:
    """Not by rounding either: by its name it is not even applied, as one shows that has the name and other colours."""
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    for content in (own, profile(b"RGB ", "BRG", name="sRGB")):
        Image.fromarray(noise).save(tmp_path / "noise.png", icc_profile=content)
        assert (np.asarray(open_image(tmp_path / "noise.png")) == noise).all()


@pytest.mark.parametrize("content", [b"no profile", profile(b"GRAY"), profile(b"RGB ")[:200]])
def test_a_profile_that_cannot_be_used_is_left_out_with_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    path = tmp_path / "photo.png"
    assert reopened(path, Image.new("RGB", (8, 8), COLOUR), icc_profile=content) == COLOUR
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(f"{path}: its colour profile cannot be used (")
    open_image(path)
    assert len(caplog.messages) == 1  # once for a file


@pytest.mark.parametrize("content", [None, profile(b"RGB ")])
def test_a_picture_as_seen_is_seen_as_it_is(content: bytes | None) -> None:
    buffer = BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGBA", (8, 4), (*COLOUR, 99)).save(buffer, "PNG", icc_profile=content, exif=exif)
    once = as_seen(Image.open(buffer))
    twice = as_seen(once)
    assert once.size == twice.size == (4, 8)
    assert once.tobytes() == twice.tobytes()
