from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from unittest import mock

import pytest
import torch
from kernel_inputs import COMPILED, CPU_LIBRARY

import tryon_kernels as tk
from tests import interpreter
from tryon_kernels import ops, pins
from tryon_kernels.availability import missing
from tryon_kernels.gpu import choice
from tryon_kernels.libraries import variants as variants_of_cpu
from tryon_kernels.report import report

pytestmark = pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)
variants = variants_of_cpu()


def test_an_unknown_backend_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match='got "fast", expected one of auto, stock, eager, cpp'), tk.use_backend("fast"):
        pass


@pytest.mark.skipif(missing("cuda") is None, reason="the CUDA kernels are there")
def test_a_backend_that_is_not_there_says_why() -> None:
    reason = "torch finds no GPU|the build found no nvcc|left them out of the build|was not built"
    with pytest.raises(RuntimeError, match=f'"cuda" is not available: .*({reason})'), tk.use_backend("cuda"):
        pass


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_triton_asks_for_a_gpu() -> None:
    reason = "torch finds no GPU|Triton is not installed"
    with pytest.raises(RuntimeError, match=f'"triton" is not available: ({reason})'), tk.use_backend("triton"):
        pass


def python(*arguments: str, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    return interpreter.python(*arguments, cwd=cwd, environment={**os.environ, **variables})


def test_the_report_says_that_tritons_interpreter_serves_cpu_tensors() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    command = [sys.executable, "-m", "tryon_kernels"]
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert "triton  CPU tensors, by Triton's interpreter" in said
    assert "in use  the fastest for CPU tensors" in said


def test_the_compiled_backend_refuses_tensors_of_other_devices() -> None:
    image, flow = torch.zeros(1, 1, 2, 2, device="meta"), torch.zeros(1, 2, 2, 2, device="meta")
    with tk.use_backend("cpp"), pytest.raises(ValueError, match="serves cpu tensors, got one on meta"):
        tk.warp(image, flow)


def compiled_code_serves() -> bool:
    with mock.patch.object(ops.warp.operation, "overload", wraps=ops.warp.operation.overload) as op:
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
    assert result.stdout.strip() == report()
    for name in ("stock", "eager", "cpp", "triton", "cuda"):
        assert re.search(rf"^{name} +(not available: )?\S", result.stdout, re.MULTILINE)


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


CALL = "import torch, tryon_kernels as tk; tk.warp(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2))"


@pytest.mark.parametrize("name", ["mmx", *(name for name in variants.built if name not in variants.runnable)])
def test_an_instruction_set_that_is_not_to_be_had_is_an_error_of_the_first_call_with_those_there_are(name: str) -> None:
    assert python("-c", "import tryon_kernels", TRYON_KERNELS_ISA=name).returncode == 0
    result = python("-c", CALL, TRYON_KERNELS_ISA=name)
    assert result.returncode == 1
    assert f'TRYON_KERNELS_ISA: got "{name}", expected one of ' in result.stderr
    said = python("-m", "tryon_kernels", TRYON_KERNELS_ISA=name).stdout
    assert f'TRYON_KERNELS_ISA: got "{name}", expected one of {", ".join(variants.runnable)} ' in said


@pytest.mark.parametrize("variable", ["TRYON_KERNELS_ISA", "TRYON_KERNELS_BACKEND"])
def test_an_empty_variable_means_that_it_is_not_set(variable: str) -> None:
    result = python("-c", CALL, **{variable: ""})
    assert result.returncode == 0, result.stderr


def test_a_library_that_cannot_be_loaded_breaks_no_import_and_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    shutil.copytree(Path(tk.__file__).parent, tmp_path / "tryon_kernels", ignore=shutil.ignore_patterns("*.so"))
    broken = tmp_path / "tryon_kernels" / "_cpp.so"
    broken.write_text("no library")
    result = python("-c", CALL, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert f"RuntimeWarning: tryon_kernels: {broken} is there but cannot be loaded" in result.stderr
    assert f"cpp     not available: {broken} is there" in python("-m", "tryon_kernels", cwd=tmp_path).stdout


def test_a_damaged_note_of_the_build_breaks_no_import(tmp_path: Path) -> None:
    shutil.copytree(Path(tk.__file__).parent, tmp_path / "tryon_kernels", ignore=shutil.ignore_patterns("*.so"))
    (tmp_path / "tryon_kernels" / "_build.json").write_text("{")
    assert python("-c", CALL, cwd=tmp_path).returncode == 0
    assert "cannot be read" in python("-m", "tryon_kernels", cwd=tmp_path).stdout


def test_the_environment_names_a_backend_for_the_tensors_that_it_serves() -> None:
    shown = f"{CALL}; from tryon_kernels.backends import backend_for as f; print(f('warp', [torch.zeros(1)], ()))"
    assert python("-c", shown, TRYON_KERNELS_BACKEND="stock").stdout.strip() == "stock"
    on_meta = shown.replace("torch.zeros(1)]", "torch.zeros(1, device='meta')]")
    assert python("-c", on_meta, TRYON_KERNELS_BACKEND="cpp").stdout.strip() == "stock"
    wrong = python("-c", CALL, TRYON_KERNELS_BACKEND="fast").stderr
    assert 'ValueError: TRYON_KERNELS_BACKEND: got "fast", expected one of auto, stock' in wrong


def test_threads_and_interleaved_blocks_do_not_disturb_each_other() -> None:
    entered, left = threading.Barrier(2), threading.Barrier(2)
    found: list[bool] = []

    def outer() -> None:
        with tk.use_backend("eager"):
            entered.wait()
            left.wait()  # the other thread's block has begun after this one and ends after it

    def inner() -> None:
        entered.wait()
        with tk.use_backend("cpp"):
            left.wait()
            threads[0].join()
            found.append(compiled_code_serves())
        found.append(compiled_code_serves())

    threads = [threading.Thread(target=target) for target in (outer, inner)]
    for thread in threads:
        thread.start()
    threads[1].join()
    assert found == [True, True]
    assert compiled_code_serves()
    assert pins._of_latest_block == ""


def test_asynchronous_tasks_have_a_backend_each() -> None:
    async def task(name: str, first: asyncio.Event, second: asyncio.Event) -> bool:
        with tk.use_backend(name):
            first.set()
            await second.wait()
            return compiled_code_serves()

    async def both() -> list[bool]:
        events = asyncio.Event(), asyncio.Event()
        return await asyncio.gather(task("eager", *events), task("cpp", *events[::-1]))

    assert asyncio.run(both()) == [False, True]


def test_gradients_are_computed_by_the_backend_of_their_forward() -> None:
    image, flow = torch.rand(1, 2, 4, 5, requires_grad=True), torch.rand(1, 2, 4, 5)
    backward = ops.warp.operation.backward
    with mock.patch.object(backward, "overload", wraps=backward.overload) as kernels:
        with tk.use_backend("cpp"):
            by_kernels = tk.warp(image, flow)
        with tk.use_backend("stock"):
            by_stock = tk.warp(image, flow)
            by_kernels.sum().backward()
            assert kernels.call_count == 1
        by_stock.sum().backward()
        assert kernels.call_count == 1


def test_importing_asks_the_machine_nothing() -> None:
    watched = """
import sys, torch
def refuse(*_): raise AssertionError("asked")
torch.cuda.is_available = torch.cuda.get_device_capability = torch.cuda._lazy_init = refuse
import tryon_kernels
"""
    result = python("-c", watched)
    assert result.returncode == 0, result.stderr


def test_a_process_may_be_forked_after_the_import() -> None:
    forked = f"""
import os, tryon_kernels
child = os.fork()
if child == 0:
    exec({CALL!r})
    os._exit(0)
raise SystemExit(os.waitpid(child, 0)[1] != 0)
"""
    assert python("-c", forked).returncode == 0


def test_a_traced_module_holds_the_public_functions() -> None:
    class Module(torch.nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
            grid = flow.permute(0, 2, 3, 1)
            warped = tk.warp(first, flow) + tk.grid_sample(second, grid, align_corners=True)
            return tk.correlation(warped, second, radius=1) + tk.warp_correlation(first, second, grid, radius=1)

    module, inputs = Module(), (torch.rand(1, 3, 4, 5), torch.rand(1, 3, 4, 5), torch.rand(1, 2, 4, 5))
    traced = torch.fx.symbolic_trace(module)
    assert {node.target for node in traced.graph.nodes if node.op == "call_function"} > {
        *(tk.warp, tk.grid_sample, tk.correlation, tk.warp_correlation),
    }
    torch.testing.assert_close(traced(*inputs), module(*inputs))


def explained(*arguments: str) -> list[str]:
    result = python("-m", "tryon_kernels", "--explain", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_choice_on_the_cpu_is_explained() -> None:
    first, *lines = explained("correlation", "--dtype", "bfloat16", "--shape", "2x16x8x6")
    assert first == "correlation of 2 x 16 x 8 x 6 bfloat16 on cpu: cpp"
    assert [line.split()[0] for line in lines] == ["stock", "eager", "cpp", "triton", "cuda"]
    assert lines[2] == "cpp     taken: kernels for cpu tensors"
    assert lines[1] == 'eager   not taken, for cpp is there; use_backend("eager") takes it'


def test_a_choice_on_a_gpu_is_explained_without_one() -> None:
    first, *lines = explained("warp", "--device", "cuda")
    assert first == "warp of 4 x 256 x 64 x 48 float32 on cuda: stock"
    assert lines[0] == "stock   taken: no kernels serve these tensors"
    assert lines[2] == "cpp     serves cpu tensors"


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
