from __future__ import annotations

import shutil
from itertools import chain, islice
from pathlib import Path

import pytest

from tryon.data.folder import TryOnFolder
from tryon.data.loader import BatchDraws, training_batches
from tryon.errors import InputError


def test_an_epoch_shows_every_person_once_beside_anothers_garment() -> None:
    draws = BatchDraws(people=10, batch=5, seed=3)
    epoch = [draw for batch in draws.epoch_draws(0) for draw in batch]
    assert sorted(person for person, _ in epoch) == list(range(10))
    assert all(person != other for person, other in epoch)


def test_every_epoch_has_an_order_and_garments_of_its_own() -> None:
    draws = BatchDraws(people=10, batch=5, seed=3)
    assert draws.epoch_draws(0) != draws.epoch_draws(1)
    first, second = (dict(chain.from_iterable(draws.epoch_draws(epoch))) for epoch in range(2))
    assert first != second


def test_the_order_depends_on_the_seed_alone() -> None:
    first, again, other = (list(islice(BatchDraws(7, 2, seed), 9)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_starting_later_continues_the_same_order() -> None:
    whole = list(islice(BatchDraws(7, 2, seed=1), 11))
    assert list(islice(BatchDraws(7, 2, seed=1, start=4), 7)) == whole[4:]


def test_the_batch_at_a_place_is_found_without_those_before() -> None:
    draws = BatchDraws(7, 2, seed=1)
    assert [draws.at(index) for index in range(8)] == list(islice(draws, 8))


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_batches_of_all_processes_together_are_those_of_one_that_takes_as_many(accumulate: int) -> None:
    one = islice(BatchDraws(40, batch=4, seed=1, start=2, accumulate=accumulate), 20)
    two = [islice(BatchDraws(40, 2, 1, 2, accumulate, rank, processes=2), 20) for rank in range(2)]
    assert list(one) == [first + second for first, second in zip(*two, strict=True)]


@pytest.mark.parametrize(("batch", "accumulate", "processes"), [(6, 1, 1), (3, 2, 1), (3, 1, 2), (1, 3, 2)])
def test_a_step_has_the_same_draws_however_they_are_shared(batch: int, accumulate: int, processes: int) -> None:
    draws = BatchDraws(20, batch, seed=1, accumulate=accumulate, processes=processes)
    assert [draws.at(step) for step in range(8)] == [BatchDraws(20, 6, seed=1).at(step) for step in range(8)]


def test_what_does_not_fill_a_step_is_dropped_at_the_end_of_an_epoch() -> None:
    shares = [BatchDraws(11, 2, 1, accumulate=2, rank=rank, processes=2) for rank in range(2)]
    assert shares[0].steps_per_epoch == 1
    epoch = [draw for share in shares for batch in islice(share, 2) for draw in batch]
    assert sorted(epoch) == sorted(shares[0].epoch_draws(0)[0])
    assert len({person for person, _ in epoch}) == 8
    assert next(islice(shares[0], 2, None)) == shares[0].at(1)[:2]  # of the next epoch


def test_batches_are_stacked_samples(drawn_data: Path) -> None:
    folder = TryOnFolder(drawn_data, "train")
    draws = BatchDraws(len(folder.people), batch=2, seed=0)
    batch = next(training_batches(folder, draws, workers=0))
    (person, other), _ = draws.epoch_draws(0)[0]
    wanted = folder.read_sample(folder.people[person], folder.people[other])
    assert batch.person.photo.shape == (2, 3, 64, 64)
    assert (batch.person.photo[0] == wanted.person.photo).all()
    assert (batch.other.image[0] == wanted.other.image).all()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_file_that_cannot_be_read_is_one_line(drawn_data: Path, tmp_path: Path, workers: int) -> None:
    data = Path(shutil.copytree(drawn_data, tmp_path / "data"))
    (data / "train_img" / "000003_0.png").write_bytes(b"no image")
    folder = TryOnFolder(data, "train")
    batches = training_batches(folder, BatchDraws(len(folder.people), batch=5, seed=0), workers)
    with pytest.raises(InputError) as caught:
        next(batches)
    assert "000003_0.png" in str(caught.value)
    assert "\n" not in str(caught.value)
