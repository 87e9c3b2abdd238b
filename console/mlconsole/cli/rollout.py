"""`rollout`: a version goes to all of the traffic by stages while guards decide; steered by a word, safe when everybody is gone."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mlconsole.cli.common import Run, columns, command
from mlconsole.cli.completion import complete_target, complete_version
from mlconsole.core.documents import document_of, target_told

if TYPE_CHECKING:
    from mlconsole.engine.rolloutplans import RolloutPlan
    from mlconsole.engine.views import GuardView, RolloutView

app = typer.Typer(help="Rollouts that guard themselves.", no_args_is_help=True)

_HELD = 10.0
"""Seconds between two lines that say what it still waits for."""

_SIGNS = {"pass": "✔", "fail": "✖", "error": "✖", "inconclusive": "?", "no_data": "?"}
_ROLLOUT = Annotated[str, typer.Argument(metavar="ROLLOUT", help="Its id, its endpoint, or config:NAME.", autocompletion=complete_target)]


@command(app, changing=True)
def start(
    run: Run,
    version: Annotated[str, typer.Argument(metavar="MODEL@VERSION", autocompletion=complete_version)],
    endpoint: Annotated[str | None, typer.Option("--endpoint", metavar="NAME", help="Else the one of its model.")] = None,
    policy: Annotated[str | None, typer.Option("--policy", metavar="NAME", help="Else the endpoint's own.")] = None,
    attended: Annotated[bool, typer.Option("--attended", help="Nobody else watches: this command drives it, and has to stay.")] = False,
    break_glass: Annotated[str, typer.Option("--break-glass", metavar="REASON", help="Overrule gates and a freeze; stays visible.")] = "",
) -> None:
    """Roll a version out by the stages of a policy.

    A guardian drives it; any guard that fails takes it back by itself. Exit 7 when nobody would watch.
    """
    from mlconsole.core.models import parse_version_name
    from mlconsole.engine import rolloutplans

    model, number = parse_version_name(version)
    target = endpoint or run.workspace.endpoint_for(model)
    plan = rolloutplans.plan_rollout(
        run.session, target, number, policy=policy, reason=run.shared.reason, break_glass=break_glass, attended=attended
    )
    carry_out(run, plan, attended=attended, question=f"This changes production. Type the endpoint's name to start it ({plan.confirm})")


def carry_out(run: Run, plan: RolloutPlan, *, attended: bool, question: str) -> None:
    """Show the plan, get a person's word for it (in production by `question`), begin it; leaves with the exit code of design §6."""
    from mlconsole.engine import approving, changing, rolling, rolloutviews
    from mlconsole.plugin.errors import ConfirmationNeeded, NotAllowed

    for line in plan_told(plan):
        run.say(line, indent=9)
    if approval := approving.standing(run.session, plan):
        run.say(f"asks     {approval}", indent=9)
    if run.shared.dry_run:
        if run.json:
            run.emit({"rollout": None, "plan": plan_json(plan)})
        run.say("Nothing has happened.")
        return
    if plan.refused:
        raise NotAllowed(plan.refused)
    typed = run.shared.confirm
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not run.json
    if plan.confirm is not None:
        if typed is None and interactive:
            typed = typer.prompt(question, default="", show_default=False)
        if typed and typed != plan.confirm and document_of(plan.endpoint) is not None:
            raise changing.mistyped(plan.endpoint, typed, plan.confirm)
        if typed != plan.confirm:
            raise ConfirmationNeeded(
                f"This changes production: it wants the name {plan.confirm}. Nothing has happened.", next=f"Add --confirm {plan.confirm}."
            )
    elif not run.shared.yes and typed != plan.endpoint and not (interactive and typer.confirm("Start it?", default=False)):
        raise ConfirmationNeeded("Nobody said yes to this plan. Nothing was changed.", next="Add --yes.")
    view = rolling.begin(run.session, plan, stays=attended)
    told_ = target_told(plan.endpoint)
    run.say(f"~ rollout {view.id} of {told_} has begun. It goes on without you: mlconsole rollout status {plan.endpoint}")
    if attended:
        _drive(run, view.id)
        view = rolloutviews.view_of(run.session, rolling.find(run.session, view.id))
    if run.json:
        emit(run, view)
    _leave(view)


@command(app)
def status(run: Run, rollout: _ROLLOUT) -> None:
    """One rollout: stages, guards with their evidence, what it waits for, what may be asked of it."""
    from mlconsole.engine import rolling, rolloutviews

    view = rolloutviews.view_of(run.session, rolling.find(run.session, rollout))
    if run.json:
        emit(run, view)
    else:
        for line in told(view):
            run.say(line, indent=2)
    _leave(view)


