"""The static page of a student, served by nothing but its folder, and who visits it in a real browser."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

RUNTIME = Path(__file__).resolve().parents[3] / "build" / "page"
PATIENCE = 180_000  # milliseconds


def skip_without_runtime() -> None:
    """Skip the test where the page or the file that it computes with cannot be made."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed: make extras")
    if not (RUNTIME / "node_modules").is_dir():
        pytest.skip(f"no {RUNTIME}: make page-runtime")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Site:
    """The page's folder, what it was made of, and how far each output of the file may be from PyTorch's."""

    folder: Path
    model: Path
    bounds: dict[str, float]


def made_site(student: Path, folder: Path, size: tuple[int, int]) -> Site:
    """The page of a model folder's student, for the networks' size, in an existing folder."""
    from tryon.export.student import export_student
    from tryon.page.assembling import assemble_page

    model = folder / "model.onnx"
    exported = export_student(student, model, size)
    assemble_page(model, RUNTIME, folder / "site")
    return Site(folder / "site", model, {one.output: one.bound for one in exported.differences})


@contextmanager
def served(folder: Path) -> Iterator[ThreadingHTTPServer]:
    """A server of nothing but files."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Visitor:
    def __init__(self, context: Any, address: str) -> None:
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.asked: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector("body[data-shown]")

    def take(self, name: str, path: Path) -> None:
        """Choose a file and wait for what comes of it."""
        shown = int(self.page.get_attribute("body", "data-shown"))
        self.page.set_input_files(f"#{name} input", path)
        self.page.wait_for_function(
            "shown => Number(document.body.dataset.shown) > shown || !document.querySelector('#refusal').hidden",
            arg=shown,
        )

    def refusal(self) -> str:
        return self.page.inner_text("#refusal") if self.page.is_visible("#refusal") else ""

    def result(self) -> np.ndarray:
        data = self.page.evaluate("document.querySelector('#after').toDataURL('image/png')")
        picture = Image.open(BytesIO(base64.b64decode(data.partition(",")[2])))
        return np.asarray(picture.convert("RGB"), dtype=int)


def levels_apart(bounds: dict[str, float], size: tuple[int, int]) -> float:
    """Grey levels that two float32 computations of a picture of a size may differ by.

    An image in [-1, 1] is 127.5 levels a unit. The sampling map's error is one of place: of half a side a unit, along
    which a garment changes by at most 255 levels a pixel, in x and in y. Then both are rounded to 8 bits.
    """
    place = bounds["sampling_map"] * (size[0] + size[1]) / 2 * 255
    mixed = 127.5 * (bounds["image"] + bounds["rendered"] + 2 * bounds["composition"])
    return place + mixed + 1
