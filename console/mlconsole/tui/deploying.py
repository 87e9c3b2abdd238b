"""What several screens offer alike: choosing a version, going back, asking, reading logs, keeping, removing, each by way of a plan."""

from __future__ import annotations

import json
import os
import textwrap
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlconsole.core.documents import target_told
from mlconsole.core.errors import InvalidTraffic, MLConsoleError, UsageError
from mlconsole.core.models import parse_version_name
from mlconsole.core.traffic import parse_percent
from mlconsole.engine.views import EndpointView, VersionView
from mlconsole.tui.dialogs import Ask, Choice, Option, TextBox
from mlconsole.tui.pane import Line, line
from mlconsole.tui.rollout_words import rollout_of
from mlconsole.tui.signs import BOLD, DIM

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.tui.app import ConsoleApp


def choose_version(app: ConsoleApp, endpoint: str | None) -> None:
    """Which version is to be deployed: those of the endpoint's model first."""

    def chosen(version: VersionView) -> None:
        ask_share(app, version, endpoint if endpoint and _serves(app, endpoint, version) else None)

    pick_version(app, endpoint, f"deploy which version{f' behind {endpoint}' if endpoint else ''}", chosen)


def pick_version(app: ConsoleApp, endpoint: str | None, title: str, then: Callable[[VersionView], None]) -> None:
    """Let a person choose a version: those that belong behind the endpoint first."""
    snapshot = app.snapshot
    if snapshot is None or not snapshot.versions:
        app.say("No version is registered yet. G registers one; mlconsole models register MODEL@VERSION PATH.")
        return
    ordered = sorted(snapshot.versions, key=lambda one: (endpoint is None or not _serves(app, endpoint, one), one.model))
    options = [Option(one.name, one.name, f"{_headline(one)}  {one.description}") for one in ordered]

    def chosen(name: str | None) -> None:
        version = next((one for one in ordered if one.name == name), None)
        if version is not None:
            then(version)

    app.push_screen(Choice(title, options), chosen)


def _serves(app: ConsoleApp, endpoint: str, version: VersionView) -> bool:
    """Whether a version is one of those that belong behind an endpoint, which need not be the first one of its model."""
    there = app.snapshot.endpoint(endpoint) if app.snapshot else None
    runs = there is not None and any(one.model == version.model for one in there.variants)
    return runs or version.endpoint == endpoint or app.workspace.model_for(endpoint) == version.model


def ask_share(app: ConsoleApp, version: VersionView, endpoint: str | None) -> None:
    """With which share it begins; then the plan. On a new endpoint there is nothing to ask: it gets all."""
    target = endpoint or version.endpoint
    there = app.snapshot.endpoint(target) if app.snapshot else None
    if there is None or there.release is None or not there.variants:
        plan_deploy(app, version, target, None)
        return
    said = [line("Its share in percent; 0: it stands ready."), line((f"{target}: {there.content}", DIM))]

    def typed(text: str | None) -> None:
        if text is not None:
            share = parse_percent(text or "0")
            plan_deploy(app, version, target, share or None)

    app.push_screen(Ask(f"deploy {version.name}", said, value="10", check=share_problem), typed)


def share_problem(text: str) -> str:
    """What is wrong with a typed share; empty when nothing is."""
    try:
        parse_percent(text or "0")
    except InvalidTraffic as error:
        return error.message
    return ""


def plan_deploy(app: ConsoleApp, version: VersionView, endpoint: str, share: int | None) -> None:
    """The plan that deploys a version."""

    def call(session: Session, break_glass: str = "") -> Any:
        from mlconsole.engine import changing
        from mlconsole.engine.planning import plan_deploy as plan

        changing.interrupted_first(session, endpoint)
        return plan(session, version.model, version.version, endpoint=endpoint, share=share, break_glass=break_glass)

    app.plan(f"planning {version.name}", call, glass=call)


def go_back(app: ConsoleApp, endpoint: str, to: int | None = None) -> None:
    """A rollout is taken back, when a person says so; a running change is stopped at once; else the plan that goes back."""
    view = app.snapshot.endpoint(endpoint) if app.snapshot else None
    rollout = rollout_of(app.snapshot, endpoint)
    if rollout is not None and to is None:
        from mlconsole.tui.rolling import back_why_off, revert

        why = back_why_off(rollout)
        app.say(why) if why else revert(app, rollout)
        return
    if view is not None and view.operation is not None and to is None:
        app.go_back_now(endpoint)
        return

    def call(session: Session) -> Any:
        from mlconsole.engine.planning import plan_revert

        return plan_revert(session, endpoint, to=to)

    app.plan(f"planning the way back of {target_told(endpoint)}", call)


