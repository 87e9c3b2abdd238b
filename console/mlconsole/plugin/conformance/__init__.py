"""A pytest suite that any adapter runs against itself::

    from mlconsole.plugin.conformance import Bench, ServingConformance

    class TestMine(ServingConformance):
        @pytest.fixture
        def bench(self, tmp_path):
            backend = MyBackend(tmp_path)
            return Bench(serving=backend.serving, clock=SystemClock(), versions=[V1, V2, V3], requests=[Invocation({"text": "a"})])

Each check says in its docstring why it is there, with the number of the trap in the field notes that it guards against. Checks that the
backend can't take (no shadow, no predictions) are skipped with their reason, or turn into a check that it refuses. `docs/roles.md` tells
the rest. A store of config documents has a suite of its own, `ConfigStoreConformance`; so have probes and notifiers: `ProbeConformance`,
`NotifierConformance`, and docs/probes-and-notifiers.md.
"""

from __future__ import annotations

import pytest

# The checks are plain modules to pytest: without this their assertions would say nothing but AssertionError.
_CHECKS = ("bench", "variants", "routing", "safety", "observing", "documents", "storing", "kinds")
pytest.register_assert_rewrite(*(f"{__name__}.{module}" for module in _CHECKS))

from mlconsole.plugin.conformance.bench import Bench, Driver, as_live, as_variant  # noqa: E402
from mlconsole.plugin.conformance.documents import ConfigStoreConformance  # noqa: E402
from mlconsole.plugin.conformance.kinds import NotifierBench, NotifierConformance, ProbeBench, ProbeConformance  # noqa: E402
from mlconsole.plugin.conformance.observing import PredictionChecks  # noqa: E402
from mlconsole.plugin.conformance.routing import TrafficChecks  # noqa: E402
from mlconsole.plugin.conformance.safety import SafetyChecks  # noqa: E402
from mlconsole.plugin.conformance.storing import ConfigBench, ConfigDriver  # noqa: E402
from mlconsole.plugin.conformance.variants import VariantChecks  # noqa: E402


class ServingConformance(VariantChecks, TrafficChecks, SafetyChecks, PredictionChecks):
    """All checks. Subclass it as `Test…` and override the fixture `bench`."""


__all__ = [
    "Bench",
    "ConfigBench",
    "ConfigDriver",
    "ConfigStoreConformance",
    "Driver",
    "NotifierBench",
    "NotifierConformance",
    "PredictionChecks",
    "ProbeBench",
    "ProbeConformance",
    "SafetyChecks",
    "ServingConformance",
    "TrafficChecks",
    "VariantChecks",
    "as_live",
    "as_variant",
]
