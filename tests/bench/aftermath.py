"""After a crash and its repair: whether everything is as it was wanted, and nothing that was written is gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.house import ENDPOINT, House

from mlconsole.core.live import differences
from mlconsole.core.operations import Operation, OperationState, StepRecord, StepState
from mlconsole.core.releases import NOTHING, Content, Standing
from mlconsole.engine.session import Session
from mlconsole.registry.parts import Recorded

_TABLES = ("plan", "operation", "step", "release")


@dataclass(frozen=True)
class History:
    """All that the registry holds of the environment."""

    operations: Mapping[str, Operation]
    steps: Mapping[str, tuple[StepRecord, ...]]
    releases: Mapping[int, Recorded]
    rows: Mapping[str, int]


def history(session: Session) -> History:
    """The registry as it is."""
    registry, environment = session.registry, session.environment.name
    operations = {operation.id: operation for operation in registry.operations(environment, limit=100_000)}
    return History(
        operations,
        {name: tuple(registry.steps(name)) for name in operations},
        {entry.release.number: entry for entry in registry.releases(environment, ENDPOINT, limit=100_000)},
        rows(session.workspace.root),
    )


def rows(workspace: Path) -> dict[str, int]:
    """How many rows each table of the history has, read past our own code."""
    connection = sqlite3.connect(workspace / ".mlconsole" / "registry.db", timeout=10.0)
    try:
        return {table: connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0] for table in _TABLES}
    finally:
        connection.close()


def live_content(session: Session) -> Content:
    """What the live release wants."""
    recorded = session.registry.live_release(session.environment.name, ENDPOINT)
    return recorded.release.content if recorded else NOTHING


def problems(made: House, old: Content, new: Content, before: History, now: History) -> list[str]:
    """Everything that is not as it must be, in words; nothing when all is well."""
    return [*_state(made, old, new), *_journal(now), *_gone(before, now), *_running(made)]


def _state(made: House, old: Content, new: Content) -> list[str]:
    """Fully in the new release, or fully in the revert target: read back from the backend, not from the registry."""
    content = live_content(made.session)
    live = made.session.backend.describe(ENDPOINT)
    found = [f"live: {difference}" for difference in differences(live, content)]
    if content not in (old, new):
        found.append("the live release is neither the new one nor the revert target")
    return found


def _journal(now: History) -> list[str]:
    """Everything at its end, each operation's release standing as the operation ended."""
    found = []
    for name, operation in now.operations.items():
        if not operation.state.terminal or operation.ended is None:
            found.append(f"change {name} is {operation.state}")
        found += [f"step {step.index} of change {name} is open" for step in now.steps[name] if step.state is StepState.INTENDED]
        entry = now.releases.get(operation.release)
        stood = operation.state is OperationState.DONE
        if entry is None:
            found.append(f"change {name} has no release #{operation.release}")
        elif stood == (entry.standing in (Standing.FAILED, Standing.PENDING)):
            found.append(f"change {name} is {operation.state}, but its release #{operation.release} is {entry.standing}")
    if sorted(now.releases) != list(range(1, len(now.releases) + 1)):
        found.append(f"releases are missing: {sorted(now.releases)}")
    alive = [number for number, entry in now.releases.items() if entry.standing is Standing.LIVE]
    if len(alive) != 1:
        found.append(f"{len(alive)} releases are live: {alive}")
    return found


def _gone(before: History, now: History) -> list[str]:
    """What was in the history and is not any more, or was written over."""
    found = [f"change {name} is gone" for name in before.operations if name not in now.operations]
    found += [f"steps of change {name} are not what they were" for name, steps in before.steps.items() if now.steps.get(name) != steps]
    for number, entry in before.releases.items():
        there = now.releases.get(number)
        if there is None or there.release != entry.release:
            found.append(f"release #{number} is {'gone' if there is None else 'another one'}")
    return found


def _running(made: House) -> list[str]:
    """Exactly the servers of the live release run, and nobody holds a lease."""
    found = [f"a lease on {row.lease.scope} is held by process {row.lease.pid}" for row in made.session.registry.leases() if row.alive]
    processes = made.processes()
    if processes is None:
        return found
    servers = [arguments for arguments in processes.values() if "mlconsole_local.server" in arguments and arguments[0] != "/bin/sh"]
    running = sorted(arguments[arguments.index("--variant") + 1] for arguments in servers if "python" in arguments[0])
    wanted = sorted(live_content(made.session).names)
    if running != wanted:
        found.append(f"the servers of {running} run, wanted are those of {wanted}")
    return found
