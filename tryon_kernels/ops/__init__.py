"""The ops that PyTorch knows this package's kernels by; importing this defines them."""

from tryon_kernels.ops import correlation, grid_sample, warp, warp_correlation

__all__ = ["correlation", "grid_sample", "warp", "warp_correlation"]
