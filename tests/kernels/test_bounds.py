from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import guarded_calls
import pytest
from kernel_inputs import DEVICE

from tryon_kernels.availability import INTERPRETED

pytestmark = pytest.mark.skipif(
    DEVICE.type != "cpu" or INTERPRETED, reason="concerns machine code that reads the CPU's memory"
)


@pytest.mark.parametrize("edge", guarded_calls.EDGES)
def test_nothing_is_read_beyond_the_first_or_last_element_of_a_tensor(edge: str) -> None:
    program = Path(guarded_calls.__file__)
    environment = {**os.environ, "PYTHONPATH": str(program.parents[2])}
    result = subprocess.run(
        [sys.executable, str(program), edge], capture_output=True, text=True, env=environment, check=False
    )
    calls = result.stdout.splitlines()
    assert result.returncode == 0, f"ended with {result.returncode} in {calls[-1:]}: {result.stderr}"
    assert calls[-1] == "all calls made"
