"""The CPU kernels' library: a host side, and kernels compiled once for each instruction set."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from build_support.compilation import (
    CannotCompileError,
    complaint,
    nameless,
    objects,
    output_of,
    run,
    say,
    start,
    torch_headers,
    workers,
)
from build_support.variables import refusal, words

HOST_SOURCES = (
    *("csrc/bind.cpp", "csrc/older_systems.cpp"),
    *("csrc/cpu/correlation.cpp", "csrc/cpu/distance.cpp", "csrc/cpu/sample.cpp", "csrc/cpu/warp_correlation.cpp"),
)
VARIANTS_SOURCE = "csrc/cpu/variants.cpp"  # has to know which variants there are
KERNEL_SOURCES = tuple(f"csrc/cpu/kernels/{name}.cpp" for name in ("correlation", "distance", "sample", "scatter"))
STANDARD = "-std=c++20"
OPTIONS = (
    *("-O3", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra", "-Icsrc"),
    *("-fno-math-errno", "-fno-trapping-math"),  # no result changes; loops with comparisons become vector code
)
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq")
X86_VARIANTS = {  # instruction sets to compile for, best first
    "avx512_bf16": (*AVX512, "-mavx512bf16"),
    "avx512": AVX512,
    "avx2": AVX2,
    "baseline": (),
}
HELD_BY = {"amx": "avx512"}  # one table more in its object for the correlation
ISAS = "TRYON_KERNELS_BUILD_ISAS"


def compiler() -> list[str]:
    """The C++ compiler, perhaps with options."""
    return words("CXX", "c++")


def compile_command(*options: str) -> list[str]:
    """The compiler with our options and then the user's, which may lower the standard (conda's do) but shall not."""
    return [*compiler(), *options, *words("CPPFLAGS"), *words("CFLAGS"), *words("CXXFLAGS"), STANDARD]


def check_compiler() -> None:
    """Raises CannotCompileError where there is no compiler, or one too old."""
    source = "#include <bit>\n#include <concepts>\nstatic_assert(std::bit_cast<int>(1.0f) != 0);\n"
    name = shlex.join(compiler())
    try:
        result = _checked(source)
    except OSError as error:
        reason = f'the build found no C++ compiler: "{name}" does not run ({error.strerror})'
        raise CannotCompileError(reason) from None
    if result.returncode != 0:
        raise CannotCompileError(f'the compiler "{name}" does not compile C++20 ({complaint(result)})')


def asked_variants() -> set[str]:
    """The instruction sets that TRYON_KERNELS_BUILD_ISAS asks for, all by default, and always the baseline."""
    names = words(ISAS)
    if not set(names) <= X86_VARIANTS.keys() | HELD_BY:
        raise refusal(ISAS, f"some of {', '.join((*HELD_BY, *X86_VARIANTS))}")
    return {HELD_BY.get(name, name) for name in names} | {"baseline"} if names else set(X86_VARIANTS)


def variants() -> dict[str, tuple[str, ...]]:
    """The instruction sets asked for that this compiler has options for, with these, best first."""
    machine = output_of([*compiler(), "-dumpmachine"]).stdout
    known = X86_VARIANTS if machine.startswith("x86_64") else {"baseline": ()}
    asked = {name: known[name] for name in known if name in asked_variants()}
    return {name: options for name, options in asked.items() if _checked("", *options).returncode == 0}


def compile_cpp(torch: Path, folder: Path, library: Path) -> dict[str, str]:
    """Compile in a folder. Gives what to note: the variants `left_out` for not compiling, with the reason of each.

    Raises CannotCompileError where nothing comes of it, for without the baseline there is no library.
    """
    name = shlex.join(compiler())
    host = compile_command(*OPTIONS, *torch_headers(torch), nameless(torch))
    known = variants()
    left_out = {}
    with workers() as pool:
        of_host = start(pool, name, host, HOST_SOURCES, folder / "host")
        of_variants = {}
        for variant, options in reversed(known.items()):  # the baseline first: nothing comes of it without
            command = compile_command(*OPTIONS, *options, "-fno-exceptions", f"-DTRYON_KERNELS_VARIANT={variant}")
            of_variants[variant] = start(pool, name, command, KERNEL_SOURCES, folder / variant)
        linked = objects(of_host)
        for variant, compilations in of_variants.items():
            try:
                linked += objects(compilations)
            except CannotCompileError as error:
                if variant == "baseline":
                    raise
                left_out[variant] = f"{variant}, because {error}"
                say(f"tryon_kernels: no kernels for {left_out[variant]}")
        choice = f"-DTRYON_KERNELS_VARIANTS={_listed([variant for variant in known if variant not in left_out])}"
        linked += objects(start(pool, name, [*host, choice], [VARIANTS_SOURCE], folder / "host"))
    # torch is loaded before this library, so the name of its library is enough to find it: no path is recorded.
    link = [*compiler(), "-shared", "-o", str(library), *linked, f"-L{torch / 'lib'}", "-ltorch_cpu"]
    run([*link, *words("LDFLAGS")], f'"{name}" does not link the library')
    return {"left_out": "; ".join(left_out.values())} if left_out else {}


def _checked(source: str, *options: str) -> subprocess.CompletedProcess[str]:
    return output_of([*compile_command(*options), "-fsyntax-only", "-x", "c++", "-"], source)


def _listed(names: Sequence[str]) -> str:
    """The variants to choose from, best first, as csrc/cpu/variants.cpp wants them."""
    held = [f"VARIANT({name},{holder})" for name, holder in HELD_BY.items() if holder in names]
    return "".join([*held, *(f"VARIANT({name},{name})" for name in names)])
