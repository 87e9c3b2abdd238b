"""Requests for approval, what colleagues said to them, and that each is good for one change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlmodel import Session, col, select

from mlconsole.core import approvals as rules
from mlconsole.core.approvals import ApprovalPolicy, Happened, Request, RequestState, Say, Vote
from mlconsole.core.models import Actor
from mlconsole.core.text import neutralise
from mlconsole.plugin.errors import Conflict, NotAllowed, UnknownName
from mlconsole.plugin.roles import Notice
from mlconsole.registry.bodies import dump, from_moment, load, moment
from mlconsole.registry.outbox import put
from mlconsole.registry.parts import Part
from mlconsole.registry.tables import ApprovalRequestTable, ApprovalTable

Tell = Callable[[Happened], tuple[Notice, Sequence[str]]]
"""What people are told of something that happened, and by which channels. It is called inside the transaction, and asks nobody."""


@dataclass(frozen=True)
class Permit:
    """The approval that a change shows when it begins: the request, the effect that the change has, the policy of now."""

    number: int
    effect: str
    policy: ApprovalPolicy


class Approvals(Part):
    """What waits for a colleague's word in each environment. Numbers are given out over all environments and never twice."""

    def request_approval(self, request: Request, *, instead_of: Sequence[int] = (), tell: Tell | None = None) -> Request:
        """Ask for approval; returned with its number. Where an open request of the endpoint has the same effect, that one is returned.

        It takes the place of the requests `instead_of`, of which those that are open and have another effect lapse.
        """

        def work(session: Session) -> Request:
            now = self._clock.now()
            there = _open_with(session, request.environment, request.endpoint, request.effect)
            asked = load(Request, there.body) if there is not None else _new(session, request)
            for number in instead_of:
                row = _row(session, number)
                earlier = load(Request, row.body)
                if earlier.open and earlier.effect != request.effect:
                    _lapse(session, row, earlier, request.parts, now, tell, instead=asked.number)
            if there is None:
                _tell(session, tell, Happened("asked", asked), now)
            return asked

        return self._database.write(work)

    def approval(self, number: int) -> Request | None:
        """One request of any environment, or None."""

        def work(session: Session) -> Request | None:
            row = session.get(ApprovalRequestTable, number)
            return None if row is None else load(Request, row.body)

        return self._database.read(work)

    def approvals(self, environment: str, endpoint: str | None = None, *, open_only: bool = False, limit: int = 50) -> list[Request]:
        """The newest requests of an endpoint, or of the whole environment, newest first; with `open_only` those that wait, or are approved
        and not used yet."""
        table = ApprovalRequestTable
        statement = select(table.body).where(table.environment == environment).order_by(col(table.number).desc())
        if endpoint is not None:
            statement = statement.where(table.endpoint == endpoint)
        if open_only:
            statement = statement.where(col(table.state).in_((RequestState.WAITING.value, RequestState.APPROVED.value)))

        def work(session: Session) -> list[Request]:
            found = (load(Request, body) for body in session.exec(statement if open_only else statement.limit(limit)))
            return [one for one in found if one.open or not open_only][:limit]

        return self._database.read(work)

    def approval_for(self, environment: str, endpoint: str, effect: str) -> Request | None:
        """The open request of that endpoint with that effect, or None: nobody was asked, or it was used."""

        def work(session: Session) -> Request | None:
            row = _open_with(session, environment, endpoint, effect)
            return None if row is None else load(Request, row.body)

        return self._database.read(work)

    def approval_votes(self, number: int) -> list[Vote]:
        """What was said to a request, oldest first; of each user the last word."""
        return self._database.read(lambda session: _votes(session, number))

    def votes_on(self, numbers: Sequence[int]) -> Mapping[int, list[Vote]]:
        """What was said to each of these requests, oldest first."""

        def work(session: Session) -> Mapping[int, list[Vote]]:
            table = ApprovalTable
            statement = select(table).where(col(table.request).in_(numbers)).order_by(col(table.at), col(table.user))
            found: dict[int, list[Vote]] = {number: [] for number in numbers}
            for row in session.exec(statement):
                found[row.request].append(_vote(row))
            return found

        return self._database.read(work)

    def vote(self, number: int, actor: Actor, say: Say, text: str, policy: ApprovalPolicy, *, tell: Tell | None = None) -> Request:
        """A colleague approves or rejects; what the same user said before is replaced.

        Raises:
            UnknownName: there is no such request.
            NotAllowed: it is the actor's own, or the policy does not name them.
            Conflict: it is decided, or used, already.
        """

        def work(session: Session) -> Request:
            row = _row(session, number)
            request = _still_open(load(Request, row.body))
            refused = rules.why_not(actor.user, request, policy)
            if refused:
                raise NotAllowed(refused, next=f"mlconsole approvals show {number}")
            now = self._clock.now()
            vote = session.get(ApprovalTable, (number, actor.user)) or ApprovalTable(
                request=number, user=actor.user, verdict="", text="", at="", actor=""
            )
            vote.verdict, vote.text, vote.at, vote.actor = say.value, neutralise(text.strip()), moment(now), dump(actor)
            session.add(vote)
            session.flush()
            decided = _decided(session, row, request, policy, now)
            _tell(session, tell, Happened(say.value, decided, vote=_vote(vote)), now)
            return decided

        return self._database.write(work)

    def answer_approval(self, number: int, actor: Actor, answers: Mapping[str, str]) -> Request:
        """Answer questions of a request's checklist; kept with who said it, and a later answer takes the place of an earlier one.

        Raises:
            UnknownName: there is no such request, or it does not ask that.
            Conflict: it is decided, or used, already.
        """

        def work(session: Session) -> Request:
            row = _row(session, number)
            request = _still_open(load(Request, row.body))
            strange = next((question for question in answers if question not in request.answers), None)
            if strange is not None:
                raise UnknownName(
                    f'Request {number} does not ask "{neutralise(strange)}". Nothing was changed.',
                    next=f"mlconsole approvals show {number}",
                )
            said = {question: f"{neutralise(answer.strip())} ({actor.user})" for question, answer in answers.items()}
            return _save(session, row, replace(request, answers={**request.answers, **said}))

        return self._database.write(work)

    def settle_approval(
        self, number: int, effect: str, parts: Mapping[str, str], policy: ApprovalPolicy, *, tell: Tell | None = None
    ) -> Request:
        """Look at a request again: it lapses where what it asks for would have another `effect` (`parts`) by now, and is decided by the
        policy of now. What is terminal or used stays.

        Raises:
            UnknownName: there is no such request.
        """

        def work(session: Session) -> Request:
            row = _row(session, number)
            request = load(Request, row.body)
            if not request.open:
                return request
            now = self._clock.now()
            if effect != request.effect:
                return _lapse(session, row, request, parts, now, tell)
            return _decided(session, row, request, policy, now)

        return self._database.write(work)

    def withdraw_approval(self, number: int, actor: Actor, reason: str = "", *, tell: Tell | None = None) -> Request:
        """Whoever asked, or wrote the plan, takes a request back.

        Raises:
            UnknownName: there is no such request.
            NotAllowed: it is somebody else's; they may reject it.
            Conflict: it is decided, or used, already.
        """

        def work(session: Session) -> Request:
            row = _row(session, number)
            request = _still_open(load(Request, row.body))
            if actor.user not in request.authors:
                raise NotAllowed(
                    f"Request {number} is {neutralise(request.author.user)}'s, so you can't take it back. Nothing was changed.",
                    next=f"mlconsole approvals reject {number}",
                )
            why = neutralise(f"withdrawn by {actor}" + (f": {reason.strip()}" if reason.strip() else ""))
            now = self._clock.now()
            withdrawn = _save(session, row, replace(request, state=RequestState.WITHDRAWN, ended=now, why=why))
            _tell(session, tell, Happened("withdrawn", withdrawn), now)
            return withdrawn

        return self._database.write(work)


