"""The config role that the simulator plays: versions, and publications that take their time."""

from __future__ import annotations

from collections.abc import Sequence

from mlconsole.core.documents import WHOLE, Document, LiveDocument, config_target, digest_of
from mlconsole.core.live import document_differences
from mlconsole.core.steps import Phase, Step
from mlconsole.core.text import is_name
from mlconsole.core.traffic import percent
from mlconsole.plugin.errors import Conflict, InvalidRequest, NotFound, Refused, Unavailable
from mlconsole.plugin.roles import ConfigLimits, DocumentReport, Order, StoredVersion
from mlconsole.plugin.simulator.documents import (
    DocumentRecord,
    Publication,
    Published,
    report_from_json,
    report_of,
    report_to_json,
    stored,
)
from mlconsole.plugin.simulator.effects import check_fence
from mlconsole.plugin.simulator.faults import Fault, FaultKind
from mlconsole.plugin.simulator.settings import Settings
from mlconsole.plugin.simulator.state import Moment, State
from mlconsole.plugin.simulator.world import World

PUBLISH = "publish"


class SimulatedConfigStore:
    """The config role. In `World.calls` and in faults a document is called as its releases are: `config:models`."""

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.settings = settings

    def limits(self) -> ConfigLimits:
        """What it can do."""
        return self.settings.config_limits

    def list(self) -> Sequence[str]:
        """The names of all documents."""
        with self.world.call("config.list") as faults, self.world.section() as state:
            return () if any(fault.kind is FaultKind.EMPTY for fault in faults) else tuple(sorted(state.documents))

    def scope(self, document: str) -> str:
        """What is locked while the document changes."""
        return self.settings.scope_of(config_target(document))

    def report(self, document: str) -> DocumentReport:
        """What is published; right after a start perhaps still what was."""
        with self.world.call("config.report", config_target(document)) as faults, self.world.section() as state:
            record = state.documents.get(document)
            if record is not None and record.earlier is not None:
                late = any(fault.kind is FaultKind.LATE_READ for fault in faults)
                if late or self.world.clock.elapsed() < record.late_until:
                    return report_from_json(record.earlier)
            return report_of(record, document)

    def versions(self, document: str, limit: int = 100) -> Sequence[StoredVersion]:
        """The newest versions."""
        with self.world.call("config.versions", config_target(document)), self.world.section() as state:
            record = state.documents.get(document) or DocumentRecord(document)
            newest = sorted(map(int, record.versions), reverse=True)
            return tuple(stored(record, number) for number in newest[: max(0, limit)])

    def read(self, document: str, number: int) -> bytes:
        """The bytes of a version."""
        with self.world.call("config.read", config_target(document)), self.world.section() as state:
            record = state.documents.get(document)
            body = None if record is None else record.body(number)
            if record is None or body is None:
                raise NotFound(f"There is no version {number} of config {document} here.")
            if digest_of(body) != record.versions[str(number)].digest:
                raise Unavailable(f"Version {number} of config {document} is damaged.")
            return body

    def steps(self, live: LiveDocument, target: Document) -> Sequence[Step]:
        """One step at most."""
        check_document(self.settings, target)
        if not document_differences(live, target):
            return ()
        seconds = self.settings.config_seconds
        summary = f"publish {target.name} {target.version} to {percent(target.share)} % of the clients"
        deadline = max(60.0, 5 * seconds)
        return (Step("config", PUBLISH, summary, Phase.SHIFT, document=target, seconds=seconds, deadline=deadline),)

    def start(self, document: str, step: Step, order: Order) -> None:
        """Add the version where it is not there yet, and begin to publish it."""
        if step.document is None or step.document.name != document:
            raise InvalidRequest(f"A step that publishes something else was given for config {document}.")
        check_document(self.settings, step.document)
        target = config_target(document)
        with (
            self.world.call("config.start", target, action=step.action, fence=order.fence) as faults,
            self.world.section() as state,
        ):
            check_fence(state, self.scope(document), order.fence)
            publish(state, self.settings, step.document, order, faults, self.world.moment())


