"""The static page in a real browser, served by nothing but a folder."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tryon.page.visiting import Site, Visitor, levels_apart, made_site, served, skip_without_runtime
from tryon.app.examples import draw_examples
from tryon.data.images import open_image
from tryon.models import Student
from tryon.weights import ModelRecord, save_model

SIZE = (64, 64)
RECORD = ModelRecord("student", 1 / 16, SIZE, False, True, "viton", "random", "student", 1, copy_mask=True)

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Of a student that nobody has trained: its pictures are no less sensitive to where a pixel lies."""
    skip_without_runtime()
    folder = tmp_path_factory.mktemp("page")
    torch.manual_seed(0)
    save_model(folder / "student", Student(width=1 / 16, generator=True, copy_mask=True), RECORD)
    return made_site(folder / "student", folder, SIZE)


@pytest.fixture
def server(site: Site) -> Iterator[ThreadingHTTPServer]:
    with served(site.folder) as found:
        yield found


@pytest.fixture
def visitor(server: ThreadingHTTPServer, chromium: Any) -> Iterator[Visitor]:
    """Someone at the page in a fresh browser; at the end, nothing was loaded from anywhere else."""
    context = chromium.new_context()
    address = f"http://127.0.0.1:{server.server_address[1]}/"
    found = Visitor(context, address)
    yield found
    context.close()
    assert [url for url in found.asked if not url.startswith((address, "blob:", "data:"))] == []


SIZES = pytest.mark.parametrize("person_size", [SIZE, (200, 150)], ids=["of the networks' size", "of another size"])


@SIZES
def test_the_browsers_result_is_the_packages(
    person_size: tuple[int, int], visitor: Visitor, site: Site, tmp_path: Path
) -> None:
    _dresses_as_python_does(visitor, site, person_size, tmp_path)


@pytest.fixture
def webgpu_visitor(server: ThreadingHTTPServer, launch_chromium: Callable[..., Any]) -> Iterator[Visitor]:
    """Someone whose browser finds a graphics adapter: Chromium's own, which computes on the CPU."""
    with launch_chromium("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader") as browser:
        found = Visitor(browser.new_context(), f"http://127.0.0.1:{server.server_address[1]}/")
        if not found.page.evaluate("navigator.gpu && navigator.gpu.requestAdapter().then(Boolean)"):
            pytest.skip("this browser finds no graphics adapter, not even its own in software")
        yield found


@SIZES
def test_the_result_on_webgpu_is_the_packages(
    person_size: tuple[int, int], webgpu_visitor: Visitor, site: Site, tmp_path: Path
) -> None:
    assert "on the graphics card" in webgpu_visitor.page.inner_text("#about")
    _dresses_as_python_does(webgpu_visitor, site, person_size, tmp_path)


def _dresses_as_python_does(visitor: Visitor, site: Site, person_size: tuple[int, int], folder: Path) -> None:
    from tryon.engines import ExportedTryOn

    (people, garments), student = draw_examples(folder, person_size), ExportedTryOn(site.model, "onnx")
    visitor.take("person", people[1])
    visitor.take("garment", garments[2])
    assert visitor.refusal() == ""
    wanted = np.asarray(student.dress(open_image(people[1]), open_image(garments[2])), dtype=int)
    difference = np.abs(visitor.result() - wanted)
    print(f"differs by {difference.max()} levels at most, {difference.mean():.4f} on average")
    bound = levels_apart(site.bounds, person_size)
    assert difference.max() <= bound
    assert difference.mean() <= bound - 1  # a difference of so much of a level flips a rounding in so many of them


def test_it_computes_in_threads_though_its_server_sends_no_headers_for_that(visitor: Visitor) -> None:
    assert visitor.page.evaluate("self.crossOriginIsolated")
    threads = min(visitor.page.evaluate("navigator.hardwareConcurrency"), 8)
    assert f"on {threads} thread" in visitor.page.inner_text("#about")


def test_after_the_first_visit_it_needs_no_server(
    visitor: Visitor, server: ThreadingHTTPServer, tmp_path: Path
) -> None:
    server.shutdown()
    server.server_close()
    visitor.page.reload()
    visitor.page.wait_for_selector("body[data-shown]")
    people, _ = draw_examples(tmp_path, SIZE)
    before = visitor.result()
    visitor.take("person", people[2])
    assert visitor.result().shape == (*SIZE, 3)
    assert before.shape != visitor.result().shape


