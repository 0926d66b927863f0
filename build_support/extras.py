"""`python -m build_support.extras NAME...`: what optional extras of the installed package ask for, a line each."""

from __future__ import annotations

import sys
from importlib import metadata

from packaging.markers import Marker
from packaging.requirements import Requirement

PACKAGE = "tryon-kernels"


def requirements(extras: list[str]) -> list[str]:
    """Requirements of extras, for pip. ValueError for a name that the package has not got."""
    known = metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    if unknown := [name for name in extras if name not in known]:
        raise ValueError(f"extras: found {unknown[0]!r}, wanted one of {', '.join(known)}")
    every = [Requirement(line) for line in metadata.requires(PACKAGE) or []]
    return [str(one).partition(";")[0].strip() for one in every if one.marker and _asked_for_by(one.marker, extras)]


def _asked_for_by(marker: Marker, extras: list[str]) -> bool:
    return not marker.evaluate({"extra": ""}) and any(marker.evaluate({"extra": name}) for name in extras)


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
