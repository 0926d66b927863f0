"""Of the kernels for a GPU those serve that have shown themselves right there, if they are faster than stock torch."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_inputs import OPS, SIMULATED, Case, sample_inputs, with_dtype
from torch.utils._python_dispatch import TorchDispatchMode

from tryon_kernels import availability, stock
from tryon_kernels.gpu import selection, verdict

Implementation = Callable[[str], Callable[..., Any]]
SLOW, QUICK = 1e-2, 1e-4  # seconds of a call

pytestmark = pytest.mark.skipif(SIMULATED, reason="runs without any kernels")


class Clock:
    """Stands in for `time` where calls are timed: how long each takes is said, whatever else the machine does."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        self.now += QUICK
        return self.now


CLOCK = Clock()


@pytest.fixture(autouse=True)
def nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRYON_KERNELS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(selection, "time", CLOCK)
    torch.use_deterministic_algorithms(False)
    selection.forget()
    yield
    selection.forget()


@pytest.fixture(params=OPS)
def case(request: pytest.FixtureRequest) -> Case:
    return with_dtype(next(c for c in sample_inputs(request.param) if c.tensors[0].numel() > 20), torch.float32)


def right(name: str) -> Callable[..., Any]:
    return stock.implementation(name)


def slow(name: str) -> Callable[..., Any]:
    def function(*arguments: Any) -> Any:
        CLOCK.now += SLOW
        return right(name)(*arguments)

    return function


def raising(name: str) -> Callable[..., Any]:
    raise ImportError("no image for this GPU\nand more lines of it")


def wrong_output(name: str) -> Callable[..., Any]:
    def function(*arguments: Any) -> Any:
        made = right(name)(*arguments)
        return made if isinstance(made, tuple) else made.roll(1, -1)

    return function


def wrong_gradient(index: int) -> Implementation:
    def implementation(name: str) -> Callable[..., Any]:
        def function(*arguments: Any) -> Any:
            made = right(name)(*arguments)
            if not isinstance(made, tuple):
                return made
            return tuple(g * 0.97 if i == index and g.numel() else g for i, g in enumerate(made))

        return function

    return implementation


def offer(monkeypatch: pytest.MonkeyPatch, **contenders: Implementation) -> None:
    """Let these be what is there, by name; "stock" too may be given a form of its own."""
    names = tuple(name for name in contenders if name != "stock")
    monkeypatch.setattr(availability, "gpu_backends", lambda: names)
    monkeypatch.setattr(availability, "implementation", lambda who, name: contenders.get(who, right)(name))


def select(case: Case, **more: bool) -> str:
    tensors = tuple(tensor.detach().requires_grad_(more.get("gradients", True)) for tensor in case.tensors)
    return selection.select(case.op, tensors, case.options)


def test_the_fastest_of_those_that_are_right_serves(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, cuda=slow, triton=right, stock=slow)
    assert select(case) == "triton"


def test_kernels_slower_than_stock_torch_are_left_out(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, cuda=slow, triton=slow)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert select(case) == "stock"


