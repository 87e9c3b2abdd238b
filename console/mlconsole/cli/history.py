"""`history list|show`: every change, who, why, and what each step asked and read back; and who was asked to approve it, and did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.changes import operation_json, time_json
from mlconsole.cli.common import Run, columns, command
from mlconsole.cli.completion import complete_operation, complete_target
from mlconsole.core.documents import target_named, target_told
from mlconsole.core.text import duration

if TYPE_CHECKING:
    from datetime import datetime

    from mlconsole.engine.views import ApprovalView, OperationView

app = typer.Typer(help="What was changed, by whom, and how it went.", no_args_is_help=True)


@command(app, "list")
def list_changes(
    run: Run,
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="Or config:NAME; else all.", autocompletion=complete_target)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1)] = 50,
) -> None:
    """Changes and requests for approval, newest first."""
    from mlconsole.engine import history
    from mlconsole.engine.views import OperationView

    found = history.entries(run.session, endpoint and target_named(endpoint), limit=limit)
    if run.json:
        run.emit({"changes": [operation_json(one) if isinstance(one, OperationView) else _request_json(one) for one in found]})
        return
    if not found:
        run.say("No change yet.")
        return
    rows = [["CHANGE", "WHEN", "WHO", "WHAT", "RESULT"]]
    rows += [_change(one) if isinstance(one, OperationView) else _request(one) for one in found]
    for text in columns(rows, wide=3):
        run.say(text)


def _change(one: OperationView) -> list[str]:
    state = "interrupted" if one.interrupted else one.state
    result = {"done": f"✔ #{one.release}", "went back": "✖ went back"}.get(state, f"~ {state}")
    return [one.id, _moment(one.started), one.who, f"{target_told(one.endpoint)}: {one.kind} → {one.then}", result]


def _request(one: ApprovalView) -> list[str]:
    from mlconsole.cli.approvals import SIGNS

    why = one.why or "; ".join(vote.text for vote in one.deciding if vote.text)
    by = " and ".join(f"{vote.who} {vote.at.astimezone():%H:%M}" for vote in one.deciding)
    state = f"{one.state} by {by}" if by and one.state in ("approved", "rejected") else one.state
    return [
        f"request {one.number}",
        _moment(one.asked),
        one.author,
        f"{one.summary}{f': {why}' if why else ''}",
        f"{SIGNS.get(one.state, '')} {state}{f', used for {one.used}' if one.used else ''}".strip(),
    ]


def _moment(when: datetime) -> str:
    return f"{when.astimezone():%d %b %H:%M:%S}"


def _request_json(one: ApprovalView) -> dict[str, Any]:
    """A request among the changes: the keys of a change (its kind is `approval`, it has no release), and what only a request has."""
    return {
        "id": f"request {one.number}",
        "endpoint": one.endpoint,
        "environment": one.environment,
        "kind": "approval",
        "state": one.state,
        "release": None,
        "now": "",
        "then": one.summary,
        "who": one.author,
        "reason": one.reason,
        "started": time_json(one.asked),
        "ended": time_json(one.ended),
        "problem": one.why,
        "skipped_gates": [],
        "request": one.number,
        "plan": one.plan,
        "votes": [{"who": vote.who, "say": vote.say, "text": vote.text, "at": time_json(vote.at)} for vote in one.votes],
        "used": one.used or None,
    }


@command(app)
def show(
    run: Run,
    change: Annotated[
        str,
        typer.Argument(
            metavar="CHANGE",
            help="Its id, ENDPOINT#RELEASE, or ENDPOINT (config:NAME); or a request's number.",
            autocompletion=complete_operation,
        ),
    ],
) -> None:
    """One change, step by step; or a request for approval."""
    from mlconsole.cli.approvals import approval_json, told
    from mlconsole.engine import history

    asked = history.request(run.session, change)
    if asked is not None:
        if run.json:
            run.emit({"approval": approval_json(asked)})
        else:
            for line in told(asked):
                run.say(line, indent=4)
        return
    view, steps = history.change(run.session, change)
    approval = history.approval_of(run.session, view.id)
    if run.json:
        run.emit(
            {
                "change": operation_json(view),
                "approval": None if approval is None else approval.number,
                "steps": [
                    {
                        "index": step.index,
                        "role": step.role,
                        "action": step.action,
                        "asked": step.asked,
                        "found": step.found,
                        "read_back": step.read_back,
                        "state": step.state,
                        "problem": step.problem,
                        "back": step.back,
                        "started": time_json(step.started),
                        "seconds": step.seconds,
                    }
                    for step in steps
                ],
            }
        )
        return
    run.say(f"change {view.id} · {target_told(view.endpoint)} · {view.environment} · {'interrupted' if view.interrupted else view.state}")
    run.say(
        f"  {view.now}  →  {view.then}   by {view.who}, {view.started:%Y-%m-%d %H:%M:%S} UTC{f', {view.reason!r}' if view.reason else ''}"
    )
    for gate in view.skipped_gates:
        run.say(f"  ▲ skipped gate: {gate}", indent=4)
    if approval is not None:
        by = " and ".join(f"{vote.who} {vote.at.astimezone():%H:%M}" for vote in approval.deciding)
        run.say(f"  ✔ approved by {by}: mlconsole approvals show {approval.number}", indent=4)
    if view.problem:
        run.say(f"  ✖ {view.problem}", indent=4)
    rows = [["", "STEP", "ASKED FOR", "READ BACK", "TOOK", ""]]
    for step in steps:
        sign = {"done": "✔", "failed": "✖", "unknown": "?"}.get(step.state, "~")
        took = duration(step.seconds) if step.seconds is not None else "–"
        back = "back: " if step.back else ""
        rows.append([str(step.index), f"{back}{step.action}", step.asked, step.read_back or step.problem or "–", took, sign])
    for text in columns(rows, frozenset({4}), wide=3):
        run.say(text)
