"""The recorded numbers of the reference implementation."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def parity_dir() -> Path:
    """Folder of the recorded numbers, from PARITY_DIR."""
    folder = Path(os.environ.get("PARITY_DIR") or ROOT.parent / "shared" / "parity")
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there: set PARITY_DIR to the folder of recorded numbers")
    return folder
