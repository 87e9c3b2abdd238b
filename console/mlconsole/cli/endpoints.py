"""`endpoints list|show|adopt|invoke|logs|remove|delete`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlconsole.cli.changes import BreakGlass, carry_out, first_repair, operation_json, time_json
from mlconsole.cli.common import Run, columns, command, pairs, share
from mlconsole.cli.completion import complete_endpoint
from mlconsole.core.text import duration, neutralise
from mlconsole.core.traffic import percent
from mlconsole.plugin.errors import InvalidFile, UsageError

if TYPE_CHECKING:
    from mlconsole.engine.views import EndpointView, StatusView, VariantView

app = typer.Typer(help="The stable names that consumers ask, and what is behind.", no_args_is_help=True)

_Endpoint = Annotated[str, typer.Argument(metavar="ENDPOINT", autocompletion=complete_endpoint)]
_RECENT = 60.0


@command(app, "list")
def list_endpoints(run: Run) -> None:
    """All endpoints of the environment, worst first.

    Requests and errors are those of the last minute. Exit 6 when the backend can't be reached.
    """
    from mlconsole.engine.endpoints import overview

    view = overview(run.session, window=_RECENT)
    if run.json:
        run.emit({"environment": view.environment, "endpoints": [endpoint_json(endpoint) for endpoint in view.endpoints]})
    else:
        _tell_list(run, view)
    if view.blind:
        raise typer.Exit(6)


def _tell_list(run: Run, view: StatusView) -> None:
    from mlconsole.engine.views import SIGNS

    if view.trouble:
        run.say(f"? {_sentence(view.trouble, view.trouble_next)}", indent=2)
    if not view.endpoints:
        if not view.trouble:
            run.say(f"No endpoint in {view.environment} yet. Deploy a version: mlconsole deploy MODEL@VERSION --env {view.environment}")
        return
    rows = [["ENDPOINT", "STATE", "LIVE", "REQ/S", "ERR %", "RELEASE", "CHANGED"]]
    for endpoint in view.endpoints:
        rate = f"{endpoint.requests / endpoint.seconds:.1f}" if endpoint.seconds and endpoint.requests else "–"
        errors = f"{100 * endpoint.failed / endpoint.requests:.1f}" if endpoint.requests else "–"
        age = duration((view.at - endpoint.changed).total_seconds()) if endpoint.changed else "–"
        rows.append(
            [
                endpoint.name,
                f"{SIGNS[endpoint.state][0]} {endpoint.state}",
                endpoint.content,
                rate,
                errors,
                f"#{endpoint.release or '–'}",
                age,
            ]
        )
    for text in columns(rows, frozenset({3, 4}), wide=2):
        run.say(text)
    for endpoint in view.endpoints:
        if endpoint.finding and endpoint.finding != view.trouble:
            run.say(f"{SIGNS[endpoint.state][0]} {endpoint.name}: {_sentence(endpoint.finding, endpoint.next)}", indent=2)


@command(app)
def show(run: Run, endpoint: _Endpoint) -> None:
    """One endpoint: desired, reported and observed.

    Its variants, slices and shadow, the way back, and a request for curl. Exit 6 when the backend can't be reached.
    """
    from mlconsole.engine.endpoints import show as look
    from mlconsole.engine.views import State

    view = look(run.session, endpoint)
    if run.json:
        run.emit(endpoint_json(view))
    else:
        _tell_endpoint(run, view)
    if view.state is State.NO_DATA:
        raise typer.Exit(6)


_SHORT = 32
"""Letters that a resource may have to stand in the table: an image's address has a line of its own."""


def _tell_endpoint(run: Run, view: EndpointView) -> None:
    from mlconsole.engine.views import SIGNS

    number = f"#{view.release}" if view.release else "not adopted"
    run.say(f"{view.name} · {view.environment} · {number} · {SIGNS[view.state][0]} {view.state}   {view.url or ''}".rstrip())
    if view.finding:
        run.say(f"{SIGNS[view.state][0]} {_sentence(view.finding, view.next)}", indent=2)
    rows = [["VARIANT", "VERSION", "STATE", "DESIRED", "REPORTED", "OBSERVED", "RUNS ON"]]
    for variant in view.variants:
        rows.append(
            [
                variant.name,
                f"{variant.model}@{variant.version}",
                variant.state,
                _percent(variant.desired),
                _percent(variant.reported),
                _observed(variant),
                " ".join(f"{key} {value}" for key, value in variant.resources.items() if len(value) <= _SHORT),
            ]
        )
    for text in columns(rows, frozenset({3, 4, 5}), wide=6):
        run.say(text)
    for variant in view.variants:
        for key, value in variant.resources.items():
            if len(value) > _SHORT:
                run.say(f"  {variant.name} {key}  {value}", indent=4)
    for value, split in view.by_slice.items():
        seen = view.observed_by_slice.get(value, {})
        told = " · ".join(f"{name} {percent(bp)} %{_seen(seen.get(name))}" for name, bp in split.items() if bp or seen.get(name))
        run.say(f"  {value}: {told}")
    if view.shadow:
        run.say(f"  shadow {view.shadow.variant}: desired {_percent(view.shadow.desired)}, observed {_percent(view.shadow.observed)}")
    if view.requests:
        run.say(f"observed {view.requests} request{'s' if view.requests != 1 else ''} in {duration(view.seconds)}, {view.failed} failed")
    else:
        run.say("observed no request" + (f" in {duration(view.seconds)}" if view.seconds else ""))
    if view.operation:
        run.say(f"change {view.operation.id}: {view.operation.state} to {view.operation.then}, by {view.operation.who}")
    if view.way_back:
        run.say(f"way back  {view.way_back}", indent=10)
    if view.example and view.url:
        run.say(f"ask it    {curl(view.url, view.example)}")


