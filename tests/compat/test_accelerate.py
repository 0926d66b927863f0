"""`tryon_kernels.accelerate`: unchanged code, the same results, and an account of what was taken over."""

from __future__ import annotations

import itertools
import threading
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.functional import grid_sample as imported_before

import tryon_kernels as tk
from tryon_kernels import backends

TORCHS_OWN = torch.grid_sampler
# Sums of some 100 products of numbers around 1, and positions of a few pixels, each rounded as the dtype rounds.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-12}

pytestmark = pytest.mark.skipif(backends.serving("cpu") == "stock", reason="no compiled kernels for CPU tensors")


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    torch.manual_seed(0)
    yield
    assert torch.grid_sampler is TORCHS_OWN


def inputs(dtype: torch.dtype = torch.float32, channels: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randn(2, channels, 6, 7, dtype=dtype), torch.rand(2, 5, 4, 2, dtype=dtype) * 2.6 - 1.3


def result(sample: Callable[..., Tensor], input: Tensor, grid: Tensor) -> tuple[Tensor, ...]:
    """A result and its gradients by both arguments."""
    leaves = input.detach().requires_grad_(), grid.detach().requires_grad_()
    output = sample(*leaves)
    weights = torch.arange(output.numel(), dtype=output.dtype).view(output.shape) % 7 - 3
    return output.detach(), *torch.autograd.grad((output * weights).sum(), leaves)


@pytest.mark.parametrize(
    ("mode", "padding_mode", "align_corners"),
    list(itertools.product(("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (True, False))),
)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_are_those_of_torch(
    mode: str, padding_mode: str, align_corners: bool, dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    input, grid = inputs(dtype)
    input = input.to(memory_format=memory_format)
    sample = partial(F.grid_sample, mode=mode, padding_mode=padding_mode, align_corners=align_corners)
    wanted = result(sample, input, grid)
    with tk.accelerate() as acceleration:
        got = result(sample, input, grid)
    for one, other in zip(got, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert got[0].stride() == wanted[0].stride()
    ours = mode == "bilinear" and padding_mode != "reflection"
    assert (acceleration.taken.total(), acceleration.left.total()) == (ours, not ours)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_formats_are_sampled_at_float32_positions(dtype: torch.dtype) -> None:
    input, grid = (tensor.to(dtype) for tensor in inputs())
    wanted = F.grid_sample(input.double(), grid.double(), align_corners=True)
    with tk.accelerate() as acceleration:
        output, by_input, by_grid = result(partial(F.grid_sample, align_corners=True), input, grid)
    assert acceleration.taken.total() == 1
    assert output.dtype == by_input.dtype == by_grid.dtype == dtype
    torch.testing.assert_close(output.double(), wanted, rtol=torch.finfo(dtype).eps, atol=1e-5)


@pytest.mark.parametrize("dtypes", list(itertools.product((torch.float32, torch.bfloat16), repeat=2)))
def test_autocast_makes_float32_of_both_as_torch_does(dtypes: tuple[torch.dtype, torch.dtype]) -> None:
    input, grid = (tensor.to(dtype) for tensor, dtype in zip(inputs(), dtypes, strict=True))
    sample = partial(F.grid_sample, align_corners=False)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = result(sample, input, grid)
        with tk.accelerate() as acceleration:
            got = result(sample, input, grid)
    assert acceleration.taken.total() == 1
    for one, other in zip(got, wanted, strict=True):
        eps = max(torch.finfo(other.dtype).eps, 1e-4)
        torch.testing.assert_close(one, other, rtol=eps, atol=eps)


def test_code_that_imported_the_function_by_name_is_taken_too() -> None:
    with tk.accelerate() as acceleration:
        imported_before(*inputs(), align_corners=True)
    assert acceleration.taken.total() == 1


def test_the_report_has_a_line_for_each_kind_and_reason() -> None:
    input, grid = inputs()
    with tk.accelerate() as acceleration:
        for _ in range(2):
            F.grid_sample(input, grid, align_corners=True)
        F.grid_sample(input, grid, padding_mode="border", align_corners=True)
        F.grid_sample(input, grid, "nearest", align_corners=True)
        F.grid_sample(input, grid, padding_mode="reflection", align_corners=True)
        F.grid_sample(torch.zeros(1, 1, 2, 2, 2), torch.zeros(1, 1, 1, 1, 3), align_corners=True)
    assert acceleration.report().splitlines() == [
        "grid_sample: 3 calls taken, 3 left to torch",
        "taken        2  bilinear, zeros padding, float32 on cpu",
        "taken        1  bilinear, border padding, float32 on cpu",
        "left         1  mode nearest",
        "left         1  padding mode reflection",
        "left         1  5-D input",
    ]


def refusals() -> list[Callable[[], Tensor]]:
    input, grid = inputs()
    sample = partial(F.grid_sample, align_corners=True)
    return [
        lambda: sample(input, grid.double()),
        lambda: sample(input, grid[:1]),
        lambda: sample(input, grid[..., :1]),
        lambda: sample(input[0], grid),
        lambda: sample(input.int(), grid.int()),
        lambda: sample(input[:, :, :0], grid),
        lambda: sample(input, grid.to("meta")),
        lambda: sample(input, grid, "linear"),
        lambda: sample(input, grid, padding_mode="circular"),
        lambda: sample(input.numpy(), grid),
        lambda: F.grid_sample(input, grid, align_corners=1),
    ]


@pytest.mark.parametrize("number", range(len(refusals())))
def test_what_torch_refuses_is_refused_by_torch(number: int) -> None:
    def refusal() -> tuple[type[BaseException], str]:
        with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
            refusals()[number]()
        return caught.type, str(caught.value).splitlines()[0]

    wanted = refusal()
    with tk.accelerate():
        assert refusal() == wanted


def test_the_warning_about_align_corners_stays_and_points_at_the_caller() -> None:
    with tk.accelerate() as acceleration, pytest.warns(UserWarning, match="align_corners=False since 1.3.0") as caught:
        output = F.grid_sample(*inputs())
    assert caught[0].filename == __file__
    assert (output.shape, acceleration.taken.total()) == ((2, 3, 5, 4), 1)


def test_other_warnings_are_not_added() -> None:
    with warnings.catch_warnings(), tk.accelerate():
        warnings.simplefilter("error")
        result(partial(F.grid_sample, align_corners=True), *inputs())


def test_an_exception_in_the_block_switches_off() -> None:
    with pytest.raises(KeyError), tk.accelerate():
        raise KeyError
    assert torch.grid_sampler is TORCHS_OWN


def test_nested_blocks_count_each_their_own_and_close_in_any_order() -> None:
    first, second = tk.accelerate().enable(), tk.accelerate()
    with second:
        imported_before(*inputs(), align_corners=True)
        first.disable()
        imported_before(*inputs(), align_corners=True)
    imported_before(*inputs(), align_corners=True)
    assert (first.taken.total(), second.taken.total()) == (1, 2)


def test_one_switch_may_be_entered_again_while_it_is_on() -> None:
    acceleration = tk.accelerate()
    with acceleration:
        with acceleration:
            F.grid_sample(*inputs(), align_corners=True)
        F.grid_sample(*inputs(), align_corners=True)
    assert acceleration.taken.total() == 2
    with pytest.raises(RuntimeError, match="without an enable"):
        acceleration.disable()


def test_a_decorated_function_may_call_itself() -> None:
    acceleration = tk.accelerate()

    @acceleration
    def sampled(times: int) -> Tensor:
        output = F.grid_sample(*inputs(), align_corners=True)
        return output if times == 1 else output + sampled(times - 1)

    sampled(3)
    F.grid_sample(*inputs(), align_corners=True)
    assert acceleration.taken.total() == 3


def test_the_switch_holds_for_all_threads_and_loses_no_count() -> None:
    def work() -> None:
        for _ in range(50):
            F.grid_sample(*inputs(), align_corners=True)
            with tk.accelerate():
                pass

    with tk.accelerate() as acceleration:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert acceleration.taken.total() == 200


def test_a_replaced_torch_function_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patches:
        patches.setattr(torch, "grid_sampler", lambda *arguments: TORCHS_OWN(*arguments))
        with pytest.raises(RuntimeError, match="something replaced it"):
            tk.accelerate().enable()


def test_a_chosen_backend_decides() -> None:
    with tk.use_backend("eager"), tk.accelerate() as acceleration:
        F.grid_sample(*inputs(), align_corners=True)
    assert dict(acceleration.left) == {"no compiled kernels serve cpu tensors now": 1}


def test_a_backend_for_other_devices_leaves_the_call_to_torch() -> None:
    meta = [tensor.to("meta") for tensor in inputs()]
    with tk.use_backend(backends.serving("cpu")), tk.accelerate() as acceleration:
        assert F.grid_sample(*meta, align_corners=True).is_meta
    assert dict(acceleration.left) == {"no compiled kernels serve meta tensors now": 1}


class Aligner(nn.Module):
    """A network as others write it: it predicts a grid and samples its features there."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 8, 3, padding=1)
        self.offset = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        features = self.features(image)
        theta = torch.eye(2, 3).expand(len(image), 2, 3)
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        grid = grid + self.offset(features).tanh().permute(0, 2, 3, 1)
        return F.grid_sample(features, grid, padding_mode="border", align_corners=False)


def losses() -> list[float]:
    torch.manual_seed(3)
    network, image, target = Aligner(), torch.randn(2, 3, 8, 8), torch.randn(2, 8, 8, 8)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    found = []
    for _ in range(6):
        loss = (network(image) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def test_an_unchanged_network_trains_to_the_same_losses() -> None:
    wanted = losses()
    with tk.accelerate() as acceleration:
        got = losses()
    assert acceleration.taken.total() == 6
    assert got[-1] < got[0]
    assert got == pytest.approx(wanted, rel=1e-4)


def sampled(input: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(input, grid, align_corners=True)


def through_vmap(input: Tensor, grid: Tensor) -> Tensor:
    return torch.vmap(sampled)(input[None], grid[None])[0]


def through_compile(input: Tensor, grid: Tensor) -> Tensor:
    return torch.compile(sampled, backend="aot_eager", fullgraph=True)(input, grid)


def through_trace(input: Tensor, grid: Tensor) -> Tensor:
    return torch.jit.trace(sampled, (input, grid), check_trace=False)(input, grid)


def through_script(input: Tensor, grid: Tensor) -> Tensor:
    return torch.jit.script(sampled)(input, grid)


@pytest.mark.parametrize("transformed", [through_vmap, through_compile, through_trace, through_script])
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_transformed_calls_have_torchs_own_operation(transformed: Callable[..., Tensor]) -> None:
    input, grid = inputs()
    wanted = sampled(input, grid)
    with tk.accelerate() as acceleration:
        assert torch.equal(transformed(input, grid), wanted)
        assert acceleration.taken.total() == 0
    assert torch.equal(transformed(input, grid), wanted)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_script_made_in_the_block_has_torchs_operation_in_its_graph() -> None:
    with tk.accelerate():
        graph = torch.jit.script(sampled).inlined_graph
    assert "aten::grid_sampler" in str(graph)


def test_forward_mode_differentiation_is_left_to_torch() -> None:
    input, grid = inputs()

    def outcome() -> Any:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(input, torch.ones_like(input))
            try:
                return torch.autograd.forward_ad.unpack_dual(sampled(dual, grid)).tangent
            except NotImplementedError as refusal:
                return str(refusal)

    wanted = outcome()
    with tk.accelerate() as acceleration:
        got = outcome()
    assert acceleration.taken.total() == 0
    assert got == wanted if isinstance(wanted, str) else torch.equal(got, wanted)


def test_a_compiled_caller_of_grid_sampler_itself_works_after_the_block() -> None:
    def direct(input: Tensor, grid: Tensor) -> Tensor:
        return torch.grid_sampler(input, grid, 0, 0, True)

    compiled = torch.compile(direct, backend="aot_eager", fullgraph=True)
    input, grid = inputs()
    with tk.accelerate():
        within = compiled(input, grid)
    torch._dynamo.reset()
    assert torch.equal(compiled(input, grid), within)


def test_a_block_inside_a_compiled_function_switches_on_and_off() -> None:
    def within(input: Tensor, grid: Tensor) -> Tensor:
        with tk.accelerate():
            return sampled(input, grid) * 2

    input, grid = inputs()
    output = torch.compile(within, backend="aot_eager")(input, grid)
    torch.testing.assert_close(output, sampled(input, grid) * 2, rtol=1e-4, atol=1e-4)
    assert torch.grid_sampler is TORCHS_OWN


def test_tensor_subclasses_and_dispatch_modes_see_torchs_operation() -> None:
    class Marked(Tensor):
        pass

    input, grid = inputs()
    with tk.accelerate() as acceleration:
        assert isinstance(sampled(input.as_subclass(Marked), grid), Marked)
        with torch.utils.flop_counter.FlopCounterMode(display=False):
            sampled(input, grid)
    assert (acceleration.taken.total(), acceleration.left.total()) == (0, 2)


def test_second_derivatives_are_those_of_differences() -> None:
    input, grid = inputs(torch.float64, channels=1)
    with tk.accelerate() as acceleration:
        assert torch.autograd.gradgradcheck(sampled, (input[:1].requires_grad_(), grid[:1].requires_grad_()))
    assert acceleration.left.total() == 0


def test_positions_that_are_not_numbers_sample_nothing() -> None:
    input, grid = torch.ones(1, 1, 3, 3), torch.full((1, 1, 1, 2), float("nan"))
    assert sampled(input, grid).isnan().all()
    with tk.accelerate():
        assert (sampled(input, grid) == 0).all()
