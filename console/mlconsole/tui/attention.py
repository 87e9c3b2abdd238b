"""What needs a person, worst first: row 4, and where `!` goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlconsole.core.documents import document_of
from mlconsole.core.text import duration
from mlconsole.engine.views import AlarmView, ApprovalView, EndpointView, RolloutView, Snapshot, State
from mlconsole.tui.config_attention import of_documents, published
from mlconsole.tui.figures import moment
from mlconsole.tui.pane import Line, line
from mlconsole.tui.rollout_words import failing, guardian_watches, holds_for, stable_of, stage_name, subject_of, value_of
from mlconsole.tui.signs import STATE_STYLES, YELLOW, Signs

UNWATCHED = "Health is looked at only while a console is open. Nobody pages you at night. mlconsole guardian install"
"""What is said of an environment whose health nobody watches, once in a while and in no alarming colour."""

_ONCE, _EVERY = 1, 10
"""The minutes for which that is said, of so many."""


_TAKEN_UP = 15.0
"""Seconds that a driver may take to take a new rollout up."""


@dataclass(frozen=True)
class Attention:
    """Something that needs a person: a state, a sentence, and the screen, the endpoint and the alarm to go to."""

    state: State
    text: str
    screen: str
    subject: str
    alarm: int | None = None
    hint: str = ""
    """What to press, when it is not only to be gone to."""
    short: str = ""
    """The sentence for a phone."""


def open_alarms(snapshot: Snapshot | None) -> tuple[AlarmView, ...]:
    """The alarms that are not closed, worst first."""
    if snapshot is None:
        return ()
    return snapshot.health.open_alarms if snapshot.health is not None else snapshot.status.alarms


def attentions(snapshot: Snapshot) -> list[Attention]:
    """What needs a person, worst first; alarms before all else that is as bad."""
    if snapshot.blind:
        return [Attention(State.FAILING, f"blind: {snapshot.blind}", "endpoints", "")]
    order = {State.FAILING: 0, State.LOOK: 1, State.NO_DATA: 2}
    alarms = open_alarms(snapshot)
    found = [_of_alarm(alarm, snapshot) for alarm in alarms]
    found += [
        Attention(endpoint.state, f"{endpoint.name}: {endpoint.finding}", _screen_for(endpoint), endpoint.name)
        for endpoint in snapshot.status.endpoints
        if endpoint.state in order and not _told_by(endpoint, alarms)
    ]
    found += [told for one in snapshot.rollouts if (told := _of_rollout(one, snapshot)) is not None]
    found += [_of_request(one) for one in snapshot.approvals if one.state == "waiting"]
    found += [Attention(state, told, "config", target) for state, told, target in of_documents(snapshot)]
    if snapshot.health is not None:
        if snapshot.health.trouble:
            found.append(Attention(State.LOOK, f"health: {snapshot.health.trouble}", "health", ""))
        if snapshot.health.watcher.alive and snapshot.health.watcher.trouble:
            found.append(Attention(State.LOOK, f"guardian: {snapshot.health.watcher.trouble}", "health", ""))
    return sorted(found, key=lambda one: order[one.state])


def _of_rollout(one: RolloutView, snapshot: Snapshot) -> Attention | None:
    """A rollout that goes back, that nobody drives, or that waits for what does not come; and one that a guard took back, until somebody
    does something with the endpoint.
    """
    now, name, target = snapshot.status.at, subject_of(one), one.endpoint
    screen = "canary" if document_of(target) is None else "config"
    bad = failing(one)
    found = f"{bad[0].guard} in {value_of(bad[0].slice)} {bad[0].text}".strip() if bad else ""
    if one.state == "going back":
        if not bad:
            return None  # somebody asked for it
        return Attention(State.FAILING, f"{name}: {found}. A guard is taking it back to {stable_of(one)}", screen, target)
    if one.over:
        endpoint = snapshot.endpoint(target)
        later = any(other.endpoint == target and other.started > one.started for other in snapshot.rollouts)
        at = endpoint.changed if endpoint is not None else published(snapshot, target)
        changed = at is not None and one.ended is not None and at > one.ended
        if later or changed or not (one.state == "failed" or (one.state == "reverted" and bad)):
            return None
        when = moment(one.ended, now)
        if one.state == "failed":
            return Attention(State.LOOK, f"{name}: the rollout of {one.variant} failed {when}: {one.why}", screen, target)
        back = f" to #{one.back_to}" if one.back_to else f" to {stable_of(one)}"
        return Attention(State.LOOK, f"{name}: {one.why or found} Went back{back} at {when}, by itself", screen, target)
    if not one.driver and not guardian_watches(snapshot) and (now - one.started).total_seconds() >= _TAKEN_UP:
        told = f"{name} is at {stage_name(one)} and nobody drives its rollout: nothing takes it back by itself. mlconsole guardian start"
        return Attention(State.FAILING, told, screen, target)
    if one.credentials:
        return Attention(State.LOOK, f"{name}: {one.credentials}", screen, target)
    holds = holds_for(one, now)
    return Attention(State.LOOK, holds, screen, target) if holds else None


def _of_request(one: ApprovalView) -> Attention:
    """A change that waits for a colleague's word, which may be that of whoever reads this."""
    whose = "not yours" if one.why_not else "yours will do"
    what = one.summary.removeprefix(f"{one.endpoint} ")
    told = f"request {one.number} ({one.endpoint}) waits for an approval, {whose}: {what}"
    return Attention(State.LOOK, told, "activity", f"request {one.number}", hint="A read it", short=f"request {one.number} waits, {whose}")


