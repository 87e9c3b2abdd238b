"""Going back in AppConfig, by the matrix of what it does in which state; deployments of others; the alarms that watch."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from aws.appconfig_kit import DOCUMENT, Place, place, said, start
from aws.parts import Servers, until
from mlconsole.core.clock import SystemClock
from mlconsole.core.documents import digest_of
from mlconsole.core.live import Transition
from mlconsole.plugin.errors import Conflict, Refused
from mlconsole.plugin.roles import DocumentReport
from mlconsole_aws.configstore import AppConfigStore
from mlconsole_aws.deployments import FENCE_TAG
from mlconsole_aws.strategies import OURS

FIRST, SECOND, THIRD = said(threshold=0.58), said(threshold=0.48), said(threshold=0.38)


@pytest.fixture
def there(aws: Servers, tmp_path: Path) -> Place:
    """One version is deployed, by ours."""
    found = place(aws, tmp_path)
    start(found.store(), 1, FIRST, fence=1)
    return found


def growing(there: Place, minutes: int = 10, bake: int = 0, growth: float = 50.0) -> AppConfigStore:
    """A store whose deployments take their time."""
    return there.store(strategy=there.strategy(f"grows {minutes} {bake}", minutes, bake, growth))


def reported(there: Place) -> DocumentReport:
    """What a store tells that remembers nothing."""
    return there.store().report(DOCUMENT)


class Later(SystemClock):
    """A clock that is so many hours ahead."""

    def __init__(self, hours: float) -> None:
        self._ahead = timedelta(hours=hours)

    def now(self):  # type: ignore[no-untyped-def]
        return super().now() + self._ahead


# While it is under way.


def test_what_is_deploying_is_told_and_not_yet_what_is_deployed(there: Place) -> None:
    start(growing(there), 2, SECOND, fence=2)
    report = reported(there)
    assert report.transition is Transition.IN_PROGRESS
    assert (report.document.version, report.document.digest, report.document.latest) == (1, digest_of(FIRST), 2)
    assert report.document.publication == "version 2: DEPLOYING 0 % (deployment 2)"
    assert report.reason.startswith("AppConfig deployment 2 of models 2 is DEPLOYING, 0 %; last DEPLOYMENT_STARTED by USER at ")


def test_under_way_it_is_stopped(there: Place) -> None:
    store = growing(there)
    start(store, 2, SECOND, fence=2)
    start(store, 2, SECOND, fence=2)  # sent again: it is on its way
    start(store, 1, FIRST, fence=3)
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "ROLLED_BACK")]
    report = reported(there)
    assert (report.transition, report.document.version) == (Transition.SETTLED, 1)
    assert report.document.publication == "deployment 1; version 2 was ROLLED_BACK (deployment 2)"
    assert report.reason.startswith("AppConfig deployment 2 of models 2 was ROLLED_BACK by USER at ")
    assert there.read_by_applications() == FIRST


def test_a_stopped_ones_driver_does_not_begin_again(there: Place) -> None:
    """Its token is as old as the deployment's own; that it was stopped under a newer one stands at it as a tag."""
    start(growing(there), 2, SECOND, fence=2)
    start(there.store(), 1, FIRST, fence=3)
    arn = f"arn:aws:appconfig:eu-central-1:123456789012:application/{there.application}/environment/{there.environment}/deployment/2"
    assert there.client.list_tags_for_resource(ResourceArn=arn)["Tags"] == {FENCE_TAG: "3"}
    for number, body in ((2, SECOND), (3, THIRD)):
        with pytest.raises(Conflict, match="token 2 is older than 3"):
            start(there.store(), number, body, fence=2)
    assert len(there.deployments()) == 2
    start(there.store(), 2, SECOND, fence=4)
    assert there.deployments()[-1] == (3, "2", "COMPLETE")


def test_while_it_bakes_it_is_taken_back(there: Place) -> None:
    start(growing(there, minutes=0, bake=30), 2, SECOND, fence=2)
    report = reported(there)
    assert (report.transition, report.document.publication) == (Transition.IN_PROGRESS, "version 2: BAKING (deployment 2)")
    assert there.read_by_applications() == SECOND
    start(there.store(), 1, FIRST, fence=3)
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "ROLLED_BACK")]
    assert there.read_by_applications() == FIRST


