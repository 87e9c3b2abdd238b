"""What others script against, literally: commands, JSON, exit codes. On a simulated backend; `test_sample.py` has the real servers."""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from e2e.kit import Simulated
from mlconsole.core.traffic import Traffic
from mlconsole.plugin.simulator import Fault, FaultKind, Load

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
SHOW = {"endpoint", "environment", "url", "status", "release", "variants", "by_slice", "shadow", "operation", "example", "schema"}
VARIANT = {"name", "model", "version", "state", "desired", "reported", "observed", "observed_n", "observed_seconds"}


def shares(console: Simulated, endpoint: str = "relevance", *options: str) -> dict[str, float]:
    """Desired share of each variant; reported must be the same."""
    body = console.json("endpoints", "show", endpoint, *options)
    assert all(one["desired"] == one["reported"] for one in body["variants"]), body
    return {one["name"]: one["desired"] for one in body["variants"]}


# deploy


def test_the_first_deploy_gets_all_of_the_traffic(sim: Simulated) -> None:
    body = sim.json("deploy", "relevance@3", "--env", "staging", "--yes")
    assert (body["endpoint"], body["environment"], body["release"], body["done"]) == ("relevance", "staging", 1, True)
    assert shares(sim) == {"v3": 100.0}
    change = body["operation"]
    assert change["state"] == "done"
    assert TIME.fullmatch(change["started"])
    assert TIME.fullmatch(change["ended"])
    assert datetime.now(UTC) - datetime.fromisoformat(change["started"]) < timedelta(minutes=1)
    assert sim.json("wait", change["id"])["done"] is True
    assert sim.json("wait", "relevance#1")["operation"]["id"] == change["id"]


