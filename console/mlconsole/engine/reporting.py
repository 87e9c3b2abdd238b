"""The report of a request for approval: what a reviewer reads, in markdown, frozen when it is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mlconsole.core.approvals import Request, RequestState, Vote
from mlconsole.core.evaluation import Compared, evaluate, figure, metric_label, not_comparable
from mlconsole.core.live import VariantState
from mlconsole.core.models import Json, ModelVersion
from mlconsole.core.plans import Plan
from mlconsole.core.releases import Variant, describe_content
from mlconsole.core.text import duration, neutralise
from mlconsole.engine.evaluating import packages_of, serving
from mlconsole.engine.gates import golden_queries, invocation
from mlconsole.plugin.errors import MLConsoleError

if TYPE_CHECKING:
    from mlconsole.core.golden import GoldenQuery
    from mlconsole.engine.documentviews import WhatIfRowView
    from mlconsole.engine.rolloutplans import RolloutPlan
    from mlconsole.engine.session import Session

ONLY_HERE = (
    "This is recorded, and enforced by mlconsole only: whoever has the backend's own credentials can change it without this approval."
)
_QUERIES = 5
"""Golden queries that are shown side by side."""
_CELL = 80
"""Characters of a value in a table."""
_DAYS = 7.0
"""Days back that a config document's change is tried on."""
_PATIENCE = 5.0
"""Seconds that one variant is waited for."""


def report(session: Session, request: Request, plan: Plan, rollout: RolloutPlan | None) -> str:
    """What a reviewer has to know, as it is now. What can't be read is told, and keeps nobody from asking."""
    lines = [f"# Approval: {_text(request.summary)}", "", *_about(request, plan, rollout)]
    lines += ["", "## What it would make of the endpoint", ""]
    lines += [f"- {_text(name)}: {_text(value)}" for name, value in request.parts.items()]
    for variant in _new(plan):
        registered = session.registry.version(variant.model, variant.version)
        there = serving(plan.now, variant.model, variant.version)
        lines += ["", f"## {_text(variant.name)} beside {_text(there.name) if there else 'nothing that serves'}", ""]
        if registered is None:
            lines.append(f"{_text(variant.model)}@{_text(variant.version)} is not registered: nothing is known of it.")
            continue
        old = session.registry.version(there.model, there.version) if there else None
        lines += _evaluation(registered, variant, old, there)
        lines += _made_with(session, plan.endpoint, registered)
        lines += _golden(session, plan, variant, there, registered)
    lines += _document(session, plan)
    lines += ["", "## Gates", "", *_gates(plan)]
    if plan.notes:
        lines += ["", "## To be judged", "", *(f"- {_text(note)}" for note in plan.notes)]
    return "\n".join([*lines, "", f"*{ONLY_HERE}*", ""])


def _document(session: Session, plan: Plan) -> list[str]:
    """What a config document would say otherwise, and what that would have done to the last days."""
    wanted = plan.then.document
    if wanted is None:
        return []
    from mlconsole.engine import documenting
    from mlconsole.engine.documentshown import differences_between
    from mlconsole.engine.whatifs import decided_again

    name = wanted.name
    try:
        before = documenting.version_bytes(session, name, wanted.before, wanted.before_digest) if wanted.before is not None else None
        after = documenting.bytes_at(session, wanted.digest)
        changed = (
            differences_between(*(documenting.reading_of(session, name, one) for one in (before, after))) if before is not None else ()
        )
        again = decided_again(session, name, before, after, _DAYS)
    except MLConsoleError as error:
        return ["", f"## Config {_text(name)}", "", _text(error.message)]
    lines = ["", f"## Config {_text(name)}, on version {wanted.before or 'none'}", ""]
    rows = [(one.where, one.old or "–", one.new or "–") for one in changed]
    lines += _table(("what", "now", "then"), rows) if rows else ["It is the first version."]
    touched = [row for row in again.rows if row.touched]
    if touched:
        head = ("what if", "alerts a day, now", "then", "flips", "of")
        told = [(f"{row.model} {row.slice}".strip(), *_figures(row)) for row in touched]
        lines += ["", *_table(head, told)]
    return lines


