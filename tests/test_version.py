"""What the package says of itself."""

from __future__ import annotations

import importlib.metadata

import pytest

from bertsmith.version import own_version


def test_a_source_tree_that_is_not_installed_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("bertsmith.version.version", missing)
    assert own_version() == "not installed"


def test_the_version_is_that_of_the_installed_package() -> None:
    assert own_version() == importlib.metadata.version("bertsmith")
