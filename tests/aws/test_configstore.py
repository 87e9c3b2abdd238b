"""Config documents in AppConfig: names and ids, versions and their digests, both locks, the service's validators, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aws.appconfig_kit import APPLICATION, DOCUMENT, Place, place, said, start, wanted
from aws.parts import Servers, context
from mlconsole.core.documents import WHOLE, Document, LiveDocument, digest_of
from mlconsole.core.live import Transition
from mlconsole.plugin.errors import Conflict, InvalidRequest, NotFound, Refused
from mlconsole.plugin.roles import ConfigStore
from mlconsole_aws import plugin
from mlconsole_aws.configstore import AppConfigStore
from mlconsole_aws.strategies import OURS

FIRST, SECOND, THIRD = said(threshold=0.58), said(threshold=0.48), said(threshold=0.38)
SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "additionalProperties": {"additionalProperties": {"properties": {"threshold": {"type": "number", "minimum": 0, "maximum": 1}}}},
}


@pytest.fixture
def there(aws: Servers, tmp_path: Path) -> Place:
    return place(aws, tmp_path)


def test_the_plugin_plays_the_role(there: Place) -> None:
    store = there.store(poll=45)
    assert isinstance(store, ConfigStore)
    made = plugin.factories["config"](context(there.servers, there.tmp, appconfig={"application": "a", "environment": "b"}))
    assert isinstance(made, AppConfigStore)
    limits = store.limits()
    assert (limits.growth, limits.poll_lag, limits.most_bytes) == (False, 45.0, 1_000_000)
    assert store.scope(DOCUMENT) == store.scope("another") == "acme/production"


# Where documents are.


@pytest.mark.parametrize("by_id", [False, True])
def test_by_name_and_by_id(there: Place, by_id: bool) -> None:
    named = {"application": there.application, "environment": there.environment, "profiles": {"thresholds": there.profile}}
    store = there.store(**(named if by_id else {"profiles": {"thresholds": DOCUMENT}}))
    start(store, 1, FIRST, document="thresholds")
    assert store.read("thresholds", 1) == there.version(1) == FIRST
    assert list(store.list()) == ["thresholds"]
    assert store.report("thresholds").document.version == 1


def test_names_are_looked_up_once(there: Place) -> None:
    store = there.store()
    start(store, 1, FIRST)
    for number in range(2, 6):
        start(store, number, said(threshold=number / 10), fence=number)
    calls = there.servers.calls()
    assert {calls[f"appconfig:List{what}"] for what in ("Applications", "Environments", "ConfigurationProfiles")} == {1}
    assert calls["appconfig:CreateDeploymentStrategy"] == 1


def test_a_wrong_name_is_told_with_what_there_is(there: Place) -> None:
    with pytest.raises(NotFound, match=r"no application acne in 123456789012, eu-central-1. It has: acme"):
        there.store(application="acne").report(DOCUMENT)
    with pytest.raises(NotFound, match=r"no environment live .*It has: production"):
        there.store(environment="live").report(DOCUMENT)
    with pytest.raises(InvalidRequest, match="does not say which AppConfig application"):
        there.store(application="").report(DOCUMENT)
    with pytest.raises(Refused, match="has no configuration profile others") as caught:
        start(there.store(), 1, FIRST, document="others")
    assert caught.value.next.startswith("aws appconfig create-configuration-profile")
    assert there.store().report("others").document == LiveDocument("others")


def test_two_of_the_same_name_are_not_guessed_between(there: Place) -> None:
    again = there.client.create_application(Name=APPLICATION)["Id"]
    with pytest.raises(Refused, match="several applications called acme"):
        there.store().report(DOCUMENT)
    assert there.store(application=again).report(DOCUMENT).document == LiveDocument(DOCUMENT)


def test_what_is_made_again_under_the_same_name_is_found(there: Place) -> None:
    store = there.store()
    start(store, 1, FIRST)
    there.client.delete_configuration_profile(**there.kept)
    there.client.create_configuration_profile(ApplicationId=there.application, Name=DOCUMENT, LocationUri="hosted")
    with pytest.raises(NotFound):
        start(store, 2, SECOND, fence=2)
    start(store, 1, SECOND, fence=3)
    assert store.read(DOCUMENT, 1) == SECOND


def test_profiles_that_are_not_ours_to_write(there: Place) -> None:
    make = there.client.create_configuration_profile
    make(
        ApplicationId=there.application,
        Name="parameters",
        LocationUri="ssm-parameter://acme",
        RetrievalRoleArn="arn:aws:iam::123456789012:role/r",
    )
    make(ApplicationId=there.application, Name="flags", LocationUri="hosted", Type="AWS.AppConfig.FeatureFlags")
    store = there.store()
    for name, why in (("parameters", "is kept in ssm-parameter://acme"), ("flags", "holds feature flags")):
        report = store.report(name)
        assert report.transition is Transition.FAILED
        assert why in report.reason
        assert report.document.version is None
        assert list(store.versions(name)) == []
        with pytest.raises(Refused, match=why):
            start(store, 1, FIRST, document=name)
    assert list(store.list()) == ["flags", "models", "parameters"]


# Versions.


def test_what_is_stored_and_deployed_is_seen_by_others(there: Place) -> None:
    """The `aws` command and an application see what we say."""
    start(there.store(), 1, FIRST, fence=7)
    aws, where = there.servers.aws, ["--application-id", there.application]
    listed = aws("appconfig", "list-hosted-configuration-versions", *where, "--configuration-profile-id", there.profile)["Items"]
    assert listed[0]["Description"].startswith(f"mlconsole {digest_of(FIRST)} of {len(FIRST)} bytes, 20")
    assert listed[0]["Description"].endswith("for config:models@staging#1")
    assert listed[0]["ContentType"] == "application/json"
    found = aws("appconfig", "get-deployment", *where, "--environment-id", there.environment, "--deployment-number", "1")
    assert found["Description"] == "config:models@staging#1 by mlconsole (ours/staging, fence 7)"
    assert (found["State"], found["ConfigurationVersion"], found["FinalBakeTimeInMinutes"]) == ("COMPLETE", "1", 0)
    strategies = {one["Name"]: one for one in aws("appconfig", "list-deployment-strategies")["Items"]}
    assert (strategies[OURS]["GrowthFactor"], strategies[OURS]["DeploymentDurationInMinutes"], strategies[OURS]["ReplicateTo"]) == (
        100.0,
        0,
        "NONE",
    )
    assert there.read_by_applications() == FIRST


def test_yaml_says_that_it_is(there: Place) -> None:
    start(there.store(), 1, b"a: 1  # kept\n")
    assert there.client.get_hosted_configuration_version(**there.kept, VersionNumber=1)["ContentType"] == "application/x-yaml"


def test_versions_of_others_have_the_digest_of_their_bytes(there: Place) -> None:
    """Whatever their description says: one that was copied from ours says the digest of other bytes."""
    start(there.store(), 1, FIRST)
    copied = there.client.list_hosted_configuration_versions(**there.kept)["Items"][0]["Description"]
    there.client.create_hosted_configuration_version(**there.kept, Content=SECOND, ContentType="application/json", Description="tuned pl")
    there.client.create_hosted_configuration_version(**there.kept, Content=THIRD, ContentType="application/json", Description=copied)
    there.deploy_outside(3)
    store = there.store()
    found = store.versions(DOCUMENT)
    assert [(one.number, one.size) for one in found] == [(3, len(FIRST)), (2, len(SECOND)), (1, len(FIRST))]
    assert (found[1].digest, found[1].note) == (digest_of(SECOND), "tuned pl")
    assert found[2].created is not None
    assert (found[2].digest, found[2].note) == (digest_of(FIRST), "config:models@staging#1")
    assert store.report(DOCUMENT).document.digest == digest_of(THIRD), "the description was taken for the bytes"
    # Nor is it published for what it is not.
    with pytest.raises(Conflict, match="other bytes"):
        start(store, 3, FIRST, fence=2)


def test_many_versions_and_deployments(there: Place) -> None:
    """More than one page of each, and those of another document in between."""
    other = there.client.create_configuration_profile(ApplicationId=there.application, Name="flags", LocationUri="hosted")["Id"]
    start(there.store(), 1, FIRST)
    for number in range(60):
        there.client.create_hosted_configuration_version(**there.kept, Content=said(threshold=number), ContentType="application/json")
        there.publish_outside(said(flag=number), profile=other)
    store = there.store()
    live = store.report(DOCUMENT).document
    assert (live.version, live.latest, live.digest) == (1, 61, digest_of(FIRST))
    assert [one.number for one in store.versions(DOCUMENT, 55)] == list(range(61, 6, -1))
    before = there.servers.calls()["appconfig:ListHostedConfigurationVersions"]
    store.report("flags")
    assert there.servers.calls()["appconfig:ListHostedConfigurationVersions"] == before + 1, "older pages tell nothing of the newest"
    start(store, 62, SECOND, fence=2)
    assert there.deployments()[-1] == (62, "62", "COMPLETE")


# The locks.


def test_a_version_of_somebody_else_came_between(there: Place) -> None:
    store = there.store()
    start(store, 1, FIRST)
    there.client.create_hosted_configuration_version(**there.kept, Content=THIRD, ContentType="application/json")
    with pytest.raises(Conflict, match="Version 2 of config models is there already, with other bytes"):
        start(store, 2, SECOND, fence=2)
    with pytest.raises(Conflict, match="The next version of config models is 3, not 4"):
        start(store, 4, SECOND, fence=2)
    assert there.versions() == [1, 2]
    assert there.deployments() == [(1, "1", "COMPLETE")]


def test_the_service_compares_the_version_too(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our look and our call somebody adds one: the lock that was sent with it is lost, nothing is written over."""
    store = there.store()
    start(store, 1, FIRST)
    look = store._versions.latest

    def late(profile: object) -> int:
        found = look(profile)  # type: ignore[arg-type]
        there.client.create_hosted_configuration_version(**there.kept, Content=THIRD, ContentType="application/json")
        return found

    monkeypatch.setattr(store._versions, "latest", late)
    with pytest.raises(Conflict):
        start(store, 2, SECOND, fence=2)
    assert there.versions() == [1, 2]
    assert there.version(2) == THIRD
    assert there.deployments() == [(1, "1", "COMPLETE")]


