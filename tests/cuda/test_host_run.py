"""What runs CUDA kernels on the host: it gives what a GPU gives, and finds mistakes that a GPU may hide."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.cuda.host_run.build import HERE, compile_for_host

if not sys.platform.startswith("linux"):
    pytest.skip("the host run finds static shared memory as Linux lays it out", allow_module_level=True)

ORDERS = ["forward", "backward", "shuffled:1", "shuffled:2"]
INVALID_VALUE, INVALID_CONFIGURATION = 1, 9
KIB = 1024


def call(function: Callable[..., int], *arguments: torch.Tensor | int) -> int:
    """The function's result; tensors are passed by their address."""
    return function(*(ctypes.c_void_p(a.data_ptr()) if isinstance(a, torch.Tensor) else a for a in arguments))


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    library = tmp_path_factory.mktemp("examples") / "examples.so"
    compile_for_host([HERE / "examples.cu"], library)
    return ctypes.CDLL(str(library))


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("examples") / "examples"
    compile_for_host([HERE / "examples.cu"], program, ["-fsanitize=address", "-fno-omit-frame-pointer"])
    return program


@pytest.fixture(params=ORDERS)
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("HOST_RUN_ORDER", request.param)
    return request.param


def test_threads_of_a_block_add_through_shared_memory(examples: ctypes.CDLL, order: str) -> None:
    values, sums = torch.arange(3 * 256.0), torch.zeros(3)
    assert call(examples.run_add_block, values, sums, 3, 256, True) == 0
    assert torch.equal(sums, values.view(3, 256).sum(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_lanes_add_by_shuffles_and_threads_may_end_before_others(
    examples: ctypes.CDLL, order: str, dtype: torch.dtype
) -> None:
    run = examples.run_add_warps if dtype == torch.float32 else examples.run_add_warps_double
    values, sums = torch.arange(2 * 1024, dtype=dtype), torch.zeros(2, dtype=dtype)
    assert call(run, values, sums, 2, 1024) == 0
    assert torch.equal(sums, values.view(2, 1024).sum(1))


def test_lanes_shuffle_within_groups(examples: ctypes.CDLL, order: str) -> None:
    taken = torch.zeros(3, 32, dtype=torch.int32)
    assert call(examples.run_shuffle, taken) == 0
    lane = torch.arange(32, dtype=torch.int32)
    first, last = lane // 8 * 8, lane // 8 * 8 + 7
    assert torch.equal(taken[0], first + 3)
    assert torch.equal(taken[1], torch.where(lane + 2 <= last, lane + 2, lane))
    assert torch.equal(taken[2], last - lane + first)


def test_a_missing_barrier_of_the_block_changes_the_result(
    examples: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, found = torch.arange(256.0), set()
    for order in ORDERS:
        monkeypatch.setenv("HOST_RUN_ORDER", order)
        sums = torch.zeros(1)
        assert call(examples.run_add_block, values, sums, 1, 256, False) == 0
        found.add(str(sums.item()))
    assert len(found) > 1


def test_a_missing_barrier_of_a_warp_changes_the_result(examples: ctypes.CDLL, order: str) -> None:
    right, wrong = torch.zeros(2, 32, dtype=torch.int32)
    assert call(examples.run_pass_on, right, True) == 0
    assert call(examples.run_pass_on, wrong, False) == 0
    assert torch.equal(right, (torch.arange(32, dtype=torch.int32) + 1) % 32)
    assert not torch.equal(wrong, right)


def test_copies_arrive_when_their_batch_is_waited_for(examples: ctypes.CDLL, order: str) -> None:
    values, found = torch.randn(2, 32, 4), torch.zeros(3, 2, 32, 4)
    for still_open in range(3):
        assert call(examples.run_copy_in_batches, values, found[still_open], still_open) == 0
    one_of_four = values[1] * torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert torch.equal(found[0], torch.stack([values[0], one_of_four]))
    assert torch.equal(found[1, 0], values[0])
    assert found[1, 1].isnan().all()


def test_a_forgotten_wait_leaves_what_was_there(examples: ctypes.CDLL, order: str) -> None:
    values, found = torch.randn(2, 32, 4), torch.zeros(2, 32, 4)
    assert call(examples.run_copy_in_batches, values, found, 2) == 0
    assert found.isnan().all()


def test_atomic_operations_lose_nothing(examples: ctypes.CDLL, order: str) -> None:
    values = torch.randint(0, 10, [1000], dtype=torch.int32)
    counts, seen, total = torch.zeros(10, dtype=torch.int32), torch.zeros(1, dtype=torch.int32), torch.zeros(1).double()
    assert call(examples.run_count, values, 1000, counts, seen, total) == 0
    assert torch.equal(counts.long(), values.bincount(minlength=10))
    assert seen.item() == 2**10 - 1
    assert total.item() == values.sum()


def test_every_block_finds_shared_memory_without_numbers(examples: ctypes.CDLL, order: str) -> None:
    found = torch.zeros(3, 2)
    assert call(examples.run_look_into_shared_memory, found, 3) == 0
    assert found.isnan().all()


def test_blocks_and_threads_run_in_the_order_asked_for(examples: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    def last(order: str) -> list[int]:
        monkeypatch.setenv("HOST_RUN_ORDER", order)
        indices = torch.zeros(6, dtype=torch.int32)
        assert call(examples.run_note_last, indices) == 0
        return indices.tolist()

    assert last("forward") == [1, 2, 3, 4, 5, 6]
    assert last("backward") == [0] * 6
    assert last("shuffled:1") == last("shuffled:1") != last("shuffled:2")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_narrow_numbers_are_torchs(examples: ctypes.CDLL, dtype: torch.dtype) -> None:
    half = dtype == torch.float16
    widen = examples.run_widen_half if half else examples.run_widen_bfloat16
    narrow = examples.run_narrow_half if half else examples.run_narrow_bfloat16

    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype)
    wide = torch.zeros(len(every))
    assert call(widen, every, wide, len(every)) == 0
    assert same_bits(wide, every.float())

    # Each number, the middles between neighbours, what is just beside these, and any bits.
    middles = every.float().view(torch.int32) + torch.tensor([[0], [1 << 12 if half else 1 << 15]], dtype=torch.int32)
    bits = torch.cat([(middles + step).flatten() for step in (-1, 0, 1)])
    anything = torch.randint(-(2**31), 2**31, [200_000]).int()
    wide = torch.cat([bits, anything]).view(torch.float32)
    found = torch.zeros(len(wide), dtype=dtype)
    assert call(narrow, wide, found, len(wide)) == 0
    assert same_bits(found, wide.to(dtype))


def same_bits(found: torch.Tensor, expected: torch.Tensor) -> bool:
    """Whether all numbers are the same, signs of zeros too, and the rest is no number in both."""
    numbers = ~expected.isnan()
    integer = torch.int32 if found.dtype == torch.float32 else torch.int16
    same = torch.equal(found.view(integer)[numbers], expected.view(integer)[numbers])
    return same and torch.equal(found.isnan(), ~numbers)


def test_floats_become_integers_as_on_a_gpu(examples: ctypes.CDLL) -> None:
    values = torch.tensor([-0.5, 0.5, 1.5, 2.5, -1e30, 1e30, float("inf"), float("nan")])
    below, nearest = torch.zeros(8, dtype=torch.int32), torch.zeros(8, dtype=torch.int64)
    assert call(examples.run_round_to_integers, values, below, nearest, 8) == 0
    assert below.tolist() == [-1, 0, 1, 2, -(2**31), 2**31 - 1, 2**31 - 1, 0]
    assert nearest.tolist() == [0, 0, 2, 2, -(2**63), 2**63 - 1, 2**63 - 1, -(2**63)]


def test_much_shared_memory_must_be_allowed_first(examples: ctypes.CDLL) -> None:
    assert examples.run_with_shared_bytes(48 * KIB, False) == 0
    assert examples.run_with_shared_bytes(48 * KIB + 4, False) == INVALID_VALUE
    assert examples.take_last_error() == INVALID_VALUE
    assert examples.take_last_error() == 0
    assert examples.run_with_shared_bytes(99 * KIB, True) == 0
    assert examples.run_with_shared_bytes(100 * KIB, True) == INVALID_VALUE


@pytest.mark.parametrize(
    "sizes",
    [(0, 1, 1, 1), (2**31, 1, 1, 1), (1, 65536, 1, 1), (1, 1, 65536, 1), (1, 1, 1, 0), (1, 1, 1, 1025)],
    ids=str,
)
def test_an_impossible_grid_is_refused(examples: ctypes.CDLL, sizes: tuple[int, ...]) -> None:
    assert examples.run_grid(*map(ctypes.c_uint, sizes)) == INVALID_CONFIGURATION


def run_mistake(program: Path, name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, name], capture_output=True, text=True, check=False)


def test_right_kernels_pass_the_sanitizer(sanitized: Path) -> None:
    result = run_mistake(sanitized, "none")
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("memory", "what"),
    [
        ("dynamic shared memory", "heap-buffer-overflow"),
        ("static shared memory", "global-buffer-overflow"),
        ("own array", "stack-buffer-overflow"),
    ],
)
def test_the_sanitizer_finds_a_write_past_the_end(sanitized: Path, memory: str, what: str) -> None:
    result = run_mistake(sanitized, memory)
    assert result.returncode != 0
    assert what in result.stderr
    assert "examples.cu" in result.stderr


@pytest.mark.parametrize(
    ("mistake", "thread", "message"),
    [
        ("ended lane", 0, "__shfl_xor_sync: waits for thread (3, 0, 0), which has ended"),
        ("no such lane", 0, "__shfl_xor_sync: waits for lane 2, which the block does not have"),
        ("lane at the barrier", 0, "__shfl_xor_sync: waits for thread (3, 0, 0), which is at __syncthreads in "),
        ("mask without itself", 1, "__shfl_xor_sync: the mask does not name the thread itself"),
        ("two barriers", 0, "__syncthreads: meets thread (32, 0, 0), which is at __syncthreads in "),
        ("odd address", 0, "__pipeline_memcpy_async: the destination is not aligned"),
    ],
)
def test_threads_that_would_not_meet_are_named(sanitized: Path, mistake: str, thread: int, message: str) -> None:
    result = run_mistake(sanitized, mistake)
    assert result.returncode < 0
    line = result.stderr.splitlines()[0]
    assert line.startswith(f"host_run: block (0, 0, 0), thread ({thread}, 0, 0), {HERE / 'examples.cu'}:")
    assert message in line


def test_an_unknown_order_is_named(sanitized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_RUN_ORDER", "sideways")
    expected = 'host_run: HOST_RUN_ORDER: got "sideways", expected forward, backward or shuffled:SEED'
    assert run_mistake(sanitized, "none").stderr.splitlines()[0] == expected


def test_the_device_has_as_many_multiprocessors_as_asked_for(
    examples: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert examples.count_multiprocessors() == 4
    monkeypatch.setenv("HOST_RUN_MULTIPROCESSORS", "1")
    assert examples.count_multiprocessors() == 1


def test_an_impossible_number_of_multiprocessors_is_named(sanitized: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_RUN_MULTIPROCESSORS", "none")
    expected = 'host_run: HOST_RUN_MULTIPROCESSORS: got "none", expected a number from 1 to 1000'
    assert run_mistake(sanitized, "multiprocessors").stderr.splitlines()[0] == expected
