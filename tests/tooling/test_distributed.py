"""DistributedDataParallel: two processes with half of a batch each have the gradients of one with all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from tests.tooling.matcher import loss_of, matcher, pictures

PROCESSES = 2


def backward_on_a_share(rank: int, folder: Path) -> None:
    """What each process does: gradients of its share of the batch, averaged over all, in a file."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'rendezvous'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=PROCESSES)
    network = DistributedDataParallel(matcher())
    loss_of(network(*(picture.chunk(PROCESSES)[rank] for picture in pictures(4, 8, 10)))).backward()
    torch.save([weight.grad for weight in network.parameters()], folder / f"{rank}.pt")
    distributed.barrier()
    os._exit(0)  # gloo's threads, taken down at exit, now and then abort the process: that is not what is tested


@pytest.mark.skipif(
    not distributed.is_available() or not distributed.is_gloo_available(), reason="this torch has no gloo"
)
def test_two_processes_have_the_gradients_of_the_joined_batch(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(backward_on_a_share, args=(tmp_path,), nprocs=PROCESSES)
    network = matcher()
    loss_of(network(*pictures(4, 8, 10))).backward()
    for rank in range(PROCESSES):
        gradients = torch.load(tmp_path / f"{rank}.pt")
        torch.testing.assert_close(gradients, [weight.grad for weight in network.parameters()])