@command(app, changing=True)
def adopt(
    run: Run,
    endpoint: Annotated[str | None, typer.Argument(metavar="ENDPOINT", autocompletion=complete_endpoint)] = None,
    every: Annotated[bool, typer.Option("--all", help="Every one that mlconsole.yaml names and nobody has adopted yet.")] = False,
) -> None:
    """Take over what others made, or changed outside.

    It becomes release #1 as found, or a new release that keeps the change. Nothing happens at the backend.
    """
    from mlconsole.cli.releases import release_json
    from mlconsole.engine.endpoints import adopt as take

    if every == (endpoint is not None):
        text = "Which endpoint? Nothing was adopted." if not every else "An endpoint, or --all: one of the two. Nothing was adopted."
        raise UsageError(text, next="mlconsole endpoints adopt ENDPOINT, or --all")
    if endpoint is None:
        _adopt_all(run)
        return
    kept = take(run.session, endpoint, reason=run.shared.reason, only_look=run.shared.dry_run)
    if run.shared.dry_run:
        run.say(f'Nothing has happened. It would be {endpoint}#{kept.number} "{kept.kind}": {kept.content}.')
        if run.json:
            run.emit({"plan": release_json(kept)})
        return
    if run.json:
        run.emit({"release": release_json(kept)})
    run.say(f'✔ {endpoint} is #{kept.number} "{kept.kind}": {kept.content}.')


def _adopt_all(run: Run) -> None:
    from mlconsole.cli.releases import release_json
    from mlconsole.engine.adopting import adopt_all

    would = run.shared.dry_run
    kept, left, failed = [], [], []
    for one in adopt_all(run.session, reason=run.shared.reason, only_look=would):
        if one.release is not None:
            kept.append(release_json(one.release))
            sign = "would be" if would else "is"
            run.say(
                f'{"·" if would else "✔"} {one.endpoint} {sign} #{one.release.number} "{one.release.kind}": {one.release.content}', indent=2
            )
        elif one.left:
            left.append(one.endpoint)
            run.say(f"· {one.endpoint} was left as it is" + (f": {one.problem.message}" if one.problem else ": adopted already"), indent=2)
        elif one.problem is not None:
            failed.append({"endpoint": one.endpoint, "code": one.problem.code, "message": one.problem.message, "next": one.problem.next})
            run.say(f"✖ {one.endpoint}: {one.problem.message} {one.problem.next}".rstrip(), indent=2)
    if run.json:
        run.emit({"plans" if would else "releases": kept, "left": left, "failed": failed})
    else:
        told = f"{len(kept)} {'would be ' if would else ''}adopted, {len(left)} left as they are, {len(failed)} failed"
        run.say(f"{told}." + (" Nothing has happened." if would else ""))
    if failed:
        raise typer.Exit(1)


@command(app)
def invoke(
    run: Run,
    endpoint: _Endpoint,
    given: Annotated[list[str] | None, typer.Argument(metavar="FIELD=VALUE", help="The inputs; else a real example.")] = None,
    file: Annotated[str | None, typer.Option("--data", metavar="FILE", help="Inputs as a JSON object, from a file.")] = None,
    variant: Annotated[str | None, typer.Option("--variant", metavar="NAME", help="Ask this variant, whatever its share.")] = None,
) -> None:
    """Ask for one prediction, as a consumer would.

    Tells which variant answered.
    """
    from mlconsole.engine.endpoints import invoke as ask
    from mlconsole.engine.views import ExampleView

    inputs = _inputs(given or [], file)
    answer, request, example = ask(run.session, endpoint, inputs, variant=variant)
    shown = ExampleView(example.method, example.path, dict(example.headers), example.body) if example else None
    body = {
        "endpoint": endpoint,
        "status": answer.status,
        "variant": answer.variant,
        "outputs": dict(answer.outputs),
        "milliseconds": round(answer.milliseconds, 2),
        "request_id": answer.request_id,
        "inputs": dict(request.inputs),
        "slices": dict(request.slices),
        "error": answer.error,
    }
    failed = answer.status != 200
    if run.json:
        told = {"code": "prediction_failed", "message": answer.error, "next": f"mlconsole endpoints logs {endpoint}"}
        run.emit({**body, "error": told if failed else None})
    elif failed:
        run.say(f"✖ {answer.status} from {answer.variant or 'nobody'}: {answer.error or 'no reason given'}")
    else:
        outputs = ", ".join(f"{name} {_short(value)}" for name, value in answer.outputs.items())
        run.say(f"{outputs} from {answer.variant or 'unknown'} in {answer.milliseconds:.0f} ms")
    if shown is not None and not run.json:
        from mlconsole.engine.endpoints import address

        url = address(run.session, endpoint)
        if url:
            run.say(f"same as   {curl(url, shown)}")
    if failed:
        raise typer.Exit(1)


