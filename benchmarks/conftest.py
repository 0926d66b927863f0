"""Options of `pytest benchmarks`, and the report at its end."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.inputs import CASES
from benchmarks.machine import describe, measure
from benchmarks.results import Results

# The C library then keeps freed memory instead of giving it back, so that no one's time contains the page faults of new
# memory. It reads this when a process starts.
KEEP_MEMORY = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=17179869184"
TUNABLES = "GLIBC_TUNABLES"
RESULTS = pytest.StashKey[Results]()
FOLDER = Path(__file__).with_name("results")


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options beside pytest's own."""
    group = parser.getgroup("benchmarks")
    group.addoption("--budget", type=float, default=40, help="seconds of timing in all (default: %(default)s)")
    group.addoption("--no-compile", action="store_true", help="leave torch.compile out, for a quick look")
    group.addoption("--keep-memory", action="store_true", help="let the C library keep freed memory")
    group.addoption(
        "--results",
        type=Path,
        help="folder for table and plots; without it a run of all cases writes to benchmarks/results, another nothing",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Compiling makes torch warn of itself."""
    config.addinivalue_line("filterwarnings", "ignore:.*torch.jit:DeprecationWarning")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """To keep memory, start the same run again in this process's place, with the allocator told so."""
    if not config.getoption("--keep-memory") or _allocator() != "system":
        return
    if platform.libc_ver()[0] != "glibc":
        raise pytest.UsageError(
            f"--keep-memory: got {platform.libc_ver()[0] or 'an unknown C library'}, expected glibc"
        )
    config.pluginmanager.getplugin("capturemanager").stop_global_capturing()
    settings = ":".join(filter(None, [os.environ.get(TUNABLES), KEEP_MEMORY]))
    arguments = [sys.executable, "-m", "pytest", *config.invocation_params.args]
    os.execve(sys.executable, list(map(str, arguments)), {**os.environ, TUNABLES: settings})


@pytest.fixture(scope="session")
def results(pytestconfig: pytest.Config) -> Results:
    """The rows of this run, to be added to; the machine's limits are measured first."""
    run = Results(describe(_allocator()), measure(), [])
    pytestconfig.stash[RESULTS] = run
    return run


@pytest.fixture(scope="session")
def seconds_a_timing(request: pytest.FixtureRequest) -> float:
    """The share of the budget that one case and pass has."""
    return request.config.getoption("--budget") / (2 * max(len(request.session.items), 1))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the summary and write the files."""
    run = config.stash.get(RESULTS, None)
    if run is None or not run.rows:
        return
    terminalreporter.section("benchmarks")
    terminalreporter.write_line(report.summary(run))
    folder = config.getoption("--results") or (FOLDER if len(run.rows) == 2 * len(CASES) else None)
    if folder is not None:
        for path in report.write(run, folder):
            terminalreporter.write_line(f"wrote {path}")


def _allocator() -> str:
    return f"keeps its memory ({KEEP_MEMORY})" if KEEP_MEMORY in os.environ.get(TUNABLES, "") else "system"
