"""Alarms: findings that page, put together into one trouble, followed until each slice is proven well again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from mlconsole.core.errors import UsageError
from mlconsole.core.health import Answer, Question
from mlconsole.core.models import Actor
from mlconsole.core.verdicts import Verdict


class AlarmState(StrEnum):
    """How far an alarm is."""

    FIRING = "firing"
    RECOVERING = "recovering"
    """Nothing is found any more; not every slice is proven well yet."""
    CLOSED = "closed"


@dataclass(frozen=True)
class Finding:
    """One question that failed for one endpoint (`""`: for the environment, as a probe that nobody names), with what it is about.

    `slices` are those that failed (`KEY=VALUE`), `""` among them when all requests together did; `proven` tells how far each of them is.
    """

    question: Question
    endpoint: str
    variants: tuple[str, ...]
    slices: tuple[str, ...]
    since: datetime
    """When what it found began."""
    seen: datetime
    """When it was found last."""
    text: str
    value: float | None = None
    usual: float | None = None
    n: int = 0
    subject: str = ""
    """The probe, for a dependency."""
    proven: Mapping[str, int] = field(default_factory=dict)
    """Slice → how many good predictions since it was found last; a slice is well when its number reaches `NEEDED`."""
    well: bool = False
    """Proven well again in every slice."""


NEEDED = 30
"""Good predictions (over distinct inputs, where it was identical outputs) that prove a slice well again."""


@dataclass(frozen=True)
class Acknowledgement:
    """Who has it, since when, and what they said they do."""

    who: Actor
    at: datetime
    text: str


@dataclass(frozen=True)
class Alarm:
    """One trouble. It has a number that people say to each other; its first finding named it, worse ones may have joined."""

    number: int
    environment: str
    state: AlarmState
    opened: datetime
    findings: tuple[Finding, ...]
    acknowledged: Acknowledgement | None = None
    recovering: datetime | None = None
    """Since when nothing is found any more."""
    closed: datetime | None = None
    closed_by: str = ""
    """`""`: proven well again; else who closed it, and why."""
    quiet: float = 60.0
    """Seconds that nothing may be found for before it is closed; longer when the same was closed shortly before it."""

    @property
    def worst(self) -> Finding:
        """The finding that names it: of those that are found still, the one that people have to hear of first."""
        latest = max(one.seen for one in self.findings)
        return min(self.findings, key=lambda one: (one.well, latest - one.seen > _JUST_NOW, _ORDER[one.question], one.since, one.endpoint))

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Those it is about, in the order in which they were found."""
        return tuple(dict.fromkeys(one.endpoint for one in self.findings if one.endpoint))

    @property
    def since(self) -> datetime:
        """When the earliest of it began."""
        return min(one.since for one in self.findings)

    @property
    def named_since(self) -> datetime:
        """When what names it began; a dependency that it comes from may have failed earlier."""
        worst = self.worst
        return min(one.since for one in self.findings if one.question is worst.question and one.well is worst.well)


SAME_TIME = timedelta(seconds=120)
"""The same question found twice within this is one trouble, wherever it is."""
AGAIN = timedelta(minutes=5)
"""Found again after so long without a finding: people are told, who may have gone back to bed."""
QUIET, QUIET_AGAIN = 60.0, 900.0
"""Seconds without a finding before an alarm is closed; the longer one for what had been closed within `REMEMBERED`: it flaps."""
REMEMBERED = timedelta(minutes=30)

_JUST_NOW = timedelta(seconds=30)

_ORDER = {question: place for place, question in enumerate(Question)}

Key = tuple[Question, str, str]
"""What makes two findings the same one: question, endpoint, subject."""


@dataclass(frozen=True)
class Told:
    """Something that people have to hear about an alarm. The same key is told once for an alarm, however often it is said."""

    place: int
    """Which one of `Settlement.changed`: a new alarm has no number yet."""
    key: str
    """`opened`, `joined:QUESTION:ENDPOINT[,…]`, `again:HOUR`, `recovering`, `closed`."""

    @property
    def kind(self) -> str:
        """The key's first word."""
        return self.key.partition(":")[0]


@dataclass(frozen=True)
class Settlement:
    """What a look at the answers changes: alarms as they are now (number 0: a new one), and what has to be told of them."""

    changed: tuple[Alarm, ...]
    notices: tuple[Told, ...]


