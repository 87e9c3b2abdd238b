"""What is done with rollouts by key: begun by way of a plan, paused, sent on, taken back; and why each is off just now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlconsole.core.documents import document_of
from mlconsole.engine.views import EndpointView, RolloutView, Snapshot, VersionView
from mlconsole.tui.dialogs import Ask
from mlconsole.tui.pane import line
from mlconsole.tui.rollout_words import (
    back_told,
    evidence_counts,
    following,
    had_shadow,
    rollout_of,
    stable_of,
    stage_name,
    subject_of,
    turn,
)
from mlconsole.tui.signs import DIM

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.tui.app import ConsoleApp

CONTROLS = {"next_stage": "next", "keep_old": "keep old", "roll_forward": "forward"}
"""Actions that are one word to a rollout."""

ACTIONS = ("rollout", "pause", "next_stage", "evidence", "keep_old", "roll_forward")


# Begin.


def choose(app: ConsoleApp, endpoint: str | None) -> None:
    """Which version is to be rolled out behind an endpoint: those of its model first; then the plan."""
    from mlconsole.tui.deploying import pick_version

    behind = f" behind {endpoint}" if endpoint else ""
    pick_version(app, endpoint, f"roll out which version{behind}", lambda version: plan(app, version, endpoint or version.endpoint))


def plan(app: ConsoleApp, version: VersionView, endpoint: str, *, attended: bool = False, break_glass: str = "") -> None:
    """Have a rollout planned, show it, and begin it when a person says so. `attended`: this person stays with it, nobody else watches;
    `break_glass`: their reason for what would be refused, or stopped, otherwise.
    """

    def call(session: Session) -> Any:
        from mlconsole.engine import rolloutplans

        more = {"break_glass": break_glass} if break_glass else {}
        return rolloutplans.plan_rollout(session, endpoint, version.version, attended=attended, **more)

    def planned(made: Any) -> None:
        _planned(app, made, version, endpoint, attended=attended, break_glass=break_glass)

    app.ask(f"planning a rollout of {version.name}", call, planned)


def _planned(app: ConsoleApp, made: Any, version: VersionView, endpoint: str, *, attended: bool, break_glass: str) -> None:
    from mlconsole.tui.confirm import GLASS
    from mlconsole.tui.glass import ask_reason
    from mlconsole.tui.rollout_box import ATTENDED, RolloutBox

    def said(typed: str | None) -> None:
        if typed == ATTENDED:
            plan(app, version, endpoint, attended=True, break_glass=break_glass)
            return
        if typed == GLASS:
            why = made.refused or f"It would go without the {made.glass}."
            ask_reason(
                app,
                f"break the glass · {endpoint}",
                [why],
                lambda reason: plan(app, version, endpoint, attended=attended, break_glass=reason),
            )
            return
        if typed is None:
            app.say(f"Nothing has happened. {made.command} begins it.")
            return

        def call(session: Session) -> Any:
            from mlconsole.engine import rolling

            return rolling.begin(session, made)

        app.ask(f"beginning the rollout of {made.endpoint}", call, lambda begun: _begun(app, begun))

    app.push_screen(RolloutBox(made, app.signs, attended=attended), said)


def _begun(app: ConsoleApp, one: RolloutView) -> None:
    keys = {name: app.actions_by_id[name].key for name in ("go_back", "pause", "canary")}
    on = "It goes on when you leave" if one.driver or not one.attended else "It needs somebody who stays with it"
    told = f"{keys['go_back']} takes it back, {keys['pause']} holds it, {keys['canary']} shows it."
    app.say(f"{subject_of(one)} {turn(one)}: the rollout has begun. {on}; {told}")
    app.look()


# Tell it something.


def pause(app: ConsoleApp, one: RolloutView) -> None:
    """Hold it where it is, or let it go on: neither moves any traffic by itself, so it is done at once."""
    if "resume" in one.controls:
        _control(app, one, "resume", "", f"{subject_of(one)} goes on from {stage_name(one)}: its guards have to pass first.")
    else:
        _control(app, one, "pause", "", f"{subject_of(one)} is held at {stage_name(one)}. Guards go on and may still take it back.")


def next_stage(app: ConsoleApp, one: RolloutView) -> None:
    """On without the evidence: why is asked first, and kept."""
    after = following(one)
    then = f"{after.name} at once, without waiting" if after is not None else "on at once, without waiting"
    _with_reason(app, one, "next", "go on without waiting", then)


def roll_forward(app: ConsoleApp, one: RolloutView) -> None:
    """All of the traffic now: why is asked first, and kept."""
    then = f"{one.variant} 100 % at once, then the bake; the stages between are left out"
    _with_reason(app, one, "forward", "roll forward", then)


def evidence(app: ConsoleApp, one: RolloutView) -> None:
    """Let what the shadow said count for errors, latency and identical predictions."""
    rows = [
        ("now", f"{stage_name(one)}; only requests that {one.variant} answered itself count"),
        ("then", "shadow evidence counts too: for errors, latency and identical predictions"),
    ]
    rows += [("shadow", one.shadow_told)] if one.shadow_told else []

    def call(session: Session) -> Any:
        from mlconsole.engine import rolling

        return rolling.let_shadow_count(session, one.id)

    def do() -> None:
        app.ask("letting shadow evidence count", call, lambda _: _told(app, f"Shadow evidence counts for {one.endpoint} now."))

    _confirmed(
        app,
        one,
        "let shadow evidence count",
        rows,
        "y let it count",
        f"mlconsole rollout count-shadow {one.endpoint} --env {one.environment}",
        do,
    )


def keep_old(app: ConsoleApp, one: RolloutView) -> None:
    """The old variant stays after the bake: nothing is taken away, so it is done at once."""
    _control(app, one, "keep old", "", f"{stable_of(one)} stays after the bake of {one.endpoint}.")


def revert(app: ConsoleApp, one: RolloutView) -> None:
    """Take it back: shown first, then `y`; also in production, since it is the safe way."""
    from mlconsole.tui.rollout_box import ControlBox

    rows = [
        ("now", f"{turn(one, ' → ')} at {stage_name(one)}, {one.state}"),
        ("then", back_told(one)),
        ("does", _ends(one)),
    ]
    command = f"mlconsole rollout revert {one.endpoint} --env {one.environment}"
    box = ControlBox(
        f"go back · {subject_of(one)}", rows, app.signs, confirm=None, yes="y go back", environment=one.environment, command=command
    )

    def said(typed: str | None) -> None:
        if typed is None:
            app.say("Nothing has happened. The rollout goes on.")
        else:
            _control(app, one, "revert", "", f"{subject_of(one)} goes back {back_told(one)}.")

    app.push_screen(box, said)


def _ends(one: RolloutView) -> str:
    if document_of(one.endpoint) is not None:
        return "ends the rollout; only what this version changed goes back, and what others changed since stays"
    return f"ends the rollout; {one.variant} gets no request any more, which is looked at before it counts as done"


def _with_reason(app: ConsoleApp, one: RolloutView, control: str, label: str, then: str) -> None:
    missing = one.waits_for[:4]
    said = [line("Why? It is kept with the rollout, and the team reads it."), *(line((f"missing: {text}", DIM)) for text in missing)]

    def typed(reason: str | None) -> None:
        if reason is None:
            app.say("Nothing has happened. The rollout waits as before.")
            return
        rows = [("now", f"{turn(one, ' → ')} at {stage_name(one)}, {one.state}"), ("then", then)]
        rows += [("missing" if place == 0 else "", text) for place, text in enumerate(missing)]
        rows.append(("why", reason))

        def do() -> None:
            _control(app, one, control, reason, f"{subject_of(one)}: {label} is asked for; whoever drives it does it next.")

        import shlex

        command = f"mlconsole rollout {control} {one.endpoint} --reason {shlex.quote(reason)} --env {one.environment}"
        _confirmed(app, one, label, rows, f"y {label}", command, do)

    check = lambda text: "" if text else "Without a reason it does not go on."  # noqa: E731
    app.push_screen(Ask(f"{label}: {subject_of(one)}", said, check=check), typed)


def _confirmed(app: ConsoleApp, one: RolloutView, label: str, rows: list[tuple[str, str]], yes: str, command: str, do: Any) -> None:
    """Shown first, as all that goes forward; in production the endpoint's name is typed."""
    from mlconsole.tui.rollout_box import ControlBox

    confirm = (document_of(one.endpoint) or one.endpoint) if app.environment.production else None
    box = ControlBox(
        f"{label} · {subject_of(one)}", rows, app.signs, confirm=confirm, yes=yes, environment=one.environment, command=command
    )

    def said(typed: str | None) -> None:
        if typed is None:
            app.say("Nothing has happened. The rollout waits as before.")
        else:
            do()

    app.push_screen(box, said)