@command(app)
def watch(run: Run, rollout: _ROLLOUT, every: Annotated[float, typer.Option("--every", min=0.2, metavar="SECONDS")] = 1.0) -> None:
    """Follow a rollout to its end: a line for each thing that happens; JSON lines with --json."""
    from mlconsole.engine import rolling, rolloutviews

    said, held, told_at = 0, "", -_HELD
    while True:
        view = rolloutviews.view_of(run.session, rolling.find(run.session, rollout))
        if run.json:
            emit(run, view)
        for at, text in view.events[said:]:
            run.say(f"{at.astimezone():%H:%M:%S}  {text}", indent=10)
        said = len(view.events)
        due = run.session.clock.elapsed() - told_at >= _HELD
        if view.why != held and view.why and not view.over and due:
            held, told_at = view.why, run.session.clock.elapsed()
            run.say(f"{run.session.clock.now().astimezone():%H:%M:%S}  {held}", indent=10)
        if view.over:
            _leave(view)
            return
        run.session.clock.sleep(every)


@command(app, "list")
def list_rollouts(run: Run, limit: Annotated[int, typer.Option("--limit", min=1, metavar="COUNT")] = 20) -> None:
    """Rollouts, newest first."""
    from mlconsole.engine import rolloutviews

    found = rolloutviews.rollouts(run.session, limit=limit)
    if run.json:
        from mlconsole.cli.health import plain

        run.emit({"rollouts": [plain(one) for one in found]})
        return
    if not found:
        run.say("No rollout yet. mlconsole rollout start MODEL@VERSION")
        return
    rows = [["ROLLOUT", "WHEN", "WHO", "WHAT", "STATE", "STAGE"]]
    for one in found:
        what = f"{target_told(one.endpoint)} {' + '.join(one.stable)} → {one.variant}"
        rows.append([one.id, f"{one.started.astimezone():%d %b %H:%M:%S}", one.who, what, one.state, one.stages[one.stage].name])
    for line in columns(rows, wide=3):
        run.say(line)


def steer(run: Run, rollout: str, what: str, done: str, *, tell_json: bool = True) -> None:
    """Ask something of a rollout, and say that it was asked."""
    from mlconsole.engine import rolling

    view = rolling.control(run.session, rolling.find(run.session, rollout).id, what, run.shared.reason)
    if run.json and tell_json:
        emit(run, view)
    run.say(f"✔ asked: {done} (rollout {view.id} of {target_told(view.endpoint)}, {view.state})")


@command(app, changing=True)
def pause(run: Run, rollout: _ROLLOUT) -> None:
    """Hold it where it is. Guards go on, and may take it back; nothing promotes."""
    steer(run, rollout, "pause", "it holds")


@command(app, changing=True)
def resume(run: Run, rollout: _ROLLOUT) -> None:
    """Let it go on."""
    steer(run, rollout, "resume", "it goes on")


@command(app, "next", changing=True)
def next_stage(run: Run, rollout: _ROLLOUT) -> None:
    """Go to the next stage without the evidence that it waits for. Wants --reason."""
    steer(run, rollout, "next", "the next stage")


@command(app, changing=True)
def forward(run: Run, rollout: _ROLLOUT) -> None:
    """All of the traffic to the new variant now, then the bake. Wants --reason."""
    steer(run, rollout, "forward", "all of it, now")


@command(app, changing=True)
def revert(run: Run, rollout: _ROLLOUT) -> None:
    """Take it back to what was before its first stage; waits until that is so."""
    from mlconsole.engine import rolling

    steer(run, rollout, "revert", "it goes back")
    view = rolling.wait(run.session, rollout, "reverted", run.timeout)
    run.say(f"✔ {view.events[-1][1]}" if view.events else f"✔ {target_told(view.endpoint)} is back", indent=2)


@command(app, changing=True)
def keep(run: Run, rollout: _ROLLOUT) -> None:
    """Don't take the old variant away after the bake."""
    steer(run, rollout, "keep old", "the old variant stays")


@command(app, "count-shadow", changing=True)
def count_shadow(run: Run, rollout: _ROLLOUT) -> None:
    """Let what the shadow stage said count as evidence for errors, latency and identical predictions."""
    steer(run, rollout, "count shadow", "shadow evidence counts")


@command(app)
def wait(
    run: Run,
    rollout: _ROLLOUT,
    until: Annotated[str, typer.Option("--until", metavar="STATE", help="waiting, baking, paused, done, reverted, over.")] = "over",
) -> None:
    """Wait until it is in a state, or over. Exit 3 when a guard took it back, 8 when the time is up (--timeout)."""
    from mlconsole.engine import rolling

    view = rolling.wait(run.session, rollout, until, run.timeout)
    if run.json:
        emit(run, view)
    run.say(f"{target_told(view.endpoint)}: {view.state}{f', {view.why}' if view.why else ''}")
    _leave(view, until)


