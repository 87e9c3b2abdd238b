"""`health`, `guardian`, `action` and `status` as scripts and people meet them: JSON, exit codes, widths, wrong names. All is simulated."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from e2e.kit import NASTY, Simulated, copied, ended, press_ctrl_c, until
from mlconsole.plugin.simulator import Behaviour, Fault, FaultKind, Load

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
LANGUAGES = {"language": {"en": 0.6, "de": 0.25, "pl": 0.15}}
WIDTH = 46


def change(console: Simulated, before: str, after: str) -> None:
    """Write something else into mlconsole.yaml, once."""
    file = console.root / "mlconsole.yaml"
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def serve(console: Simulated, count: int = 300, seconds: float = 590.0) -> None:
    """Requests of the last ten minutes, so few a second that it takes half a minute without any until nothing is known."""
    console.world().serve("relevance", Load(count, seconds=seconds, slices=LANGUAGES))


def behave(console: Simulated, behaviour: Behaviour) -> None:
    variant = console.world().live("relevance").variant("v3")
    assert variant is not None
    assert variant.digest is not None
    console.world().behave(variant.digest, behaviour)


@pytest.fixture
def sick(served: Simulated) -> Simulated:
    """German requests fail, and alarm 1 is open. Nobody watches."""
    behave(served, Behaviour(by_slice={"language=de": Behaviour(refuses={"*": f"no model for de {NASTY}"})}))
    serve(served)
    served.run("health", code=1)
    return served


@pytest.fixture
def watched(served: Simulated) -> Iterator[Simulated]:
    """A guardian watches staging; ended at the end."""
    served.run("guardian", "start", "--env", "staging")
    yield served
    served.run("guardian", "stop", "--env", "staging")


def moments(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every time in a document."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from moments(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from moments(inner, name)
    elif isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\d[T ]", value):
        yield name, value


def narrow(text: str) -> str:
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    return text


# health


def test_health_of_what_is_well(served: Simulated) -> None:
    serve(served, 2000)
    told = served.run("health").out
    assert re.search(r"✔ +relevance +ok", told)
    serve(served, 60, 10)
    assert "NOBODY WATCHES: health is looked at only while somebody asks. mlconsole guardian install" in told
    body = served.json("health")
    assert {"at", "as_of", "endpoints", "alarms", "probes", "watcher", "runs", "trouble", "minutes", "schema"} <= set(body)
    [there] = body["endpoints"]
    assert (there["endpoint"], there["verdict"]) == ("relevance", "pass")
    assert {one["slice"] for one in there["slices"]} == {"", *(f"language={name}" for name in LANGUAGES["language"])}
    found = dict(moments(body))
    assert all(TIME.fullmatch(one) for one in found.values()), found
    assert datetime.now(UTC) - datetime.fromisoformat(body["at"]) < timedelta(minutes=1)
    assert body["alarms"] == []


def test_health_of_an_endpoint_that_fails(sick: Simulated) -> None:
    told = sick.run("health", code=1).out
    assert re.search(r"✖ alarm 1 · relevance: errors in de since \d\d:\d\d:\d\d · nobody has it", told)
    assert re.search(r"✖ +language=de +fail", told)
    body = sick.json("health", code=1)
    [alarm] = body["alarms"]
    assert (alarm["number"], alarm["state"], alarm["question"], alarm["title"]) == (1, "firing", "errors", "errors in de")
    assert alarm["triage"]["revert_helps"] is False
    assert all(TIME.fullmatch(one) for _, one in moments(body))
    assert sick.json("health", "relevance", code=1)["endpoints"][0]["verdict"] == "fail"
    assert sick.run("health", "--read-only", code=1).out
    # One line for each in a terminal's width, and wrapped in none.
    assert max(map(len, told.splitlines())) < 200


def test_health_of_one_endpoint_says_nothing_of_another(sick: Simulated) -> None:
    sick.run("deploy", "delay-risk@1", "--yes")
    sick.world().serve("delays", Load(100, seconds=30, slices=LANGUAGES))
    sick.run("health", "now", "delays")
    sick.run("health", "now", "relevance", code=1)


def test_health_that_cannot_be_known_is_not_well(served: Simulated) -> None:
    served.world().inject(Fault(FaultKind.AUTH, on="predictions.*", times=None, reason=f"expired {NASTY}"))
    told = served.run("health", code=6).out
    assert "? Predictions can't be read: expired \\x1b[31mred" in told
    body = served.json("health", code=6)
    assert body["endpoints"][0]["verdict"] == "no_data"
    assert "expired" in body["trouble"]


def test_health_where_nothing_is(sim: Simulated) -> None:
    assert "No endpoint yet: nothing has a health." in sim.run("health").out
    assert sim.json("health")["endpoints"] == []
    assert sim.run("health", "alarms").out == "No alarm yet.\n"
    assert sim.json("health", "alarms")["alarms"] == []
    assert "There is no alarm 1 in staging. Nothing was changed. There was none yet." in sim.refused("health", "ack", "1", "x")


def test_health_watch_is_a_stream(sick: Simulated) -> None:
    with sick.started("health", "watch", "--json", "--every", "0.5") as process:
        assert process.stdout is not None
        bodies = [json.loads(process.stdout.readline()) for _ in range(2)]
        press_ctrl_c(process)
        assert ended(process).code == 130
    assert [(body["schema"], body["alarms"][0]["number"]) for body in bodies] == [(1, 1)] * 2
    assert bodies[0]["at"] < bodies[1]["at"]
    with sick.started("health", "watch", "--every", "0.5") as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert re.fullmatch(r"\d\d:\d\d:\d\d  ✖ relevance errors( de)? · alarm 1 firing, nobody has it\n", line)
        sick.run("health", "ack", "1", "I look")
        assert "has it" in until(lambda: process.stdout and process.stdout.readline().decode())
        press_ctrl_c(process)
        ended(process)


def test_taking_and_closing_an_alarm(sick: Simulated) -> None:
    assert re.search(r"✔ .*@.* has alarm 1: refilling it\n", sick.run("health", "ack", "1", "refilling it").out)
    body = sick.json("health", "ack", "1", f"again {NASTY}")
    assert body["alarm"]["acknowledged_text"].startswith("again \\x1b[31mred")
    assert TIME.fullmatch(body["alarm"]["acknowledged_at"])
    assert "has it: again" in sick.run("health", code=1).out
    assert "Missing argument 'REASON'" in sick.refused("health", "close", "1")
    assert "needs a reason" in sick.refused("health", "close", "1", " ")
    assert sick.run("health", "close", "1", "no German any more").out == "✔ alarm 1 is closed by hand: no German any more\n"
    assert "Alarm 1 is closed already" in sick.refused("health", "ack", "1", "x")
    assert "There is no alarm 7 in staging. Nothing was changed. Did you mean 1" in sick.refused("health", "close", "7", "x")
    told = sick.run("health", "alarms").out
    assert re.search(r"1 +\d\d \w+ \d\d:\d\d:\d\d +closed +relevance +errors in de", told)
    [alarm] = sick.json("health", "alarms")["alarms"]
    assert (alarm["state"], alarm["closed_by"].endswith(": no German any more")) == ("closed", True)


def test_one_alarm_in_full(sick: Simulated) -> None:
    told = sick.run("health", "alarm", "1").out
    for word in ("since", "languages", "effect", "revert     would NOT help", "others"):
        assert word in told
    body = sick.json("health", "alarm", "1")["alarm"]
    assert [one["question"] for one in body["findings"]] == ["errors"]
    assert "There is no alarm 2 in staging. The last ones: 1." in sick.refused("health", "alarm", "2")
    assert "Invalid value for 'ALARM'" in sick.refused("health", "alarm", "one")


def test_affected_are_the_wrong_ids(sick: Simulated) -> None:
    wrong = sorted(one.request_id for one in sick.world().observations() if one.status >= 400)
    assert len(wrong) > 5
    rows = list(csv.DictReader(io.StringIO(sick.run("health", "affected", "1", "--csv").out)))
    assert sorted(row["request_id"] for row in rows) == wrong
    assert {(row["endpoint"], row["variant"], row["slice_language"], row["status"], row["why"]) for row in rows} == {
        ("relevance", "v3", "de", "400", "errors")
    }
    assert all(TIME.fullmatch(row["time"]) for row in rows)
    assert all(row["error"].startswith("no model for de \\x1b[31mred") for row in rows)
    lines = [json.loads(line) for line in sick.run("health", "affected", "1", "--json").out.splitlines()]
    assert sorted(line["request_id"] for line in lines) == wrong
    assert {line["schema"] for line in lines} == {1}
    assert "There is no alarm 3" in sick.refused("health", "affected", "3")


def test_wrong_words_get_one_line(served: Simulated) -> None:
    assert "Did you mean relevance?" in served.refused("health", "now", "relevanze")
    assert 'There is no endpoint "acknowlege"' in served.refused("health", "acknowlege")
    assert 'There is no channel "opps"' in served.refused("health", "trial", "opps")
    assert "Read only" in served.refused("health", "ack", "1", "x", "--read-only", code=7)
    assert 'There is no environment "stagin" (from --env). Did you mean staging?' in served.refused("health", "--env", "stagin")


# status


def test_status_with_an_open_alarm_and_nobody_watching(sick: Simulated) -> None:
    told = narrow(sick.run("status", code=1).out)
    assert "alarm   1: errors in de for" in told
    assert "revert  would NOT help" in told
    assert "has it  nobody: mlconsole health ack 1" in told
    assert "watch   NOBODY WATCHES" in told
    assert "X relevance  errors in de since" in told
    line = sick.run("status", "--line", code=1).out
    assert re.fullmatch(r"✖ relevance errors in de \d+(s|min)\n", line)
    body = sick.json("status", code=1)
    [alarm] = body["alarms"]
    assert (alarm["number"], alarm["title"], alarm["revert_helps"]) == (1, "errors in de", False)
    assert TIME.fullmatch(alarm["since"])
    assert body["watched_by"] is None
    sick.run("health", "ack", "1", "mine")
    assert "has it  " in narrow(sick.run("status", code=1).out)
    assert "nobody: " not in sick.run("status", code=1).out


def test_status_of_what_nobody_asks_is_idle_and_not_blind(served: Simulated) -> None:
    # A command that only looks begins no watch by itself: as long as nobody asked for health, the backend's word is all that is told.
    assert "ok relevance" in narrow(served.run("status").out)
    served.run("health")
    assert "relevance  no request yet" in narrow(served.run("status").out)
    assert served.json("status")["counts"]["no data"] == 1


def test_status_while_somebody_watches(watched: Simulated) -> None:
    serve(watched)
    told = narrow(watched.run("status").out)
    assert "watch   guardian ok, pages nobody" in told
    assert watched.json("status")["watched_by"].startswith("guardian ")


# guardian


def test_a_guardian_starts_watches_and_stops(served: Simulated) -> None:
    told = served.run("guardian", "status", code=1).out
    assert "✖ staging" in re.sub(" +", " ", told)
    assert "NOBODY WATCHES" in told
    body = served.json("guardian", "start", "--env", "staging")
    pid = body["pid"]
    assert body["started"] is True
    os.kill(pid, 0)
    try:
        assert served.json("guardian", "start", "--env", "staging") == {"pid": pid, "started": False, "schema": 1}
        assert (
            f"is watched by {served.json('guardian', 'status', '--env', 'staging')['environments']['staging']['who']}"[:13]
            == "is watched by"
        )
        message = served.refused("guardian", "run", "--env", "staging", code=5).splitlines()[-1]
        assert f"(pid {pid})" in message
        behave(served, Behaviour(error_rate=1.0))
        serve(served)
        until(lambda: served.json("health", "alarms")["alarms"])
        there = served.json("guardian", "status", "--env", "staging")["environments"]["staging"]
        assert there["alive"] is True
        assert TIME.fullmatch(there["beat"])
        assert "tells nobody: no channel under `notify:`" in served.run("guardian", "status", "--env", "staging").out
    finally:
        told = served.run("guardian", "stop", "--env", "staging").out
    assert f"✔ the guardian (pid {pid}) ended. NOBODY WATCHES staging." in told
    assert served.run("guardian", "stop", "--env", "staging").out == "Nothing to do: nobody watches.\n"
    assert "it was ended" in served.run("guardian", "status", "--env", "staging", code=1).out


def test_a_guardian_that_is_killed_is_missed_everywhere(served: Simulated) -> None:
    pid = served.json("guardian", "start", "--env", "staging")["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: served.run("guardian", "status", "--env", "staging", code={0, 1}).code == 1)
    assert f"its process {pid} is gone" in served.run("guardian", "status", "--env", "staging", code=1).out
    assert "NOBODY WATCHES" in served.run("status").out
    assert served.json("health")["watcher"]["alive"] is False
    again = served.json("guardian", "start", "--env", "staging")["pid"]
    assert again != pid
    served.run("guardian", "stop", "--env", "staging")


def test_a_guardian_heeds_the_file_as_it_is(watched: Simulated) -> None:
    def channels() -> list[str]:
        there = watched.json("guardian", "status", "--env", "staging")["environments"]["staging"]
        assert there["alive"] is True
        return list(there["channels"])

    assert channels() == []
    change(watched, "  staging:\n", "  staging:\n    notify: {ops: {kind: webhook, url_env: OPS_WEBHOOK}}\n")
    until(lambda: channels() == ["ops"])
    change(watched, "kind: webhook", "kind: webhoook")
    log = watched.root / ".mlconsole" / "guardian.log"
    until(lambda: "mlconsole.yaml:5:" in log.read_text() and "the former settings count" in log.read_text())
    change(watched, "kind: webhoook", "kind: webhook")
    until(lambda: log.read_text().count("it counts from now on") == 2)
    assert channels() == ["ops"]


def test_a_channel_is_tried_before_it_is_needed(served: Simulated) -> None:
    change(
        served,
        "  staging:\n",
        '  staging:\n    notify: {ops: {kind: command, run: ["{python}", "-c", "print()"]}}\n'.replace("{python}", sys.executable),
    )
    assert "nobody has trusted this workspace here" in served.refused("health", "trial", "ops", code=7)
    served.run("trust", "--yes")
    assert served.run("health", "trial", "ops").out == "✔ ops took it\n"
    assert served.json("health", "trial", "ops") == {"channel": "ops", "taken": True, "schema": 1}
    assert "Read only" in served.refused("health", "trial", "ops", "--read-only", code=7)
    change(served, "print()", "exit(1)")
    served.run("trust", "--yes")
    assert "failed with code 1" in served.refused("health", "trial", "ops", code=6)


def test_a_guardian_for_one_pass(sick: Simulated) -> None:
    result = sick.run("guardian", "--once", "--env", "staging", code=1)
    assert "staging: 1 open alarms, 0 notices sent" in result.out
    body = sick.json("guardian", "--once", "--env", "staging", code=1)
    assert body["rounds"] == [{"environment": "staging", "alarms": 1, "told": 0, "trouble": ""}]


def test_the_unit_of_a_guardian(served: Simulated) -> None:
    unit = served.run("guardian", "unit", "--env", "staging").out
    assert re.search(r"^ExecStart=\S+ -m mlconsole guardian run --workspace \S+ --env staging$", unit, re.MULTILINE)
    assert "Restart=always" in unit
    odd = copied(served, served.root.parent / "a 100% 'odd' name")
    unit = odd.run("guardian", "unit").out
    assert f'"{str(odd.root).replace("%", "%%")}"' in unit
    assert "Nothing has happened." in odd.run("guardian", "install", "--dry-run").out


def test_a_guardian_may_not_watch_what_may_only_be_looked_at(served: Simulated) -> None:
    assert "Read only" in served.refused("guardian", "run", "--read-only", code=7)
    assert "Read only" in served.refused("guardian", "start", "--read-only", code=7)


# action

ACTIONS = """\
actions:
  say: {summary: says it, run: ["{python}", say.py, "{word}"], parameters: {word: {default: hello}}, time_limit: 20}
  need: {run: ["{python}", say.py, "{word}"], parameters: {word: {help: what}}}
  harmless: {run: ["{python}", say.py, nothing], safe: true, environments: [production]}
