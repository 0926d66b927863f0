import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tryon.data.check import FolderCheck
from tryon.data.folder import TryOnFolder, read_pairs
from tryon.data.synthetic import synthesize
from tryon.data.synthetic.writer import unpaired_garments
from tryon.errors import InputError

SIZE = (64, 48)
TRAIN, TEST = 3, 3


def write(out: Path, seed: int = 0, noise: float = 0.0, train: int = TRAIN, processes: int = 1) -> Path:
    synthesize(out, train=train, test=TEST, size=SIZE, seed=seed, parsing_noise=noise, processes=processes)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("synthetic") / "data")


def picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_folder_holds_one_file_of_each_kind_for_each_sample(folder: Path) -> None:
    expected = {"dataset.json", "test_pairs_paired.txt", "test_pairs_unpaired.txt"}
    for split, garments, count in (("train", "color", TRAIN), ("test", "clothes", TEST)):
        for i in range(count):
            expected |= {f"{split}_{kind}/{i:06d}_0.png" for kind in ("img", "label")}
            expected |= {f"{split}_{kind}/{i:06d}_1.png" for kind in (garments, "edge")}
            expected |= {f"{split}_densepose/{i:06d}_0.npy", f"{split}_pose/{i:06d}_0_keypoints.json"}
    expected |= {f"train_flow/{i:06d}_0.npz" for i in range(TRAIN)}
    for kind in ("paired", "unpaired"):
        for line in (folder / f"test_pairs_{kind}.txt").read_text().splitlines():
            person, garment = (name.removesuffix(".png") for name in line.split())
            expected |= {f"test_truth/{person}__{garment}.png", f"test_truth_label/{person}__{garment}.png"}
            expected |= {f"test_flow/{person}__{garment}.npz"}
    assert set(contents(folder)) == expected


def test_the_folder_says_what_it_is(folder: Path) -> None:
    assert json.loads((folder / "dataset.json").read_text()) == {
        "format": 1,
        "kind": "synthetic",
        "height": 64,
        "width": 48,
        "seed": 0,
        "parsing_noise": 0.0,
        "label_scheme": "viton",
    }


def test_files_have_the_modes_and_shapes_of_vitons(folder: Path) -> None:
    modes = {"train_img": "RGB", "train_color": "RGB", "train_edge": "L", "train_label": "L", "test_truth": "RGB"}
    modes |= {"test_label": "L", "test_truth_label": "L"}
    for kind, mode in modes.items():
        for path in (folder / kind).iterdir():
            with Image.open(path) as image:
                assert (image.mode, image.size) == (mode, SIZE[::-1])
    assert set(np.unique(picture(folder / "train_edge" / "000000_1.png"))) == {0, 255}
    densepose = np.load(folder / "train_densepose" / "000000_0.npy")
    assert (densepose.dtype, densepose.shape) == (np.uint8, SIZE)
    flow = np.load(folder / "train_flow" / "000000_0.npz")["source"]
    assert (flow.dtype, flow.shape) == (np.float32, (2, *SIZE))
    pose = json.loads((folder / "train_pose" / "000000_0_keypoints.json").read_text())
    assert len(pose["people"][0]["pose_keypoints"]) == 54


def test_the_reader_takes_the_folder(folder: Path) -> None:
    check = FolderCheck(folder, (64, 64))
    check.run()
    assert len(check.summaries) == 2
    assert check.findings == []
    train = TryOnFolder(folder, "train")
    assert train.has_densepose
    assert len(train.labelled_people) == TRAIN
    assert len(read_pairs(folder / "test_pairs_unpaired.txt")) == TEST


def test_the_same_arguments_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert contents(write(tmp_path / "again")) == contents(folder)


def test_several_processes_draw_what_one_does(folder: Path, tmp_path: Path) -> None:
    assert contents(write(tmp_path / "together", processes=2)) == contents(folder)


def test_another_seed_gives_other_people(folder: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other", seed=1)
    for i in range(TRAIN):
        name = f"train_img/{i:06d}_0.png"
        assert (folder / name).read_bytes() != (other / name).read_bytes()


def test_a_sample_does_not_depend_on_how_many_there_are(folder: Path, tmp_path: Path) -> None:
    fewer = contents(write(tmp_path / "fewer", train=1))
    everything = contents(folder)
    assert all(everything[name] == data for name, data in fewer.items())


def test_the_paired_truth_is_the_photo(folder: Path) -> None:
    for line in (folder / "test_pairs_paired.txt").read_text().splitlines():
        person, garment = (name.removesuffix(".png") for name in line.split())
        truth = picture(folder / "test_truth" / f"{person}__{garment}.png")
        np.testing.assert_array_equal(truth, picture(folder / "test_img" / f"{person}.png"))


@pytest.mark.parametrize("count", [2, 3, 7, 50])
def test_nobody_gets_their_own_garment_in_the_unpaired_list(count: int) -> None:
    for seed in range(5):
        garments = unpaired_garments(seed, count)
        assert sorted(garments) == list(range(count))
        assert (garments != np.arange(count)).all()


def test_noise_changes_the_parsing_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    noisy, exact = contents(write(tmp_path / "noisy", noise=0.6)), contents(folder)
    assert noisy.keys() == exact.keys()
    changed = {name for name in exact if noisy[name] != exact[name]} - {"dataset.json"}
    assert changed == {name for name in exact if name.startswith(("train_label/", "test_label/"))}


def test_progress_counts_people(tmp_path: Path) -> None:
    steps: list[int] = []
    synthesize(tmp_path / "data", train=2, test=2, size=(32, 32), seed=0, progress=steps.append)
    assert steps == [1] * 4


def test_one_split_may_be_left_out(tmp_path: Path) -> None:
    synthesize(tmp_path / "data", train=1, test=0, size=(32, 32), seed=0)
    assert not list((tmp_path / "data").glob("test*"))


def test_an_empty_folder_may_be_there_already(tmp_path: Path) -> None:
    synthesize(tmp_path, train=1, test=0, size=(32, 32), seed=0)
    assert (tmp_path / "dataset.json").exists()


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="want a new or empty one") as error:
        write(tmp_path)
    assert str(tmp_path) in str(error.value)
    assert contents(tmp_path) == {"mine.txt": b"keep"}


@pytest.mark.parametrize("processes", [1, 2])
def test_an_interrupted_run_leaves_nothing(tmp_path: Path, processes: int) -> None:
    def interrupt(people: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path / "data", train=2, test=0, size=(32, 32), seed=0, progress=interrupt, processes=processes)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"train": -1}, "train: -1"),
        ({"test": 1}, "test: 1"),
        ({"test": -2}, "test: -2"),
        ({"train": 0, "test": 0}, "train and test"),
        ({"size": (16, 48)}, "size: 16x48"),
        ({"seed": -1}, "seed: -1"),
        ({"parsing_noise": 1.5}, "parsing_noise: 1.5"),
        ({"parsing_noise": float("nan")}, "parsing_noise: nan"),
    ],
)
def test_an_argument_out_of_range_is_named(wrong: dict, named: str, tmp_path: Path) -> None:
    arguments = {"train": 1, "test": 2, "size": (32, 32), "seed": 0, **wrong}
    with pytest.raises(InputError, match=named):
        synthesize(tmp_path / "data", **arguments)
    assert not list(tmp_path.iterdir())
