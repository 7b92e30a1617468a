"""Fixtures that every folder of tests may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Two threads take turns on matrices as small as the tests', ten times slower than one, and more so
# where several tests run at once. PyTorch reads this when it is imported, in subprocesses too.
os.environ["OMP_NUM_THREADS"] = "1"
# No test asks a server for anything.
os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real corpora, tasks and vocabularies; it is read in place, never committed."""
    default = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("BERTSMITH_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"the real test data is not at {folder} (set BERTSMITH_TEST_DATA)")
    return folder
