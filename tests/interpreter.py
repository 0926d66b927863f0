"""A Python for each question, without the two seconds of importing torch: a fork of one process that has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

# Each line names what to run, as in a command line, and where; the answer is its exit status.
_FORKING = """
import json, os, runpy, sys, traceback
import torch, torch._decomp.decompositions_for_jvp, torch._dynamo.aot_compile, torch.testing

def run(first, *arguments):
    sys.argv = [first, *arguments]
    if first == "-c":
        code = compile(sys.argv.pop(1), "<string>", "exec")
        exec(code, {"__name__": "__main__"})
    elif first == "-m":
        runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, os.path.dirname(first))
        runpy.run_path(first, run_name="__main__")

def status_of(arguments):
    try:
        run(*arguments)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for line in sys.stdin:
    arguments, environment, folder, output, errors = json.loads(line)
    child = os.fork()
    if child == 0:
        for number, file in enumerate((os.devnull, output, errors)):
            os.dup2(os.open(file, os.O_RDWR | os.O_CREAT), number)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        status = status_of(arguments)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@cache
def _forking() -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _FORKING]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def python(
    *arguments: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What `python ...` comes to where torch is imported, but nothing of ours: with `-c`, `-m` or a file."""
    process = _forking()
    with tempfile.TemporaryDirectory() as folder:
        output, errors = Path(folder, "output"), Path(folder, "errors")
        given = (arguments, dict(environment or os.environ), str(cwd or Path.cwd()), str(output), str(errors))
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        status = int(process.stdout.readline())
        return subprocess.CompletedProcess(arguments, status, output.read_text(), errors.read_text())
