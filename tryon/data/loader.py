"""Batches for training, in an order that is a pure function of the seed: a resumed run sees what it would have seen."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from tryon.data.fakes import Fakes
from tryon.data.folder import TryOnFolder
from tryon.data.sample import Sample, stack
from tryon.errors import InputError, TrainingError

PR_SET_PDEATHSIG = 1  # of <linux/prctl.h>

Draw = tuple[int, int]  # index of the person, index of the other garment


class PairedSamples(Dataset["Sample | InputError"]):
    """Training samples by draw, with fake pictures where there are some.

    A file that cannot be read gives the error as a value: raised in a reading process it would arrive as a traceback.
    """

    def __init__(self, folder: TryOnFolder, fakes: Fakes | None) -> None:
        self.folder = folder
        self.fakes = fakes

    def __getitem__(self, draw: Draw) -> Sample | InputError:
        """Read a person with the own garment, and another garment."""
        person, other = draw
        try:
            sample = self.folder.read_sample(self.folder.people[person], self.folder.people[other])
            return sample if self.fakes is None else replace(sample, fake=self.fakes.read(person, other))
        except InputError as error:
            return error


class BatchDraws(Sampler[list[Draw]]):
    """Endless draws in batches: every epoch a new order and a new other garment for every person.

    The order is a function of seed and epoch alone. A step takes the next ``batch * processes * accumulate`` draws of
    it; each time its batches are gathered, process after process takes the next of them. So the draws of a step are
    the same in one process as in several of a smaller batch.

    Args:
        people: number of people; at least 2, so that there is another garment.
        batch: draws that a process takes at a time. What does not fill a step at an epoch's end is dropped.
        seed: with the epoch, decides the order.
        start: steps to skip.
        accumulate: batches that a process takes in a step.
        rank: which process takes them.
        processes: how many take batches.
    """

    def __init__(
        self,
        people: int,
        batch: int,
        seed: int,
        start: int = 0,
        accumulate: int = 1,
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.people = people
        self.batch = batch
        self.seed = seed
        self.start = start
        self.rank = rank
        self.processes = processes
        self.step_draws = batch * processes * accumulate
        self.steps_per_epoch = people // self.step_draws

    def epoch_draws(self, epoch: int) -> list[list[Draw]]:
        """The draws of every step of an epoch, of all processes."""
        generator = np.random.default_rng([self.seed, epoch])
        order = generator.permutation(self.people)
        others = (order + generator.integers(1, self.people, size=self.people)) % self.people
        draws = list(zip(order.tolist(), others.tolist(), strict=True))
        return [draws[i * self.step_draws : (i + 1) * self.step_draws] for i in range(self.steps_per_epoch)]

    def at(self, index: int) -> list[Draw]:
        """The draws of the step that has ``index`` steps before it."""
        epoch, place = divmod(index, self.steps_per_epoch)
        return self.epoch_draws(epoch)[place]

    def __iter__(self) -> Iterator[list[Draw]]:
        """Yield this process's batches without end, from the step `start` on."""
        epoch, skipped = divmod(self.start, self.steps_per_epoch)
        while True:
            for draws in self.epoch_draws(epoch)[skipped:]:
                for first in range(self.rank * self.batch, self.step_draws, self.processes * self.batch):
                    yield draws[first : first + self.batch]
            epoch, skipped = epoch + 1, 0


def training_batches(
    folder: TryOnFolder, draws: BatchDraws, workers: int, fakes: Fakes | None = None
) -> Iterator[Sample]:
    """Stacked samples without end. The reading processes end with this one, however it ends.

    Raises:
        InputError: at the batch in which a file cannot be read.
    """
    loader = DataLoader(
        PairedSamples(folder, fakes),
        batch_sampler=draws,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=partial(_begin_worker, os.getpid()),
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        yield batch


@contextmanager
def needing_workers() -> Iterator[None]:
    """Around all that runs beside reading processes: TrainingError where one of them ended.

    torch raises its own error, from the signal that tells of the end, wherever the process is.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise TrainingError(f"a process that reads data ended ({str(error).splitlines()[0].strip()})") from None


def _begin_worker(trainer: int, _: int) -> None:
    """Leave to the trainer the signals that all processes of a group get, and die with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=_end_when_told_by, args=(trainer,), daemon=True).start()
    if sys.platform == "linux":  # elsewhere torch's own look at the parent, every few seconds, has to do
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _end_when_told_by(trainer: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)


def _collate(samples: list[Sample | InputError]) -> Sample | InputError:
    whole = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        whole.append(sample)
    return stack(whole)
