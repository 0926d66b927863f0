"""The published networks written out with torch's own operations, and checkpoints in their layout."""

import torch
import torch.nn.functional as F

from tryon.conversion import NETWORKS, key_table


def our_shapes(kind):
    with torch.device("meta"):
        return {key: list(value.shape) for key, value in NETWORKS[kind]().state_dict().items()}


def blank_checkpoint(kind):
    """A checkpoint of the right keys and shapes that occupies no memory."""
    ours = our_shapes(kind)
    return {published: torch.zeros(()).expand(ours[key]) for published, key in key_table(kind).items()}


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


class Published:
    """Runs a published network from its state dict alone, following the published nesting and order of layers."""

    def __init__(self, state, *, align_corners=True):
        self.state = state
        self.align_corners = align_corners

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

    def sample(self, image, sampling_map, padding_mode="border"):
        grid = sampling_map.permute(0, 2, 3, 1)
        return F.grid_sample(image, grid, padding_mode=padding_mode, align_corners=self.align_corners)

    def compose(self, sampling_map, offset):
        """The map at p + offset(p); positions are normalised by (size - 1) / 2 whatever the sampling does."""
        height, width = offset.shape[2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        x, y = x + offset[:, 0], y + offset[:, 1]
        moved = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), 1)
        return moved if sampling_map is None else self.sample(sampling_map, moved)

    def flow(self, garment, condition):
        """N x 3 x H x W garment and N x C x H x W condition to the sampling map at their size."""
        garments = self.pyramid("image_FPN", self.encoder("image_features", garment))
        conditions = self.pyramid("cond_FPN", self.encoder("cond_features", condition))
        sampling_map = None
        for level, (features, seen) in enumerate(zip(garments, conditions, strict=True)):
            warped = features if sampling_map is None else self.sample(features, sampling_map)
            volume = F.leaky_relu(correlation(warped, seen), 0.1)
            sampling_map = self.compose(sampling_map, self.offset(f"aflow_net.netMain.{level}", volume))
            pair = torch.cat((self.sample(features, sampling_map), seen), 1)
            sampling_map = self.compose(sampling_map, self.offset(f"aflow_net.netRefine.{level}", pair))
            sampling_map = F.interpolate(sampling_map, scale_factor=2, mode="bilinear", align_corners=False)
        return sampling_map


def correlation(first, second):
    """Mean over channels of first at p times second at p + d, for |dx|, |dy| <= 3 in rows of dx, zeros outside."""
    height, width = first.shape[2:]
    padded = F.pad(second, (3, 3, 3, 3))
    shifted = (padded[:, :, dy : dy + height, dx : dx + width] for dy in range(7) for dx in range(7))
    return torch.stack([(first * other).mean(1) for other in shifted], 1)


def published_try_on(warp, generator, garment, mask, condition, generator_input):
    """One try-on as published, all results by name.

    `warp` and `generator` are `Published`; `garment` N x 3 x H x W is multiplied by `mask` N x 1 x H x W already;
    `generator_input` makes the generator's input of the warped garment and mask.
    """
    sampling_map = warp.flow(garment, condition)
    warped, warped_mask = warp.sample(garment, sampling_map), warp.sample(mask, sampling_map, "zeros")
    output = generator.step("model.model", generator_input(warped, warped_mask))
    rendered, composition = output[:, :3].tanh(), output[:, 3:].sigmoid() * warped_mask
    image = warped * composition + rendered * (1 - composition)
    return {
        "warped garment": warped,
        "warped mask": warped_mask,
        "rendered": rendered,
        "composition": composition,
        "image": image,
    }


def student_try_on(warp, generator, photo, garment, mask):
    """The published student sees the photo alone."""
    return published_try_on(warp, generator, garment, mask, photo, lambda *warped: torch.cat((photo, *warped), 1))


def tutor_try_on(warp, generator, photo, labels, parts, keypoints, garment, mask):
    """The published tutor, at 256 pixels of height.

    `labels` and `parts` (DensePose) are N x H x W integers; `keypoints` 18 positions (x, y), whole numbers far enough
    from the border and the same for all N.
    """
    face, clothes, arms = (is_one_of(labels, those) for those in ((1, 12), (5, 6, 8, 9, 10), (11, 13)))
    pose = torch.full((len(photo), 18, *photo.shape[2:]), -1.0)
    for channel, (x, y) in enumerate(keypoints):
        pose[:, channel, y - 5 : y + 6, x - 5 : x + 6] = 1
    densepose = torch.cat([is_one_of(parts, (part,)) for part in range(25)], 1)
    preserved = photo * (face + clothes + arms * is_one_of(parts, (3, 4)))

    def generator_input(warped, warped_mask):
        bare_arms = is_one_of(parts, range(15, 23)) * (1 - warped_mask)
        return torch.cat((preserved, warped, warped_mask, bare_arms), 1)

    condition = torch.cat((face, clothes, densepose, pose), 1)
    return published_try_on(warp, generator, garment, mask, condition, generator_input)


def is_one_of(image, values):
    return sum(image == value for value in values)[:, None].float()