def check_document(settings: Settings, target: Document) -> None:
    """Refuse what this store can't express.

    Raises:
        Refused: it can't.
    """
    if not is_name(target.name):
        raise Refused(f"{target.name!r} can't name a config document here.")
    if target.version < 1:
        raise Refused(f"Versions are numbered from 1, not from {target.version}.")
    if not 0 <= target.share <= WHOLE or target.share % settings.config_granularity:
        raise Refused(
            f"{percent(target.share)} % can't be expressed here: shares are multiples of {percent(settings.config_granularity)} %."
        )
    if target.share < WHOLE and not settings.config_growth:
        raise Refused("This store publishes to all clients at once.")
    if target.share < WHOLE and (target.before is None or target.before == target.version):
        raise Refused("The other clients would have nothing to read.", next="Publish the first version to all of them.")


def publish(state: State, settings: Settings, wanted: Document, order: Order, faults: Sequence[Fault], moment: Moment) -> None:
    """Take an order: add what is not there, and note what is published when; or nothing where it is so already, or under way.

    Raises:
        Conflict: another publication of the scope is under way, or the number has other bytes, or is not the next one.
        Refused: the bytes were not given, or are none that could be published; or the others would have nothing to read.
    """
    record = state.documents.get(wanted.name) or DocumentRecord(wanted.name)
    target = Published.of(wanted)
    if record.under_way is not None and record.under_way.wanted == target:
        return
    if record.under_way is None and not record.problem and record.published == target:
        return
    # What was published before may be asked for while another publication runs: that stops it, as AppConfig's StopDeployment does.
    stops = record.under_way is not None and record.published == target
    if not stops:
        _alone(state, settings, wanted.name)
    earlier = report_to_json(report_of(record, wanted.name))
    _check_before(record, wanted)
    _add(record, settings, wanted, order, moment)
    late = [fault.seconds for fault in faults if fault.kind is FaultKind.LATE_READ]
    record.earlier, record.late_until = earlier, moment.elapsed + max(late, default=0.0)
    record.problem = ""
    record.count += 1
    record.under_way = None if stops else _spoilt(Publication(target, moment.elapsed + settings.config_seconds), faults)
    state.documents[wanted.name] = record


def _alone(state: State, settings: Settings, document: str) -> None:
    scope = settings.scope_of(config_target(document))
    for other in state.documents.values():
        if other.under_way is not None and settings.scope_of(config_target(other.name)) == scope:
            raise Conflict(f"{other.name} is being published just now; one publication at a time is taken. Nothing was changed.")


def _check_before(record: DocumentRecord, wanted: Document) -> None:
    if wanted.share == WHOLE:
        return
    there = record.versions.get(str(wanted.before))
    if there is None or there.digest != wanted.before_digest:
        raise Refused(f"Version {wanted.before}, which the other clients would read, is not here with those bytes. Nothing was changed.")


def _add(record: DocumentRecord, settings: Settings, wanted: Document, order: Order, moment: Moment) -> None:
    there, latest = record.versions.get(str(wanted.version)), record.latest
    if there is not None and there.digest != wanted.digest:
        raise Conflict(f"Version {wanted.version} of {wanted.name} is there already, with other bytes. Nothing was changed.")
    if there is not None and digest_of(record.body(wanted.version) or b"") == wanted.digest:
        return
    if there is None and wanted.version != latest + 1:
        raise Conflict(f"The next version of {wanted.name} is {latest + 1}, not {wanted.version}. Nothing was changed.")
    body = order.documents.get(wanted.digest)
    if body is None or digest_of(body) != wanted.digest:
        raise Refused(f"Version {wanted.version} of {wanted.name} came without its bytes. Nothing was changed.")
    if not 0 < len(body) <= settings.config_bytes:
        raise Refused(f"A document of {len(body)} bytes is not taken: 1 to {settings.config_bytes} are. Nothing was changed.")
    record.add(wanted.version, body, wanted.digest, moment.wall.isoformat(), order.release)


def _spoilt(publication: Publication, faults: Sequence[Fault]) -> Publication:
    for fault in faults:
        match fault.kind:
            case FaultKind.STUCK:
                publication.due = None
            case FaultKind.SILENT_ROLLBACK:
                publication.rolls_back = True
            case FaultKind.WRONG_BYTES:
                publication.wrong_bytes = True
            case FaultKind.FAIL_VARIANT:
                publication.fails = fault.reason or "ROLLED_BACK: an alarm of the environment"
            case _:
                pass
    return publication
