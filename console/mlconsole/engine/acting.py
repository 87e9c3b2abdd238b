"""Actions: what a plugin or the workspace offers beside serving, and above all the repairs of what health finds.

An action is asked for in the registry and carried out by the guardian, so that no dropped connection stops it; where nobody watches, by a
process of its own. Whoever asked only looks at how it goes.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.models import Json
from mlconsole.core.text import did_you_mean, duration, neutralise
from mlconsole.engine.access import Deed
from mlconsole.engine.views import ActionRunView
from mlconsole.plugin.errors import BackendError, MLConsoleError, NotFound, StillRunning, Unavailable, UnknownName, UsageError
from mlconsole.plugin.roles import Parameter

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.registry import ActionRun
    from mlconsole.workspace.actions import ActionSettings

_TIME_LIMIT = 60.0
"""Seconds that an action may take which says nothing else."""

_BEGINS = 3.0
"""Seconds within which somebody alive begins with what was asked for."""

_CHECKED = 20.0
"""Seconds after an action within which its check has to come out well."""

_TAIL = 4_000

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|KEY|WEBHOOK|URL|CREDENTIAL|AUTH", re.IGNORECASE)
"""Names of environment variables whose values are nobody's business."""


@dataclass(frozen=True)
class Offered:
    """An action that can be run here. `source` is `workspace` or the plugin's; `checks` says what is looked at afterwards."""

    name: str
    summary: str
    parameters: tuple[Parameter, ...]
    safe: bool
    source: str
    time_limit: float
    checks: str = ""
    repairs: tuple[str, ...] = ()
    """The probes that it mends."""


def actions(session: Session) -> tuple[Offered, ...]:
    """All that can be run in the environment, the workspace's own first."""
    repairs: dict[str, list[str]] = {}
    for probe in session.environment.probes.values():
        if probe.repair:
            repairs.setdefault(probe.repair, []).append(probe.name)
    own = [
        Offered(
            one.name,
            one.summary,
            tuple(one.parameters),
            one.safe,
            "workspace",
            one.time_limit,
            " and ".join(
                [*([one.check_probe] if one.check_probe else []), *([f"golden queries of {one.check_golden}"] if one.check_golden else [])]
            ),
            tuple(repairs.get(one.name, ())),
        )
        for one in session.workspace.actions.values()
        if one.offered(session.environment.name)
    ]
    taken = {one.name for one in own}
    plugins = [
        Offered(
            one.name, one.summary, tuple(one.parameters), one.safe, session.backend.name, _TIME_LIMIT, "", tuple(repairs.get(one.name, ()))
        )
        for one in session.backend.actions().values()
        if one.name not in taken
    ]
    return (*own, *plugins)


def find(session: Session, name: str) -> Offered:
    """The action of that name.

    Raises:
        UnknownName: there is none; with the nearest ones.
    """
    offered = actions(session)
    found = next((one for one in offered if one.name == name), None)
    if found is None:
        raise UnknownName(
            f'There is no action "{name}" in {session.environment.name}. {did_you_mean(name, [one.name for one in offered])}',
            next="mlconsole action list shows them.",
        )
    return found


def checked_parameters(offered: Offered, parameters: Mapping[str, str]) -> dict[str, str]:
    """What the action is given, with its defaults.

    Raises:
        UsageError: one that it does not have, or one that is missing.
    """
    known = [one.name for one in offered.parameters]
    for name in parameters:
        if name not in known:
            raise UsageError(f'{offered.name} has no parameter "{name}". {did_you_mean(name, known)} Nothing was done.')
    filled = {one.name: parameters.get(one.name, one.default) for one in offered.parameters}
    missing = [name for name, value in filled.items() if value is None]
    if missing:
        raise UsageError(f"{offered.name} needs {', '.join(missing)}. Nothing was done.", next=f"Add --param {missing[0]}=VALUE.")
    return {name: str(value) for name, value in filled.items()}