"""


@pytest.fixture
def acting(served: Simulated) -> Simulated:
    """A workspace with commands of its own, trusted."""
    (served.root / "say.py").write_text("import sys; print('said', *sys.argv[1:]); sys.exit('fail' in sys.argv)\n")
    with (served.root / "mlconsole.yaml").open("a") as file:
        file.write(ACTIONS)
    served.run("trust", "--yes")
    return served


def test_actions_are_listed_and_run(acting: Simulated) -> None:
    told = acting.run("action", "list").out
    assert re.search(r"say +workspace +– +says it \(word=hello\) · not marked safe · at most 20 s", told)
    [say, need] = acting.json("action", "list")["actions"]
    assert (say["name"], say["from"], say["safe"], say["parameters"][0]["default"]) == ("say", "workspace", False, "hello")
    assert need["parameters"][0]["default"] is None
    assert acting.run("action", "runs").out == "No action was run yet.\n"
    result = acting.run("action", "run", "say", "--yes")
    assert re.search(r"✔ say: said hello · ", result.out), "nobody watches: a process of its own carries it out"
    body = acting.json("action", "run", "say", "--param", "word=a b", "--yes")["run"]
    assert (body["state"], body["told"].split(" · ")[0]) == ("done", "said a b")
    body = acting.json("action", "run", "say", "--param", "word=fail", "--yes", code=1)["run"]
    assert (body["state"], body["told"].split(" · ")[0]) == ("failed", "say failed with code 1: said fail.")
    runs = acting.json("action", "runs")["runs"]
    assert [one["state"] for one in runs] == ["failed", "done", "done"]
    assert all(TIME.fullmatch(one["started"]) and TIME.fullmatch(one["ended"]) for one in runs)
    assert [one["id"] for one in acting.json("action", "runs", "--limit", "1")["runs"]] == [runs[0]["id"]]


def test_what_an_action_is_told_is_checked_first(acting: Simulated) -> None:
    assert "need needs word. Nothing was done." in acting.refused("action", "run", "need", "--yes")
    assert 'say has no parameter "wort". Did you mean word' in acting.refused("action", "run", "say", "--param", "wort=x", "--yes")
    assert "KEY=VALUE" in acting.refused("action", "run", "say", "--param", "word", "--yes")
    assert 'There is no action "sai" in staging. Did you mean say' in acting.refused("action", "run", "sai", "--yes")
    result = acting.run("action", "run", "say", code=2)
    assert "Nobody said yes to this. Nothing was done." in result.err
    result = acting.run("action", "run", "say", "--dry-run")
    assert "Nothing has happened." in result.out
    change(acting, "  production:\n", "  production:\n    production: true\n")
    result = acting.run("action", "run", "say", "--env", "production", "--yes", code=2)
    assert "say changes production and is not marked safe: it wants its name. Nothing was done." in result.err
    assert acting.run("action", "run", "say", "--env", "production", "--confirm", "say").out
    assert "✔ harmless: said nothing" in acting.run("action", "run", "harmless", "--env", "production", "--yes").out
    assert 'There is no action "harmless" in staging.' in acting.refused("action", "run", "harmless", "--yes")
    assert "Read only" in acting.run("action", "run", "say", "--yes", "--read-only", code=7).err
    acting.run("trust", "--revoke")
    assert "nobody has trusted this workspace here. Nothing was run." in acting.run("action", "run", "say", "--yes", code=7).err
    assert acting.json("action", "runs")["runs"] == []


def test_an_action_is_run_by_the_guardian(acting: Simulated) -> None:
    (acting.root / "say.py").write_text("import os; print('by', os.getppid())\n")
    acting.run("trust", "--yes")
    pid = acting.json("guardian", "start", "--env", "staging")["pid"]
    try:
        body = acting.json("action", "run", "say", "--yes")["run"]
        assert body["told"].split(" · ")[0] == f"by {pid}"
    finally:
        acting.run("guardian", "stop", "--env", "staging")
