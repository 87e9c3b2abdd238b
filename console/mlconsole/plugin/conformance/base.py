"""The fixtures that every group of checks begins with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mlconsole.plugin.conformance.bench import Bench, Driver


class Checks:
    """Subclass one of the groups, or all of them as `ServingConformance`, and override `bench`."""

    @pytest.fixture
    def bench(self) -> Bench:
        """The adapter on its bench; your subclass gives it. A backend that is dear to make may come from a fixture of wider scope."""
        raise NotImplementedError("give the suite a bench: override the fixture `bench`")

    @pytest.fixture
    def it(self, bench: Bench) -> Iterator[Driver]:
        """The bench, driven; with no endpoint before the check, and none after it."""
        driver = Driver(bench)
        driver.clean()
        yield driver
        driver.clean()