def spend(session: Session, permit: Permit, environment: str, endpoint: str, by: str, now: datetime) -> Request:
    """An approval is used up by the operation or rollout `by`, in the transaction in which that begins.

    Raises:
        UnknownName: there is no such request.
        Conflict: it is of another target, has another effect, is not approved (by the policy of now), or was used.
    """
    row = _row(session, permit.number)
    request = _still_open(load(Request, row.body))
    if (request.environment, request.endpoint) != (environment, endpoint):
        raise _holds_not(request, f"is for {request.endpoint} in {request.environment}, not for {endpoint} in {environment}")
    if request.effect != permit.effect:
        raise _holds_not(request, "was for another effect than this change would have by now")
    state = rules.state_of(request, _votes(session, permit.number), permit.policy)
    if state is not RequestState.APPROVED:
        raise _holds_not(request, f"is {state}")
    return _save(session, row, replace(request, state=state, used=by, ended=request.ended or now))


def _new(session: Session, request: Request) -> Request:
    row = ApprovalRequestTable(
        environment=request.environment,
        endpoint=request.endpoint,
        plan=request.plan,
        rollout=request.rollout,
        effect=request.effect,
        state=request.state.value,
        body="",
    )
    session.add(row)
    session.flush()
    assert row.number is not None
    return _save(session, row, replace(request, number=row.number, reason=neutralise(request.reason)))


