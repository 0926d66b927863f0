"""`python -m build_support.proven`: are the kernels as they were when all of their own tests passed? Exit 0 says yes.

These tests (`make prove`) take more than half of the time of all, and depend on files that seldom change. Whoever
changes one runs them and has `--note` write down what they passed on; where that is forgotten, CI runs them itself.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RECORD = Path(".ci/proven.json")
FILES = (
    *(
        "csrc",
        "tryon_kernels",
        "build_support",
        "integrations",
        "setup.py",
        "pyproject.toml",
        "MANIFEST.in",
        "Makefile",
    ),
    *(f"tests/{name}" for name in ("compat", "cuda", "kernels", "packaging", "tooling", "triton", "interpreter.py")),
)


def state(root: Path) -> dict[str, str]:
    """What the outcome of these tests depends on: versions, and a hash of the files that git knows."""
    found = ("git", "ls-files", "-z", "--", *FILES)
    names = subprocess.run(found, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    files = hashlib.sha256()
    for name in sorted(filter(None, names)):
        path = root / name
        content = path.read_bytes() if path.exists() else b""
        files.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"files": files.hexdigest(), "python": python, "torch": metadata.version("torch")}


def changed(root: Path) -> list[str]:
    """Which of these differ from what was noted; all where nothing was."""
    record = root / RECORD
    noted = json.loads(record.read_text()) if record.exists() else {}
    return [name for name, value in state(root).items() if noted.get(name) != value]


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Compare, or note; the exit status."""
    if arguments == ["--note"]:
        (root / RECORD).write_text(json.dumps(state(root), indent=2) + "\n")
        return 0
    different = changed(root)
    print(f"kernels: {', '.join(different)} changed" if different else "kernels: as when all of their tests passed")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
