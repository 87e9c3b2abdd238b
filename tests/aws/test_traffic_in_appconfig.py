"""Traffic held in AppConfig: percentages in the document that applications read; deploys, shifts, rollouts and reverts write them there."""

from __future__ import annotations

from pathlib import Path

import pytest

from aws.appconfig_house import Applications, AwsHouse, aws_house, stands
from aws.parts import Servers
from engine.config_kit import DOC, TARGET, back, edited
from engine.conftest import TOMEK
from engine.rollout_kit import LivedClock
from mlconsole.core.documents import Document, digest_of
from mlconsole.core.rollouts import RolloutState
from mlconsole.core.steps import Phase, Step
from mlconsole.core.traffic import Traffic
from mlconsole.engine import changing, configuring, planning, rolling, rolloutplans
from mlconsole.engine.conducting import Conductor
from mlconsole.engine.configtraffic import ConfigTraffic
from mlconsole.plugin.errors import ChangedOutside
from mlconsole.plugin.roles import Order
from mlconsole.workspace import load


@pytest.fixture
def house(aws: Servers, tmp_path: Path) -> AwsHouse:
    made = aws_house(aws, tmp_path)
    stands(made)
    return made


def splits(house: AwsHouse, model: str = "relevance") -> dict[str, dict[str, float]]:
    """Language → who gets which percentage, as applications read it."""
    return {name: entry["split"] for name, entry in house.live()[model].items()}


def test_a_deploy_writes_the_shares_and_nothing_else(house: AwsHouse) -> None:
    session = house.session()
    before = house.live()
    assert splits(house) == {"en": {"v3": 100}, "pl": {"v3": 100}}
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=1000)).done
    assert splits(house) == {"en": {"v3": 90, "v4": 10}, "pl": {"v3": 90, "v4": 10}}
    after = house.live()
    for body in (before, after):
        for entry in body["relevance"].values():
            del entry["split"]
    assert after == before
    live = session.backend.describe("relevance")
    assert live.traffic is not None
    assert dict(live.traffic.split) == {"v3": 9000, "v4": 1000}
    assert [one.name for one in live.variants] == ["v3", "v4"]


def test_one_lease_for_the_whole_environment(house: AwsHouse) -> None:
    """One deployment at a time, whichever endpoint it is for."""
    session = house.session()
    plans = [
        planning.plan_deploy(session, "relevance", "4", share=1000),
        planning.plan_deploy(session, "severity", "4", share=1000),
    ]
    assert {plan.scope for plan in plans} == {session.backend.scope(TARGET)} == {"acme/production"}


@pytest.mark.parametrize(("own", "others"), [("pl", "en"), ("en", "pl")])
def test_a_slice_of_its_own_and_back(house: AwsHouse, own: str, others: str) -> None:
    """The document has no row for all, and of two rows each may be the one that differs: it is read back as it was written."""
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=0)).done
    shifted = planning.plan_traffic(session, "relevance", {"v3": 5000, "v4": 5000}, slice_value=("language", own))
    assert changing.run(session, shifted).done
    assert splits(house) == {others: {"v3": 100, "v4": 0}, own: {"v3": 50, "v4": 50}}
    assert planning.current(session, "relevance")[1] is not None, "it counts as changed outside"
    assert changing.run(session, planning.plan_revert(session, "relevance")).done
    assert splits(house) == {"en": {"v3": 100, "v4": 0}, "pl": {"v3": 100, "v4": 0}}


def test_the_only_slice_of_its_own(house: AwsHouse) -> None:
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "severity", "4", share=0)).done
    shifted = planning.plan_traffic(session, "severity", {"v4": 5000}, slice_value=("language", "en"))
    assert changing.run(session, shifted).done
    assert changing.run(session, planning.plan_traffic(session, "severity", {"v4": 2500})).done
    assert splits(house, "severity") == {"en": {"v3": 75, "v4": 25}}


