"""What was found out about kernels on a GPU, kept in the user's cache folder for the processes to come.

One file for each GPU, driver, torch, Triton and state of the kernels: `TRYON_KERNELS_CACHE`, or `tryon_kernels` in
`XDG_CACHE_HOME` or `~/.cache`. A file that cannot be read or written costs nothing but the measuring anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from tryon_kernels import private

_PACKAGE = Path(__file__).parents[1]
VERDICTS, CHOICES = "verdicts", "choices"


def folder() -> Path:
    """Where the files are."""
    given = os.environ.get("TRYON_KERNELS_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "tryon_kernels")


def surroundings(device: torch.device) -> dict[str, str]:
    """All on which it depends what was found out."""
    on_gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "driver": private.cuda_driver() if on_gpu else "",
        "runtime": str(torch.version.cuda or torch.version.hip or ""),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "kernels": _hash_of_kernels(),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _hash_of_kernels() -> str:
    files = [_PACKAGE / "_cuda.so", *sorted(_PACKAGE.glob("*.py")), *sorted(_PACKAGE.glob("*/*.py"))]
    total = hashlib.sha256()
    for file in files:
        if file.exists():
            total.update(file.read_bytes())
    return total.hexdigest()[:16]


class Record:
    """Texts and choices by name, in two tables, in memory and in a file."""

    def __init__(self, device: torch.device) -> None:
        self.surroundings = surroundings(device)
        name = hashlib.sha256(json.dumps(self.surroundings).encode()).hexdigest()[:16]
        self.path = folder() / f"{name}.json"
        self._tables = self._read()

    def get(self, table: str, key: str) -> Any:
        """What is known; None where nothing is."""
        return self._tables[table].get(key)

    def items(self, table: str) -> list[tuple[str, Any]]:
        """All that is known, in the order of names."""
        return sorted(self._tables[table].items())

    def put(self, table: str, key: str, value: Any) -> None:
        """Know this from now on, beside what other processes have found out meanwhile."""
        self._tables[table][key] = value
        for name, found in self._read().items():
            self._tables[name] = {**found, **self._tables[name]}
        with suppress(OSError):
            self._write()

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            content = json.loads(self.path.read_text())
            if content["surroundings"] == self.surroundings:
                return {table: dict(content[table]) for table in (VERDICTS, CHOICES)}
        except (OSError, ValueError, KeyError, TypeError):
            pass
        return {VERDICTS: {}, CHOICES: {}}

    def _write(self) -> None:
        """Whoever reads finds the old file or the new one, whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps({"surroundings": self.surroundings, **self._tables}, indent=1) + "\n"
        with tempfile.NamedTemporaryFile("w", dir=self.path.parent, suffix=".tmp", delete=False) as file:
            file.write(content)
        Path(file.name).replace(self.path)