def test_a_refusal_is_on_the_page_and_the_next_picture_is_dressed(visitor: Visitor, tmp_path: Path) -> None:
    noise, broken = tmp_path / "noise.png", tmp_path / "broken.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 72, 3), np.uint8)).save(noise)
    broken.write_bytes(b"no picture")
    visitor.take("garment", noise)
    assert visitor.refusal().startswith("garment: found no plain background")
    assert not visitor.page.is_visible("#after")
    visitor.take("garment", broken)
    # A function: the page's policy lets no expression be evaluated more than once.
    visitor.page.wait_for_function("() => document.querySelector('#refusal').textContent.includes('cannot be read')")
    assert visitor.refusal() == "garment: cannot be read as an image by this browser"
    shown = int(visitor.page.get_attribute("body", "data-shown"))
    visitor.page.click("#garment .examples button >> nth=1")
    visitor.page.wait_for_function("shown => Number(document.body.dataset.shown) > shown", arg=shown)
    assert visitor.refusal() == ""


def test_a_photo_of_a_phone_is_reduced_and_stays_upright(visitor: Visitor, tmp_path: Path) -> None:
    path, exif = tmp_path / "phone.jpg", Image.Exif()
    exif[0x0112] = 6  # stored lying: to be turned clockwise
    Image.new("RGB", (4000, 3000), "grey").save(path, exif=exif)
    visitor.take("person", path)
    assert visitor.result().shape == (1536, 1152, 3)


def test_a_result_can_be_saved(visitor: Visitor) -> None:
    with visitor.page.expect_download() as download:
        visitor.page.click("#save")
    saved = np.asarray(Image.open(download.value.path()).convert("RGB"), dtype=int)
    np.testing.assert_array_equal(saved, visitor.result())


@pytest.fixture
def camera(
    server: ThreadingHTTPServer, launch_chromium: Callable[..., Any], tmp_path: Path
) -> Iterator[tuple[Visitor, Image.Image]]:
    """Someone whose camera sees a drawn person, and what it sees."""
    people, _ = draw_examples(tmp_path, (480, 360))
    seen, film = open_image(people[0]), tmp_path / "camera.mjpeg"
    frame = BytesIO()
    seen.point(lambda level: 16 + level * 219 / 255).save(frame, "JPEG", quality=95)  # levels of television
    film.write_bytes(frame.getvalue() * 5)
    flags = ("--use-fake-device-for-media-stream", f"--use-file-for-fake-video-capture={film}")
    with launch_chromium(*flags) as browser:
        context = browser.new_context(permissions=["camera"])
        yield Visitor(context, f"http://127.0.0.1:{server.server_address[1]}/"), seen


def test_a_camera_is_dressed_until_it_is_stopped(camera: tuple[Visitor, Image.Image]) -> None:
    visitor, seen = camera
    page, shown = visitor.page, "Number(document.body.dataset.shown)"
    page.click("#live")
    page.wait_for_selector("#person video")
    page.wait_for_function(f"count => {shown} > count + 2", arg=page.evaluate(shown))
    assert "pictures a second" in page.inner_text("#rate")
    picture = page.evaluate("document.querySelector('#before').toDataURL('image/png')")
    before = Image.open(BytesIO(base64.b64decode(picture.partition(",")[2]))).convert("RGB")
    assert before.size == seen.size
    assert np.abs(np.asarray(before, dtype=int) - np.asarray(seen, dtype=int)).mean() < 3  # of a lossy film
    page.click("#garment .examples button >> nth=2")  # the next pictures have it
    page.wait_for_function(f"count => {shown} > count + 2", arg=page.evaluate(shown))
    page.click("#live")
    page.wait_for_selector("#person .drop img:visible")  # the last picture, now a photo
    assert not page.is_visible("#person video")
    assert page.evaluate("document.querySelector('#person video').srcObject.active") is False
    kept = "document.querySelector('#person .drop img')"
    page.wait_for_function(f"() => {kept}.complete")
    assert page.evaluate(f"[{kept}.naturalWidth, {kept}.naturalHeight]") == list(seen.size)
    page.click("#person .examples button >> nth=1")
    page.wait_for_selector(".stage:not(.busy)")
    assert visitor.refusal() == ""


def test_a_camera_that_cannot_be_opened_is_said(visitor: Visitor) -> None:
    visitor.page.click("#live")
    visitor.page.wait_for_selector("#refusal:not([hidden])")
    assert visitor.refusal().startswith("camera: cannot be opened (")
    assert not visitor.page.is_visible("#person video")
