"""Approvals as one person at one terminal sees them: what waits, why one's own word is not enough, the report, and waiting."""

from __future__ import annotations

import os
import pwd
import re

import pytest

from e2e.kit import Simulated

ME = pwd.getpwuid(os.getuid()).pw_name
WAITS = re.compile(
    r"Waits for approval: request 1, plan [0-9a-f]+, relevance v3 → v4 in staging\. Needs 1 of tomek, ola; not you\. "
    r"Ask: mlconsole approvals show 1 --md prints the report\. Wait: mlconsole wait 1 --until approved --timeout 2h"
)


def ruled(console: Simulated, rule: str) -> Simulated:
    """The same workspace, in which staging wants approvals."""
    file = console.root / "mlconsole.yaml"
    file.write_text(file.read_text().replace("  staging:\n", f"  staging:\n    approvals: {rule}\n", 1))
    return console


@pytest.fixture
def asked(served: Simulated) -> Simulated:
    """v4 stands ready; that it gets all of the traffic waits for tomek or ola, and they are not here."""
    served.run("deploy", "relevance@4", "--yes")
    console = ruled(served, "{who: [tomek, ola], checklist: [read the 20 worst pairs, asked the risk team]}")
    sentence = console.refused_plan("traffic", "set", "relevance", "v4=100", "--yes", "--reason", "fresher", code=4)
    assert WAITS.fullmatch(sentence)
    return console


def test_nothing_happened_and_scripts_are_told(asked: Simulated) -> None:
    error = asked.json("traffic", "set", "relevance", "v4=100", "--yes", code=4)["error"]
    assert error["code"] == "approval_needed"
    assert WAITS.fullmatch(f"{error['message']} {error['next']}"), "asked again it is the same request"
    assert asked.json("endpoints", "show", "relevance")["release"] == 2


def test_ones_own_word_and_no_variable_that_makes_one_another(asked: Simulated) -> None:
    own = r"You wrote it, so you can't approve it\. tomek or ola can\. .*"
    assert re.fullmatch(own, asked.refused("approvals", "approve", "1", code=7))
    assert re.fullmatch(own, asked.refused("approvals", "reject", "1", "no", code=7))
    for variable in ("LOGNAME", "USER", "SUDO_USER", "MLCONSOLE_USER"):
        asked.refused("approvals", "approve", "1", code=7, environ={variable: "tomek"})
    assert asked.json("approvals", "show", "1")["approval"]["state"] == "waiting"


def test_the_plan_says_so_before(asked: Simulated) -> None:
    told = asked.run("traffic", "set", "relevance", "v4=100", "--dry-run").out
    assert "asks   needs 1 of tomek, ola; not you (request 1 waits)" in told


def test_listed_shown_and_as_markdown(asked: Simulated) -> None:
    [one] = asked.json("approvals", "list")["approvals"]
    assert (one["number"], one["state"], one["open"], one["summary"]) == (1, "waiting", True, "relevance v3 → v4 in staging")
    assert one["effect"]["share of v4"] == "100 %"
    assert one["checklist"] == [
        {"question": "read the 20 worst pairs", "answer": None},
        {"question": "asked the risk team", "answer": None},
    ]
    assert re.search(r"^ +1  .*relevance v3 → v4 in staging +\? waiting$", asked.run("approvals", "list").out, re.MULTILINE)
    shown = asked.run("approvals", "show", "1").out
    assert "once approved: mlconsole traffic set relevance v4=100 --env staging --reason fresher" in shown
    assert "Recorded, and enforced by mlconsole only." in shown
    report = asked.run("approvals", "show", "1", "--md").out
    assert report.startswith("# Approval: relevance v3 → v4 in staging\n")
    assert f"| asked by | {ME}@" in report
    assert "- [ ] read the 20 worst pairs" in report
    assert "enforced by mlconsole only" in report
    assert asked.json("approvals", "show", "1")["approval"]["report"] == report
    assert asked.json("approvals", "list", "--env", "production")["approvals"] == []
    assert "Nothing waits" in asked.run("approvals", "list", "--env", "production").out


def test_the_checklist(asked: Simulated) -> None:
    assert "1 of 2 answered" in asked.run("approvals", "check", "1", "read=yes").out
    body = asked.json("approvals", "check", "1", "2=no: they sleep")["approval"]
    assert [one["answer"] for one in body["checklist"]] == [f"yes ({ME})", f"no: they sleep ({ME})"]
    for wrong, told in (("3=yes", 'does not ask "3"'), ("1=perhaps", "is no answer"), ("yes", "is no answer"), ("=yes", "is no answer")):
        assert told in asked.refused("approvals", "check", "1", wrong)
    assert "twice" in asked.refused("approvals", "check", "1", "1=yes", "1=no")


