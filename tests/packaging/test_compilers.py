from __future__ import annotations

import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from build_support import cuda
from build_support.compilation import CannotCompileError
from tests.packaging.building import Environment, StandIn, build, noted, use

pytestmark = pytest.mark.packaging

of_several_instruction_sets = pytest.mark.skipif(
    platform.machine() != "x86_64", reason=f"there is one instruction set only on {platform.machine()}"
)


def libraries(source: Path) -> set[str]:
    return {file.name for file in (source / "tryon_kernels").iterdir() if ".so" in file.name}


@pytest.mark.parametrize(
    ("compiler", "reason"),
    [
        ("/nonexistent/c++", '"/nonexistent/c++" does not run (No such file or directory)'),
        ("c++ -fno-such-thing", 'the compiler "c++ -fno-such-thing" does not compile C++20'),
    ],
)
def test_without_a_compiler_the_install_succeeds_and_stock_torch_serves_and_says_why(
    compiler: str, reason: str, environment: Environment, source: Path
) -> None:
    environment.install(source, CXX=compiler)
    output = environment.output("-c", "from tryon_kernels.report import report; print(report())")
    assert "cpp     not available: " in output
    assert reason in output
    assert "in use  stock for CPU tensors" in output


@pytest.mark.parametrize(
    ("fails", "failure"),
    [
        (r"-c csrc/cpu/sample\.cpp", "does not compile csrc/cpu/sample.cpp"),
        (r"-c csrc/cpu/kernels/scatter\.cpp .*/baseline/", "does not compile csrc/cpu/kernels/scatter.cpp"),
        (r"-c csrc/cpu/variants\.cpp", "does not compile csrc/cpu/variants.cpp"),
        (r"-shared", "does not link the library"),
    ],
)
def test_a_compiler_that_fails_halfway_leaves_no_library_and_the_build_succeeds_and_says_why(
    fails: str, failure: str, source: Path, stand_in: Callable[..., StandIn]
) -> None:
    (source / "tryon_kernels" / "_cpp.so").write_text("an older build's")
    compiler = stand_in(fails=fails)
    result = build(source, CXX=compiler.cxx)
    assert result.returncode == 0, result.stderr
    reason = f'"{compiler.cxx}" {failure} (error: enough of this)'
    assert f"tryon_kernels: no cpp kernels, because {reason}\n" in result.stdout
    assert noted(source)["cpp"] == {"reason": reason}
    assert libraries(source) == set()


@of_several_instruction_sets
def test_an_instruction_set_that_does_not_compile_is_left_out_alone_and_the_report_says_why(
    source: Path, stand_in: Callable[..., StandIn]
) -> None:
    compiler = stand_in(fails="-c csrc/cpu/kernels/.*/avx512/")
    result = build(source, CXX=compiler.cxx)
    assert result.returncode == 0, result.stderr
    reason = rf'"{re.escape(compiler.cxx)}" does not compile csrc/cpu/kernels/\w+\.cpp \(error: enough of this\)'
    assert re.search(f"tryon_kernels: no kernels for avx512, because {reason}\n", result.stdout)
    sets = re.search("instruction sets: (.*); left out: (.*)\n", use(source))
    assert [name.split()[0] for name in sets[1].split(", ")] == ["avx512_bf16", "avx2", "baseline"]
    assert re.fullmatch(f"avx512, because {reason}", sets[2])


@of_several_instruction_sets
@pytest.mark.parametrize(
    ("asked", "built"),
    [("avx2", ["avx2", "baseline"]), ("amx", ["amx", "avx512", "baseline"]), ("baseline", ["baseline"])],
)
def test_only_the_instruction_sets_that_are_asked_for_are_built_and_the_baseline(
    source: Path, stand_in: Callable[..., StandIn], asked: str, built: list[str]
) -> None:
    compiler = stand_in()
    assert build(source, CXX=compiler.cxx, TRYON_KERNELS_BUILD_ISAS=asked).returncode == 0
    assert {"/amx/", "/avx512_bf16/"}.isdisjoint(re.findall(r"/\w+/(?=csrc/cpu/kernels)", str(compiler.lines())))
    sets = re.search("instruction sets: (.*)\n", use(source))
    assert [name.split()[0] for name in sets[1].split(", ")] == built


