from __future__ import annotations

import os
import re
import subprocess
import sys
from unittest import mock

import pytest
import torch
from kernel_inputs import COMPILED, CPU_LIBRARY

import tryon_kernels as tk
from tryon_kernels import backends
from tryon_kernels.backends import variants
from tryon_kernels.gpu import choice

pytestmark = pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)


def test_an_unknown_backend_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match='got "fast", expected one of auto, eager, cpp'), tk.use_backend("fast"):
        pass


@pytest.mark.skipif(backends.missing("cuda") is None, reason="the CUDA kernels are there")
def test_a_backend_that_is_not_there_says_why() -> None:
    reason = "torch finds no GPU|the build found no nvcc|left them out of the build|was not built"
    with pytest.raises(RuntimeError, match=f'"cuda" is not available: .*({reason})'), tk.use_backend("cuda"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_triton_asks_for_a_gpu() -> None:
    reason = "torch finds no GPU|Triton is not installed"
    with pytest.raises(RuntimeError, match=f'"triton" is not available: ({reason})'), tk.use_backend("triton"):
        pass


def test_the_report_says_that_tritons_interpreter_serves_cpu_tensors() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    command = [sys.executable, "-m", "tryon_kernels"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    report = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "triton  CPU tensors, by Triton's interpreter" in report
    assert "in use  triton for CPU tensors" in report


def test_the_compiled_backend_refuses_tensors_of_other_devices() -> None:
    image, flow = torch.zeros(1, 1, 2, 2, device="meta"), torch.zeros(1, 2, 2, 2, device="meta")
    with tk.use_backend("cpp"), pytest.raises(ValueError, match="serves cpu tensors, got one on meta"):
        tk.warp(image, flow)


def compiled_code_serves() -> bool:
    with mock.patch.object(torch.ops.tryon_kernels, "warp", wraps=torch.ops.tryon_kernels.warp) as op:
        tk.warp(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2))
    return op.called


def test_the_choice_holds_within_its_block() -> None:
    assert compiled_code_serves()
    with tk.use_backend("eager"):
        assert not compiled_code_serves()
        with tk.use_backend("cpp"):
            assert compiled_code_serves()
        assert not compiled_code_serves()
    assert compiled_code_serves()


def test_the_choice_ends_with_an_error() -> None:
    with pytest.raises(KeyError), tk.use_backend("eager"):
        raise KeyError
    assert compiled_code_serves()


def test_the_report_names_every_backend_and_the_reason_for_each_one_missing() -> None:
    result = subprocess.run([sys.executable, "-m", "tryon_kernels"], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == backends.report()
    for name in ("eager", "cpp", "triton", "cuda"):
        assert re.search(rf"^{name} +(not available: )?\S", result.stdout, re.MULTILINE)


def python(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)


def test_every_instruction_set_is_reported_with_what_becomes_of_it() -> None:
    described = python("-m", "tryon_kernels").stdout.split("instruction sets: ")[1].splitlines()[0].split(", ")
    assert [text.split()[0] for text in described] == list(variants.built)
    assert [text.split()[0] for text in described if "in use" in text] == [variants.chosen]
    assert [text.split()[0] for text in described if "not on this CPU" not in text] == list(variants.runnable)


def test_every_cpu_runs_the_baseline() -> None:
    assert variants.built[-1] == variants.runnable[-1] == "baseline"


@pytest.mark.parametrize("variant", variants.runnable)
def test_the_environment_chooses_the_instruction_set(variant: str) -> None:
    assert f"{variant} (in use)" in python("-m", "tryon_kernels", TRYON_KERNELS_ISA=variant).stdout


def test_the_best_instruction_set_is_taken_where_none_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRYON_KERNELS_ISA", raising=False)
    best = python("-m", "tryon_kernels", "--variants").stdout.split()[0]
    assert f"{best} (in use)" in python("-m", "tryon_kernels").stdout


@pytest.mark.parametrize("name", ["mmx", "", *(name for name in variants.built if name not in variants.runnable)])
def test_an_instruction_set_that_is_not_to_be_had_is_an_error_at_import_with_those_there_are(name: str) -> None:
    result = python("-c", "import tryon_kernels", TRYON_KERNELS_ISA=name)
    assert result.returncode == 1
    message = f'TRYON_KERNELS_ISA: got "{name}", expected one of {", ".join(variants.runnable)} '
    assert f"ImportError: {message}(built: {', '.join(variants.built)})" in result.stderr


def explained(*arguments: str) -> list[str]:
    result = python("-m", "tryon_kernels", "--explain", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_choice_on_the_cpu_is_explained() -> None:
    first, *lines = explained("correlation", "--dtype", "bfloat16", "--shape", "2x16x8x6")
    assert first == "correlation of 2 x 16 x 8 x 6 bfloat16 on cpu: cpp"
    assert [line.split()[0] for line in lines] == ["eager", "cpp", "triton", "cuda"]
    assert lines[1] == "cpp     taken: compiled kernels for cpu tensors"
    assert lines[0] == 'eager   not taken, for cpp is there; use_backend("eager") takes it'


def test_a_choice_on_a_gpu_is_explained_without_one() -> None:
    first, *lines = explained("warp", "--device", "cuda")
    assert first == "warp of 4 x 256 x 64 x 48 float32 on cuda: eager"
    assert lines[0] == "eager   taken: no kernels are taken for cuda tensors unless they are asked for"
    assert lines[1] == "cpp     serves cpu tensors"


@pytest.mark.parametrize(
    ("op", "dtype", "channels", "expected"),
    [
        ("correlation", torch.bfloat16, 256, "triton"),
        ("correlation", torch.float16, 16, "triton"),
        ("correlation", torch.bfloat16, 8, "cuda"),
        ("correlation", torch.float32, 256, "cuda"),
        ("correlation", torch.float64, 256, "cuda"),
        ("warp_correlation", torch.bfloat16, 256, "cuda"),
        ("warp", torch.bfloat16, 256, "cuda"),
    ],
)
def test_of_two_sets_of_gpu_kernels_the_rule_takes_one_by_op_dtype_and_channels(
    op: str, dtype: torch.dtype, channels: int, expected: str
) -> None:
    order, reason = choice.preferred(op, dtype, channels)
    assert order[0] == expected
    assert set(order) == {"cuda", "triton"}
    assert reason


def test_an_unknown_op_or_shape_is_refused_in_one_line() -> None:
    assert "invalid choice: 'blur'" in python("-m", "tryon_kernels", "--explain", "blur").stderr
    assert "invalid size value" in python("-m", "tryon_kernels", "--explain", "warp", "--shape", "4x4").stderr
