"""`python -m build_support.kernel_hub OUT`: a project of Hugging Face's kernel-builder, of what is Python and Triton.

The Kernel Hub loads several versions of a kernel into one process. So each has its own name, that kernel-builder writes
into ``_ops.py``: all imports are made relative to it, and all ops are of a namespace of that name.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = "tryon_kernels"
PROJECT = ROOT / "integrations" / "kernel_hub"
# What is compiled, what needs another package, and what is a command of ours.
LEFT_OUT = ("cuda/", "onnx/", "__main__.py", "report.py")
NO_LIBRARY = "kernels of the Hub have no compiled part; the package tryon-kernels has"

_NAMES = {  # of the ops, where the package's own stands
    rf'NAMESPACE = "{PACKAGE}"\n': "NAMESPACE = add_op_namespace_prefix('').removesuffix('::')\n",
    rf'register_fake\("{PACKAGE}::(\w+)"': r'register_fake(add_op_namespace_prefix("\1")',
    rf"torch\.ops\.{PACKAGE}\b": "ops",
}


def write_project(out: Path) -> None:
    """Write the project into a folder that is not there yet."""
    shutil.copytree(PROJECT, out)
    shutil.copy(ROOT / "LICENSE", out)
    target = out / "torch-ext" / PACKAGE
    for source in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = source.relative_to(ROOT / PACKAGE)
        if not name.as_posix().startswith(LEFT_OUT):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_text(ported(source.read_text(encoding="utf-8"), name), encoding="utf-8")
    noted = {"cpp": {"reason": NO_LIBRARY}, "cuda": {"reason": NO_LIBRARY}}
    (target / "_build.json").write_text(json.dumps(noted) + "\n")


def ported(text: str, name: Path) -> str:
    """A file of the package as it is in a kernel: relative imports, ops by the kernel's own name."""
    here = "." * len(name.parts)
    text = re.sub(rf"^(\s*)from {PACKAGE}\.([\w.]+) import", rf"\1from {here}\2 import", text, flags=re.MULTILINE)
    text = re.sub(rf"^(\s*)from {PACKAGE} import", rf"\1from {here} import", text, flags=re.MULTILINE)
    used = []
    for found, instead in _NAMES.items():
        text, count = re.subn(found, instead, text)
        if count:
            used.append("ops" if instead == "ops" else "add_op_namespace_prefix")
    if used:
        first = re.search(r"^(from|import) (?!__future__)", text, re.MULTILINE)
        assert first is not None  # who names ops imports something
        line = f"from {here}_ops import {', '.join(sorted(set(used)))}\n"
        text = text[: first.start()] + line + text[first.start() :]
    return text


if __name__ == "__main__":
    write_project(Path(sys.argv[1]))
