"""Training in several processes: joined and parted, agreed on settings, the gradients averaged."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tryon.data.sample import Sample
from tryon.distributed import processes
from tryon.errors import InputError, TrainingError
from tryon.stages import Stage, StepResult

Step: TypeAlias = Callable[[Sample, bool], StepResult]

SECONDS_TO_PART = 20
_FAILED, _INTERRUPTED = 1, 130  # exit codes of processes for which another one speaks


def started_together() -> bool:
    """Whether the environment names several processes, as torchrun does."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: str | None) -> Iterator[str]:
    """Join the processes that torchrun started; yields the device of this one.

    Where one of them fails, all end, and the first alone says why: from the others comes a SystemExit.

    Args:
        device: "cpu" (gloo) or "cuda" (NCCL, a GPU for each process); by default cuda where it is there.

    Raises:
        InputError: another device, or fewer GPUs than processes on this machine.
        TrainingError: another process ended without a word.
    """
    own = _own_device(device)
    store, own_rank, count = next(distributed.rendezvous("env://"))
    # Tensors of the CPU go through gloo in both: whether to stop, and the settings.
    backend = "gloo" if own == "cpu" else "cpu:gloo,cuda:nccl"
    members = distributed.PrefixStore("members", store)
    distributed.init_process_group(backend, store=members, rank=own_rank, world_size=count)
    try:
        yield own
        distributed.barrier()
    except SystemExit:  # all stop, as they agreed to
        distributed.destroy_process_group()
        raise
    except BaseException as error:
        # What this process still has under way may wait for others that wait for it.
        signal.alarm(SECONDS_TO_PART)
        if not _fails_first(store):
            raise SystemExit(_INTERRUPTED if isinstance(error, KeyboardInterrupt) else _FAILED) from None
        if isinstance(error, RuntimeError) and _is_of_the_connection(error):
            raise TrainingError(f"another process of this run ended ({str(error).splitlines()[0]})") from None
        raise
    distributed.destroy_process_group()


def check_same(folder: Path, own: Mapping[str, Any]) -> None:
    """Wait for all processes here; InputError where they were asked for different runs, or read different files."""
    if processes() == 1:
        return
    every: list[Any] = [None] * processes()
    distributed.all_gather_object(every, dict(own))
    for number, other in enumerate(every):
        for name, value in every[0].items():
            if other[name] != value:
                raise InputError(
                    f"{folder}: found {name} {other[name]} in process {number} and {value} in process 0,"
                    " wanted one command, and folders that all processes see"
                )


def averaging(stage: Stage) -> Step:
    """A stage's step, after whose backward gradients are the mean over all processes: of what learns as of now."""
    if processes() == 1:
        return stage.step
    return DistributedDataParallel(_StepModule(stage), gradient_as_bucket_view=True)


def collecting(step: Step, last: bool) -> AbstractContextManager[Any]:
    """Around each step and backward whose gradients add up: those of the ``last`` have the mean taken."""
    return step.no_sync() if isinstance(step, DistributedDataParallel) and not last else nullcontext()


class _StepModule(nn.Module):
    """A step as a module's call, without the stage's buffers, which are the same in all processes of themselves."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.weights = nn.ParameterList(stage.model.parameters())
        self.step = stage.step

    def forward(self, sample: Sample, second_half: bool) -> StepResult:
        """The step."""
        return self.step(sample, second_half)


def _own_device(given: str | None) -> str:
    if given not in (None, "cpu", "cuda"):
        raise InputError(f"--device: found {given} with several processes, wanted cpu, or cuda for a GPU each")
    if given == "cpu" or not torch.cuda.is_available():
        return "cpu"
    if "LOCAL_RANK" not in os.environ:
        raise InputError("LOCAL_RANK: not set, wanted it beside RANK and WORLD_SIZE, as torchrun sets it")
    number, gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= gpus:
        raise InputError(f"--device: found {gpus} GPUs for process {number} of this machine, wanted one for each")
    torch.cuda.set_device(number)
    return f"cuda:{number}"


def _fails_first(store: distributed.Store) -> bool:
    """Whether no other process has failed before."""
    try:
        return bool(store.add("failures", 1) == 1)
    except RuntimeError:  # the store is gone, with a process or torchrun
        return False


def _is_of_the_connection(error: RuntimeError) -> bool:
    return isinstance(error, distributed.DistError) or "gloo" in str(error)
