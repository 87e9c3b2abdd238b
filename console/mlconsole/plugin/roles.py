"""The roles a plugin can play for an environment, as plain synchronous protocols.

Rules for every role:

- No call waits for a backend's transition: `start` returns as soon as the backend has taken the order; the engine polls `describe`.
- Every step is idempotent. `steps` is pure: from a live state and a wanted content it says which native calls are left, none when there is
  nothing to do, so that the engine may work it out again after any crash.
- Errors are those of `mlconsole.plugin.errors`; throttling is never a model's failure.
- A role may be called from several threads; each call gets its deadline from the engine, which abandons it when it hangs.

How other backends fill these roles is written down in `docs/roles.md`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from mlconsole.core.clock import Clock
from mlconsole.core.documents import MOST_BYTES, Document, LiveDocument
from mlconsole.core.live import Live, Transition
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.releases import Content
from mlconsole.core.steps import Step
from mlconsole.core.traffic import Traffic as TrafficValue


@dataclass(frozen=True)
class Context:
    """What a role's factory is given."""

    environment: str
    root: Path
    """The workspace's folder: relative artifact locations start here."""
    state: Path
    """A folder that is the plugin's own for this environment, 0700; it may not exist yet."""
    options: Mapping[str, Json]
    """The plugin's validated options, defaults filled in."""
    clock: Clock
    by_name: bool = False
    """Applications choose a variant themselves and ask for it by its name: no role of the environment splits requests (`traffic_in`)."""
    guardian: bool = False
    """It is made in the guardian's process: a plugin may have other credentials for that."""
    released: Callable[[], Mapping[tuple[str, str], ModelVersion | None]] | None = None
    """Endpoint and variant → the version behind it, of every release here that is remembered, as far as it is registered: for roles that
    meet a variant's traces and have no order that says what it is. None: nobody knows of releases."""


@dataclass(frozen=True)
class Order:
    """What goes with a step to a backend."""

    fence: int
    """The lease's token. A backend that keeps the highest one it has seen refuses a lower one with `Conflict`, in the same critical section
    as the effect, so that a driver who lost its lease can change nothing."""
    release: str
    """The release that this leads to, `relevance@staging#3`, for marks and tags."""
    versions: Mapping[str, ModelVersion]
    """Variant name → its registered version, for each variant of the step's `ensures`, and for those of the endpoint that are known."""
    documents: Mapping[str, bytes] = field(default_factory=dict)
    """Digest → bytes, of the step's `document` and of the version that is read before it."""
    back: bool = False
    """It is part of going back, which no rule forbids: a store wants nothing that has to be so before one goes forward (quiet alarms)."""
    at_once: bool = False
    """Whoever orders it waits by itself: a store that could grow or bake of its own does neither."""


@dataclass(frozen=True)
class Limits:
    """What a backend can express; the plan refuses the rest before anything is touched."""

    share_granularity: int = 1
    """Shares are multiples of so many basis points."""
    slices: bool = False
    shadow: bool = False
    variant_name: str = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    """A regular expression that every variant name has to match wholly."""
    endpoint_name: str = r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    variants: int = 10
    """At most so many variants behind one endpoint."""


@dataclass(frozen=True)
class Invocation:
    """One request for a prediction: named inputs (one row), and the slices it belongs to."""

    inputs: Mapping[str, Json]
    slices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What came back. `outputs` has one value for each output (one row was asked), not a list of one; `variant` is who answered, None where
    the backend can't say; `error` is foreign text, empty when it worked."""

    status: int
    outputs: Mapping[str, Json]
    variant: str | None
    milliseconds: float
    request_id: str | None = None
    error: str = ""


