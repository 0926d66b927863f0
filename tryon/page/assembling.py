"""The page's folder: its own files, the browser's onnxruntime, a student's ONNX file and drawn examples."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tryon.app.examples import draw_examples
from tryon.data.images import Size
from tryon.errors import InputError
from tryon.export.layout import ExportRecord, read_metadata
from tryon.files import whole_folder
from tryon.networks.blocks import padded_size

HERE = Path(__file__).parent
STATIC = HERE / "static"
RUNTIME = "onnxruntime-web"
RUNTIME_VERSION: str = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"][RUNTIME]

WASM_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
WEBGPU_FILES = ("ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")
"""What a browser loads that has a graphics card for it, in place of `WASM_FILES`."""

NEEDED = ("image", "rendered", "composition", "sampling_map", "copied")
"""Outputs of a student that the page asks for, where it has them."""

EXAMPLE_HEIGHT = 384


def assemble_page(model: Path, runtime: Path, out: Path) -> dict[str, int]:
    """Put the page's folder together. It appears only once it is whole.

    Args:
        model: ONNX file of ``tryon export``.
        runtime: folder of the npm package onnxruntime-web, of `RUNTIME_VERSION`, or one that has it in node_modules.
        out: new or empty folder.

    Returns:
        Bytes that a browser loads: "page", "runtime", "webgpu runtime" (in place of the other), "model", "examples".

    Raises:
        InputError: a file is missing or of another kind or version, or `out` holds something.
    """
    about = read_model(model)
    package = find_runtime(runtime)
    with whole_folder(out) as folder:
        shutil.copytree(STATIC, folder, dirs_exist_ok=True)
        shutil.copyfile(model, folder / "model.onnx")
        (folder / "runtime").mkdir()
        for name in (*WASM_FILES, *WEBGPU_FILES):
            shutil.copyfile(package / "dist" / name, folder / "runtime" / name)
        size = about.size or padded_size(*about.model.size)
        (folder / "examples").mkdir()
        drawn = draw_examples(folder / "examples", (EXAMPLE_HEIGHT, round(EXAMPLE_HEIGHT * size[1] / size[0])))
        _write_lists(folder, size, about, *([str(path.relative_to(folder)) for path in paths] for paths in drawn))
        return _sizes(folder)


def read_model(path: Path) -> ExportRecord:
    """What an ONNX file says of itself. Raises InputError where it is no student's."""
    try:
        import onnx
    except ImportError:
        raise InputError("onnx: found no such package, wanted it here; pip install tryon-kernels[onnx]") from None
    if not path.is_file():
        raise InputError(f"{path}: no such file, wanted one of tryon export")
    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as error:  # a damaged file fails in whatever way its bytes happen to
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise InputError(f"{path}: cannot be read as an ONNX file ({reason})") from None
    return read_metadata({one.key: one.value for one in model.metadata_props}, str(path))


def find_runtime(folder: Path) -> Path:
    """The folder of the npm package in one that is it or has it. Raises InputError where it is not what is wanted."""
    candidates = [folder, folder / RUNTIME, folder / "node_modules" / RUNTIME]
    found = next((one for one in candidates if (one / "dist" / WASM_FILES[0]).is_file()), None)
    wanted = f"{RUNTIME} {RUNTIME_VERSION}; npm install {RUNTIME}@{RUNTIME_VERSION}"
    if found is None:
        raise InputError(f"{folder}: found no {RUNTIME} there, wanted {wanted}")
    try:
        version = json.loads((found / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{found}: has no package.json that can be read ({error!r}), wanted {wanted}") from None
    if version != RUNTIME_VERSION:
        raise InputError(f"{found}: found version {version}, wanted {wanted}")
    missing = [name for name in (*WASM_FILES, *WEBGPU_FILES) if not (found / "dist" / name).is_file()]
    if missing:
        raise InputError(f"{found}: found no dist/{missing[0]}, wanted {wanted}")
    return found


def _write_lists(folder: Path, size: Size, about: ExportRecord, people: list[str], garments: list[str]) -> None:
    """What the page and its service worker must know of the files."""
    files: dict[str, Any] = {
        "size": size,
        "outputs": [name for name in about.outputs if name in NEEDED],
        "model": {"name": "model.onnx", "bytes": (folder / "model.onnx").stat().st_size},
        "examples": {"people": people, "garments": garments},
    }
    (folder / "files.json").write_text(json.dumps(files, indent=2) + "\n", encoding="utf-8")
    first = ["./", *sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != "model.onnx")]
    version = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            version.update(f"{path.relative_to(folder)}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    facts = json.dumps({"version": version.hexdigest()[:16], "first": first})
    (folder / "files.js").write_text(f"self.FILES = {facts};\n", encoding="utf-8")


def _sizes(folder: Path) -> dict[str, int]:
    def of(paths: Iterator[Path]) -> int:
        return sum(path.stat().st_size for path in paths if path.is_file())

    return {
        "page": of(path for path in folder.glob("*") if path.name != "model.onnx"),
        "runtime": of(folder / "runtime" / name for name in WASM_FILES),
        "webgpu runtime": of(folder / "runtime" / name for name in WEBGPU_FILES),
        "model": (folder / "model.onnx").stat().st_size,
        "examples": of(folder.glob("examples/*")),
    }
