"""The local SQLite registry: versions, releases, plans, the journal, leases, control. Only it and `observations` know SQL."""

from mlconsole.registry.parts import EndpointRow, LeaseRow, Recorded
from mlconsole.registry.registry import Registry, open_registry

__all__ = ["EndpointRow", "LeaseRow", "Recorded", "Registry", "open_registry"]