@pytest.mark.parametrize(
    "fails",
    [r"-c csrc/bind\.cpp", pytest.param("-c csrc/cpu/kernels/sample.* .*/avx2/", marks=of_several_instruction_sets)],
)
def test_who_asks_for_all_kernels_gets_none_without_some(
    fails: str, source: Path, stand_in: Callable[..., StandIn]
) -> None:
    result = build(source, CXX=stand_in(fails=fails).cxx, TRYON_KERNELS_CPP="1")
    assert result.returncode != 0
    assert "TRYON_KERNELS_CPP=1" in result.stderr.splitlines()[-1]
    assert "(error: enough of this)" in result.stderr.splitlines()[-1]
    assert libraries(source) == set()


def test_kernels_can_be_left_out(source: Path) -> None:
    assert build(source, TRYON_KERNELS_CPP="0").returncode == 0
    assert noted(source) == {
        name: {"reason": f"TRYON_KERNELS_{name.upper()}=0 left them out of the build"} for name in ("cpp", "cuda")
    }


@pytest.mark.skipif(shutil.which("g++-11") is None, reason="g++-11 is not there")
def test_an_older_compiler_compiles_the_host_side_and_links(source: Path, stand_in: Callable[..., StandIn]) -> None:
    compiler = stand_in(compiler="g++-11", compiles=r"-c csrc/(bind|older_systems|cpu/\w+)\.cpp")
    assert build(source, CXX=compiler.cxx).returncode == 0
    assert noted(source)["cpp"] == {}
    assert "in use  cpp for CPU tensors" in use(source)


def test_the_users_options_come_after_ours_but_do_not_lower_the_standard(
    source: Path, stand_in: Callable[..., StandIn]
) -> None:
    compiler = stand_in()
    options = {"CPPFLAGS": "-DA='a b'", "CFLAGS": "-O1", "CXXFLAGS": "-g0 -std=c++17", "LDFLAGS": "-Wl,-O2 -Wl,-s"}
    assert build(source, CXX=compiler.cxx, **options).returncode == 0
    assert noted(source)["cpp"] == {}
    compilations = compiler.calls("-c csrc/")
    assert len(compilations) >= 9
    for call in compilations:
        users = call.index("-DA=a b")
        assert call[users : users + 5] == ["-DA=a b", "-O1", "-g0", "-std=c++17", "-std=c++20"]
        assert max(call.index(ours) for ours in ("-O3", "-fPIC", "-Wall")) < users
    (link,) = compiler.calls("-shared")
    assert link[-3:] == ["-ltorch_cpu", "-Wl,-O2", "-Wl,-s"]


@pytest.mark.parametrize("most", [1, 3])
def test_max_jobs_limits_how_many_files_are_compiled_at_a_time(
    most: int, source: Path, stand_in: Callable[..., StandIn]
) -> None:
    compiler = stand_in(seconds=0.2 if most > 1 else 0)
    assert build(source, CXX=compiler.cxx, MAX_JOBS=str(most)).returncode == 0
    running = [0]
    for line in compiler.lines():
        if line[1:] == [] or "-c" in line:
            running.append(running[-1] + (1 if line[1:] else -1))
        if "csrc/cpu/variants.cpp" in line:  # by another compiler, which notes no end
            running[-1] -= 1
    assert max(running) == most


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_JOBS", "many"),
        ("MAX_JOBS", "0"),
        ("CXX", 'c++ "'),
        ("CXXFLAGS", "'"),
        ("TRYON_KERNELS_CPP", "yes"),
        ("TRYON_KERNELS_CUDA", "off"),
        ("TRYON_KERNELS_BUILD_ISAS", "avx512 avx3"),
    ],
)
def test_a_variable_that_means_nothing_is_refused_in_one_line(name: str, value: str, source: Path) -> None:
    result = build(source, **{name: value})
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith(f'tryon_kernels: {name}: got "{value}", expected ')
    assert "csrc/" not in result.stdout  # before anything was compiled


def test_architectures_that_mean_nothing_are_refused_before_anything_is_compiled(source: Path) -> None:
    nvcc = stand_in_for_nvcc(source.parent / "cuda", "nothing")
    given = {"CUDA_HOME": str(nvcc.parents[1]), "TRYON_KERNELS_CUDA": "", "TORCH_CUDA_ARCH_LIST": "9"}
    result = build(source, **given)
    assert result.returncode != 0
    (line,) = result.stderr.splitlines()
    assert line.startswith('tryon_kernels: TORCH_CUDA_ARCH_LIST: got "9", expected ')
    assert "csrc/" not in result.stdout