def keep(app: ConsoleApp, endpoint: str) -> None:
    """Keep what is live as a release of ours, with a reason."""

    def typed(reason: str | None) -> None:
        if reason is None:
            return

        def call(session: Session) -> Any:
            from mlconsole.engine.endpoints import adopt

            return adopt(session, endpoint, reason=reason)

        app.ask(f"keeping what is live of {endpoint}", call, lambda kept: _kept(app, endpoint, kept))

    app.push_screen(Ask(f"keep what is live of {endpoint}", [line("Why? It stays in the history.")]), typed)


def remove(app: ConsoleApp, view: EndpointView | None) -> None:
    """Which variant, or the whole endpoint; then the plan, which wants the name typed."""
    if view is None:
        return
    options = [
        Option(
            one.name,
            one.name,
            f"{one.model}@{one.version}, stands by",
            off="" if not one.desired else "it answers requests: first take its traffic away",
        )
        for one in view.variants
    ]
    options.append(Option("", f"the whole endpoint {view.name}", "with all its variants"))

    def chosen(name: str | None) -> None:
        if name is None:
            return

        def call(session: Session, break_glass: str = "") -> Any:
            from mlconsole.engine.planning import plan_delete, plan_remove

            if not name:
                return plan_delete(session, view.name, break_glass=break_glass)
            return plan_remove(session, view.name, name, break_glass=break_glass)

        app.plan(f"planning to remove {name or view.name}", call, glass=call)

    app.push_screen(Choice(f"remove what of {view.name}", options), chosen)


def show_logs(app: ConsoleApp, endpoint: str, variant: str | None) -> None:
    """What a variant wrote, its end first in sight."""

    def call(session: Session) -> Any:
        from mlconsole.engine.endpoints import logs

        return logs(session, endpoint, variant, 400)

    def shown(result: Any) -> None:
        name, lines = result
        text = [line(each) for each in lines] or [line(("it wrote nothing", DIM))]
        app.push_screen(TextBox(f"log of {endpoint} {name}", text, end=True))

    app.ask(f"reading the log of {endpoint}", call, shown)


def invoke(app: ConsoleApp, endpoint: str) -> None:
    """Send the endpoint an event: filled in with a real one, to be changed."""

    def call(session: Session) -> Any:
        from mlconsole.engine.endpoints import example_inputs

        return example_inputs(session, endpoint)

    def filled(inputs: Any) -> None:
        app.push_screen(
            Ask(
                f"ask {endpoint}",
                [line(("as JSON; enter sends it", DIM))],
                value=json.dumps(inputs, ensure_ascii=False),
                check=json_problem,
            ),
            lambda text: _send(app, endpoint, text),
        )

    app.ask(f"finding a real event for {endpoint}", call, filled)


def json_problem(text: str) -> str:
    """What is wrong with typed inputs; empty when nothing is."""
    try:
        value = json.loads(text)
    except ValueError as error:
        return f"This is no JSON: {error}."
    return "" if isinstance(value, dict) else "An object of inputs is wanted: {…}."


def _send(app: ConsoleApp, endpoint: str, text: str | None) -> None:
    if text is None:
        return

    def call(session: Session) -> Any:
        from mlconsole.engine.endpoints import address
        from mlconsole.engine.endpoints import invoke as ask

        answer, _, example = ask(session, endpoint, json.loads(text))
        return answer, example, address(session, endpoint)

    app.ask(f"asking {endpoint}", call, lambda result: _answered(app, endpoint, *result))


def _answered(app: ConsoleApp, endpoint: str, answer: Any, example: Any, url: str | None) -> None:
    from mlconsole.engine.views import ExampleView, curl_line

    curl = curl_line(url, ExampleView(example.method, example.path, dict(example.headers), example.body)) if example and url else ""
    if answer.status == 200:
        outputs = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in answer.outputs.items()
        )
        heading = f"{outputs} from {answer.variant or 'unknown'} in {answer.milliseconds:.0f} ms"
    else:
        heading = f"{answer.status} from {answer.variant or 'nobody'}: {answer.error}"
    app.say(heading + (" · y copies the curl" if curl else ""))
    app.last_curl = curl
    app.answered(endpoint)


def show_raw(app: ConsoleApp, thing: Any, title: str = "") -> None:
    """Everything that is known of something, as JSON."""
    if thing is None:
        return
    text = json.dumps(asdict(thing), indent=1, ensure_ascii=False, default=str)
    app.push_screen(TextBox(title or getattr(thing, "name", "raw"), [line(each) for each in text.splitlines()]))


