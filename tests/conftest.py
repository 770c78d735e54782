"""Fixtures for the whole suite."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("fecapass", max_examples=100, deadline=None)
settings.load_profile("fecapass")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The shared material beside the repository: labelled photos, clips, test-only weights."""
    named = os.environ.get("FECAPASS_SHARED")
    path = Path(named) if named else Path(__file__).parents[2] / "shared"
    if not path.is_dir():
        pytest.skip(f"no shared material at {path}; set FECAPASS_SHARED to point at it")
    return path