@dataclass(frozen=True)
class HttpExample:
    """A request that works with curl against the endpoint's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str


@runtime_checkable
class Serving(Protocol):
    """Variants: which there are, how they are, bringing them up and taking them away."""

    def limits(self) -> Limits:
        """What it can express; no call to the backend."""
        ...

    def list(self) -> Sequence[str]:
        """The names of all endpoints that exist here, whoever made them.

        Raises:
            Unavailable: the backend does not answer.
        """
        ...

    def describe(self, endpoint: str) -> Live:
        """The endpoint as it is, with the bytes that really run. An endpoint that does not exist is a `Live` without variants.

        `Live.traffic` is filled where this backend splits traffic itself; else the traffic role's report takes its place.
        """
        ...

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """Pure: the native steps that are left from `live` to `target`; none when there is nothing to do.

        Raises:
            Refused: this backend can't express the target.
        """
        ...

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """Begin a step and return at once. Idempotent: a step that has worked already changes nothing.

        Raises:
            Conflict: the fence token is not the newest, or somebody else is changing the endpoint.
            Refused: it can't be done; nothing was changed.
        """
        ...

    def invoke(self, endpoint: str, request: Invocation, variant: str | None = None, *, probe: bool = False) -> Answer:
        """Ask for one prediction: through the endpoint's address as a consumer would, or of one `variant` whatever its share.

        A `probe` is the console's own question: it goes to the variant itself and never counts as observed traffic.
        A refusal by the model is an `Answer` with its status, not an exception.

        Raises:
            NotFound: no such endpoint or variant.
            Unavailable: nobody answered.
        """
        ...


@runtime_checkable
class Tidies(Protocol):
    """A serving role that creates things beside the endpoint itself (configurations, models) to carry steps out."""

    def tidy(self, endpoint: str, release: str) -> Sequence[str]:
        """Take away what was created for that release (`Order.release`), which did not come to stand, and nothing uses; what that was.
        What may still be a revert target stays. The endpoint is in its revert target again.
        """
        ...


@dataclass(frozen=True)
class TrafficReport:
    """Traffic as the role that splits it reports it. None: it splits nothing for that endpoint."""

    traffic: TrafficValue | None
    transition: Transition = Transition.SETTLED
    reason: str = ""
    url: str | None = None


@runtime_checkable
class Traffic(Protocol):
    """Who gets which share of the requests; for backends in which that is another part than the one that serves."""

    def limits(self) -> Limits:
        """What it can express; no call to the backend."""
        ...

    def scope(self, endpoint: str) -> str:
        """The name of what is locked while the endpoint's traffic changes; several endpoints may share one."""
        ...

    def report(self, endpoint: str) -> TrafficReport:
        """The traffic as it is."""
        ...

    def steps(self, live: Live, target: Content) -> Sequence[Step]:
        """As `Serving.steps`, for the traffic of `target`."""
        ...

    def start(self, endpoint: str, step: Step, order: Order) -> None:
        """As `Serving.start`."""
        ...


@dataclass(frozen=True)
class ConfigLimits:
    """What a store of config documents can do."""

    growth: bool = True
    """A version can be published to a share of the clients; without it, to all or none."""
    share_granularity: int = 100
    """Such shares are multiples of so many basis points."""
    most_bytes: int = MOST_BYTES
    poll_lag: float = 45.0
    """Seconds after which every client has read what is published."""


@dataclass(frozen=True)
class StoredVersion:
    """One version as the store keeps it; `note` is what was written beside it (foreign text)."""

    number: int
    digest: str
    size: int
    created: datetime | None = None
    note: str = ""


@dataclass(frozen=True)
class DocumentReport:
    """A document as its store reports it."""

    document: LiveDocument
    transition: Transition = Transition.SETTLED
    reason: str = ""


@runtime_checkable
class ConfigStore(Protocol):
    """Where applications read their configuration: immutable, numbered versions of named documents, one of them published."""

    def limits(self) -> ConfigLimits:
        """What it can do; no call to the backend."""
        ...

    def list(self) -> Sequence[str]:
        """The names of all documents."""
        ...

    def scope(self, document: str) -> str:
        """The name of what is locked while the document changes; several documents may share one."""
        ...

    def report(self, document: str) -> DocumentReport:
        """What is published, to whom, and whether that is changing just now. A document that does not exist has no version."""
        ...

    def versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        """The newest versions, newest first."""
        ...

    def read(self, document: str, number: int) -> bytes:
        """The bytes of a version, exactly as they were added.

        Raises:
            NotFound: there is none of that number.
        """
        ...

    def steps(self, live: LiveDocument, target: Document) -> Sequence[Step]:
        """Pure: the native steps (role `config`, phase SHIFT, with `document` filled) from what is published to the target; none when
        nothing is left. Publishing a version that the store does not hold yet adds it first, in the same step.

        Raises:
            Refused: this store can't express the target.
        """
        ...

    def start(self, document: str, step: Step, order: Order) -> None:
        """Begin a step and return at once. Idempotent: a step that has worked already changes nothing, a version is added once.

        The version of `step.document` gets the bytes `order.documents[digest]` if it is not there; its number has to be the next one.

        Raises:
            Conflict: the fence token is not the newest; somebody else added a version of that number with other bytes (the optimistic
                lock), or publishes something just now.
            Refused: it can't be done (the bytes are too many, invalid for the store's own checks); nothing was changed.
        """
        ...


