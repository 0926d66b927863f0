"""A C++ compiler that keeps its objects: `python tests/packaging/kept_objects.py COMPILER ARGUMENTS`.

What was compiled before by the same command from files of the same contents is not compiled again, wherever they lie.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "objects"
CXX = shlex.join([sys.executable, __file__, "c++"])


def main(command: Sequence[str]) -> None:
    """Do what this command does."""
    from tests.cuda.host_run.build import compile_object

    if "-c" not in command:
        os.execvp(command[0], command)
    place = command.index("-o") + 1
    kept = (
        FOLDER / f"{hashlib.sha256(shlex.join([*command[: place - 1], *command[place + 1 :]]).encode()).hexdigest()}.o"
    )
    FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        compile_object([*command[:place], str(kept), *command[place + 1 :]], kept, noting="-MD")
    except RuntimeError as error:
        sys.exit(str(error))
    shutil.copy(kept, command[place])


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))  # it is run as a file, from whichever folder is built
    main(sys.argv[1:])
