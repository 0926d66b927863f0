"""Fused correlation and warping for PyTorch, with backward, for any network that matches features."""

from tryon_kernels import ops
from tryon_kernels.accelerate import accelerate
from tryon_kernels.backends import use_backend
from tryon_kernels.functional import correlation, feature_distance, grid_sample, warp, warp_correlation

__all__ = [
    "accelerate",
    "correlation",
    "feature_distance",
    "grid_sample",
    "ops",
    "use_backend",
    "warp",
    "warp_correlation",
]
