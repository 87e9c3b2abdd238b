"""The tutor closes a station only when the thing was really observed: an OK of the backend is never enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlconsole.engine.views import ActionRunView, EndpointView, HealthView, SliceView, Snapshot, State, StatusView, VariantView
from mlconsole.tui.tutor import _STEPS, Left, Tutor
from mlconsole.tui.tutor_place import TutorPlace
from tui import health_kit as kit

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


# Where there are drills: two more stations, each ended by an alarm that is really there.


def at_the_drills() -> Tutor:
    tutor = Tutor()
    tutor.drills = True
    tutor.answered("relevance")
    for snapshot in (
        ALONE,
        world(*AT_TEN),
        world(variant("3", 9000, 9000, 400), variant("4", 1000, 1000, 400)),
        world(variant("3", 7500, 7500, 400), variant("4", 2500, 2500, 400)),
        world(variant("3", 9000, 9000, 300), variant("4", 1000, 1000, 300)),
    ):
        assert tutor.see(snapshot), tutor.text
    assert not tutor.done
    return tutor


def caught(
    question: str, *, number: int = 1, slices: tuple[str, ...] = ("",), errors: float = 0.002, own: float = 1.0, **given: Any
) -> Snapshot:
    """A world in which an alarm is open."""
    found = kit.finding("relevance", question=question, slices=slices, n=61, **given)
    opened = NOW + timedelta(seconds=14)
    alarm = kit.alarm(number=number, question=question, endpoints=("relevance",), findings=(found,), since=NOW, opened=opened)
    parts = tuple(SliceView(name, "fail", kit.figures(errors=share), kit.USUAL) for name, share in (("", errors), ("language=de", own)))
    one = kit.well("relevance", verdict="fail", figures=kit.figures(errors=errors), slices=parts, alarm=number)
    run = ActionRunView("r1", "drill-collapsed-version", "done", "anna", NOW, NOW, "")
    health = HealthView(NOW, NOW, (one,), (alarm,), (), kit.GUARDIAN, (run,))
    return replace(ALONE, health=health, status=replace(ALONE.status, alarms=(alarm,)))


def test_without_drills_there_are_two_stations_and_with_them_four() -> None:
    assert walked_to(4).text.startswith("tutor 2/2")
    tutor = at_the_drills()
    assert tutor.text.startswith('tutor 3/4  Press ! and choose a drill: "collapsed version"')
    assert tutor.just_done.startswith("2/4 done")


def test_a_collapsed_version_is_done_when_it_is_caught() -> None:
    tutor = at_the_drills()
    assert not tutor.see(ALONE)
    assert not tutor.see(caught("latency")), "another trouble"
    assert not tutor.see(caught("identical", well=True)), "it is over"
    assert tutor.see(caught("identical"))
    assert tutor.just_done == "3/4 done. caught after 14 s and 61 predictions; a plain 5 % error alarm: would say OK"
    assert tutor.text.startswith('tutor 4/4  Press ! and choose "broken language"')


def test_a_plain_alarm_that_would_have_seen_it_is_not_said_to_sleep() -> None:
    tutor = at_the_drills()
    assert tutor.see(caught("identical", errors=0.2))
    assert tutor.just_done.endswith("would say that too")


def test_a_broken_language_is_done_with_the_figures_that_were_seen() -> None:
    tutor = at_the_drills()
    assert tutor.see(caught("identical"))
    assert not tutor.see(caught("errors")), "of all together, not of the language"
    assert not tutor.see(caught("identical", slices=("language=de",)))
    assert tutor.see(caught("errors", number=2, slices=("language=de",), errors=0.02))
    assert tutor.just_done == "4/4 done. de failed wholly; in the total that is 2 %"
    assert tutor.done
    assert "tutor done" in tutor.text


def test_a_language_that_failed_in_part_is_not_said_to_have_failed_wholly() -> None:
    tutor = at_the_drills()
    tutor.see(caught("identical"))
    assert tutor.see(caught("errors", number=2, slices=("language=de",), errors=0.01, own=0.6))
    assert "de failed by 60 %; in the total that is 1 %" in tutor.just_done


def test_an_alarm_from_before_the_station_proves_nothing() -> None:
    tutor = at_the_drills()
    tutor._known_alarms = frozenset({1})
    assert not tutor.see(caught("identical"))
    assert tutor.see(caught("identical", number=2))


def test_a_running_change_is_no_end_of_a_step() -> None:
    tutor = walked_to(1)
    snapshot = world(*AT_TEN)
    creating = replace(snapshot.status.endpoints[0], variants=(AT_TEN[0], replace(AT_TEN[1], state="creating")))
    assert not tutor.see(replace(snapshot, status=replace(snapshot.status, endpoints=(creating,))))


# Where rollouts can be begun: one is caught by its own guard, and one goes on while nobody is there.


def rolled(state: str, *, stage: int = 1, **given: Any) -> Snapshot:
    """A world with a rollout of the collapsed version in it."""
    from tui.rollout_kit import guard, rollout

    found = guard("identical", "fail", new=1.0, limit=0.5, n=61, text="100 % the same")
    why = "identical: 100 % the same."
    began = NOW - timedelta(seconds=20)
    events = ((began, "10 %: 10 % stands"), (began + timedelta(seconds=14), why), (NOW, f"back at #1. {why}"))
    told: dict[str, Any] = {"variant": "v5", "guards": (found,), "why": why, "events": events, "started": began, **given}
    ended = NOW if state == "reverted" else None
    return replace(ALONE, rollouts=(rollout(NOW, state, stage, **{**told, "ended": ended}),), policies={"relevance": "quick"})


def with_policy(snapshot: Snapshot) -> Snapshot:
    return replace(snapshot, policies={"relevance": "quick"})


def at_the_rollout() -> Tutor:
    tutor = at_the_drills()
    tutor.see(with_policy(ALONE))
    return tutor


def test_with_rollouts_there_are_five_stations() -> None:
    tutor = at_the_rollout()
    assert tutor.text.startswith('tutor 3/5  Press ! and choose a drill: "collapsed rollout"')
    tutor.drills = False
    assert tutor.stations == 3
    assert tutor.text.startswith("tutor 3/3  3, R")


def test_a_rollout_that_a_guard_took_back_is_done_when_nobody_reaches_it() -> None:
    tutor = at_the_rollout()
    assert tutor.see(rolled("waiting"))
    assert tutor.text == "tutor 3/5  now take a sip of tea: nobody has to do anything"
    assert not tutor.see(rolled("waiting"))
    assert not tutor.see(rolled("going back")), "not back yet"
    assert not tutor.see(rolled("reverted", guards=())), "somebody took it back by hand"
    still = rolled("reverted")
    reached = replace(still.status.endpoints[0], variants=(variant("3", 10_000, 9800, 500), variant("5", 0, 200, 500)))
    assert not tutor.see(replace(still, status=replace(still.status, endpoints=(reached,)))), "it still gets requests"
    assert tutor.see(rolled("reverted"))
    assert tutor.just_done.startswith("3/5 done. caught after 14 s and 61 requests, by itself")
    assert tutor.text.startswith('tutor 4/5  Press ! and choose "broken language"')


def test_with_rollouts_a_drill_that_only_deploys_is_caught_by_its_alarm() -> None:
    tutor = at_the_rollout()
    assert tutor.see(with_policy(caught("identical")))
    assert tutor.see(with_policy(caught("identical")))
    assert tutor.just_done.startswith("3/5 done. caught after 14 s and 61 predictions")


def a_good_one(stage: int, **given: Any) -> Snapshot:
    return rolled("waiting", stage=stage, variant="v4", guards=(), why="", **given)


def at_the_window(opened: datetime, left: Any = None) -> Tutor:
    tutor = Tutor(opened, left)
    tutor.drills = True
    return tutor


def test_the_console_is_only_a_window_when_it_went_on_without_one() -> None:
    tutor = at_the_rollout()
    tutor.see(rolled("waiting"))
    tutor.see(rolled("reverted"))
    assert tutor.see(with_policy(caught("errors", number=2, slices=("language=de",), errors=0.02)))
    assert tutor.text.startswith("tutor 5/5  A good one now")
    assert not tutor.see(with_policy(ALONE))
    assert tutor.see(a_good_one(1))
    assert "q leaves" in tutor.text
    assert not tutor.see(a_good_one(2)), "it was watched: that proves nothing"
    left = tutor.leaves(a_good_one(2))
    assert left is not None
    assert left.stages == {"r1": 2}
    again = at_the_window(NOW, left)
    assert not again.see(a_good_one(2))
    assert again.text.startswith("tutor 5/5  q leaves")
    assert again.see(a_good_one(3))
    assert again.just_done.startswith("5/5 done. it went on without you, to 50 %")
    assert again.done
    assert again.leaves(a_good_one(3)) is None


def test_a_rollout_that_was_begun_after_the_console_opened_is_no_proof() -> None:
    tutor = at_the_rollout()
    again = at_the_window(NOW, Left(len(_STEPS) - 1, {"r1": 1}))
    assert not again.see(a_good_one(3, started=NOW + timedelta(seconds=1)))
    assert tutor.leaves(ALONE) is None, "only the last station is about leaving"


def test_the_place_is_found_again(tmp_path: Path) -> None:
    place = TutorPlace(tmp_path, "anna")
    assert not place.tutor("staging", NOW).text.startswith("tutor 5")
    place.keep("staging", Left(len(_STEPS) - 1, {"r1": 2}))
    assert "q leaves" in with_rollouts_seen(TutorPlace(tmp_path, "anna").tutor("staging", NOW)).text
    assert "q leaves" not in with_rollouts_seen(TutorPlace(tmp_path, "anna").tutor("production", NOW)).text
    assert "q leaves" not in with_rollouts_seen(TutorPlace(tmp_path, "tomek").tutor("staging", NOW)).text
    place.keep("staging", None)
    assert list(tmp_path.iterdir()) == []
    TutorPlace(tmp_path, "anna", writes=False).keep("staging", Left(len(_STEPS) - 1, {}))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "tutor-anna.json").write_text("{")
    assert "q leaves" not in with_rollouts_seen(TutorPlace(tmp_path, "anna").tutor("staging", NOW)).text


def with_rollouts_seen(tutor: Tutor) -> Tutor:
    tutor.see(with_policy(ALONE))
    return tutor
