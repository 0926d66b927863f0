"""Mutants of the ops, their checks, their choice of a backend, and the compatible layers."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

LIBRARY = "tryon_kernels/ops/library.py"
GRADIENTS = "tryon_kernels/ops/gradients.py"
PRIVATE = "tryon_kernels/private.py"
CORRELATION = "tryon_kernels/ops/correlation.py"
FUNCTIONAL = "tryon_kernels/functional.py"
CHECKS = "tryon_kernels/checks.py"
FEATURE_DISTANCE = "tryon_kernels/ops/feature_distance.py"
DISTANCES = "tests/kernels/test_feature_distance.py"
DILATED = "tryon_kernels/compat/_dilated.py"
WARPING = "tryon_kernels/compat/warping.py"
OPS = "tests/kernels/test_ops.py"
REFUSALS = "tests/kernels/test_refusals.py"
BACKENDS = "tests/kernels/test_backends.py -k 'holds_within or rule_takes'"
SAMPLER = "tests/compat/test_spatial_correlation_sampler.py"
FLOWNET2 = "tests/compat/test_flownet2.py"
OF_WARPING = "tests/compat/test_warping.py"
OF_CORRELATION = "tests/compat/test_correlation.py"
FLOPS = "tests/tooling/test_flops.py"
FUNC = "tests/tooling/test_func.py"
HIGHER = "tests/kernels/test_higher_gradients.py"

MUTANTS = (
    Mutant(
        CORRELATION,
        "centres = (-(-size // stride) for size in first.shape[2:])",
        "centres = (size // stride for size in first.shape[2:])",
        OPS,
    ),
    Mutant(
        CORRELATION,
        "new_gradient(first, first_needed), new_gradient(second, second_needed)",
        "new_gradient(first, True), new_gradient(second, True)",
        OPS,
    ),
    Mutant(
        "tryon_kernels/ops/warp_correlation.py",
        "(first.shape[0], (2 * radius + 1) ** 2, *second.shape[2:])",
        "(first.shape[0], (2 * radius + 1) ** 2, *first.shape[2:])",
        OPS,
    ),
    Mutant(LIBRARY, "positions.dtype in (torch.float16, torch.bfloat16)", "positions.dtype == torch.bfloat16", OPS),
    Mutant(LIBRARY, "f.is_floating_point() and f.dtype != torch.float64", "f.is_floating_point()", OPS),
    Mutant(GRADIENTS, "zip(leaves, needed, strict=True) if wanted]", "zip(leaves, needed, strict=True)]", OPS),
    Mutant(
        GRADIENTS,
        "return tensor.view_as(tensor) if further and tensor.requires_grad else tensor.detach().requires_grad_()",
        "return tensor.detach().requires_grad_()",
        HIGHER,
    ),
    Mutant(
        LIBRARY,
        "return torch.empty_like(tensor) if needed else tensor.new_empty(0)",
        "return torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device) if needed else tensor.new_empty(0)",
        OPS,
    ),
    Mutant(
        "tryon_kernels/ops/warp.py",
        "lambda input, flow, *options: (input, as_positions(flow), *options)",
        "lambda input, flow, *options: (input, flow, *options)",
        OPS,
    ),
    Mutant(
        "tryon_kernels/ops/flops.py",
        "return sum(arguments[-2:]) * _correlation(grad_output, first[1])",
        "return 2 * _correlation(grad_output, first[1])",
        FLOPS,
    ),
    Mutant(PRIVATE, "return forward_ad._current_level >= 0", "return forward_ad._current_level > 0", FUNC),
    Mutant(
        PRIVATE,
        "(_kinds_of_transforms.Grad, _kinds_of_transforms.Jvp)",
        "(_kinds_of_transforms.Jvp,)",
        FUNC,
    ),
    Mutant(
        FUNCTIONAL,
        'if mode != "bilinear" or padding_mode not in ("zeros", "border") or input.dim() == 5:',
        'if mode != "bilinear" or padding_mode not in ("zeros", "border"):',
        "tests/kernels/test_values.py -k leaves_to_torch",
    ),
    Mutant(CHECKS, "if stride < 1:", "if stride < 0:", REFUSALS),
    Mutant(
        CHECKS,
        "negative_slope is not None and not negative_slope >= 0",
        "negative_slope is not None and negative_slope < 0",
        REFUSALS,
    ),
    Mutant(CHECKS, "if input.shape[2] == 0 or input.shape[3] == 0:", "if input.shape[2] == 0:", REFUSALS),
    Mutant(CHECKS, "if positions.shape[0] != input.shape[0]:", "if positions.shape[0] > input.shape[0]:", REFUSALS),
    Mutant(
        "tryon_kernels/pins.py",
        "_pinned.reset(token)",
        '_pinned.set("")',
        BACKENDS,
    ),
    Mutant("tryon_kernels/gpu/choice.py", "and channels >= LEAST_CHANNELS", "and channels > LEAST_CHANNELS", BACKENDS),
    Mutant(FEATURE_DISTANCE, "ctx.set_materialize_grads(False)", "ctx.set_materialize_grads(True)", DISTANCES),
    Mutant(FEATURE_DISTANCE, "output[0] if ctx.relu else features, target)", "features, target)", DISTANCES),
    Mutant(
        FEATURE_DISTANCE, "pull - by_target if ctx.target_needed", "pull + by_target if ctx.target_needed", DISTANCES
    ),
    Mutant(DILATED, "return -((self.patch - 1) // 2)", "return -(self.patch // 2)", SAMPLER),
    Mutant(
        DILATED,
        "divmod(part + (self.axis.lowest + share) * self.axis.step, self.period)",
        "divmod((self.axis.lowest + share) * self.axis.step, self.period)",
        SAMPLER,
    ),
    Mutant(
        DILATED,
        "volume / max(first.shape[1] * axes[0].window * axes[1].window, 1)",
        "volume / max(first.shape[1], 1)",
        FLOWNET2,
    ),
    Mutant(WARPING, "_INSIDE = 0.9999", "_INSIDE = 0.9", OF_WARPING),
    Mutant(WARPING, "((normalised > -1) & (normalised < 1))", "((normalised >= -1) & (normalised <= 1))", OF_WARPING),
    Mutant(
        "tryon_kernels/compat/correlation.py",
        "return functional.correlation(first, second, radius=3, stride=intStride)",
        "return functional.correlation(first, second, radius=4, stride=intStride)",
        OF_CORRELATION,
    ),
)