def ask(
    session: Session, name: str, parameters: Mapping[str, str] | None = None, *, alarm: int | None = None, probe: str = "", reason: str = ""
) -> ActionRunView:
    """Ask for an action to be run, and see to it that somebody does: the guardian, else a process of its own.

    Raises:
        UnknownName, UsageError: there is no such action, or it can't be run like that.
        NotAllowed: read only; or a command of the workspace that was not trusted.
    """
    session.access.require(Deed.ACT)
    offered = find(session, name)
    own = session.workspace.actions.get(name)
    if own is not None and own.run is not None:
        from mlconsole.engine.trusting import require_trust

        require_trust(session, f"the action {name}")
    filled = checked_parameters(offered, parameters or {})
    watcher = session.registry.watcher(session.environment.name)
    try:
        run = session.registry.ask_run(session.environment.name, name, filled, session.acting(), alarm=alarm, probe=probe, reason=reason)
    finally:
        # Also when it was asked for before: whoever should have carried it out may be gone.
        if watcher is None or not watcher.alive:
            _in_a_process_of_its_own(session)
    return view_of(run)


def wait(session: Session, run_id: str, timeout: float) -> ActionRunView:
    """Wait until a run is over.

    Raises:
        StillRunning: it goes on after `timeout` seconds.
    """
    began = session.clock.elapsed()
    helped = False
    while True:
        run = session.registry.run(run_id)
        if run is None:
            raise UnknownName(f"There is no run {run_id}.", next="mlconsole action runs shows them.")
        if run.ended is not None or run.state == "failed":
            return view_of(run)
        if run.state == "asked" and not helped and session.clock.elapsed() - began > _BEGINS:
            watcher = session.registry.watcher(session.environment.name)
            if watcher is None or not watcher.alive:  # the guardian that was to do it has died since
                helped = True
                _in_a_process_of_its_own(session)
        if session.clock.elapsed() - began > timeout:
            raise StillRunning(
                f"{run.action} still runs after {duration(timeout)} (run {run_id}).", next="mlconsole action runs shows how it goes."
            )
        session.clock.sleep(0.1)


def carry_out_asked(session: Session) -> list[ActionRunView]:
    """Run what was asked for and nobody has begun yet, one after the other; how each went.

    Raises:
        NotAllowed: read only.
    """
    session.access.require(Deed.ACT)
    ended = []
    while (run := session.registry.claim_run(session.environment.name, session.actor)) is not None:
        ended.append(_carry_out(session, run))
    return ended


def view_of(run: ActionRun) -> ActionRunView:
    """A run for a face."""
    return ActionRunView(
        id=run.id,
        action=run.action,
        state=str(run.state),
        who=str(run.actor),
        started=run.asked,
        ended=run.ended,
        told=neutralise(run.told),
        alarm=run.alarm,
        probe=run.probe,
    )


def _carry_out(session: Session, run: ActionRun) -> ActionRunView:
    from mlconsole.registry import RunState

    began = session.clock.elapsed()
    try:
        told = _do(session, run.action, {name: str(value) for name, value in run.parameters.items()})
        told += _checks(session, run.action)
        done = True
    except MLConsoleError as error:
        told, done = str(error), False
    except Exception as error:  # noqa: BLE001 - an action's own bug ends the action, and is told as its failure
        told, done = f"{type(error).__name__}: {error}", False
    took = duration(session.clock.elapsed() - began)
    state = RunState.DONE if done else RunState.FAILED
    return view_of(session.registry.end_run(run.id, state, neutralise(f"{told} · {took}")))


def _do(session: Session, name: str, parameters: Mapping[str, str]) -> str:
    own = session.workspace.actions.get(name)
    if own is None:
        return _told(session.backend.run_action(name, parameters, deadline=_TIME_LIMIT))
    if own.run is not None:
        from mlconsole.engine.trusting import require_trust

        require_trust(session, f"the action {own.name}")
        return _command(session, own, parameters)
    return _told(session.backend.run_action(own.uses or own.name, own.with_, deadline=own.time_limit))


