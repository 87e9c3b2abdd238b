"""Many versions, and why a version can't be deployed just now."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from mlconsole.engine.views import EndpointView, OperationView, Snapshot, State, VariantView
from mlconsole.engine.watching import Watch
from mlconsole.tui.pane import Pane
from mlconsole.tui.screens.versions import deploy_why_off
from mlconsole.tui.table import LiveTable
from tui.kit import House, opened, took


def _many(snapshot: Snapshot, count: int) -> Snapshot:
    one = snapshot.versions[0]
    made = tuple(replace(one, model=f"model-{n // 50:03d}", version=str(n % 50), endpoint=f"model-{n // 50:03d}") for n in range(count))
    return replace(snapshot, versions=made)


async def test_ten_thousand_versions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are there, and cost nothing while nothing changes: no row is made, none is drawn; the cursor moves as ever."""
    snapshot = _many(took(house), 10_000)
    monkeypatch.setattr(Watch, "take", lambda _: replace(snapshot, status=replace(snapshot.status)))
    async with opened(house, (120, 40)) as driver:
        await driver.press("1")
        await driver.sees("model-000@49")
        table = driver.app.view.query_one("#main", LiveTable)
        assert len(table.rows) == 10_000
        filled: list[int] = []
        monkeypatch.setattr(table, "fill", lambda rows, **_: filled.append(len(rows)))
        await driver.look()
        await driver.look()
        assert filled == []
        await driver.press("end")
        await driver.sees("model-199@0")
        began = time.perf_counter()
        for _ in range(20):
            table.move(-1)
            driver.app.view.on_pane_moved(Pane.Moved(table, table.rows[table.place].key))
        assert (time.perf_counter() - began) / 20 < 0.05
        await driver.press("slash")
        await driver.type("model-123@7")
        await driver.until(lambda: [row.key for row in table.rows] == ["model-123@7"], "one of ten thousand")


def _endpoint(**other: Any) -> EndpointView:
    variant = VariantView("v3", "relevance", "3", "ready", "", 10_000, 10_000, None, 0, 0.0)
    return replace(EndpointView("relevance", "staging", State.OK, "", "", release=4, variants=(variant,)), **other)


def test_when_an_endpoint_takes_nothing_new() -> None:
    """Each reason names the key that helps."""
    at = datetime(2026, 1, 5, tzinfo=UTC)
    change = OperationView(
        "c1", "relevance", "staging", "deploy", "running", 5, "v3", "v4", "tomek", "", at, None, "", doing="ask v4 a real query"
    )
    assert deploy_why_off(None) == ""
    assert deploy_why_off(_endpoint()) == ""
    assert "is changing (ask v4 a real query). u " in deploy_why_off(_endpoint(operation=change))
    assert "did not make relevance. K " in deploy_why_off(_endpoint(release=None))
    assert "u puts ours back, K keeps theirs" in deploy_why_off(_endpoint(finding="relevance was changed outside mlconsole: …"))