@command(app)
def logs(
    run: Run,
    endpoint: _Endpoint,
    variant: Annotated[str | None, typer.Option("--variant", metavar="NAME", help="Else the one with most traffic.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", metavar="COUNT", min=1, help="How many, from the end.")] = 40,
) -> None:
    """What a variant wrote."""
    from mlconsole.engine.endpoints import logs as read

    name, found = read(run.session, endpoint, variant, lines)
    if run.json:
        run.emit({"endpoint": endpoint, "variant": name, "lines": list(found)})
    for text in found:
        run.say(text)


@command(app, changing=True)
def remove(run: Run, endpoint: _Endpoint, variant: Annotated[str, typer.Argument(metavar="VARIANT")], break_glass: BreakGlass = "") -> None:
    """Take away a variant that nobody reaches; wants its name typed."""
    from mlconsole.engine.planning import plan_remove

    first_repair(run, endpoint)
    carry_out(run, plan_remove(run.session, endpoint, variant, reason=run.shared.reason, break_glass=break_glass))


@command(app, changing=True)
def delete(run: Run, endpoint: _Endpoint, break_glass: BreakGlass = "") -> None:
    """Take away a whole endpoint; wants its name typed."""
    from mlconsole.engine.planning import plan_delete

    first_repair(run, endpoint)
    carry_out(run, plan_delete(run.session, endpoint, reason=run.shared.reason, break_glass=break_glass))


def endpoint_json(view: EndpointView) -> dict[str, Any]:
    """An endpoint for scripts: the contract of `endpoints show --json`. Shares are percentages; null is *not observed*."""
    return {
        "endpoint": view.name,
        "environment": view.environment,
        "url": view.url,
        "status": str(view.state),
        "finding": view.finding,
        "next": view.next,
        "release": view.release,
        "changed": time_json(view.changed),
        "variants": [_variant_json(variant) for variant in view.variants],
        "by_slice": {value: {name: share(bp) for name, bp in split.items()} for value, split in view.by_slice.items()},
        "observed_by_slice": {value: {name: share(bp) for name, bp in seen.items()} for value, seen in view.observed_by_slice.items()},
        "shadow": {
            "variant": view.shadow.variant,
            "desired": share(view.shadow.desired),
            "reported": share(view.shadow.reported),
            "observed": share(view.shadow.observed),
        }
        if view.shadow
        else None,
        "requests": view.requests,
        "failed": view.failed,
        "seconds": round(view.seconds, 1),
        "operation": operation_json(view.operation),
        "way_back": view.way_back or None,
        "example": {
            "method": view.example.method,
            "path": view.example.path,
            "headers": dict(view.example.headers),
            "body": view.example.body,
        }
        if view.example
        else None,
    }


def _sentence(finding: str, advice: str) -> str:
    return f"{finding.rstrip('.')}. {advice}".strip() if advice else finding


def curl(url: str, example: Any) -> str:
    """The request as a line for a shell."""
    headers = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items())
    return f"curl -s {headers} -d {shlex.quote(example.body)} {shlex.quote(url.rstrip('/') + example.path)}"


def _variant_json(variant: VariantView) -> dict[str, Any]:
    return {
        "name": variant.name,
        "model": variant.model,
        "version": variant.version,
        "state": variant.state,
        "reason": variant.reason,
        "desired": share(variant.desired),
        "reported": share(variant.reported),
        "observed": share(variant.observed),
        "observed_n": variant.observed_n,
        "observed_seconds": variant.observed_seconds,
        "resources": dict(variant.resources),
    }


def _inputs(given: list[str], file: str | None) -> dict[str, Any] | None:
    if file is not None:
        try:
            inputs = json.loads(Path(file).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InvalidFile(f"{file} can't be read as JSON: {error}.") from error
        if not isinstance(inputs, dict):
            raise InvalidFile(f"{file} holds no JSON object of inputs.")
        return inputs
    if not given:
        return None
    found = pairs(given, "an input: FIELD=VALUE is wanted, like title='Port closed'")
    return {name: _value(text) for name, text in found.items()}


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float | bool) else text


def _percent(bp: float | None) -> str:
    return "–" if bp is None else f"{bp / 100:.1f} %"


def _observed(variant: VariantView) -> str:
    return "not observed" if variant.observed is None else f"{variant.observed / 100:.1f} % of {variant.observed_n}"


def _seen(bp: float | None) -> str:
    return "" if bp is None else f" (observed {bp / 100:.1f} %)"


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return f"{value:.4g}" if isinstance(value, float) else neutralise(str(value))[:80]
