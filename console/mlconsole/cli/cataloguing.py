"""`models catalog|import|approve|reject`: what the catalog beside our registry has, taking it over, saying whether it may be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.changes import time_json
from mlconsole.cli.common import Run, columns, command
from mlconsole.cli.completion import complete_model, complete_version
from mlconsole.core.models import parse_version_name

if TYPE_CHECKING:
    from mlconsole.core.models import ModelVersion
    from mlconsole.engine.cataloguing import CatalogLine, Standing
    from mlconsole.plugin.cataloguing import CatalogEntry

_Version = Annotated[str, typer.Argument(metavar="MODEL@VERSION", autocompletion=complete_version)]
_SIGNS = {"approved": "✔", "rejected": "✖", "pending": "~"}


def add(app: typer.Typer) -> None:
    """Add the commands."""

    @command(app)
    def catalog(
        run: Run,
        name: Annotated[
            str | None,
            typer.Argument(metavar="[MODEL|MODEL@VERSION|ID]", help="Else all models.", autocompletion=complete_model),
        ] = None,
        limit: Annotated[int, typer.Option("--limit", min=1, metavar="COUNT", help="So many versions, the newest.")] = 20,
    ) -> None:
        """What the catalog has of models and versions."""
        from mlconsole.engine import cataloguing

        if name is None:
            _models(run)
        elif "@" in name or name.startswith("arn:"):
            _entry(run, cataloguing.entry(run.session, name))
        else:
            _versions(run, name, cataloguing.versions(run.session, name, limit))

    @command(app, "import", changing=True)
    def import_(
        run: Run,
        name: Annotated[str, typer.Argument(metavar="MODEL@VERSION|ID", help="As the catalog calls it.")],
        metadata: Annotated[
            str | None,
            typer.Option("--metadata", metavar="FILE", help="What the catalog does not say; else model.yaml beside the artifact."),
        ] = None,
        like: Annotated[
            str | None, typer.Option("--like", metavar="VERSION", help="It takes and gives what this registered version does.")
        ] = None,
        as_version: Annotated[str | None, typer.Option("--as", metavar="VERSION", help="Register it under another version.")] = None,
    ) -> None:
        """Register a version that the catalog has.

        With what it knows of it; what it does not know stays unknown.
        """
        from mlconsole.engine.cataloguing import import_version

        registered = _like(run, name, like) if like is not None else None
        file = Path(metadata) if metadata else None
        done = import_version(run.session, name, file, like=registered, as_version=as_version, only_look=run.shared.dry_run)
        made = done.version
        if run.json:
            from mlconsole.cli.models import version_json

            run.emit({"version": version_json(made), "new": done.new, "approval": str(done.approval), "notes": list(done.notes)})
            return
        digest = f"{made.artifact.digest[:19]}…"
        if run.shared.dry_run:
            run.say(f"Nothing has happened. It would be {made.name}: {digest} from {made.artifact.location}.")
        elif done.new:
            run.say(f"✔ registered {made.name}: {digest} from {made.artifact.location}")
        else:
            run.say(f"Nothing to do: {made.name} is registered with these bytes already.")
        run.say(f"  the catalog says: {done.approval}")
        for note in done.notes:
            run.say(f"  · {note}", indent=4)

    @command(app, changing=True)
    def approve(
        run: Run,
        version: _Version,
        overrule: Annotated[bool, typer.Option("--overrule", help="Also where somebody rejected it there.")] = False,
    ) -> None:
        """Say in the catalog that a version may be used."""
        _decide(run, version, "approved", overrule=overrule)

    @command(app, changing=True)
    def reject(run: Run, version: _Version) -> None:
        """Say in the catalog that a version is rejected."""
        _decide(run, version, "rejected", overrule=False)


def standing_told(run: Run, version: ModelVersion) -> Standing | None:
    """What the catalog says of a version that came from one; None for all others."""
    from mlconsole.engine.cataloguing import standing

    return standing(run.session, version) if version.origin else None


def standing_json(found: Standing | None) -> dict[str, Any] | None:
    """The same for scripts."""
    if found is None:
        return None
    return {"id": found.id, "approval": str(found.approval), "note": found.note, "problem": found.problem or None}


def _decide(run: Run, name: str, word: str, *, overrule: bool) -> None:
    from mlconsole.engine.catalogapprovals import decide
    from mlconsole.engine.planning import find_version
    from mlconsole.plugin.cataloguing import Approval

    version = find_version(run.session, *parse_version_name(name))
    if run.shared.dry_run:
        run.say(f"Nothing has happened. The catalog would say {word} of {version.name}.")
        if run.json:
            run.emit({"version": version.name, "catalog": standing_json(standing_told(run, version))})
        return
    done = decide(run.session, version, Approval(word), run.shared.reason, overrule=overrule)
    if run.json:
        run.emit({"version": version.name, "catalog": standing_json(done)})
    run.say(f"✔ the catalog says of {version.name}: {done.told}")


def _like(run: Run, name: str, like: str) -> ModelVersion:
    """The registered version that `--like` names: `6`, or `relevance@6`."""
    from mlconsole.engine.cataloguing import entry
    from mlconsole.engine.planning import find_version

    if "@" in like:
        return find_version(run.session, *parse_version_name(like))
    model = entry(run.session, name).version.model if name.startswith("arn:") else name.partition("@")[0]
    return find_version(run.session, *parse_version_name(f"{model}@{like}"))


def _models(run: Run) -> None:
    from mlconsole.engine import cataloguing

    found = cataloguing.models(run.session)
    registered = set(run.session.registry.models())
    if run.json:
        told = [
            {
                "model": one.name,
                "group": one.group,
                "description": one.description,
                "created": time_json(one.created),
                "registered": one.name in registered,
            }
            for one in found
        ]
        run.emit({"models": told})
        return
    if not found:
        run.say("The catalog has no model.")
        return
    rows = [["MODEL", "REGISTERED HERE", "SINCE", "DESCRIPTION"]]
    for one in found:
        since = f"{one.created:%Y-%m-%d}" if one.created else "–"
        rows.append([one.name, "yes" if one.name in registered else "–", since, one.description])
    for text in columns(rows, wide=3, cut=True):
        run.say(text)


def _versions(run: Run, model: str, lines: list[CatalogLine]) -> None:
    if run.json:
        told = [
            {
                "version": line.version.name,
                "id": line.version.id,
                "approval": str(line.version.approval),
                "created": time_json(line.version.created),
                "description": line.version.description,
                "usable": line.version.usable,
                "registered": line.registered.name if line.registered else None,
            }
            for line in lines
        ]
        run.emit({"model": model, "versions": told})
        return
    if not lines:
        run.say(f"The catalog has no version of {model} yet.")
        return
    rows = [["VERSION", "APPROVAL", "REGISTERED AS", "MADE", "DESCRIPTION"]]
    for line in lines:
        one = line.version
        approval = f"{_SIGNS.get(str(one.approval), '?')} {one.approval}"
        made = f"{one.created:%Y-%m-%d %H:%M}" if one.created else "–"
        rows.append([one.name, approval, line.registered.name if line.registered else "–", made, one.description])
    for text in columns(rows, wide=4, cut=True):
        run.say(text)
    if all(line.registered is None for line in lines):
        run.say(f"None of them is registered here: mlconsole models import {lines[0].version.name}")


def _entry(run: Run, found: CatalogEntry) -> None:
    one = found.version
    if run.json:
        run.emit({"version": _entry_json(found)})
        return
    approval = f"{one.approval}{f': {found.approval_note}' if found.approval_note else ''}"
    rows = [
        ["version", one.name],
        ["description", one.description or "–"],
        ["approval", approval],
        ["changed by", found.changed_by or "unknown"],
        ["artifact", found.location or "unknown"],
        ["image", found.image or "unknown"],
        *([what, address] for what, address in found.lineage.items()),
        ["code", (found.code.commit or "unknown") + (f" of {found.code.repository}" if found.code.repository else "")],
        ["data", ", ".join(found.data) or "unknown"],
        ["metrics", ", ".join(f"{name} {value:.4g}" for name, value in found.metrics.items()) or "unknown"],
        ["parameters", ", ".join(f"{name} {value}" for name, value in found.parameters.items()) or "unknown"],
        *([name, value] for name, value in found.facts.items()),
        ["id", one.id],
    ]
    for text in columns(rows, wide=1):
        run.say(text)
    for note in found.notes:
        run.say(f"· {note}", indent=2)


def _entry_json(found: CatalogEntry) -> dict[str, Any]:
    one = found.version
    return {
        "name": one.name,
        "id": one.id,
        "approval": str(one.approval),
        "approval_note": found.approval_note,
        "changed_by": found.changed_by,
        "created": time_json(one.created),
        "description": one.description,
        "usable": one.usable,
        "location": found.location,
        "image": found.image,
        "lineage": dict(found.lineage),
        "commit": found.code.commit,
        "repository": found.code.repository,
        "data": list(found.data),
        "parameters": dict(found.parameters),
        "metrics": dict(found.metrics),
        "facts": dict(found.facts),
        "has_metadata_file": bool(found.metadata),
        "notes": list(found.notes),
    }
