from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tryon.data.folder import TryOnFolder
from tryon.errors import InputError
from tryon.prepare.networks import NORMALISATIONS, Network
from tryon.prepare.parser import LIP_NAMES, SCHEMES, Parser
from tryon.prepare.person import Sight
from tryon.prepare.pose_network import PoseNetwork
from tryon.prepare.writer import prepare

COLOURS = {"upper-clothes": (1, 0, 0), "face": (0, 1, 0), "left-arm": (0, 0, 1)}
CHANNELS = [0] * 6 + [1] * 6 + [2] * 7
"""The colour of the spot that a keypoint of the drawn pose networks is at."""


@pytest.fixture
def onnx() -> Any:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: make extras")
    return pytest.importorskip("onnx", reason="onnx is not installed: make extras")


def save(
    onnx: Any, path: Path, nodes: list[Any], constants: dict[str, np.ndarray], outputs: list[str], side: Any
) -> Path:
    tensor, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        nodes,
        "tiny",
        [tensor("input.1", kind, [1, 3, *side])],
        [tensor(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def draw_parser(onnx: Any, path: Path, normalisation: str, side: Any = (473, 473), fusion: bool = True) -> Path:
    """A parser like SCHP's exports that calls red clothes, green a face, blue an arm and black background."""
    how = NORMALISATIONS[normalisation]
    weights, bias = np.zeros((len(LIP_NAMES), 3), np.float32), np.full(len(LIP_NAMES), -1, np.float32)
    bias[0] = 0.5
    for name, colour in COLOURS.items():
        label = LIP_NAMES.index(name)
        ordered = colour[::-1] if how.blue_first else colour
        weights[label] = np.multiply(ordered, how.deviation)
        bias[label] = np.dot(ordered, how.mean)
    node = onnx.helper.make_node
    nodes = [
        node("AveragePool", ["input.1"], ["small"], kernel_shape=[4, 4], strides=[4, 4]),
        node("Conv", ["small", "weights", "bias"], ["fusion"]),
        node("Neg", ["fusion"], ["parsing"]),
        node("ReduceMax", ["fusion"], ["edge"], axes=[1], keepdims=1),
    ]
    outputs = ["parsing", "fusion", "edge"] if fusion else ["edge"]
    return save(onnx, path, nodes, {"weights": weights[:, :, None, None], "bias": bias}, outputs, side)


def draw_pose_network(onnx: Any, path: Path, kind: str, keypoints: int) -> Path:
    """A pose network that finds keypoints at the red, green and blue spots of a photo."""
    node = onnx.helper.make_node
    nodes = [node("Gather", ["input.1", "channels"], ["maps"], axis=1)]
    constants: dict[str, np.ndarray] = {"channels": np.array((CHANNELS + [2] * keypoints)[:keypoints], np.int64)}
    if kind == "heatmaps":
        nodes.append(node("MaxPool", ["maps"], ["heat"], kernel_shape=[4, 4], strides=[4, 4]))
        return save(onnx, path, nodes, constants, ["heat"], (256, 192))
    for name, axis, places in (("simcc_x", 2, 192), ("simcc_y", 3, 256)):
        nodes += [
            node("ReduceMax", ["maps"], [f"{name}_line"], axes=[axis], keepdims=0),
            node("Reshape", [f"{name}_line", f"{name}_apart"], [f"{name}_column"]),
            node("Expand", [f"{name}_column", f"{name}_twice"], [f"{name}_pairs"]),
            node("Reshape", [f"{name}_pairs", f"{name}_joined"], [name]),
        ]
        for part, shape in {"apart": (places, 1), "twice": (places, 2), "joined": (2 * places,)}.items():
            constants[f"{name}_{part}"] = np.array((1, keypoints, *shape), np.int64)
    return save(onnx, path, nodes, constants, ["simcc_x", "simcc_y"], (256, 192))


def spotted(size: tuple[int, int], spots: list[tuple[int, int]]) -> Image.Image:
    photo = np.zeros((*size, 3), np.uint8)
    for channel, (x, y) in enumerate(spots):
        photo[y - 3 : y + 4, x - 3 : x + 4, channel] = 255
    return Image.fromarray(photo)


def striped(height: int, width: int) -> tuple[Image.Image, np.ndarray]:
    """A photo of clothes below a face beside an arm on black, and its LIP labels."""
    photo, labels = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
    rows, columns = height // 4, width // 4
    for name, place in {
        "face": (slice(rows), slice(columns, 2 * columns)),
        "upper-clothes": (slice(rows, 3 * rows), slice(columns, 3 * columns)),
        "left-arm": (slice(rows, 3 * rows), slice(3 * columns, None)),
    }.items():
        photo[place] = np.multiply(COLOURS[name], 255)
        labels[place] = LIP_NAMES.index(name)
    return Image.fromarray(photo), labels


@pytest.mark.extras
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("size", [(400, 300), (200, 500)])
def test_a_parser_sees_the_photo_in_its_proportions_and_normalised_as_it_wants(
    onnx: Any, tmp_path: Path, normalisation: str, size: tuple[int, int]
) -> None:
    photo, labels = striped(*size)
    parser = Parser(draw_parser(onnx, tmp_path / "parser.onnx", normalisation), SCHEMES["lip"], normalisation)
    found = parser(photo, size)
    # Scores are a quarter of the input's size: outlines are off by some pixels of the photo.
    assert (found == labels).mean() > 0.97
    half = parser(photo, (size[0] // 2, size[1] // 2))
    assert (half == labels[::2, ::2]).mean() > 0.97


@pytest.mark.extras
def test_a_parser_that_leaves_its_size_open_gets_473_and_one_of_atr_512(onnx: Any, tmp_path: Path) -> None:
    path = draw_parser(onnx, tmp_path / "parser.onnx", "unit", ("height", "width"))
    assert Network(path, "unit", (473, 473)).size == (473, 473)
    photo, labels = striped(240, 180)
    assert (Parser(path, SCHEMES["lip"], "unit")(photo, (240, 180)) == labels).mean() > 0.97
    with pytest.raises(
        InputError, match=r"parsing \[1, 20, 128, 128\].*wanted 1 x 18 x h x w: a channel for each label"
    ):
        Parser(path, SCHEMES["atr"], "unit")(photo, (240, 180))


@pytest.mark.extras
@pytest.mark.parametrize(("kind", "count"), [("simcc", 17), ("simcc", 133), ("heatmaps", 17), ("heatmaps", 19)])
@pytest.mark.parametrize("size", [(300, 400), (500, 220)])
def test_a_pose_network_s_keypoints_are_where_the_photo_has_them(
    onnx: Any, tmp_path: Path, kind: str, count: int, size: tuple[int, int]
) -> None:
    spots = [(60, 80), (100, 120), (90, 200)]
    network = PoseNetwork(draw_pose_network(onnx, tmp_path / "pose.onnx", kind, count), "unit", 0.3)
    keypoints = network(spotted(size, spots))
    # Of COCO's: nose, eyes, ears and left shoulder are red; of OpenPose's: nose to left shoulder. A spot has 7 pixels.
    red = (0, 5, 14, 15, 16, 17) if count != 19 else (0, 1, 2, 3, 4, 5)
    blue = (8, 9, 10, 12, 13) if count != 19 else (12, 13, 14, 15, 16, 17)
    np.testing.assert_allclose(keypoints[list(red), :2], [spots[0]] * len(red), atol=5)
    np.testing.assert_allclose(keypoints[list(blue), :2], [spots[2]] * len(blue), atol=5)
    assert (keypoints[:, 2] > 0.3).all()
    if count != 19:
        np.testing.assert_allclose(keypoints[1, :2], np.mean([spots[0], spots[1]], axis=0), atol=5)  # the neck


@pytest.mark.extras
def test_what_a_pose_network_is_not_sure_of_is_absent(onnx: Any, tmp_path: Path) -> None:
    network = PoseNetwork(draw_pose_network(onnx, tmp_path / "pose.onnx", "simcc", 17), "unit", 0.3)
    assert not network(Image.new("RGB", (90, 120))).any()
    half = spotted((200, 150), [(60, 80)])
    keypoints = network(half)
    assert keypoints[0, 2] > 0.3
    assert not keypoints[[1, *range(6, 14)]].any()


@pytest.mark.extras
def test_files_that_are_no_such_network_are_refused_with_what_they_have(onnx: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    with pytest.raises(InputError, match=r"bad\.onnx: no such file, wanted an ONNX network"):
        Network(bad, "unit", (64, 64))
    bad.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"bad\.onnx: cannot be read as an ONNX network"):
        Network(bad, "unit", (64, 64))
    parser = draw_parser(onnx, tmp_path / "edges.onnx", "unit", fusion=False)
    with pytest.raises(
        InputError, match=r"edges\.onnx: found the outputs edge \[1, 1, 118, 118\], wanted 1 x 20 x h x w"
    ):
        Parser(parser, SCHEMES["lip"], "unit")(Image.new("RGB", (30, 40)), (40, 30))
    with pytest.raises(InputError, match=r"edges\.onnx: found the outputs edge .* wanted two of 1 x K x places"):
        PoseNetwork(parser, "unit", 0.3)(Image.new("RGB", (30, 40)))
    node = onnx.helper.make_node("Identity", ["input.1"], ["out"])
    odd = save(onnx, tmp_path / "odd.onnx", [node], {}, ["out"], (64,))
    with pytest.raises(
        InputError, match=r"odd\.onnx: found the input tensor\(float\) \[1, 3, 64\], wanted one picture"
    ):
        Network(odd, "unit", (64, 64))


@pytest.mark.extras
def test_own_photos_are_prepared_with_a_parser_and_a_pose_network(onnx: Any, own_photos: Path, tmp_path: Path) -> None:
    photo, _ = striped(256, 192)
    for kind in ("labels", "poses"):
        shutil.rmtree(own_photos / kind)
    for path in (own_photos / "people").iterdir():
        photo.save(path)
    parser = Parser(draw_parser(onnx, tmp_path / "parser.onnx", "imagenet-bgr"), SCHEMES["lip"], "imagenet-bgr")
    pose = PoseNetwork(draw_pose_network(onnx, tmp_path / "pose.onnx", "simcc", 17), "imagenet", 0.3)
    prepare(own_photos, tmp_path / "out", Sight((64, 64), SCHEMES["lip"], parser, pose, whole=True))
    folder = TryOnFolder(tmp_path / "out", "train")
    person = folder.read_person(folder.people[0])
    assert person.regions is not None
    assert person.keypoints is not None
    assert person.regions.face.sum() > 100
    assert (person.keypoints[:, 2] == 1).any()


def test_a_least_score_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--confidence: found 1\.5, wanted a score between 0 and 1"):
        PoseNetwork(tmp_path / "pose.onnx", "imagenet", 1.5)


def test_without_onnxruntime_a_network_is_refused_with_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        InputError, match=r"pose\.onnx: found no onnxruntime to run it; pip install tryon-kernels\[prepare\]"
    ):
        Network(tmp_path / "pose.onnx", "imagenet", (256, 192))
