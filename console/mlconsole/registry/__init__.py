"""The local SQLite registry: versions, releases, plans, the journal, leases, control, alarms, notices, watchers, runs, probes. Only it and
`observations` know SQL.
"""

from mlconsole.registry.alarms import AlarmEvent
from mlconsole.registry.outbox import OutboxRow, OutboxState
from mlconsole.registry.parts import EndpointRow, LeaseRow, Recorded
from mlconsole.registry.probes import ProbeEvent, ProbeRow
from mlconsole.registry.registry import Registry, open_registry
from mlconsole.registry.runs import ActionRun, RunState
from mlconsole.registry.watchers import WatcherRow

__all__ = [
    "ActionRun",
    "AlarmEvent",
    "EndpointRow",
    "LeaseRow",
    "OutboxRow",
    "OutboxState",
    "ProbeEvent",
    "ProbeRow",
    "Recorded",
    "Registry",
    "RunState",
    "WatcherRow",
    "open_registry",
]
