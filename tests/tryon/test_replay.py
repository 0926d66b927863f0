"""Calls replayed from a CUDA graph. Without a GPU, what replays here computes again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch

from tests.one_device import META, OnOneDevice
from tests.tryon.recording import ComputedAgain, needs_gpu, without_streams
from tryon import TryOn, replay
from tryon.data.sample import Garment, Person, move, tensors_of
from tryon.networks.frozen import freeze
from tryon.replay import WARM_UP, Recording, Replayed, launch
from tryon.weights import load_model

CALLS = WARM_UP + 3
PRECISIONS = ("fp32", "bf16", "fp16")


def doubled(garment: Garment) -> tuple[Garment, None]:
    """Twice what there is of a garment, and what there is not."""
    return Garment(2 * garment.image, 2 * garment.mask), None


def a_garment(number: float, size: int = 3) -> Garment:
    return Garment(torch.full((1, 3, size, size), float(number)), torch.ones(1, 1, size, size))


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Replayed[tuple[Garment, None]]:
    monkeypatch.setattr(replay, "Recording", ComputedAgain)
    without_streams(monkeypatch)
    return Replayed(doubled)


def test_each_call_has_its_own_result(replayed: Replayed[tuple[Garment, None]]) -> None:
    results = [replayed(a_garment(number)) for number in range(CALLS)]
    for number, (garment, nothing) in enumerate(results):
        assert torch.equal(garment.image, torch.full((1, 3, 3, 3), 2.0 * number))
        assert torch.equal(garment.mask, torch.full((1, 1, 3, 3), 2.0))
        assert nothing is None


def test_what_is_given_is_not_changed(replayed: Replayed[tuple[Garment, None]]) -> None:
    given = [a_garment(number) for number in range(CALLS)]
    for garment in given:
        replayed(garment)
    assert [float(garment.image.mean()) for garment in given] == list(range(CALLS))


@pytest.mark.parametrize("call", [launch, Recording])
def test_streams_are_of_the_gpu_that_computes(call: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, garment = without_streams(monkeypatch), a_garment(1)
    call(doubled, garment)
    cuda.side_stream.assert_called_once_with(garment.image.device)
    cuda.device.assert_called_once_with(garment.image.device)
    cuda.stream.assert_called_once_with(cuda.side_stream.return_value)
    if call is Recording:
        assert cuda.graph.call_args.kwargs["stream"] is cuda.side_stream.return_value


def test_what_cannot_be_recorded_is_launched_with_a_warning(
    replayed: Replayed[tuple[Garment, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "Recording", MagicMock(side_effect=RuntimeError("out of memory\nand more")))
    for number in range(WARM_UP):
        replayed(a_garment(number))
    with pytest.warns(UserWarning, match=r"^no CUDA graph of .* could be recorded: out of memory$") as said:
        results = [replayed(a_garment(number)) for number in range(3)]
    assert len(said) == 1
    assert [float(garment.image[0, 0, 0, 0]) for garment, _ in results] == [0, 2, 4]


def test_what_is_recorded_is_dropped_for_other_shapes(replayed: Replayed[tuple[Garment, None]]) -> None:
    for size in (3, 5, 3):
        for number in range(CALLS):
            garment, _ = replayed(a_garment(number, size))
            assert torch.equal(garment.image, torch.full((1, 3, size, size), 2.0 * number))
            assert (replayed._recording is not None) == (number >= WARM_UP)


def test_one_of_another_shape_in_between_is_launched(replayed: Replayed[tuple[Garment, None]]) -> None:
    for number in range(CALLS):
        replayed(a_garment(number, 3 + number % 2))
    assert replayed._recording is None


def test_threads_get_what_they_asked_for(replayed: Replayed[tuple[Garment, None]]) -> None:
    wrong = []

    def double_slowly(garment: Garment) -> tuple[Garment, None]:
        time.sleep(1e-3)  # others come in between, where they can
        return doubled(garment)

    replayed.function = double_slowly

    def ask(number: int) -> None:
        for _ in range(5):
            garment, _ = replayed(a_garment(number))
            if not torch.equal(garment.image, torch.full((1, 3, 3, 3), 2.0 * number)):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_dressing_does_not_wait_for_the_gpu(sharp_run: Path) -> None:
    student, _ = load_model(sharp_run / "student", role="student")
    freeze(student.to(META))
    photo, mask = torch.zeros(1, 3, 64, 48), torch.ones(1, 1, 64, 48)
    person, garment = move((Person(photo, None, None, None), Garment(photo, mask)), META)
    with torch.inference_mode(), OnOneDevice():
        result = student(person, garment)
    assert all(tensor.device == META for tensor in tensors_of(result))


def test_a_cpu_replays_nothing(tiny_run: Path) -> None:
    assert TryOn.load(tiny_run / "student")._replayed is None


@needs_gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_replayed_pictures_are_those_that_are_not(precision: str, tiny_run: Path) -> None:
    from tests.tryon.test_inference import picture

    graphed = TryOn.load(tiny_run / "student", "cuda", precision)
    launched = TryOn.load(tiny_run / "student", "cuda", precision, graph=False)
    for number in range(CALLS):
        person, garment = picture(96, 64, seed=number), picture(70, 50, seed=number + 100)
        assert graphed(person, garment).tobytes() == launched(person, garment).tobytes()
    assert launched._replayed is None
    assert graphed._replayed is not None
    assert graphed._replayed._recording is not None