@runtime_checkable
class Schemas(Protocol):
    """A store of config documents that holds what is published against schemas of its own, so that this can be done before."""

    def schemas(self, document: str) -> Sequence[bytes]:
        """The JSON Schemas, each saying its draft; none where the store checks nothing. Foreign text."""
        ...


@runtime_checkable
class Watching(Protocol):
    """A store of config documents that watches alarms of its own while it publishes, and takes a version back by itself."""

    def watching(self, document: str) -> str:
        """What is armed whenever the document is published, in one sentence without its full stop; empty: nothing is. Foreign text."""
        ...


@runtime_checkable
class Logs(Protocol):
    """A serving role that can show what its variants wrote."""

    def logs(self, endpoint: str, variant: str, lines: int) -> Sequence[str]:
        """The last lines, oldest first: foreign text.

        Raises:
            NotFound: no such endpoint or variant.
        """
        ...


@runtime_checkable
class Packages(Protocol):
    """A serving role that knows what is installed where its servers run."""

    def packages(self, endpoint: str) -> Mapping[str, str]:
        """Package → version, for a server of that endpoint that is brought up now."""
        ...


@runtime_checkable
class Examples(Protocol):
    """A serving role whose endpoints can be asked over plain HTTP."""

    def example(self, endpoint: str, request: Invocation) -> HttpExample:
        """The same request as `invoke` would send to the endpoint's address, for curl."""
        ...


@dataclass(frozen=True)
class Caller:
    """As whom a backend takes us. All of it is foreign text."""

    name: str
    """`ops-guardian`: a role, a user, a service account."""
    account: str = ""
    region: str = ""
    expires: datetime | None = None
    """When the credentials end, UTC. None: they do not run out, or are renewed by themselves."""

    def __str__(self) -> str:
        where = ", ".join(part for part in (self.account, self.region) if part)
        return f"{self.name} ({where})" if where else self.name


@runtime_checkable
class Identity(Protocol):
    """A role, mostly the serving one, that knows as whom it acts, and until when that holds."""

    def identity(self) -> Caller:
        """Whose credentials it uses now.

        Raises:
            AuthFailed: they are missing, wrong, or have run out.
            Unavailable: nobody who could say so answers.
        """
        ...


@dataclass(frozen=True)
class Observation:
    """One prediction as it was really made; what could not be seen is None and never guessed."""

    endpoint: str
    variant: str | None
    """Who answered; None when no variant was reached."""
    request_id: str
    time: datetime
    """When the request began, UTC."""
    status: int
    """The HTTP status that the consumer got, or that the copy would have got."""
    milliseconds: float
    shadow: bool = False
    pinned: bool = False
    """The consumer asked for this variant by name; it says nothing about the split."""
    probe: bool = False
    slices: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    """Which split decided: `""` the one for all, else `KEY=VALUE`."""
    score: float | None = None
    output: Json = None
    input_hash: str | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)
    error: str = ""
    """Why it failed, as far as the logs say (foreign text)."""
    application: bool = False
    """An application logged it itself: no model need have been asked."""


@dataclass(frozen=True)
class Page:
    """Some observations in the order they were written, the cursor behind them, and whether there is nothing more just now."""

    observations: Sequence[Observation]
    cursor: str
    at_end: bool


@dataclass(frozen=True)
class Coverage:
    """How much of what was predicted a predictions role can tell, in words."""

    notes: Sequence[str] = ()
    """What is so by its set-up: `20 of 100 requests of relevance are captured`, `they come up to 4 min late`."""
    trouble: Sequence[str] = ()
    """What is missing, though it should be there."""


