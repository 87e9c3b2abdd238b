"""An endpoint's health in tables and lines: its slices, its scores beside the baseline, pairs with a shadow, dependencies. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from mlconsole.engine.views import EndpointHealthView, PairsView, ProbeView
from mlconsole.tui.figures import clock, count, score, share
from mlconsole.tui.health_words import figure_cells, folded, value_of, verdict_sign
from mlconsole.tui.pane import Line, Span, line
from mlconsole.tui.signs import BOLD, DIM, GREEN, Signs
from mlconsole.tui.table import Column, Row

SLICES = (
    Column("slice", "SLICE", least=6, most=24, keep=100),
    Column("n", "n", right=True, least=5, keep=60),
    Column("errors", "ERR %", right=True, least=5, keep=80),
    Column("p95", "P95", right=True, least=4, keep=50),
    Column("same", "SAME", right=True, least=5, keep=70),
    Column("over", "OVER", right=True, least=5, keep=30),
    Column("scores", "SCORES", least=9, most=13, keep=20),
    Column("verdict", "VERDICT", grows=True, least=10, most=80, keep=95),
)


def slice_rows(one: EndpointHealthView, signs: Signs, language: str = "") -> list[Row]:
    """Its slices, worst first; with a `language`, only that."""
    rows = []
    for each in one.slices:
        if language and each.slice and value_of(each.slice) != language:
            continue
        sign, style = verdict_sign(each.verdict, signs, pages=each.worst.pages if each.worst else True)
        word = {"pass": "ok", "no_data": "no data", "inconclusive": "too few yet"}.get(each.verdict, each.verdict)
        if each.worst is not None and each.verdict in ("fail", "error"):
            word = f"{each.worst.question} {each.worst.text}".strip()
        pooled = f" ({', '.join(value_of(name) for name in each.pooled)})" if each.pooled else ""
        cells = figure_cells(each.figures)
        cells |= {"slice": (value_of(each.slice), BOLD), "verdict": (f"{sign} {word}{pooled}", style)}
        rows.append(Row(each.slice or "all", cells))
    return rows


def note_lines(one: EndpointHealthView, width: int, signs: Signs) -> list[Line]:
    """What informs and pages nobody, and what can't be told."""
    lines: list[Line] = []
    for answer in one.answers:
        if answer.verdict in ("fail", "error") and not (answer.slice and answer.pages):
            sign, style = verdict_sign(answer.verdict, signs, pages=answer.pages)
            about = " · ".join(part for part in (value_of(answer.slice) if answer.slice else "", answer.subject, answer.variant) if part)
            told = f"{answer.question}{f' · {about}' if about else ''} {answer.text}".strip()
            pieces = textwrap.wrap(told, max(8, width - 2), break_on_hyphens=False)
            lines += [line((f"{sign} " if place == 0 else "  ", style), piece) for place, piece in enumerate(pieces)]
    return lines


def histogram_lines(one: EndpointHealthView, width: int, room: int, signs: Signs) -> list[Line]:
    """Scores now beside those of the baseline, bin by bin; bins are put together where there is no room."""
    histogram = one.histogram
    if histogram is None or not histogram.now or room < 2:
        return []
    bins = min(len(histogram.now), len(histogram.baseline) or len(histogram.now))
    by = max(1, -(-bins // (room - 1)))
    rows = []
    for begin in range(0, bins, by):
        end = min(bins, begin + by)
        rows.append((begin, end, sum(histogram.now[begin:end]), sum(histogram.baseline[begin:end])))
    most = max([value for _, _, now, before in rows for value in (now, before)] + [1e-9])
    bar = max(2, (width - 22) // 2)
    lines = [line((f"{'score':<8} {'now':<{bar + 5}} usual"[:width], DIM))]
    for begin, end, now, before in rows:
        label = f"{score(histogram.edges[begin])}–{score(histogram.edges[end])}" if end < len(histogram.edges) else "?"
        spans: list[Span] = [(f"{label:<9}", DIM)]
        for value, style in ((now, ""), (before, DIM)):
            full = round(bar * value / most)
            spans.append((f"{signs.full * full:<{bar}} {100 * value:>3.0f}  ", style))
        lines.append(line(*spans))
    return lines


def histogram_title(one: EndpointHealthView) -> str:
    """What the bins are, and how far they are from the baseline."""
    psi = one.histogram.psi if one.histogram is not None else None
    return "scores beside usual" + (f" · PSI {psi:.2f}" if psi is not None else "")


def pair_lines(pairs: PairsView, room: int) -> list[Line]:
    """A shadow's answers beside those that consumers got."""
    agree = f"{share(pairs.agree)} within {pairs.tolerance:g}" if pairs.agree is not None else "none of them can be compared"
    parts = [agree]
    if pairs.mean_difference is not None:
        parts.append(f"mean {pairs.mean_difference:+.3f}")
    if pairs.slower_ms is not None:
        parts.append(f"{abs(pairs.slower_ms):.0f} ms {'slower' if pairs.slower_ms >= 0 else 'faster'}")
    flips = "  ".join(f"{value_of(name)} {share(flipped / of)}" for name, (flipped, of) in pairs.flips.items() if of)
    lines = [line((" · ".join(parts), BOLD), f" · flips over threshold  {flips}" if flips else "")]
    if pairs.unpaired or pairs.failed:
        lines.append(line((f"{count(pairs.unpaired)} without the other half · only the copy failed {count(pairs.failed)}", DIM)))
    for one in pairs.worst:
        told = f"{score(one.live)} → {score(one.shadow)}"
        lines.append(line((f"{clock(one.time, seconds=True)}  ", DIM), f"{value_of(one.slice):<6} {told:<12} ", (one.request_id, DIM)))
    return lines[:room]


def probe_lines(probes: Sequence[ProbeView], width: int, signs: Signs) -> list[Line]:
    """The dependencies, worst first, as many in a line as fit."""
    order = {False: 0, None: 1, True: 2}
    lines: list[list[Span]] = []
    used = width + 1
    for one in sorted(probes, key=lambda probe: order[probe.ok]):
        sign, style = (signs.ok, GREEN) if one.ok else (signs.failing, "bold red") if one.ok is False else (signs.no_data, DIM)
        told = f"{one.name} {one.text}".strip()
        size = len(sign) + 1 + len(told) + 2
        if used + size > width + 2:
            lines.append([])
            used = 0
        lines[-1] += [(f"{sign} ", style), (one.name, BOLD if one.ok is False else DIM if one.ok is None else "")]
        lines[-1].append((f" {one.text}  " if one.text else "  ", DIM if one.ok is None else ""))
        used += size
    return [line(*spans) for spans in lines]


def teaching(width: int) -> list[Line]:
    """What would have to be there for health to be judged."""
    lines = [line(("Health is not judged in this environment.", BOLD)), line("")]
    for text in (
        "It is judged by what really was predicted: the predictions of the backend (a plugin with the role observations),"
        " or application logs in JSON lines.",
        "In mlconsole.yaml, under environments: NAME:",
    ):
        lines += folded(text, width)
    for example in (
        "  application_logs: {web: {endpoint: E, files: /var/log/web/*.jsonl, fields: {time: ts, status: code}}}",
        "  probes: {redis: {kind: redis, address: 127.0.0.1:6379, keys: 1000, repair: refill}}",
        "  notify: {ops: {kind: webhook, url_env: OPS_WEBHOOK}}",
    ):
        lines.append(line((example, DIM)))
    return [*lines, *folded("mlconsole guardian install lets somebody watch when no console is open.", width)]
