"""From what the registry keeps to what a face shows."""

from __future__ import annotations

from collections.abc import Sequence

from mlconsole.core.models import Actor
from mlconsole.core.operations import Operation, StepRecord
from mlconsole.core.releases import NOTHING, Release, Standing, describe_content
from mlconsole.core.text import neutralise
from mlconsole.engine.planning import in_steps
from mlconsole.engine.views import OperationView, Origin, ReleaseView, StepView


def operation_view(operation: Operation, *, alive: bool = True, records: Sequence[StepRecord] = ()) -> OperationView:
    """A change for people; `alive` is whether somebody drives it, `records` its journal so far, where its progress is of interest."""
    plan = operation.plan
    newest = records[-1] if records else None
    return OperationView(
        id=operation.id,
        endpoint=operation.endpoint,
        environment=operation.environment,
        kind=str(plan.kind),
        state=str(operation.state),
        release=operation.release,
        now=describe_content(plan.now),
        then=describe_content(plan.then),
        who=str(operation.actor),
        reason=plan.reason,
        started=operation.started,
        ended=operation.ended,
        problem=operation.problem,
        interrupted=not operation.state.terminal and not alive,
        doing=newest.step.summary if newest else "",
        step=sum(1 for record in records if not record.back),
        steps=len(plan.steps),
        back_to=describe_content(operation.revert_to),
        skipped_gates=tuple(neutralise(gate) for gate in plan.skipped_gates),
        origin=origin(operation.actor),
    )


def origin(actor: Actor) -> Origin:
    """Who, and from where, for people."""
    return Origin(actor.user, actor.host, actor.uid, actor.ssh_client or "", actor.tool, actor.identity or "")


def step_view(record: StepRecord) -> StepView:
    """One line of the journal for people."""
    found = record.found
    variants = ", ".join(f"{name} {str(state).split(' ')[0]}" for name, state in dict(found.get("variants") or {}).items())
    return StepView(
        index=record.index,
        role=record.step.role,
        action=record.step.action,
        asked=record.step.summary if record.step.role == "gate" else in_steps(record.step),
        found=variants or "nothing",
        read_back=record.read_back,
        state=str(record.state),
        problem=record.problem,
        back=record.back,
        started=record.started,
        seconds=(record.ended - record.started).total_seconds() if record.ended else None,
    )


def release_view(release: Release, standing: Standing) -> ReleaseView:
    """A release for people."""
    return ReleaseView(
        name=release.name,
        endpoint=release.endpoint,
        number=release.number,
        kind=str(release.kind),
        standing=str(standing),
        content="deleted" if release.content == NOTHING else describe_content(release.content),
        created=release.created,
        who=str(release.actor),
        reason=release.reason,
        equals=release.equals,
        operation=release.operation,
        skipped_gates=release.skipped_gates,
        origin=origin(release.actor),
    )
