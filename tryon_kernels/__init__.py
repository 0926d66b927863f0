"""Fused correlation and warping for PyTorch, with backward, for any network that matches features."""

from tryon_kernels.functional import correlation, grid_sample, warp, warp_correlation

__all__ = ["correlation", "grid_sample", "warp", "warp_correlation"]
