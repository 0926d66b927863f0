"""A copy of the repository in which mutants are built and tested."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "build_support",
    "csrc",
    "tryon_kernels",
    "tryon",
    "tests",
    "benchmarks",
    "setup.py",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)
CUDA_ON_CPU = "build/cuda_on_cpu"
PASSED, FAILED = 0, 1  # pytest's exit codes; others mean that no test was run


@dataclass(frozen=True)
class Outcome:
    """What a run of tests came to: `what` is the first test that failed, or why there was none."""

    code: int
    what: str


class BrokenError(Exception):
    """A mutant, or the code as it is, that cannot be built or whose tests do not run."""


class Tree:
    """The copy. An area's kind says how it is built and tested.

    "python": nothing is compiled. "triton": nor here, and Triton's interpreter serves. "cpu": the kernels of one
    instruction set are compiled and serve. "cuda": the CUDA kernels are compiled to run on the CPU, and serve.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def copy(self) -> None:
        """Make it the repository's files as they are now. Objects that were compiled before stay."""
        for name in COPIED:
            copied = self.folder / name
            if (ROOT / name).is_file():
                copied.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copied)
                continue
            shutil.rmtree(copied, ignore_errors=True)
            without = shutil.ignore_patterns("*.so", "_build.json", "__pycache__")
            shutil.copytree(ROOT / name, copied, ignore=without)

    @contextmanager
    def changed(self, mutant: Mutant) -> Iterator[None]:
        """Have a mutant's change in the block."""
        file = self.folder / mutant.file
        text = file.read_text()
        mutated = mutant.mutated(text)
        if file.suffix == ".py":
            compile(mutated, mutant.file, "exec")
        try:
            file.write_text(mutated)
            yield
        finally:
            file.write_text(text)

    def build(self, kind: str, isa: str | None = None) -> None:
        """Compile what is not compiled yet; of the CPU kernels for every instruction set, or for one of them."""
        if kind in ("python", "triton"):
            return
        if kind == "cuda":
            self._run_or_break([sys.executable, "-m", "tests.cuda.host_run.package", CUDA_ON_CPU], {})
            return
        compiler = f"{shlex.quote(sys.executable)} -m tests.mutants.compiler"
        environment = {"CXX": compiler, "TRYON_KERNELS_CPP": "1", "TRYON_KERNELS_CUDA": "0"} | (
            {"TRYON_KERNELS_ISA": isa} if isa else {}
        )
        self._run_or_break([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], environment)

    def test(self, kind: str, tests: str, isa: str | None = None) -> Outcome:
        """Run the tests until one fails."""
        folder = self.folder / CUDA_ON_CPU if kind == "cuda" else self.folder
        environment = {"PYTHONPATH": str(folder)}
        if kind == "triton":
            environment["TRITON_INTERPRET"] = "1"
        if kind == "cpu" and isa:
            environment["TRYON_KERNELS_ISA"] = isa
        command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", *shlex.split(tests)]
        result = self._run(command, environment, folder)
        text = result.stdout + result.stderr
        if result.returncode == PASSED and not re.search(r"\b\d+ passed", text):
            raise BrokenError(f"no test ran: pytest {tests}")
        if result.returncode < 0:
            return Outcome(FAILED, f"ended by signal {-result.returncode}")
        if result.returncode not in (PASSED, FAILED):
            raise BrokenError(f"pytest {tests} ended with {result.returncode}:\n{text[-2000:]}")
        failed = re.search(r"^(FAILED|ERROR) (.*)$", text, re.MULTILINE)
        return Outcome(result.returncode, failed[2] if failed else "")

    def _run_or_break(self, command: list[str], environment: Mapping[str, str]) -> None:
        result = self._run(command, environment, self.folder)
        if result.returncode != 0:
            raise BrokenError(f"{shlex.join(command)}:\n{(result.stdout + result.stderr)[-2000:]}")

    def _run(
        self, command: list[str], environment: Mapping[str, str], folder: Path
    ) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TRYON_", "TRITON_"))}
        variables = {**inherited, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment}
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
