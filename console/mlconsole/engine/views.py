"""What the engine gives to a face: frozen values, ready to be shown. Standard library only, so that a first frame imports nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from mlconsole.engine.documentviews import DocumentView


class State(StrEnum):
    """How an endpoint is, worst first as people have to look at it."""

    FAILING = "failing"
    LOOK = "look"
    CHANGING = "changing"
    NO_DATA = "no data"
    OK = "ok"


SIGNS: Mapping[State, tuple[str, str]] = {
    State.FAILING: ("✖", "X"),
    State.LOOK: ("▲", "!"),
    State.CHANGING: ("~", "~"),
    State.NO_DATA: ("?", "?"),
    State.OK: ("✔", "ok"),
}
"""Each state's sign, and the same in ASCII."""


@dataclass(frozen=True)
class VariantView:
    """A variant in the three columns of invariant 7. Shares in basis points; None is *not observed* or *not reported*."""

    name: str
    model: str
    version: str
    state: str
    reason: str
    desired: int | None
    reported: int | None
    observed: float | None
    observed_n: int
    observed_seconds: float
    resources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ShadowView:
    """The shadow's sample share, desired and reported (bp), and observed: copies per hundred requests, as bp."""

    variant: str
    desired: int
    reported: int | None
    observed: float | None


@dataclass(frozen=True)
class OperationView:
    """A change, running or over."""

    id: str
    endpoint: str
    environment: str
    kind: str
    state: str
    release: int
    now: str
    then: str
    who: str
    reason: str
    started: datetime
    ended: datetime | None
    problem: str
    interrupted: bool = False
    """Its driver is gone and it is not over: `mlconsole recover` ends it one way or the other."""
    doing: str = ""
    """The step it is at, while it runs."""
    step: int = 0
    steps: int = 0
    back_to: str = ""
    """Where it goes back to when it does not come to stand."""
    skipped_gates: tuple[str, ...] = ()
    """What a reason overruled: `golden (v6)`, `freeze (Black Friday)`."""
    origin: Origin | None = None


@dataclass(frozen=True)
class Origin:
    """Who did something, and from where: the OS user, their host, the SSH client where there was one, the program, the cloud identity."""

    user: str
    host: str
    uid: int | None = None
    ssh_client: str = ""
    tool: str = ""
    identity: str = ""


@dataclass(frozen=True)
class StepView:
    """One journaled step: what was asked, found, and read back."""

    index: int
    role: str
    action: str
    asked: str
    found: str
    read_back: str
    state: str
    problem: str
    back: bool
    started: datetime
    seconds: float | None


@dataclass(frozen=True)
class ExampleView:
    """A request that works with curl against the endpoint's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str


def curl_line(url: str, example: ExampleView) -> str:
    """The request as a line for a shell."""
    headers = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items())
    return f"curl -s {headers} -d {shlex.quote(example.body)} {shlex.quote(url.rstrip('/') + example.path)}"


@dataclass(frozen=True)
class EndpointView:
    """One endpoint: what is wanted, reported and observed, and what stands out."""

    name: str
    environment: str
    state: State
    finding: str
    """Why the state is what it is, in one sentence; empty when all is well."""
    next: str
    """What to do about it."""
    url: str | None = None
    release: int | None = None
    release_name: str = ""
    content: str = ""
    changed: datetime | None = None
    changed_by: str = ""
    variants: tuple[VariantView, ...] = ()
    by_slice: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Slice value → variant → desired share (bp)."""
    observed_by_slice: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    slice_key: str = ""
    """The label that `by_slice` splits by; empty when no slice has a split of its own."""
    reported_by_slice: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    seen_by_slice: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """`language=de` → variant (`""`: nobody) → consumers' requests seen, whichever split decided over them."""
    shadow: ShadowView | None = None
    operation: OperationView | None = None
    example: ExampleView | None = None
    requests: int = 0
    """Consumers' requests seen in `seconds`: since the traffic last changed, ten minutes at most."""
    failed: int = 0
    seconds: float = 0.0
    recent: int = 0
    """Those of the last `recent_seconds`, for rates that tell what is new."""
    recent_failed: int = 0
    recent_seconds: float = 0.0
    way_back: str = ""
    differences: tuple[str, ...] = ()
    author: str = ""
    """Who changed it outside, with what and when, as far as the backend tells: `by alice (UpdateEndpoint, 14:02)`."""
    was: State | None = None
    """Not seen just now: its state when it was last seen, which was at `as_of`; what the backend said then is still shown."""
    as_of: datetime | None = None
    idle: bool = False
    """The backend is seen, and no request comes: that is why nothing is known of how it does."""


