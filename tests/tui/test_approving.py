"""Approving by key: a colleague reads what is asked for and says a word; who asked can't."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from mlconsole.core.models import Actor
from mlconsole.engine import changing, planning
from mlconsole.plugin.errors import ApprovalNeeded
from tui.kit import ANNA, TOMEK, House, changed, house_with, opened

RULE = "    approvals: {who: [anna, tomek], checklist: [read the 20 worst pairs]}\n"


@pytest.fixture
def asked(tmp_path: Path) -> House:
    """Anna wants v4 at 10 % and waits for a word."""
    house = house_with(tmp_path)
    changed(house, ("relevance", "deploy", "3"))
    file = house.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  staging:\n", f"  staging:\n{RULE}", 1))
    session = house.session(ANNA)
    with suppress(ApprovalNeeded):
        changing.run(session, planning.plan_deploy(session, "relevance", "4", share=1000, reason="fresher"))
    return house


def state(house: House, who: Actor = ANNA) -> str:
    found = house.session(who).registry.approval(1)
    assert found is not None
    return str(found.state)


async def test_a_colleague_approves(asked: House) -> None:
    async with opened(asked, who=TOMEK) as ui:
        await ui.press("A")
        await ui.sees("request 1", "fresher", "read the 20 worst pairs", "Recorded, and enforced by this tool only")
        await ui.press("y")
        await ui.sees("request 1: approved")
    assert state(asked) == "approved"


async def test_a_colleague_rejects_with_a_reason(asked: House) -> None:
    async with opened(asked, who=TOMEK) as ui:
        await ui.press("A")
        await ui.sees("y approve")
        await ui.press("n")
        await ui.sees("Why?")
        await ui.type("pl is worse")
        await ui.press("enter")
        await ui.sees("request 1: rejected")
    assert state(asked) == "rejected"


async def test_who_asked_reads_it_and_cannot_approve_it(asked: House) -> None:
    async with opened(asked, who=ANNA) as ui:
        await ui.press("A")
        await ui.sees("request 1", "You wrote it, so you can't approve it")
        await ui.press("y")
        await ui.press("escape")
    assert state(asked) == "waiting"


async def test_nothing_waits(tmp_path: Path) -> None:
    house = house_with(tmp_path)
    async with opened(house) as ui:
        await ui.press("A")
        await ui.sees("No request waits for an approval in staging")
