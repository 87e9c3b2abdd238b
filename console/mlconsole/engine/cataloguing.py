"""The catalog beside our registry: what is there and which of it is registered here, taking a version over, and what the catalog says of
whether it may be used.

A version that was imported knows its place there (`ModelVersion.origin`). What the catalog does not know of it is *unknown*, and stays so;
only what nobody could serve or judge it without has to be said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from mlconsole.core.models import UNKNOWN, Artifact, Data, Metrics, ModelVersion, Signature, check_name, check_version, parse_version_name
from mlconsole.core.text import did_you_mean, nearest, neutralise
from mlconsole.engine.access import Deed
from mlconsole.plugin.cataloguing import Approval, Catalog, CatalogEntry, CatalogModel, CatalogVersion
from mlconsole.plugin.errors import BackendError, InvalidFile, InvalidRequest, MLConsoleError, NotFound, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session
    from mlconsole.workspace.metadata import Metadata

T = TypeVar("T")

GATE = "catalog"

_ANSWERS = 30.0
"""Seconds for a description with everything beside it."""
_READS = 900.0
"""Seconds for reading an artifact wholly."""
_SOON = 5.0
"""Seconds that a plan waits to hear what the catalog says."""


@dataclass(frozen=True)
class CatalogLine:
    """A version of the catalog, and what it is here."""

    version: CatalogVersion
    registered: ModelVersion | None = None


@dataclass(frozen=True)
class Standing:
    """What the catalog says of a registered version; `problem` is why that can't be told. Neither: it came from no catalog."""

    id: str = ""
    approval: Approval = Approval.UNKNOWN
    note: str = ""
    problem: str = ""

    @property
    def told(self) -> str:
        """`rejected (ola: leaks the label)`."""
        if self.problem:
            return f"not known: {self.problem}"
        return f"{self.approval} ({self.note})" if self.note else str(self.approval)


@dataclass(frozen=True)
class Imported:
    """A version as it was, or would be, registered; whether it is new; what to know of it."""

    version: ModelVersion
    new: bool
    approval: Approval
    notes: tuple[str, ...] = ()


def catalog_of(session: Session) -> Catalog:
    """The environment's catalog.

    Raises:
        UsageError: it has none.
    """
    role: Catalog | None = session.backend.role("catalog")
    if role is None:
        raise UsageError(f"Environment {session.environment.name} has no catalog.", next="Bind a role in mlconsole.yaml: `catalog: aws`.")
    return role


def models(session: Session) -> Sequence[CatalogModel]:
    """The models of the catalog, by name."""
    return ask(session, "listing the catalog's models", catalog_of(session).models)


def versions(session: Session, model: str, limit: int = 50) -> list[CatalogLine]:
    """The newest versions of a model in the catalog, and which of them are registered here.

    Raises:
        UnknownName: the catalog has no such model.
    """
    catalog = catalog_of(session)
    found = ask(session, f"listing the catalog's versions of {neutralise(model)}", lambda: catalog.versions(model, limit))
    if not found:
        known = [one.name for one in models(session)]
        if model not in known:
            raise UnknownName(
                f'The catalog has no model "{neutralise(model)}". {did_you_mean(model, known)}', next="mlconsole models catalog"
            )
    ours = {one.origin: one for one in session.registry.versions() if one.origin}
    return [CatalogLine(one, ours.get(one.id)) for one in found]


def entry(session: Session, name: str) -> CatalogEntry:
    """Everything that the catalog knows of a version: `MODEL@VERSION`, or its id there.

    Raises:
        UnknownName: there is none; with the nearest names.
    """
    catalog = catalog_of(session)
    try:
        return ask(session, f"reading {neutralise(name)} in the catalog", lambda: catalog.entry(_id(session, name)), deadline=_ANSWERS)
    except (NotFound, InvalidRequest) as error:
        raise UnknownName(f'The catalog has no version "{neutralise(name)}": {error.message}', next="mlconsole models catalog") from error


def import_version(
    session: Session,
    name: str,
    metadata: Path | None = None,
    *,
    like: ModelVersion | None = None,
    as_version: str | None = None,
    only_look: bool = False,
) -> Imported:
    """Register a version that the catalog has: `MODEL@VERSION`, or its id there. `only_look` keeps nothing.

    What the catalog does not say is read from `metadata`, else from a metadata file beside the artifact; what it takes and gives may be
    said to be as of `like`, a version that is registered already.

    Raises:
        UnknownName: there is none.
        UsageError: what nobody could serve it without is not known.
        AlreadyExists: the same version is registered with other bytes.
    """
    session.access.require(Deed.LOOK if only_look else Deed.REGISTER)
    found = entry(session, name)
    there = found.version
    check_name("a model", there.model)
    version = check_version(as_version or there.version)
    if not there.usable:
        raise UsageError(f"{there.name} is not whole in the catalog: it is still being made, or that failed. Nothing was registered.")
    told = _metadata(found, metadata)
    signature = (told.signature if told is not None else None) or (like.signature if like is not None else None)
    if signature is None:
        raise UsageError(
            f"The catalog does not say what {there.name} takes and gives (its signature). Nothing was registered.",
            next=f"As another version: mlconsole models import {there.name} --like VERSION. "
            "Or write it down (mlconsole models register --template), and name that: --metadata FILE",
        )
    session.tell("note", f"reading {neutralise(found.location) or 'its artifact'}, for its digest")
    catalog = catalog_of(session)
    artifact = ask(session, f"reading the artifact of {there.name}", lambda: catalog.measured(found), deadline=_READS)
    artifact = replace(artifact, location=neutralise(artifact.location))
    made = _version(session, found, told, version, artifact, signature, like)
    notes = (*_unknown(made), *found.notes)
    new = session.registry.version(made.model, version) is None if only_look else session.registry.add_version(made)
    return Imported(made, new, there.approval, notes)


