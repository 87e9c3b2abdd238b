"""Workspaces for the tests of the whole program: simulated ones for each test, and one with real servers for a worker's tests together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.config_kit import configured
from e2e.kit import Console, Simulated, copied, make_simulated


@pytest.fixture(scope="session", autouse=True)
def _own_trust(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Which workspaces are trusted is kept in the home: the tests' own are not the tester's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    """A simulated workspace with registered versions and no endpoint: made once, copied for each test."""
    return make_simulated(tmp_path_factory.mktemp("blank"))


@pytest.fixture
def sim(blank: Simulated, tmp_path: Path) -> Simulated:
    """A simulated workspace, no endpoint yet."""
    return copied(blank, tmp_path / "sim")


@pytest.fixture(scope="session")
def _served(blank: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    console = copied(blank, tmp_path_factory.mktemp("served"))
    console.run("deploy", "relevance@3", "--yes")
    return console


@pytest.fixture
def served(_served: Simulated, tmp_path: Path) -> Simulated:
    """A simulated workspace in which relevance@3 serves."""
    return copied(_served, tmp_path / "served")


@pytest.fixture(scope="session")
def _unpublished(_served: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    return configured(copied(_served, tmp_path_factory.mktemp("unpublished")))


@pytest.fixture
def unpublished(_unpublished: Simulated, tmp_path: Path) -> Simulated:
    """A simulated workspace that keeps a config document, of which nothing is published yet; relevance@3 serves."""
    return copied(_unpublished, tmp_path / "unpublished")


@pytest.fixture(scope="session")
def _published(_unpublished: Simulated, tmp_path_factory: pytest.TempPathFactory) -> Simulated:
    console = copied(_unpublished, tmp_path_factory.mktemp("published"))
    console.run("config", "edit", "models", "--file", "config/models.json", "--reason", "the first")
    console.run("config", "publish", "models", "--at-once", "--yes")
    return console


@pytest.fixture
def published(_published: Simulated, tmp_path: Path) -> Simulated:
    """The same, with version 1 of `models` live in staging, as release #1."""
    return copied(_published, tmp_path / "published")


@pytest.fixture(scope="session")
def _sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    Console(folder).run("init", "ws", "--sample")
    return folder / "ws"


@pytest.fixture
def sample(_sample: Path, tmp_path: Path) -> Iterator[Console]:
    """The sample workspace in a folder of its own; whatever runs there is ended."""
    shutil.copytree(_sample, tmp_path / "ws")
    console = Console(tmp_path / "ws")
    yield console
    for environment in ("staging", "production"):
        console.run("local", "down", "--env", environment, code=range(256))


@pytest.fixture(scope="module")
def live(_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """The sample workspace with its servers up, shared by a module's tests; each uses endpoints of its own, or leaves it as it was."""
    root = tmp_path_factory.mktemp("live") / "ws"
    shutil.copytree(_sample, root)
    console = Console(root)
    console.run("local", "up")
    yield console
    console.run("local", "down", code=range(256))


@pytest.fixture(scope="session")
def _demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    root = tmp_path_factory.mktemp("demo")
    console = Console(root)
    console.run("demo", "ws")
    yield Console(root / "ws")
    console.run("demo", "ws", "--clean", code=range(256))


@pytest.fixture
def demo(_demo: Console) -> Console:
    """The demo: real servers with relevance@3 and delay-risk@1, and replayed traffic. Shared by all tests of a worker, in their order; each
    leaves #1 live. Again finds what runs, and starts what does not.
    """
    _demo.run("demo", ".")
    return _demo
