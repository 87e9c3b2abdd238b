"""Measure what is claimed: one line for each figure, a summary, bench-results/latest.json; exit 1 when a bound is missed."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import NoReturn

from tests.bench import (
    aws_faults,
    aws_interleavings,
    aws_refresh,
    aws_show,
    config_diff,
    config_interleavings,
    config_lint,
    config_mistakes,
    config_polling,
    config_whatif,
    console_link,
    console_screen,
    console_start,
    drills,
    false_pages,
    faults_real,
    faults_simulated,
    health_screen,
    ingest,
    judgement,
    killing,
    latency,
    memory,
    registry,
    reverting,
    rolling,
    shifting,
    split,
    start_up,
)
from tests.bench.figures import Figure, Measurement, machine
from tests.bench.house import ROOT

MEASUREMENTS: Mapping[str, Measurement] = {
    "start-up": start_up.measure,
    "latency": latency.measure,
    "split": split.measure,
    "shifting": shifting.measure,
    "reverting": reverting.measure,
    "memory": memory.measure,
    "registry": registry.measure,
    "ingest": ingest.measure,
    "killing": killing.measure,
    "console-start": console_start.measure,
    "console-screen": console_screen.measure,
    "console-link": console_link.measure,
    "health-screen": health_screen.measure,
    "false-pages": false_pages.measure,
    "drills": drills.measure,
    "judgement": judgement.measure,
    "rolling": rolling.measure,
    "config-diff": config_diff.measure,
    "config-lint": config_lint.measure,
    "config-whatif": config_whatif.measure,
    "config-mistakes": config_mistakes.measure,
    "config-polling": config_polling.measure,
    "config-interleavings": config_interleavings.measure,
    "aws-interleavings": aws_interleavings.measure,
    "aws-show": aws_show.measure,
    "aws-faults": aws_faults.measure,
    "rollout-faults": faults_simulated.measure,
    "aws-refresh": aws_refresh.measure,
    "rollout-faults-real": faults_real.measure,
}
RESULTS = ROOT / "bench-results" / "latest.json"
_SIGNS = {True: "✔", False: "✖", None: " "}


def main() -> int:
    """Run the measurements; the exit code."""
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("--long", action="store_true", help="the full counts")
    parser.add_argument("--only", action="append", choices=list(MEASUREMENTS), metavar="NAME", help=f"one of {', '.join(MEASUREMENTS)}")
    options = parser.parse_args()
    # Ended from outside, we still stop what we started.
    signal.signal(signal.SIGTERM, _ended)
    names = options.only or list(MEASUREMENTS)
    about = machine()
    place = f"{about['system']}, Python {about['python']}, {about['processors']} processors, load {about['load']}"
    print(f"{place}, {about['commit']}", flush=True)
    began = time.monotonic()
    results: dict[str, list[Figure]] = {}
    seconds: dict[str, float] = {}
    for name in names:
        started = time.monotonic()
        print(f"\n{name}", flush=True)
        results[name] = _measured(MEASUREMENTS[name], options.long)
        seconds[name] = round(time.monotonic() - started, 1)
    figures = [figure for found in results.values() for figure in found]
    missed = [figure for figure in figures if figure.held is False]
    body = {
        "schema": 1,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "long": options.long,
        "machine": about,
        "seconds": seconds,
        "missed": [figure.name for figure in missed],
        "figures": [{"measurement": name, **asdict(figure)} for name, found in results.items() for figure in found],
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(body, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    bounded = sum(figure.held is not None for figure in figures)
    took = time.monotonic() - began
    print(f"\n{bounded - len(missed)} of {bounded} bounds held, {len(figures) - bounded} figures without one, {took:.0f} s")
    for figure in missed:
        print(f"✖ {figure.name}: {figure.told} (bound {figure.bound})")
    print(f"All of it: {RESULTS.relative_to(ROOT)}")
    return 1 if missed else 0


def _measured(measurement: Measurement, long: bool) -> list[Figure]:
    """The figures of one measurement; that it broke off is one too, and not one that holds."""
    figures: list[Figure] = []
    try:
        for figure in measurement(long, _say):
            figures.append(figure)
            _print(figure)
    except Exception as error:  # noqa: BLE001  whatever it is: the others are measured, and this one is told
        traceback.print_exc()
        figures.append(Figure("broke off", f"{type(error).__name__}: {error}".splitlines()[0][:200], "to its end", False))
        _print(figures[-1])
    return figures


def _print(figure: Figure) -> None:
    bound = f"  bound {figure.bound}" if figure.bound else ""
    print(f"  {_SIGNS[figure.held]} {figure.name:<54} {figure.told}{bound}", flush=True)
    for line in _found(figure)[:3]:
        print(f"      {line}", flush=True)


def _found(figure: Figure) -> Sequence[str]:
    return figure.values.get("found", ()) if figure.held is False else ()


def _say(text: str) -> None:
    print(f"    … {text}", flush=True)


def _ended(*_: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