def test_deploy_beside_one_that_serves_and_the_proportions_of_the_others(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes")
    assert shares(served) == {"v3": 100.0, "v4": 0.0}
    served.run("traffic", "set", "relevance", "v4=25", "--yes")
    served.run("deploy", "relevance@5", "--traffic", "12.5 %", "--yes")
    assert shares(served) == {"v3": 65.63, "v4": 21.87, "v5": 12.5} or shares(served) == {"v3": 65.62, "v4": 21.88, "v5": 12.5}
    assert sum(shares(served).values()) == 100
    assert served.json("endpoints", "show", "relevance")["release"] == 4


def test_an_endpoint_is_the_workspaces_or_the_one_named(sim: Simulated) -> None:
    assert sim.json("deploy", "delay-risk@1", "--yes")["endpoint"] == "delays"
    body = sim.json("deploy", "delay-risk@1", "--endpoint", "other-one", "--traffic", "100", "--yes", "--env", "production", code=2)
    assert body["error"]["next"].endswith("--confirm other-one.")
    body = sim.json("deploy", "delay-risk@1", "--endpoint", "other-one", "--confirm", "other-one", "--env", "production")
    assert (body["endpoint"], body["environment"]) == ("other-one", "production")
    assert [one["endpoint"] for one in sim.json("endpoints", "list")["endpoints"]] == ["delays"]
    assert [one["endpoint"] for one in sim.json("endpoints", "list", "--env", "production")["endpoints"]] == ["other-one"]


def test_a_variants_name_is_made_of_its_version(sim: Simulated) -> None:
    assert [one["name"] for one in sim.json("deploy", "relevance@1.10", "--dry-run")["plan"]["then"]["variants"]] == ["v1-10"]
    named = sim.json("deploy", "relevance@1.10", "--variant", "blue", "--dry-run")["plan"]["then"]["variants"]
    assert [(one["name"], one["version"]) for one in named] == [("blue", "1.10")]


# traffic


def test_traffic_set_who_is_not_named(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes")
    served.run("traffic", "set", "relevance", "v4=10", "--yes")
    assert shares(served) == {"v3": 90.0, "v4": 10.0}
    served.run("traffic", "set", "relevance", "v4=100%", "--yes")
    assert shares(served) == {"v3": 0.0, "v4": 100.0}
    served.run("traffic", "set", "relevance", "v3=0.25", "--yes")
    assert shares(served) == {"v3": 0.25, "v4": 99.75}
    # Two unnamed ones that serve: nobody takes the rest.
    served.run("deploy", "relevance@5", "--traffic", "10", "--yes")
    before = shares(served)
    assert "sum to 20 %, not 100 %" in served.refused("traffic", "set", "relevance", "v5=20", "--yes")
    served.run("traffic", "set", "relevance", "v5=60", "v4=40", "--yes")
    assert shares(served) == {**before, "v3": 0.0, "v4": 40.0, "v5": 60.0}


def test_traffic_by_slice_and_a_shadow_that_stays_until_none(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes")
    served.run("traffic", "set", "relevance", "v4=50", "--slice", "language=de", "--yes")
    body = served.json("endpoints", "show", "relevance")
    assert body["by_slice"] == {"de": {"v3": 50.0, "v4": 50.0}}
    assert [one["desired"] for one in body["variants"]] == [100.0, 0.0]
    served.run("deploy", "relevance@5", "--yes")
    served.run("traffic", "set", "relevance", "--shadow", "v5=20", "--yes")
    assert served.json("endpoints", "show", "relevance")["shadow"] == {"variant": "v5", "desired": 20.0, "reported": 20.0, "observed": None}
    served.run("traffic", "set", "relevance", "v4=10", "--yes")
    body = served.json("endpoints", "show", "relevance")
    assert body["shadow"]["variant"] == "v5"
    assert body["by_slice"] == {"de": {"v3": 50.0, "v4": 50.0}}
    served.run("traffic", "set", "relevance", "--shadow", "none", "--yes")
    assert served.json("endpoints", "show", "relevance")["shadow"] is None
    served.run("traffic", "clear", "relevance", "--slice", "language=de", "--yes")
    assert served.json("endpoints", "show", "relevance")["by_slice"] == {}
    assert "Did you mean de" in served.refused("traffic", "set", "relevance", "v4=10", "--slice", "language=dee", "--yes")
    assert "language" in served.refused("traffic", "set", "relevance", "v4=10", "--slice", "lang=de", "--yes")


# revert


def test_revert_the_last_that_stood_then_asks_where_to(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--traffic", "10", "--yes")
    served.run("traffic", "set", "relevance", "v4=50", "--yes")
    body = served.json("revert", "relevance", "--yes")
    assert body["release"] == 4
    assert shares(served) == {"v3": 90.0, "v4": 10.0}
    sentence = served.refused("revert", "relevance", "--yes")
    assert "--to RELEASE" in sentence
    served.run("revert", "relevance", "--to", "1", "--yes")
    assert shares(served) == {"v3": 100.0}
    nothing = served.run("revert", "relevance", "--to", "relevance#1", "--yes")
    assert nothing.out.startswith("Nothing to do: relevance already is #5")
    standing = {one["release"]: (one["standing"], one["equals"]) for one in served.json("releases", "list", "relevance")["releases"]}
    assert standing == {1: ("past", None), 2: ("past", None), 3: ("reverted", None), 4: ("reverted", 2), 5: ("live", 1)}
    served.run("deploy", "relevance@5", "--yes")
    assert served.json("rollback", "relevance", "--yes")["operation"]["then"] == "v3 100 %"


def test_nothing_to_go_back_to(served: Simulated) -> None:
    assert "first release" in served.refused("revert", "relevance", "--yes")
    assert "#9" in served.refused("revert", "relevance", "--to", "9", "--yes")
    assert "a number like 2" in served.refused("revert", "relevance", "--to", "v3", "--yes")


# endpoints


def test_endpoints_show_has_the_contracts_keys(served: Simulated) -> None:
    body = served.json("endpoints", "show", "relevance")
    assert set(body) >= SHOW
    assert body["status"] == "ok"
    assert body["operation"] is None
    (variant,) = body["variants"]
    assert set(variant) >= VARIANT
    assert (variant["name"], variant["model"], variant["version"], variant["state"]) == ("v3", "relevance", "3", "ready")
    assert (variant["observed"], variant["observed_n"]) == (None, 0)
    assert isinstance(variant["observed_seconds"], int | float)
    world = served.world()
    world.serve("relevance", Load(40, seconds=0.001))
    (variant,) = served.json("endpoints", "show", "relevance")["variants"]
    assert (variant["observed"], variant["observed_n"]) == (100.0, 40)


def test_endpoints_remove_and_delete_want_the_name(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes")
    assert "v3 still answers" in served.refused("endpoints", "remove", "relevance", "v3", "--confirm", "v3")
    assert "--confirm v4" in served.refused_plan("endpoints", "remove", "relevance", "v4", "--yes")
    assert '"v3" is not v4' in served.refused_plan("endpoints", "remove", "relevance", "v4", "--confirm", "v3")
    assert shares(served) == {"v3": 100.0, "v4": 0.0}
    served.run("endpoints", "remove", "relevance", "v4", "--confirm", "v4")
    assert shares(served) == {"v3": 100.0}
    assert "--confirm relevance" in served.refused_plan("endpoints", "delete", "relevance", "--yes")
    served.run("endpoints", "delete", "relevance", "--confirm", "relevance")
    assert served.json("endpoints", "list")["endpoints"] == []
    assert "no endpoint" in served.refused("endpoints", "show", "relevance")
    served.run("revert", "relevance", "--to", "1", "--yes")
    assert shares(served) == {"v3": 100.0}


def test_adopt_what_others_made_and_what_they_changed(served: Simulated) -> None:
    assert "Nothing to adopt" in served.refused("endpoints", "adopt", "relevance")
    served.run("deploy", "relevance@4", "--yes")
    world = served.world()
    world.change_outside("relevance", traffic=Traffic({"v3": 6000, "v4": 4000}))
    body = served.json("endpoints", "show", "relevance")
    assert (body["status"], [one["reported"] for one in body["variants"]]) == ("look", [60.0, 40.0])
    sentence = served.refused("traffic", "set", "relevance", "v4=10", "--yes", code=5)
    assert "changed outside" in sentence
    assert "mlconsole revert relevance" in sentence
    assert "mlconsole endpoints adopt relevance" in sentence
    dry = served.run("endpoints", "adopt", "relevance", "--dry-run").out
    assert dry.startswith("Nothing has happened")
    assert served.json("endpoints", "show", "relevance")["release"] == 2
    assert served.json("endpoints", "adopt", "relevance", "--reason", "they meant it")["release"]["release"] == 3
    assert shares(served) == {"v3": 60.0, "v4": 40.0}
    # The other way out: ours is put back.
    world.change_outside("relevance", traffic=Traffic({"v3": 1000, "v4": 9000}))
    served.run("revert", "relevance", "--yes")
    assert shares(served) == {"v3": 60.0, "v4": 40.0}


def test_adopt_an_endpoint_that_was_there_first(served: Simulated, sim: Simulated) -> None:
    # The same world under a registry that has never seen it.
    for file in served.root.glob("staging.*"):
        (sim.root / file.name).write_bytes(file.read_bytes())
    assert sim.json("endpoints", "list")["endpoints"][0]["status"] == "look"
    assert "endpoints adopt relevance" in sim.refused("deploy", "relevance@4", "--yes", code=5)
    released = sim.json("endpoints", "adopt", "relevance")["release"]
    assert (released["release"], released["kind"], released["content"]) == (1, "as found", "v3 100 %")
    sim.run("deploy", "relevance@4", "--yes")


def test_invoke_says_who_answered_and_logs_what_was_written(served: Simulated) -> None:
    body = served.json("endpoints", "invoke", "relevance", "text=hello", "language=de")
    assert (body["status"], body["variant"], body["slices"], body["error"]) == (200, "v3", {"language": "de"}, None)
    assert isinstance(body["outputs"]["score"], float)
    assert "v9" in served.refused("endpoints", "invoke", "relevance", "--variant", "v9")
    served.world().write_log("relevance", "v3", "first", "second")
    assert served.json("endpoints", "logs", "relevance", "--lines", "1")["lines"] == ["second"]


# models


def test_models_list_show_compare(served: Simulated) -> None:
    versions = {(one["model"], one["version"]): one for one in served.json("models", "list")["versions"]}
    assert set(versions) == {("relevance", v) for v in ("1.10", "3", "4", "5")} | {("delay-risk", "1")}
    assert versions["relevance", "3"]["runs_in"] == {"staging": 100.0}
    assert TIME.fullmatch(versions["relevance", "3"]["registered_at"])
    assert [one["version"] for one in served.json("models", "list", "delay-risk")["versions"]] == ["1"]
    version = served.json("models", "show", "relevance@1.10")["version"]
    assert version["version"] == "1.10"
    assert version["digest"].startswith("sha256:")
    found = served.json("models", "compare", "relevance@3", "relevance@4")
    assert found["metrics"] == [{"name": "f1", "one": 0.8, "other": 0.8, "difference": 0.0}]


# plans


def test_a_dry_run_changes_nothing_and_its_plan_runs_once(served: Simulated) -> None:
    told = served.run("deploy", "relevance@4", "--traffic", "10", "--dry-run").out
    plan = re.search(r"mlconsole apply (\w+)", told)
    assert plan is not None
    assert shares(served) == {"v3": 100.0}
    assert served.json("history", "list")["changes"][0]["release"] == 1
    served.run("apply", plan[1], "--yes")
    assert shares(served) == {"v3": 90.0, "v4": 10.0}
    assert "runs once" in served.refused("apply", plan[1], "--yes", code=5)


def test_a_plan_of_another_state_is_not_run(served: Simulated) -> None:
    plan = served.json("deploy", "relevance@4", "--traffic", "10", "--dry-run")["plan"]
    assert plan["command"] == "mlconsole deploy relevance@4 --endpoint relevance --traffic 10 --env staging"
    served.run("deploy", "relevance@5", "--yes")
    assert "another state" in served.refused("apply", plan["id"], "--yes", code=5)
    assert shares(served) == {"v3": 100.0, "v5": 0.0}
    assert "for staging, this is production" in served.refused("apply", plan["id"], "--yes", "--env", "production")


def test_the_plans_own_command_does_the_same(served: Simulated) -> None:
    """*Same as* is meant literally, quotes and all."""
    told = served.json("deploy", "relevance@4", "--traffic", "33.3", "--reason", 'it\'s $HOME "better"', "--dry-run")["plan"]["command"]
    program, *arguments = shlex.split(told)
    assert program == "mlconsole"
    assert served.json(*arguments, "--dry-run")["plan"]["command"] == told


# production, read only, environments


def test_production_wants_its_name(sim: Simulated) -> None:
    for options in ([], ["--yes"]):
        sentence = sim.refused_plan("deploy", "relevance@3", "--env", "production", *options)
        assert sentence == "This changes production: it wants the name relevance. Nothing was changed. Add --confirm relevance."
    assert "is not relevance. Nothing has happened." in sim.refused_plan(
        "deploy", "relevance@3", "--env", "production", "--confirm", "relevence"
    )
    assert sim.json("endpoints", "list", "--env", "production")["endpoints"] == []
    sim.run("deploy", "relevance@3", "--env", "production", "--confirm", "relevance")
    sim.run("deploy", "relevance@4", "--env", "production", "--confirm", "relevance", "--traffic", "5")
    assert shares(sim, "relevance", "--env", "production") == {"v3": 95.0, "v4": 5.0}
    # Going back is cheap: no name.
    sim.run("revert", "relevance", "--env", "production", "--yes")
    assert shares(sim, "relevance", "--env", "production") == {"v3": 100.0}


def test_without_a_yes_nothing_happens(served: Simulated) -> None:
    sentence = served.refused_plan("deploy", "relevance@4")
    assert sentence == "Nobody said yes to this plan, and there is no terminal to ask. Nothing was changed. Add --yes."
    assert shares(served) == {"v3": 100.0}


def test_read_only_refuses_each_change_and_asks_no_name_first(served: Simulated) -> None:
    before = served.json("history", "list")
    for change in (
        ["deploy", "relevance@4", "--yes"],
        ["traffic", "set", "relevance", "--shadow", "none"],
        ["deploy", "relevance@4", "--env", "production"],
        ["endpoints", "adopt", "relevance"],
        ["endpoints", "delete", "relevance"],
        ["models", "register", "relevance@9", "models/relevance@3/model.bin"],
        ["init", "elsewhere"],
    ):
        result = served.run("--read-only", *change, code=(0, 7))
        assert result.code == 7 or "Nothing to do" in result.out, change
        assert result.code == 0 or "Read only" in result.err
    assert "Read only" in served.run("deploy", "relevance@4", "--yes", environ={"MLCONSOLE_READ_ONLY": "1"}, code=7).err
    assert served.json("history", "list", "--read-only") == before
    assert served.json("deploy", "relevance@4", "--read-only", "--dry-run")["plan"]["id"] is None


def test_which_workspace_and_which_environment(served: Simulated) -> None:
    deep = served.root / "models" / "relevance@3"
    outside = served.root.parent
    assert served.json("status", cwd=deep)["environment"] == "staging"
    assert served.json("status", cwd=outside, environ={"MLCONSOLE_WORKSPACE": str(served.root)})["workspace"] == "test"
    assert served.json("--workspace", "ws", "status", cwd=outside)["environment"] == "staging"
    assert served.json("status", environ={"MLCONSOLE_ENV": "production"})["environment"] == "production"
    assert served.json("--env", "staging", "status", environ={"MLCONSOLE_ENV": "production"})["environment"] == "staging"
    assert served.json("--env", "production", "status", "--env", "staging")["environment"] == "staging"
    assert served.json("endpoints", "--env", "production", "list")["environment"] == "production"
    assert "mlconsole init DIR --sample" in served.refused("status", cwd=outside)
    text = (served.root / "mlconsole.yaml").read_text().replace("default_environment: staging\n", "")
    (served.root / "mlconsole.yaml").write_text(text)
    assert "No environment was named" in served.refused("status")


def test_options_before_the_command_count(served: Simulated) -> None:
    assert served.run("--json", "status").json["environment"] == "staging"
    assert served.run("--json", "--dry-run", "deploy", "relevance@4").json["plan"]["id"]
    served.run("--dry-run", "models", "register", "relevance@9", "models/relevance@3/model.bin")
    assert len(served.json("models", "list", "relevance")["versions"]) == 4
    served.run("--yes", "--reason", "before it", "deploy", "relevance@4")
    assert served.json("history", "list")["changes"][0]["reason"] == "before it"


# what is told


def test_status_worst_first_and_narrow_enough_for_a_phone(served: Simulated) -> None:
    served.run("deploy", "delay-risk@1", "--yes")
    told = served.run("status").out.splitlines()
    assert max(map(len, told)) <= 46
    assert [line.split()[:2] for line in told[1:3]] == [["ok", "delays"], ["ok", "relevance"]]
    assert served.run("status", "--line").out == "✔2\n"
    served.world().change_outside("relevance", fail={"v3": "CUDA error: an illegal memory access was encountered in the kernel"})
    result = served.run("status", code=1)
    told = result.out.splitlines()
    assert max(map(len, told)) <= 46
    assert told[1].startswith("X relevance")
    assert served.run("status", "--line", code=1).out.startswith("✖ relevance")
    assert len(served.run("status", "--line", code=1).out) <= 41
    body = served.json("status", code=1)
    assert [one["status"] for one in body["endpoints"]] == ["failing", "ok"]
    assert sum(body["counts"].values()) == 2
    assert TIME.fullmatch(body["at"])


def test_status_is_blind_when_the_backend_does_not_answer(served: Simulated) -> None:
    served.world().inject(Fault(FaultKind.TIMEOUT_BEFORE_EFFECT, on="serving.*", times=None, reason="connection refused"))
    result = served.run("status", code=6)
    assert "connection refused" in result.out
    assert max(map(len, result.out.splitlines())) <= 46
    assert served.run("status", "--line", code=6).out.startswith("? ")
    assert served.json("endpoints", "show", "relevance", code=6)["status"] == "no data"
    assert "connection refused" in served.refused("deploy", "relevance@4", "--yes", code=6)


def test_releases_history_plugins_info(served: Simulated) -> None:
    served.run("deploy", "relevance@4", "--yes", "--reason", "better")
    release = served.json("releases", "show", "relevance#2")["release"]
    assert (release["release"], release["reason"], release["content"]["traffic"]) == (2, "better", {"v3": 100.0, "v4": 0.0})
    assert served.json("releases", "show", "relevance")["release"]["release"] == 2
    body = served.json("history", "show", "relevance#2")
    assert body["change"]["release"] == 2
    assert body["steps"]
    assert all(step["state"] == "done" and TIME.fullmatch(step["started"]) for step in body["steps"])
    names = [one["name"] for one in served.json("plugins", "list")["plugins"]]
    assert names == ["aws", "aws-offline", "command", "http", "local", "redis", "simulator", "tcp", "webhook"]
    assert served.json("plugins", "show", "local")["options"]["properties"]["port"]
    assert str(served.root / "mlconsole.yaml") in served.json("info")["info"]["workspace"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(sim: Simulated, shell: str) -> None:
    done = sim.run("--show-completion", shell)
    assert "_MLCONSOLE_COMPLETE" in done.out


def test_completion_knows_the_workspaces_names(served: Simulated) -> None:
    def offered(line: str, words: int, **environ: str) -> list[str]:
        done = served.run(environ={"_MLCONSOLE_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(words), **environ})
        return done.out.split()

    assert offered("mlconsole deploy relevance@", 2) == ["relevance@1.10", "relevance@3", "relevance@4", "relevance@5"]
    assert offered("mlconsole revert re", 2) == ["relevance"]
    assert offered("mlconsole revert re", 2, MLCONSOLE_WORKSPACE="/nowhere") == []


def test_help_costs_a_glance_and_fits(sim: Simulated) -> None:
    def lines(*arguments: str) -> list[str]:
        return sim.run(*arguments, "--help").out.splitlines()

    nouns = ["endpoints", "traffic", "models", "releases", "history", "local", "plugins"]
    for command in ([], *([noun] for noun in nouns), ["deploy"], ["traffic", "set"], ["endpoints", "invoke"]):
        told = lines(*command)
        assert max(map(len, told)) <= 80, command
        assert not [line for line in told[1:] if line.endswith("...")], command


def test_no_colour_anywhere_and_a_terminal_that_knows_only_ascii(served: Simulated) -> None:
    for environ in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}):
        told = served.run("endpoints", "list", environ=environ).out
        assert "relevance" in told
        assert "\x1b" not in told
    assert told.isascii()
    assert "?" not in told
    body: Any = served.run("endpoints", "show", "relevance", "--json", environ={"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}).json
    assert body["way_back"].startswith("none")


def test_the_same_sentence_for_people_and_for_scripts(served: Simulated) -> None:
    result = served.run("deploy", "relevnce@3", "--json", code=2)
    assert result.error == {
        "code": "unknown_name",
        "message": 'There is no model "relevnce". Did you mean relevance?',
        "next": "mlconsole models list shows them.",
    }
    assert result.sentence == f"{result.error['message']} {result.error['next']}"
    assert served.run("nonsense", "--json", code=2).error["code"] == "usage"
    assert served.run("deploy", "--json", code=2).error["code"] == "usage"


def test_wait_runs_out_of_time_and_then_sees_the_end(served: Simulated) -> None:
    world = served.hang("serving.start")
    with served.started("deploy", "relevance@4", "--yes") as deploying:
        served.reached(world, "serving.start")
        change = served.json("endpoints", "show", "relevance")["operation"]
        assert (change["state"], change["kind"]) == ("forward", "deploy") or change["state"] not in ("done", "went back")
        assert served.run("wait", change["id"], "--timeout", "0.2", "--json", code=8).error["code"] == "timed_out"
        assert "mlconsole" in served.refused("traffic", "set", "relevance", "v3=100", "--yes", code=5)
        world.release()
        assert served.json("wait", "relevance", "--timeout", "30")["done"] is True
        assert deploying.wait(20) == 0
    assert shares(served) == {"v3": 100.0, "v4": 0.0}


def test_wait_tells_that_it_went_back(served: Simulated) -> None:
    served.world().inject(Fault(FaultKind.FAIL_VARIANT, on="serving.start", reason="no such file: model.tar.gz"))
    result = served.run("deploy", "relevance@4", "--yes", "--json", code=1)
    body = result.json
    assert body["done"] is False
    assert body["release"] is None
    assert "no such file: model.tar.gz" in body["error"]["message"]
    assert served.json("wait", "relevance", code=1)["error"]["code"] == "went_back"
    assert shares(served) == {"v3": 100.0}
    assert [one["standing"] for one in served.json("releases", "list")["releases"]] == ["failed", "live"]
