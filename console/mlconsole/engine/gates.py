"""Gates before traffic: the model answers a real query; golden queries come out as expected. A gate that fails stops the change."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlconsole.core.golden import GoldenQuery
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.releases import Variant
from mlconsole.core.steps import Phase, Step
from mlconsole.core.text import neutralise
from mlconsole.engine.patience import Patience
from mlconsole.plugin.errors import AuthFailed, NotFound, Throttled, Unavailable
from mlconsole.plugin.roles import Answer, Invocation

if TYPE_CHECKING:
    from mlconsole.engine.session import Session

LOAD, GOLDEN = "load", "golden"

_SILENT = 5.0
"""Seconds for which a variant that is ready may give no answer before that counts."""

_Ask = Callable[[Invocation], Answer]


@dataclass(frozen=True)
class GateResult:
    """What a gate found. `text` is what was read (`40 of 40`), `problem` why it failed."""

    passed: bool
    text: str
    problem: str = ""


def gate_steps(session: Session, variants: Iterable[Variant], break_glass: str) -> tuple[tuple[Step, ...], tuple[str, ...]]:
    """The gates for variants that are brought up, and the names of those that `--break-glass` skips.

    Load is never skipped: a variant that answers nothing has nothing to get traffic for.
    """
    steps: list[Step] = []
    skipped: list[str] = []
    for variant in variants:
        steps.append(_step(LOAD, variant, f"ask {variant.name} a real query", 1.0))
        golden = session.workspace.golden_for(variant.model, session.environment.name)
        if golden is None:
            continue
        if break_glass:
            skipped.append(f"{GOLDEN} ({variant.name})")
            continue
        count = len(golden_queries(session, variant.model))
        steps.append(_step(GOLDEN, variant, f"ask {variant.name} {count} golden queries", 0.02 * count))
    return tuple(steps), tuple(skipped)


def run_gate(session: Session, endpoint: str, step: Step, look: Callable[[], None]) -> GateResult:
    """Ask the variant itself, before any consumer's request reaches it. `look` is called before each question; what it raises ends it.

    Raises:
        Throttled, AuthFailed: it could not be asked, which says nothing about the model.
        InvalidFile: the golden queries can't be read.
    """
    variant = str(step.details["variant"])
    model = str(step.details["model"])
    registered = session.registry.version(model, str(step.details["version"]))

    def ask(request: Invocation) -> Answer:
        look()
        return _asked(session, endpoint, variant, request, step.deadline, look)

    if step.action == LOAD:
        return _load(ask, variant, example_request(session, model, registered), registered)
    return _golden(ask, variant, golden_queries(session, model), registered)


def golden_queries(session: Session, model: str) -> tuple[GoldenQuery, ...]:
    """The golden queries of a model in this environment; empty when there are none."""
    from mlconsole.workspace.golden import read_golden

    path = session.workspace.golden_for(model, session.environment.name)
    return tuple(read_golden(path)) if path is not None else ()


def example_request(session: Session, model: str, registered: ModelVersion | None) -> Invocation:
    """A real query for a model: its first golden query, else its first recorded event, else one made from its signature."""
    golden = golden_queries(session, model)
    if golden:
        return invocation(dict(golden[0].inputs), registered)
    settings = session.workspace.models.get(model)
    replay = session.workspace.root / settings.replay if settings and settings.replay else None
    if replay is not None and (recorded := _first_event(replay)) is not None:
        return invocation(recorded, registered)
    made = {field.name: _made_up(field.datatype) for field in registered.signature.inputs} if registered else {}
    return invocation(made, registered)


def invocation(inputs: dict[str, Json], registered: ModelVersion | None) -> Invocation:
    """A request with the slices that the signature reads from its inputs."""
    slices: dict[str, str] = {}
    for entry in registered.signature.slices if registered else ():
        value = pointed(inputs, entry.path)
        if value is not None:
            slices[entry.key] = str(value)
    return Invocation(inputs, slices)


def pointed(document: Json, pointer: str) -> Json:
    """What a JSON pointer (RFC 6901) points to; None when there is nothing."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, dict) and key in document:
            document = document[key]
        elif isinstance(document, list) and key.isdigit() and int(key) < len(document):
            document = document[int(key)]
        else:
            return None
    return document


