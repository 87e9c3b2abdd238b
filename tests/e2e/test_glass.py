"""A freeze and breaking the glass, as commands: what is refused, with which words and exit code, and where a reason stays visible."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from e2e.kit import Simulated

WHY = "v3 leaks memory"


@pytest.fixture
def frozen(served: Simulated) -> Simulated:
    """v3 serves, v4 stands by; nothing goes forward in staging for an hour."""
    served.run("deploy", "relevance@4", "--yes")
    begin, end = (f"{datetime.now(UTC) + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (-1, 1))
    file = served.root / "mlconsole.yaml"
    window = f'    freeze: [{{from: "{begin}", until: "{end}", reason: Black Friday, by: tomek}}]\n'
    file.write_text(file.read_text().replace("  staging:\n", f"  staging:\n{window}", 1))
    return served


FORWARD = [
    ("deploy", "relevance@5", "--traffic", "10", "--yes"),
    ("traffic", "set", "relevance", "v4=10", "--yes"),
    ("endpoints", "remove", "relevance", "v4", "--confirm", "v4"),
    ("endpoints", "delete", "relevance", "--confirm", "relevance"),
]


@pytest.mark.parametrize("command", FORWARD, ids=lambda command: " ".join(command[:2]))
def test_what_goes_forward_is_refused_and_a_reason_overrules_that(frozen: Simulated, command: tuple[str, ...]) -> None:
    sentence = frozen.refused(*command, code=7)
    assert sentence.startswith("Frozen until ")
    assert '("Black Friday", by tomek). Going back, pausing and acknowledging still work. Nothing was changed.' in sentence
    assert sentence.endswith('Break-glass needs a reason: --break-glass "…".')
    assert frozen.json(*command, code=7)["error"]["code"] == "refused"
    assert frozen.json("endpoints", "show", "relevance")["release"] == 2
    body = frozen.json(*command, "--break-glass", WHY)
    assert body["done"] is True
    assert body["operation"]["skipped_gates"] == ["freeze (Black Friday)"]


def test_it_stays_visible(frozen: Simulated) -> None:
    plan = frozen.run("traffic", "set", "relevance", "v4=10", "--break-glass", WHY, "--dry-run").out
    assert f"the freeze is skipped ({WHY}); that stays visible on the release" in plan
    assert "skipped gate: freeze (Black Friday)" in plan
    change = frozen.json("traffic", "set", "relevance", "v4=10", "--yes", "--break-glass", WHY)["operation"]["id"]
    assert "▲ skipped gate: freeze (Black Friday)" in frozen.run("history", "show", change).out
    [newest, *_] = frozen.json("releases", "list", "relevance")["releases"]
    assert (newest["skipped_gates"], newest["reason"]) == (["freeze (Black Friday)"], WHY)


def test_a_plan_that_is_kept_is_not_applied_in_it_and_going_back_is(served: Simulated, frozen: Simulated) -> None:
    plan = frozen.json("traffic", "set", "relevance", "v4=10", "--break-glass", WHY, "--dry-run")["plan"]["id"]
    assert frozen.json("apply", plan, "--yes")["done"] is True, "it was made for a reason"
    assert frozen.json("revert", "relevance", "--yes")["done"] is True


def test_an_empty_reason_is_none(frozen: Simulated) -> None:
    for empty in ("", "  "):
        assert "Break-glass needs a reason" in frozen.refused("traffic", "set", "relevance", "v4=10", "--break-glass", empty, code=7)


def test_both_reasons_are_kept(frozen: Simulated) -> None:
    frozen.run("traffic", "set", "relevance", "v4=10", "--yes", "--reason", "fresher", "--break-glass", WHY)
    assert frozen.json("releases", "list", "relevance")["releases"][0]["reason"] == f"fresher · glass broken: {WHY}"
