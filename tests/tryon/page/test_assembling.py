from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tryon.cli import main
from tryon.page.assembling import HERE, RUNTIME, RUNTIME_VERSION, STATIC, WASM_FILES, WEBGPU_FILES

MODEL = {
    "tryon.format": "1",
    "tryon.version": "0",
    "tryon.size": "64x64",
    "tryon.weights": "float32",
    "tryon.model": json.dumps(
        {
            **{"role": "student", "width": 0.25, "size": [64, 64], "densepose": False, "generator": True},
            **{"label_scheme": "viton", "perceptual": "random", "stage": "student", "step": 1},
        }
    ),
}


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder that npm could have made."""
    package = tmp_path / "npm" / "node_modules" / RUNTIME
    (package / "dist").mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"version": RUNTIME_VERSION}))
    for name in (*WASM_FILES, *WEBGPU_FILES):
        (package / "dist" / name).write_text(name)
    return tmp_path / "npm"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """An ONNX file that says that it is a student."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: make extras")
    return write_model(onnx, tmp_path / "model.onnx", MODEL)


def write_model(onnx: Any, path: Path, metadata: dict[str, str]) -> Path:
    graph = onnx.helper.make_graph([], "empty", [], [])
    content = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(content, metadata)
    onnx.save(content, path)
    return path


def page(model: Path, runtime: Path, out: Path) -> int:
    return main(["page", "--model", str(model), "--runtime", str(runtime), "--out", str(out)])


def test_the_lock_file_pins_the_version_that_is_wanted() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    assert lock["packages"][f"node_modules/{RUNTIME}"]["version"] == RUNTIME_VERSION
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_pages_files_name_each_other_and_nothing_elsewhere() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text, path
        assert "https://" not in text, path


@pytest.mark.extras
def test_the_folder_holds_all_that_a_browser_loads(
    model: Path, runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    assert page(model, runtime, out) == 0
    for name in (*WASM_FILES, *WEBGPU_FILES):
        assert (out / "runtime" / name).read_text() == name
    assert (out / "model.onnx").read_bytes() == model.read_bytes()
    files = json.loads((out / "files.json").read_text())
    assert files["size"] == [64, 64]
    assert files["outputs"] == ["image", "composition", "rendered", "sampling_map"]
    assert files["model"]["bytes"] == model.stat().st_size
    assert all((out / name).is_file() for kind in files["examples"].values() for name in kind)
    first = json.loads((out / "files.js").read_text().removeprefix("self.FILES = ").rstrip(";\n"))["first"]
    assert {"./", "index.html", "files.json", *(path.name for path in STATIC.iterdir())} <= set(first)
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert "model" in capsys.readouterr().out


@pytest.mark.extras
def test_another_model_is_another_version(model: Path, runtime: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    for name in ("one", "same", "other"):
        if name == "other":
            write_model(onnx, model, MODEL | {"tryon.version": "1"})
        assert page(model, runtime, tmp_path / name) == 0
    one, same, other = ((tmp_path / name / "files.js").read_text() for name in ("one", "same", "other"))
    assert one == same != other


@pytest.mark.extras
def test_what_is_missing_or_of_another_kind_is_one_line_and_leaves_nothing(
    model: Path, runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx, out = pytest.importorskip("onnx"), tmp_path / "site"
    package = runtime / "node_modules" / RUNTIME

    def refused() -> str:
        assert page(model, runtime, out) == 2
        assert not out.exists()
        return capsys.readouterr().err

    (package / "dist" / WEBGPU_FILES[2]).unlink()
    assert f"found no dist/{WEBGPU_FILES[2]}" in refused()
    (package / "package.json").write_text('{"version": "1.0.0"}')
    assert f"found version 1.0.0, wanted {RUNTIME} {RUNTIME_VERSION}; npm install" in refused()
    (package / "package.json").write_text("[]")
    assert "has no package.json that can be read" in refused()
    (package / "dist" / WASM_FILES[0]).unlink()
    assert f"found no {RUNTIME} there" in refused()
    write_model(onnx, model, {})
    assert "found no record of a student" in refused()
    model.write_bytes(b"no model")
    assert "cannot be read as an ONNX file" in refused()
    model.unlink()
    assert "no such file, wanted one of tryon export" in refused()


@pytest.mark.extras
def test_a_folder_that_holds_something_is_left_alone(
    model: Path, runtime: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "site"
    out.mkdir()
    (out / "mine").write_text("mine")
    assert page(model, runtime, out) == 2
    assert "not an empty folder" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["mine"]
