"""Model versions: registering with everything captured by itself, listing, and comparing two."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata as distributions
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.live import short_digest
from mlconsole.core.models import UNKNOWN, Artifact, Code, ModelVersion, check_name, check_version
from mlconsole.core.text import did_you_mean
from mlconsole.engine.access import Deed
from mlconsole.plugin.artifacts import measure
from mlconsole.plugin.errors import InvalidFile, UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.session import Session


_REMEMBERED = 500
"""Releases that are looked through for where a version ran before."""


@dataclass(frozen=True)
class VersionLine:
    """A version with where it runs (environment → its share there in bp)."""

    version: ModelVersion
    runs_in: Mapping[str, int]
    ran: bool = False
    """It was in a release once."""


@dataclass(frozen=True)
class MetricLine:
    """One metric of two versions side by side; `comparable` only where both were measured on the same evaluation set."""

    name: str
    one: float | None
    other: float | None

    @property
    def difference(self) -> float | None:
        """Other minus one."""
        return None if self.one is None or self.other is None else self.other - self.one


@dataclass(frozen=True)
class Comparison:
    """Two versions of a model. `metrics` is empty and `why_not` says why, when their figures do not compare."""

    one: ModelVersion
    other: ModelVersion
    metrics: tuple[MetricLine, ...]
    why_not: str
    parameters: tuple[tuple[str, str, str], ...]
    """Name, in one, in other; those that differ."""
    dependencies: tuple[tuple[str, str, str], ...]


def register(
    session: Session, model: str, version: str, path: Path, metadata_file: Path | None = None, *, only_look: bool = False
) -> tuple[ModelVersion, bool]:
    """Register a version from an artifact (file or folder) and the metadata file beside it; True when it is new. `only_look` keeps nothing.

    Digest, size, git commit and dirty mark, dependencies, host and actor are captured; the rest is read from the metadata file.

    Raises:
        UsageError: incomplete (the message lists all that is missing), or `latest`.
        AlreadyExists: the same version with other bytes.
    """
    session.access.require(Deed.LOOK if only_look else Deed.REGISTER)
    from mlconsole.workspace.metadata import read_metadata

    check_name("a model", model)
    check_version(version)
    file = metadata_file or metadata_beside(path)
    told = read_metadata(file)
    for what, given, named in (("model", told.model, model), ("version", told.version, version)):
        if given is not None and given != named:
            raise UsageError(f'{file} says {what} "{given}", the command says "{named}". Nothing was registered.')
    if told.missing:
        raise UsageError(
            f"{model}@{version} is incomplete: {', '.join(told.missing)} missing in {file}. Nothing was registered.",
            next="mlconsole models register --template shows each with its form.",
        )
    artifact = path if path != file.parent or told.artifact is None else file.parent / told.artifact
    measured = measure(artifact)
    assert told.signature is not None
    assert told.data is not None
    assert told.metrics is not None
    registered = ModelVersion(
        model=model,
        version=version,
        artifact=Artifact(_location(session.workspace.root, artifact), measured.digest, measured.size, measured.files),
        signature=told.signature,
        owner=told.owner or "",
        data=told.data,
        metrics=told.metrics,
        parameters=told.parameters or {},
        baseline=told.baseline or {},
        preprocessing=told.preprocessing or "",
        registered_at=session.clock.now(),
        registered_by=session.actor,
        code=told.code or git_state(artifact),
        dependencies=told.dependencies or _beside_dependencies(artifact) or _installed(),
        description=told.description or "",
        works_with=told.works_with,
    )
    if only_look:
        return registered, session.registry.version(model, version) is None
    return registered, session.registry.add_version(registered)


def listed(session: Session, model: str | None = None, *, registered: Sequence[ModelVersion] | None = None) -> list[VersionLine]:
    """Registered versions with where each runs, newest last. `registered`: all of them, for who has read them already.

    Raises:
        UnknownName: no such model.
    """
    versions = session.registry.versions(model) if registered is None else registered
    if model is not None and not versions:
        known = {*session.registry.models(), *session.workspace.models}
        if model in known:
            raise UnknownName(f"No version of {model} is registered yet.", next=f"mlconsole models register {model}@VERSION PATH")
        raise UnknownName(f'There is no model "{model}". {did_you_mean(model, known)}', next="mlconsole models list shows them.")
    running: dict[tuple[str, str], dict[str, int]] = {}
    ran: set[tuple[str, str]] = set()
    for environment in session.workspace.environments:
        for row in session.registry.endpoints(environment):
            recorded = session.registry.live_release(environment, row.name)
            if recorded is None or recorded.release.content.traffic is None:
                continue
            for variant in recorded.release.content.variants:
                places = running.setdefault((variant.model, variant.version), {})
                places[environment] = max(places.get(environment, 0), recorded.release.content.traffic.share(variant.name))
        for recorded in session.registry.releases(environment, limit=_REMEMBERED):
            ran.update((variant.model, variant.version) for variant in recorded.release.content.variants)
    return [
        VersionLine(version, running.get((version.model, version.version), {}), (version.model, version.version) in ran)
        for version in versions
    ]


def compare(one: ModelVersion, other: ModelVersion) -> Comparison:
    """Two versions side by side. Figures compare only where they were measured on the same evaluation set."""
    sets = (one.metrics.evaluation_set, other.metrics.evaluation_set)
    same_set = sets[0] == sets[1] and UNKNOWN not in sets
    why_not = (
        ""
        if same_set
        else "what one of them was measured on is not known: the figures do not compare"
        if UNKNOWN in sets
        else f"measured on different evaluation sets ({short_digest(one.metrics.evaluation_set)}, "
        f"{short_digest(other.metrics.evaluation_set)}): the figures do not compare"
    )
    names = dict.fromkeys([*one.metrics.values, *other.metrics.values]) if same_set else {}
    return Comparison(
        one,
        other,
        tuple(MetricLine(name, one.metrics.values.get(name), other.metrics.values.get(name)) for name in names),
        why_not,
        _differing(_flat(one.parameters), _flat(other.parameters)),
        _differing(_pins(one.dependencies), _pins(other.dependencies)),
    )


def metadata_beside(path: Path) -> Path:
    """The metadata file of an artifact: `model.yaml` in its folder or beside it, or a `.yaml` of its own name.

    Raises:
        InvalidFile: there is none, or no artifact.
    """
    if not path.exists():
        raise InvalidFile(f"There is no artifact at {path}.", next="Check the path.")
    places = [path / "model.yaml", path.parent / "model.yaml", path.with_suffix(".yaml")]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise InvalidFile(
            f"There is no metadata file beside {path} (model.yaml).",
            next="mlconsole models register --template prints one to fill in; or name it with --metadata FILE.",
        )
    return found


def git_state(path: Path) -> Code:
    """The commit and dirty mark of the repository that holds `path`; unknown when there is none, or when it does not track the path."""
    folder = path if path.is_dir() else path.parent

    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=False, stdin=subprocess.DEVNULL
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None or git("check-ignore", "-q", str(path.resolve())) is not None:
        return Code()
    changed = git("status", "--porcelain", "--untracked-files=no")
    return Code(commit, None if changed is None else bool(changed), git("config", "--get", "remote.origin.url"))


def _location(root: Path, artifact: Path) -> str:
    resolved = artifact.resolve()
    return resolved.relative_to(root.resolve()).as_posix() if resolved.is_relative_to(root.resolve()) else str(resolved)


def _beside_dependencies(artifact: Path) -> tuple[str, ...]:
    file = (artifact if artifact.is_dir() else artifact.parent) / "requirements.txt"
    if not file.is_file():
        return ()
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
    return tuple(line for line in lines if line and not line.startswith("-"))


def _installed() -> tuple[str, ...]:
    """What is installed where this runs: the best that can be known when nothing says what the version was made with."""
    pins = {f"{found.metadata['Name']}=={found.version}" for found in distributions.distributions() if found.metadata["Name"]}
    return tuple(sorted(pins, key=str.lower))


def _flat(values: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _pins(dependencies: tuple[str, ...]) -> dict[str, str]:
    pairs = (pin.partition("==") for pin in dependencies)
    return {name: version or "any" for name, _, version in pairs}


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    names = dict.fromkeys([*one, *other])
    return tuple((name, one.get(name, "–"), other.get(name, "–")) for name in names if one.get(name) != other.get(name))
