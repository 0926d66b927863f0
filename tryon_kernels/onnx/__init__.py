"""What the ops are in ONNX: a translation table for `torch.onnx.export`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tryon_kernels import ops  # noqa: F401  (defines the ops)

EXTRA = "tryon-kernels[onnx]"


def translation_table() -> dict[Callable[..., Any], Callable[..., Any]]:
    """The ops `warp`, `grid_sample`, `correlation` and `warp_correlation` for torch's exporter.

        torch.onnx.export(network, inputs, dynamo=True, custom_translation_table=translation_table())

    They serve opset 18 and later, sizes that are known or left open. What is float16 or bfloat16 is computed in float32
    and rounded once, as the ops do. Gradients have no translation: an exported network is for inference.

    Raises:
        ImportError: onnxscript is not installed.
    """
    try:
        from tryon_kernels.onnx import translations
    except ModuleNotFoundError as error:
        raise ImportError(f"translation_table: {error.name} is not installed; pip install {EXTRA}") from error
    names = ("warp", "grid_sample", "correlation", "warp_correlation")
    return {getattr(torch.ops.tryon_kernels, name).default: getattr(translations, name) for name in names}
