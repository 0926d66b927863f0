"""The published layout, executed by its own key names, against our networks under the converted weights."""

from pathlib import Path

import pytest
import torch

from tests.tryon.conversion.published_checkpoints import (
    blank_checkpoint,
    our_shapes,
    published_network,
    random_checkpoint,
)
from tryon.conversion import NETWORKS, convert_state_dict, key_table
from tryon.conversion.published import published_role
from tryon.errors import InputError

SPEC = Path(__file__).resolve().parents[4] / "shared" / "spec"
FILES = {kind: SPEC / f"official_{kind.replace('generator', 'gen')}.tsv" for kind in NETWORKS}


def published_shapes(kind):
    if not FILES[kind].is_file():
        pytest.skip(f"{FILES[kind].name}: the published list of keys is not beside the repository")
    rows = (line.split("\t") for line in FILES[kind].read_text().splitlines()[1:])
    return {key: [] if shape == "scalar" else [int(side) for side in shape.split("x")] for key, shape in rows}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_published_key_becomes_one_of_ours_in_the_same_shape_and_all_of_ours_are_hit(kind):
    published, ours, table = published_shapes(kind), our_shapes(kind), key_table(kind)
    assert table.keys() == published.keys()
    assert sorted(table.values()) == sorted(ours)
    assert {key: ours[table[key]] for key in published} == published


def converted(kind, state):
    with torch.device("meta"):
        network = NETWORKS[kind]()
    network.load_state_dict(convert_state_dict(state, kind), assign=True)
    return network.eval()


# Both sides run the same convolutions on the same weights; only the order of additions may differ.
SAME = {"rtol": 1e-4, "atol": 1e-5}


def test_a_converted_generator_computes_what_the_published_layout_does():
    state = random_checkpoint("student_generator")
    inputs = torch.randn(1, 7, 64, 64)
    with torch.inference_mode():
        expected = published_network("student_generator", state)(inputs)
        rendered, mask, copied = converted("student_generator", state)(inputs)
    assert copied is None
    torch.testing.assert_close(rendered, expected[:, :3].tanh(), **SAME)
    torch.testing.assert_close(mask, expected[:, 3:].sigmoid(), **SAME)


def test_a_converted_warp_network_computes_what_the_published_layout_does():
    state = random_checkpoint("tutor_warp")
    published, network = published_network("tutor_warp", state), converted("tutor_warp", state)
    garment, condition = torch.randn(1, 3, 64, 64), torch.randn(1, 45, 64, 64)
    with torch.inference_mode():
        ours = network.garment_pyramid(network.garment_encoder(garment)), network.condition_features(condition)
        theirs = (
            published.image_FPN(published.image_features(garment)),
            published.cond_FPN(published.cond_features(condition)),
        )
        for levels, expected in zip(ours, theirs, strict=True):
            for level, one in zip(levels, expected, strict=True):
                torch.testing.assert_close(level, one, rtol=1e-4, atol=1e-5 * one.abs().max().item())
        for level in range(5):
            volume, pair = torch.randn(1, 49, 4, 4), torch.randn(1, 512, 4, 4)
            main = published.aflow_net.netMain[level](volume)
            refine = published.aflow_net.netRefine[level](pair)
            torch.testing.assert_close(network.flow.correlation[level](volume), main, **SAME)
            torch.testing.assert_close(network.flow.refinement[level](pair), refine, **SAME)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_the_prefixes_of_wrapped_networks_and_the_smoothness_stencils_are_dropped(prefix):
    state = {f"{prefix}{key}": value for key, value in blank_checkpoint("student_warp").items()}
    state[f"{prefix}aflow_net.weight"] = torch.zeros(4, 1, 3, 3)
    assert published_role(state) == "student"
    assert convert_state_dict(state, "student_warp").keys() == our_shapes("student_warp").keys()


def test_a_missing_key_is_named():
    state = blank_checkpoint("student_generator")
    del state["model.model.6.weight"]
    with pytest.raises(InputError, match=r"gen\.pth: model\.model\.6\.weight is missing.*\(4, 128, 3, 3\)"):
        convert_state_dict(state, "student_generator", "gen.pth")


def test_an_unknown_key_is_named():
    state = blank_checkpoint("student_generator") | {"extra.weight": torch.zeros(1)}
    with pytest.raises(InputError, match=r"gen\.pth: found extra\.weight"):
        convert_state_dict(state, "student_generator", "gen.pth")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e300])
def test_weights_that_are_not_finite_are_refused(number):
    state = blank_checkpoint("student_generator")
    key = "model.model.0.weight"
    state[key] = torch.full(state[key].shape, number, dtype=torch.float64)
    with pytest.raises(InputError, match=r"gen\.pth: model\.model\.0\.weight holds numbers that are not finite,"):
        convert_state_dict(state, "student_generator", "gen.pth")
    state["model.model.6.weight"] = torch.full((4, 128, 3, 3), number, dtype=torch.float64)
    with pytest.raises(InputError, match=r"holds numbers that are not finite \(and 1 more\)"):
        convert_state_dict(state, "student_generator", "gen.pth")


def test_the_tutors_file_is_refused_for_the_student_by_the_shape_that_differs():
    state = blank_checkpoint("tutor_generator")
    with pytest.raises(InputError, match=r"model\.model\.0\.weight has shape \(64, 8, 3, 3\), wanted \(64, 7, 3, 3\)"):
        convert_state_dict(state, "student_generator")


def test_the_first_key_of_every_problem_is_named_in_one_line():
    state = blank_checkpoint("student_generator") | {"extra.weight": torch.zeros(1), "more": torch.zeros(1)}
    state["model.model.0.weight"] = torch.zeros(64, 9, 3, 3)
    del state["model.model.6.weight"]
    with pytest.raises(InputError) as caught:
        convert_state_dict(state, "student_generator", "gen.pth")
    assert str(caught.value) == (
        "gen.pth: model.model.6.weight is missing, wanted with shape (4, 128, 3, 3); "
        "found extra.weight, which the network does not have (and 1 more); "
        "model.model.0.weight has shape (64, 9, 3, 3), wanted (64, 7, 3, 3)"
    )


def test_a_key_that_would_break_the_line_is_escaped():
    state = blank_checkpoint("student_generator") | {"two\nlines": torch.zeros(1)}
    with pytest.raises(InputError, match=r"found 'two\\nlines', which the network does not have"):
        convert_state_dict(state, "student_generator")


def test_half_precision_and_shared_memory_become_float32_tensors_of_their_own():
    state = {key: value.half() if value.ndim else value for key, value in blank_checkpoint("student_warp").items()}
    converted_state = convert_state_dict(state, "student_warp")
    assert {value.dtype for value in converted_state.values()} == {torch.float32, torch.int64}
    assert len({value.data_ptr() for value in converted_state.values()}) == len(converted_state)


@pytest.mark.parametrize("role", ["tutor", "student"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_condition_tells_tutor_from_student(role, prefix):
    state = {prefix + key: value for key, value in blank_checkpoint(f"{role}_warp").items()}
    assert published_role(state) == role


def test_a_condition_of_other_channels_is_refused():
    state = {"cond_features.encoders.0.0.block.2.weight": torch.zeros(64, 20, 3, 3)}
    with pytest.raises(InputError, match=r"found a condition of 20 channels, wanted 3 \(student\) or 45 \(tutor\)"):
        published_role(state)


def test_an_unknown_kind_of_network_is_refused():
    with pytest.raises(InputError, match="found 'teacher', wanted one of tutor_warp, tutor_generator"):
        convert_state_dict({}, "teacher")
