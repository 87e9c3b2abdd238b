"""`config publish`, `revert`, `adopt`, and every other command that knows a config document as a target; through the real command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.config_kit import MODELS, changed, live, outside
from e2e.kit import Simulated, copied, screen
from e2e.test_rollout_commands import asked
from mlconsole.plugin.simulator import Fault, FaultKind

# The first version.


def test_a_document_is_published_for_the_first_time(unpublished: Simulated) -> None:
    told = unpublished.run("config", "list").out
    assert re.search(r"models +– +– +– +–", told), told
    body = unpublished.json("config", "list")["documents"][0]
    assert (body["version"], body["draft"], body["latest"], body["problem"]) == (None, None, 0, "")
    assert "is not published in staging" in unpublished.refused("config", "show", "models")
    assert unpublished.run("config", "show", "models", "--version", "file").out == MODELS
    assert "nothing to publish" in unpublished.refused("config", "publish", "models", "--at-once", "--yes")

    told = unpublished.run("config", "edit", "models", "--file", "config/models.json", "--reason", "the first").out
    assert "draft of models, edition 1: the first version" in told
    told = unpublished.run("config", "diff", "models", "--exit-code", code=1).out
    assert "Nothing is published of models yet: all of the draft is new." in told
    result = unpublished.run("config", "publish", "models", "--yes", "--attended", code=2)
    assert "is published for the first time" in result.err
    assert "--at-once" in result.err
    assert "Nobody said yes" in unpublished.refused_plan("config", "publish", "models", "--at-once")
    result = unpublished.run("config", "publish", "models", "--at-once", "--yes")
    assert "✔ config models is #1: config 1, read back" in result.out
    assert "config:models" not in result.out.replace("mlconsole rollout status config:models", "")
    assert live(unpublished) == MODELS, "byte for byte"
    body = unpublished.json("config", "list", "models")["documents"][0]
    assert (body["version"], body["share"], body["release"], body["draft"]) == (1, 100, 1, None)
    assert [(one["number"], one["reason"], one["live"]) for one in body["versions"]] == [(1, "the first", True)]


# Publishing at once, and back.


def test_published_at_once_and_back_only_what_it_changed(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    plan = published.json("config", "publish", "models", "--at-once", "--dry-run", "--reason", "pl misses some")["plan"]
    assert (plan["endpoint"], plan["kind"], plan["confirm"]) == ("config:models", "publish", None)
    assert plan["then"]["document"]["version"] == 2
    assert plan["then"]["document"]["pointers"] == ["/relevance/pl/threshold"]
    told = published.run("apply", plan["id"], "--yes").out
    assert "✔ config models is #2: config 2" in told
    published.run("config", "edit", "models", "relevance.de.threshold=0.64", "note=another")
    published.run("config", "publish", "models", "--at-once", "--yes", "--reason", "de as well")
    both = live(published)

    told = published.run("config", "revert", "models", "--change", "2", "--dry-run").out
    assert "now    #3  config 3" in told
    assert "restores 1 value: relevance · pl · threshold" in told
    assert "changed later stay" in told
    published.run("config", "revert", "models", "--change", "2", "--yes")
    assert live(published) == changed(both, "pl", "0.61")
    assert "is a revert already" in published.refused("config", "revert", "models", "--yes")
    told = published.run("config", "revert", "models", "--to", "1", "--yes").out
    assert "config models went back: #5 equals #1" in told
    assert live(published) == MODELS
    versions = published.json("config", "list", "models")["documents"][0]["versions"]
    assert [one["number"] for one in versions] == [4, 3, 2, 1]
    assert next(one for one in versions if one["live"])["number"] == 1


def test_overlaps_are_refused_and_named(published: Simulated) -> None:
    for value in ("0.57", "0.55"):
        published.run("config", "set", "models", "relevance.pl.threshold", value)
        published.run("config", "publish", "models", "--at-once", "--yes")
    result = published.run("config", "revert", "models", "--change", "2", "--yes", code=5)
    assert "Later changes of config models touched what #2 changed: relevance · pl · threshold. Nothing was changed." in result.err
    assert live(published) == changed(MODELS, "pl", "0.55")
    published.run("revert", "config:models", "--yes")
    assert live(published) == changed(MODELS, "pl", "0.57"), "the newest one can be taken back; `revert` takes a document as well"


def test_changed_outside_it_is_kept_or_put_back(published: Simulated, tmp_path: Path) -> None:
    theirs = changed(MODELS, "de", "0.70")
    outside(published, 2, theirs)
    told = published.run("config", "list").out
    assert "≠ models: config models was changed outside mlconsole: #1 is not what is live" in told
    other = copied(published, tmp_path / "other")

    told = published.run("config", "adopt", "models", "--dry-run").out
    assert 'It would be config models #2 "kept": config 2' in told
    body = published.json("config", "adopt", "models", "--reason", "fine")["release"]
    assert (body["release"], body["kind"], body["reason"]) == (2, "kept", "fine")
    assert "≠" not in published.run("config", "list").out
    assert live(published) == theirs
    published.run("config", "revert", "models", "--change", "2", "--yes")
    assert live(published) == MODELS, "what they changed can be taken back as any change"

    other.run("config", "revert", "models", "--yes")
    assert live(other) == MODELS
    assert "≠" not in other.run("config", "list").out


def test_found_where_nobody_published_from_here(unpublished: Simulated) -> None:
    outside(unpublished, 1, MODELS)
    assert "published by somebody else" in unpublished.run("config", "list").out
    unpublished.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    assert "mlconsole config adopt models" in unpublished.run("config", "publish", "models", "--at-once", "--yes", code=5).err
    assert unpublished.json("config", "adopt", "models")["release"]["kind"] == "as found"
    unpublished.run("config", "publish", "models", "--at-once", "--yes")
    assert live(unpublished) == changed(MODELS, "pl", "0.57")


# Production.


def test_in_production_the_slice_is_wanted(published: Simulated) -> None:
    words = ("--env", "production")
    published.run("config", "edit", "models", "--file", "config/models.json", *words)
    first = published.run("config", "publish", "models", "--at-once", "--yes", *words, code=2)
    assert "--confirm models" in first.err
    published.run("config", "publish", "models", "--at-once", "--confirm", "models", *words)
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57", *words)
    for more in (["--at-once"], ["--policy", "quick", "--attended"]):
        assert "--confirm pl" in published.run("config", "publish", "models", "--yes", *more, *words, code=2).err
        result = published.run("config", "publish", "models", "--confirm", "de", *more, *words, code=2)
        assert "You typed de, this change is for pl. Nothing was published." in result.err
        assert "mlconsole config move models" in result.err
    child = published.terminal("config", "publish", "models", "--at-once", *words, columns=120)
    child.expect("1 value changes for one language of relevance. Which language do you mean")
    child.sendline("de")
    assert "You typed de, this change is for pl. Nothing was published." in screen(child, code=2)
    assert live(published, *words) == MODELS
    told = published.run("config", "publish", "models", "--at-once", "--confirm", "pl", *words).out
    assert re.search(r"everywhere by \d\d:\d\d:\d\d: clients poll every 100 ms", told), told
    assert "config models is #2: config 2" in told
    assert "0.57" in published.run("config", "diff", "models", "staging", "live", *words).out
    told = published.run("config", "diff", "models", "production", "staging", "--structure").out
    assert "production → staging" in told
    assert "0.57 → 0.61" in told
    published.run("config", "revert", "models", "--yes", *words)
    assert live(published, *words) == MODELS, "going back wants no name"


# By stages.


@pytest.fixture
def guarded(published: Simulated) -> Iterator[Simulated]:
    """A guardian watches."""
    published.run("guardian", "start", "--env", "staging")
    yield published
    published.run("guardian", "stop", "--env", "staging")


def test_it_grows_and_is_taken_back_by_one_word(guarded: Simulated) -> None:
    guarded.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    told = guarded.run("config", "publish", "models", "--policy", "patient", "--dry-run").out
    for word in (
        "config models · staging · nothing has happened yet",
        "path     10 % → 100 %",
        "1 value changes: relevance · pl · threshold",
    ):
        assert word in told
    with asked(guarded):
        body = guarded.json("config", "publish", "models", "--policy", "patient", "--yes", "--reason", "pl misses some")["rollout"]
        name = body["id"]
        assert (body["endpoint"], body["variant"], body["stable"]) == ("config:models", "2", ["1"])
        guarded.run("rollout", "wait", "config:models", "--until", "waiting", "--timeout", "60")
        told = guarded.run("config", "list", "models").out
        assert "live 2, 10 %, else 1 of the clients" in told
        assert f"rollout {name} · config models · 1 → 2 · policy patient · WAITING" in guarded.run("rollout", "status", "config:models").out
        assert "config models 1 → 2" in guarded.run("rollout", "list").out
        again = guarded.run("config", "publish", "models", "--yes", code={2, 5}).err
        assert "is in a rollout already" in again or "has no draft" in again, again
        told = guarded.run("config", "revert", "models", "--reason", "no").out
        assert "it goes back (rollout" in told
        assert "of config models" in told
        assert "every client has read that by" in told
    assert live(guarded) == MODELS
    body = guarded.json("rollout", "status", name)["rollout"]
    assert body["state"] == "reverted"
    assert [one["endpoint"] for one in guarded.json("rollout", "list")["rollouts"]] == ["config:models"]


def test_it_grows_to_all_of_the_clients(guarded: Simulated) -> None:
    guarded.run("config", "set", "models", "relevance.pl.threshold", "0.59")
    with asked(guarded):
        told = guarded.run("config", "publish", "models", "--yes").out
        assert "of config models has begun" in told
        body = guarded.json("rollout", "wait", "config:models", "--until", "done", "--timeout", "120")["rollout"]
    assert body["state"] == "done"
    assert live(guarded) == changed(MODELS, "pl", "0.59")
    body = guarded.json("config", "list", "models")["documents"][0]
    assert (body["version"], body["share"], body["outside"]) == (2, 100, "")
    guarded.run("config", "revert", "models", "--yes")
    assert live(guarded) == MODELS


def test_no_guardian_no_rollout(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    assert "Nobody would watch this rollout" in published.run("config", "publish", "models", "--yes", code=7).err
    assert "Did you mean quick?" in published.refused("config", "publish", "models", "--policy", "quik", "--yes")
    assert live(published) == MODELS


# With a version, as one.


def test_model_and_config_go_forward_and_back_as_one(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    told = published.run("deploy", "relevance@4", "--traffic", "10", "--config", "models", "--yes", "--reason", "they belong together").out
    assert "config models 1 → 2 goes with it, and back with it" in told
    assert live(published) == changed(MODELS, "pl", "0.57")
    assert published.json("releases", "show", "relevance")["release"]["content"]["document"]["version"] == 2
    assert "went with" in published.run("releases", "show", "config:models").out
    published.run("revert", "relevance", "--yes")
    assert live(published) == MODELS
    assert published.json("endpoints", "show", "relevance")["variants"][0]["desired"] == 100
    assert "has no draft" in published.run("deploy", "relevance@5", "--config", "models", "--yes", code=2).err


# The other commands.


def test_the_other_commands_know_documents_by_name(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    published.run("config", "publish", "models", "--at-once", "--yes", "--reason", "pl misses some")
    told = published.run("releases", "list", "config:models").out
    assert re.search(r"config models#2 +live +publish +config 2 ", told), told
    assert [one["release"] for one in published.json("releases", "list", "config models")["releases"]] == [2, 1]
    assert "config models#1" in published.run("releases", "list").out
    told = published.run("releases", "show", "config:models#2").out
    assert re.search(r"touched +relevance · pl · threshold", told), told
    assert re.search(r"config models +2 +sha256:", told), told
    body = published.json("releases", "show", "config models#2")["release"]
    assert body["content"]["document"]["version"] == 2
    assert "config models: publish → config 2" in published.run("history", "list", "config:models").out
    told = published.run("history", "show", "config:models#2").out
    assert "· config models · staging · done" in told
    assert published.json("wait", "config:models")["release"] == 2
    assert "config models is #2" in published.run("wait", "config models#2").out
    assert "no change in staging was interrupted" in published.run("recover").out
    assert 'There is no rollout "config:models"' in published.refused("rollout", "status", "config:models")
    for words in (["releases", "list"], ["history", "list"], ["releases", "show"]):
        assert 'There is no config document "modelz". Did you mean models?' in published.refused(*words, "config:modelz")
    assert [one["endpoint"] for one in published.json("endpoints", "list")["endpoints"]] == ["relevance"]
    assert [one["endpoint"] for one in published.json("status")["endpoints"]] == ["relevance"]


def test_an_interrupted_publication_is_finished(published: Simulated) -> None:
    published.run("config", "set", "models", "relevance.pl.threshold", "0.57")
    world = published.world()
    world.inject(Fault(FaultKind.HANG, on="config.start", seconds=60.0))
    with published.started("config", "publish", "models", "--at-once", "--yes") as process:
        published.reached(world, "config.start")
        process.kill()
        process.wait()
    world.release()
    told = published.run("recover", "--timeout", "60").out
    assert "config models" in told
    body = published.json("config", "list", "models")["documents"][0]
    assert live(published) == (MODELS if body["version"] == 1 else changed(MODELS, "pl", "0.57"))
    assert published.json("recover")["interrupted"] == []


def test_names_are_completed(published: Simulated) -> None:
    for words, wanted in (("config show mod", "models"), ("rollout status config", "config:models"), ("releases list rel", "relevance")):
        told = published.run(
            environ={"_MLCONSOLE_COMPLETE": "complete_bash", "COMP_WORDS": f"mlconsole {words}", "COMP_CWORD": str(len(words.split()))}
        ).out
        assert wanted in told, (words, told)
