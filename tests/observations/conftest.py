"""A store of its own for each test."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlconsole.observations import Store, open_store
from observations.samples import SetClock


@pytest.fixture
def path() -> Iterator[Path]:
    """In memory where there is such a place: only the waiting for a disk is left out."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="mlconsole-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder) / ".mlconsole" / "observations.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(path, clock=SetClock()) as opened:
        yield opened