def _control(app: ConsoleApp, one: RolloutView, control: str, reason: str, told: str) -> None:
    def call(session: Session) -> Any:
        from mlconsole.engine import rolling

        return rolling.control(session, one.id, control, reason)

    app.ask(f"{subject_of(one)}: {control}", call, lambda _: _told(app, told))


def _told(app: ConsoleApp, text: str) -> None:
    app.say(text)
    app.look()


# Why something is off.


def rollout_why_off(endpoint: EndpointView | None, snapshot: Snapshot | None, name: str, key: str = "R") -> str:
    """Why no rollout can begin behind an endpoint just now; empty when one can."""
    if endpoint is None or endpoint.release is None or not endpoint.variants:
        what = f"{name} is not live yet" if name else "there is no endpoint"
        return f"{key} is off: {what}, so there is nothing to roll out beside. D deploys the first version."
    running = rollout_of(snapshot, name)
    if running is not None:
        return f"{key} is off: {name} has a rollout already ({turn(running)} at {stage_name(running)}). u takes it back, 3 shows it."
    if endpoint.operation is not None:
        return f"{key} is off: {name} is changing ({endpoint.operation.doing or endpoint.operation.state}). u goes back."
    if "changed outside" in endpoint.finding:
        return f"{key} is off: {name} was changed outside mlconsole. On 2 Endpoints: u puts ours back, K keeps theirs."
    if snapshot is not None and not snapshot.policies.get(name):
        return f"{key} is off: {name} has no rollout policy here. policies: in mlconsole.yaml gives it one."
    return ""