@dataclass(frozen=True)
class StatusView:
    """The state of the world of one environment at a moment."""

    workspace: str
    environment: str
    production: bool
    read_only: bool
    at: datetime
    endpoints: tuple[EndpointView, ...]
    running: tuple[OperationView, ...] = ()
    trouble: str = ""
    """Why the backend could not say which endpoints there are; empty when it could."""
    trouble_next: str = ""
    watcher: WatcherView = field(default_factory=lambda: WatcherView(alive=False))
    alarms: tuple[AlarmView, ...] = ()
    """Those that are not closed, worst first."""

    @property
    def blind(self) -> bool:
        """Nothing of what is really there could be seen."""
        unseen = sum(1 for endpoint in self.endpoints if endpoint.state is State.NO_DATA and not endpoint.idle)
        return bool(self.trouble) or (bool(self.endpoints) and unseen == len(self.endpoints))

    def count(self, state: State) -> int:
        """How many endpoints are in that state; the counts add up to all."""
        return sum(1 for endpoint in self.endpoints if endpoint.state is state)


@dataclass(frozen=True)
class ReleaseView:
    """One line of an endpoint's history of releases."""

    name: str
    endpoint: str
    number: int
    kind: str
    standing: str
    content: str
    created: datetime
    who: str
    reason: str
    equals: int | None
    operation: str | None
    skipped_gates: tuple[str, ...] = ()
    origin: Origin | None = None


@dataclass(frozen=True)
class Progress:
    """Something happened in a running change, or it says what it waits for."""

    at: datetime
    kind: str
    """`step`, `waiting`, `done`, `skipped`, `problem`, `going back`, `note`."""
    text: str
    step: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a change ended."""

    operation: OperationView
    done: bool
    """The new release stands; otherwise the revert target does."""
    sentence: str
    """What is now, in the words of screens.md."""
    exit_code: int
    seconds: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionView:
    """A registered version for people: what it is, how good it was, where it runs (environment → share in bp)."""

    model: str
    version: str
    digest: str
    size: int
    owner: str
    description: str
    commit: str | None
    dirty: bool | None
    data_reference: str
    data_cutoff: str
    preprocessing: str
    evaluation_set: str
    metrics: Mapping[str, float]
    parameters: Mapping[str, str]
    dependencies: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    slices: Mapping[str, tuple[str, ...]]
    threshold: float | None
    registered: datetime
    registered_by: str
    runs_in: Mapping[str, int] = field(default_factory=dict)
    ran: bool = False
    """It was in some release before, and runs nowhere now."""
    endpoint: str = ""
    """The endpoint that the workspace has for its model."""
    origin: str = ""
    """The id of the catalog's version that it was imported from."""

    @property
    def name(self) -> str:
        """`relevance@4`."""
        return f"{self.model}@{self.version}"


@dataclass(frozen=True)
class AnswerView:
    """One question answered: `core.health.Answer` for a face. `verdict` is `pass`, `fail`, `inconclusive`, `no_data`, `error`."""

    question: str
    verdict: str
    pages: bool
    endpoint: str = ""
    variant: str = ""
    slice: str = ""
    subject: str = ""
    value: float | None = None
    usual: float | None = None
    limit: float | None = None
    n: int = 0
    need: int = 0
    seconds: float = 0.0
    since: datetime | None = None
    text: str = ""


@dataclass(frozen=True)
class FiguresView:
    """Figures of an endpoint, a variant or a slice; None is *no data*. Shares from 0 to 1, latency in ms, rate in requests a second."""

    n: int = 0
    seconds: float = 0.0
    rate: float | None = None
    errors: float | None = None
    p95: float | None = None
    same: float | None = None
    over: float | None = None
    lowest: float | None = None
    highest: float | None = None


@dataclass(frozen=True)
class SliceView:
    """How a slice is; `slice` is `KEY=VALUE`, `""` for all, `other` for the small ones pooled (`pooled` names them)."""

    slice: str
    verdict: str
    figures: FiguresView
    usual: FiguresView
    worst: AnswerView | None = None
    pooled: tuple[str, ...] = ()
    need: int = 0
    """While it recovers: how many good predictions are still wanted before it counts as well."""


