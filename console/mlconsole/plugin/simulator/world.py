"""The simulated world: one JSON file that survives processes and kill -9, and that several of them share."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from mlconsole.core.clock import Clock
from mlconsole.core.documents import WHOLE, digest_of, document_of
from mlconsole.core.errors import MLConsoleError
from mlconsole.core.live import Live, VariantState
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.releases import Variant
from mlconsole.core.traffic import Split, Traffic
from mlconsole.plugin.errors import AuthFailed, NotFound, Unavailable
from mlconsole.plugin.roles import DocumentReport, Invocation, Observation
from mlconsole.plugin.simulator import records
from mlconsole.plugin.simulator.behaviour import Behaviour, behaviour_to_json
from mlconsole.plugin.simulator.documents import DocumentRecord, Published, report_of
from mlconsole.plugin.simulator.effects import fresh
from mlconsole.plugin.simulator.faults import Fault, FaultKind, When, fault_from_json, fault_to_json
from mlconsole.plugin.simulator.requests import Load, Request, answered, requests_of, require
from mlconsole.plugin.simulator.state import (
    EndpointRecord,
    Moment,
    State,
    advance,
    change,
    drop,
    live_of,
    state_from_json,
    traffic_to_json,
)

_LONGEST_HANG = 600.0  # real seconds: a test that forgets to release must not leave a process for ever


@dataclass(frozen=True)
class Call:
    """One call that a backend got. `outcome` is `ok`, an error's code, or None: it has not come back (or its process is dead)."""

    number: int
    name: str
    endpoint: str
    action: str
    fence: int | None
    pid: int
    elapsed: float
    outcome: str | None = None