@command(app, hidden=True)
def drive(run: Run, rollout: _ROLLOUT) -> None:
    """Drive a rollout in this process. Started by others where no guardian is."""
    _drive(run, rollout)


def _drive(run: Run, rollout: str) -> None:
    """Until it is over. A dropped terminal stops nothing: nobody else may be there who would drive it."""
    from mlconsole.engine import rolling

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    rolling.attend(run.session, rolling.find(run.session, rollout).id, run.mention)


def plan_told(plan: RolloutPlan) -> list[str]:
    """A plan for people."""
    lines = [
        f"plan {plan.id} · {target_told(plan.endpoint)} · {plan.environment} · nothing has happened yet",
        f"now      {plan.now}",
        f"then     {plan.then}",
        f"path     {plan.path}",
        f"ends     {plan.ends}",
        f"back     {plan.back}",
        f"alone    {plan.alone}",
        f"watch    {plan.watch}",
        f"guards   {plan.guards}",
    ]
    lines += [f"  {time.name:<10} {time.why}" for time in plan.times]
    lines += [f"note     {note}" for note in plan.notes]
    lines += [f"▲        {finding}" for finding in plan.findings]
    return [*lines, f"same as  {plan.command}"]


def plan_json(plan: RolloutPlan) -> dict[str, object]:
    """A plan for scripts."""
    from mlconsole.cli.health import plain

    body = plain(plan)
    body.pop("rollout")
    return dict(body)


def told(view: RolloutView) -> list[str]:
    """A rollout for people."""
    marks = {"done": " ✔", "now": " ●", "to come": ""}
    lines = [
        f"rollout {view.id} · {target_told(view.endpoint)} · {' + '.join(view.stable)} → {view.variant} · policy {view.policy}"
        f" · {view.state.upper()}",
        "  " + " ─ ".join(f"{one.name}{marks[one.state]}" for one in view.stages),
        f"  started {view.started.astimezone():%d %b %H:%M:%S} by {view.who}{f': {view.reason}' if view.reason else ''}",
        f"  ▲ skipped gates: {', '.join(view.skipped_gates)}" if view.skipped_gates else "",
        f"  driven by {view.driver}" if view.driver else "" if view.over else "  NOBODY DRIVES IT just now",
        f"  done about {view.done_about.astimezone():%H:%M}" if view.done_about else "",
        f"  ▲ {view.credentials}" if view.credentials else "",
        f"  {view.why}" if view.why else "",
        *(f"  waits for {line}" for line in view.waits_for),
        f"  way back {view.way_back}" if not view.over else "",
    ]
    if view.guards:
        rows = [["", "GUARD", view.variant, " + ".join(view.stable), "LIMIT", "N", "VERDICT"]]
        rows += [_guard(one) for one in view.guards]
        lines += columns(rows, frozenset({2, 3, 4, 5}), wide=6)
    lines += [f"  {at.astimezone():%H:%M:%S}  {text}" for at, text in view.events]
    if view.controls:
        lines.append(f"  may be asked: {', '.join(view.controls)}")
    return [line for line in lines if line]


def _guard(one: GuardView) -> list[str]:
    name = f"{one.guard} · {one.slice.partition('=')[2] or one.slice}" if one.slice else one.guard
    if one.pooled:
        name += f" ({', '.join(part.partition('=')[2] or part for part in one.pooled)})"
    verdict = one.text or one.verdict.replace("_", " ")
    if one.dry_run:
        verdict += " · only informs"
    if not one.judged:
        verdict += " · not judged"
    sign = "·" if one.dry_run or not one.judged else _SIGNS.get(one.verdict, "?")
    return [sign, name, _value(one.new), _value(one.stable), _value(one.limit), str(one.n) if one.n else "", verdict]


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def emit(run: Run, view: RolloutView) -> None:
    """A rollout for scripts."""
    from mlconsole.cli.health import plain

    run.emit({"rollout": plain(view)})


def _leave(view: RolloutView, wanted: str = "") -> None:
    """Exit 3: a guard took it back; 1: it failed, or came to another end than the one that is waited for."""
    if view.state == wanted:
        return
    if view.state == "reverted" and not view.why.startswith(("reverted by ", "asked by ")):
        raise typer.Exit(3)
    passed = view.state == "done" and wanted in ("shifting", "waiting", "baking")
    if view.state == "failed" or (view.over and wanted not in ("", "over") and not passed):
        raise typer.Exit(1)
