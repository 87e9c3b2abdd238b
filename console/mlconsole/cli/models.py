"""`models list|show|compare|register`; what the catalog has is in `cli.cataloguing`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli import cataloguing
from mlconsole.cli.changes import time_json
from mlconsole.cli.common import Run, columns, command
from mlconsole.cli.completion import complete_model, complete_version
from mlconsole.core.models import UNKNOWN, parse_version_name
from mlconsole.plugin.errors import UsageError

if TYPE_CHECKING:
    from mlconsole.core.models import ModelVersion

app = typer.Typer(help="Models and their immutable versions.", no_args_is_help=True)

_Version = Annotated[str, typer.Argument(metavar="MODEL@VERSION", autocompletion=complete_version)]


@command(app, "list")
def list_models(
    run: Run, model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Else all.", autocompletion=complete_model)] = None
) -> None:
    """Registered versions, and where each runs."""
    from mlconsole.engine.models import listed

    lines = listed(run.session, model)
    if run.json:
        run.emit(
            {"versions": [{**version_json(line.version), "runs_in": {env: bp / 100 for env, bp in line.runs_in.items()}} for line in lines]}
        )
        return
    if not lines:
        run.say("No version is registered yet. mlconsole models register MODEL@VERSION PATH")
        return
    rows = [["VERSION", "RUNS IN", "METRICS", "SIZE", "COMMIT", "DESCRIPTION"]]
    for line in lines:
        version = line.version
        runs = ", ".join(f"{env} {bp / 100:g} %" for env, bp in line.runs_in.items()) or "–"
        headline = next((f"{name} {value:.3f}" for name, value in version.metrics.values.items()), "–")
        rows.append([version.name, runs, headline, _size(version.artifact.size), _commit(version), version.description])
    for text in columns(rows, frozenset({3}), wide=5, cut=True):
        run.say(text)


@command(app)
def show(run: Run, version: _Version) -> None:
    """One version: origin, promise, quality."""
    from mlconsole.engine.planning import find_version

    found = find_version(run.session, *parse_version_name(version))
    catalog = cataloguing.standing_told(run, found)
    if run.json:
        run.emit({"version": {**version_json(found), "catalog": cataloguing.standing_json(catalog)}})
        return
    signature = found.signature
    slices = "; ".join(f"{one.key} from {one.path}: {', '.join(one.values)}" for one in signature.slices)
    rows = [
        ["version", found.name],
        ["description", found.description or "–"],
        ["owner", found.owner],
        ["artifact", f"{found.artifact.location} ({_size(found.artifact.size)}, {found.artifact.files} files)"],
        ["digest", found.artifact.digest],
        ["code", _commit(found) + (" dirty" if found.code.dirty else " clean" if found.code.dirty is False else "")],
        ["data", f"{found.data.reference}, until {found.data.cutoff}"],
        ["preprocessing", found.preprocessing],
        ["takes", ", ".join(f"{one.name} {one.datatype}" for one in signature.inputs) or UNKNOWN],
        ["gives", ", ".join(f"{one.name} {one.datatype}" for one in signature.outputs) or UNKNOWN],
        ["slices", slices or "none"],
        ["metrics", ", ".join(f"{name} {value:.4g}" for name, value in found.metrics.values.items()) or "none"],
        ["evaluated on", found.metrics.evaluation_set],
        ["parameters", ", ".join(f"{name} {value}" for name, value in found.parameters.items()) or "none"],
        [
            "dependencies",
            (", ".join(found.dependencies[:8]) or UNKNOWN)
            + (f", and {len(found.dependencies) - 8} more" if len(found.dependencies) > 8 else ""),
        ],
        ["registered", f"{found.registered_at:%Y-%m-%d %H:%M} UTC by {found.registered_by}"],
        *([["catalog", f"{catalog.told} · {found.origin}"]] if catalog is not None else []),
    ]
    for text in columns(rows, wide=1):
        run.say(text)


@command(app)
def compare(run: Run, one: _Version, other: _Version) -> None:
    """Two versions side by side.

    Figures compare only where both were measured on the same set.
    """
    from mlconsole.engine.models import compare as beside
    from mlconsole.engine.planning import find_version

    found = beside(find_version(run.session, *parse_version_name(one)), find_version(run.session, *parse_version_name(other)))
    if run.json:
        run.emit(
            {
                "one": version_json(found.one),
                "other": version_json(found.other),
                "why_not": found.why_not or None,
                "metrics": [{"name": m.name, "one": m.one, "other": m.other, "difference": m.difference} for m in found.metrics],
                "parameters": [{"name": name, "one": a, "other": b} for name, a, b in found.parameters],
                "dependencies": [{"name": name, "one": a, "other": b} for name, a, b in found.dependencies],
            }
        )
        return
    rows = [["", found.one.name, found.other.name, ""]]
    for metric in found.metrics:
        change = "" if metric.difference is None else f"{metric.difference:+.4f}"
        rows.append([metric.name, _figure(metric.one), _figure(metric.other), change])
    rows += [[f"parameter {name}", a, b, ""] for name, a, b in found.parameters]
    rows += [[f"dependency {name}", a, b, ""] for name, a, b in found.dependencies]
    for text in columns(rows, frozenset({1, 2, 3})):
        run.say(text)
    if found.why_not:
        run.say(f"▲ {found.why_not}")


@command(app, changing=True)
def register(
    run: Run,
    version: Annotated[str | None, typer.Argument(metavar="MODEL@VERSION", help="Else what the metadata file says.")] = None,
    path: Annotated[str | None, typer.Argument(metavar="PATH", help="The artifact: a file or a folder.")] = None,
    metadata: Annotated[str | None, typer.Option("--metadata", metavar="FILE", help="Else model.yaml beside the artifact.")] = None,
    template: Annotated[bool, typer.Option("--template", help="Print a metadata file to fill in.")] = False,
) -> None:
    """Register a version: its bytes and their origin.

    Other bytes under the same version are refused; what is missing in the metadata is listed.
    """
    if template:
        from mlconsole.workspace.metadata import template as blank

        print(blank())
        return
    name, place = _named(version, path, metadata)
    from mlconsole.engine.models import register as keep

    added, new = keep(run.session, *name, place, Path(metadata) if metadata else None, only_look=run.shared.dry_run)
    if run.json:
        run.emit({"version": version_json(added), "new": new})
    if run.shared.dry_run:
        run.say(f"Nothing has happened. It would be {added.name}: {added.artifact.digest[:19]}…, {_size(added.artifact.size)}.")
        return
    if new:
        run.say(f"✔ registered {added.name}: {added.artifact.digest[:19]}…, {_size(added.artifact.size)}, commit {_commit(added)}")
    else:
        run.say(f"Nothing to do: {added.name} is registered with these bytes already.")


def version_json(version: ModelVersion) -> dict[str, Any]:
    """A version for scripts."""
    signature = version.signature
    return {
        "model": version.model,
        "version": version.version,
        "digest": version.artifact.digest,
        "size": version.artifact.size,
        "location": version.artifact.location,
        "description": version.description,
        "owner": version.owner,
        "commit": version.code.commit,
        "dirty": version.code.dirty,
        "data": {"reference": version.data.reference, "cutoff": version.data.cutoff},
        "evaluation_set": version.metrics.evaluation_set,
        "metrics": dict(version.metrics.values),
        "parameters": dict(version.parameters),
        "dependencies": list(version.dependencies),
        "preprocessing": version.preprocessing,
        "signature": {
            "inputs": [{"name": one.name, "datatype": one.datatype, "required": one.required} for one in signature.inputs],
            "outputs": [{"name": one.name, "datatype": one.datatype} for one in signature.outputs],
            "score": signature.score,
            "threshold": signature.threshold,
            "slices": [{"key": one.key, "path": one.path, "values": list(one.values)} for one in signature.slices],
        },
        "baseline": dict(version.baseline),
        "registered_at": time_json(version.registered_at),
        "registered_by": str(version.registered_by),
        "origin": version.origin or None,
    }


cataloguing.add(app)


def _named(version: str | None, path: str | None, metadata: str | None) -> tuple[tuple[str, str], Path]:
    """The version's name and the artifact's path, of which the first may be left to the metadata file."""
    if version is not None and path is not None:
        return parse_version_name(version), Path(path)
    place = path or version
    if place is None:
        raise UsageError("Which artifact? Nothing was registered.", next="mlconsole models register MODEL@VERSION PATH")
    if version is not None and "@" in version and not Path(version).exists():
        raise UsageError(f"Where is the artifact of {version}? Nothing was registered.", next=f"mlconsole models register {version} PATH")
    from mlconsole.engine.models import metadata_beside
    from mlconsole.workspace.metadata import read_metadata

    told = read_metadata(Path(metadata) if metadata else metadata_beside(Path(place)))
    if told.model is None or told.version is None:
        raise UsageError("The metadata file names no model and version. Nothing was registered.", next="Add them, or write MODEL@VERSION.")
    return (told.model, told.version), Path(place)


def _size(count: int) -> str:
    if not count:
        return "size unknown"
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.0f} KB" if count < 1 << 20 else f"{count / (1 << 20):.1f} MB"


def _commit(version: ModelVersion) -> str:
    return version.code.commit[:7] if version.code.commit else "unknown"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