def _lapse(
    session: Session,
    row: ApprovalRequestTable,
    request: Request,
    parts: Mapping[str, str],
    now: datetime,
    tell: Tell | None,
    instead: int = 0,
) -> Request:
    why = rules.lapse_told(request, _votes(session, request.number), parts, now)
    lapsed = _save(session, row, replace(request, state=RequestState.LAPSED, ended=now, why=why))
    _tell(session, tell, Happened("lapsed", lapsed, instead=instead), now)
    return lapsed


def _tell(session: Session, tell: Tell | None, happened: Happened, now: datetime) -> None:
    """Put it into the outbox, in the transaction in which it happens: all or nothing."""
    if tell is not None:
        happened = replace(happened, votes=tuple(_votes(session, happened.request.number)))
        notice, channels = tell(happened)
        for channel in channels:
            put(session, happened.request.environment, happened.key, channel, notice, now)


def _decided(session: Session, row: ApprovalRequestTable, request: Request, policy: ApprovalPolicy, now: datetime) -> Request:
    assert row.number is not None
    state = rules.state_of(request, _votes(session, row.number), policy)
    if state is request.state:
        return request
    return _save(session, row, replace(request, state=state, ended=None if state is RequestState.WAITING else now))


def _still_open(request: Request) -> Request:
    if request.used:
        raise Conflict(
            f"Request {request.number} was approved and used already (for {request.used}). Nothing was changed.",
            next="An approval is good for one change: ask again.",
        )
    if request.state.terminal:
        why = f" ({request.why})" if request.why else ""
        raise Conflict(f"Request {request.number} is {request.state} already{why}. Nothing was changed.", next="Ask again.")
    return request


def _holds_not(request: Request, why: str) -> Conflict:
    return Conflict(
        f"The approval of request {request.number} does not hold: it {why}. Nothing was changed.",
        next=f"mlconsole approvals show {request.number}",
    )


def _open_with(session: Session, environment: str, endpoint: str, effect: str) -> ApprovalRequestTable | None:
    table = ApprovalRequestTable
    statement = select(table).where(
        table.environment == environment,
        table.endpoint == endpoint,
        table.effect == effect,
        col(table.state).in_((RequestState.WAITING.value, RequestState.APPROVED.value)),
    )
    rows = session.exec(statement.order_by(col(table.number).desc())).all()
    return next((row for row in rows if load(Request, row.body).open), None)


def _row(session: Session, number: int) -> ApprovalRequestTable:
    row = session.get(ApprovalRequestTable, number)
    if row is None:
        raise UnknownName(f"There is no request {number}. Nothing was changed.", next="See which there are: mlconsole approvals list.")
    return row


def _save(session: Session, row: ApprovalRequestTable, request: Request) -> Request:
    row.state, row.body = request.state.value, dump(request)
    session.add(row)
    session.flush()
    return request


def _votes(session: Session, number: int) -> list[Vote]:
    statement = select(ApprovalTable).where(ApprovalTable.request == number).order_by(col(ApprovalTable.at), col(ApprovalTable.user))
    return [_vote(row) for row in session.exec(statement)]


def _vote(row: ApprovalTable) -> Vote:
    return Vote(load(Actor, row.actor), Say(row.verdict), row.text, from_moment(row.at))
