"""What config documents are read with: their settings, their bytes, and what lint has to know of models, endpoints and history."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from mlconsole.core.configcase import PROBABILITY
from mlconsole.core.configdiff import touched
from mlconsole.core.configlint import Known, ModelFacts, lint
from mlconsole.core.documents import Format, Layout, LiveDocument, config_target, digest_of, touches
from mlconsole.core.entries import Entry, entries
from mlconsole.core.findings import Finding, worst_first
from mlconsole.core.releases import Standing
from mlconsole.core.text import did_you_mean, neutralise
from mlconsole.documents import Reading, check_schema, read, validate
from mlconsole.engine.validating import own_findings
from mlconsole.plugin.errors import BackendError, MLConsoleError, RegistryUnusable, UnknownName

if TYPE_CHECKING:
    from mlconsole.core.models import ModelVersion
    from mlconsole.engine.session import Session
    from mlconsole.workspace import ConfigSettings

_MOST_JUDGED = 16
_JUDGED: dict[tuple[object, ...], tuple[tuple[int, ConfigSettings], tuple[Finding, ...]]] = {}
"""What was judged last: bytes on what is live → as of which revision and settings, and what lint said."""

_VERSIONS = 30
"""Versions back whose values count as a value's history."""

_NUMBERS: dict[tuple[str, Format, Layout], tuple[tuple[str, float], ...]] = {}
"""The thresholds of versions that were read, by digest: bytes of a digest never change, and a console asks for them again and again."""

_MOST_NUMBERS = 2 * _VERSIONS


def settings(session: Session, name: str) -> ConfigSettings:
    """What mlconsole.yaml says of a document.

    Raises:
        UnknownName: it names none of that name; with the nearest ones.
    """
    configs = session.workspace.configs
    if name not in configs:
        text = f'There is no config document "{neutralise(name)}". {did_you_mean(name, configs)}'.rstrip()
        raise UnknownName(text, next="They stand under `configs:` in mlconsole.yaml: {file: config/models.json}.")
    return configs[name]


def bytes_at(session: Session, digest: str) -> bytes:
    """The bytes of that digest.

    Raises:
        RegistryUnusable: they are not kept here.
    """
    body = session.registry.bytes_of(digest)
    if body is None:
        raise RegistryUnusable(f"The bytes {digest[:19]}… of a config document are not in the registry.", next="Publish another version.")
    return body


def version_bytes(session: Session, name: str, number: int | None, digest: str) -> bytes:
    """The bytes of a version: kept here, or else as its store has them.

    Raises:
        RegistryUnusable: neither has these bytes.
    """
    body = session.registry.bytes_of(digest)
    if body is None and number is not None:
        body = session.backend.document_bytes(name, number)
    if body is None or digest_of(body) != digest:
        raise RegistryUnusable(
            f"The bytes of config {name} {number or ''} are neither in the registry nor, unchanged, in the store.",
            next=f"Publish another version: mlconsole config edit {name}",
        )
    return body


def live_bytes(session: Session, name: str, there: LiveDocument) -> bytes | None:
    """What is published, byte for byte; None: nothing is. Read from the store where the registry never kept it."""
    if there.version is None:
        return None
    return session.registry.bytes_of(there.digest) or session.backend.document_bytes(name, there.version)


def readable(session: Session, name: str, body: bytes) -> bool:
    """Whether anybody can read these bytes; those that nobody can are never published, whatever a person says."""
    return reading_of(session, name, body).value is not None


def reading_of(session: Session, name: str, body: bytes) -> Reading:
    """A document's bytes, read; the same bytes are read once, for a console that is open asks again and again."""
    return _read(body, settings(session, name).format)


@lru_cache(maxsize=8)
def _read(body: bytes, format_: Format) -> Reading:
    return read(body, format_)


def judged(session: Session, name: str, body: bytes, there: LiveDocument, reason: str = "") -> tuple[Finding, ...]:
    """Everything that lint says of bytes that would be published on what is live, worst first, with lines.

    The same bytes are judged again only when something was written into the registry since: a team's own checks take time.
    """
    key = (session.workspace.root, session.environment.name, name, digest_of(body), there.digest, reason)
    revision = session.registry.revision()
    kept = _JUDGED.get(key)
    if kept is None or kept[0] != (revision, settings(session, name)):
        while len(_JUDGED) >= _MOST_JUDGED:
            _JUDGED.pop(next(iter(_JUDGED)), None)
        kept = _JUDGED[key] = (revision, settings(session, name)), _judged(session, name, body, there, reason)
    return kept[1]


def _judged(session: Session, name: str, body: bytes, there: LiveDocument, reason: str) -> tuple[Finding, ...]:
    known = settings(session, name)
    reading = reading_of(session, name, body)
    found = list(reading.findings)
    if reading.value is None:
        return worst_first(found)
    before = live_bytes(session, name, there)
    parent = reading_of(session, name, before).value if before is not None else None
    found += _by_schema(known, reading)
    found += _by_the_store(session, name, reading)
    found += lint(reading.value, parent, known.layout, facts(session, name), reason=reason)
    for validator in known.validators:
        found += own_findings(session, validator, known, body, reading)
    return worst_first(_lined(one, reading) for one in found)