def version_lines(one: VersionView, width: int = 0) -> list[Line]:
    """A version with its lineage, for reading; with a width, wrapped to it."""
    rows = [
        ("what", one.description or "–"),
        (
            "runs in",
            ", ".join(f"{name} {share / 100:g} %" for name, share in one.runs_in.items()) or ("nowhere; it ran" if one.ran else "nowhere"),
        ),
        ("owner", one.owner),
        ("registered", f"{one.registered:%Y-%m-%d %H:%M} UTC by {one.registered_by}"),
        ("digest", f"{one.digest}… {one.size / 1024:.0f} KB"),
        ("commit", (one.commit or "unknown") + (" dirty" if one.dirty else "")),
        ("data", f"{one.data_reference}, until {one.data_cutoff}"),
        ("preprocessing", one.preprocessing),
        ("takes", ", ".join(one.inputs)),
        ("gives", ", ".join(one.outputs)),
        ("slices", "; ".join(f"{key}: {', '.join(values)}" for key, values in one.slices.items()) or "none"),
        ("evaluated on", one.evaluation_set),
        ("says yes from", "–" if one.threshold is None else f"{one.threshold:g}"),
        ("metrics", ", ".join(f"{name} {value:.4g}" for name, value in one.metrics.items())),
        ("parameters", ", ".join(f"{name} {value}" for name, value in one.parameters.items()) or "none"),
        ("dependencies", ", ".join(one.dependencies)),
        *((("catalog", one.origin),) if one.origin else ()),
    ]
    lines: list[Line] = []
    for label, text in rows:
        pieces = textwrap.wrap(text, max(16, width - 14)) if width else [text]
        lines += [line((f"{label if place == 0 else '':<14}", BOLD), piece) for place, piece in enumerate(pieces or ["–"])]
    return lines


def register(app: ConsoleApp, then: Callable[[str], None]) -> None:
    """Ask for an artifact, and register it as what its metadata file, or the line, says; `then` gets the version's name."""
    said = [
        line("Its file or folder, with model.yaml there."),
        line(("No name in model.yaml: MODEL@VERSION PATH", DIM)),
        line(("enter registers it, and deploys nothing", DIM)),
    ]

    def typed(text: str | None) -> None:
        if text:
            app.ask(f"registering {text}", lambda session: _register(session, text), lambda result: _registered(app, result, then))

    app.push_screen(Ask("register a version", said, check=lambda text: artifact_problem(text, app.workspace.root)), typed)


def artifact_problem(text: str, root: Path) -> str:
    """What is wrong with a typed artifact; empty when nothing is."""
    name, place = _artifact(text, root)
    if not text:
        return "Which file or folder?"
    if not place.exists():
        return f"There is no {place.name or place} there." if not name or text != name else f"Where is the artifact of {name}?"
    return ""


def _artifact(text: str, root: Path) -> tuple[str, Path]:
    """The version's name, if one is given, and the path: from where the console was started, else from the workspace."""
    name, _, rest = text.partition(" ")
    if "@" not in name or os.path.lexists(Path(text).expanduser()):
        name, rest = "", text
    path = Path(rest.strip() or "-").expanduser()
    return name, path if path.is_absolute() or path.exists() else root / path


def _register(session: Session, text: str) -> Any:
    """The version and whether it is new; or the refusal, which may be longer than the message line."""
    from mlconsole.engine.models import metadata_beside
    from mlconsole.engine.models import register as keep
    from mlconsole.workspace.metadata import read_metadata

    name, path = _artifact(text, session.workspace.root)
    try:
        if name:
            return keep(session, *parse_version_name(name), path)
        told = read_metadata(metadata_beside(path))
        if told.model is None or told.version is None:
            raise UsageError(
                f"{told.file} names no model and version. Nothing was registered.", next="Write MODEL@VERSION before the path."
            )
        return keep(session, told.model, told.version, path)
    except MLConsoleError as error:
        return error


def _registered(app: ConsoleApp, result: Any, then: Callable[[str], None]) -> None:
    if isinstance(result, MLConsoleError):
        app.say(str(result))
        if len(str(result)) > app.size.width - 2:
            width = min(118, int(app.size.width * 0.96)) - 4
            texts = [piece for text in (result.message, result.next) for piece in textwrap.wrap(text, width)]
            app.push_screen(TextBox("not registered", [line(text) for text in texts]))
        return
    version, new = result
    if new:
        commit = version.code.commit[:7] if version.code.commit else "unknown"
        app.say(f"{app.signs.ok} registered {version.name}: {version.artifact.size / 1024:.0f} KB, commit {commit}. D deploys it.")
    else:
        app.say(f"Nothing to do: {version.name} is registered with these bytes already.")
    then(version.name)
    app.look()


def _kept(app: ConsoleApp, endpoint: str, kept: Any) -> None:
    app.say(f'{endpoint} is #{kept.number} "{kept.kind}" now: {kept.content}.')
    app.look()


def _headline(one: VersionView) -> str:
    return next((f"{name} {value:.3f}" for name, value in one.metrics.items()), "")