def _asked(session: Session, endpoint: str, variant: str, request: Invocation, deadline: float, look: Callable[[], None]) -> Answer:
    """One answer. Throttling and credentials that ran out are waited for, silence only for a moment: it is the model's own."""
    busy, silent = Patience(session.clock, deadline), Patience(session.clock, _SILENT)
    while True:
        try:
            return session.backend.invoke(endpoint, request, variant, probe=True)
        except (Throttled, AuthFailed, Unavailable) as error:
            if (silent if isinstance(error, Unavailable) else busy).over():
                raise
            if busy.worth_telling():
                session.tell("waiting", f"{variant} can't be asked: {neutralise(error.message)} ({busy.told()})")
        look()
        busy.rest(look)


def _load(ask: _Ask, variant: str, request: Invocation, registered: ModelVersion | None) -> GateResult:
    try:
        answer = ask(request)
    except (NotFound, Unavailable) as error:
        return GateResult(False, "no answer", f"{variant} does not answer a real query: {error.message}")
    if answer.status != 200 and registered is not None and not registered.signature.inputs and not request.inputs:
        # Of a version that was found running nobody knows what it takes: that it answers at all is what can be seen.
        return GateResult(True, f"answers {answer.status}; no real query is known for it: give {registered.model} golden queries")
    if answer.status != 200:
        return GateResult(False, f"status {answer.status}", f"{variant} refuses a real query: {answer.status} {neutralise(answer.error)}")
    missing = [field.name for field in registered.signature.outputs if field.name not in answer.outputs] if registered else []
    if missing:
        return GateResult(False, "output missing", f"{variant} answers without {', '.join(missing)}, which its signature promises.")
    return GateResult(True, f"{_score(answer.outputs, registered)} in {answer.milliseconds:.0f} ms")


def _golden(ask: _Ask, variant: str, queries: tuple[GoldenQuery, ...], registered: ModelVersion | None) -> GateResult:
    failed: list[str] = []
    for query in queries:
        try:
            answer = ask(invocation(dict(query.inputs), registered))
        except (NotFound, Unavailable) as error:
            return GateResult(False, "no answer", f"{variant} stopped answering at golden query {query.id}: {error.message}")
        if answer.status != 200:
            failed.append(f"{query.id}: {answer.status} {neutralise(answer.error)}")
            continue
        found = query.differences(answer.outputs)
        if found:
            failed.append(f"{query.id}: {found[0]}")
    passed = len(queries) - len(failed)
    text = f"{passed} of {len(queries)}"
    if not failed:
        return GateResult(True, text)
    shown = "; ".join(failed[:3]) + (f"; and {len(failed) - 3} more" if len(failed) > 3 else "")
    return GateResult(False, text, f"{len(failed)} of {len(queries)} golden queries differ on {variant}: {shown}")


def _step(action: str, variant: Variant, summary: str, seconds: float) -> Step:
    return Step(
        role="gate",
        action=action,
        summary=summary,
        phase=Phase.CHECK,
        seconds=seconds,
        deadline=120.0,
        details={"variant": variant.name, "model": variant.model, "version": variant.version},
    )


def _first_event(path: Path) -> dict[str, Json] | None:
    try:
        with path.open(encoding="utf-8") as file:
            inputs = json.loads(file.readline()).get("inputs")
    except (OSError, ValueError, AttributeError):
        return None
    return inputs if isinstance(inputs, dict) else None


def _made_up(datatype: str) -> Json:
    if datatype == "BYTES":
        return "example"
    return False if datatype == "BOOL" else 0


def _score(outputs: object, registered: ModelVersion | None) -> str:
    name = registered.signature.score if registered else None
    value = outputs.get(name) if isinstance(outputs, dict) and name else None
    if isinstance(value, list) and value:
        value = value[0]
    return f"{value:.2f}" if isinstance(value, float) else "an answer"
