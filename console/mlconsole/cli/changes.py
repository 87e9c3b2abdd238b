"""Showing a plan, asking for yes or a name, carrying it out, and telling how it ended: the same for every change."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.common import Run, encodable, lost_output
from mlconsole.core.documents import document_of, target_told
from mlconsole.core.plans import Plan
from mlconsole.core.releases import NOTHING, ReleaseKind, describe_content
from mlconsole.core.text import duration, neutralise
from mlconsole.core.traffic import percent
from mlconsole.engine import approving, changing, glass
from mlconsole.engine.access import Deed
from mlconsole.engine.driving import Stop
from mlconsole.plugin.errors import ConfirmationNeeded, UsageError

if TYPE_CHECKING:
    from mlconsole.core.documents import Document
    from mlconsole.engine.views import OperationView, Outcome


BreakGlass = Annotated[
    str, typer.Option("--break-glass", metavar="REASON", help="Overrule gates and a freeze; the release says so for ever.")
]
"""A reason for what would be refused, or stopped, otherwise."""


def carry_out(run: Run, plan: Plan, *, question: str = "") -> None:
    """Show the plan, get a person's word for it (in production by `question`, if there is one), run it, tell how it ended; leaves with the
    exit code of design §6.
    """
    if plan.nothing_to_do:
        number = f"#{plan.made_from_release} " if plan.made_from_release else ""
        sentence = f"Nothing to do: {target_told(plan.endpoint)} already is {number}({describe_content(plan.now)}). No call was made."
        run.say(sentence)
        if run.json:
            run.emit(
                {
                    "endpoint": plan.endpoint,
                    "environment": plan.environment,
                    "release": plan.made_from_release,
                    "done": True,
                    "operation": None,
                    "sentence": sentence,
                }
            )
        return
    if not run.shared.dry_run:
        # Whoever may not do it is told so, and not asked for a name first.
        run.session.access.require(Deed.GO_BACK if plan.kind is ReleaseKind.REVERT else Deed.GO_FORWARD)
        glass.require_thawed(run.session, plan)
    try:
        show(run, plan)
        if run.shared.dry_run:
            run.say(f"Nothing has happened.{f' To do it: mlconsole apply {plan.id} --env {plan.environment}' if plan.id else ''}")
            if run.json:
                run.emit({"plan": plan_json(plan)})
            return
        _ask(run, plan, question)
    except OSError as error:
        lost_output(error)
        raise UsageError(f"The plan can't be shown: {error.strerror}. Nothing was changed.", next="Let its output go somewhere.") from error
    with stoppable() as stop:
        outcome = changing.run(run.session, plan, stop=stop, supersedes=run.shared.supersede)
        stop.over = True
        finish(run, outcome, advice=_next(run, plan))


def _next(run: Run, plan: Plan) -> str:
    """What a person does next: give traffic to what stands ready, or see who really answers. What applications read by polling, is not
    everywhere as soon as it stands.
    """
    traffic, document = plan.then.traffic, plan.then.document
    if document is not None and document_of(plan.endpoint) is not None:
        lag = run.session.backend.config().limits().poll_lag
        at = run.session.clock.now() + timedelta(seconds=lag)
        return f"everywhere by {at.astimezone():%H:%M:%S}: clients poll every {duration(lag)}" if lag else ""
    if plan.kind not in (ReleaseKind.DEPLOY, ReleaseKind.TRAFFIC) or traffic is None:
        return ""
    env = "" if plan.environment == run.workspace.default_environment else f" --env {plan.environment}"
    before = set(plan.now.names)
    ready = [name for name in plan.then.names if name not in before and not traffic.reaches(name)]
    if ready:
        return f"{ready[0]} stands ready and gets no request yet: mlconsole traffic set {plan.endpoint} {ready[0]}=10{env}"
    return f"who really answers: mlconsole endpoints show {plan.endpoint}{env}"


def first_repair(run: Run, endpoint: str) -> None:
    """Finish what an interrupted change left there, before another one is planned."""
    if run.shared.dry_run or run.session.read_only:
        return
    with stoppable() as stop:
        repaired = changing.interrupted_first(run.session, endpoint, stop=stop)
    if repaired is not None:
        run.say(repaired.sentence)


def finish(run: Run, outcome: Outcome, *, back_is_fine: bool = False, advice: str = "") -> None:
    """Tell how a change ended and leave with its exit code. With `back_is_fine` being back is what was asked for, or legal: exit 0."""
    try:
        _tell_outcome(run, outcome, back_is_fine=back_is_fine)
        if outcome.done and advice:
            run.say(f"  {advice}", indent=4)
    except OSError as error:
        # The change is over, whoever listens: its exit code says how.
        lost_output(error)
    if outcome.exit_code and not back_is_fine:
        raise typer.Exit(outcome.exit_code)


def _tell_outcome(run: Run, outcome: Outcome, *, back_is_fine: bool) -> None:
    if run.json:
        body: dict[str, Any] = {
            "endpoint": outcome.operation.endpoint,
            "environment": outcome.operation.environment,
            "release": outcome.operation.release if outcome.done else None,
            "done": outcome.done,
            "operation": operation_json(outcome.operation),
            "sentence": outcome.sentence,
            "seconds": round(outcome.seconds, 3),
        }
        if not outcome.done and not back_is_fine:
            body["error"] = {"code": "went_back", "message": outcome.sentence, "next": f"mlconsole history show {outcome.operation.id}"}
        run.emit(body)
    if outcome.done or back_is_fine:
        run.say(f"✔ {outcome.sentence}", indent=2)
    else:
        run.warn(f"✖ {outcome.sentence} mlconsole history show {outcome.operation.id} tells each step.")


def show(run: Run, plan: Plan) -> None:
    """The plan for people: the same lines on every change."""
    label = f"plan {plan.id} · " if plan.id else ""
    run.say(f"{label}{target_told(plan.endpoint)} · {plan.environment} · nothing has happened yet", indent=2)
    number = f"#{plan.made_from_release}" if plan.made_from_release else "–"
    equal = f"  (equals #{plan.equals})" if plan.equals else ""
    lines = [
        ("now", f"{number}  {describe_content(plan.now)}"),
        ("then", f"{'deleted' if plan.then == NOTHING else describe_content(plan.then)}{equal}"),
        ("does", "; ".join(step.summary for step in plan.steps) or "nothing at the backend"),
        ("takes", f"about {duration(plan.seconds)}"),
    ]
    if plan.cost_per_hour is not None:
        lines.append(("costs", f"{plan.cost_per_hour:+.2f} an hour"))
    lines.append(("back", _way_back(plan)))
    if approval := approving.standing(run.session, plan):
        lines.append(("asks", approval))
    lines.append(("watch", "you: this runs in your terminal, Ctrl-C goes back; nobody watches afterwards"))
    for name, text in lines:
        run.say(f"  {name:<6} {text}", indent=9)
    for step in plan.steps:
        if step.disrupts:
            run.say(f"  ▲ {step.disrupts}", indent=4)
        if step.irreversible:
            run.say(f"  ▲ {step.summary}: this cannot be undone", indent=4)
    for gate in plan.skipped_gates:
        run.say(f"  ▲ skipped gate: {gate}", indent=4)
    for note in plan.notes:
        run.say(f"  ▲ {note}", indent=4)
    run.say(f"  same as: {plan.command}")


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan for scripts."""
    return {
        "id": plan.id or None,
        "endpoint": plan.endpoint,
        "environment": plan.environment,
        "kind": str(plan.kind),
        "now": content_json(plan.now),
        "then": content_json(plan.then),
        "made_from_release": plan.made_from_release,
        "steps": [
            {"role": s.role, "action": s.action, "summary": s.summary, "phase": str(s.phase), "seconds": s.seconds, "disrupts": s.disrupts}
            for s in plan.steps
        ],
        "seconds": round(plan.seconds, 3),
        "cost_per_hour": plan.cost_per_hour,
        "way_back": {
            "release": plan.way_back.release,
            "content": content_json(plan.way_back.content),
            "seconds": plan.way_back.seconds,
            "warm": plan.way_back.warm,
        },
        "notes": list(plan.notes),
        "skipped_gates": list(plan.skipped_gates),
        "confirm": plan.confirm,
        "command": plan.command,
    }


