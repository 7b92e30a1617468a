"""Which version of the package this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """As installed; a source tree that is only on the path has none."""
    try:
        return version("bertsmith")
    except PackageNotFoundError:
        return "not installed"
