"""Notices of approvals: what happens to a request for approval is told by the environment's channels, each thing once, and pages nobody."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlconsole.core.approvals import ApprovalPolicy, Happened, Request, RequestState, needs_told
from mlconsole.core.text import neutralise
from mlconsole.core.wording import clock
from mlconsole.plugin.roles import Notice

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.registry.approvals import Tell
    from mlconsole.workspace import Environment


def teller(session: Session, environment: Environment | None, rule: ApprovalPolicy) -> Tell | None:
    """Tells what happens to requests of that environment, which need not be the session's; None where it is in no file any more."""
    if environment is None:
        return None
    channels = [one.name for one in environment.channels.values() if one.after_minutes is None and one.takes("info")]

    def tell(happened: Happened) -> tuple[Notice, Sequence[str]]:
        return notice_of(session, environment, rule, happened), channels

    return tell


def notice_of(session: Session, environment: Environment, rule: ApprovalPolicy, happened: Happened) -> Notice:
    """What people are told of it, for reading by anybody: who asked is named, and nobody is *you*."""
    request = happened.request
    where = "PROD" if environment.production else environment.name.upper()
    read = f"Read: ssh {session.actor.host} mlconsole approvals show {request.number}"
    return Notice(
        key=f"{session.workspace.name}:{happened.key}",
        title=neutralise(f"{where} {_title(session, happened)}"),
        lines=tuple(neutralise(line) for line in (*_lines(session, rule, happened), read) if line),
        severity="info",
        environment=environment.name,
        fields={"request": request.number, "endpoint": request.endpoint, "state": str(request.state)},
    )


def waits_told(request: Request) -> str:
    """`Waits for approval: request 12, plan 7f3a, relevance v6 → v7 in production`."""
    plan = f"plan {request.plan}, " if request.plan else ""
    return f"Waits for approval: request {request.number}, {plan}{request.summary}"


def _title(session: Session, happened: Happened) -> str:
    request = happened.request
    match happened.what:
        case "asked":
            return waits_told(request)
        case "lapsed":
            return request.why.rstrip(".")
        case "withdrawn":
            return f"request {request.number} was withdrawn: {request.summary}"
    assert happened.vote is not None
    by = f"{happened.vote.actor.user} {clock(happened.vote.at, session.clock.now())}"
    return f"request {request.number} {_SAID[happened.what]} by {by}: {request.summary}"


_SAID = {"approve": "approved", "reject": "rejected"}


def _lines(session: Session, rule: ApprovalPolicy, happened: Happened) -> tuple[str, ...]:
    request = happened.request
    needs = needs_told(request, happened.votes, rule, request.author.user, request.author.user)
    match happened.what:
        case "asked":
            why = f': "{request.reason}"' if request.reason else ""
            say = f"Say: ssh {session.actor.host} mlconsole approvals approve {request.number} (or reject)"
            return needs, f"asked by {request.author}{why}", say
        case "lapsed":
            again = f" It is asked again: request {happened.instead}." if happened.instead else ""
            return (f"{request.summary}.{again}",)
        case "withdrawn":
            return (f"{request.why}.",)
    text = happened.vote.text if happened.vote is not None else ""
    if request.state is RequestState.REJECTED:
        return text, "Nothing will come of it."
    return text, needs or f"plan {request.plan}. It can be done now: {request.command}"
