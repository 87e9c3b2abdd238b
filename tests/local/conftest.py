"""Fixtures of the local plugin's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from local.kit import Place


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A state folder."""
    return tmp_path / "state"


@pytest.fixture
def place(root: Path) -> Iterator[Place]:
    """An environment that is taken down at the end."""
    made = Place(root)
    yield made
    made.down()
