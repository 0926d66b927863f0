from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tryon.errors import InputError
from tryon.weights import load_model, read_record, save_model


@pytest.fixture
def copied(tiny_run: Path, tmp_path: Path) -> Path:
    """A student's model folder that a test may damage."""
    return Path(shutil.copytree(tiny_run / "student", tmp_path / "student"))


def test_a_saved_model_loads_as_it_was(tiny_run: Path, tmp_path: Path) -> None:
    model, record = load_model(tiny_run / "student")
    save_model(tmp_path, model, record)
    again, same_record = load_model(tmp_path)
    assert record == same_record
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())


def test_nothing_unfinished_is_left_behind(tiny_run: Path) -> None:
    assert not list(tiny_run.rglob("*.part"))


def test_a_model_recorded_before_there_were_options_does_without_them(copied: Path) -> None:
    path = copied / "model.json"
    values = json.loads(path.read_text())
    del values["keep_background"], values["copy_mask"]
    path.write_text(json.dumps(values))
    record = read_record(copied)
    assert (record.keep_background, record.copy_mask) == (False, False)


class TestAFolderIsRefused:
    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"model\.json: no such file"):
            load_model(tmp_path / "nowhere")

    def test_without_a_weights_file(self, copied: Path) -> None:
        (copied / "generator.safetensors").unlink()
        with pytest.raises(InputError, match=r"generator\.safetensors: no such weights file"):
            load_model(copied)

    def test_with_a_truncated_weights_file(self, copied: Path) -> None:
        path = copied / "warp.safetensors"
        path.write_bytes(path.read_bytes()[:5000])
        with pytest.raises(InputError, match=r"warp\.safetensors: cannot be read"):
            load_model(copied)

    def test_with_missing_unexpected_and_misshapen_parameters(self, copied: Path) -> None:
        path = copied / "warp.safetensors"
        state = load_file(path)
        names = [name for name in state if name.endswith("weight") and state[name].ndim == 4]
        del state[names[0]]
        state[names[1]] = torch.zeros(1, 2, 3, 4)
        state["surplus"] = torch.zeros(1)
        save_file(state, path)
        with pytest.raises(InputError) as caught:
            load_model(copied)
        message = str(caught.value)
        assert f"1 missing: {names[0]}" in message
        assert "1 unexpected: surplus" in message
        assert f"1 misshapen: {names[1]} (found (1, 2, 3, 4)" in message

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 2}, "found format 2, wanted 1"),
            ({"role": "uncle"}, "found role 'uncle'"),
            ({"alignment": "align_corners=False"}, "found alignment 'align_corners=False'"),
            ({"colour": "red"}, "cannot be read as a model record"),
        ],
    )
    def test_with_another_record(self, copied: Path, change: dict[str, object], message: str) -> None:
        path = copied / "model.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(InputError, match=message):
            load_model(copied)

    def test_of_another_role(self, tiny_run: Path) -> None:
        with pytest.raises(InputError, match="found a tutor, wanted a student"):
            load_model(tiny_run / "tutor", role="student")
