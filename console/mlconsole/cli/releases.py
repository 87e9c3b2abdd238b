"""`releases list|show`: the numbered snapshots of an endpoint, or of a config document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.changes import content_json, time_json
from mlconsole.cli.common import Run, columns, command
from mlconsole.cli.completion import complete_target
from mlconsole.core.documents import WHOLE, target_named, target_told
from mlconsole.core.pointers import told
from mlconsole.core.traffic import percent
from mlconsole.plugin.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.views import ReleaseView

app = typer.Typer(help="Releases: numbered, immutable snapshots of an endpoint.", no_args_is_help=True)


@command(app, "list")
def list_releases(
    run: Run,
    endpoint: Annotated[
        str | None, typer.Argument(metavar="ENDPOINT", help="Or config:NAME; else all.", autocompletion=complete_target)
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="COUNT", min=1)] = 50,
) -> None:
    """Releases, newest first."""
    from mlconsole.engine.history import releases

    found = releases(run.session, endpoint and target_named(endpoint), limit=limit)
    if run.json:
        run.emit({"releases": [release_json(release) for release in found]})
        return
    if not found:
        run.say("No release yet.")
        return
    rows = [["RELEASE", "STANDING", "KIND", "CONTENT", "WHEN", "WHO", "WHY"]]
    for one in found:
        kind = f"{one.kind} (= #{one.equals})" if one.equals else one.kind
        name = f"{target_told(one.endpoint)}#{one.number}"
        rows.append([name, one.standing, kind, one.content, f"{one.created.astimezone():%d %b %H:%M:%S}", one.who, one.reason])
    for text in columns(rows, wide=3):
        run.say(text)


@command(app)
def show(
    run: Run,
    release: Annotated[
        str,
        typer.Argument(metavar="ENDPOINT#NUMBER", help="ENDPOINT (or config:NAME) alone: its live one.", autocompletion=complete_target),
    ],
) -> None:
    """One release in full."""
    endpoint, hash_sign, number = release.partition("#")
    endpoint = target_named(endpoint.partition("@")[0])
    session = run.session
    if hash_sign and (not number.isdecimal() or len(number) > 9):
        raise UsageError(
            f'"{release}" is no release: ENDPOINT#NUMBER is wanted, like relevance#2.', next="mlconsole releases list shows them."
        )
    environment = session.environment.name
    found = session.registry.release(environment, endpoint, int(number)) if number else session.registry.live_release(environment, endpoint)
    if found is None:
        if endpoint not in session.known_targets():
            raise session.unknown_endpoint(endpoint)
        raise UnknownName(f"There is no release {release} in {session.environment.name}.", next="mlconsole releases list shows them.")
    from mlconsole.engine.telling import release_view

    view = release_view(found.release, found.standing)
    if run.json:
        run.emit({"release": {**release_json(view), "content": content_json(found.release.content)}})
        return
    rows = [
        ["release", target_told(view.name)],
        ["standing", view.standing],
        ["kind", view.kind],
        ["content", view.content],
        ["made from", f"#{found.release.made_from}" if found.release.made_from else "–"],
        ["when, who", f"{view.created:%Y-%m-%d %H:%M:%S} UTC, {view.who}"],
        ["why", view.reason or "–"],
        ["change", view.operation or "–"],
        ["skipped gates", ", ".join(view.skipped_gates) or "none"],
    ]
    for variant in found.release.content.variants:
        rows.append([f"variant {variant.name}", f"{variant.model}@{variant.version}  {variant.digest}"])
    if (document := found.release.content.document) is not None:
        rows.append([f"config {document.name}", f"{document.version}  {document.digest}"])
        rows.append(["clients", f"{percent(document.share)} %" + (f", else {document.before}" if document.share < WHOLE else "")])
        rows.append(["touched", ", ".join(told(one) for one in document.pointers) or "–"])
    if found.release.by:
        rows.append(["went with", found.release.by])
    for text in columns(rows, wide=1):
        run.say(text)


def release_json(view: ReleaseView) -> dict[str, Any]:
    """A release for scripts."""
    return {
        "name": view.name,
        "endpoint": view.endpoint,
        "release": view.number,
        "kind": view.kind,
        "standing": view.standing,
        "content": view.content,
        "created": time_json(view.created),
        "who": view.who,
        "reason": view.reason,
        "equals": view.equals,
        "operation": view.operation,
        "skipped_gates": list(view.skipped_gates),
    }
