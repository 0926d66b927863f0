from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tryon.hub
from tryon import InputError, TryOn
from tryon.weights import load_model

COMMIT = "0" * 40


@pytest.fixture(scope="module")
def pictures() -> tuple[Image.Image, Image.Image]:
    """A person and a garment on white."""
    noise = np.random.default_rng(0).integers(0, 200, (64, 64, 3), dtype=np.uint8)
    garment = Image.new("RGB", (64, 64), "white")
    garment.paste(Image.fromarray(noise[:48, :40]), (12, 8))
    return Image.fromarray(noise), garment


@pytest.fixture
def without_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where huggingface_hub is not installed."""
    monkeypatch.setattr(tryon.hub, "hub", None)


def test_a_folder_is_loaded_by_name_and_the_model_is_called_with_pictures(
    tiny_run: Path, pictures: tuple[Image.Image, Image.Image], without_extra: None
) -> None:
    student = TryOn.from_pretrained(str(tiny_run / "student"), precision="fp32")
    wanted = TryOn.load(tiny_run / "student", precision="fp32").dress(*pictures)
    assert student(*pictures).tobytes() == wanted.tobytes()


def test_a_saved_model_is_the_models_files_and_card_and_nothing_else_of_the_run(
    tiny_run: Path, tmp_path: Path, without_extra: None
) -> None:
    folder, out = tiny_run / "student", tmp_path / "a new" / "folder"
    assert TryOn.from_pretrained(folder).save_pretrained(out) is None
    names = {"README.md", "generator.safetensors", "model.json", "warp.safetensors"}
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {
        name: (folder / name).read_bytes() for name in names
    }
    load_model(out, role="student")


def test_a_model_may_be_saved_where_it_is(tiny_run: Path, tmp_path: Path, without_extra: None) -> None:
    folder = Path(shutil.copytree(tiny_run / "student", tmp_path / "student"))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    TryOn.from_pretrained(folder).save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


class TestIsRefused:
    def test_a_folder_without_weights(self, tiny_run: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(tiny_run / "student", tmp_path / "student"))
        (folder / "generator.safetensors").unlink()
        with pytest.raises(InputError, match=r"generator\.safetensors: no such weights file"):
            TryOn.from_pretrained(folder)

    def test_a_model_of_the_hub_without_the_extra(self, without_extra: None) -> None:
        with pytest.raises(InputError, match=r"nobody/student: no such folder; .* pip install tryon-kernels\[hub\]"):
            TryOn.from_pretrained("nobody/student")

    def test_saving_to_the_hub_without_the_extra(self, tiny_run: Path, tmp_path: Path, without_extra: None) -> None:
        with pytest.raises(InputError, match=r"found push_to_hub, which .* pip install tryon-kernels\[hub\]"):
            TryOn.from_pretrained(tiny_run / "student").save_pretrained(tmp_path, push_to_hub=True)

    def test_saving_what_was_not_loaded_from_a_folder(self, tiny_run: Path, tmp_path: Path) -> None:
        model, record = load_model(tiny_run / "student")
        with pytest.raises(InputError, match="found a model that was not loaded from a folder"):
            TryOn(model, record).save_pretrained(tmp_path)

    def test_saving_what_has_lost_its_folder(self, tiny_run: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(tiny_run / "student", tmp_path / "student"))
        student = TryOn.from_pretrained(folder)
        (folder / "warp.safetensors").unlink()
        with pytest.raises(InputError, match=r"warp\.safetensors: no such weights file"):
            student.save_pretrained(tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())


@pytest.fixture
def hub_with(tiny_run: Path) -> Iterator[str]:
    """The address of a server that has the tiny student as anybody/student, as the Hub would."""
    folder = tiny_run / "student"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    class Hub(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            name = path.rpartition("/")[2]
            if path.startswith("/api/models/anybody/student/tree/"):
                listed = [{"type": "file", "path": name, "size": len(files[name]), "oid": COMMIT} for name in files]
                self.answer(json.dumps(listed).encode())
            elif path.startswith("/api/models/anybody/student"):
                siblings = [{"rfilename": name} for name in files]
                self.answer(json.dumps({"id": "anybody/student", "sha": COMMIT, "siblings": siblings}).encode())
            elif path.startswith("/anybody/student/resolve/") and name in files:
                self.answer(files[name])
            else:
                self.send_response(404)
                self.send_header("X-Error-Code", "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def answer(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hash(content)}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.extras
class TestWithTheHubsLibrary:
    @pytest.fixture(autouse=True)
    def _library(self) -> None:
        pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed: make extras")

    def test_the_class_is_a_model_of_it(self, tiny_run: Path, tmp_path: Path) -> None:
        from huggingface_hub import ModelHubMixin

        student = TryOn.from_pretrained(tiny_run / "student")
        assert isinstance(student, ModelHubMixin)
        student.save_pretrained(tmp_path)
        names = {"README.md", "generator.safetensors", "model.json", "warp.safetensors"}
        assert {path.name for path in tmp_path.iterdir()} == names
        assert TryOn.from_pretrained(tmp_path).record == student.record

    def test_a_card_is_one_to_it(self, tiny_run: Path) -> None:
        from huggingface_hub import ModelCard

        data = ModelCard.load(tiny_run / "student" / "README.md").data
        assert (data.library_name, data.pipeline_tag) == ("tryon-kernels", "image-to-image")

    def test_a_model_of_the_hub_is_fetched_once_and_then_served_from_the_cache(
        self, hub_with: str, tiny_run: Path, tmp_path: Path, pictures: tuple[Image.Image, Image.Image]
    ) -> None:
        wanted = TryOn.load(tiny_run / "student", precision="fp32")(*pictures)
        for options in ({"endpoint": hub_with}, {"local_files_only": True}):
            student = TryOn.from_pretrained("anybody/student", precision="fp32", cache_dir=tmp_path, **options)
            assert student(*pictures).tobytes() == wanted.tobytes()
        assert not list(tmp_path.rglob("run.json"))

    @pytest.mark.parametrize("name", ["nobody/student", "not/a/name", "anybody/student"])
    def test_what_the_hub_has_not_is_one_line(self, hub_with: str, tmp_path: Path, name: str) -> None:
        options = {"local_files_only": True} if name == "anybody/student" else {"endpoint": hub_with}
        with pytest.raises(
            InputError, match=rf"^{name}: no such folder, and the Hugging Face Hub has not given it .*$"
        ):
            TryOn.from_pretrained(name, cache_dir=tmp_path, **options)
