"""What the CUDA kernels' machine code must and must not have, compiled for GPUs that need not be there."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.cuda.cuda_objects import Code, architectures, at_least, compiled, obstacle

if (reason := obstacle()) is not None:
    pytest.skip(reason, allow_module_level=True)

pytestmark = pytest.mark.objects  # compiling takes half a minute for each GPU; the wheel's tests do it for one

# Of 64 KiB and of 100 KiB of shared memory a multiprocessor; the others have 164 KiB and more.
LITTLE, SMALL = ("sm_75",), ("sm_86", "sm_120")
SHUFFLES, READS, WRITES, ADDITIONS = "SHFL", r"LDG\.E\.128", r"STG\.E\.128", r"REDG?\.E\.ADD"
SHARED_READS, COPIES = r"LDS\.(U\.)?128", r"LDGSTS\.E\.BYPASS\.128"


@dataclass(frozen=True)
class Kernel:
    """What is expected of kernels whose names match: instructions, and the fewest warps on a multiprocessor."""

    name: str
    has: tuple[str, ...] = ()
    warps: int = 32
    warps_of_small: int = 32
    warps_of_little: int = 32
    spilled_bytes: int = 0


# Sampling waits for memory: half of a multiprocessor's threads or more hide it, or 24 warps of which each thread waits
# for four reads at a time. The correlation's kernels have some 100
# sums and operands in registers, and reuse each read several times: 4 blocks of 4 warps are enough, and where shared
# memory is small there are 3 or 2. A gradient's block has 40 to 60 KB, of which 64 KiB hold one. Where two rows are
# multiplied, a number or two are kept in memory, which are read once for each chunk of channels.
KERNELS = (
    Kernel(r"sample_vectors<.*", (READS, WRITES)),
    Kernel(r"sample_planes<.*"),
    Kernel(r"positions_gradient_vectors<.*", (READS, SHUFFLES)),
    Kernel(r"positions_gradient_planes<.*"),
    Kernel(r"scatter_(channels|planes)<.*", (ADDITIONS,)),
    Kernel(r"find_cells<.*"),
    Kernel(r"order_samples<.*", (SHARED_READS,)),
    Kernel(r"sum_cells_vectors<.*", (READS, WRITES), 24, 24, 24),
    Kernel(r"sum_cells_planes<.*", (), 24, 24, 24),
    Kernel(r"measure_distances<.*", (READS, WRITES, SHUFFLES)),
    Kernel(r"differentiate_distances<.*", (READS, WRITES)),
    Kernel(r"multiply_tile<fp64.*", (SHARED_READS,), 12, 12, 8),
    Kernel(r"multiply_tile<(fp32|fp16|bf16), 1.*", (SHARED_READS,), 16, 16, 8),
    Kernel(r"multiply_tile<(fp32|fp16|bf16), 2, false>", (SHARED_READS,), 16, 12, 8, spilled_bytes=16),
    Kernel(r"multiply_tile<(fp32|fp16|bf16), 2, true>", (SHARED_READS,), 16, 8, 4),
    Kernel(r"gather_tile<fp64.*", (SHARED_READS,), 8, 4, 4),
    Kernel(r"gather_tile<(fp32|fp16|bf16).*", (SHARED_READS,), 12, 8, 4),
)


def expected(kernel: str) -> Kernel:
    (found,) = (entry for entry in KERNELS if re.fullmatch(entry.name, kernel))
    return found


@pytest.fixture(params=architectures())
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


def check(architecture: str, passes: Callable[[str, Code], bool], kernels: str = "") -> None:
    """That all kernels whose names begin so pass."""
    found = {name: code for name, code in compiled(architecture).items() if re.match(kernels, name)}
    assert found
    assert {name: code for name, code in found.items() if not passes(name, code)} == {}


def test_every_kind_of_kernel_is_there(architecture: str) -> None:
    for entry in KERNELS:
        check(architecture, lambda name, code: True, entry.name)


def test_kernels_keep_their_numbers_in_registers(architecture: str) -> None:
    def passes(name: str, code: Code) -> bool:
        most = expected(name).spilled_bytes
        return code.spilled_bytes <= most and code.count("LDL|STL") <= most / 3

    check(architecture, passes)


def test_a_multiprocessor_has_enough_warps(architecture: str) -> None:
    def passes(name: str, code: Code) -> bool:
        entry = expected(name)
        small = entry.warps_of_small if architecture in SMALL else entry.warps
        return code.warps(architecture) >= (entry.warps_of_little if architecture in LITTLE else small)

    check(architecture, passes)


def test_kernels_have_the_instructions_that_they_are_written_for(architecture: str) -> None:
    check(architecture, lambda name, code: all(code.count(pattern) > 0 for pattern in expected(name).has))


def test_maps_of_the_wide_format_are_copied_while_others_are_multiplied(architecture: str) -> None:
    if not at_least(architecture, 80):
        pytest.skip("copies are asynchronous since sm_80")
    check(architecture, lambda name, code: code.count(COPIES) > 0, r"(multiply|gather)_tile<(fp32|fp64), (\d, )?false>")


def test_only_float64_takes_double_precision(architecture: str) -> None:
    def passes(name: str, code: Code) -> bool:
        if "fp64" in name:
            return code.count("D(FMA|ADD|MUL)") > 0
        return code.count(r"D(FMA|ADD|MUL|SETP)|F2F\.F64") == 0

    check(architecture, passes)


def test_only_the_scatter_adds_atomically(architecture: str) -> None:
    check(architecture, lambda name, code: (code.count("(RED|ATOM)") > 0) == name.startswith("scatter_"))


def test_several_multiply_adds_follow_each_read_of_a_tile(architecture: str) -> None:
    def passes(name: str, code: Code) -> bool:
        wide, lanes = ("DFMA", 2) if "fp64" in name else ("FFMA", 4)
        rows = 1 if ", 1, " in name else 2
        products = code.count(wide)
        # 7 displacements of 4 pixels, for each row and each number of a vector.
        return products >= 7 * 4 * rows * lanes and products >= lanes * code.count(SHARED_READS)

    check(architecture, passes, r"\w+_tile<")
