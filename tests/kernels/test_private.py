"""Each private name of torch may be missing, or something else: calls are right all the same."""

from __future__ import annotations

import pytest
from kernel_inputs import COMPILED, CPU_LIBRARY

from tests.interpreter import python

pytestmark = pytest.mark.skipif(COMPILED != "cpp", reason=CPU_LIBRARY)

NAMES = (
    "_C._AutoDispatchBelowAutograd",
    "_C._functorch.peek_interpreter_stack",
    "_C._functorch.get_interpreter_stack",
    "_C._functorch.TransformType",
    "_C._FunctionBase",
    "_C._len_torch_dispatch_stack",
    "_C._cuda_getDriverVersion",
    "jit._builtins._register_builtin",
    "autograd.forward_ad._current_level",
)

# torch itself needs its names, so what looks for them is what finds another.
SCRIPT = """
import functools, importlib.util, pathlib, sys, torch, warnings
name, becomes = sys.argv[1:]
owner = functools.reduce(getattr, name.split(".")[:-1], torch)
last = name.split(".")[-1]
original = getattr(owner, last, None)
if becomes == "missing":
    if original is not None:
        delattr(owner, last)
else:
    setattr(owner, last, object())
try:
    file = pathlib.Path(importlib.util.find_spec("tryon_kernels").origin).with_name("private.py")
    spec = importlib.util.spec_from_file_location("tryon_kernels.private", file)
    private = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(private)
finally:
    if original is not None:
        setattr(owner, last, original)
import tryon_kernels as tk
assert tk.functional.private is private
import torch.nn.functional as F
from torch.autograd import forward_ad

def leaves():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    return draw(1, 3, 4, 5), draw(1, 3, 4, 5), draw(1, 4, 5, 2)

def network(first, second, grid):
    warped = tk.warp(first, grid.permute(0, 3, 1, 2)) + tk.grid_sample(second, grid, align_corners=True)
    return tk.correlation(warped, second, radius=1) + tk.warp_correlation(first, second, grid, radius=1)

def gradients():
    tensors = leaves()
    first = torch.autograd.grad(network(*tensors).square().sum(), tensors, create_graph=True)
    return first, torch.autograd.grad(sum(gradient.square().sum() for gradient in first), tensors)

made = gradients()
with torch.no_grad():
    value = network(*leaves())
with tk.use_backend("eager"):
    torch.testing.assert_close(made, gradients())
    torch.testing.assert_close(value, network(*leaves()))
first, second, grid = (tensor.detach() for tensor in leaves())
try:
    made = torch.func.grad(lambda map: network(map, second, grid).square().sum())(first)
except (RuntimeError, NotImplementedError) as error:
    print("torch.func: an error:", error)
else:
    leaf = first.clone().requires_grad_()
    torch.testing.assert_close(made, torch.autograd.grad(network(leaf, second, grid).square().sum(), leaf)[0])
with forward_ad.dual_level():
    output = network(forward_ad.make_dual(first, second), second, grid)
    tangent = forward_ad.unpack_dual(output).tangent
step = 1e-6
ends = [network(first + sign * step * second, second, grid) for sign in (1, -1)]
torch.testing.assert_close(tangent, (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-5)
with warnings.catch_warnings(record=True):
    warnings.simplefilter("always")
    with tk.accelerate() as acceleration:
        sampled = F.grid_sample(first, grid, align_corners=True)
torch.testing.assert_close(sampled, F.grid_sample(first, grid, align_corners=True))
print("right")
"""


@pytest.mark.parametrize("becomes", ["missing", "something else"])
@pytest.mark.parametrize("name", NAMES)
def test_calls_are_right_without_a_private_name(name: str, becomes: str) -> None:
    result = python("-c", SCRIPT, name, becomes)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "right"
