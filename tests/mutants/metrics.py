"""Mutants of protocols, regions and figures of evaluation."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PROTOCOLS = "tryon/metrics/protocols.py"
COMPARISON = "tryon/metrics/comparison.py"
REGIONS = "tryon/metrics/regions.py"
NETWORKS = "tryon/metrics/networks.py"
MEASURES = "tryon/metrics/measures.py"
OF_PROTOCOLS = "tests/tryon/metrics/test_protocols.py"
OF_COMPARISON = "tests/tryon/metrics/test_comparison.py"
OF_NETWORKS = "tests/tryon/metrics/test_networks.py"
OF_MEASURES = "tests/tryon/metrics/test_measures.py"

MUTANTS = (
    Mutant(PROTOCOLS, 'at="picture",', 'at="height",', OF_PROTOCOLS),
    Mutant(PROTOCOLS, 'photo.save(file, "JPEG")', 'photo.save(file, "JPEG", quality=95)', OF_PROTOCOLS),
    Mutant(PROTOCOLS, "Image.Resampling.BILINEAR", "Image.Resampling.BICUBIC", OF_PROTOCOLS),
    Mutant(COMPARISON, "len(part) * decibels(", "count * decibels(", OF_COMPARISON),
    Mutant(
        COMPARISON, "np.asarray(image), np.asarray(truth)))", "np.asarray(truth), np.asarray(image)))", OF_COMPARISON
    ),
    Mutant(COMPARISON, "(pair.person, pair.garment))\n", "0)\n", OF_COMPARISON),
    Mutant(REGIONS, " + far_background(batch)", "", OF_COMPARISON),
    Mutant(REGIONS, "== Label.GARMENT", "!= Label.GARMENT", OF_COMPARISON),
    Mutant(NETWORKS, ".clip(0, 255)", "", OF_NETWORKS),
    Mutant(NETWORKS, ".startswith(match[1])", ".endswith(match[1])", OF_NETWORKS),
    Mutant(MEASURES, 'mode="reflect"', 'mode="symmetric"', OF_MEASURES),
)
