"""Other programs' numbers, and the tests' own plain reading of the published algorithm."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HERE = Path(__file__).parent
GOOGLE = HERE / "data" / "google"
Arrays = Mapping[str, np.ndarray]


def load_module(file: Path) -> ModuleType:
    """A file of tests, which are no package, as a module."""
    name = f"parity_{file.stem}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return sys.modules[name]


def load_arrays(file: Path) -> Arrays:
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def google_model() -> Arrays:
    return load_arrays(GOOGLE / "model.npz")


@pytest.fixture(scope="session")
def google_optimizer() -> Arrays:
    return load_arrays(GOOGLE / "optimizer.npz")


@pytest.fixture(scope="session")
def google_corpus() -> Arrays:
    return load_arrays(GOOGLE / "corpus.npz")


@pytest.fixture(scope="session")
def google_data() -> dict[str, Any]:
    return json.loads((GOOGLE / "pretraining_data.json").read_text())


@pytest.fixture(scope="session")
def instances() -> ModuleType:
    return load_module(HERE / "pretraining_instances.py")


@pytest.fixture(scope="session")
def slow_pairs() -> ModuleType:
    return load_module(HERE.parent / "data" / "test_sentence_pairs.py")


@pytest.fixture(scope="session")
def slow_masks() -> ModuleType:
    return load_module(HERE.parent / "data" / "test_masking.py")