@dataclass(frozen=True)
class TrendView:
    """A figure over time: one value for each `step` seconds from `begin` on, None where there was nothing. `usual` is a line of its own."""

    name: str
    """`same output`, `errors`, `over threshold`, `p95`, or a probe's name."""
    unit: str
    """`%` (values from 0 to 1), `ms`, or a probe's own."""
    begin: datetime
    step: float
    values: tuple[float | None, ...]
    usual: float | None = None


@dataclass(frozen=True)
class MarkView:
    """Something that happened while a trend ran: a change, a probe's event, an alarm, an action."""

    at: datetime
    kind: str
    """`change`, `probe`, `alarm`, `action`, `outside`."""
    text: str
    endpoint: str = ""


@dataclass(frozen=True)
class ProbeView:
    """A dependency. `ok` None: not known (never asked, or it can't be asked), which `text` tells."""

    name: str
    kind: str
    ok: bool | None
    text: str
    since: datetime | None
    """Since when it is so."""
    looked: datetime | None
    endpoints: tuple[str, ...] = ()
    repair: str = ""
    """The action that mends it; empty: none is known."""
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class HistogramView:
    """Scores now beside the baseline's: shares from 0 to 1 of each bin."""

    edges: tuple[float, ...]
    now: tuple[float, ...]
    baseline: tuple[float, ...]
    n: int
    psi: float | None = None


@dataclass(frozen=True)
class PairView:
    """One pair of a consumer's answer and the copy's."""

    request_id: str
    time: datetime
    slice: str
    live: float | None
    shadow: float | None
    live_ms: float
    shadow_ms: float


@dataclass(frozen=True)
class PairsView:
    """A shadow's answers beside those that consumers got, joined by request id. Shares from 0 to 1."""

    live: str
    shadow: str
    n: int
    seconds: float
    agree: float | None
    """Within `tolerance`."""
    tolerance: float
    mean_difference: float | None
    flips: Mapping[str, tuple[int, int]]
    """Slice → flips over the threshold, pairs."""
    slower_ms: float | None
    """Median of the copy's latency minus the original's."""
    unpaired: int
    """Copies whose original was not seen, and originals that should have had a copy as far as can be told."""
    failed: int
    """Pairs of which only the copy failed."""
    worst: tuple[PairView, ...] = ()


@dataclass(frozen=True)
class FindingView:
    """One finding of an alarm."""

    question: str
    endpoint: str
    variants: tuple[str, ...]
    slices: tuple[str, ...]
    since: datetime
    seen: datetime
    text: str
    value: float | None
    usual: float | None
    n: int
    well: bool
    proven: Mapping[str, int]
    subject: str = ""


@dataclass(frozen=True)
class TriageView:
    """An alarm by rule and in words, line by line, and what would help."""

    title: str
    """`ALL PREDICTIONS IDENTICAL`."""
    lines: tuple[tuple[str, str], ...]
    """What → told: `versions`, `languages`, `endpoints`, `usual`, `effect`, `last change`, `just before`."""
    revert_helps: bool | None
    """None: it can't be told."""
    revert: str
    """Why going back would help, or would NOT."""
    fix: str = ""
    """The action that would; empty where none is known."""
    fix_told: str = ""
    effect: int = 0
    """Predictions that were wrong so far."""
    ordinary: str = ""
    """What an ordinary alarm says: `errors 0.2 %, p95 31 ms: every ordinary alarm says OK`."""


@dataclass(frozen=True)
class AlarmView:
    """One trouble, by its number. `state`: `firing`, `recovering`, `closed`."""

    number: int
    environment: str
    state: str
    title: str
    question: str
    endpoints: tuple[str, ...]
    since: datetime
    opened: datetime
    findings: tuple[FindingView, ...]
    triage: TriageView
    acknowledged_by: str = ""
    acknowledged_at: datetime | None = None
    acknowledged_text: str = ""
    closed: datetime | None = None
    closed_by: str = ""
    told: tuple[str, ...] = ()
    """Whom it was told, and when: `paged ops 08:53`."""
    events: tuple[tuple[datetime, str], ...] = ()
    """What happened in it, oldest first."""