def content_json(content: Any) -> dict[str, Any]:
    """What a release wants, for scripts; shares as percentages."""
    traffic = content.traffic
    return {
        "variants": [{"name": v.name, "model": v.model, "version": v.version, "digest": v.digest} for v in content.variants],
        "traffic": {name: share / 100 for name, share in traffic.split.items()} if traffic else {},
        "by_slice": {entry.value: {name: share / 100 for name, share in entry.split.items()} for entry in traffic.by_slice}
        if traffic
        else {},
        "shadow": {"variant": traffic.shadow.variant, "sample": traffic.shadow.sample / 100} if traffic and traffic.shadow else None,
        "document": None if content.document is None else _document_json(content.document),
    }


def _document_json(document: Document) -> dict[str, Any]:
    """Which version of a config document, for which share of the clients (percent)."""
    return {
        "name": document.name,
        "version": document.version,
        "digest": document.digest,
        "share": document.share / 100,
        "before": document.before,
        "pointers": list(document.pointers),
    }


def operation_json(operation: OperationView | None) -> dict[str, Any] | None:
    """A change for scripts."""
    if operation is None:
        return None
    return {
        "id": operation.id,
        "endpoint": operation.endpoint,
        "environment": operation.environment,
        "kind": operation.kind,
        "state": "interrupted" if operation.interrupted else operation.state,
        "release": operation.release,
        "now": operation.now,
        "then": operation.then,
        "who": operation.who,
        "reason": operation.reason,
        "started": time_json(operation.started),
        "ended": time_json(operation.ended),
        "problem": operation.problem,
        "skipped_gates": list(operation.skipped_gates),
    }


