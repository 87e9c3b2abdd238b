"""The metrics role that the simulator plays: what the world wrote down about its requests, counted by the minute as a backend would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from mlconsole.plugin.measuring import Measured, MetricSample, Resolution
from mlconsole.plugin.roles import Observation
from mlconsole.plugin.simulator import records
from mlconsole.plugin.simulator.faults import FaultKind
from mlconsole.plugin.simulator.world import World

_PERCENTILES = (50.0, 95.0, 99.0)


class SimulatedMetrics:
    """Each request of the world in the minute that it began in, by who answered it; probes too, as backends count them.

    Faults on `metrics.samples`: EMPTY tells nothing, and that it is incomplete; LATE_READ: what is younger than its seconds is not there.
    """

    def __init__(self, world: World, *, settled: float, by_slice: bool) -> None:
        self.world = world
        self._settled, self._by_slice = settled, by_slice

    def resolution(self) -> Resolution:
        """A minute, and how late the settings say."""
        return Resolution(60, self._settled)

    def samples(self, endpoints: Mapping[str, Sequence[str]], since: datetime, until: datetime) -> Measured:
        """The figures of these variants."""
        with self.world.call("metrics.samples", ",".join(sorted(endpoints))) as faults:
            if any(fault.kind is FaultKind.EMPTY for fault in faults):
                return Measured((), tuple(endpoints), self._by_slice)
            late = [fault.seconds for fault in faults if fault.kind is FaultKind.LATE_READ]
            newest = self.world.clock.now() - timedelta(seconds=max(late)) if late else None
            groups: dict[tuple[str, str, str, int], list[Observation]] = {}
            for one in records.all_of(self.world.predictions):
                known = one.variant is not None and one.variant in endpoints.get(one.endpoint, ())
                if not known or one.variant is None or not since <= one.time < until or (newest is not None and one.time > newest):
                    continue
                begin = int(one.time.timestamp() // 60) * 60
                labels = [f"{key}={value}" for key, value in one.slices.items()] if self._by_slice else []
                for label in ("", *labels):
                    groups.setdefault((one.endpoint, one.variant, label, begin), []).append(one)
        return Measured(tuple(_sample(*key, members) for key, members in groups.items()), (), self._by_slice)


def _sample(endpoint: str, variant: str, label: str, begin: int, members: Sequence[Observation]) -> MetricSample:
    times = sorted(one.milliseconds for one in members if 0 < one.status < 400)
    throttled = sum(one.status == 429 for one in members)
    failed = sum(one.status == 0 or one.status >= 400 for one in members) - throttled
    latency = {share: times[min(len(times) - 1, int(len(times) * share / 100))] for share in _PERCENTILES} if times else {}
    return MetricSample(endpoint, variant, label, datetime.fromtimestamp(begin, UTC), 60.0, len(members), failed, throttled, latency)