def facts(session: Session, name: str) -> Known:
    """What lint has to know: the signatures of what serves, which endpoints there are, and what each value was before."""
    workspace, registry = session.workspace, session.registry
    models, serving, variants = {}, {}, {}
    for model in sorted({*workspace.models, *registry.models()}):
        version = _serving_version(session, model)
        if version is not None:
            models[model] = _facts(version)
            serving[workspace.endpoint_for(model)] = models[model]
    for endpoint in workspace.endpoints:
        live = registry.live_release(session.environment.name, endpoint)
        if live is not None:
            variants[endpoint] = live.release.content.names
    endpoints: set[str] | None
    try:
        endpoints = {*session.backend.list(), *workspace.endpoints}
    except MLConsoleError:
        endpoints = None
    return Known(models, endpoints, _history(session, name), serving, variants)


def endpoints_touched(session: Session, name: str, pointers: tuple[str, ...], digest: str) -> tuple[str, ...]:
    """The endpoints whose entries a change touches; all of the document's where it changes something outside of them.

    Raises:
        RegistryUnusable: the bytes are not kept here.
    """
    known = settings(session, name)
    found = entries(reading_of(session, name, bytes_at(session, digest)).value, known.layout)
    inside = [entry for entry in found if touches(pointers, entry.pointer)]
    chosen = inside if inside and not _outside(pointers, found) else found
    return tuple(dict.fromkeys(session.workspace.endpoint_for(entry.model) for entry in chosen))


def _outside(pointers: Iterable[str], found: Sequence[Entry]) -> bool:
    """Whether a change touches something that is in none of the entries."""
    return any(not any(touches((one,), entry.pointer) for entry in found) for one in pointers)


def _facts(version: ModelVersion) -> ModelFacts:
    signature = version.signature
    return ModelFacts(
        inputs=tuple(one.name for one in signature.inputs),
        slices={one.key: one.values for one in signature.slices},
        score=PROBABILITY if signature.score else None,
        required=tuple(one.name for one in signature.inputs if one.required),
        model=version.model,
    )


def slices_touched(session: Session, name: str, body: bytes, there: LiveDocument) -> tuple[str, ...]:
    """The slices (or models without slices) whose entries a publication of these bytes changes, in document order."""
    known = settings(session, name)
    before = live_bytes(session, name, there)
    value = reading_of(session, name, body).value
    former = reading_of(session, name, before).value if before is not None else None
    if former is None:
        return ()
    pointers = touched(former, value)
    found: dict[str, None] = {}
    for entry in (*entries(former, known.layout), *entries(value, known.layout)):
        if touches(pointers, entry.pointer):
            found[entry.slice or entry.model] = None
    return () if _outside(pointers, entries(value, known.layout)) else tuple(found)


def _serving_version(session: Session, model: str) -> ModelVersion | None:
    """The version whose signature counts: the one with most of the traffic, else the newest that is registered."""
    live = session.registry.live_release(session.environment.name, session.workspace.endpoint_for(model))
    content = live.release.content if live is not None else None
    if content is not None and content.traffic is not None:
        split = content.traffic.split
        serving = max((one for one in content.variants if one.model == model), key=lambda one: split.get(one.name, 0), default=None)
        if serving is not None:
            return session.registry.version(model, serving.version)
    stored = session.registry.versions(model)
    return stored[-1] if stored else None


def _history(session: Session, name: str) -> dict[str, list[float]]:
    """Pointer → the numbers that stood there in the versions before, oldest first."""
    known = settings(session, name)
    found: dict[str, list[float]] = {}
    seen: set[str] = set()
    releases = session.registry.releases(session.environment.name, config_target(name), limit=_VERSIONS)
    for one in reversed(releases):
        document = one.release.content.document
        if document is None or document.digest in seen or one.standing is Standing.FAILED:
            continue
        seen.add(document.digest)
        key = (document.digest, known.format, known.layout)
        if key not in _NUMBERS:
            body = session.registry.bytes_of(document.digest)
            if body is None:
                continue
            while len(_NUMBERS) >= _MOST_NUMBERS:
                _NUMBERS.pop(next(iter(_NUMBERS)), None)
            value = read(body, known.format).value
            _NUMBERS[key] = tuple((one.pointer, one.threshold) for one in entries(value, known.layout) if one.threshold is not None)
        for pointer, threshold in _NUMBERS[key]:
            found.setdefault(pointer + known.layout.threshold, []).append(threshold)
    return found


def _by_schema(known: ConfigSettings, reading: Reading) -> tuple[Finding, ...]:
    if known.schema is None:
        return ()
    from mlconsole.core.findings import Severity

    try:
        schema = known.schema.read_bytes()
    except OSError as error:
        return (Finding(Severity.STOP, "schema", f"its schema {known.schema.name} can't be read: {error.strerror}"),)
    wrong = check_schema(schema)
    return wrong or validate(reading, schema)


def _by_the_store(session: Session, name: str, reading: Reading) -> tuple[Finding, ...]:
    """What the store's own schemas would refuse: it says so only when it is published, and without the place in our text."""
    from mlconsole.core.findings import Severity

    if not session.backend.keeps_documents:
        return ()
    found: list[Finding] = []
    try:
        for schema in session.backend.document_schemas(name):
            # A schema that can't be read here need not be wrong there: the store judges it then.
            wrong = [replace(one, severity=Severity.LOOK, text=f"of the store's own schema: {one.text}") for one in check_schema(schema)]
            found += wrong or [replace(one, text=f"{one.text} (the store's own schema)") for one in validate(reading, schema)]
    except BackendError as error:
        return (Finding(Severity.LOOK, "schema", f"the store can't be asked for its own schema: {neutralise(error.message)}"),)
    return tuple(found)


def _lined(finding: Finding, reading: Reading) -> Finding:
    if finding.line is not None or not finding.pointer:
        return finding
    place = reading.places.get(finding.pointer)
    return finding if place is None else replace(finding, line=place.line)
