"""The published layout, executed by its own key names, against our networks under the converted weights."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tryon.conversion import NETWORKS, convert_state_dict, key_table
from tryon.errors import InputError

SPEC = Path(__file__).resolve().parents[4] / "shared" / "spec"
FILES = {kind: SPEC / f"official_{kind.replace('generator', 'gen')}.tsv" for kind in NETWORKS}


def published_shapes(kind):
    if not FILES[kind].is_file():
        pytest.skip(f"{FILES[kind].name}: the published list of keys is not beside the repository")
    rows = (line.split("\t") for line in FILES[kind].read_text().splitlines()[1:])
    return {key: [] if shape == "scalar" else [int(side) for side in shape.split("x")] for key, shape in rows}


def our_shapes(kind):
    with torch.device("meta"):
        return {key: list(value.shape) for key, value in NETWORKS[kind]().state_dict().items()}


def blank_checkpoint(kind):
    """A checkpoint of the right keys and shapes that occupies no memory."""
    ours = our_shapes(kind)
    return {published: torch.zeros(()).expand(ours[key]) for published, key in key_table(kind).items()}


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_published_key_becomes_one_of_ours_in_the_same_shape_and_all_of_ours_are_hit(kind):
    published, ours, table = published_shapes(kind), our_shapes(kind), key_table(kind)
    assert table.keys() == published.keys()
    assert sorted(table.values()) == sorted(ours)
    assert {key: ours[table[key]] for key in published} == published


class Published:
    """Runs a published network from its state dict alone, following the published nesting and order of layers."""

    def __init__(self, state):
        self.state = state

    def conv(self, key, x, stride=1):
        weight = self.state[f"{key}.weight"]
        return F.conv2d(x, weight, self.state.get(f"{key}.bias"), stride, padding=weight.shape[-1] // 2)

    def norm(self, key, x):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(self.state[f"{key}.{name}"] for name in names))

    def normed_conv(self, block, position, x, stride=1):
        return self.conv(f"{block}.{position + 2}", F.relu(self.norm(f"{block}.{position}", x)), stride)

    def encoder(self, prefix, x):
        features = []
        for stage in range(5):
            x = self.normed_conv(f"{prefix}.encoders.{stage}.0.block", 0, x, stride=2)
            for block in (f"{prefix}.encoders.{stage}.{index}.block" for index in (1, 2)):
                x = x + self.normed_conv(block, 3, self.normed_conv(block, 0, x))
            features.append(x)
        return features

    def pyramid(self, prefix, features):
        levels = []
        for index, feature in enumerate(reversed(features)):
            level = self.conv(f"{prefix}.adaptive.{index}", feature)
            if levels:
                level = level + F.interpolate(levels[-1], scale_factor=2)
            levels.append(self.conv(f"{prefix}.smooth.{index}", level))
        return levels

    def offset(self, stack, x):
        for position in (0, 2, 4):
            x = F.leaky_relu(self.conv(f"{stack}.{position}", x), 0.1)
        return self.conv(f"{stack}.6", x)

    def residual(self, key, x):
        inner = F.relu(self.norm(f"{key}.block.1", self.conv(f"{key}.block.0", x)))
        return F.relu(x + self.norm(f"{key}.block.4", self.conv(f"{key}.block.3", inner)))

    def step(self, prefix, x, depth=0):
        """One nested step of the U-Net: down, everything deeper, up; the skip comes first in the concatenation."""
        outermost, innermost = depth == 0, depth == 4
        down = self.conv(f"{prefix}.0", x, stride=2)
        position = 1
        if not outermost and not innermost:
            down, position = self.norm(f"{prefix}.1", down), 2
        down = F.relu(down)
        down = self.residual(f"{prefix}.{position + 2}", self.residual(f"{prefix}.{position + 1}", down))
        position += 3
        if not innermost:
            down = self.step(f"{prefix}.{position}.model", down, depth + 1)
            position += 1
        up = self.conv(f"{prefix}.{position + 1}", F.interpolate(down, scale_factor=2))
        if outermost:
            return up
        up = F.relu(self.norm(f"{prefix}.{position + 2}", up))
        up = self.residual(f"{prefix}.{position + 5}", self.residual(f"{prefix}.{position + 4}", up))
        return torch.cat([x, up], 1)


def random_checkpoint(kind):
    """Published keys; convolutions keep the scale of what passes through, and no two normalisations are alike."""
    generator = torch.Generator().manual_seed(0)
    ours, state = our_shapes(kind), {}
    for key, shape in ((published, ours[key]) for published, key in key_table(kind).items()):
        if len(shape) == 4:
            scale = (shape[1] * shape[2] * shape[3]) ** -0.5
            state[key] = torch.randn(shape, generator=generator) * scale
        elif key.endswith(("running_var", "weight")):
            state[key] = 0.5 + torch.rand(shape, generator=generator)
        elif key.endswith("tracked"):
            state[key] = torch.tensor(7)
        else:
            state[key] = 0.1 * torch.randn(shape, generator=generator)
    return state


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
        expected = Published(state).step("model.model", inputs)
        rendered, mask = converted("student_generator", state)(inputs)
    torch.testing.assert_close(rendered, expected[:, :3].tanh(), **SAME)
    torch.testing.assert_close(mask, expected[:, 3:].sigmoid(), **SAME)


def test_a_converted_warp_network_computes_what_the_published_layout_does():
    state = random_checkpoint("tutor_warp")
    published, network = Published(state), converted("tutor_warp", state)
    garment, condition = torch.randn(1, 3, 64, 64), torch.randn(1, 45, 64, 64)
    with torch.inference_mode():
        ours = network.garment_pyramid(network.garment_encoder(garment)), network.condition_features(condition)
        for prefix, image, levels in zip(("image", "cond"), (garment, condition), ours, strict=True):
            expected = published.pyramid(f"{prefix}_FPN", published.encoder(f"{prefix}_features", image))
            for level, one in zip(levels, expected, strict=True):
                torch.testing.assert_close(level, one, rtol=1e-4, atol=1e-5 * one.abs().max().item())
        for level in range(5):
            volume, pair = torch.randn(1, 49, 4, 4), torch.randn(1, 512, 4, 4)
            main = published.offset(f"aflow_net.netMain.{level}", volume)
            refine = published.offset(f"aflow_net.netRefine.{level}", pair)
            torch.testing.assert_close(network.flow.correlation[level](volume), main, **SAME)
            torch.testing.assert_close(network.flow.refinement[level](pair), refine, **SAME)


def test_the_prefix_of_data_parallel_files_and_the_smoothness_stencils_are_dropped():
    state = {f"module.{key}": value for key, value in blank_checkpoint("student_warp").items()}
    state["module.aflow_net.weight"] = torch.zeros(4, 1, 3, 3)
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


def test_the_tutors_file_is_refused_for_the_student_by_the_shape_that_differs():
    state = blank_checkpoint("tutor_generator")
    with pytest.raises(InputError, match=r"model\.model\.0\.weight has shape \(64, 8, 3, 3\), wanted \(64, 7, 3, 3\)"):
        convert_state_dict(state, "student_generator")


def test_an_unknown_kind_of_network_is_refused():
    with pytest.raises(InputError, match="found 'teacher', wanted one of tutor_warp, tutor_generator"):
        convert_state_dict({}, "teacher")
