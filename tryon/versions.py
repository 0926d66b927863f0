"""Versions of packages."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str | None:
    """None for one that is not there, or is used from a checkout."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