@dataclass
class _Draft:
    """An alarm while it is looked at; without `before` it is a new one."""

    before: Alarm | None
    findings: dict[Key, Finding]
    found: set[Key] = field(default_factory=set)
    fresh: list[Finding] = field(default_factory=list)
    """Found now, and not part of it before."""


def settle(
    open_alarms: Sequence[Alarm],
    failing: Mapping[str, Sequence[Answer]],
    proofs: Callable[[Finding], Mapping[str, int]],
    now: datetime,
    *,
    environment: str,
    depends: Mapping[str, Sequence[str]],
) -> Settlement:
    """What the answers of one look make of the alarms.

    `failing`: endpoint (`""` for the environment: its probes, its watcher) → the answers that page. `proofs`: slice → good predictions
    since the finding was seen last; for a probe or watcher that is well `{"": NEEDED}`. `depends`: endpoint → its probes.
    Closed ones among `open_alarms` are never opened again; those of the last minutes tell what flaps.
    """
    drafts = [
        _Draft(alarm, {_key(one): one for one in alarm.findings})
        for alarm in sorted(open_alarms, key=lambda one: one.number)
        if alarm.state is not AlarmState.CLOSED
    ]
    for finding in _collect(failing, now):
        draft = _home(finding, drafts, depends)
        if draft is None:
            draft = _Draft(None, {})
            drafts.append(draft)
        key = _key(finding)
        former = draft.findings.get(key)
        draft.found.add(key)
        draft.findings[key] = finding if former is None else _more_of(former, finding)
        if former is None:
            draft.fresh.append(finding)
    changed: list[Alarm] = []
    notices: list[Told] = []
    for draft in drafts:
        alarm, keys = _settled(draft, proofs, now, environment, open_alarms)
        if alarm != draft.before:
            notices += [Told(len(changed), key) for key in keys]
            changed.append(alarm)
    return Settlement(tuple(changed), tuple(notices))


def acknowledge(alarm: Alarm, who: Actor, at: datetime, text: str) -> Alarm:
    """Somebody has it; also when somebody else had it before.

    Raises:
        UsageError: it is closed.
    """
    _still_open(alarm)
    return replace(alarm, acknowledged=Acknowledgement(who, at, text))


def close_by_hand(alarm: Alarm, who: Actor, at: datetime, reason: str) -> Alarm:
    """Somebody closes it without proof, and says why.

    Raises:
        UsageError: it is closed already, or there is no reason.
    """
    _still_open(alarm)
    if not reason.strip():
        raise UsageError(
            f"Alarm {alarm.number} is not proven well again; closing it all the same needs a reason. Nothing was changed.",
            next=f'mlconsole health close {alarm.number} "why"',
        )
    return replace(alarm, state=AlarmState.CLOSED, closed=at, closed_by=f"{who}: {reason.strip()}")


def _still_open(alarm: Alarm) -> None:
    if alarm.state is AlarmState.CLOSED:
        how = f"by {alarm.closed_by}" if alarm.closed_by else "every slice was proven well again"
        raise UsageError(
            f"Alarm {alarm.number} is closed already ({how}). Nothing was changed.", next="mlconsole health tells what is open."
        )


def _key(finding: Finding) -> Key:
    return finding.question, finding.endpoint, finding.subject


def _collect(failing: Mapping[str, Sequence[Answer]], now: datetime) -> list[Finding]:
    """Answers as findings: dependencies first, so that what depends on them finds them; then the worst question."""
    groups: dict[Key, list[Answer]] = {}
    for endpoint, answers in failing.items():
        for answer in answers:
            if answer.verdict is Verdict.FAIL:
                groups.setdefault((answer.question, endpoint, answer.subject), []).append(answer)
    found = [_finding(key, answers, now) for key, answers in groups.items()]
    return sorted(
        found,
        key=lambda one: (one.question is not Question.DEPENDENCY, _ORDER[one.question], one.since, one.endpoint, one.subject),
    )


def _finding(key: Key, answers: Sequence[Answer], now: datetime) -> Finding:
    question, endpoint, subject = key
    begun = [datetime.fromtimestamp(one.since, UTC) for one in answers if one.since is not None]
    sign = 1.0 if question is Question.SILENT else -1.0  # silence is worst where the figure is smallest
    worst = min(answers, key=lambda one: (one.slice != "", one.variant != "", sign * (one.value or 0.0), -one.n, one.slice, one.variant))
    return Finding(
        question=question,
        endpoint=endpoint,
        variants=tuple(sorted({one.variant for one in answers if one.variant})),
        slices=tuple(sorted({one.slice for one in answers})),
        since=min([*begun, now]),
        seen=now,
        text=worst.text,
        value=worst.value,
        usual=worst.usual,
        n=worst.n,
        subject=subject,
    )


