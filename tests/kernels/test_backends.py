from __future__ import annotations

import subprocess
import sys
from unittest import mock

import pytest
import torch

import tryon_kernels as tk
from tryon_kernels import backends


def test_an_unknown_backend_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ValueError, match='got "fast", expected one of auto, eager, cpp'), tk.use_backend("fast"):
        pass


@pytest.mark.parametrize("name", ["triton", "cuda"])
def test_a_backend_that_is_not_there_says_why(name: str) -> None:
    with pytest.raises(RuntimeError, match=f'"{name}" is not available: this version has no'), tk.use_backend(name):
        pass


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
    assert "instruction sets: baseline" in result.stdout
    assert "cuda    not available: this version has no cuda kernels" in result.stdout
