"""`python -m build_support.torch_index URL`: pip's option for this package index, or none where it does not answer."""

from __future__ import annotations

import sys
import urllib.request

SECONDS = 5


def option(index: str) -> str:
    """Nothing for pip's own index, which is an empty one, and for one that does not answer, which is said in a line."""
    if not index:
        return ""
    try:
        with urllib.request.urlopen(f"{index.rstrip('/')}/torch/", timeout=SECONDS):
            return f"--extra-index-url {index}"
    except (OSError, ValueError) as error:
        print(f"TORCH_INDEX: {index} does not answer ({error}), so torch comes from pip's own index", file=sys.stderr)
        return ""


if __name__ == "__main__":
    print(option(sys.argv[1].strip()))
