"""The page of a real server in a real browser."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tryon.app.visiting import PATIENCE, Running, Visitor, served
from tryon import TryOn
from tryon.app.dressing import MOST_SIDE
from tryon.app.examples import draw_examples
from tryon.app.server import MOST_BYTES

pytestmark = pytest.mark.extras

ROUNDED = 1  # grey levels: another number of threads may sum in another order, and 8 bits round either way


@pytest.fixture(scope="module")
def running(tiny_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    pytest.importorskip("gradio", reason="gradio is not installed: make extras")
    with served(tiny_run / "student", tmp_path_factory.mktemp("temporary")) as found:
        yield found


@pytest.fixture
def visit(running: Running, chromium: Any) -> Iterator[Any]:
    """Opens the page as another visitor each time; at the end neither they nor the server went anywhere else."""
    visitors, contexts = [], []

    def opened() -> Visitor:
        contexts.append(chromium.new_context(viewport={"width": 1280, "height": 900}))
        visitors.append(Visitor(contexts[-1], running.address))
        return visitors[-1]

    yield opened
    elsewhere = [url for visitor in visitors for url in visitor.elsewhere]
    for context in contexts:
        context.close()
    assert elsewhere == []
    assert running.reached == []


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    return draw_examples(tmp_path_factory.mktemp("examples"), (96, 72))


@pytest.fixture(scope="module")
def student(tiny_run: Path) -> TryOn:
    return TryOn.load(tiny_run / "student", precision="fp32")


def assert_same(found: Image.Image, wanted: Image.Image) -> None:
    assert found.size == wanted.size
    difference = np.abs(np.asarray(found, dtype=int) - np.asarray(wanted, dtype=int))
    assert difference.max() <= ROUNDED


def test_uploaded_photos_give_what_the_package_gives(
    visit: Any, student: TryOn, drawn: tuple[list[Path], list[Path]]
) -> None:
    (person, garment), visitor = (paths[1] for paths in drawn), visit()
    visitor.upload("person", person)
    visitor.upload("garment", garment)
    visitor.dress()
    assert visitor.message() == ""
    assert_same(visitor.result(), student.dress(Image.open(person), Image.open(garment)))


def test_a_drawn_person_and_garment_are_taken_by_a_click(visit: Any) -> None:
    visitor = visit()
    before = visitor.result()
    visitor.page.click("#people button >> nth=1")
    visitor.page.click("#garments button >> nth=1")
    visitor.settle()
    visitor.dress()
    after = visitor.result()
    assert after.size == before.size
    assert after.tobytes() != before.tobytes()


def test_two_visitors_at_once_get_their_own_results(
    visit: Any, student: TryOn, drawn: tuple[list[Path], list[Path]]
) -> None:
    visitors, pairs = [visit(), visit()], list(zip(*drawn, strict=True))[2:4]
    for visitor, (person, garment) in zip(visitors, pairs, strict=True):
        visitor.upload("person", person)
        visitor.upload("garment", garment)
    for visitor in visitors:
        visitor.page.click("#dress")
    for visitor, (person, garment) in zip(visitors, pairs, strict=True):
        visitor.settle()
        assert_same(visitor.result(), student.dress(Image.open(person), Image.open(garment)))


def test_a_refusal_is_on_the_page_and_painting_a_mask_is_the_way_out(
    visit: Any, drawn: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    noise = tmp_path / "<b>noise<b>.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 72, 3), np.uint8)).save(noise)
    visitor = visit()
    visitor.upload("garment", noise)
    visitor.dress()
    assert visitor.message().startswith("garment: found no plain background")
    assert "give a garment mask" in visitor.message()
    visitor.page.click("#mask button")
    canvas = visitor.page.wait_for_selector("#editor canvas")
    visitor.settle()
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    visitor.page.mouse.move(middle[0] - 60, middle[1] - 80)
    visitor.page.mouse.down()
    for row in range(10):
        visitor.page.mouse.move(middle[0] + (60 if row % 2 == 0 else -60), middle[1] - 80 + 16 * row, steps=8)
    visitor.page.mouse.up()
    visitor.settle()
    visitor.dress()
    assert visitor.message() == ""
    assert visitor.result().height == 384


def test_a_file_that_is_no_picture_is_refused(visit: Any, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(b"no picture")
    visitor = visit()
    visitor.upload("person", path)
    visitor.dress()
    assert visitor.message() == "person: cannot be read as an image (of no known format)"


def test_a_photo_of_30_megapixels_is_dressed_at_a_size_that_takes_seconds(visit: Any, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    levels = np.random.default_rng(0).integers(0, 255, (79, 60, 3), np.uint8)
    Image.fromarray(levels).resize((4744, 6325), Image.Resampling.BILINEAR).save(path)
    visitor = visit()
    visitor.upload("person", path)
    visitor.dress()
    assert visitor.message() == ""
    assert visitor.result().height == MOST_SIDE


def test_several_garments_give_several_results_to_choose_from(
    visit: Any, student: TryOn, drawn: tuple[list[Path], list[Path]]
) -> None:
    visitor, (people, garments) = visit(), drawn
    visitor.upload("person", people[0])
    visitor.upload("garment", garments[0])
    visitor.page.click("#more button")
    visitor.page.set_input_files("#more input[type=file]", garments[1:3])
    visitor.settle()
    visitor.dress()
    assert len(visitor.page.query_selector_all("#looks .grid-container img")) == 3
    for number in (0, 2):
        visitor.page.click(f"#looks .grid-container button >> nth={number}")
        visitor.settle()
        assert_same(visitor.result(), student.dress(Image.open(people[0]), Image.open(garments[number])))


def ask(address: str, path: str, body: object = None) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data=data, headers={"content-type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=PATIENCE / 1000) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def functions(address: str) -> list[dict[str, Any]]:
    return json.loads(ask(address, "/config")[1])["dependencies"]


SECRET = "nobody who visits may read this"


@pytest.mark.parametrize("kind", ["path", "relative", "address", "example"])
def test_no_file_is_opened_but_those_that_were_uploaded(kind: str, running: Running, tmp_path: Path) -> None:
    """All functions of the page are asked to open a file of this machine, or to fetch one, as every argument."""
    secret = tmp_path / "secret.png"
    secret.write_text(SECRET)
    secret_path = {
        "path": str(secret),
        "relative": os.path.relpath(secret, running.folder),
        "address": running.address + "/theme.css",
        "example": f"{next(running.folder.glob('tryon-app-*'))}/../{secret.name}",
    }[kind]
    if kind == "example":
        (running.folder / secret.name).write_text(SECRET)
    file = {"path": secret_path, "url": secret_path, "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    values = (file, {"background": file, "layers": [file], "composite": file}, [{"image": file, "caption": None}])
    held = {path for path in running.folder.rglob("*") if path.is_file()}
    for number, function in enumerate(functions(running.address)):
        for value in values:
            session = f"crafted{time.monotonic_ns()}"
            request = {"data": [value] * len(function["inputs"]), "fn_index": number, "session_hash": session}
            status, answer = ask(running.address, "/gradio_api/queue/join", request)
            if status == 200 and function["inputs"]:
                _, answer = ask(running.address, f"/gradio_api/queue/data?session_hash={session}")
                assert '"success":false' in answer.replace(" ", "")
            assert SECRET not in answer
    assert {path for path in running.folder.rglob("*") if path.is_file()} == held


def test_no_file_is_served_but_the_pages_own(running: Running, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(SECRET)
    folder = next(running.folder.glob("tryon-app-*"))
    for name in (str(secret), os.path.relpath(secret), f"{folder}/../../{secret}", "README.md", "/etc/passwd"):
        for route in ("/gradio_api/file=", "/file=", "/static/", "/assets/", "/gradio_api/stream/"):
            status, answer = ask(running.address, route + urllib.request.quote(name))
            assert status >= 400
            assert SECRET not in answer
    assert ask(running.address, f"/gradio_api/proxy={running.address}/theme.css")[0] >= 400


def test_a_request_that_is_too_large_is_not_received(running: Running) -> None:
    host, port = running.address.removeprefix("http://").split(":")
    sent = 0
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            b"POST /gradio_api/queue/join HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {4 * MOST_BYTES}\r\n\r\n".encode()
        )
        try:
            while sent < 4 * MOST_BYTES:
                sent += connection.send(b" " * 2**20)
            answer = connection.recv(100)
        except OSError:
            answer = b""
    assert not answer.startswith(b"HTTP/1.1 200")
    assert ask(running.address, "/theme.css")[0] == 200


def test_when_it_is_ended_no_file_is_left_behind(running: Running) -> None:
    assert list(running.folder.glob("tryon-app-*/*"))
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(timeout=60) == 130
    assert [path for path in running.folder.iterdir() if path.name != "secret.png"] == []