def test_an_empty_variable_is_none(source: Path, stand_in: Callable[..., StandIn]) -> None:
    compiler = stand_in()
    nothing = dict.fromkeys(("CXX", "CFLAGS", "MAX_JOBS", "CUDA_HOME", "TRYON_KERNELS_CPP"), "")
    path = os.pathsep.join([str(compiler.path.parent), os.environ["PATH"]])
    assert build(source, **nothing, PATH=path).returncode == 0
    assert noted(source)["cpp"] == {}
    assert compiler.calls("-c csrc/")


def stand_in_for_nvcc(home: Path, fails: str, knows: str = "sm_80 sm_90") -> Path:
    """A CUDA compiler that makes empty objects, and fails for files of this name."""
    nvcc = home / "bin" / "nvcc"
    nvcc.parent.mkdir(parents=True)
    nvcc.write_text(f"""#!/bin/sh
case "$*" in
*--version*) echo "Cuda compilation tools, release 13.0, V13.0.88" ;;
*--list-gpu-code*) printf '%s\\n' {knows} ;;
*"{fails}"*) echo "nvcc fatal   : enough of this" >&2; exit 1 ;;
*) while [ "$1" != -o ]; do shift; done; : > "$2" ;;
esac
""")
    nvcc.chmod(0o755)
    return nvcc


@pytest.mark.parametrize(
    ("fails", "failure"),
    [("-c csrc/cuda/correlation.cu", "does not compile csrc/cuda/correlation.cu"), ("-shared", "does not link")],
)
def test_cuda_kernels_that_do_not_compile_leave_those_of_the_cpu_and_say_why(
    fails: str, failure: str, source: Path, stand_in: Callable[..., StandIn]
) -> None:
    nvcc = stand_in_for_nvcc(source.parent / "cuda", fails)
    given = {"CXX": stand_in().cxx, "CUDA_HOME": str(nvcc.parents[1])}
    result = build(source, **given, TRYON_KERNELS_CUDA="")
    assert result.returncode == 0, result.stderr
    assert libraries(source) == {"_cpp.so"}
    assert noted(source)["cuda"]["reason"].startswith(f'"{nvcc}" {failure}')
    assert noted(source)["cuda"]["reason"].endswith("(nvcc fatal   : enough of this)")
    assert noted(source)["cpp"] == {}
    assert build(source, **given, TRYON_KERNELS_CUDA="1").returncode != 0


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="nvcc is not there")
def test_an_architecture_that_nvcc_does_not_know_leaves_the_cuda_kernels_out(
    source: Path, stand_in: Callable[..., StandIn]
) -> None:
    given = {"CXX": stand_in().cxx, "TRYON_KERNELS_CUDA": "", "TORCH_CUDA_ARCH_LIST": "2.0"}
    assert build(source, **given).returncode == 0
    assert "compute_20" in noted(source)["cuda"]["reason"]
    assert libraries(source) == {"_cpp.so"}


def test_without_nvcc_the_build_succeeds_and_says_why(source: Path, stand_in: Callable[..., StandIn]) -> None:
    given = {"CXX": stand_in().cxx, "TRYON_KERNELS_CUDA": "", "CUDA_HOME": "/nonexistent"}
    assert build(source, **given).returncode == 0
    reason = 'the build found no nvcc: "/nonexistent/bin/nvcc" does not run (No such file or directory)'
    assert noted(source) == {"cpp": {}, "cuda": {"reason": reason}}


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ("8.0;9.0+PTX", [80, 90]),
        ("9.0 7.5, 8.6", [75, 86, 90]),
        ("Hopper", [90]),
        ("Ampere;9.0a;12.0+PTX", [80, 86, 90, 120]),
        ("", [80, 90]),
        (" ", [80, 90]),
    ],
)
def test_the_list_of_architectures_is_read_as_torch_reads_it(
    asked: str, numbers: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", asked)
    assert cuda.architectures(str(stand_in_for_nvcc(tmp_path, "nothing"))) == numbers


@pytest.mark.parametrize("asked", ["9", "sm_90", "Hooper", "8.0;all"])
def test_a_list_of_architectures_that_means_nothing_is_refused(
    asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", asked)
    with pytest.raises(SystemExit, match=f'TORCH_CUDA_ARCH_LIST: got "{asked}", expected a list as "8.0;9.0'):
        cuda.architectures(str(stand_in_for_nvcc(tmp_path, "nothing")))


def test_an_nvcc_that_knows_no_usual_architecture_is_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCH_CUDA_ARCH_LIST", raising=False)
    with pytest.raises(CannotCompileError, match="compiles for none of sm_75"):
        cuda.architectures(str(stand_in_for_nvcc(tmp_path, "nothing", knows="sm_200")))
