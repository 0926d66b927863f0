from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from kernel_inputs import COMPILED, DEVICE, SIMULATED, adds_in_any_order
from unwritten_memory import unwritten_shows

import tryon_kernels as tk
from tryon_kernels.backends import serving

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS refuses to be deterministic

# The fixtures below are the same for every example, so hypothesis need not mind them.
_UNMINDED = [HealthCheck.function_scoped_fixture, *([HealthCheck.filter_too_much] if SIMULATED else [])]
_RULES = settings(deadline=None, suppress_health_check=_UNMINDED)
settings.register_profile("quick", _RULES, max_examples=40, derandomize=True)
settings.register_profile("fuzz", _RULES, max_examples=1500)
settings.load_profile("quick")  # another: --hypothesis-profile=fuzz


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan(request: pytest.FixtureRequest) -> Iterator[None]:
    """So that an unwritten element shows."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    with unwritten_shows(deterministic=not adds_in_any_order(parameters.get("backend"))):
        yield


@pytest.fixture(autouse=True)
def the_tested_backend_serves() -> Iterator[None]:
    """Where a test names no backend: what "auto" takes on a GPU may be another one."""
    if serving(DEVICE.type) == COMPILED:
        yield
        return
    with tk.use_backend(COMPILED):
        yield
