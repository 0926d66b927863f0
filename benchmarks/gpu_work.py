"""Bytes and operations that no GPU kernel can do without, and what GPUs can move and compute in a second."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.inputs import DTYPES, PYRAMID_CHANNELS, RADIUS, SAMPLE_BACKWARD_FLOPS, Case

BATCH = 4
SIDE = 2 * RADIUS + 1


@dataclass(frozen=True)
class Device:
    """Rates in bytes and operations a second, and the second-level cache in bytes."""

    bandwidth: float
    fp32: float
    tensor: float  # of bf16 products, without sparsity
    cache: float
    cache_bandwidth: float | None = None


# NVIDIA's data sheets (A100 80GB SXM, 2021; H100 SXM, 2023; H200 SXM, 2024). The A100's cache: "A100 Tensor Core GPU
# Architecture", 2020: 5120 bytes a clock, at 1410 MHz. Nothing of the kind is published for the others.
DEVICES = {
    "A100": Device(2.039e12, 19.5e12, 312e12, 40e6, 5120 * 1.41e9),
    "H100": Device(3.35e12, 67e12, 989e12, 50e6),
    "H200": Device(4.8e12, 67e12, 989e12, 50e6),
}


@dataclass(frozen=True)
class Work:
    """Bytes to and from memory, bytes that blocks ask of the cache, and operations on FMA units and tensor cores."""

    memory: float
    cache: float
    flops: float
    tensor_flops: float = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.memory + other.memory,
            self.cache + other.cache,
            self.flops + other.flops,
            self.tensor_flops + other.tensor_flops,
        )

    def seconds(self, device: Device) -> dict[str, float]:
        """What each of the device's limits takes at least."""
        limits = {
            "memory": self.memory / device.bandwidth,
            "arithmetic": self.flops / device.fp32 + self.tensor_flops / device.tensor,
        }
        if device.cache_bandwidth is not None:
            limits["cache"] = self.cache / device.cache_bandwidth
        return limits


class Maps:
    """Maps of one pyramid level; channels_last, positions float32."""

    def __init__(self, size: tuple[int, int], dtype_name: str) -> None:
        self.height, self.width = size
        self.dtype_name = dtype_name
        self.item = DTYPES[dtype_name].itemsize
        self.pixels = BATCH * self.height * self.width
        self.numbers = self.pixels * PYRAMID_CHANNELS
        self.features = self.numbers * self.item
        self.positions = self.pixels * 2 * torch.float32.itemsize
        self.volume = self.pixels * SIDE**2 * self.item
        self.sampling = self.case("grid_sample").flops("forward")

    def case(self, op: str) -> Case:
        """The benchmark's case of these maps."""
        return Case(op, BATCH, PYRAMID_CHANNELS, self.height, self.width, self.dtype_name, "channels_last")

    def products(self, flops: float) -> tuple[float, float]:
        """Products of features as operations on FMA units and on tensor cores."""
        return (flops, 0) if self.dtype_name == "fp32" else (0, flops)


def least(kernel: str, maps: Maps) -> Work:
    """What no implementation can do without: inputs and outputs once, and the arithmetic of benchmarks/inputs.py."""
    features, positions, volume = maps.features, maps.positions, maps.volume
    backward = maps.numbers * SAMPLE_BACKWARD_FLOPS / 2  # of one of the two gradients
    correlating = maps.case("correlation").flops("forward")
    fused, both = maps.case("warp_correlation"), "forward+backward"
    fused_backward = fused.bytes(both) - fused.bytes("forward")
    memory, flops, products = {
        "sample": (maps.case("grid_sample").bytes("forward"), maps.sampling, 0),
        "gradient of positions": (2 * features + 2 * positions, backward, 0),
        "gradient of input": (2 * features + positions, backward, 0),
        "gradient of input, deterministic": (2 * features + positions, backward, 0),
        "correlation": (maps.case("correlation").bytes("forward"), 0, correlating),
        "gradient of first": (volume + 2 * features, 0, correlating),
        "gradient of second": (volume + 2 * features, 0, correlating),
        "warp_correlation": (fused.bytes("forward"), maps.sampling, correlating),
        "its three gradients": (fused_backward, 2 * backward, 2 * correlating),
    }[kernel]
    on_units, on_tensor_cores = maps.products(products)
    return Work(memory, memory, flops + on_units, on_tensor_cores)


KERNELS = (
    *("sample", "gradient of positions", "gradient of input", "gradient of input, deterministic"),
    *("correlation", "gradient of first", "gradient of second", "warp_correlation", "its three gradients"),
)