def _more_of(former: Finding, finding: Finding) -> Finding:
    """Found again: it is about all that it ever was about, and nothing of it is proven any more."""
    return replace(
        finding,
        variants=_both(former.variants, finding.variants),
        slices=_both(former.slices, finding.slices),
        since=min(former.since, finding.since),
    )


def _both(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *second]))


def _home(finding: Finding, drafts: Sequence[_Draft], depends: Mapping[str, Sequence[str]]) -> _Draft | None:
    """The alarm that a finding belongs to: the one that has it, else the nearest by cause, by endpoint, by time; the oldest of several."""
    ranked = [(rank, place) for place, draft in enumerate(drafts) if (rank := _nearness(finding, draft, depends)) is not None]
    return drafts[min(ranked)[1]] if ranked else None


def _nearness(finding: Finding, draft: _Draft, depends: Mapping[str, Sequence[str]]) -> int | None:
    if _key(finding) in draft.findings:
        return 0
    others = draft.findings.values()
    if any(_one_cause(finding, one, depends) or _one_cause(one, finding, depends) for one in others):
        return 1
    # Something else that is found where one trouble is just over is a new trouble: whoever took the old one has not heard of it.
    over = draft.before is not None and draft.before.state is AlarmState.RECOVERING
    if not over and finding.endpoint and any(one.endpoint == finding.endpoint for one in others):
        return 2
    # Against the first of that question, so that a slow trickle of troubles does not become one chain.
    begun = min((one.since for one in others if one.question is finding.question), default=None)
    return 3 if begun is not None and abs(finding.since - begun) <= SAME_TIME else None


def _one_cause(probe: Finding, other: Finding, depends: Mapping[str, Sequence[str]]) -> bool:
    return probe.question is Question.DEPENDENCY and not probe.well and probe.subject in depends.get(other.endpoint, ())


def _settled(
    draft: _Draft, proofs: Callable[[Finding], Mapping[str, int]], now: datetime, environment: str, known: Sequence[Alarm]
) -> tuple[Alarm, list[str]]:
    """The alarm as it is now, and what has to be told of it."""
    findings = tuple(one if key in draft.found else _proven(one, proofs(one)) for key, one in draft.findings.items())
    before = draft.before
    if before is None:
        flaps = any(
            one.closed is not None and now - one.closed <= REMEMBERED and draft.findings.keys() & {_key(each) for each in one.findings}
            for one in known
        )
        opened = Alarm(0, environment, AlarmState.FIRING, now, findings, quiet=QUIET_AGAIN if flaps else QUIET)
        return opened, ["opened"]
    if draft.found:
        keys = _joined(before, draft.fresh)
        if not keys and before.recovering is not None and now - before.recovering > AGAIN:
            keys = [f"again:{now.astimezone(UTC):%Y-%m-%dT%H}"]  # at most one an hour
        return replace(before, state=AlarmState.FIRING, findings=findings, recovering=None), keys
    since = before.recovering or now
    if all(one.well for one in findings) and (now - since).total_seconds() >= before.quiet:
        return replace(before, state=AlarmState.CLOSED, findings=findings, recovering=since, closed=now), ["closed"]
    keys = ["recovering"] if before.state is AlarmState.FIRING else []
    return replace(before, state=AlarmState.RECOVERING, findings=findings, recovering=since), keys


def _joined(before: Alarm, fresh: Sequence[Finding]) -> list[str]:
    worst = min(_ORDER[one.question] for one in before.findings)
    news = [
        f"{one.question}:{one.endpoint or one.subject}"
        for one in fresh
        if (one.endpoint and one.endpoint not in before.endpoints) or _ORDER[one.question] < worst
    ]
    return [f"joined:{','.join(news)}"] if news else []


def _proven(finding: Finding, good: Mapping[str, int]) -> Finding:
    """With what is proven by now. A slice that was proven stays so until it is found again: a quiet night takes no proof away."""
    proven: dict[str, int] = {}
    for name in finding.slices or ("",):
        count, former = max(0, good.get(name, 0)), finding.proven.get(name, 0)
        proven[name] = max(count, former) if former >= NEEDED or count else 0
    return replace(finding, proven=proven, well=all(count >= NEEDED for count in proven.values()))