@runtime_checkable
class Covering(Protocol):
    """A predictions role that sees only some of the predictions, or sees them late, and can say so."""

    def coverage(self, cursor: str) -> Coverage:
        """Of what was read up to the cursor; asks nobody."""
        ...


@runtime_checkable
class Predictions(Protocol):
    """Where predictions can be read afterwards. Cursors are texts that survive restarts and log rotation."""

    def cursor_at(self, time: datetime) -> str:
        """A cursor behind which every observation at or after `time` lies (a few earlier ones may)."""
        ...

    def read(self, cursor: str, limit: int = 10_000) -> Page:
        """The next observations of all endpoints of the environment, each exactly once along the cursor."""
        ...


@dataclass(frozen=True)
class Part:
    """One running piece of a backend on this machine, for `local status`."""

    name: str
    state: str
    """`running`, `stopped`, `dead`, …"""
    detail: str
    """`pid 4121, 127.0.0.1:18080`."""
    healthy: bool


@runtime_checkable
class Lifecycle(Protocol):
    """A backend whose servers live on this machine and are brought up and taken down from here."""

    def up(self) -> Sequence[Part]:
        """Start whatever should run and does not, everything found again after a crash; returns when it answers.

        Raises:
            Refused: this platform can't, a port is taken, the disk is full.
        """
        ...

    def down(self) -> Sequence[Part]:
        """Stop everything of this environment and leave nothing behind; what was stopped."""
        ...

    def parts(self) -> Sequence[Part]:
        """What there is and how it is."""
        ...


@dataclass(frozen=True)
class Parameter:
    """One parameter of an action: its name, what it is for, and what it is when left out."""

    name: str
    help: str
    default: str | None = None


@runtime_checkable
class Action(Protocol):
    """A named thing that a plugin can do beside serving: replay recorded traffic, refill a cache."""

    @property
    def name(self) -> str:
        """How it is asked for."""
        ...

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        ...

    @property
    def parameters(self) -> Sequence[Parameter]:
        """What it may be told."""
        ...

    @property
    def safe(self) -> bool:
        """Needs no typed name in production."""
        ...

    def run(self, parameters: Mapping[str, str]) -> Mapping[str, Json]:
        """Do it; what was done, for people and scripts."""
        ...


class Actions(Protocol):
    """What an `action` factory makes: the actions a plugin offers in an environment."""

    def actions(self) -> Sequence[Action]:
        """All of them."""
        ...


@runtime_checkable
class Addresses(Protocol):
    """A lifecycle role whose companion services other parts may have to find: a probe's address `@redis-embeddings` is asked here."""

    def address(self, service: str) -> str | None:
        """`127.0.0.1:6379` of that service; None where there is none of that name."""
        ...


@dataclass(frozen=True)
class Sighting:
    """What a probe saw. `ok` None: it could not ask (a wrong address, no permission), which is no failure of what it looks at."""

    ok: bool | None
    text: str
    """`0 keys, wanted at least 1 338`: what is, against what is wanted. Foreign text in it is neutralised by who shows it."""
    value: float | None = None
    """The figure that a trend is drawn of: keys, ms; None where there is none."""
    unit: str = ""


@runtime_checkable
class Probe(Protocol):
    """A check of something that endpoints depend on; made from its options, asked again and again. Factory role name: `probe`."""

    def look(self, timeout: float) -> Sighting:
        """Look once, within `timeout` seconds. A dependency that does not answer is a sighting with `ok=False`, not an exception."""
        ...


@dataclass(frozen=True)
class Notice:
    """Something that people have to be told. The first 60 characters of `title` say it all; `key` is the same for the same notice, so that
    a receiver may drop a second copy."""

    key: str
    title: str
    lines: Sequence[str]
    severity: str
    """`page`, `recovered`, `info`."""
    environment: str
    alarm: int | None = None
    fields: Mapping[str, Json] = field(default_factory=dict)


@runtime_checkable
class Notifier(Protocol):
    """A way to tell people; made from its options. Factory role name: `notifier`."""

    def send(self, notice: Notice, timeout: float) -> None:
        """Hand it over, within `timeout` seconds.

        Raises:
            Unavailable, Throttled: try again later.
            Refused, InvalidRequest: trying again will not help.
        """
        ...
