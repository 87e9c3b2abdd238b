"""`guardian`: who watches when nobody looks: in the foreground, as a service, for one pass; and whether anybody does."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import DefaultCommand, Run, columns, command

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

app = typer.Typer(help="Who watches when nobody looks, and pages.", cls=DefaultCommand)


@command(app, "run")
def run_guardian(
    run: Run,
    once: Annotated[bool, typer.Option("--once", help="One pass over everything, for a timer; then end.")] = False,
    detach: Annotated[bool, typer.Option("--detach", help="As `guardian start`: in a process of its own.")] = False,
) -> None:
    """Watch in the foreground until Ctrl-C or SIGTERM.

    All environments of the workspace that want it (`watch:`), or the one that --env names.
    """
    from mlconsole.engine.guardian import Guardian

    if detach:
        start(run)
        return
    sessions = _sessions(run, guardian=True)
    guardian = Guardian(sessions, lambda text: _log(run, text), lambda: _again(run))
    if once:
        rounds = guardian.once()
        if run.json:
            from mlconsole.cli.health import plain

            run.emit({"rounds": [plain(one) for one in rounds]})
        for one in rounds:
            run.say(f"{one.environment}: {one.alarms} open alarms, {one.told} notices sent{f' · {one.trouble}' if one.trouble else ''}")
        if any(one.alarms for one in rounds):
            raise typer.Exit(1)
        return

    def end(signum: int, frame: FrameType | None) -> None:
        guardian.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if not guardian.run():
        raise typer.Exit(5)


@command(app)
def start(run: Run) -> None:
    """Start one in a process of its own; it goes on when you leave. Nothing to do where one watches already."""
    from mlconsole.engine import hosting

    session = run.session
    row = session.registry.watcher(session.environment.name)
    if row is not None and row.alive:
        _told(run, {"pid": row.pid, "started": False}, f"Nothing to do: {row.holder} (pid {row.pid}) watches {session.environment.name}.")
        return
    # Without --env it watches what wants it, and this environment, for which somebody wants it now.
    named = run.shared.env or not session.environment.watch
    pid = hosting.start(session, [session.environment.name] if named else [])
    _told(run, {"pid": pid, "started": True}, f"✔ the guardian watches (pid {pid})")
    for text in hosting.ends_at_logout():
        run.warn(f"▲ {text}")


@command(app)
def stop(run: Run) -> None:
    """End the guardian that watches this environment. Then nobody does."""
    from mlconsole.engine import hosting
    from mlconsole.plugin.errors import StillRunning, UsageError

    session = run.session
    row = session.registry.watcher(session.environment.name)
    left = row is not None and row.ended is None and row.holder.host == session.actor.host and hosting.is_guardian(row.pid)
    if row is None or not (row.alive or left):
        _told(run, {"stopped": False}, "Nothing to do: nobody watches.")
        return
    if row.holder.host != session.actor.host:
        raise UsageError(f"The guardian runs on {row.holder.host} (pid {row.pid}). Nothing was done.", next="Stop it there.")
    if not hosting.stop(session, row.pid):
        raise StillRunning(f"The guardian (pid {row.pid}) does not end.", next=f"kill -9 {row.pid}: the journal knows what it did.")
    _told(run, {"stopped": True, "pid": row.pid}, f"✔ the guardian (pid {row.pid}) ended. NOBODY WATCHES {session.environment.name}.")


@command(app)
def status(run: Run) -> None:
    """Who watches which environment, since when, whom they would tell. Exit 1 when nobody watches one that wants it."""
    from mlconsole.cli.health import plain
    from mlconsole.core.clock import SystemClock
    from mlconsole.engine.healthviews import watcher_view
    from mlconsole.engine.identifying import credentials_told

    now = SystemClock().now()
    views = {session.environment.name: watcher_view(session.registry.watcher(session.environment.name)) for session in _sessions(run)}
    if run.json:
        run.emit({"environments": {name: plain(view) for name, view in views.items()}})
    else:
        rows = []
        for name, view in views.items():
            if view.alive and view.beat is not None:
                since = f"since {view.since.astimezone():%d %b %H:%M:%S}" if view.since else ""
                told = f"tells {', '.join(view.channels)}" if view.channels else "tells nobody: no channel under `notify:`"
                acts = f", as {view.caller.name}: {credentials_told(view.caller, now)}" if view.caller is not None else ""
                rows.append(["✔", name, view.who, f"{since}, {told}{acts}{f' · {view.trouble}' if view.trouble else ''}"])
            else:
                since = f" since {view.since.astimezone():%d %b %H:%M:%S} ({view.trouble})" if view.since else ""
                rows.append(["✖", name, f"NOBODY WATCHES{since}", "mlconsole guardian install, or guardian start"])
        for line in columns(rows, wide=3):
            run.say(line)
    if not all(view.alive for view in views.values()):
        raise typer.Exit(1)


@command(app)
def unit(run: Run) -> None:
    """Print the systemd user unit."""
    from mlconsole.engine.hosting import unit_text

    print(unit_text(run.workspace, [run.shared.env] if run.shared.env else []), end="")


@command(app, changing=True)
def install(run: Run, remove: Annotated[bool, typer.Option("--remove", help="Stop it and take the unit away.")] = False) -> None:
    """Install it as a systemd user service, started now and at boot; says so where this host would end it at logout."""
    from mlconsole.engine import hosting
    from mlconsole.engine.access import Deed

    run.session.access.require(Deed.WATCH)
    if run.shared.dry_run:
        unit(run)
        run.say("Nothing has happened.")
        return
    done = hosting.uninstall(run.workspace) if remove else hosting.install(run.workspace, [run.shared.env] if run.shared.env else [])
    if run.json:
        run.emit({"unit": str(done.unit), "done": list(done.done), "warnings": list(done.warnings)})
    for text in done.done:
        run.say(f"✔ {text}")
    for text in done.warnings:
        run.warn(f"▲ {text}")


def _sessions(run: Run, *, guardian: bool = False) -> list[Session]:
    """The environments that are meant: the one that was named, else all that want watching."""
    from mlconsole.plugin.errors import UsageError

    if run.shared.env:
        return [run.open(run.environment, quiet=True, guardian=True) if guardian else run.session]
    wanted = [one for one in run.workspace.environments.values() if one.watch]
    if not wanted:
        raise UsageError("No environment of this workspace wants watching.", next="Take `watch: false` away in mlconsole.yaml.")
    return [run.open(one, quiet=True, guardian=guardian) for one in wanted]


def _again(run: Run) -> list[Session]:
    """The environments that are meant, as mlconsole.yaml says them now; there may be none that wants watching any more."""
    from mlconsole.workspace import environment, load

    workspace = load(run.workspace.file)
    wanted = [environment(workspace, run.shared.env, os.environ)] if run.shared.env else workspace.environments.values()
    run.use(workspace)
    return [run.open(one, quiet=True, guardian=True) for one in wanted if one.watch or run.shared.env]


def _told(run: Run, body: dict[str, object], text: str) -> None:
    if run.json:
        run.emit(body)
    run.say(text)


def _log(run: Run, text: str) -> None:
    from datetime import datetime

    run.mention(f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S} {text}")
