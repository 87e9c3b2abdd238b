"""`demo`: the sample workspace with real servers and real traffic, told when it is true; `--headless` proves the whole story."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, command
from mlconsole.cli.drills import DRILLS, run_drill
from mlconsole.cli.drills import told as drills_told
from mlconsole.core.text import duration
from mlconsole.plugin.errors import MLConsoleError, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

_FIRST = {"relevance": "3", "delay-risk": "1"}
"""The versions that the demo starts with: good, and with something better to deploy."""

_RATES = {"relevance": 50, "delay-risk": 5}
"""Replayed requests a second."""

_RATE_AWS = 40
"""At most so many of them where each goes through three servers of other people's."""

CONFIG = "models"
"""The config document that the demo's applications read."""


def add(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def demo(
        run: Run,
        folder: Annotated[str, typer.Argument(metavar="DIR", help="Where its workspace lies.")] = "demo",
        headless: Annotated[bool, typer.Option("--headless", help="Walk deploy, shift, publish, revert; check each; clean up.")] = False,
        drill: Annotated[
            str, typer.Option("--drill", metavar="NAME", help=f"Break something in the running demo: {', '.join(DRILLS)}.")
        ] = "",
        clean: Annotated[bool, typer.Option("--clean", help="Stop all that the demo started, and remove its folder.")] = False,
        aws: Annotated[bool, typer.Option("--aws", help="On AWS's protocols: SageMaker, AppConfig, CloudWatch, on this machine.")] = False,
    ) -> None:
        """Real servers and real traffic, on this machine only.

        The sample workspace, ready to play with; again finds what runs.
        """
        kind = "aws" if aws else ""
        place = Path(f"{folder}-aws" if aws and folder == "demo" else folder)
        if clean:
            _clean(run, place)
        elif drill:
            run_drill(run, place, drill, _tool(place))
        elif headless:
            from mlconsole.cli.headless import walk

            walk(run, kind)
        else:
            _play(run, place, kind)


def prepare(run: Run, place: Path, kind: str = "") -> Session:
    """The demo's workspace in `place`, made when it is not there (of that kind of sample), and a session in its default environment."""
    from mlconsole.engine import starting
    from mlconsole.workspace import environment, load

    new = not (place / "mlconsole.yaml").exists()
    if new:
        starting.create(place, sample=True, kind=kind)
    run.use(load(place / "mlconsole.yaml"))
    session = run.open(environment(run.workspace, run.shared.env, {}), quiet=True)
    if new:
        starting.register_all(session)
    return session


def serve(session: Session, model: str, version: str) -> None:
    """A version behind its model's endpoint with all of the traffic, unless something serves there already."""
    from mlconsole.engine import changing
    from mlconsole.engine.planning import plan_deploy

    endpoint = session.workspace.endpoint_for(model)
    changing.interrupted_first(session, endpoint)
    if session.registry.live_release(session.environment.name, endpoint) is not None:
        return
    outcome = changing.run(session, plan_deploy(session, model, version, reason="the demo's first version"))
    if not outcome.done:
        raise MLConsoleError(outcome.sentence, next=f"mlconsole history show {outcome.operation.id}")


def replay(session: Session, model: str, rate: int) -> dict[str, object]:
    """Replay the model's recorded events against its endpoint; what the traffic says of itself."""
    from mlconsole.engine import machine

    settings = session.workspace.models[model]
    if settings.replay is None:
        raise UsageError(f"{model} has no recorded events to replay (`replay:` in mlconsole.yaml).")
    parameters = {"endpoint": settings.endpoint, "events": str(settings.replay), "rate": str(rate)}
    slices = sorted(
        {f"{one.key}={one.path.strip('/')}" for version in session.registry.versions(model) for one in version.signature.slices}
    )
    return dict(machine.run_action(session, "traffic-start", {**parameters, "slices": ",".join(slices)}))


def publish(session: Session) -> int:
    """The config document as the workspace brings it, unless one is published already; the version that applications read.

    Raises:
        MLConsoleError: it can't be published.
    """
    from mlconsole.core.documents import config_target
    from mlconsole.engine import changing, configuring
    from mlconsole.engine.publishing import plan_publish

    changing.interrupted_first(session, config_target(CONFIG))
    there = configuring.document(session, CONFIG)
    if there.version is not None:
        return there.version
    reason = "the demo's first version"
    configuring.replace(session, CONFIG, configuring.bytes_of(session, CONFIG, "file"), reason=reason)
    outcome = changing.run(session, plan_publish(session, CONFIG, reason=reason))
    if not outcome.done:
        raise MLConsoleError(outcome.sentence, next=f"mlconsole history show {outcome.operation.id}")
    return configuring.document(session, CONFIG).version or 0


def reads(place: Path, environment: str) -> str:
    """How an application reads it, as a command."""
    folder = place / ".mlconsole" / "local" / environment / "config"
    return f"python3 {place / 'client' / 'configclient.py'} {folder} {CONFIG} --watch"


def until(session: Session, what: str, seconds: float, true: Callable[[], bool], say: Callable[[str], None] | None = None) -> None:
    """Wait for something that is to be seen; says what it waits for at least every 8 s.

    Raises:
        MLConsoleError: it was not seen in time.
    """
    began = told = session.clock.elapsed()
    while not true():
        now = session.clock.elapsed()
        if now - began > seconds:
            raise MLConsoleError(f"Not seen within {duration(seconds)}: {what}.")
        if say is not None and now - told > 8.0:
            told = now
            say(f"    … waiting: {what} ({duration(now - began)})")
        session.clock.sleep(0.1)


def most_asked(session: Session, endpoint: str) -> str | None:
    """Whom to ask where applications choose a variant by its name: the one with the most traffic. None: whoever splits decides."""
    if session.environment.traffic_in is None:
        return None
    record = session.registry.live_release(session.environment.name, endpoint)
    traffic = record.release.content.traffic if record is not None else None
    return max(traffic.split, key=lambda name: traffic.split[name]) if traffic is not None else None


def _play(run: Run, place: Path, kind: str) -> None:
    from mlconsole.engine import machine, trusting
    from mlconsole.engine.endpoints import invoke, show

    run.say("mlconsole demo · stays on this machine · no root, no cloud · remove all: make demo-clean")
    new = not (place / "mlconsole.yaml").exists()
    session = prepare(run, place, kind)
    if new:
        # What it may run is what we have just copied there ourselves; when somebody changes it, that lapses.
        try:
            trusting.allow(session.workspace)
        except MLConsoleError as error:
            run.warn(f"▲ drills will have to be allowed first (mlconsole trust): {error.message}")
    versions = session.registry.versions()
    counts = ", ".join(f"{model} {sum(one.model == model for one in versions)} versions" for model in session.registry.models())
    run.say(f"2/5 sample workspace     {place}: {counts}")
    try:
        parts = machine.up(session)
    except MLConsoleError:
        if new:
            shutil.rmtree(place)  # nothing came of it
        raise
    # Where applications read in it who gets which share, nothing can be served before it is published.
    published = _published(run, session) if session.environment.traffic_in else []
    for model, version in _FIRST.items():
        serve(session, model, version)
    first = next(part for part in parts if part.name in ("gateway", "aws"))
    told = []
    for model in _FIRST:
        endpoint = session.workspace.endpoint_for(model)
        answer, _, _ = invoke(session, endpoint, None, variant=most_asked(session, endpoint))
        if answer.status != 200:
            raise MLConsoleError(f"{endpoint} answers {answer.status} instead of a prediction: {answer.error}")
        view = show(session, endpoint, window=1.0)
        on = next((variant.resources.get("pid", "") for variant in view.variants if variant.name == answer.variant), "")
        told.append(
            f"{endpoint} {answer.variant}{f' (pid {on})' if on else ''}: answered a real query, {_figure(answer.outputs.get('score'))}"
        )
    run.say(f"3/5 servers              {'envoy' if first.name == 'gateway' else first.name} {first.detail}")
    for line in (*told, *(published or _published(run, session))):
        run.say(f"                         {line}")
    rates = {model: min(rate, _RATE_AWS) if kind else rate for model, rate in _RATES.items()}
    for model, rate in rates.items():
        replay(session, model, rate)
    if "metrics" in session.environment.roles:
        _guarded(session)  # It is who asks for figures; nobody would have seen a request else.
    until(session, "20 answered requests", 90.0, lambda: show(session, "relevance", window=30.0).requests >= 20, run.say)
    view = show(session, "relevance", window=30.0)
    events = _mix(session, "relevance")
    run.say(f"4/5 traffic              {events}, {rates['relevance']} a second: {view.requests} answered, {view.failed} failed so far")
    run.say(f"5/5 guardian             pid {_guarded(session)} watches (mlconsole guardian status)")
    if _can_draw():
        run.say("opening the console. q leaves it, everything goes on; make demo again comes back.")
        # Another process: the command line knows nothing of the console (and what it has loaded so far would slow the first frame).
        command = [sys.executable, "-m", "mlconsole", "--workspace", str(place), "--env", session.environment.name, "--tutor"]
        subprocess.run(command, check=False)
    else:
        _what_now(run, session, place)
    left = ", ".join(f"{part.name} ({part.detail})" for part in machine.parts(session))
    run.say(f"Goes on without you: {left}.")
    if all(f"drill-{name}" in session.workspace.actions for name in DRILLS):
        run.say("Break something, and see who notices:  mlconsole demo --drill NAME")
        for line in drills_told():
            run.say(line)
    run.say("make demo-clean stops and removes all of it.")


def _published(run: Run, session: Session) -> list[str]:
    """What applications read, in one line; a demo that can't publish it is one all the same."""
    if CONFIG not in session.workspace.configs or not session.backend.keeps_documents:
        return []  # a demo that was made before there were any
    try:
        return [f"config {CONFIG} {publish(session)}: the thresholds of each language and region, for applications that poll it"]
    except MLConsoleError as error:
        run.warn(f"▲ config {CONFIG} is not published: {error}")
        return []


def _guarded(session: Session) -> int:
    """The pid of who watches the demo, started where nobody does."""
    from mlconsole.engine import hosting

    row = session.registry.watcher(session.environment.name)
    return row.pid if row is not None and row.alive else hosting.start(session, [session.environment.name])


def _can_draw() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _what_now(run: Run, session: Session, place: Path) -> None:
    """Without a terminal to draw on: what to try, as commands."""
    tool, own = _tool(place), session.environment.traffic_in is None
    run.say()
    run.say("Now it is yours:")
    for line, what in (
        ("status", "the state of the world"),
        ("endpoints show relevance", "desired, reported, observed; and a curl line"),
        ("deploy relevance@4 --traffic 10", "a better version gets 10 %"),
        ("traffic set relevance v4=25 --yes", "more of it" if own else "more of it: written into the document that applications poll"),
        ("endpoints show relevance", "watch OBSERVED reach DESIRED: that is the proof, not the OK"),
        ("revert relevance --yes", "back, in a second"),
        ("health", "how every language really does, and who watches"),
        ("deploy relevance@6 --traffic 10", "broken for German: the golden queries stop it"),
        ("config set models relevance.pl.threshold 0.55", "a draft: what lint says of it; nobody reads it yet"),
        ("config whatif models", "the alerts a day that it would make, from what was answered so far"),
        ("config publish models", "to 20, 50, 100 % of the clients, while guards look")
        if own
        else ("config publish models --at-once", "a version in AppConfig, deployed by a strategy of ours"),
        ("config revert models", "back: this value, and nothing that others changed since"),
        ("history list", "who changed what, and how it went"),
    ):
        run.say(f"  {tool} {line:<36} {what}")
    if own:
        run.say(f"  {reads(place, session.environment.name)}   as an application reads it, version by version")
    else:
        config = place / ".mlconsole" / f"aws-{session.environment.name}.config"
        run.say(f"  AWS_CONFIG_FILE={config} aws --profile mlconsole-offline sagemaker list-endpoints   what AWS itself says")
    run.say()


def _clean(run: Run, place: Path) -> None:
    from mlconsole.engine import hosting, machine, trusting
    from mlconsole.workspace import load

    if not (place / "mlconsole.yaml").exists():
        run.say(f"Nothing to do: there is no demo in {place}.")
        return
    run.use(load(place / "mlconsole.yaml"))
    stopped = 0
    for environment in run.workspace.environments.values():
        session = run.open(environment)
        row = session.registry.watcher(environment.name)
        if row is not None and row.alive and row.holder.host == session.actor.host:
            hosting.stop(session, row.pid)  # first: it would see its servers die, and page
            stopped += 1
        stopped += len(machine.down(session))
    with suppress(MLConsoleError):
        trusting.revoke(run.workspace)
    shutil.rmtree(place)
    run.say(f"✔ stopped {stopped} parts, removed {place}")


def _tool(place: Path) -> str:
    """How to call this program from here: by its name where that works, else by its path."""
    found = shutil.which("mlconsole")
    name = "mlconsole" if found and Path(found).resolve() == Path(sys.argv[0]).resolve() else sys.argv[0]
    return f"{name} -w {place}"


def _mix(session: Session, model: str) -> str:
    """How many recorded events there are, and their languages: counted, not typed in."""
    import json
    from collections import Counter

    path = session.workspace.models[model].replay
    if path is None:
        return "no recorded events"
    with path.open(encoding="utf-8") as file:
        languages = Counter(json.loads(line)["inputs"].get("language") for line in file)
    total = sum(languages.values())
    mix = ", ".join(f"{language} {100 * count / total:.0f} %" for language, count in languages.most_common())
    return f"{total} labelled events ({mix})"


def _figure(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
