from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, settings

# The fixture below is the same for every example, so hypothesis need not mind it.
_RULES = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
settings.register_profile("quick", _RULES, max_examples=40, derandomize=True)
settings.register_profile("fuzz", _RULES, max_examples=1500)
settings.load_profile("quick")  # another: --hypothesis-profile=fuzz


@pytest.fixture(autouse=True)
def uninitialised_memory_is_nan() -> Iterator[None]:
    """Fill what `torch.empty` gives with NaN, in the kernels too, so that an unwritten element shows."""
    filled = torch.utils.deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filled