def standing(session: Session, version: ModelVersion) -> Standing:
    """What the catalog says of a registered version now; asks it once, and not for long."""
    if not version.origin:
        return Standing()
    try:
        catalog = catalog_of(session)
        what = f"asking what the catalog says of {version.name}"
        approval, note = session.backend.asked(what, lambda: catalog.approval(version.origin), deadline=_SOON)
    except MLConsoleError as error:
        return Standing(version.origin, problem=neutralise(error.message))
    return Standing(version.origin, approval, neutralise(note))


def weigh(session: Session, version: ModelVersion) -> tuple[tuple[str, ...], str]:
    """What a plan tells of what the catalog says of a version, and why it must not go there: a rejected one, into production."""
    if not version.origin or "catalog" not in session.environment.roles:
        return (), ""
    found = standing(session, version)
    if found.problem:
        return (f"what the catalog says of {version.name} is {found.told}",), ""
    if found.approval is Approval.REJECTED:
        text = f"the catalog says {found.told} of {version.name}"
        return ((text,), "") if not session.environment.production else ((), text)
    if found.approval is Approval.PENDING and session.environment.production:
        return (f"the catalog says {found.told} of {version.name}: nobody has approved it there",), ""
    return (), ""


def _id(session: Session, name: str) -> str:
    """The catalog's id of a name; what is no MODEL@VERSION is one already."""
    if name.startswith("arn:") or "@" not in name:
        return name
    model, version = parse_version_name(name)
    lines = versions(session, model)
    found = next((line.version.id for line in lines if line.version.version == version), None)
    if found is None:
        known = [line.version.version for line in lines]
        newest = f"Its newest: {', '.join(known[:6])}." if known else "It has none."
        meant = did_you_mean(version, known) if nearest(version, known) else newest
        raise UnknownName(
            f'The catalog has no version "{neutralise(version)}" of {model}. {meant}', next=f"mlconsole models catalog {model}"
        )
    return found


def _metadata(found: CatalogEntry, file: Path | None) -> Metadata | None:
    """What a person wrote down: in the file that is named, else in the one beside the artifact; None where there is none."""
    from mlconsole.workspace.metadata import METADATA_FILE, read_metadata

    if file is not None:
        return read_metadata(file)
    if not found.metadata:
        return None
    with TemporaryDirectory(prefix="mlconsole-") as folder:
        place = Path(folder) / METADATA_FILE
        place.write_text(found.metadata, encoding="utf-8")
        try:
            return read_metadata(place)
        except InvalidFile as error:
            beside = f"{found.location.rpartition('/')[0]}/{METADATA_FILE}"
            text = error.message.replace(str(place), neutralise(beside))
            raise InvalidFile(text, next="Correct it there, or name another one: --metadata FILE.") from error


def _version(
    session: Session,
    found: CatalogEntry,
    told: Metadata | None,
    version: str,
    artifact: Artifact,
    signature: Signature,
    like: ModelVersion | None,
) -> ModelVersion:
    """What file and catalog say together; the file goes before, and what neither says is unknown."""
    facts, there = found.facts, found.version
    reference = (told and told.data_reference) or facts.get("data.reference") or ", ".join(found.data)
    cutoff = (told and told.data_cutoff) or facts.get("data.cutoff")
    figures = (told and told.metric_values) or found.metrics
    preprocessing = (told and told.preprocessing) or facts.get("preprocessing") or (like and like.preprocessing)
    return ModelVersion(
        model=there.model,
        version=version,
        artifact=artifact,
        signature=signature,
        owner=(told and told.owner) or facts.get("owner") or UNKNOWN,
        data=Data(reference or UNKNOWN, cutoff or UNKNOWN),
        metrics=Metrics((told and told.evaluation_set) or facts.get("evaluation_set") or UNKNOWN, figures),
        parameters=told.parameters if told is not None and told.parameters is not None else found.parameters,
        baseline=(told and told.baseline) or {},
        preprocessing=preprocessing or UNKNOWN,
        registered_at=session.clock.now(),
        registered_by=session.actor,
        code=(told and told.code) or found.code,
        dependencies=told.dependencies if told is not None else (),
        description=(told and told.description) or facts.get("description") or there.description,
        works_with=told.works_with if told is not None else like.works_with if like is not None else {},
        origin=there.id,
    )


def _unknown(version: ModelVersion) -> tuple[str, ...]:
    """What is not known of it, in one line; empty: everything is."""
    values = {
        "owner": version.owner,
        "training data": version.data.reference,
        "data cut-off": version.data.cutoff,
        "evaluation set": version.metrics.evaluation_set,
        "preprocessing": version.preprocessing,
        "commit": version.code.commit or UNKNOWN,
        "metrics": "known" if version.metrics.values else UNKNOWN,
        "baseline": "known" if version.baseline else UNKNOWN,
        "dependencies": "known" if version.dependencies else UNKNOWN,
    }
    missing = [what for what, value in values.items() if value == UNKNOWN]
    return (f"unknown, and stays so: {', '.join(missing)}",) if missing else ()


def ask(session: Session, what: str, call: Callable[[], T], *, deadline: float = 10.0) -> T:
    """A reading call of the catalog, its errors made harmless."""
    try:
        return session.backend.asked(what, call, deadline=deadline)
    except BackendError as error:
        error.message = neutralise(error.message)
        raise