def _of_alarm(alarm: AlarmView, snapshot: Snapshot) -> Attention:
    from mlconsole.tui.health_words import spoken, who_has

    about = ", ".join(alarm.endpoints) or next((one.subject for one in alarm.findings if one.subject), alarm.environment)
    subject = alarm.endpoints[0] if alarm.endpoints else ""
    hint = "a ack" if not alarm.acknowledged_by else "a acked"
    if alarm.state == "recovering":
        own = [one for one in alarm.findings if one.endpoint == subject]
        slices = {name for one in own for name in one.slices}
        well = {name for name in slices if all(one.well or one.proven.get(name, 0) >= _PROVEN for one in own if name in one.slices)}
        proven = f", {len(well)} of {len(slices)} proven again" if len(slices) > 1 else ""
        return Attention(State.LOOK, f"{about}: recovering{proven} · {who_has(alarm)}", "health", subject, alarm.number, hint)
    lasts = duration(max(0.0, (snapshot.status.at - alarm.since).total_seconds()))
    told = f"{about}: {spoken(alarm.title)} for {lasts} · {who_has(alarm)}"
    short = f"{about}: {alarm.question.upper()} {lasts}"
    return Attention(State.FAILING, told, "health", subject, alarm.number, hint, short)


_PROVEN = 30
"""Good predictions that prove a slice well again (`core.alarms.NEEDED`, which is not imported before the first frame)."""


def _told_by(endpoint: EndpointView, alarms: Sequence[AlarmView]) -> bool:
    """Whether an open alarm says what the endpoint's own finding says."""
    told = endpoint.finding.casefold()
    for alarm in alarms:
        if endpoint.name in alarm.endpoints:
            words = [alarm.title, alarm.question, *(one.text for one in alarm.findings), *(one.question for one in alarm.findings)]
            if not told or any(word and word.casefold() in told for word in words):
                return True
    return False


def _screen_for(endpoint: EndpointView) -> str:
    return "activity" if "changed outside" in endpoint.finding else "endpoints"


def attention(
    found: Sequence[Attention], signs: Signs, snapshot: Snapshot | None, shown: str = "", width: int = 100
) -> tuple[Line, Line, str]:
    """Row 4: what needs you, one line, the worst. `shown`: the screen that is; on that of an alarm the hint is what to do."""
    if snapshot is None:
        return line(""), (), ""
    if not found:
        minute = int(snapshot.status.at.timestamp() // 60)
        if snapshot.health is not None and not snapshot.status.watcher.alive and minute % _EVERY < _ONCE:
            return line((f" {signs.look} ", YELLOW), UNWATCHED), (), ""
        return line((f" {signs.ok} ", STATE_STYLES[State.OK]), "nothing needs you"), (), ""
    worst = found[0]
    more = f" +{len(found) - 1}" if len(found) > 1 else ""
    over = "reverse red" if worst.state is State.FAILING else ""
    hint = worst.hint if worst.hint and worst.screen == shown else "! go there"
    told = worst.short if worst.short and width < 60 else worst.text
    return line((f" {signs.of(worst.state)} ", STATE_STYLES[worst.state]), signs.plain(told)), line((f"{more} {hint} ", "")), over
