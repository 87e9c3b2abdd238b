"""Health in one column of 46 characters: in bed, on a phone, by SSH."""

from __future__ import annotations

from mlconsole.engine.views import AlarmView, EndpointHealthView, HealthView
from mlconsole.tui import health_parts as parts
from mlconsole.tui import health_words as words
from mlconsole.tui.figures import clock, figure, moment, share
from mlconsole.tui.pane import Line, line
from mlconsole.tui.signs import BOLD, DIM, Signs

WIDTH = 46


def phone_lines(
    health: HealthView | None, one: EndpointHealthView | None, alarm: AlarmView | None, keys: dict[str, str], signs: Signs
) -> list[Line]:
    """The alarm and what would help; while it recovers, how far; else the endpoints, and the one under the cursor."""
    if health is None:
        return parts.teaching(WIDTH)
    if alarm is not None and alarm.state == "firing":
        return _firing(alarm, health, keys)
    if alarm is not None and one is not None:
        return _recovering(alarm, one, health, signs)
    return _quiet(health, one, signs)


def _about(alarm: AlarmView) -> str:
    variants = list(dict.fromkeys(name for finding in alarm.findings for name in finding.variants))
    slices = list(dict.fromkeys(name for finding in alarm.findings for name in finding.slices))
    where = "every slice" if "" in slices else " ".join(words.value_of(name) for name in slices)
    return " · ".join(part for part in (", ".join(alarm.endpoints), " ".join(variants), where) if part)


def _firing(alarm: AlarmView, health: HealthView, keys: dict[str, str]) -> list[Line]:
    lines = words.folded(_about(alarm), WIDTH, style=BOLD)
    if alarm.findings:
        lines += words.folded(alarm.findings[0].text, WIDTH)
    lines += [line(f"since {clock(alarm.since)} · {words.who_has(alarm)}"), line("")]
    helps = alarm.triage.revert_helps
    told = "WOULD HELP" if helps else "WOULD NOT HELP" if helps is False else "CAN'T BE JUDGED"
    lines.append(line((f"GOING BACK {told}", BOLD)))
    lines += words.folded(words.revert_line(alarm)[1], WIDTH)
    for probe in words.failing_probes(alarm, health):
        since = f" since {moment(probe.since, health.at)}" if probe.since else ""
        lines += words.folded(f"{probe.name} {probe.text}{since}", WIDTH)
    lines += [line(""), line(("WHAT WOULD HELP", BOLD))]
    fix = words.fix_of(alarm, health)
    if fix:
        took = f", {alarm.triage.fix_told}" if alarm.triage.fix_told else ""
        lines += words.folded(f"run {fix}{took}", WIDTH, first=f"{keys['fix']}  ")
    lines += words.folded(words.has_it_told(alarm, health.at), WIDTH, first=f"{keys['acknowledge']}  ")
    lines.append(line(("t  ", BOLD), "see predictions   ", ("y  ", BOLD), "copy report"))
    if alarm.triage.ordinary:
        lines += words.folded(alarm.triage.ordinary, WIDTH, style=DIM)
    return lines


def _recovering(alarm: AlarmView, one: EndpointHealthView, health: HealthView, signs: Signs) -> list[Line]:
    lines = [line((f"{one.endpoint} · RECOVERING", BOLD), f" · {words.who_has(alarm)}")]
    for row in words.recovery_rows(alarm, one, signs):
        name, told = row.cells["slice"], row.cells["verdict"]
        lines.append(line((f"{name[0] if isinstance(name, tuple) else name:<8} ", BOLD), told))
    lines.append(line(""))
    lines += words.left_lines(alarm, one, alarm.environment, WIDTH)
    return [*lines, line(""), *words.happened_lines(alarm)[-4:]]


def _quiet(health: HealthView, one: EndpointHealthView | None, signs: Signs) -> list[Line]:
    names = [each.endpoint for each in health.endpoints]
    place = names.index(one.endpoint) if one is not None else 0
    first = max(0, min(place - 3, len(names) - 7))
    lines: list[Line] = []
    for each in health.endpoints[first : first + 7]:
        mark = signs.cursor if each is one else " "
        lines.append(line(mark, (f"{each.endpoint:<18} ", BOLD if each is one else ""), words.state_span(each, health, signs)))
    if one is None:
        return lines or [line("Nothing was predicted yet.")]
    figures = one.figures
    lines.append(line(""))
    lines.append(line(f"errors {share(figures.errors)} · p95 {figure(figures.p95, 'ms')} · same {share(figures.same)}"))
    for row in parts.slice_rows(one, signs)[:5]:
        name = row.cells["slice"]
        lines.append(line((f"{name[0] if isinstance(name, tuple) else name:<8} ", BOLD), row.cells["verdict"]))
    return [*lines, *parts.probe_lines((*health.probes, *health.natives), WIDTH, signs)]