class World:
    """Everything that the simulated backends know. Make as many of these over one path as you like, in as many processes.

    Each method opens, locks, reads, and replaces the file; there is nothing in memory to lose. Transitions take their time on `clock`.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self._calls = path.with_suffix(".calls.jsonl")
        self.predictions = path.with_suffix(".predictions.jsonl")
        """The file of observations."""
        path.parent.mkdir(parents=True, exist_ok=True)

    # What a test does.

    def inject(self, *faults: Fault) -> None:
        """Let things go wrong, from the next matching call on."""
        with self.section() as state:
            state.faults += [{"fault": fault_to_json(fault), "seen": 0, "used": 0} for fault in faults]

    def clear_faults(self) -> None:
        """No more faults; what they have done already stays, calls that hang go on hanging."""
        with self.section() as state:
            state.faults = []

    def release(self) -> None:
        """Let all calls go on that hang just now."""
        with self.section() as state:
            state.released += 1

    def unstick(self, endpoint: str) -> None:
        """Let what is stuck come to its end now; of a config document: `config:models`."""
        document = document_of(endpoint)
        with self.section() as state:
            if document is not None:
                moving = _document(state, document).under_way
                if moving is not None and moving.due is None:
                    moving.due = self.clock.elapsed()
                return
            for pending in require(state, endpoint).pending:
                pending.due = self.clock.elapsed() if pending.due is None else pending.due

    def behave(self, version: ModelVersion | str, behaviour: Behaviour) -> None:
        """Say how a version (or a digest) answers; without it, a version answers well."""
        digest = version if isinstance(version, str) else version.artifact.digest
        with self.section() as state:
            state.behaviours[digest] = behaviour_to_json(behaviour)

    def change_outside(
        self,
        endpoint: str,
        *,
        traffic: Traffic | None = None,
        add: Sequence[Variant] = (),
        remove: Sequence[str] = (),
        fail: Mapping[str, str] | None = None,
        delete: bool = False,
    ) -> None:
        """Change an endpoint as somebody else would, at once and without a fence: new traffic, variants added (or replaced, by the same
        name) and removed, variants that die of a reason, or the whole endpoint gone.
        """
        with self.section() as state:
            record = state.endpoints.setdefault(endpoint, EndpointRecord(endpoint))
            since = self.moment().at(self.clock.elapsed())
            for variant in add:
                record.variants[variant.name] = fresh(variant, since, [])
                change(record.variants[variant.name], VariantState.READY, since)
            if traffic is not None:
                record.traffic = traffic_to_json(traffic)
            for name in remove:
                drop(record, name)
            for name, reason in (fail or {}).items():
                change(record.variants[name], VariantState.FAILED, since, reason)
            if delete:
                del state.endpoints[endpoint]

    def publish_outside(self, document: str, body: bytes, *, share: int = WHOLE) -> int:
        """Add a version and publish it as somebody else would, at once and without a fence; its number. The others go on reading what was
        published to all."""
        with self.section() as state:
            record = state.documents.setdefault(document, DocumentRecord(document))
            number, digest, old = record.latest + 1, digest_of(body), record.published
            record.add(number, body, digest, self.clock.now().isoformat(), "")
            record.count += 1
            record.published = Published(number, digest)
            if share != WHOLE and old is not None:
                record.published = Published(number, digest, share, old.version, old.digest)
            return number

    def damage(self, document: str, number: int) -> None:
        """Let a version of a document have other bytes than were added."""
        with self.section() as state:
            _document(state, document).versions[str(number)].body = ""

    def document(self, name: str) -> DocumentReport:
        """The document as it really is, whatever faults say."""
        with self.section() as state:
            return report_of(state.documents.get(name), name)

    def skew(self, endpoint: str, split: Split | None) -> None:
        """Really split requests otherwise than what is reported (trap 15); None: as reported again."""
        with self.section() as state:
            require(state, endpoint).skew = dict(split) if split is not None else None

    def credentials_end(self, at: datetime | None) -> None:
        """Let the credentials of all callers end at a moment, from which on every call is `AuthFailed`; None: they don't end."""
        with self.section() as state:
            state.credentials_until = None if at is None else at.isoformat()

    def write_log(self, endpoint: str, variant: str, *lines: str) -> None:
        """Let a variant write foreign text into its log."""
        with self.section() as state:
            require(state, endpoint, variant).variants[variant].log += lines

    def serve(self, endpoint: str, load: Load | int) -> tuple[Observation, ...]:
        """Let consumers send many requests (or just so many), answered by the routing in effect; what was written down about them.

        Raises:
            NotFound: no such endpoint, or no such variant where the load is pinned.
        """
        load = Load(load) if isinstance(load, int) else load
        with self.section() as state:
            record = require(state, endpoint, load.variant)
            asked = requests_of(load, records.size(self.predictions), self.clock.now())
            seen = tuple(observation for request in asked for observation in answered(state, record, request))
            records.append(self.predictions, seen)
        return seen

    def live(self, endpoint: str) -> Live:
        """The endpoint as it really is, traffic and all, whatever faults say."""
        with self.section() as state:
            return live_of(state.endpoints.get(endpoint), endpoint)

    def observations(self) -> tuple[Observation, ...]:
        """Everything that was written down."""
        return records.all_of(self.predictions)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every call of every process, in order; `steps` and `limits` call nothing."""
        calls: dict[int, Call] = {}
        for line in self._calls.read_text().splitlines() if self._calls.exists() else []:
            body = json.loads(line)
            if "name" in body:
                calls[body["number"]] = Call(**body)
            else:
                calls[body["number"]] = replace(calls[body["number"]], outcome=body["outcome"])
        return tuple(calls.values())

    def started(self, endpoint: str | None = None) -> tuple[str, ...]:
        """The actions of all starts, in order: what was asked of the backend to change."""
        starts = [call for call in self.calls if call.name.endswith(".start")]
        return tuple(call.action for call in starts if endpoint in (None, call.endpoint))

    # What the roles do.

    def moment(self) -> Moment:
        """Now, on both clocks."""
        return Moment(self.clock.elapsed(), self.clock.now())

    @contextmanager
    def section(self) -> Iterator[State]:
        """The critical section: the state as it is now, written back after it, also when an error of ours ends it (a fence stays seen)."""
        descriptor = os.open(self.path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            # Each opening has a lock of its own, so this holds threads of one process apart, too.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            before = self.path.read_text() if self.path.exists() else ""
            state = state_from_json(json.loads(before)) if before else State()
            advance(state, self.moment())
            try:
                yield state
            except MLConsoleError:
                self._write(state, before)
                raise
            self._write(state, before)
        finally:
            os.close(descriptor)

    @contextmanager
    def call(
        self, name: str, endpoint: str = "", *, action: str = "", variants: Sequence[str] = (), fence: int | None = None
    ) -> Iterator[tuple[Fault, ...]]:
        """A call's frame: it is written down and meets its faults; inside, the caller does the effect, as the faults given say."""
        with self.section() as state:
            epoch = state.released
            faults = _due(state, name, action, endpoint, variants)
            number = records.size(self._calls)  # its place in the file: nothing of the world changes by being looked at
            call = Call(number, name, endpoint, action, fence, os.getpid(), self.clock.elapsed())
            self._note({key: value for key, value in asdict(call).items() if key != "outcome"})
            until = state.credentials_until
        try:
            if until is not None and self.clock.now() >= datetime.fromisoformat(until):
                raise AuthFailed(f"The token expired at {until}.")
            self._meet(faults, When.BEFORE, epoch)
            yield faults
            self._meet(faults, When.AFTER, epoch)
        except MLConsoleError as error:
            self._note({"number": number, "outcome": error.code})
            raise
        self._note({"number": number, "outcome": "ok"})

    def ask(self, endpoint: str, asked: Invocation, variant: str | None, *, probe: bool) -> tuple[Observation, ...]:
        """One request, answered and written down.

        Raises:
            NotFound: no such endpoint or variant.
            Unavailable: the endpoint splits nothing, or the variant that was named is not ready.
        """
        with self.section() as state:
            record = require(state, endpoint, variant)
            if variant is None and record.traffic is None:
                raise Unavailable(f"{endpoint} has no traffic: nobody answers.")
            if variant is not None and record.variants[variant].state != VariantState.READY:
                raise Unavailable(f"{variant} is {record.variants[variant].state}: nobody answers.")
            number = records.size(self.predictions)
            chance = random.Random(f"request {number}")
            request = Request(
                f"r{number:010d}",
                self.clock.now(),
                asked.inputs,
                asked.slices,
                chance.random(),
                chance.random(),
                variant,
                probe,
            )
            seen = answered(state, record, request)
            records.append(self.predictions, seen)
        return seen

    def _meet(self, faults: Sequence[Fault], when: When, epoch: int) -> None:
        for fault in faults:
            if when is When.BEFORE and (error := fault.error()) is not None:
                raise error
            if when is When.AFTER and fault.kind is FaultKind.TIMEOUT_AFTER_EFFECT:
                raise Unavailable(fault.reason or "No answer.")
            if fault.when is when and fault.kind is FaultKind.CRASH:
                os.kill(os.getpid(), signal.SIGKILL)
                threading.Event().wait()  # the signal may reach another thread first: nothing may happen meanwhile
            if fault.when is when and fault.kind is FaultKind.HANG:
                self._hang(epoch, fault.seconds or _LONGEST_HANG)

    def _hang(self, epoch: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with self.section() as state:
                if state.released != epoch:
                    return
            time.sleep(0.01)

    def _write(self, state: State, before: str) -> None:
        text = json.dumps(asdict(state))
        if text == before:
            return
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self.path)  # whoever is killed here leaves the old world or the new one

    def _note(self, body: Mapping[str, Json]) -> None:
        with self._calls.open("a") as file:
            file.write(json.dumps(body) + "\n")  # one write, in append mode: lines of two processes don't mix


def _document(state: State, name: str) -> DocumentRecord:
    record = state.documents.get(name)
    if record is None:
        raise NotFound(f'There is no config document "{name}" here.')
    return record


def _due(state: State, name: str, action: str, endpoint: str, variants: Sequence[str]) -> tuple[Fault, ...]:
    found = []
    for entry in state.faults:
        fault = fault_from_json(entry["fault"])
        if not fault.matches(name, action, endpoint, variants):
            continue
        entry["seen"] += 1
        if entry["seen"] > fault.after and (fault.times is None or entry["used"] < fault.times):
            entry["used"] += 1
            found.append(fault)
    return tuple(found)