def test_going_back_stops_shares_that_are_on_their_way(house: AwsHouse) -> None:
    """What is deployed is what was wanted, and something else is coming: going back does not wait until it is there."""
    settings = load(house.root).configs["models"]
    store = house.there.store(registry=house.root.name, strategy=house.there.strategy("slow", 600, 0))
    role = ConfigTraffic(store, settings, {"relevance": "relevance"})
    before = house.text().encode()
    there = store.report("models").document
    body = role.written("relevance", before, Traffic({"v3": 5000, "v4": 5000}))
    target = Document("models", there.latest + 1, digest_of(body), before=there.version, before_digest=there.digest)
    order = Order(900, "relevance@staging#9", {}, {target.digest: body})
    store.start("models", store.steps(there, target)[0], order)
    assert house.there.deployments()[-1][2] == "DEPLOYING"
    now = Traffic({"v3": 10_000})
    step = Step("traffic", "publish models", "back", Phase.SHIFT, traffic=now)
    role.start("relevance", step, Order(901, "relevance@staging#8", {}, back=True))
    assert house.there.deployments()[-1][2] == "ROLLED_BACK"
    assert house.text().encode() == before


def test_a_revert_leaves_what_others_changed(house: AwsHouse) -> None:
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=2000)).done
    assert changing.run(session, planning.plan_deploy(session, "severity", "4", share=5000)).done
    house.edited_outside('"threshold": 0.48', '"threshold": 0.61')
    assert changing.run(session, planning.plan_revert(session, "relevance")).done
    assert {name: share for name, share in splits(house)["pl"].items() if share} == {"v3": 100}
    assert splits(house, "severity") == {"en": {"v3": 50, "v4": 50}}
    assert house.live()["relevance"]["pl"]["threshold"] == 0.61
    assert house.live()["owner"] == "anna"


def test_others_deploying_meanwhile_is_a_conflict_that_changes_nothing(house: AwsHouse) -> None:
    """Forward it goes back to what was; the deployment of the other one is left alone."""
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=0)).done
    there = house.there
    flags = there.client.create_configuration_profile(ApplicationId=there.application, Name="flags", LocationUri="hosted")["Id"]
    there.publish_outside(b'{"a": 1}', profile=flags, strategy=there.strategy("slow", 600, 0))
    outcome = changing.run(session, planning.plan_traffic(session, "relevance", {"v4": 1000}))
    assert not outcome.done
    assert "taken by deployment" in outcome.sentence
    assert "of flags 1" in outcome.sentence
    assert splits(house)["pl"] == {"v3": 100, "v4": 0}
    assert there.deployments()[-1][2] == "DEPLOYING"


@pytest.mark.parametrize("strategy", ["mlconsole.AllAtOnce", "AppConfig.Linear20PercentEvery6Minutes"])
def test_a_rollout_leaves_the_environment_free_between_its_stages(aws: Servers, tmp_path: Path, strategy: str) -> None:
    """However config itself grows: a stage's shares are there at once, and the stage waits by itself."""
    house = aws_house(aws, tmp_path)
    stands(house)
    text = (tmp_path / "mlconsole.yaml").read_text()
    (tmp_path / "mlconsole.yaml").write_text(text.replace("strategy: mlconsole.AllAtOnce", f"strategy: {strategy}"))
    session = house.session()
    plan = rolloutplans.plan_rollout(session, "relevance", "4", policy="bare", attended=True)
    rollout = rolling.begin(session, plan, stays=True)
    seen: dict[str, int] = {}
    moved: list[bool] = []

    applications = Applications(house)

    def goes_on() -> None:
        state = house.there.client.get_environment(**house.there.where)["State"]
        there = applications.go_on().get("v4", 0)
        seen[f"{there} % {state}"] = len(house.there.deployments())
        if there == 60 and not moved:  # somebody else's endpoint, in the same document
            moved.append(True)
            other = house.session(TOMEK)
            assert changing.run(other, planning.plan_deploy(other, "severity", "5", share=3000)).done

    driver = house.session(TOMEK, clock=LivedClock(house.clock, goes_on))
    ended = Conductor(driver, rollout.id).run()
    assert ended is not None
    assert ended.state is RolloutState.DONE, ended.why
    assert {one for one in seen if not one.startswith("0 ")} == {f"{share} % READY_FOR_DEPLOYMENT" for share in (20, 60, 100)}
    assert splits(house)["pl"]["v4"] == 100
    assert splits(house, "severity") == {"en": {"v3": 70, "v5": 30}}
    assert {one[2] for one in house.there.deployments()} == {"COMPLETE"}
    assert house.there.deployment(len(house.there.deployments()))["DeploymentDurationInMinutes"] == 0


