"""The local SQLite registry: versions, releases, plans, the journal, leases, control, alarms, notices, watchers, runs, probes,
rollouts, approvals, config documents. Only it and `observations` know SQL.
"""

from mlconsole.registry.alarms import AlarmEvent
from mlconsole.registry.approvals import Permit
from mlconsole.registry.claims import Telling
from mlconsole.registry.drivers import DriverRow
from mlconsole.registry.outbox import OutboxRow, OutboxState
from mlconsole.registry.parts import EndpointRow, LeaseRow, Recorded
from mlconsole.registry.probes import ProbeEvent, ProbeRow
from mlconsole.registry.registry import Registry, open_registry
from mlconsole.registry.rollouts import RolloutControl, RolloutEvent
from mlconsole.registry.runs import ActionRun, RunState
from mlconsole.registry.watchers import WatcherRow

__all__ = [
    "ActionRun",
    "AlarmEvent",
    "DriverRow",
    "EndpointRow",
    "LeaseRow",
    "OutboxRow",
    "OutboxState",
    "Permit",
    "ProbeEvent",
    "ProbeRow",
    "Recorded",
    "Registry",
    "RolloutControl",
    "RolloutEvent",
    "RunState",
    "Telling",
    "WatcherRow",
    "open_registry",
]