def _figures(row: WhatIfRowView) -> tuple[str, str, str, str]:
    before = "–" if row.before is None else f"{row.before:.0f}"
    if row.unknown:
        return before, row.unknown, "–", str(row.n)
    return before, "–" if row.then is None else f"{row.then:.0f}", "–" if row.flips is None else str(row.flips), str(row.n)


def since(request: Request, votes: Sequence[Vote]) -> str:
    """What happened to the request after its report was made: the checklist's answers, what was said, how it stands."""
    lines = []
    if request.answers:
        lines += ["", "## Checklist", ""]
        lines += [
            f"- [{'x' if answer else ' '}] {_text(item)}{f': {_text(answer)}' if answer else ''}"
            for item, answer in request.answers.items()
        ]
    lines += ["", "## What was said", ""]
    lines += [
        f"- {_text(str(vote.actor))} {'approved' if vote.say == 'approve' else 'rejected'} it, {_moment(vote.at)}"
        f"{f': {_text(vote.text)}' if vote.text else ''}"
        for vote in votes
    ] or ["Nothing yet."]
    state = f"{request.state}, and used for {_text(request.used)}" if request.used else str(request.state)
    why = f" {_text(request.why)}" if request.why and request.state is not RequestState.APPROVED else ""
    return "\n".join([*lines, "", f"Request {request.number} is **{state}**.{why}", ""])


def _about(request: Request, plan: Plan, rollout: RolloutPlan | None) -> list[str]:
    number = f"#{plan.made_from_release} " if plan.made_from_release else ""
    rows = [
        ("plan", plan.id),
        ("asked by", f"{request.author}, {_moment(request.asked)}"),
        ("reason", request.reason or "none given"),
        ("now", f"{number}{describe_content(plan.now)}"),
        ("then", describe_content(plan.then)),
    ]
    if rollout is not None:
        names = ("policy", "path", "ends", "guards", "back", "alone", "watch")
        told = (rollout.rollout.policy.name, rollout.path, rollout.ends, rollout.guards, rollout.back, rollout.alone, rollout.watch)
        rows += zip(names, told, strict=True)
    else:
        back = plan.way_back
        warm = "all of it is running" if back.warm else "has to be started again"
        rows += [
            ("does", "; ".join(step.summary for step in plan.steps) or "nothing at the backend"),
            (
                "back",
                f"#{back.release} {describe_content(back.content)}, {warm}, about {duration(back.seconds)}" if back.release else "none",
            ),
        ]
    rows.append(("once approved", plan.command))
    return _table(("", ""), [(name, value) for name, value in rows])


def _evaluation(new: ModelVersion, variant: Variant, old: ModelVersion | None, there: Variant | None) -> list[str]:
    if there is None:
        rows = [(metric_label(name), figure(value)) for name, value in new.metrics.values.items()]
        return ["No version of this model serves there, so there is nothing to compare with.", "", *_table(("metric", variant.name), rows)]
    if old is None:
        return [f"The version of {_text(there.name)} is not registered: its figures are not known."]
    compared = evaluate(old.metrics, new.metrics)
    if not compared.comparable:
        return [f"{_text(not_comparable(compared, there.name))}."]
    marks = {Compared.WORSE: "▲ worse: say why", Compared.BETTER: "✔ better", Compared.SAME: "✔ the same"}
    rows4 = [
        (metric_label(one.name), figure(one.old), figure(one.new), marks.get(one.compared, f"? {one.compared}")) for one in compared.figures
    ]
    return [
        "Measured on the same evaluation set, so the figures compare.",
        "",
        *_table(("metric", there.name, f"{variant.name} (new)", ""), rows4),
    ]


