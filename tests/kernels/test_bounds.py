from __future__ import annotations

import multiprocessing
from pathlib import Path

import guarded_calls
import pytest
from kernel_inputs import DEVICE

from tryon_kernels.availability import INTERPRETED

pytestmark = pytest.mark.skipif(
    DEVICE.type != "cpu" or INTERPRETED, reason="concerns machine code that reads the CPU's memory"
)


@pytest.mark.parametrize("edge", guarded_calls.EDGES)
def test_nothing_is_read_beyond_the_first_or_last_element_of_a_tensor(edge: str, tmp_path: Path) -> None:
    log = tmp_path / "calls"
    process = multiprocessing.get_context("fork").Process(target=guarded_calls.make_all, args=(edge, log))
    process.start()
    process.join()
    assert process.exitcode == 0, f"ended with {process.exitcode} in {log.read_text().splitlines()[-1:]}"
