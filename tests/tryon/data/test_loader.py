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
