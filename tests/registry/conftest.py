"""A registry of its own for each test, and the clock that it goes by."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlconsole.registry import Registry, open_registry
from registry.samples import SetClock


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def path(quick_folder: Path) -> Path:
    return quick_folder / ".mlconsole" / "registry.db"


@pytest.fixture
def quick_folder() -> Iterator[Path]:
    """In memory where there is such a place, since each test makes a registry: only the waiting for a disk is left out."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="mlconsole-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture
def registry(path: Path, clock: SetClock) -> Iterator[Registry]:
    with open_registry(path, clock=clock, deadline=5) as opened:
        yield opened
