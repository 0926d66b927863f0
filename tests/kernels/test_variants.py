"""When the CPU library chooses among the instruction sets that it is compiled for; it is loaded alone here."""

from __future__ import annotations

import os
import subprocess

import pytest
from kernel_inputs import COMPILED, CPU_LIBRARY

from tests.interpreter import python
from tryon_kernels.libraries import CPP, variants

pytestmark = pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)

LOADED = """
import ctypes, os, sys, torch
schemas = torch.library.Library("tryon_kernels", "FRAGMENT")
schemas.define("warp(Tensor input, Tensor flow, str padding_mode) -> Tensor")
torch.ops.load_library(sys.argv[1])
library = ctypes.CDLL(sys.argv[1])
for name in ("built", "runnable"):
    getattr(library, f"tryon_kernels_variants_{name}").restype = ctypes.c_char_p
library.tryon_kernels_variant_chosen.restype = ctypes.c_char_p

def warp():
    return torch.ops.tryon_kernels.warp(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), "border").sum().item()
"""


def after_loading(code: str, asked: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python code after the library was loaded, with an instruction set asked for in the environment."""
    environment = {name: value for name, value in os.environ.items() if name != "TRYON_KERNELS_ISA"}
    if asked is not None:
        environment["TRYON_KERNELS_ISA"] = asked
    return python("-c", LOADED + code, str(CPP), environment=environment)


def printed(code: str, asked: str | None) -> str:
    result = after_loading(code, asked)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


CHOSEN = "print(library.tryon_kernels_variant_chosen().decode())"


@pytest.mark.parametrize("variant", variants().runnable)
def test_the_environment_chooses(variant: str) -> None:
    assert printed(CHOSEN, variant) == variant


@pytest.mark.parametrize("asked", [None, ""])
def test_the_best_is_taken_where_none_is_asked_for(asked: str | None) -> None:
    assert printed(CHOSEN, asked) == variants().runnable[0]


def test_loading_chooses_nothing_and_the_first_call_does() -> None:
    code = """
os.environ["TRYON_KERNELS_ISA"] = "baseline"
warp()
os.environ["TRYON_KERNELS_ISA"] = "mmx"
warp()
"""
    assert printed(code + CHOSEN, "mmx") == "baseline"


def test_a_process_that_is_forked_before_the_first_call_chooses_for_itself() -> None:
    code = """
child = os.fork()
os.environ["TRYON_KERNELS_ISA"] = "" if child else "baseline"
assert warp() == 4
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    assert printed(code + CHOSEN, "mmx").splitlines() == ["baseline", variants().runnable[0]]


@pytest.mark.parametrize("name", ["mmx", *(name for name in variants().built if name not in variants().runnable)])
def test_a_name_that_is_not_to_be_had_is_an_error_at_the_first_call_with_those_there_are(name: str) -> None:
    result = after_loading("print(torch.ones(1).item(), flush=True)\nwarp()", name)
    assert result.returncode == 1
    assert result.stdout == "1.0\n"
    names = f"{' '.join(variants().runnable)} (built: {' '.join(variants().built)})"
    assert f'TRYON_KERNELS_ISA: got "{name}", expected one of {names}' in result.stderr