def test_something_else_while_ours_is_under_way(there: Place) -> None:
    start(growing(there), 2, SECOND, fence=2)
    with pytest.raises(Conflict, match=r"taken by deployment 2 of models 2: DEPLOYING 0 % \(deployment 2\). Nothing was changed"):
        start(there.store(), 3, THIRD, fence=3)
    assert there.versions() == [1, 2]


@pytest.mark.parametrize("theirs", ["by hand", "config:models@staging#9 by mlconsole (theirs/staging, fence 99)"])
def test_somebody_elses_is_left_alone(there: Place, theirs: str) -> None:
    """One deployment at a time: whoever wants anything else hears whose it is, also who wants what was there before it."""
    number = there.publish_outside(SECOND, strategy=there.strategy("slow", 10, 0), description=theirs)
    for version, body in ((1, FIRST), (3, THIRD)):
        with pytest.raises(
            Conflict, match=r"taken by deployment 2 of models 2: DEPLOYING 0 % .*which mlconsole did not start here"
        ) as caught:
            start(there.store(), version, body, fence=3, back=True)
        assert theirs[:20] in caught.value.message
    assert there.deployments()[-1] == (2, str(number), "DEPLOYING")
    assert there.versions() == [1, 2]


def test_another_documents_deployment_takes_the_environment(there: Place) -> None:
    other = there.client.create_configuration_profile(ApplicationId=there.application, Name="flags", LocationUri="hosted")["Id"]
    there.publish_outside(said(flag=True), profile=other, strategy=there.strategy("slow", 10, 0))
    report = reported(there)
    assert (report.transition, report.reason) == (Transition.SETTLED, "")
    assert report.document.publication == "deployment 1; the environment is taken by flags: DEPLOYING 0 % (deployment 2)"
    with pytest.raises(Conflict, match="taken by deployment 2 of flags 1"):
        start(there.store(), 2, SECOND, fence=2)
    assert there.versions() == [1]


# When it is complete.


def test_complete_it_is_the_stored_version_again(there: Place) -> None:
    start(there.store(), 2, SECOND, fence=2)
    start(growing(there), 1, FIRST, fence=3)
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "COMPLETE"), (3, "1", "COMPLETE")]
    assert there.versions() == [1, 2]
    assert there.deployment(3)["DeploymentDurationInMinutes"] == 0, "going back takes as long as going forward"


def test_only_our_pointers_is_a_new_version_at_once(there: Place) -> None:
    start(growing(there), 2, SECOND, fence=2, back=True)
    assert there.deployments()[-1] == (2, "2", "COMPLETE")


def firing(there: Place) -> None:
    """Two versions were deployed; then an alarm of the environment fired."""
    there.monitor(there.alarm("relevance-errors"))
    start(there.store(), 2, SECOND, fence=2)
    there.alarm("relevance-errors", "ALARM")


def test_with_an_alarm_on_the_service_takes_it_back(there: Place) -> None:
    """A new deployment would be taken back at once by that very alarm."""
    firing(there)
    start(there.store(), 1, FIRST, fence=3)
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "REVERTED")]
    report = reported(there)
    assert (report.transition, report.document.version) == (Transition.SETTLED, 1)
    assert report.reason.startswith("AppConfig deployment 2 of models 2 was REVERTED by USER")
    assert there.read_by_applications() == FIRST
    with pytest.raises(Conflict, match="token 2 is older than 3"):
        start(there.store(), 2, SECOND, fence=2)


@pytest.mark.parametrize("why", ["something else since", "too long ago", "not what was before"])
def test_but_only_where_that_leads_to_what_is_wanted(there: Place, why: str) -> None:
    """Else the version is deployed again, whatever the alarm does with it: it is not refused."""
    store, version, body = there.store(), 1, FIRST
    if why == "something else since":
        firing(there)
        there.alarm("relevance-errors", "OK")
        there.deploy_outside(1, profile=_flags(there))
        there.alarm("relevance-errors", "ALARM")
    elif why == "too long ago":
        firing(there)
        store = there.store(Later(73))
    else:
        start(there.store(), 2, SECOND, fence=2)
        there.monitor(there.alarm("relevance-errors"))
        start(there.store(), 3, THIRD, fence=3)
        there.alarm("relevance-errors", "ALARM")
    start(store, version, body, fence=4)
    number, deployed, state = there.deployments()[-1]
    assert (deployed, state) == ("1", "ROLLED_BACK"), f"{number} is {state}"
    assert "REVERTED" not in {one[2] for one in there.deployments()}
    assert "ROLLED_BACK by CLOUDWATCH_ALARM: alarm relevance-errors" in reported(there).reason


