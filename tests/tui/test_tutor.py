"""The tutor closes a station only when the thing was really observed: an OK of the backend is never enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from mlconsole.engine.views import EndpointView, Snapshot, State, StatusView, VariantView
from mlconsole.tui.tutor import Tutor

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def variant(version: str, desired: int, observed: float | None = None, n: int = 0) -> VariantView:
    return VariantView(f"v{version}", "relevance", version, "ready", "", desired, desired, observed, n, 30.0)


def world(*variants: VariantView, failed: int = 0) -> Snapshot:
    endpoint = EndpointView("relevance", "staging", State.OK, "", "", release=1, variants=variants, failed=failed)
    status = StatusView("demo", "staging", False, False, NOW, (endpoint,))
    return Snapshot(status, (), (), (), ("staging",), "anna@bastion-1", "local")


ALONE = world(variant("3", 10_000, 10_000, 500))
AT_TEN = (variant("3", 9000), variant("4", 1000))


def walked_to(step: int) -> Tutor:
    """A tutor whose first steps are done."""
    tutor = Tutor()
    tutor.answered("relevance")
    seen = [
        ALONE,
        world(*AT_TEN),
        world(variant("3", 9000, 9000, 400), variant("4", 1000, 1000, 400)),
        world(variant("3", 7500, 7500, 400), variant("4", 2500, 2500, 400)),
    ]
    for snapshot in seen[:step]:
        assert tutor.see(snapshot), tutor.text
    return tutor


def test_the_first_station_wants_an_answer_to_a_person() -> None:
    tutor = Tutor()
    assert not tutor.see(ALONE), "replayed traffic is nobody's own request"
    tutor.answered("delay-risk")
    assert not tutor.see(ALONE), "the question was to relevance"
    tutor.answered("relevance")
    assert tutor.see(ALONE)
    assert tutor.just_done.startswith("1/2 done")


def test_a_deployed_version_is_not_yet_an_observed_one() -> None:
    tutor = walked_to(2)
    assert "OBSERVED" in tutor.text
    assert not tutor.see(world(*AT_TEN)), "nothing was observed"
    assert not tutor.see(world(variant("3", 9000, 9000, 50), variant("4", 1000, 1000, 50))), "too few requests"
    assert not tutor.see(world(variant("3", 9000, 10_000, 400), variant("4", 1000, 0, 400))), "the share is not there"
    assert tutor.see(world(variant("3", 9000, 9000, 400), variant("4", 1000, 1000, 400)))


def test_a_shift_counts_when_it_is_observed_and_no_request_failed() -> None:
    tutor = walked_to(3)
    shifted = (variant("3", 7500, 7500, 400), variant("4", 2500, 2500, 400))
    assert not tutor.see(world(variant("3", 9000, 9000, 400), variant("4", 1000, 1000, 400))), "nothing was shifted"
    assert not tutor.see(world(*shifted, failed=1))
    assert tutor.see(world(*shifted))


def test_going_back_is_done_when_requests_went_back() -> None:
    tutor = walked_to(4)
    assert not tutor.see(world(variant("3", 9000), variant("4", 1000)))
    assert tutor.see(world(variant("3", 9000, 9000, 300), variant("4", 1000, 1000, 300)))
    assert tutor.done
    assert tutor.just_done.startswith("2/2 done")
    assert "tutor done" in tutor.text
    assert not tutor.see(ALONE), "there is nothing after the end"


def test_a_running_change_is_no_end_of_a_step() -> None:
    tutor = walked_to(1)
    snapshot = world(*AT_TEN)
    creating = replace(snapshot.status.endpoints[0], variants=(AT_TEN[0], replace(AT_TEN[1], state="creating")))
    assert not tutor.see(replace(snapshot, status=replace(snapshot.status, endpoints=(creating,))))
