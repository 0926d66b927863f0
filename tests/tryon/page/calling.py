"""Calling the page's JavaScript in Node."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tryon.page.assembling import STATIC

NEEDS_NODE = pytest.mark.skipif(shutil.which("node") is None, reason="node is not there")


@dataclass(frozen=True)
class Call:
    """Of a function of one of the page's modules: a picture (H x W x channels, or H x W) and what follows it."""

    module: str
    name: str
    picture: np.ndarray
    rest: tuple[Any, ...] = ()


def called(calls: list[Call], folder: Path) -> list[np.ndarray | str]:
    """The picture that each call gives (H x W x channels), or what it refuses; files lie in the folder meanwhile."""
    jobs = []
    for number, call in enumerate(calls):
        height, width, *channels = call.picture.shape
        given = {
            "file": str(folder / f"{number}.given"),
            "width": width,
            "height": height,
            "channels": (*channels, 1)[0],
        }
        Path(given["file"]).write_bytes(np.ascontiguousarray(call.picture).tobytes())
        wanted = str(folder / f"{number}.wanted")
        jobs.append({"module": call.module, "name": call.name, "given": given, "rest": call.rest, "wanted": wanted})
    (folder / "calls.json").write_text(json.dumps(jobs))
    command = ["node", Path(__file__).with_name("call.mjs"), STATIC, folder / "calls.json"]
    said = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return [
        one["refused"] if "refused" in one else np.fromfile(job["wanted"], np.uint8).reshape(one["shape"])
        for one, job in zip(said, jobs, strict=True)
    ]