def _command(session: Session, own: ActionSettings, parameters: Mapping[str, str]) -> str:
    """Run a command of the workspace, never through a shell, in a group of its own that the time limit ends as a whole."""
    words = list(own.command(parameters))
    inside = session.workspace.root / words[0]
    if "/" in words[0] and inside.is_file():
        words[0] = str(inside)
    environment = {
        **os.environ,
        # `python` and `mlconsole` are those that run this, wherever it is installed.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "MLCONSOLE_WORKSPACE": str(session.workspace.root),
        "MLCONSOLE_ENV": session.environment.name,
    }
    try:
        process = subprocess.Popen(
            words,
            cwd=session.workspace.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise NotFound(f"{own.name} can't run {words[0]}: {error.strerror}.", next="Look at `run:` in mlconsole.yaml.") from error
    tail: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(process, tail), daemon=True)
    reader.start()
    try:
        code = process.wait(own.time_limit)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise Unavailable(f"{own.name} took longer than its time limit of {duration(own.time_limit)} and was stopped.") from None
    reader.join(1.0)  # a grandchild may keep the pipe open; what was said so far is enough
    lines = [line.strip() for line in b"".join(tail).decode("utf-8", "replace").splitlines() if line.strip()]
    last = _without_secrets(lines[-1]) if lines else ""
    if code != 0:
        raise BackendError(f"{own.name} failed with code {code}{f': {last}' if last else ''}.")
    return last or "done"


def _without_secrets(text: str) -> str:
    """What a command said goes into the registry; what looks like a secret of ours does not (invariant 10)."""
    for name, value in os.environ.items():
        if len(value) >= 6 and _SECRET.search(name):
            text = text.replace(value, "…")
    return text


def _drain(process: subprocess.Popen[bytes], tail: list[bytes]) -> None:
    """Read all that it says and keep the end: a command must never wait for its reader."""
    if process.stdout is None:
        return
    while data := process.stdout.read1(65_536):  # type: ignore[attr-defined]
        tail[:] = [(b"".join(tail) + data)[-_TAIL:]]


def _checks(session: Session, name: str) -> str:
    """Look at what the action should have mended.

    Raises:
        BackendError: it is not.
    """
    own = session.workspace.actions.get(name)
    if own is None:
        return ""
    told = []
    if own.check_probe:
        told.append(_until_well(session, own.check_probe, name))
    if own.check_golden:
        told.append(_golden(session, own.check_golden))
    return "".join(f" · {one}" for one in told)


def _until_well(session: Session, probe: str, action: str) -> str:
    from mlconsole.engine.probing import look_at

    began = session.clock.elapsed()
    while True:
        seen = look_at(session, probe)
        if seen.ok:
            return f"{probe} ✔ {seen.text}"
        if session.clock.elapsed() - began > _CHECKED:
            raise BackendError(f"{action} ran, but {probe} is still not well: {seen.text}.")
        session.clock.sleep(0.2)


def _golden(session: Session, model: str) -> str:
    """Ask each serving variant of the model's endpoint the golden queries."""
    from mlconsole.engine.gates import golden_queries, invocation

    endpoint = session.workspace.endpoint_for(model)
    recorded = session.registry.live_release(session.environment.name, endpoint)
    content = recorded.release.content if recorded else None
    if content is None or content.traffic is None:
        return f"golden queries of {model}: not asked, nothing serves"
    queries = golden_queries(session, model)
    right = asked = 0
    wrong = ""
    for variant in content.variants:
        if not content.traffic.reaches(variant.name):
            continue
        registered = session.registry.version(variant.model, variant.version)
        for query in queries:
            asked += 1
            answer = session.backend.invoke(endpoint, invocation(dict(query.inputs), registered), variant.name, probe=True)
            differences = query.differences(answer.outputs) if answer.status == 200 else ()
            if answer.status == 200 and not differences:
                right += 1
            elif not wrong:
                wrong = f"{query.id} on {variant.name}: {differences[0] if differences else f'{answer.status} {answer.error}'}"
    if right < asked:
        raise BackendError(f"Golden queries of {model}: {right} of {asked} right; {wrong}.")
    return f"golden {right}/{asked} ✔"


def _told(result: Mapping[str, Json]) -> str:
    return ", ".join(f"{name} {value}" for name, value in result.items() if value not in (None, "", {}, [])) or "done"


def _in_a_process_of_its_own(session: Session) -> None:
    command = [sys.executable, "-m", "mlconsole", "action", "carry-out", "--workspace", str(session.workspace.file)]
    subprocess.Popen(
        [*command, "--env", session.environment.name],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
