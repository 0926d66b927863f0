"""Reading and writing video files. Both need PyAV: ``pip install tryon-kernels[video]``."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

from tryon.data.images import format_size
from tryon.errors import InputError
from tryon.files import whole_file

_log = logging.getLogger(__name__)

EXTRA = "tryon-kernels[video]"
SUFFIX = ".mp4"
ENCODER, QUALITY = "libx264", "18"  # constant rate factor: hardly told from the original
_USUAL_RATE = Fraction(25)


@dataclass(frozen=True)
class Video:
    """A video that is being read.

    Attributes:
        rate: frames a second.
        count: of frames, as the file says or from how long it is; 0 where it says neither.
        frames: RGB, upright, of one size. Reading further raises InputError where the file is damaged.
    """

    rate: Fraction
    count: int
    frames: Iterator[Image.Image]


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Read a file's first video stream. Raises InputError, which names the file, where there is none to be read."""
    av = _library()
    try:
        container = av.open(str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file, wanted a video") from None
    except av.FFmpegError as error:
        raise _unreadable(path, error) from None
    with container:
        if not container.streams.video:
            raise InputError(f"{path}: found no video stream, wanted a video")
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise InputError(f"{path}: found a video stream that this PyAV has no decoder of")
        stream.thread_type = "AUTO"
        rate = stream.average_rate or _USUAL_RATE
        count = stream.frames or round((container.duration or 0) / av.time_base * rate)
        yield Video(rate, count, _frames(av, path, container))


def _frames(av: Any, path: Path, container: Any) -> Iterator[Image.Image]:
    size, seen, promised = None, 0, container.streams.video[0].frames
    try:
        for frame in container.decode(video=0):
            seen += 1
            image = frame.to_image()
            upright = image.rotate(frame.rotation, expand=True) if frame.rotation else image
            if size not in (None, upright.size):
                found, wanted = (format_size((height, width)) for width, height in (upright.size, size))
                raise InputError(f"{path}: found a frame of {found} after ones of {wanted}, wanted one size")
            size = upright.size
            yield upright
    except av.FFmpegError as error:
        raise _unreadable(path, error) from None
    if size is None:
        raise InputError(f"{path}: found no frames, wanted a video")
    if seen < promised:
        _log.warning("%s: found %d frames, of %d that it says it has", path, seen, promised)


class VideoWriter:
    """Encodes pictures of one size, H.264, as they come. An odd height or width loses its last row or column."""

    def __init__(self, av: Any, container: Any, rate: Fraction) -> None:
        self._av, self._container, self._rate = av, container, rate
        self._stream: Any = None

    def write(self, image: Image.Image) -> None:
        """Add a frame."""
        even = image.width // 2 * 2, image.height // 2 * 2
        if self._stream is None:
            self._stream = self._container.add_stream(ENCODER, rate=self._rate, options={"crf": QUALITY})
            self._stream.width, self._stream.height = even
            self._stream.pix_fmt = "yuv420p"
        frame = self._av.VideoFrame.from_image(image.crop((0, 0, *even)))
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Write what the encoder still has."""
        if self._stream is not None:
            self._container.mux(self._stream.encode(None))


@contextmanager
def new_video(path: Path, rate: Fraction) -> Iterator[VideoWriter]:
    """Write a video file that appears whole or not at all."""
    av = _library()
    with whole_file(path) as file, av.open(file, "w", format=SUFFIX[1:]) as container:
        writer = VideoWriter(av, container, rate)
        yield writer
        writer.end()


def check_video_file(path: Path) -> None:
    """Raise InputError where a file's name is not a video's, or no video can be written here."""
    if path.suffix.lower() != SUFFIX:
        raise InputError(f"--out: found {path}, wanted a video file such as result{SUFFIX}")
    if ENCODER not in _library().codecs_available:
        raise InputError(f"--out: found no encoder {ENCODER} in this PyAV, wanted one; pip install {EXTRA}")


def _library() -> Any:
    try:
        return import_module("av")
    except ImportError:
        raise InputError(f"video: PyAV is not installed; pip install {EXTRA}") from None


def _unreadable(path: Path, error: Any) -> InputError:
    return InputError(f"{path}: cannot be read as a video ({error.strerror})")