def control_why_off(action: str, name: str, snapshot: Snapshot | None, key: str, back: str = "u") -> str:
    """Why a running rollout can't be told that just now; empty when it can."""
    one = rollout_of(snapshot, name)
    off = f"{key} is off" if key else "Off"
    if one is None:
        return f"{off}: {name or 'nothing'} has no rollout under way. R begins one."
    if action == "evidence":
        if one.shadow_counts:
            return f"{off}: shadow evidence counts for {name} already."
        if not had_shadow(one):
            return f"{off}: the rollout of {name} had no shadow stage, so there is no such evidence."
        return "" if evidence_counts(one) else f"{off}: {name} is {one.state} at {stage_name(one)}; no evidence is waited for."
    if action == "pause":
        return "" if {"pause", "resume"} & set(one.controls) else f"{off}: {name} is {one.state}, which nothing holds up."
    if CONTROLS.get(action, action) in one.controls:
        return ""
    if action == "keep_old" and not one.stops_old:
        return f"{off}: nothing is taken away after the bake of {name}."
    if one.state == "going back":
        return f"{off}: {name} goes back to {stable_of(one)} already."
    if one.state == "shifting":
        return f"{off}: the change to {stage_name(one)} is under way; it is asked again once that stands. {back} takes it back."
    if one.state == "baking":
        return f"{off}: {one.variant} has all of the traffic; no stage comes after the bake."
    return f"{off}: {name} is {one.state}."


def back_why_off(one: RolloutView) -> str:
    """Why a rollout can't be taken back just now; empty when it can."""
    return "" if "revert" in one.controls else f"u is off: {subject_of(one)} is {one.state} already; it ends by itself."