@dataclass(frozen=True)
class EndpointHealthView:
    """How an endpoint does. `verdict` as for `AnswerView`; `title` says a fail in one or two words (`identical`, `errors de`)."""

    endpoint: str
    verdict: str
    title: str
    figures: FiguresView
    usual: FiguresView
    slices: tuple[SliceView, ...] = ()
    """Worst first; the first one is all requests (`""`)."""
    answers: tuple[AnswerView, ...] = ()
    variants: Mapping[str, FiguresView] = field(default_factory=dict)
    trends: tuple[TrendView, ...] = ()
    marks: tuple[MarkView, ...] = ()
    histogram: HistogramView | None = None
    pairs: PairsView | None = None
    alarm: int | None = None
    """The alarm that it is part of, firing or recovering."""
    since: datetime | None = None
    """Since when it is as `verdict` says, where that is known."""


@dataclass(frozen=True)
class CallerView:
    """As whom somebody acts at the backend. `expires` None: the credentials do not run out."""

    name: str
    account: str = ""
    region: str = ""
    expires: datetime | None = None


@dataclass(frozen=True)
class WatcherView:
    """Who watches the environment. `alive` False: nobody does, `since` then (None: nobody ever did)."""

    alive: bool
    who: str = ""
    """`guardian@bastion-1 (pid 4188)`."""
    since: datetime | None = None
    beat: datetime | None = None
    channels: tuple[str, ...] = ()
    """Whom it would tell; empty: nobody would be paged."""
    trouble: str = ""
    """What keeps it from watching wholly, a channel that fails."""
    caller: CallerView | None = None
    """As whom it acts at the backend; None: nobody knows."""


@dataclass(frozen=True)
class ActionRunView:
    """A run of an action. `state`: `asked`, `running`, `done`, `failed`."""

    id: str
    action: str
    state: str
    who: str
    started: datetime
    ended: datetime | None
    told: str
    """What it did, or why it failed, with its check."""
    alarm: int | None = None
    probe: str = ""


@dataclass(frozen=True)
class HealthView:
    """The health of an environment at a moment."""

    at: datetime
    as_of: datetime | None
    """The newest prediction that it knows."""
    endpoints: tuple[EndpointHealthView, ...]
    """Worst first."""
    alarms: tuple[AlarmView, ...] = ()
    """Firing, then recovering; those closed in the last day after them."""
    probes: tuple[ProbeView, ...] = ()
    watcher: WatcherView = field(default_factory=lambda: WatcherView(alive=False))
    runs: tuple[ActionRunView, ...] = ()
    """Running ones, and those of the last day, newest first."""
    trouble: str = ""
    """Why nothing, or not all, is known: predictions can't be read."""
    notes: tuple[str, ...] = ()
    """What to know of the predictions that are judged: how many are captured, how late they come."""
    minutes: float = 60.0
    """The time that trends are of."""
    natives: tuple[ProbeView, ...] = ()
    """The backend's own alarms, of the kind `alarm`; those that are set off first."""

    def endpoint(self, name: str) -> EndpointHealthView | None:
        """The health of the endpoint of that name."""
        return next((one for one in self.endpoints if one.endpoint == name), None)

    @property
    def open_alarms(self) -> tuple[AlarmView, ...]:
        """Those that are not closed."""
        return tuple(one for one in self.alarms if one.state != "closed")


@dataclass(frozen=True)
class StageView:
    """A stage of a rollout. `state`: `done`, `now`, `to come`."""

    name: str
    share: int
    """bp of the new variant."""
    state: str
    ends: datetime | None = None
    """When it ended, or ends at the earliest at the present traffic."""
    told: str = ""
    """What is slowest in it and why; how it went."""


@dataclass(frozen=True)
class GuardView:
    """What a guard says in the present stage; `verdict` as for `AnswerView`."""

    guard: str
    verdict: str
    slice: str = ""
    new: float | None = None
    stable: float | None = None
    limit: float | None = None
    n: int = 0
    need: int = 0
    seconds: float | None = None
    text: str = ""
    dry_run: bool = False
    judged: bool = True
    pooled: tuple[str, ...] = ()


