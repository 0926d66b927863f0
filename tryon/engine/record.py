"""What a run is asked for, and where it runs: ``run.json``."""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tryon.config import TrainConfig
from tryon.data.fakes import Fakes
from tryon.data.folder import TryOnFolder
from tryon.distributed import processes
from tryon.versions import installed_version

RUN_FILE = "run.json"
_CPU_FACTS = Path("/proc/cpuinfo")


def run_record(config: TrainConfig, settings: dict[str, Any]) -> dict[str, Any]:
    """Everything that a person needs to run the same again."""
    return {
        "command": shlex.join(sys.argv),
        "settings": settings,
        "config": asdict(config),
        "device": config.device,
        "processes": processes(),
        **versions_and_machine(config.device),
    }


def versions_and_machine(device: str) -> dict[str, Any]:
    """Versions and the machine."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "tryon_kernels": installed_version("tryon-kernels"),
        "machine": _machine(device),
    }


def data_hash(folder: TryOnFolder | Fakes) -> str:
    """A hash of the names and sizes of the files that a folder gives; what is in them is not read."""
    facts = sorted(f"{path.relative_to(folder.root).as_posix()} {path.stat().st_size}" for path in folder.files)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _machine(device: str) -> dict[str, Any]:
    kind = torch.device(device).type
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "gpu": None if kind == "cpu" else gpu_name(device),
    }


def gpu_name(device: str) -> str:
    """What the maker calls a GPU."""
    module = torch.get_device_module(device)
    named = hasattr(module, "get_device_name")  # MPS has one GPU, without a name
    return str(module.get_device_name(device)) if named else torch.device(device).type


def _cpu_model() -> str:
    if _CPU_FACTS.exists():
        for line in _CPU_FACTS.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