def test_within_72_hours_it_still_is(there: Place) -> None:
    firing(there)
    start(there.store(Later(71)), 1, FIRST, fence=3)
    assert there.deployments()[-1] == (2, "2", "REVERTED")


# Alarms.


def test_monitors_have_to_be_ok_before_it_begins(there: Place) -> None:
    there.monitor(there.alarm("relevance-errors"), there.alarm("relevance-latency", "ALARM"))
    with pytest.raises(Refused, match=r"monitors are not OK: relevance-latency \(ALARM\): AppConfig would take it back at once"):
        start(there.store(), 2, SECOND, fence=2)
    there.alarm("relevance-latency", "INSUFFICIENT_DATA")
    with pytest.raises(Refused, match=r"relevance-latency \(INSUFFICIENT_DATA\): nobody would watch it"):
        start(there.store(), 2, SECOND, fence=2)
    assert there.versions() == [1], "a version was stored for a deployment that was refused"
    there.alarm("relevance-latency")
    start(there.store(), 2, SECOND, fence=2)
    assert there.deployments()[-1] == (2, "2", "COMPLETE")


def test_an_alarm_that_is_no_more_watches_nothing(there: Place) -> None:
    there.monitor(there.alarm("relevance-errors"))
    there.servers.client("cloudwatch").delete_alarms(AlarmNames=["relevance-errors"])
    with pytest.raises(Refused, match=r"relevance-errors \(nobody knows how it is\)"):
        start(there.store(), 2, SECOND, fence=2)


def test_going_back_asks_no_alarm(there: Place) -> None:
    start(there.store(), 2, SECOND, fence=2)
    there.monitor(there.alarm("relevance-errors", "INSUFFICIENT_DATA"))
    start(there.store(), 1, FIRST, fence=3)
    assert there.deployments()[-1] == (3, "1", "COMPLETE")


def test_an_alarm_takes_it_back_while_it_grows(there: Place) -> None:
    """Really: its shares are those that the service reports, the alarm is named, and what is deployed then is what was before."""
    there.servers.control(minute_seconds=2.0)
    there.monitor(there.alarm("relevance-errors"), there.alarm("relevance-latency"))
    start(there.store(strategy="AppConfig.Linear50PercentEvery30Seconds"), 2, SECOND, fence=2)
    seen = set()

    def half() -> bool:
        seen.add(reported(there).document.publication)
        return "version 2: DEPLOYING 50 % (deployment 2)" in seen

    until(half, 20.0)
    assert "last PERCENTAGE_UPDATED by APPCONFIG at " in reported(there).reason
    there.alarm("relevance-latency", "ALARM")
    until(lambda: there.deployments()[-1][2] == "ROLLED_BACK", 20.0)
    report = reported(there)
    assert (report.transition, report.document.version, report.document.digest) == (Transition.SETTLED, 1, digest_of(FIRST))
    assert report.reason == "AppConfig deployment 2 of models 2 was ROLLED_BACK by CLOUDWATCH_ALARM: alarm relevance-latency"
    assert there.read_by_applications() == FIRST


def test_one_that_grows_comes_to_its_end(there: Place) -> None:
    there.servers.control(minute_seconds=0.5)
    start(there.store(strategy="AppConfig.Linear50PercentEvery30Seconds"), 2, SECOND, fence=2)
    assert reported(there).transition is Transition.IN_PROGRESS
    until(lambda: reported(there).transition is Transition.SETTLED, 20.0)
    report = reported(there)
    assert (report.document.version, report.document.publication, report.reason) == (2, "deployment 2", "")


def test_what_watches_is_told(there: Place) -> None:
    assert there.store().watching(DOCUMENT) == ""
    there.monitor(there.alarm("relevance-errors"), there.alarm("relevance-latency"))
    assert there.store().watching(DOCUMENT) == "", f"{OURS} is over before an alarm could take it back"
    told = there.store(strategy="AppConfig.AllAtOnce").watching(DOCUMENT)
    assert told == "AppConfig takes it back by itself on relevance-errors, relevance-latency, until it is baked (all at once, bake 10 min)"


def _flags(there: Place) -> str:
    made = there.client.create_configuration_profile(ApplicationId=there.application, Name="flags", LocationUri="hosted")
    there.client.create_hosted_configuration_version(
        ApplicationId=there.application, ConfigurationProfileId=made["Id"], Content=b"{}", ContentType="application/json"
    )
    return str(made["Id"])
