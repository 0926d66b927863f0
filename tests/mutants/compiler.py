"""A C++ compiler for building a mutant: what the change does not reach is left as it is.

That is an object of which no source has changed, and that of an instruction set which is not tested.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.cuda.host_run.build import compile_object

COMPILER = "c++"
VARIANT = "-DTRYON_KERNELS_VARIANT="


def main(arguments: Sequence[str]) -> None:
    """Do what the compiler does with these arguments."""
    if "-c" not in arguments:
        os.execvp(COMPILER, [COMPILER, *arguments])
    file = Path(arguments[arguments.index("-o") + 1])
    variant = next((text.removeprefix(VARIANT) for text in arguments if text.startswith(VARIANT)), None)
    tested = os.environ.get("TRYON_KERNELS_ISA", variant)
    if variant is None or variant == tested or not file.exists():
        compile_object([COMPILER, *arguments], file)


if __name__ == "__main__":
    main(sys.argv[1:])
