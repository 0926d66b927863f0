"""The node is loaded as ComfyUI loads a folder of ``custom_nodes``, and called as it calls one."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tryon import InputError, TryOn

FOLDER = Path(__file__).parents[2] / "integrations" / "comfyui"


@pytest.fixture
def weights(tiny_run: Path) -> str:
    return str(tiny_run / "student")


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """The folder, linked into custom_nodes, as a module of the name that ComfyUI gives it."""
    path = tmp_path_factory.mktemp("custom_nodes") / "tryon.node"
    path.symlink_to(FOLDER)
    name = str(path).replace(".", "_x_")
    spec = importlib.util.spec_from_file_location(name, os.path.join(path, "__init__.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture
def node(module: ModuleType) -> Any:
    return module.NODE_CLASS_MAPPINGS["TryOn"]()


def pictures(count: int, height: int = 64, width: int = 64) -> Tensor:
    """Noise inside a white frame, of whole grey levels."""
    images = torch.ones(count, height, width, 3)
    levels = torch.randint(0, 200, (count, height // 2, width // 2, 3), generator=torch.Generator().manual_seed(0))
    images[:, height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2] = levels / 255
    return images


def as_picture(image: Tensor) -> Image.Image:
    return Image.fromarray((image * 255).round().to(torch.uint8).numpy())


def call(node: Any, **inputs: Any) -> tuple[Tensor, ...]:
    """What ComfyUI does: the function by its name, with the inputs by theirs."""
    declared = node.INPUT_TYPES()
    assert set(inputs) - {"device"} <= {*declared["required"], *declared["optional"]}
    return getattr(node, node.FUNCTION)(**{"device": "cpu", **inputs})


def test_the_folder_declares_a_node_as_comfyui_wants_one(module: ModuleType) -> None:
    assert module.NODE_DISPLAY_NAME_MAPPINGS.keys() == module.NODE_CLASS_MAPPINGS.keys()
    for node in module.NODE_CLASS_MAPPINGS.values():
        declared = node.INPUT_TYPES()
        kinds = {name: kind for group in declared.values() for name, (kind, *_) in group.items()}
        assert kinds["person"] == kinds["garment"] == "IMAGE"
        assert (kinds["mask"], kinds["weights"]) == ("MASK", "STRING")
        assert "mask" in declared["optional"]
        assert node.RETURN_TYPES == ("IMAGE", "IMAGE", "MASK")
        assert len(node.RETURN_NAMES) == len(node.OUTPUT_TOOLTIPS) == len(node.RETURN_TYPES)
        assert callable(getattr(node, node.FUNCTION))
        assert node.CATEGORY


def test_it_dresses_as_the_package_does(node: Any, weights: str) -> None:
    person, garment = pictures(1, 96, 72), pictures(1)
    image, warped, mask = call(node, person=person, garment=garment, weights=weights)
    wanted = TryOn.load(weights)(as_picture(person[0]), as_picture(garment[0]))
    np.testing.assert_array_equal(np.asarray(as_picture(image[0])), np.asarray(wanted))
    assert image.shape == warped.shape == (1, 96, 72, 3)
    assert mask.shape == (1, 96, 72)
    assert image.dtype == warped.dtype == mask.dtype == torch.float32
    for one in (image, warped, mask):
        assert 0 <= one.min() <= one.max() <= 1
    assert (warped[mask == 0] == 1).all()  # on white
    assert mask.max() == 1


@pytest.mark.parametrize(("people", "garments"), [(3, 3), (3, 1), (1, 3)])
def test_a_batch_is_dressed_one_by_one(node: Any, weights: str, people: int, garments: int) -> None:
    person, garment = pictures(people), pictures(garments)
    images = call(node, person=person, garment=garment, weights=weights)[0]
    assert len(images) == 3
    for place in range(3):
        own = {"person": person[place % people, None], "garment": garment[place % garments, None]}
        assert torch.equal(call(node, weights=weights, **own)[0][0], images[place])


def test_a_mask_says_what_the_garment_is_and_so_does_transparency(node: Any, weights: str) -> None:
    person, garment = pictures(1), pictures(1)
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 20:40] = 1
    masked = call(node, person=person, garment=garment, mask=mask, weights=weights)
    assert not torch.equal(masked[0], call(node, person=person, garment=garment, weights=weights)[0])
    clear = torch.cat((garment, mask[..., None]), dim=-1)
    cut_out = call(node, person=person, garment=torch.cat((garment, mask[..., None]), dim=-1), weights=weights)
    assert clear.shape[-1] == 4
    assert torch.equal(masked[2], cut_out[2])
    assert torch.equal(masked[2], call(node, person=person, garment=garment, mask=mask[0], weights=weights)[2])


def test_weights_that_were_trained_again_are_loaded_again(node: Any, weights: str, tmp_path: Path) -> None:
    folder = shutil.copytree(weights, tmp_path / "student")
    inputs = {"person": pictures(1), "garment": pictures(1), "weights": str(folder)}
    before = call(node, **inputs)[0]
    changed = node.IS_CHANGED(**inputs)
    record = (folder / "model.json").read_text()
    shutil.copy(Path(weights).parent / "student-warp" / "warp.safetensors", folder)
    os.utime(folder / "model.json", (1, 1))
    assert record == (folder / "model.json").read_text()
    assert node.IS_CHANGED(**inputs) != changed
    assert not torch.equal(call(node, **inputs)[0], before)


def test_weights_are_looked_at_before_anything_runs(node: Any, weights: str, tmp_path: Path) -> None:
    assert node.VALIDATE_INPUTS(weights=weights) is True
    said = node.VALIDATE_INPUTS(weights=str(tmp_path))
    assert said == f"weights: {tmp_path}/model.json: no such file, wanted the record of a trained model"


class TestIsRefusedInALine:
    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"person": torch.zeros(64, 64, 3)}, r"person: found a tensor of \(64, 64, 3\), wanted B x H x W x 3 or 4"),
            ({"person": torch.zeros(1, 64, 64, 1)}, r"person: found a tensor of \(1, 64, 64, 1\)"),
            ({"person": torch.zeros(0, 64, 64, 3)}, r"person: found a tensor of \(0, 64, 64, 3\)"),
            ({"person": torch.full((1, 64, 64, 3), torch.nan)}, "person: found values that are not finite"),
            (
                {"person": torch.zeros(2, 64, 64, 3), "garment": pictures(3)},
                "person: found a batch of 2 beside one of 3",
            ),
            ({"mask": torch.zeros(2, 64, 64)}, "mask: found a batch of 2 beside one of 1"),
            ({"mask": torch.zeros(1, 64, 64)}, "mask: found no garment"),
            ({"mask": torch.zeros(1, 32, 64)}, "mask: found 32x64, wanted 64x64"),
            ({"mask": torch.zeros(1, 1, 32, 64)}, r"mask: found a tensor of \(1, 1, 32, 64\)"),
            ({"garment": torch.rand(1, 64, 64, 3)}, "garment: "),
            ({"weights": "nowhere"}, "weights: found no model in 'nowhere'"),
        ],
    )
    def test_what_does_not_fit(self, node: Any, weights: str, changed: dict[str, Any], message: str) -> None:
        inputs = {"person": pictures(1), "garment": pictures(1), "weights": weights} | changed
        with pytest.raises(InputError, match=message):
            call(node, **inputs)

    def test_a_mask_of_what_is_around_the_garment(self, node: Any, weights: str) -> None:
        mask = torch.ones(1, 64, 64)
        mask[:, 16:48, 16:48] = 0
        with pytest.raises(InputError, match="mask: found a mask that is inverted"):
            call(node, person=pictures(1), garment=pictures(1), mask=mask, weights=weights)
