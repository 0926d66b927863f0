from __future__ import annotations

import guarded_calls
import pytest
from kernel_inputs import DEVICE

from tests.interpreter import python
from tryon_kernels.availability import INTERPRETED

pytestmark = pytest.mark.skipif(
    DEVICE.type != "cpu" or INTERPRETED, reason="concerns machine code that reads the CPU's memory"
)


@pytest.mark.parametrize("edge", guarded_calls.EDGES)
def test_nothing_is_read_beyond_the_first_or_last_element_of_a_tensor(edge: str) -> None:
    result = python(guarded_calls.__file__, edge)
    calls = result.stdout.splitlines()
    assert result.returncode == 0, f"ended with {result.returncode} in {calls[-1:]}: {result.stderr}"
    assert calls[-1] == "all calls made"
