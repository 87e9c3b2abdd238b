"""As whom one acts at a backend, and until when, as scripts and people meet it. All is simulated."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from e2e.kit import Simulated, until
from e2e.test_health_commands import TIME
from e2e.test_rollout_commands import POLICIES
from mlconsole.core.clock import SystemClock

WHO = "ops-guardian"


@pytest.fixture
def known(served: Simulated) -> Iterator[Simulated]:
    """A guardian watches, and the backend knows as whom, for an hour."""
    file = served.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("world: staging.json,", f"world: staging.json, caller: {WHO}, account: '4711',") + POLICIES)
    served.world().credentials_end(SystemClock().now() + timedelta(hours=1))
    served.run("guardian", "start", "--env", "staging")
    until(lambda: served.json("guardian", "status", "--env", "staging")["environments"]["staging"]["caller"])
    yield served
    served.run("guardian", "stop", "--env", "staging")


def test_everybody_is_told_as_whom_and_until_when(known: Simulated) -> None:
    caller = known.json("guardian", "status", "--env", "staging")["environments"]["staging"]["caller"]
    assert (caller["name"], caller["account"], caller["region"]) == (WHO, "4711", "")
    assert TIME.fullmatch(caller["expires"])
    ends = datetime.fromisoformat(caller["expires"]).astimezone()
    assert f"as {WHO}: its credentials last until {ends:%H:%M}" in known.run("guardian", "status", "--env", "staging").out
    assert known.json("status")["watches_as"] == caller
    assert known.json("info")["info"]["acts as"] == f"{WHO} (4711); its credentials last until {ends:%H:%M}"
    known.world().credentials_end(SystemClock().now())
    assert "token expired" in known.json("info")["info"]["acts as"]


def test_a_rollout_that_outlasts_them_does_not_begin(known: Simulated) -> None:
    plan = known.json("rollout", "start", "relevance@4", "--policy", "quick", "--dry-run")["plan"]
    assert plan["watch"].startswith("guardian ")
    assert f" as {WHO} (its credentials last until " in plan["watch"]
    assert plan["refused"] == ""
    file = known.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("wait: 600", "wait: 7200"))
    sentence = known.run("rollout", "start", "relevance@4", "--policy", "patient", "--yes", code=7).err
    assert "The guardian's credentials end " in sentence
    assert "Not started." in sentence
    assert known.json("rollout", "list")["rollouts"] == []


def test_a_rollout_that_they_end_before_says_so(known: Simulated) -> None:
    known.run("rollout", "start", "relevance@4", "--policy", "patient", "--yes")
    assert known.json("rollout", "status", "relevance")["rollout"]["credentials"] == ""
    known.run("guardian", "stop", "--env", "staging")
    known.world().credentials_end(SystemClock().now() + timedelta(seconds=300))
    known.run("guardian", "start", "--env", "staging")
    told = until(lambda: known.json("rollout", "status", "relevance")["rollout"]["credentials"])
    assert told.startswith("its driver's credentials end ")
    assert f"▲ {told}" in known.run("rollout", "status", "relevance").out
    assert "relevance  rollout: its driver's credentials end" in " ".join(
        known.run("status", code={0, 1}).out.replace("\n  ", " ").splitlines()
    )
    known.run("rollout", "revert", "relevance", "--reason", "enough")
