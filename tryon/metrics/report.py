"""Reports of evaluations: figures and what they depend on, as JSON and as lines to print."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tryon.files import sha256_of
from tryon.metrics.comparison import PARTS, Comparison
from tryon.metrics.evaluation import Evaluation
from tryon.versions import installed_version

FORMAT = 1
OF_MODELS = ("end_point_error", "mask_overlap", "skin_error", "kept_error")
PACKAGES = ("tryon-kernels", "torch", "torchmetrics", "torchvision", "scikit-image", "pillow", "numpy")
_DIGITS = {"fid": 2, "psnr": 2}  # after the point; of the others four
_HASH_SHOWN = 12


def report(
    comparison: Comparison, source: Mapping[str, object], evaluation: Evaluation | None = None
) -> dict[str, Any]:
    """Everything for JSON: ``source`` says where the pictures are from, ``evaluation`` what their model was scored."""
    known = {} if evaluation is None else {name: getattr(evaluation, name) for name in OF_MODELS}
    return {
        "format": FORMAT,
        "source": source,
        **comparison.conditions(),
        "figures": comparison.figures() | {name: score for name, score in known.items() if score is not None},
        "versions": {
            "python": platform.python_version(),
            **{name: installed_version(name) for name in PACKAGES},
        },
        "each": [
            {"person": pair.person, "garment": pair.garment, "size": pair.size, **pair.figures}
            for pair in comparison.pairs
        ],
    }


def model_source(folder: Path) -> dict[str, object]:
    """What a report says of pictures that a model made: its folder and the hashes of its weights."""
    return {
        "model": str(folder),
        "sha256": {path.name: sha256_of(path) for path in sorted(folder.glob("*.safetensors"))},
    }


def printed(content: Mapping[str, Any]) -> str:
    """A report as some lines: figures, the same inside and outside the garment, conditions."""
    figures, pairs, protocol = content["figures"], content["pairs"], content["protocol"]
    weights = "".join(f", {name} {digest[:_HASH_SHOWN]}" for name, digest in content["weights_sha256"].items())
    versions = ", ".join(f"{name} {found}" for name, found in content["versions"].items() if found)
    lines = [
        f"{'':16}{'whole':>10}" + "".join(f"{part:>10}" for part in PARTS),
        *(_line(name, figures) for name in figures if not name.endswith(PARTS)),
        f"{pairs['count']} pairs of {pairs['people']} people, {pairs['with_true_photo']} with a true photo,"
        f" {pairs['with_region']} with a region inside",
        f"pair list {pairs['sha256'][:_HASH_SHOWN]}, pictures {content['pictures']['sha256'][:_HASH_SHOWN]}"
        f" of {', '.join(content['pictures']['sizes'])}{weights}",
        f"protocol {protocol['name']} ({protocol['source']}): {protocol['filter']} resizes {protocol['resizes']};",
        f"crops {protocol['crops']}; SSIM's border is {protocol['ssim_border']};"
        f" outside what changes is {'the photo' if content['keeps_photo_outside'] else 'what was made'}",
        versions,
    ]
    return "\n".join(lines)


def _line(name: str, figures: Mapping[str, float]) -> str:
    digits = _DIGITS.get(name, 4)
    columns = [figures.get(key) for key in (name, *(f"{name}_{part}" for part in PARTS))]
    return (
        f"{name:16}" + "".join(" " * 10 if value is None else f"{value:10.{digits}f}" for value in columns)
    ).rstrip()
