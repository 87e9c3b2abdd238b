"""The tables: the keys one queries by, and one JSON body per row; leases and control are plain columns that change.

The database is made by `migrations`, not from these classes; a test holds the two together. Moments are ISO 8601 in UTC with six places, so
that they sort as text; spans are seconds.
"""

from __future__ import annotations

from sqlmodel import Field, SQLModel


class VersionTable(SQLModel, table=True):
    """A model version; `seq` is the order of registration."""

    __tablename__ = "model_version"
    seq: int | None = Field(default=None, primary_key=True)
    model: str
    version: str
    digest: str
    body: str


class EndpointTable(SQLModel, table=True):
    """What is live on an endpoint, and the last release number that was given out."""

    __tablename__ = "endpoint"
    environment: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    live_release: int | None = None
    last_number: int = 0


class ReleaseTable(SQLModel, table=True):
    """A release; its body never changes, its standing does."""

    __tablename__ = "release"
    seq: int | None = Field(default=None, primary_key=True)
    environment: str
    endpoint: str
    number: int
    standing: str
    body: str


class PlanTable(SQLModel, table=True):
    """A plan; `used` once an operation has been started from it."""

    __tablename__ = "plan"
    seq: int | None = Field(default=None, primary_key=True)
    id: str
    environment: str
    endpoint: str
    used: bool = False
    body: str


class OperationTable(SQLModel, table=True):
    """An operation. The body is the whole of it; `state` and `ended` repeat what is asked for."""

    __tablename__ = "operation"
    seq: int | None = Field(default=None, primary_key=True)
    id: str
    environment: str
    endpoint: str
    scope: str
    release: int
    state: str
    ended: str | None = None
    body: str


class StepTable(SQLModel, table=True):
    """One try of a step, in the order in which they were intended."""

    __tablename__ = "step"
    seq: int | None = Field(default=None, primary_key=True)
    operation: str
    back: bool
    place: int
    phase: str
    state: str
    ended: str | None = None
    body: str


class LeaseTable(SQLModel, table=True):
    """The right to change one scope. The row stays when the lease is dropped, so that `token` rises for ever."""

    __tablename__ = "lease"
    environment: str = Field(primary_key=True)
    scope: str = Field(primary_key=True)
    token: int
    held: bool
    holder: str
    place: str
    pid: int
    boot: str
    operation: str
    purpose: str
    seconds: float
    taken_at: str
    taken: float
    renewed_at: str
    renewed: float
    expires: float


class ControlTable(SQLModel, table=True):
    """What people ask of a running operation; needs no lease."""

    __tablename__ = "control"
    operation: str = Field(primary_key=True)
    wanted: str
    actor: str
    asked_at: str


class AlarmTable(SQLModel, table=True):
    """An alarm; `seq` is the number that people say to each other, over all environments."""

    __tablename__ = "alarm"
    seq: int | None = Field(default=None, primary_key=True)
    environment: str
    state: str
    closed: str | None = None
    body: str


class AlarmEventTable(SQLModel, table=True):
    """What happened in an alarm. `key` is unique within it, where there is one: the same thing is told once."""

    __tablename__ = "alarm_event"
    seq: int | None = Field(default=None, primary_key=True)
    alarm: int
    at: str
    kind: str
    key: str | None = None
    text: str


class OutboxTable(SQLModel, table=True):
    """A notice for one channel. `claim` is whose turn it is to send it, until `claimed_until`."""

    __tablename__ = "outbox"
    seq: int | None = Field(default=None, primary_key=True)
    environment: str
    dedupe: str
    channel: str
    alarm: int | None = None
    unless_acknowledged: bool = False
    state: str
    attempts: int = 0
    next_try: str
    claim: str = ""
    claimed_until: str | None = None
    problem: str = ""
    created: str
    sent: str | None = None
    body: str


class WatcherTable(SQLModel, table=True):
    """Who watches an environment. The row stays when the watcher ends, so that `token` rises for ever."""

    __tablename__ = "watcher"
    environment: str = Field(primary_key=True)
    token: int
    holder: str
    place: str
    pid: int
    boot: str
    since: str
    beat_at: str
    beat: float
    every: float
    ended: str | None = None
    problem: str
    channels: str
    caller: str = ""


