from __future__ import annotations

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from build_support import torch_index
from tests.packaging.building import ROOT, variables

pytestmark = pytest.mark.packaging


class Index(BaseHTTPRequestHandler):
    """Has torch, under /cpu only."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/cpu/torch/" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Index) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("ending", ["", "/"])
def test_an_index_that_has_torch_is_asked_beside_pips_own(
    ending: str, server: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert torch_index.option(f"{server}/cpu{ending}") == f"--extra-index-url {server}/cpu{ending}"
    assert capsys.readouterr().err == ""


def test_no_index_is_pips_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert torch_index.option("") == ""
    assert capsys.readouterr().err == ""


def one_line_of(index: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert torch_index.option(index) == ""
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_an_index_that_does_not_answer_costs_one_line(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch_index, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert one_line_of(address, capsys) == (
            f"TORCH_INDEX: {address} does not answer (timed out), so torch comes from pip's own index"
        )
    assert "Connection refused" in one_line_of(address, capsys)
    assert "404" in one_line_of(f"{server}/other", capsys)
    assert "unknown url type" in one_line_of("nonsense", capsys)


def steps(environment: Path, target: str, *settings: str) -> str:
    """What make would do."""
    command = ["make", "--dry-run", f"VENV={environment}", *settings, str(environment / target)]
    return subprocess.run(command, cwd=ROOT, env=variables(ROOT), capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")
def test_an_environment_of_another_folder_is_made_anew(tmp_path: Path) -> None:
    assert "-m venv  " in steps(tmp_path, ".torch")
    (tmp_path / ".torch").write_text(f"{ROOT}\n")
    assert "is up to date" in steps(tmp_path, ".torch")
    (tmp_path / ".torch").write_text("/where/it/was\n")
    assert f"{tmp_path} was set up for another folder than {ROOT}: it is made anew\n" in steps(tmp_path, ".torch")
    assert "-m venv --clear" in steps(tmp_path, ".installed")


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not there")
def test_the_tests_are_set_up_by_one_build_that_fails_without_kernels(tmp_path: Path) -> None:
    (build,) = [line for line in steps(tmp_path, ".tested").splitlines() if "--editable" in line]
    assert build.startswith("TRYON_KERNELS_CPP=1 ")
