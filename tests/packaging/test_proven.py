"""When the kernels' own tests have to run again."""

from __future__ import annotations

import subprocess
from importlib import metadata
from pathlib import Path

import pytest

from build_support import proven


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """One in which they have passed."""
    for name in ("csrc/kernel.cpp", "tests/kernels/test_values.py", "tryon/loop.py", ".ci/run"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("as it was")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    assert proven.main(["--note"], tmp_path) == 0
    return tmp_path


def test_they_need_not_where_nothing_changed_but_what_they_do_not_look_at(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (checkout / "tryon" / "loop.py").write_text("changed")
    assert proven.main([], checkout) == 0
    assert capsys.readouterr().out == "kernels: as when all of their tests passed\n"


def test_they_have_to_where_a_file_changed_came_or_went(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kernel = checkout / "csrc" / "kernel.cpp"
    kernel.write_text("changed")
    assert proven.main([], checkout) == 1
    assert capsys.readouterr().out == "kernels: files changed\n"
    kernel.unlink()
    assert proven.main([], checkout) == 1
    kernel.write_text("as it was")
    assert proven.main([], checkout) == 0
    (checkout / "csrc" / "new.cpp").write_text("")
    subprocess.run(["git", "add", "."], cwd=checkout, check=True)
    assert proven.main([], checkout) == 1


def test_they_have_to_with_another_torch_and_where_nothing_was_noted(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "version", lambda _: "another")
        assert proven.changed(checkout) == ["torch"]
    (checkout / proven.RECORD).unlink()
    assert proven.changed(checkout) == ["files", "python", "torch"]


def test_every_file_and_folder_that_is_looked_at_is_there() -> None:
    assert [name for name in proven.FILES if not (proven.ROOT / name).exists()] == []
