"""Mutants of the networks."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

FLOW = "tryon/networks/flow.py"
GENERATOR = "tryon/networks/generator.py"
BLOCKS = "tryon/networks/blocks.py"
FROZEN = "tryon/networks/frozen.py"
OF_FLOW = "tests/tryon/networks/test_flow.py"
OF_GENERATOR = "tests/tryon/networks/test_generator.py"
OF_FROZEN = "tests/tryon/networks/test_frozen.py"
OF_BLOCKS = "tests/tryon/networks/test_blocks.py"
PUBLISHED = "tests/tryon/conversion/test_published.py"
OF_WARP = "tests/tryon/networks/test_warp_network.py"
REMADE = "tryon/networks/remade.py"
OF_REMADE = "tests/tryon/networks/test_remade.py"

MUTANTS = (
    Mutant(REMADE, "    replaced.clear()", "    pass", OF_REMADE),
    Mutant(REMADE, "return None if _same(kept, *replaced) else kept", "return kept", OF_REMADE),
    Mutant(GENERATOR, "with remade(upsampled, partial(upsampling, features)):", "if True:", OF_REMADE),
    Mutant(
        GENERATOR,
        "weights[FIRST_LAYER][:, : self.in_channels]",
        "weights[FIRST_LAYER][:, -self.in_channels :]",
        f"{OF_GENERATOR} -k started_from",
    ),
    Mutant(FLOW, "with remade(features, joined):", "if True:", OF_REMADE),
    Mutant(FLOW, "grid = previous.detach().permute(0, 2, 3, 1)", "grid = previous.permute(0, 2, 3, 1)", OF_FLOW),
    Mutant(FLOW, "NEGATIVE_SLOPE = 0.1", "NEGATIVE_SLOPE = 0.2", OF_FLOW),
    Mutant(
        FLOW,
        "sampling_map = composed_map(sampling_map, second)",
        "sampling_map = composed_map(previous, second)",
        OF_FLOW,
    ),
    Mutant(FLOW, "x = (corner[:, 0] + 1) / 2 * (full_width - 1)", "x = (corner[:, 0] + 1) / 2 * (width - 1)", OF_FLOW),
    Mutant(
        FLOW,
        "second = at_least_float32(_refined(",
        "second = (_refined(",
        OF_WARP,
    ),
    Mutant(
        GENERATOR,
        "return warped * mask + rendered * (1 - mask), mask",
        "return warped * mask + rendered * (1 - composition_mask), mask",
        OF_GENERATOR,
    ),
    Mutant(
        GENERATOR,
        "painted + copied * (inputs[:, :RENDERED_CHANNELS] - painted)",
        "painted + composition * (inputs[:, :RENDERED_CHANNELS] - painted)",
        OF_GENERATOR,
    ),
    Mutant(GENERATOR, "normalised=0 < depth < innermost", "normalised=0 < depth", OF_GENERATOR),
    Mutant(
        GENERATOR,
        "features = up(torch.cat((skips.pop(), features), dim=1))",
        "features = up(torch.cat((features, skips.pop()), dim=1))",
        PUBLISHED,
    ),
    Mutant(
        BLOCKS,
        "F.pad(image, (0, size[1] - width, 0, size[0] - height))",
        'F.pad(image, (0, size[1] - width, 0, size[0] - height), mode="replicate")',
        OF_BLOCKS,
    ),
    Mutant(
        BLOCKS,
        "return F.relu(features + self.body(features))",
        "return features + F.relu(self.body(features))",
        PUBLISHED,
    ),
    Mutant(BLOCKS, "return features + self.body(features)\n", "return self.body(features)\n", PUBLISHED),
    Mutant(FROZEN, "= fuse_conv_bn_eval(convolution, norm), nn.Identity()", "= convolution, nn.Identity()", OF_FROZEN),
    Mutant(FROZEN, '"leaky_relu", [activation.negative_slope]', '"leaky_relu", [0.0]', OF_FROZEN),
    Mutant(
        FROZEN,
        "            module[i] = nn.Identity()\n            return following",
        "            return following",
        OF_FROZEN,
    ),
    Mutant(FROZEN, "if features.requires_grad and torch.is_grad_enabled():", "if False:", OF_FROZEN),
)
