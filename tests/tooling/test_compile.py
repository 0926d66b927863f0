"""torch.compile: whole graphs, the values of eager mode, and few compilations where sizes change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounterWithBackend

import tryon_kernels as tk
from tests.tooling.matcher import OPS, gradients_of, matcher, needs_kernels, pictures

SIZES = ((2, 8, 10), (3, 12, 9), (4, 7, 16), (2, 16, 16), (5, 10, 8))


@pytest.fixture(autouse=True)
def nothing_is_compiled_yet() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def assert_as_eager(network: torch.nn.Module, compiled: Any, person: Tensor, garment: Tensor) -> None:
    expected, results = network(person, garment), compiled(person, garment)
    torch.testing.assert_close(results, expected)
    torch.testing.assert_close(gradients_of(network, results), gradients_of(network, expected))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("op", OPS)
def test_one_graph_serves_all_sizes(op: str, layout: torch.memory_format) -> None:
    network, counter = matcher([op]).to(memory_format=layout), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=counter)
    for size in SIZES:
        person, garment = (picture.to(memory_format=layout) for picture in pictures(*size))
        assert_as_eager(network, compiled, person, garment)
    assert counter.frame_count == 1


def test_sizes_marked_as_dynamic_are_left_open() -> None:
    network, counter = matcher(), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, fullgraph=True, backend=counter)
    for size in SIZES[:2]:
        inputs = pictures(*size)
        for picture in inputs:
            for axis in (0, 2, 3):
                torch._dynamo.mark_dynamic(picture, axis)  # an error where the graph is for one size only
        assert_as_eager(network, compiled, *inputs)
    assert counter.frame_count == 1


def test_by_default_a_second_size_compiles_for_all_others() -> None:
    network, counter = matcher(), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, fullgraph=True, backend=counter)
    for size in SIZES:
        assert_as_eager(network, compiled, *pictures(*size))
    assert counter.frame_count == 2


def test_without_gradients_one_graph_serves_all_sizes() -> None:
    network, counter = matcher().eval(), CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(network, fullgraph=True, dynamic=True, backend=counter)
    with torch.no_grad():
        for size in SIZES[:3]:
            inputs = pictures(*size)
            torch.testing.assert_close(compiled(*inputs), network(*inputs))
    assert counter.frame_count == 1


def test_autocast_in_the_graph_lowers_what_it_lowers_in_eager_mode() -> None:
    network = matcher()

    def lowered(person: Tensor, garment: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return network(person, garment)

    inputs = pictures(2, 8, 10)
    expected, results = lowered(*inputs), torch.compile(lowered, fullgraph=True, backend="aot_eager")(*inputs)
    assert [result.dtype for result in results] == [result.dtype for result in expected]
    torch.testing.assert_close(results, expected)


@needs_kernels
def test_a_change_of_backend_is_heeded_by_what_is_compiled() -> None:
    graphs: list[torch.fx.GraphModule] = []

    def keep(graph: torch.fx.GraphModule, _: list[Any]) -> Any:
        graphs.append(graph)
        return graph

    network = matcher(["correlation"])
    compiled = torch.compile(network, fullgraph=True, backend=keep)
    inputs = pictures(2, 8, 10)
    fused = compiled(*inputs)
    with tk.use_backend("eager"):
        plain = compiled(*inputs)
    compiled(*inputs)
    assert ["tryon_kernels.correlation" in graph.code for graph in graphs] == [True, False]
    torch.testing.assert_close(plain, fused)


def test_inductor_compiles_all_ops_together() -> None:
    network = matcher()
    # Code without vectors is compiled sooner; that of the ops is compiled already.
    compiled = torch.compile(network, fullgraph=True, dynamic=True, options={"cpp.vec_isa_ok": False})
    for size in SIZES[:2]:
        assert_as_eager(network, compiled, *pictures(*size))