class ActionRunTable(SQLModel, table=True):
    """A run of an action, and which process has it."""

    __tablename__ = "action_run"
    seq: int | None = Field(default=None, primary_key=True)
    id: str
    environment: str
    action: str
    state: str
    asked: str
    ended: str | None = None
    place: str = ""
    pid: int = 0
    boot: str = ""
    body: str


class ProbeStateTable(SQLModel, table=True):
    """What a probe saw last, and since when it sees that."""

    __tablename__ = "probe_state"
    environment: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    kind: str
    ok: bool | None = None
    text: str
    value: float | None = None
    unit: str
    since: str
    looked: str


class ProbeEventTable(SQLModel, table=True):
    """A probe saw something else than before."""

    __tablename__ = "probe_event"
    seq: int | None = Field(default=None, primary_key=True)
    environment: str
    name: str
    at: str
    ok: bool | None = None
    value: float | None = None
    text: str


class ProbeValueTable(SQLModel, table=True):
    """A probe's figure, one for each stretch of ten seconds (`at`: epoch seconds)."""

    __tablename__ = "probe_value"
    environment: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    at: int = Field(primary_key=True)
    value: float


class RevisionTable(SQLModel, table=True):
    """One row: a number that triggers raise whenever something is written that changes seldom."""

    __tablename__ = "revision"
    id: int = Field(default=1, primary_key=True)
    number: int


class RolloutTable(SQLModel, table=True):
    """A rollout. While `ended` is None it is its endpoint's claim: there is one at most."""

    __tablename__ = "rollout"
    seq: int | None = Field(default=None, primary_key=True)
    id: str
    environment: str
    endpoint: str
    state: str
    ended: str | None = None
    body: str


class RolloutEventTable(SQLModel, table=True):
    """What happened in a rollout. `key` is unique within it, where there is one: the same thing is told once."""

    __tablename__ = "rollout_event"
    seq: int | None = Field(default=None, primary_key=True)
    rollout: str
    at: str
    kind: str
    key: str | None = None
    text: str


class RolloutControlTable(SQLModel, table=True):
    """What people ask of a rollout, in the order in which they did; needs no lease."""

    __tablename__ = "rollout_control"
    seq: int | None = Field(default=None, primary_key=True)
    rollout: str
    wanted: str
    reason: str
    actor: str
    asked_at: str
    done_at: str | None = None


class RolloutDriverTable(SQLModel, table=True):
    """Who drives a rollout. The row stays when the driver ends, so that `token` rises for ever."""

    __tablename__ = "rollout_driver"
    rollout: str = Field(primary_key=True)
    token: int
    held: bool
    holder: str
    place: str
    pid: int
    boot: str
    since: str
    beat_at: str
    beat: float


class ApprovalRequestTable(SQLModel, table=True):
    """A request for approval; `number` is what people say to each other, over all environments."""

    __tablename__ = "approval_request"
    number: int | None = Field(default=None, primary_key=True)
    environment: str
    endpoint: str
    plan: str
    rollout: str | None = None
    effect: str
    state: str
    body: str


class ApprovalTable(SQLModel, table=True):
    """What one colleague said to a request."""

    __tablename__ = "approval"
    request: int = Field(primary_key=True)
    user: str = Field(primary_key=True)
    verdict: str
    text: str
    at: str
    actor: str


class DocumentBytesTable(SQLModel, table=True):
    """The bytes of a config document's version, under their digest."""

    __tablename__ = "document_bytes"
    digest: str = Field(primary_key=True)
    body: bytes


class DraftTable(SQLModel, table=True):
    """The draft of a config document. The row stays, with an empty body, when it is thrown away, so that `edition` rises for ever."""

    __tablename__ = "draft"
    environment: str = Field(primary_key=True)
    document: str = Field(primary_key=True)
    edition: int
    body: str


class ForecastTable(SQLModel, table=True):
    """What a published version was expected to do."""

    __tablename__ = "forecast"
    environment: str = Field(primary_key=True)
    document: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    body: str