@dataclass(frozen=True)
class RolloutView:
    """A rollout. `state`: `shifting`, `waiting`, `baking`, `paused`, `going back`, `done`, `reverted`, `superseded`, `failed`."""

    id: str
    endpoint: str
    environment: str
    state: str
    policy: str
    variant: str
    stable: tuple[str, ...]
    stages: tuple[StageView, ...]
    stage: int
    started: datetime
    who: str
    reason: str = ""
    why: str = ""
    """Why it is held, went back, failed, or was superseded."""
    waits_for: tuple[str, ...] = ()
    guards: tuple[GuardView, ...] = ()
    controls: tuple[str, ...] = ()
    """What may be asked of it now: `pause`, `resume`, `next`, `revert`, `forward`, `keep old`."""
    way_back: str = ""
    done_about: datetime | None = None
    deadline: datetime | None = None
    checked: datetime | None = None
    """When its guards were asked last."""
    driver: str = ""
    """Who drives it; empty: nobody does just now."""
    attended: bool = False
    stops_old: bool = False
    """The old variant is taken away after the bake, unless it is kept."""
    skipped_gates: tuple[str, ...] = ()
    """What a reason overruled when it was begun."""
    shadow_told: str = ""
    """What the shadow stage said, while it counts or could."""
    shadow_counts: bool = False
    events: tuple[tuple[datetime, str], ...] = ()
    release: int | None = None
    back_to: int | None = None
    ended: datetime | None = None
    credentials: str = ""
    """That the credentials of who drives it end before it does; empty: they last, or nobody knows."""

    @property
    def over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.ended is not None


@dataclass(frozen=True)
class VoteView:
    """What one colleague said last."""

    who: str
    say: str
    text: str
    at: datetime


@dataclass(frozen=True)
class ApprovalView:
    """A request for approval, for a face."""

    number: int
    environment: str
    endpoint: str
    plan: str
    summary: str
    state: str
    author: str
    asked: datetime
    reason: str
    needs: str
    """What is still missing, in words; empty when nothing is, or it is over."""
    why_not: str
    """Why whoever looks can't say a word to it; empty: they may."""
    votes: tuple[VoteView, ...]
    checklist: tuple[tuple[str, str], ...]
    """Question, answer (empty: open)."""
    parts: tuple[tuple[str, str], ...]
    """What it would make of the endpoint."""
    command: str
    """What does it, once it is approved."""
    open: bool
    used: str
    why: str
    ended: datetime | None
    notes: tuple[str, ...] = ()
    """What else came of a word that was said just now: whether the catalog was told."""

    @property
    def unanswered(self) -> tuple[str, ...]:
        """The questions of the checklist that nobody has answered."""
        return tuple(question for question, answer in self.checklist if not answer)

    @property
    def deciding(self) -> tuple[VoteView, ...]:
        """The words that made it what it is: those that reject it, else those that approve it."""
        wanted = "reject" if self.state == "rejected" else "approve"
        return tuple(vote for vote in self.votes if vote.say == wanted)

    @property
    def last(self) -> tuple[datetime, str]:
        """When something happened to it last, and who did that: whoever asked, where it lapsed or was taken back."""
        votes = [(vote.at, vote.who) for vote in self.votes]
        asked = [(self.asked, self.author.partition("@")[0])]
        ended = [] if self.ended is None or self.state not in ("lapsed", "withdrawn") else [(self.ended, asked[0][1])]
        return max([*asked, *votes, *ended])


@dataclass(frozen=True)
class Snapshot:
    """Everything the screens show, taken at one moment. The last one lies on disk, so that a first frame shows the last known state."""

    status: StatusView
    versions: Sequence[VersionView]
    """All of them. One that was read from disk reads them when they are asked for: a first frame does not wait for ten thousand."""
    changes: tuple[OperationView, ...]
    releases: tuple[ReleaseView, ...]
    environments: tuple[str, ...]
    who: str
    backend: str
    """The plugins at work, `local`."""
    blind: str = ""
    """Why the backend could not be seen; empty when it could."""
    blind_next: str = ""
    slices: bool = False
    """Whether the backend can split by slice."""
    shadow: bool = False
    seen: datetime | None = None
    """When the backend was last really seen; None: never, as far as is known."""
    rollouts: tuple[RolloutView, ...] = ()
    """Those that run, then those that ended in the last day, newest first."""
    policies: Mapping[str, str] = field(default_factory=dict)
    """Endpoint → the policy that a rollout of it would have."""
    approvals: tuple[ApprovalView, ...] = ()
    """The newest requests for approval, open or over; newest first."""
    health: HealthView | None = None
    """None: this environment's plugins tell nothing that health could be judged by."""
    documents: tuple[DocumentView, ...] = ()
    """The config documents, their drafts judged."""
    caller: CallerView | None = None
    """As whom the backend takes whoever looks; None: it does not say."""
    guardian_only: bool = False
    """The backend has alarms, and none of them takes shares back: only the guardian does."""

    def endpoint(self, name: str) -> EndpointView | None:
        """The endpoint of that name."""
        return next((endpoint for endpoint in self.status.endpoints if endpoint.name == name), None)