def time_json(time: Any) -> str | None:
    """UTC ISO 8601, to the millisecond."""
    return None if time is None else time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Pressed(Stop):
    """Ctrl-C, counted. When the change is `over` there is nothing left to stop, and nothing is said."""

    over = False


@contextmanager
def stoppable() -> Iterator[Pressed]:
    """While a change runs: the first Ctrl-C (or SIGTERM) makes it go back, the second leaves it. A dropped terminal stops nothing."""
    stop = Pressed()

    def press(signum: int, frame: FrameType | None) -> None:
        stop.press()
        if stop.times == 1 and not stop.over:
            # Not `print`: the signal may have come in the middle of one, or the terminal may be gone.
            with suppress(OSError):
                os.write(2, b"\nStopping, and going back. Once more leaves it as it is.\n")

    handlers: dict[signal.Signals, Any] = {signal.SIGINT: press, signal.SIGTERM: press, signal.SIGHUP: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ask(run: Run, plan: Plan, question: str) -> None:
    shared = run.shared
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not run.json
    typed = shared.confirm
    if plan.confirm is not None and typed is None and interactive:
        typed = _answer(question or _name_question(plan))
    yes = shared.yes
    if plan.confirm is None and not yes and typed is None and interactive:
        back = plan.kind is ReleaseKind.REVERT
        to = f"#{plan.equals}: " if plan.equals else ""
        told = f"Go back to {to}{describe_content(plan.then)}." if back else "Nothing has happened yet."
        if _answer(f"{told} y {'goes back' if back else 'does it'}, anything else cancels") not in ("y", "yes"):
            # Not done is not exit 0: what a script had next must not follow.
            raise ConfirmationNeeded("Cancelled. Nothing has happened.", next=f"The plan is kept: mlconsole apply {plan.id}")
        yes = True
    changing.confirmed(plan, yes=yes, typed=typed)


def _answer(question: str) -> str:
    """What a person types; nothing when they close the input (Ctrl-D)."""
    try:
        return input(encodable(f"{neutralise(question)}: ")).strip()
    except EOFError:
        print()
        return ""


def _name_question(plan: Plan) -> str:
    if plan.kind is ReleaseKind.DELETE:
        return f"Removes {plan.confirm} and all behind it. Cannot be undone. Type {plan.confirm}"
    if plan.kind is ReleaseKind.REMOVE:
        return f"Removes {plan.confirm}. Type {plan.confirm}"
    return "This changes production. Type the endpoint's name to start it"


def _way_back(plan: Plan) -> str:
    back, document = plan.way_back, document_of(plan.endpoint)
    if document is not None:
        return _document_back(plan, document)
    if plan.then == NOTHING and back.release:
        return f"mlconsole revert {plan.endpoint} brings #{back.release} up again, about {duration(back.seconds)}"
    if back.release is None:
        return f"none: this is the first release; mlconsole endpoints delete {plan.endpoint} removes it"
    if plan.kind is ReleaseKind.REVERT:
        return f"mlconsole revert {plan.endpoint} --to {back.release}, about {duration(back.seconds)}"
    warm = "all of it is running" if back.warm else "has to be started again"
    return f"mlconsole revert {plan.endpoint}: to #{back.release} {describe_content(back.content)}, {warm}, about {duration(back.seconds)}"


def _document_back(plan: Plan, document: str) -> str:
    back = plan.way_back
    if back.release is None:
        return "none: this is its first version"
    if plan.kind is ReleaseKind.REVERT:
        return f"mlconsole config revert {document} --to {back.release}, about {duration(back.seconds)}"
    return f"mlconsole config revert {document}: only what this changes, onto what is live then, about {duration(back.seconds)}"


__all__ = [
    "BreakGlass",
    "carry_out",
    "content_json",
    "finish",
    "first_repair",
    "operation_json",
    "percent",
    "plan_json",
    "show",
    "stoppable",
    "time_json",
]