def test_a_rollout_that_is_asked_back(house: AwsHouse) -> None:
    session = house.session()
    plan = rolloutplans.plan_rollout(session, "relevance", "4", policy="bare", attended=True)
    rollout = rolling.begin(session, plan, stays=True)
    asked: list[bool] = []
    applications = Applications(house)

    def goes_on() -> None:
        if applications.go_on().get("v4") == 20 and not asked:
            asked.append(True)
            rolling.control(house.session(), rollout.id, "revert", "enough")

    ended = Conductor(house.session(TOMEK, clock=LivedClock(house.clock, goes_on)), rollout.id).run()
    assert ended is not None
    assert ended.state is RolloutState.REVERTED
    assert {name: share for name, share in splits(house)["pl"].items() if share} == {"v3": 100}


def test_config_beside_the_shares(house: AwsHouse) -> None:
    """A threshold is published and taken back; shares that were moved in between stay."""
    session = house.session()
    assert changing.run(session, planning.plan_deploy(session, "relevance", "4", share=0)).done
    assert edited(session, "/relevance/pl/threshold", 0.6, "pl alerts too often").done
    assert changing.run(session, planning.plan_traffic(session, "relevance", {"v4": 2500})).done
    assert back(session).done
    there = house.live()["relevance"]["pl"]
    assert (there["threshold"], there["split"]) == (0.48, {"v3": 75, "v4": 25})
    assert configuring.document(session, DOC).outside == ""


def test_what_somebody_else_published_is_seen_and_kept_or_put_back(house: AwsHouse) -> None:
    session = house.session()
    house.edited_outside('"threshold": 0.48', '"threshold": 0.61')
    view = configuring.document(session, DOC)
    assert view.outside
    with pytest.raises(ChangedOutside):
        edited(session, "/relevance/pl/threshold", 0.6)
    configuring.discard(session, DOC)
    assert configuring.adopt(session, DOC).kind == "kept"
    assert configuring.document(session, DOC).outside == ""


def test_an_alarm_takes_a_growing_version_back_and_is_named(aws: Servers, tmp_path: Path) -> None:
    """AppConfig does it by itself; the change is told as one that went back, with the alarm."""
    house = aws_house(aws, tmp_path)
    stands(house)
    there = house.there
    there.monitor(there.alarm("relevance-errors"))
    text = (tmp_path / "mlconsole.yaml").read_text()
    (tmp_path / "mlconsole.yaml").write_text(text.replace("strategy: mlconsole.AllAtOnce", "strategy: AppConfig.AllAtOnce"))
    before, fired = house.text(), []

    def goes_on() -> None:
        if there.deployments()[-1][2] == "BAKING" and not fired:
            assert house.live()["relevance"]["pl"]["threshold"] == 0.6
            view = configuring.document(house.session(), DOC)
            assert view.moving
            assert "BAKING" in view.publication
            assert view.watching.startswith("AppConfig takes it back by itself on relevance-errors")
            fired.append(there.alarm("relevance-errors", "ALARM"))

    session = house.session(clock=LivedClock(house.clock, goes_on))
    configuring.edit(session, DOC, {"/relevance/pl/threshold": 0.6})
    from mlconsole.engine import publishing

    plan = publishing.plan_publish(session, DOC)
    assert any("AppConfig takes it back by itself on relevance-errors" in note for note in plan.notes)
    outcome = changing.run(session, plan)
    assert not outcome.done
    assert there.deployments()[-1][2] == "ROLLED_BACK", "it was deployed again, though what was before is there"
    assert "alarm relevance-errors" in outcome.sentence
    assert house.text() == before
    view = configuring.document(house.session(), DOC)
    assert view.told.endswith("was ROLLED_BACK by CLOUDWATCH_ALARM: alarm relevance-errors")
    from mlconsole.cli.config_words import versions_told

    assert any(line.startswith("▲ models: AppConfig deployment") and "alarm relevance-errors" in line for line in versions_told(view))