def test_a_number_that_was_given_out_and_taken_away(there: Place) -> None:
    """A deleted number does not come back. What the service stored under another one is not published as what it is not."""
    store = there.store()
    start(store, 1, FIRST)
    there.client.create_hosted_configuration_version(**there.kept, Content=THIRD, ContentType="application/json")
    there.client.delete_hosted_configuration_version(**there.kept, VersionNumber=2)
    with pytest.raises(Conflict, match="stored it as version 3 of models, not 2"):
        start(store, 2, SECOND, fence=2)
    assert there.deployments() == [(1, "1", "COMPLETE")]
    start(store, 3, SECOND, fence=3)
    assert there.deployments()[-1] == (2, "3", "COMPLETE")


def test_somebody_deployed_between_our_look_and_our_call(there: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    store = there.store()
    start(store, 1, FIRST)
    look = store._deployments.overview

    def late(profile: object) -> object:
        found = look(profile)  # type: ignore[arg-type]
        there.deploy_outside(1)
        return found

    monkeypatch.setattr(store._deployments, "overview", late)
    with pytest.raises(Conflict, match="LatestDeploymentNumber 1 does not match"):
        start(store, 2, SECOND, fence=2)
    assert [number for number, _, _ in there.deployments()] == [1, 2]


@pytest.mark.parametrize("back", [False, True])
def test_what_was_made_from_an_older_version_takes_nothing_back(there: Place, back: bool) -> None:
    """Somebody deployed since our look, and the number is the next one all the same: their values are not in ours."""
    start(there.store(), 1, FIRST)
    there.publish_outside(SECOND)
    with pytest.raises(Conflict, match="Version 3 of config models was made from 1, and 2 is deployed by now"):
        start(there.store(), 3, THIRD, fence=2, before=1, back=back)
    assert there.versions() == [1, 2]
    # A stored one that is gone back to is wanted as it is.
    start(there.store(), 1, FIRST, fence=3, before=7, back=True)
    assert there.deployments()[-1] == (3, "1", "COMPLETE")


def test_an_old_token_of_ours_is_known_behind_others_deployments(there: Place) -> None:
    """Somebody else deployed since; whose token is old all the same."""
    start(there.store(), 1, FIRST, fence=10)
    there.publish_outside(SECOND)
    there.publish_outside(THIRD)
    with pytest.raises(Conflict, match="token 9 is older than 10"):
        start(there.store(), 4, FIRST, fence=9)
    assert there.versions() == [1, 2, 3]
    # Another registry counts its own tokens.
    start(there.store(registry="theirs"), 4, FIRST, fence=2)
    assert there.deployments()[-1] == (4, "4", "COMPLETE")


def test_what_is_so_already_is_marked_with_a_newer_token(there: Place) -> None:
    """Going back in advance of a call that may still come: it has to meet the lock."""
    store = there.store()
    start(store, 1, FIRST, fence=1)
    start(store, 1, FIRST, fence=1)
    assert len(there.deployments()) == 1
    start(store, 1, FIRST, fence=3)
    assert [one[:2] for one in there.deployments()] == [(1, "1"), (2, "1")]
    with pytest.raises(Conflict, match="token 2 is older than 3"):
        start(there.store(), 2, SECOND, fence=2)


# The service's validators, and what is refused before.


def test_a_validator_refuses_with_its_words(aws: Servers, tmp_path: Path) -> None:
    there = place(aws, tmp_path, [{"Type": "JSON_SCHEMA", "Content": json.dumps(SCHEMA)}])
    store = there.store()
    start(store, 1, FIRST)
    with pytest.raises(Refused, match=r"Configuration is invalid: 58 is greater than the maximum of 1 at /relevance/pl/threshold"):
        start(store, 2, said(threshold=58), fence=2)
    assert there.deployments() == [(1, "1", "COMPLETE")]
    # Stored it is, and not published: what comes next has the number after it.
    assert store.report(DOCUMENT).document.latest == 2
    start(store, 3, SECOND, fence=3)
    assert there.read_by_applications() == SECOND


def test_schemas_are_told_so_that_lint_can_know_before(aws: Servers, tmp_path: Path) -> None:
    function = "arn:aws:lambda:eu-central-1:123456789012:function:check"
    there = place(aws, tmp_path, [{"Type": "JSON_SCHEMA", "Content": json.dumps(SCHEMA)}, {"Type": "LAMBDA", "Content": function}])
    assert [json.loads(one) for one in there.store().schemas(DOCUMENT)] == [SCHEMA]
    assert list(there.store().schemas("others")) == []


def test_a_share_is_refused(there: Place) -> None:
    target = Document(DOCUMENT, 2, digest_of(SECOND), WHOLE // 5, 1, digest_of(FIRST))
    with pytest.raises(Refused, match="to all clients or none: 20 % of them can't be held"):
        there.store().steps(LiveDocument(DOCUMENT, 1, digest_of(FIRST), latest=1), target)


def test_a_deployed_version_that_is_gone(there: Place) -> None:
    store = there.store()
    start(store, 1, FIRST)
    start(store, 2, SECOND, fence=2)
    there.client.delete_hosted_configuration_version(**there.kept, VersionNumber=2)
    report = there.store().report(DOCUMENT)
    assert (report.transition, report.document.digest, report.document.latest) == (Transition.FAILED, "", 2)
    assert "version 2 is deployed, and no longer stored" in report.reason
    with pytest.raises(NotFound):
        there.store().read(DOCUMENT, 2)
    start(there.store(), 1, FIRST, fence=3)
    assert there.store().report(DOCUMENT).document.version == 1


# Strategies.


def test_how_long_it_takes_is_the_strategys(there: Place) -> None:
    live, target = LiveDocument(DOCUMENT, 1, digest_of(FIRST), latest=1), wanted(2, SECOND)
    (ours,) = there.store().steps(live, target)
    assert ours.summary == "store and deploy models 2 to all clients by mlconsole.AllAtOnce (all at once, no bake)"
    assert ours.seconds < 60
    (grown,) = there.store(strategy="AppConfig.Linear20PercentEvery6Minutes").steps(live, target)
    assert grown.summary.endswith("by AppConfig.Linear20PercentEvery6Minutes (linear 20 % over 30 min, bake 30 min)")
    assert 3600 < grown.seconds < 3700 < grown.deadline
    (back,) = there.store(strategy="AppConfig.Linear20PercentEvery6Minutes").steps(LiveDocument(DOCUMENT, 2, latest=2), wanted(1, FIRST))
    assert back.seconds < 60
    there.strategy("slow", 10, 5, 25.0)
    store = there.store(strategy="slow")
    store.report(DOCUMENT)
    (named,) = store.steps(live, target)
    assert named.summary.endswith("by slow (linear 25 % over 10 min, bake 5 min)")


def test_a_strategy_by_name_and_by_id(there: Place) -> None:
    id_ = there.strategy("slow", 0, 0)
    start(there.store(strategy="slow"), 1, FIRST)
    start(there.store(strategy=id_), 2, SECOND, fence=2)
    assert {there.deployment(number)["DeploymentStrategyId"] for number in (1, 2)} == {id_}
    with pytest.raises(NotFound, match=r"no deployment strategy slower. It has: .*slow"):
        start(there.store(strategy="slower"), 3, THIRD, fence=3)
    assert there.versions() == [1, 2], "a version was stored that could not be deployed"


def test_ours_has_to_be_what_it_was_made_as(there: Place) -> None:
    start(there.store(), 1, FIRST)
    (ours,) = (one for one in there.client.list_deployment_strategies()["Items"] if one["Name"] == OURS)
    there.client.update_deployment_strategy(DeploymentStrategyId=ours["Id"], FinalBakeTimeInMinutes=60)
    with pytest.raises(Refused, match=r"mlconsole.AllAtOnce is not what it was made as any more: all at once, bake 1 h 00"):
        start(there.store(), 2, SECOND, fence=2)