def test_waiting_for_it(asked: Simulated) -> None:
    assert "Needs 1 of tomek, ola" in asked.refused("wait", "1", "--until", "approved", "--timeout", "0.1s", code=8)
    assert asked.json("wait", "1", "--timeout", "0", code=8)["error"]["code"] == "timed_out"
    asked.run("approvals", "withdraw", "1", "not today")
    assert "withdrawn by" in asked.refused("wait", "1", "--until", "approved", code=7)
    assert asked.json("approvals", "list")["approvals"] == []
    assert [one["state"] for one in asked.json("approvals", "list", "--all")["approvals"]] == ["withdrawn"]
    assert "is withdrawn already" in asked.refused("approvals", "withdraw", "1", code=5)


def test_mistakes(asked: Simulated) -> None:
    assert "no request 9" in asked.refused("approvals", "show", "9")
    assert "no request 9" in asked.refused("wait", "9", "--until", "approved")
    assert "is no request" in asked.refused("wait", "relevance", "--until", "approved")
    assert 'no change "9"' in asked.refused("wait", "9")
    assert "Read only" in asked.refused("approvals", "withdraw", "1", "--read-only", code=7)
    asked.refused("approvals", "show", "one")
    asked.refused("wait", "1", "--timeout", "soon")


def test_going_back_waits_for_nobody(asked: Simulated) -> None:
    assert asked.json("revert", "relevance", "--yes")["done"] is True


def test_the_whole_way_where_an_author_may(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes")
    console = ruled(served, "{author_may: true}")
    plan = console.json("traffic", "set", "relevance", "v4=100", "--dry-run")["plan"]["id"]
    assert "You may, too: mlconsole approvals approve 1." in console.refused_plan("apply", plan, "--yes", code=4)
    assert "It can be done now: mlconsole traffic set relevance v4=100" in console.run("approvals", "approve", "1", "looks fine").out
    assert console.json("wait", "1", "--until", "approved")["approval"]["votes"][0]["text"] == "looks fine"
    body = console.json("apply", plan, "--yes")
    assert body["done"] is True
    [one] = console.json("approvals", "list", "--all")["approvals"]
    assert (one["state"], one["used"], one["open"]) == ("approved", body["operation"]["id"], False)
    assert console.json("wait", body["operation"]["id"])["done"] is True, "a change's id is still a change's"


def test_wait_sees_a_rollouts_name_too(served: Simulated) -> None:
    assert "no rollout" in served.refused("wait", "relevance", "--until", "done")


# Among the changes.


def test_the_history_tells_requests_among_the_changes(asked: Simulated) -> None:
    asked.run("approvals", "withdraw", "1", "not today")
    found = asked.json("history", "list")["changes"]
    assert [one["kind"] for one in found] == ["approval", "deploy", "deploy"]
    assert set(found[1]) <= set(found[0]), "whoever reads changes finds every key of theirs"
    assert {type(found[0][key]) for key in ("id", "endpoint", "environment", "state", "now", "then", "who", "reason", "started")} == {str}
    request = found[0]
    assert request["id"] == "request 1"
    assert (request["request"], request["state"], request["release"], request["then"]) == (
        1,
        "withdrawn",
        None,
        "relevance v3 → v4 in staging",
    )
    assert request["who"].startswith(f"{ME}@")
    assert (request["reason"], request["votes"], request["used"]) == ("fresher", [], None)
    assert "not today" in request["problem"]
    assert request["started"] >= found[1]["started"]
    told = asked.run("history", "list").out.splitlines()
    assert re.match(
        rf"request 1 +\d\d \w+ \d\d:\d\d:\d\d +{ME}@\S+ +relevance v3 → v4 in staging: withdrawn by .*: not today +· withdrawn", told[1]
    )
    assert asked.json("history", "list", "--limit", "1")["changes"] == [request]
    assert asked.json("history", "list", "--env", "production")["changes"] == []


def test_a_request_is_shown_by_its_number(asked: Simulated) -> None:
    shown = asked.run("approvals", "show", "1").out
    for name in ("1", "request 1"):
        assert asked.run("history", "show", name).out == shown
    assert asked.json("history", "show", "1")["approval"]["number"] == 1
    assert "no request 9" in asked.refused("history", "show", "request 9")
    assert 'no change "9"' in asked.refused("history", "show", "9")
    assert asked.json("history", "show", "relevance")["approval"] is None


def test_a_change_says_who_approved_it(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes")
    console = ruled(served, "{author_may: true}")
    console.refused_plan("traffic", "set", "relevance", "v4=100", "--yes", code=4)
    console.run("approvals", "approve", "1", "looks fine")
    change = console.json("traffic", "set", "relevance", "v4=100", "--yes")["operation"]["id"]
    assert re.search(rf"approved by {ME} \d\d:\d\d: mlconsole approvals show 1$", console.run("history", "show", change).out, re.MULTILINE)
    assert console.json("history", "show", change)["approval"] == 1
    told = console.run("history", "list").out
    assert re.search(rf"^request 1 .*: looks fine +✔ approved by {ME} \d\d:\d\d, used for {change}$", told, re.MULTILINE)
