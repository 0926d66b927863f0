import pickle

import pytest
import safetensors.torch
import torch

from tryon.conversion import read_state_dict
from tryon.errors import InputError

STATE = {"weight": torch.arange(1000.0), "bias": torch.ones(3)}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_both_file_formats_give_back_the_tensors(tmp_path, suffix):
    path = tmp_path / f"weights{suffix}"
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(STATE, path)
    state = read_state_dict(path)
    assert state.keys() == STATE.keys()
    assert all(torch.equal(state[key], STATE[key]) for key in STATE)


def test_files_of_old_pytorch_versions_are_read(tmp_path):
    torch.save(STATE, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(read_state_dict(tmp_path / "old.pth")["weight"], STATE["weight"])


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.pth: no such file"):
        read_state_dict(tmp_path / "none.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kept", [0, 7, 1500, -100])
def test_a_truncated_file_is_refused_in_one_line(tmp_path, suffix, kept):
    path = tmp_path / f"weights{suffix}"
    save = safetensors.torch.save_file if suffix == ".safetensors" else torch.save
    save(STATE, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=rf"weights{suffix}: damaged, or not a file of weights") as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_weights_is_refused(tmp_path):
    path = tmp_path / "notes.pth"
    path.write_text("these are not weights")
    with pytest.raises(InputError, match=r"notes\.pth: damaged, or not a file of weights"):
        read_state_dict(path)


@pytest.mark.parametrize("content", [{"epoch": 3}, {"model": {}}, {"sd": {1: torch.ones(1)}}, [torch.ones(1)]])
def test_a_file_of_other_things_than_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth: found \w+, wanted a state dict of named tensors"):
        read_state_dict(tmp_path / "other.pth")


@pytest.mark.parametrize("value", [torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64)])
def test_tensors_that_no_parameter_can_be_filled_with_are_refused(tmp_path, value):
    torch.save({"weight": value}, tmp_path / "odd.pth")
    with pytest.raises(InputError, match=r"odd\.pth: found dict, wanted a state dict of named tensors"):
        read_state_dict(tmp_path / "odd.pth")


def optimiser_state():
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimiser.step()
    return optimiser.state_dict()


@pytest.mark.parametrize("name", ["state_dict", "model", "weights_of_epoch_3"])
def test_a_training_checkpoint_gives_the_state_dict_that_it_holds(tmp_path, name):
    torch.save({"epoch": 3, name: STATE, "optimizer": optimiser_state()}, tmp_path / "checkpoint.pth")
    assert read_state_dict(tmp_path / "checkpoint.pth").keys() == STATE.keys()


def test_of_several_state_dicts_the_usual_name_is_taken_and_nothing_is_guessed(tmp_path):
    path = tmp_path / "checkpoint.pth"
    torch.save({"ema": {"weight": torch.ones(1)}, "state_dict": STATE}, path)
    assert read_state_dict(path).keys() == STATE.keys()
    torch.save({"first": STATE, "second": STATE}, path)
    with pytest.raises(InputError, match=r"found 2 state dicts \(first, second\), wanted a state dict"):
        read_state_dict(path)


class Code:
    """Unpickling this writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def save_pickle(content, path):
    path.write_bytes(pickle.dumps(content, protocol=2))


def save_legacy(content, path):
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.mark.parametrize("save", [torch.save, save_legacy, save_pickle])
def test_code_in_a_pickle_is_refused_in_one_line_and_not_run(tmp_path, save):
    written, path = tmp_path / "written", tmp_path / "code.pth"
    save({"bias": Code(written)}, path)
    with pytest.raises(InputError) as caught:
        read_state_dict(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: refused: it asks for io.open")
    assert "\n" not in message
    assert "weights_only" not in message
    assert not written.exists()


def test_the_file_of_the_test_above_would_have_run(tmp_path):
    torch.save({"bias": Code(tmp_path / "written")}, tmp_path / "code.pth")
    torch.load(tmp_path / "code.pth", weights_only=False)["bias"].close()
    assert (tmp_path / "written").exists()
