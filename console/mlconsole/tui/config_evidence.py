"""What a config document's change does to decisions, in rows and lines: what if it were live, what was forecast and what came, and the
rollout that publishes it. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from mlconsole.core.text import duration
from mlconsole.engine.documentviews import DifferenceView, DocumentView, FlipView, ForecastRowView, ForecastView, WhatIfRowView, WhatIfView
from mlconsole.engine.views import RolloutView
from mlconsole.tui import rollout_guards as guards
from mlconsole.tui import rollout_words as words
from mlconsole.tui.config_words import difference_told, flowing
from mlconsole.tui.figures import clock, count, moment, score
from mlconsole.tui.pane import Line, Span, line, width_of
from mlconsole.tui.rollout_words import folded
from mlconsole.tui.signs import BOLD, DIM, GREEN, RED, YELLOW, Signs
from mlconsole.tui.table import Column, Row

_MODEL = Column("model", "MODEL", least=8, most=20, keep=85)
WHAT_IF = (
    _MODEL,
    Column("slice", "SLICE", least=5, most=14, keep=100),
    Column("threshold", "THRESHOLD", least=11, most=22, keep=80),
    Column("before", "ALERTS/DAY", right=True, least=6, keep=90),
    Column("then", "THEN", right=True, least=6, keep=95),
    Column("change", "CHANGE", right=True, least=6, keep=70),
    Column("flips", "FLIPS", right=True, least=5, keep=75),
    Column("n", "n", right=True, least=5, keep=60),
    Column("note", "", grows=True, least=18, most=70, keep=88),
)
FORECAST = (
    _MODEL,
    Column("slice", "SLICE", least=6, most=14, keep=100),
    Column("before", "BEFORE", right=True, least=8, keep=80),
    Column("forecast", "FORECAST", right=True, least=8, keep=95),
    Column("far", "SO FAR", right=True, least=12, keep=90),
    Column("verdict", "VERDICT", grows=True, least=12, most=80, keep=98),
)
_VERDICTS = {"proven": GREEN, "broken": f"{BOLD} {RED}", "not touched": DIM, "unknown": DIM}


# What if.


def amount(number: float) -> str:
    """`525`, `158 k`, `3.2 M`."""
    if number < 10_000:
        return count(number)
    if number < 999_500:
        return f"{number / 1000:.0f} k"
    return f"{number / 1e6:.1f} M"


def rate(value: float | None) -> str:
    """Alerts a day; what is not known is `?`, never 0."""
    if value is None:
        return "?"
    return f"{value:,.0f}".replace(",", " ") if value >= 10 or value == int(value) else f"{value:.1f}"


def change_told(row: WhatIfRowView) -> str:
    """`× 4.4`; `–` where it stays, `+ 97` where there was none."""
    if row.before is None or row.then is None:
        return "?"
    if row.before == row.then:
        return "–"
    if not row.before:
        return f"+ {rate(row.then)}"
    times = row.then / row.before
    return f"× {times:.2f}" if times < 1 else f"× {times:.1f}" if times < 100 else f"× {times:.0f}"


def rows_shown(view: WhatIfView, language: str) -> list[WhatIfRowView]:
    """The rows of the models that are touched: the touched slice beside its siblings."""
    models = {row.model for row in view.rows if row.touched}
    return [row for row in view.rows if row.model in models and (not language or row.slice == language)]


def what_if_rows(rows: Sequence[WhatIfRowView], signs: Signs) -> list[Row]:
    """As rows of a table."""
    return [Row(row.pointer or f"{row.model}/{row.slice}", _what_if_cells(row, signs)) for row in rows]


def _what_if_cells(row: WhatIfRowView, signs: Signs) -> dict[str, str | Span]:
    quiet = "" if row.touched else DIM
    figures: dict[str, str | Span] = {"model": (row.model, quiet), "slice": (row.slice or "all", BOLD if row.touched else DIM)}
    figures["threshold"] = (row.threshold, f"{BOLD} {YELLOW}" if row.touched and "→" in row.threshold else quiet)
    if row.unknown:
        return figures | {"note": (f"{signs.no_data} {row.unknown}", YELLOW if row.touched else DIM), "n": (amount(row.n), DIM)}
    figures |= {
        "before": (rate(row.before), quiet),
        "then": (rate(row.then), BOLD if row.touched else DIM),
        "change": (change_told(row), BOLD if row.touched else DIM),
        "flips": (amount(row.flips) if row.flips is not None else "?", quiet),
        "n": (amount(row.n), quiet),
    }
    if row.touched and row.note:
        return figures | {"note": (f"{signs.look} {row.note}", YELLOW)}
    return figures | {"note": (row.note or ("" if row.touched else "not touched"), quiet)}


def what_if_columns(rows: Sequence[WhatIfRowView] | Sequence[ForecastRowView], columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """With the model only where there are several."""
    return columns if len({row.model for row in rows}) > 1 else columns[1:]


def what_if_title(view: WhatIfView) -> str:
    """`what if · last 7 days decided again`."""
    days = f"{view.days:g} days" if view.days != 1 else "day"
    return f"what if · last {days} decided again" + (f" · gaps: {view.gaps}" if view.gaps else "")


def flip_lines(view: WhatIfView, row: WhatIfRowView) -> list[Line]:
    """The predictions that would have been decided otherwise, to be read."""
    told = f"{amount(row.flips or 0)} of {count(row.n)} predictions would be decided otherwise ({row.threshold}, {view.days:g} days)."
    lines = [line((told, BOLD))]
    if view.gaps:
        lines.append(line((f"Not captured: {view.gaps}", YELLOW)))
    if not row.examples:
        return [*lines, line(("None of them is kept to be read." if row.flips else "There is none to read.", DIM))]
    if row.flips and row.flips > len(row.examples):
        lines.append(line((f"{len(row.examples)} of them:", DIM)))
    return [*lines, line(""), *(_flip_line(each) for each in row.examples)]


def _flip_line(one: FlipView) -> Line:
    decided = {True: "alert", False: "no alert"}
    at = f"{one.at.astimezone():%a %d %b} {clock(one.at, seconds=True)}"
    told = f"{decided[one.before]} → {decided[one.then]}"
    return line((f"{at}  ", DIM), (f"{score(one.score):>5}  ", BOLD), f"{told:<18}  {one.text}", (f"  {one.request_id}", DIM))


# The forecast.


def forecast_rows(view: ForecastView | None, version: int | str | None, signs: Signs, language: str = "") -> list[Row]:
    """Before, as forecast, and what came so far; nothing for another version, or where nothing could be forecast."""
    if view is None or str(view.version) != str(version) or all(row.forecast is None for row in view.rows):
        return []
    return [Row(f"{row.model}/{row.slice}", _forecast_cells(row, signs)) for row in view.rows if not language or row.slice == language]


def _forecast_cells(row: ForecastRowView, signs: Signs) -> dict[str, str | Span]:
    quiet = DIM if row.verdict == "not touched" else ""
    sign = {"proven": signs.ok, "broken": signs.failing, "not touched": ""}.get(row.verdict, signs.no_data)
    word = row.verdict if row.verdict in ("proven", "broken", "not touched") else ""
    told = " ".join(part for part in (sign, word, row.text if row.verdict != "not touched" else "") if part)
    return {
        "model": (row.model, quiet),
        "slice": (row.slice or "all", BOLD if not quiet else DIM),
        "before": (rate(row.before), quiet),
        "forecast": (rate(row.forecast), BOLD if not quiet else DIM),
        "far": (f"{count(row.alerts)} of {count(row.n)}", quiet),
        "verdict": (told, _VERDICTS.get(row.verdict, YELLOW)),
    }


def forecast_title(view: ForecastView) -> str:
    """What it is, and whether it is looked at further."""
    if not view.over:
        return f"forecast of {view.version}, looked at again until it is proven"
    broken = sum(1 for row in view.rows if row.verdict == "broken")
    return f"forecast of {view.version} · " + (f"broken in {broken}" if broken else "proven")


# The rollout that publishes it.


def publication_title(one: DocumentView, rollout: RolloutView, changes: Sequence[DifferenceView]) -> tuple[Line, str]:
    """`config 127 · relevance · de · threshold 0.62 → 0.58`, and `live 126 → 127`."""
    number = words.version_of(rollout)
    spans: list[Span] = [(f"config {number}", BOLD)]
    if rollout.state == "going back":
        spans.append((" · GOING BACK, nothing for you to do", BOLD))
    elif len(changes) == 1:
        spans.append((f" · {changes[0].where or one.name} {difference_told(changes[0]).partition('   ')[0]}", BOLD))
    else:
        touched = touched_of(one, number)
        told = touched[0] if len(touched) == 1 else f"{len(changes) or len(touched)} values" if changes or touched else one.name
        spans.append((f" · {told}", BOLD))
    if rollout.state == "paused":
        spans.append((" · PAUSED", YELLOW))
    before, after = before_of(one, rollout), number
    return line(*spans), f"live {after} → {before}" if rollout.state == "going back" else f"live {before} → {after}"


def before_of(one: DocumentView, rollout: RolloutView) -> str:
    """The number of the version that it takes the clients from; `none` where there is none."""
    stable = "".join(char for char in ", ".join(rollout.stable) if char.isdigit())
    return stable or str(one.before or "none")


def touched_of(one: DocumentView, number: str) -> tuple[str, ...]:
    """What a version changed, as people read it."""
    return next((each.touched for each in one.versions if str(each.number) == number), ())


def publication_lines(
    one: DocumentView, rollout: RolloutView, width: int, keys: Mapping[str, str], signs: Signs, now: datetime, *, way_back: bool
) -> list[Line]:
    """Its stages and when it can be through; what the store says; and, where nothing else tells it, the way back."""
    ends = f"not before {moment(rollout.done_about, now)}" if rollout.done_about is not None and rollout.state != "going back" else ""
    stages = words.stages_line(rollout, width, signs)
    gap = width - width_of(stages) - len(ends)
    beside = bool(ends) and gap >= 2
    lines = [line(*stages, (" " * gap, ""), (ends, "")) if beside else stages]
    polls = f"clients poll every {duration(one.poll_lag)}" if one.poll_lag else ""
    told = " · ".join(part for part in (one.publication, polls, "" if beside else ends) if part)
    lines += folded(told, width) if told else []
    lines += folded(one.told, width, style=DIM) if one.told else []
    if rollout.why:
        lines += folded(rollout.why, width, style=YELLOW if rollout.state in ("paused", "waiting") else "")
    if way_back:
        back = f"{keys['go_back']}  {words.back_told(rollout)}" if "revert" in rollout.controls else "under way, by itself"
        lines += [line(("way back  ", BOLD), back)]
        alone = f"{one.watching}; guards on a FAIL" if one.watching else "guards do it alone on a FAIL"
        lines += folded(alone, width, style=DIM, first=" " * 13) if "revert" in rollout.controls else []
    if not rollout.driver:
        lines.append(line(("nobody drives it just now", RED)))
    return lines


def guard_lines(rollout: RolloutView, width: int, signs: Signs, language: str = "") -> list[Line]:
    """The guards: what does not pass in a line each, what passes side by side."""
    lines: list[Line] = []
    passed: list[tuple[Span, ...]] = []
    for row in guards.rows(rollout, signs, language):
        sign, guard, new, verdict = (_span(row.cells[key]) for key in ("sign", "guard", "new", "verdict"))
        if sign[0] == signs.ok:
            worst = verdict[0].partition("worst ")[2]
            passed.append(
                ((f"{sign[0]} ", sign[1]), (guard[0], ""), (f" worst {worst}" if worst else f" {new[0]}" if new[0] != "–" else "", ""))
            )
        else:
            lines.append(line((f"{sign[0]} ", sign[1]), (f"{guard[0]}  ", guard[1]), verdict))
    return lines + flowing(passed, width) or [line(("no guard was asked yet", DIM))]


def _span(cell: str | Span) -> Span:
    return (cell, "") if isinstance(cell, str) else cell


def begun_line(rollout: RolloutView, now: datetime) -> Line:
    """`14:18 published by anna, "de misses too many", plan b21c`."""
    why = f', "{rollout.reason}"' if rollout.reason else ""
    who = rollout.who.partition("@")[0]
    return line((f"{moment(rollout.started, now)} ", DIM), f"published by {who}{why}, plan {rollout.id}")


def equal_line(one: DocumentView, rollout: RolloutView, changes: Sequence[DifferenceView], signs: Signs) -> Line:
    """What was changed, and that everything else in the file is as before; nothing where that is not known."""
    if not changes or any(each.pointer == "" for each in changes):
        return ()
    entries = sum(1 for entry in one.entries if not any(_inside(each.pointer, entry.pointer) for each in changes))
    before = before_of(one, rollout)
    others = f" ({entries} other entries)" if entries else ""
    return line((f"{signs.ok} ", GREEN), f"everything else in the file equals {before}{others}")


def _inside(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


def doing_told(kind: str, step: int, steps: int, state: str) -> str:
    """An ordinary change of the document that is under way."""
    if state == "going back":
        return "GOING BACK"
    return f"{kind} under way" + (f", step {step} of {steps}" if steps else "")
