"""setuptools' commands for the kernels."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from setuptools import Extension
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

from build_support import cpp, cuda
from build_support.compilation import CannotCompileError, say
from build_support.torch_at_hand import find_torch
from build_support.variables import asked, check_variables

EXTENSIONS = [
    Extension("tryon_kernels._cuda", list(cuda.SOURCES)),  # first, for it may refuse TORCH_CUDA_ARCH_LIST
    Extension("tryon_kernels._cpp", [*cpp.HOST_SOURCES, cpp.VARIANTS_SOURCE, *cpp.KERNEL_SOURCES]),
]


class BuildKernels(build_ext):
    """Compile the kernels into libraries without any Python in them, or note why there are none."""

    def run(self) -> None:
        """Build all, once the variables are known to make sense."""
        check_variables()
        cpp.asked_variants()
        super().run()

    def get_ext_filename(self, fullname: str) -> str:
        """No Python version is in the name, for the library does not depend on it."""
        return fullname.replace(".", "/") + ".so"

    def build_extension(self, ext: Extension) -> None:
        """Make one library, or none, and note in `_build.json` what came of it."""
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        kernels = target.stem.removeprefix("_")
        try:
            noted = self._compile(kernels, target)
        except CannotCompileError as error:
            noted = {"reason": str(error)}
            say(f"tryon_kernels: no {kernels} kernels, because {error}")
        missing = noted.get("reason") or noted.get("left_out")
        if missing and asked(kernels) == "1":
            raise SystemExit(f"tryon_kernels: TRYON_KERNELS_{kernels.upper()}=1 asks for all, but without {missing}")
        record = target.with_name("_build.json")
        records = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**records, kernels: noted}) + "\n")

    def _compile(self, kernels: str, target: Path) -> dict[str, str]:
        if asked(kernels) == "0":
            raise CannotCompileError(f"TRYON_KERNELS_{kernels.upper()}=0 left them out of the build")
        torch = find_torch()
        if torch is None:
            raise CannotCompileError("the build found no torch >= 2.10 to compile against")
        cpp.check_compiler()
        folder = Path(self.build_temp)
        library = folder / target.name
        compile_library = cpp.compile_cpp if kernels == "cpp" else cuda.compile_cuda
        noted = compile_library(torch, folder, library)
        place(library, target)
        return noted

    def copy_extensions_to_source(self) -> None:
        """Put what was built for an editable install beside the source, and remove what was not built any more."""
        for ext in self.extensions:
            library = Path(self.get_ext_filename(ext.name))
            for file in (library, library.with_name("_build.json")):
                built = Path(self.build_lib, file)
                if built.exists():
                    place(built, file)
                else:
                    file.unlink(missing_ok=True)


class PlatformWheel(bdist_wheel):
    """A wheel for one platform and any Python."""

    def get_tag(self) -> tuple[str, str, str]:
        """Python's version and ABI do not matter."""
        return "py3", "none", super().get_tag()[2]


def place(file: Path, target: Path) -> None:
    """Copy a file so that no part of it is ever taken for the whole, and a process that has the old one keeps it."""
    part = target.with_name(target.name + ".part")
    shutil.copy(file, part)
    os.replace(part, target)
