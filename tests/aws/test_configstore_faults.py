"""What AWS may do to a call on its way: silence after the effect, throttling, errors. Nothing is done twice, or told that is not so."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from aws.appconfig_kit import DOCUMENT, Place, place, said, start
from aws.parts import Servers
from mlconsole.plugin.errors import AuthFailed, BackendError, OutcomeUnknown, Throttled, Unavailable
from mlconsole_aws.configstore_together import Together
from mlconsole_aws.strategies import OURS

FIRST, SECOND = said(threshold=0.58), said(threshold=0.48)


@pytest.fixture
def there(aws: Servers, tmp_path: Path) -> Place:
    found = place(aws, tmp_path)
    start(found.store(), 1, FIRST, fence=1)
    return found


def until_taken(order: Callable[[], None], times: int = 12) -> list[BackendError]:
    """As the driver does it: what AWS leaves open is looked at and ordered again; what it said on the way."""
    told: list[BackendError] = []
    for _ in range(times):
        try:
            order()
        except (OutcomeUnknown, Throttled, Unavailable) as error:
            told.append(error)
        else:
            return told
    raise AssertionError(f"never taken: {told}")


@pytest.mark.parametrize("operation", ["CreateHostedConfigurationVersion", "StartDeployment"])
def test_silence_after_the_effect(there: Place, operation: str) -> None:
    """The effect is there, the answer never came; botocore sends it again by itself, and meets what it made."""
    there.servers.control(timeout_after_effect=1.0, operations=[operation], times=1)
    assert until_taken(lambda: start(there.store(), 2, SECOND, fence=2)) == [], "it was there, and nobody looked"
    there.servers.control()
    assert there.versions() == [1, 2]
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "COMPLETE")]
    assert there.read_by_applications() == SECOND


@pytest.mark.parametrize("operation", ["CreateHostedConfigurationVersion", "StartDeployment"])
def test_silence_each_time(there: Place, operation: str) -> None:
    """No answer ever arrives: what is there is found by looking."""
    there.servers.control(timeout_after_effect=1.0, operations=[operation])
    assert until_taken(lambda: start(there.store(), 2, SECOND, fence=2)) == [], "it was there, and nobody looked"
    assert there.versions() == [1, 2]
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "COMPLETE")]


def test_silence_when_our_strategy_is_made(aws: Servers, tmp_path: Path) -> None:
    """Two of the same name may come of it; either will do, and always the same."""
    there = place(aws, tmp_path)
    aws.control(timeout_after_effect=1.0, operations=["CreateDeploymentStrategy"], times=1)
    until_taken(lambda: start(there.store(), 1, FIRST))
    aws.control()
    start(there.store(), 2, SECOND, fence=2)
    made = {one["Id"] for one in there.client.list_deployment_strategies()["Items"] if one["Name"] == OURS}
    assert 1 <= len(made) <= 2
    assert {there.deployment(number)["DeploymentStrategyId"] for number in (1, 2)} <= made
    assert [one[:2] for one in there.deployments()] == [(1, "1"), (2, "2")]


def test_silence_when_it_is_stopped(there: Place) -> None:
    start(there.store(strategy=there.strategy("slow", 10, 0)), 2, SECOND, fence=2)
    there.servers.control(timeout_after_effect=1.0, operations=["StopDeployment"], times=1)
    store = there.store()

    def back() -> None:
        if store.report(DOCUMENT).document.version == 1 and there.deployments()[-1][2] == "ROLLED_BACK":
            return
        start(store, 1, FIRST, fence=3)

    until_taken(back)
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "ROLLED_BACK")]


def test_throttling_is_told_as_that_and_adds_nothing(there: Place) -> None:
    there.servers.control(throttle=1.0, services=["appconfig"])
    with pytest.raises(Throttled):
        there.store().report(DOCUMENT)
    with pytest.raises(Throttled):
        start(there.store(), 2, SECOND, fence=2)
    there.servers.control(throttle=0.3, services=["appconfig"], seed=7)
    until_taken(lambda: start(there.store(), 2, SECOND, fence=2))
    there.servers.control()
    assert there.versions() == [1, 2]
    assert there.deployments() == [(1, "1", "COMPLETE"), (2, "2", "COMPLETE")]


def test_errors_of_the_service(there: Place) -> None:
    there.servers.control(http_500=1.0, services=["appconfig"])
    with pytest.raises(Unavailable):
        there.store().report(DOCUMENT)
    there.servers.control(http_500=0.3, services=["appconfig"], seed=3)
    until_taken(lambda: start(there.store(), 2, SECOND, fence=2))
    there.servers.control()
    assert [one[:2] for one in there.deployments()] == [(1, "1"), (2, "2")]


def test_credentials_that_have_run_out(there: Place) -> None:
    store = there.store()
    there.servers.control(expired=True, services=["appconfig"])
    for call in (lambda: store.report(DOCUMENT), lambda: start(store, 2, SECOND, fence=2)):
        with pytest.raises(AuthFailed):
            call()
    there.servers.control()
    start(store, 2, SECOND, fence=2)
    assert there.deployments()[-1] == (2, "2", "COMPLETE")


def test_many_who_ask_at_once_ask_together(there: Place) -> None:
    """All endpoints of a document that says the shares ask for the same, at each look."""
    store = there.store()
    store.report(DOCUMENT)
    there.servers.control(delay_seconds=0.2)
    before = there.servers.calls()["appconfig:ListDeployments"]
    with ThreadPoolExecutor(9) as pool:
        found = list(pool.map(lambda _: store.report(DOCUMENT), range(9)))
    assert len(set(found)) == 1
    assert there.servers.calls()["appconfig:ListDeployments"] - before <= 3


def test_no_answer_is_older_than_its_question() -> None:
    """What was on its way when somebody asked may be from before what he has just done."""
    together: Together[int] = Together()
    value, begun, goes_on = [1], threading.Event(), threading.Event()

    def slow() -> int:
        found = value[0]
        begun.set()
        assert goes_on.wait(10)
        return found

    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(together.ask, slow)
        assert begun.wait(10)
        value[0] = 2
        later = [pool.submit(together.ask, lambda: value[0]) for _ in range(3)]
        goes_on.set()
        assert first.result(10) == 1
        assert [one.result(10) for one in later] == [2, 2, 2]

    def fails() -> int:
        raise Unavailable("it does not answer")

    with pytest.raises(Unavailable):
        together.ask(fails)
    assert together.ask(lambda: 3) == 3