@pytest.mark.parametrize("faulty", [wrong_output, raising, *map(wrong_gradient, range(3))])
def test_kernels_that_are_wrong_or_raise_are_left_out_with_one_warning(
    faulty: Implementation, case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    if faulty not in (wrong_output, raising) and len(case.tensors) < 3:
        faulty = wrong_gradient(len(case.tensors) - 1)
    offer(monkeypatch, cuda=faulty, triton=slow, stock=slow)
    monkeypatch.setattr(selection, "WORTH", 2.0)  # both take the same time: right ones serve
    with pytest.warns(RuntimeWarning) as said:
        assert select(case) == "triton"
    assert len(said) == 1
    message = str(said[0].message)
    assert f"cuda kernels are left out for cuda {case.op} float32 NCHW" in message
    assert "on cpu" in message
    assert "python -m tryon_kernels --check" in message
    assert "\n" not in message
    assert ("no image for this GPU" in message) == (faulty is raising)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert select(case) == "triton"


def test_where_all_are_wrong_stock_torch_serves(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, cuda=wrong_output, triton=raising, stock=slow)
    with pytest.warns(RuntimeWarning):
        assert select(case) == "stock"


def test_what_was_found_out_is_remembered_by_the_next_process(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, cuda=right, stock=slow)
    assert select(case) == "cuda"
    (file,) = (tmp_path / "cache").iterdir()
    content = json.loads(file.read_text())
    assert content["surroundings"].keys() >= {"device", "driver", "torch", "triton", "kernels"}
    (choice,) = content["choices"].values()
    assert choice["backend"] == "cuda"
    assert choice["ms"]["cuda"] < choice["ms"]["stock"]

    selection.forget()
    offer(monkeypatch, cuda=raising)  # what is tried now would fail
    assert select(case) == "cuda"


@pytest.mark.parametrize("harm", ["{", "[]", '{"surroundings": 1}', None])
def test_a_damaged_file_or_another_state_of_things_is_measured_anew(
    harm: str | None, case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offer(monkeypatch, cuda=right, stock=slow)
    assert select(case) == "cuda"
    (file,) = (tmp_path / "cache").iterdir()
    if harm is None:
        monkeypatch.setattr("tryon_kernels.gpu.record._hash_of_kernels", lambda: "changed")
    else:
        file.write_text(harm)
    selection.forget()
    offer(monkeypatch, cuda=slow)
    assert select(case) == "stock"


def test_a_folder_that_cannot_be_written_costs_only_the_memory(
    case: Case, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRYON_KERNELS_CACHE", str(tmp_path / "file" / "below"))
    offer(monkeypatch, cuda=right, stock=slow)
    assert select(case) == "cuda"


def test_in_deterministic_mode_a_fixed_order_of_the_right_ones_decides(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.use_deterministic_algorithms(True)
    offer(monkeypatch, triton=right, cuda=slow)  # the order has cuda first for float32, whatever the times
    assert select(case) == "cuda"


def test_in_deterministic_mode_too_kernels_have_to_be_right(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.use_deterministic_algorithms(True)
    offer(monkeypatch, triton=slow, cuda=raising)
    with pytest.warns(RuntimeWarning, match="float32 NCHW.* deterministic"):
        assert select(case) == "triton"


class Watching(TorchDispatchMode):
    """Sees every operation of torch."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


def test_while_a_mode_watches_what_is_remembered_decides(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, cuda=right, stock=slow)
    with Watching():
        assert select(case) == "stock"
    assert select(case) == "cuda"
    with Watching():
        assert select(case) == "cuda"


def test_calls_with_and_without_gradients_are_chosen_for_apart(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow_backward(name: str) -> Callable[..., Any]:
        return slow(name) if name.endswith("_backward") else right(name)

    def slow_forward(name: str) -> Callable[..., Any]:
        return right(name) if name.endswith("_backward") else slow(name)

    offer(monkeypatch, cuda=slow_backward, stock=slow_forward)
    assert select(case, gradients=False) == "cuda"
    with torch.no_grad():
        assert select(case, gradients=True) == "cuda"


def test_where_memory_ends_while_timing_the_fixed_order_decides(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    offer(monkeypatch, triton=right, cuda=right)
    monkeypatch.setattr(selection, "timed", out_of_memory)
    assert select(case) == "cuda"


def test_a_check_without_memory_for_it_says_nothing_of_the_kernels(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_memory(name: str) -> Callable[..., Any]:
        raise torch.OutOfMemoryError

    offer(monkeypatch, cuda=out_of_memory, stock=slow)
    assert select(case) == "stock"
    selection.forget()
    offer(monkeypatch, cuda=right, stock=slow)
    assert select(case) == "cuda"


def test_choosing_leaves_the_users_random_numbers_alone(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_rng_state()
    offer(monkeypatch, cuda=right, stock=slow)
    select(case)
    assert torch.equal(torch.get_rng_state(), before)


def test_with_and_without_a_negative_slope_kernels_show_themselves_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    case = with_dtype(sample_inputs("correlation")[0], torch.float32)
    radius, stride, _, mean = case.options
    calls = [
        selection.call_of("correlation", case.tensors, (radius, stride, slope, mean), True) for slope in (None, 0.1)
    ]
    assert calls[0] != calls[1]


@pytest.mark.parametrize("relu", [True, False])
def test_a_distance_of_features_of_any_shape_is_chosen_for_once_forward_and_backward(
    relu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = torch.rand(3, 50).sub(0.5).requires_grad_(), torch.rand(3, 50)
    offer(monkeypatch, cuda=right, stock=slow)
    assert selection.select("feature_distance", (first, second), (relu,)) == "cuda"
    monkeypatch.setattr(selection, "timed", None)  # nothing is measured any more
    arguments = (None, torch.ones(()), first.relu(), second, relu, True, False)
    assert selection.select_for_op("feature_distance", "feature_distance_backward", arguments) == "cuda"


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("name", ["feature_distance", "feature_distance_backward"])
def test_each_result_and_gradient_of_a_distance_is_looked_at(name: str, index: int) -> None:
    def faulty(of: str) -> Callable[..., Any]:
        def function(*arguments: Any) -> Any:
            made = right(of)(*arguments)
            return tuple(t * 0.97 if (of, i) == (name, index) else t for i, t in enumerate(made))

        return function

    assert verdict.wrong(right, "feature_distance", torch.float32, False, torch.device("cpu"), (True,)) is None
    assert verdict.wrong(faulty, "feature_distance", torch.float32, False, torch.device("cpu"), (True,)) is not None