def _made_with(session: Session, endpoint: str, registered: ModelVersion) -> list[str]:
    if not registered.dependencies:
        return ["", "Dependencies: none recorded."]
    found = packages_of(session, endpoint, registered)
    if found is None:
        return ["", f"Dependencies: {len(registered.dependencies)} recorded; what its server has is not known here."]
    told = [f"{name} {wanted}, its server has {has}" for name, wanted, has in found.other]
    told += [f"{name} is not on its server" for name in found.gone]
    return ["", f"Dependencies: {_text('; '.join(told))}." if told else "Dependencies: its server has all of them as recorded."]


def _golden(session: Session, plan: Plan, new: Variant, there: Variant | None, registered: ModelVersion) -> list[str]:
    try:
        queries = golden_queries(session, new.model)
    except MLConsoleError as error:
        return ["", f"Golden queries: {_text(error.message)}"]
    if not queries:
        return ["", "Golden queries: there are none for this model here."]
    shown = queries[:_QUERIES]
    columns = [("expected", [_json(query.expect) for query in shown])]
    for variant in (there, new):
        if variant is not None and _runs(session, plan.endpoint, variant):
            columns.append((f"{variant.name} answers", _answers(session, plan.endpoint, variant.name, shown, registered)))
    rows = [(query.id, *(cells[place] for _, cells in columns)) for place, query in enumerate(shown)]
    head = f"The first {len(shown)} of {len(queries)} golden queries" if len(queries) > len(shown) else f"All {len(queries)} golden queries"
    more = "" if len(columns) == 3 or there is None else f"; {new.name} does not run yet, and has to come out as expected"
    return ["", f"{head}{_text(more)}:", "", *_table(("query", *(name for name, _ in columns)), rows)]


def _runs(session: Session, endpoint: str, variant: Variant) -> bool:
    try:
        live = session.backend.describe(endpoint).variant(variant.name)
    except MLConsoleError:
        return False
    return live is not None and live.state is VariantState.READY and live.digest == variant.digest


def _answers(session: Session, endpoint: str, variant: str, queries: Sequence[GoldenQuery], registered: ModelVersion) -> list[str]:
    """What a variant answers; after one that it does not answer at all it is not asked again."""
    found: list[str] = []
    for query in queries:
        try:
            request = invocation(dict(query.inputs), registered)
            answer = session.backend.invoke(endpoint, request, variant, probe=True, deadline=_PATIENCE)
        except MLConsoleError as error:
            return [*found, f"no answer: {error.message}", *["not asked"] * (len(queries) - len(found) - 1)]
        if answer.status != 200:
            found.append(f"{answer.status} {answer.error}")
            continue
        wrong = " ▲" if query.differences(answer.outputs) else ""
        found.append(_json({name: answer.outputs.get(name) for name in query.expect}) + wrong)
    return found


def _gates(plan: Plan) -> list[str]:
    lines = [
        f"- {_text(step.summary)}: before any request reaches it, when the change begins" for step in plan.steps if step.role == "gate"
    ]
    lines += [f"- ▲ skipped: {_text(gate)}" for gate in plan.skipped_gates]
    return lines or ["Each stage asks its gates and guards when it begins." if not plan.steps else "None: nothing is brought up."]


def _new(plan: Plan) -> list[Variant]:
    """What is other than now, or gets requests that it did not get."""
    before = plan.now.traffic
    return [
        variant
        for variant in plan.then.variants
        if plan.now.variant(variant.name) != variant
        or (plan.then.traffic is not None and plan.then.traffic.share(variant.name) > (before.share(variant.name) if before else 0))
    ]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell if cell == '---' else _cell(cell) for cell in line)} |" for line in lines]


def _cell(text: str) -> str:
    return _text(text).replace("|", "\\|")


def _text(text: str) -> str:
    """Foreign text in markdown: what it says, and no markup of its own."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>#" else char for char in neutralise(text))


def _json(value: Json) -> str:
    if isinstance(value, Mapping):
        value = {name: round(one, 4) if isinstance(one, float) else one for name, one in value.items()}
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _CELL else f"{text[: _CELL - 1]}…"


def _moment(when: datetime) -> str:
    return f"{when:%Y-%m-%d %H:%M} UTC"
