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


@pytest.mark.parametrize("content", [{"model": {"weight": torch.ones(1)}}, [torch.ones(1)], torch.ones(1)])
def test_a_file_of_other_things_than_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "nested.pth")
    with pytest.raises(InputError, match=r"nested\.pth: found \w+, wanted a plain state dict of named tensors"):
        read_state_dict(tmp_path / "nested.pth")


class Code:
    def __reduce__(self):
        return print, ("code ran",)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"weight": Code()}, tmp_path / "code.pth")
    with pytest.raises(InputError, match=r"code\.pth"):
        read_state_dict(tmp_path / "code.pth")
    assert "code ran" not in capsys.readouterr().out
